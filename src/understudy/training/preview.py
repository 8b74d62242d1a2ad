"""Previews: what a person looks at while a run trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from understudy import durable
from understudy.image.draw import sheet


def contact_sheet(
    columns: Mapping[str, Float[Tensor, "b 3 _ _"]], *, side: int = 0, labels: Sequence[str] = ()
) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures side by side, one row a face.

    Args:
        columns: heading and pictures, RGB in [0, 1].
        side: pictures are brought to this size; 0 for at least 128 pixels by whole factors.
        labels: what stands before each row; empty for none.
    """
    stacks = [_pictures(pictures, side) for pictures in columns.values()]
    rows = [list(row) for row in zip(*stacks, strict=True)]
    return sheet(rows, columns=list(columns), labels=labels)


def _pictures(pictures: Float[Tensor, "b 3 s s"], side: int) -> UInt8[np.ndarray, "b t t 3"]:
    own = pictures.shape[-1]
    wanted = side or own * max(1, -(-128 // own))
    shown = pictures.detach().float().cpu()
    if wanted != own:
        shown = F.interpolate(shown, size=(wanted, wanted), mode="bilinear", antialias=True)
    return (shown.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def write_png(path: Path, picture: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write an RGB picture as PNG, all or nothing."""
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done, "an 8-bit RGB picture can be written as PNG"
    durable.write_bytes(path, data.tobytes(), flush=False)
