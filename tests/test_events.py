"""Events are frozen records that become plain JSON, whatever stands in them."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from understudy import events
from understudy.events import Event

KINDS = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, Event)]

EXAMPLES: dict[str, Any] = {
    "lines": ("extract: about 2 minutes", "disk: 40 MB"),
    "stage": "train",
    "detail": "df, 64 px",
    "total": 4000,
    "unit": "steps",
    "done": 12,
    "seconds_left": 90.5,
    "values": {"loss": 0.25},
    "summary": {"frames": 216, "found": 216},
    "skipped": True,
    "message": "frame 12 is damaged; the video ends there",
    "frame": 12,
    "path": Path("runs") / "checkpoints",
    "step": 1000,
    "figures": {"heldout/ssim_target": 0.81},
}


def example(kind: type[Event]) -> Event:
    return kind(**{item.name: EXAMPLES[item.name] for item in dataclasses.fields(kind)})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_event_is_plain_json_under_its_name(kind: type[Event]) -> None:
    data = example(kind).to_json()
    again = json.loads(json.dumps(data))
    assert again["event"] == kind.__name__
    for item in dataclasses.fields(kind):
        wanted = EXAMPLES[item.name]
        wanted = (
            str(wanted) if isinstance(wanted, Path) else list(wanted) if isinstance(wanted, tuple) else wanted
        )
        assert again[item.name] == wanted


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind is not Event], ids=lambda kind: kind.__name__
)
def test_event_cannot_be_changed(kind: type[Event]) -> None:
    event = example(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, dataclasses.fields(kind)[0].name, None)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind is not Event], ids=lambda kind: kind.__name__
)
def test_event_takes_keywords_only(kind: type[Event]) -> None:
    with pytest.raises(TypeError, match="positional"):
        kind("train")  # pyright: ignore[reportCallIssue]


def test_figures_of_two_events_are_not_shared() -> None:
    first, second = events.Progress(stage="a", done=1), events.Progress(stage="b", done=1)
    assert first.values == {}
    assert first.values is not second.values
