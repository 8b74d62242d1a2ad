"""What an exported swapper says about itself: a model card to read, and the same in the file's metadata.

Mitchell et al. 2019, "Model cards for model reporting": what it is, how it was made, what it is meant for and
what not. Nothing in it names a person.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import understudy
from understudy import durable
from understudy.errors import CheckpointError
from understudy.models import ModelSettings
from understudy.provenance.rights import said_by_model
from understudy.training.tensors import sha256_of

PURPOSE = (
    "Replaces the face of footage by the face of the one person that it was trained on, keeping expression, "
    "pose and light: for film and video whose participants consent, and for research on detecting such "
    "manipulation."
)
LABELS = (
    "This is a face-swapping model. What it makes must be labelled as manipulated wherever it is shown, and "
    "both the person shown and the person replaced must have consented. Not for live calls, not for "
    "deceiving anyone, not for sexual content."
)
LICENCE = (
    "Understudy's licence (Apache-2.0) is that of the program, not of this file: weights learnt from footage "
    "of a person may be used as far as that person and the owner of the footage have agreed."
)
HEADING = "# Face-swapping model"
"""How every card's page begins: what begins otherwise is not ours to replace."""
Finish = Callable[[Path, Path], None]
"""Signs a model while it has a temporary name; is given that of the model and that of its card."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an exported file says; texts by name, in the order in which they are read."""

    title: str
    """One line."""
    facts: Mapping[str, str]
    """What it is and how it was made."""
    example: str
    """How to run it, Python."""

    @property
    def metadata(self) -> dict[str, str]:
        """For ``metadata_props`` of an ONNX file."""
        spoken = {"purpose": PURPOSE, "labels": LABELS, "licence": LICENCE}
        return {f"understudy.{name}": text for name, text in {**self.facts, **spoken}.items()}

    def markdown(self) -> str:
        """The card as a page."""
        rows = "\n".join(f"| {name} | {text} |" for name, text in self.facts.items())
        return (
            f"# {self.title}\n\n{LABELS}\n\n## Intended use\n\n{PURPOSE}\n\n## Facts\n\n|  |  |\n|---|---|\n"
            f"{rows}\n\n## Use\n\n```python\n{self.example}```\n\n## Licence\n\n{LICENCE}\n"
        )


def card_of(output: Path) -> Path:
    """Where the card of an exported file lies; each has its own: ``a.onnx.md`` beside ``a.dfm.md``."""
    return output.with_name(f"{output.name}.md")


def write_with_card(
    output: Path, pieces: Iterable[bytes | memoryview], size: int, card: Card, finish: Finish | None = None
) -> tuple[Path, Path]:
    """Writes a model and its card; the model gets its name last, when all that belongs to it is there.

    Args:
        output: the model's file; its folder is made.
        pieces: its content.
        size: its bytes.
        card: put beside it, see ``card_of``.
        finish: signs both while they have temporary names.

    Returns:
        The model and the card.

    Raises:
        OutputError: no space, no permission; nothing is then under these names that was not there before.
    """
    with durable.explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    page = card_of(output)
    with durable.new_file(output, size=size) as model:
        durable.fill(model, pieces)  # outside the card's block: a full disk is said of the model
        with durable.new_file(page) as text:
            durable.fill(text, [card.markdown().encode()])
            if finish is not None:
                finish(model, text)
    return output, page


def describe(
    place: Path, settings: ModelSettings, step: int, *, inputs: str, outputs: str, more: Mapping[str, str]
) -> dict[str, str]:
    """The facts of a swapper.

    Args:
        place: its folder of weights, beside whose run's ``origin.toml`` is looked for.
        settings: its model.
        step: steps it was trained.
        inputs: names and shapes of what the exported file takes.
        outputs: names and shapes of what it gives.
        more: further facts of the format.
    """
    weights = place / "weights.safetensors" if place.is_dir() else place
    names = [name for name in vars(settings) if name not in ("crop", "coverage")]
    return {
        "what": "face-swapping model",
        "model": settings.name,
        "settings": json.dumps({name: getattr(settings, name) for name in names}),
        "crop": settings.crop,
        "coverage": f"{settings.coverage:g}",
        "resolution": str(settings.resolution),
        "framing": "faces are framed by understudy.image.geometry.align(points, crop)"
        ".crop_matrix(resolution, coverage)",
        "inputs": inputs,
        "outputs": outputs,
        "steps": str(step),
        "weights_sha256": sha256_of(weights),
        "consent": _consent(weights),
        **_origin(weights.parent.parent / "origin.toml"),
        "exported_by": f"understudy {understudy.__version__}",
        **more,
    }


def _consent(weights: Path) -> str:
    """On what the face sets stand; hashes of records, never a name."""
    said = said_by_model(weights)
    return json.dumps(
        {
            name: {key: each[key] for key in ("lane", "record", "faces") if each.get(key)}
            for name, each in said.items()
        }
        or "none"
    )


def _origin(file: Path) -> dict[str, str]:
    """What a run's folder says about where it comes from; nothing for a swapper on its own."""
    try:
        origin: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read ({error})") from None
    kept = {name: origin[name] for name in ("understudy", "commit", "face_sets") if name in origin}
    imported = origin.get("imported")
    if isinstance(imported, dict):
        kept["imported"] = {name: imported.get(name) for name in ("program", "model", "step")}  # pyright: ignore[reportUnknownMemberType]  # TOML of a user's
    return {"origin": json.dumps(kept, default=str)} if kept else {}
