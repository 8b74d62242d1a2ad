"""Named tensors in one safetensors file, written in one pass and able to prove itself.

The format is safetensors' own (a length, a JSON header, raw values), so that every reader knows it. The
header carries the SHA-256 of the values; a bit that flipped on the way is found when the file is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare
from torch import Tensor

from understudy import durable
from understudy.errors import CheckpointError

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_BLOCK = 1 << 22


def fill_tensors(part: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write tensors to a temporary file, for use inside ``durable.new_file`` and ``durable.new_folder``.

    Args:
        part: the file.
        tensors: on any device, in any layout; values are stored as rows.
        metadata: text that travels in the header.

    Returns:
        SHA-256 of the whole file, in hexadecimal.
    """
    head = _header(tensors, metadata or {})
    digest = hashlib.sha256(head)

    def chunks() -> Iterator[bytes | memoryview]:
        yield head
        for tensor in tensors.values():
            data = _values(tensor)
            digest.update(data)
            yield data

    durable.fill(part, chunks())
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write tensors to a file, all or nothing; see ``fill_tensors``.

    Raises:
        OutputError: no space, no permission.
    """
    with durable.new_file(path, size=size_of(tensors)) as part:
        return fill_tensors(part, tensors, metadata)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors on the processor, and the text of the header.

    Raises:
        CheckpointError: the file is missing, torn or altered.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head: dict[str, Any] = json.loads(file.read(min(length, 100_000_000)))
            metadata: dict[str, str] = head.get("__metadata__", {})
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
        if metadata.get("sha256") != digest.hexdigest():
            raise CheckpointError(f"{path}: altered since it was written; its hash does not fit")
        tensors: dict[str, Tensor] = load_file(path)
        return tensors, metadata
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not a file of weights, or torn ({error})") from error


def size_of(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of all values."""
    return sum(tensor.nbytes for tensor in tensors.values())


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    digest = hashlib.sha256()
    entries: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        digest.update(_values(tensor))
        place = [end, end + tensor.nbytes]
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": place,
        }
        end = place[1]
    head = {"__metadata__": {**metadata, "sha256": digest.hexdigest()}, **entries}
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the values begin at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text


def _values(tensor: Tensor) -> memoryview:
    """The tensor's bytes, row by row."""
    rows = tensor.detach().cpu().contiguous().reshape(-1)
    return rows.view(torch.uint8).numpy().data
