"""Following a pipeline that trains: the first Ctrl-C saves and ends it, the second stops at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from understudy.cli.show import first_interrupt, follow
from understudy.events import Event

Follow = Callable[[Iterable[Event], Callable[[str, bool], None]], dict[str, dict[str, Any]]]
"""What shows events: ``show.follow``, or one that takes the same."""


def follow_stoppable(
    work: Callable[[Callable[[], bool]], Iterable[Event]], show: Follow = follow
) -> dict[str, dict[str, Any]]:
    """Shows a pipeline's events until it ends; while its stage ``train`` runs, Ctrl-C asks it to save first.

    Args:
        work: makes the pipeline; is given what tells whether to stop.
        show: what shows the events.

    Returns:
        The summary of each stage by its name.
    """
    state = {"training": False, "stopped": False}
    with first_interrupt(
        lambda: state.update(stopped=True),
        "saving; Ctrl-C again to stop at once",
        when=lambda: state["training"],
    ):
        return show(
            work(lambda: state["stopped"]),
            lambda name, active: state.update(training=active and name == "train"),
        )


def exit_code(done: dict[str, dict[str, Any]]) -> int:
    """130 where Ctrl-C ended the training, else 0."""
    return 130 if done.get("train", {}).get("state") == "stopped" else 0
