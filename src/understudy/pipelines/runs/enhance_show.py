"""A look at what an enhancer does: faces of a face set made small, and drawn large again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from understudy import durable
from understudy.enhancers import Enhancer
from understudy.errors import ConfigError, FaceSetError
from understudy.events import Event, Saved
from understudy.faces.faceset import FaceSet
from understudy.pipelines.setup import make_context
from understudy.training.enhance_task import interpolated
from understudy.training.preview import contact_sheet, write_png

SHEET = "enhanced.png"
"""The sheet's name in a face set, where no other was given."""
_SMALLEST = 16


def show(
    faces: FaceSet, enhancer: Enhancer, output: Path, *, count: int = 6, device: str = "auto"
) -> Iterator[Event]:
    """Write a sheet of faces: as small as the enhancer is shown them, interpolated, drawn, as they were.

    Args:
        faces: the face set; its sharpest faces are shown, spread over its length.
        enhancer: who draws.
        output: a PNG file.
        count: faces.
        device: where.

    Raises:
        FaceSetError: it has no face.
        ConfigError: the enhancer does nothing.
    """
    context = make_context(device)
    built = enhancer.build(context)
    if built is None:
        raise ConfigError(f"enhancer: {enhancer.name!r} draws nothing; choose superres")
    records = faces.for_training()
    if not records:
        raise FaceSetError(f"{faces.path} has no face to show")
    parts = np.array_split(np.arange(len(records)), min(count, len(records)))
    chosen = [max(part, key=lambda number: records[number].face.sharpness) for part in parts]
    rows = [faces.read_crop(records[int(number)]) for number in chosen]
    side = min(row.shape[0] for row in rows)
    truth = torch.stack([torch.from_numpy(row).permute(2, 0, 1).float() / 255 for row in rows])
    probe = built(torch.zeros(1, 3, _SMALLEST, _SMALLEST, device=context.device))
    factor = probe.shape[-1] // _SMALLEST
    side = side // factor * factor
    truth = F.interpolate(truth, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
    small = F.interpolate(truth, (side // factor,) * 2, mode="bicubic", antialias=True).clamp(0, 1)
    drawn = torch.cat([built(row.to(context.device)).cpu() for row in small.split(1)])
    picture = contact_sheet(
        {
            "shown": F.interpolate(small, (side, side), mode="nearest"),
            "cubic": interpolated(small, side),
            "drawn": drawn,
            "truth": truth,
        }
    )
    with durable.explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    write_png(output, picture)
    yield Saved(path=output)
