"""Weights made small: eight bits a number, a scale for every output, and nothing twice.

For weights that something begins with and goes on learning, not for those that a film is made with: a weight
is off by up to 1/254 of the largest of its row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from understudy.errors import CheckpointError
from understudy.training.tensors import read_tensors, write_tensors

PACKED = "packed weights 1"
"""What the header of such a file says under ``format``."""
_SCALE = ".scale"


def write_packed(
    file: Path,
    weights: Mapping[str, Tensor],
    about: Mapping[str, Any],
    twins: Mapping[str, str] | None = None,
) -> None:
    """Write weights small.

    Args:
        file: the file.
        weights: a module's ``state_dict``.
        about: what they are, plain data; travels in the header.
        twins: prefix of names that are left out: prefix of those that take their place when read.

    Raises:
        OutputError: no space, no permission.
    """
    twins = twins or {}
    out: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if any(name.startswith(prefix) for prefix in twins):
            continue
        if weight.ndim < 2:
            out[name] = weight.detach().cpu().half()
            continue
        rows = weight.detach().cpu().float().flatten(1)
        scale = rows.abs().amax(1).clamp(min=1e-12) / 127
        out[name] = (torch.round(rows / scale[:, None]) + 128).to(torch.uint8).view(weight.shape)
        out[name + _SCALE] = scale
    header = {"format": PACKED, "about": json.dumps(dict(about)), "twins": json.dumps(dict(twins))}
    write_tensors(file, out, header)


def is_packed(file: Path) -> bool:
    """Whether the file says that it is one of these."""
    with file.open("rb") as data:
        length = int.from_bytes(data.read(8), "little")
        return f'"{PACKED}"'.encode() in data.read(min(length, 1_000_000))


def read_packed(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in single precision, twins in their places; and what they are.

    Raises:
        CheckpointError: no such file, or it is torn or altered.
    """
    tensors, header = read_tensors(file)
    if header.get("format") != PACKED:
        raise CheckpointError(f"{file}: wanted {PACKED}, its header says {header.get('format', 'nothing')!r}")
    weights: dict[str, Tensor] = {}
    for name, stored in tensors.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors:
            continue
        if stored.dtype == torch.uint8:
            scale = tensors[name + _SCALE].view(-1, *[1] * (stored.ndim - 1))
            weights[name] = (stored.float() - 128) * scale
        else:
            weights[name] = stored.float()
    for prefix, other in json.loads(header["twins"]).items():
        taken = {prefix + n.removeprefix(other): w for n, w in weights.items() if n.startswith(other)}
        weights |= {name: weight.clone() for name, weight in taken.items()}
    return weights, json.loads(header["about"])
