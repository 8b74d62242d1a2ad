"""Plain data and numpy arrays as a pickle that older Python programs read; the counterpart of ``pickles``.

Written instruction by instruction: the result holds nothing but the data, and the names under which numpy has
always known its arrays, so that numpy 1 and 2 both read it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

_RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
"""Call of the function that makes an empty array; its values follow as its state."""


def encode(value: object) -> Iterator[bytes | memoryview]:
    """A pickle, protocol 4, in pieces.

    Args:
        value: dicts with text keys, lists, tuples, texts, numbers, None, and arrays of numbers.
    """
    yield b"\x80\x04"
    yield from _any(value)
    yield b"."


def _any(value: object) -> Iterator[bytes | memoryview]:
    match value:
        case None:
            yield b"N"
        case bool():
            yield b"\x88" if value else b"\x89"
        case int():
            yield _whole(value)
        case float():
            yield b"G" + struct.pack(">d", value)
        case str():
            yield _text(value)
        case np.ndarray():
            yield from _array(value)
        case Mapping():
            yield b"}("
            for key, entry in cast("Mapping[str, Any]", value).items():
                yield _text(key)
                yield from _any(entry)
            yield b"u"
        case tuple():
            yield b"("
            for entry in cast("tuple[Any, ...]", value):
                yield from _any(entry)
            yield b"t"
        case Sequence():
            yield b"]("
            for entry in cast("Sequence[Any]", value):
                yield from _any(entry)
            yield b"e"
        case _:
            raise AssertionError(f"no plain data: {type(value)}")


def _whole(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _array(value: np.ndarray) -> Iterator[bytes | memoryview]:
    rows = np.asarray(value, order="C")
    code, order = rows.dtype.str[1:], rows.dtype.str[0]
    assert rows.dtype.kind in "biuf", f"not an array of numbers: {rows.dtype}"
    yield _RECONSTRUCT
    yield b"(K\x01"
    yield from _any(value.shape)
    yield b"cnumpy\ndtype\n" + _text(code) + b"\x89\x88\x87R"
    yield b"(K\x03" + _text(order) + b"NNN" + _whole(-1) + _whole(-1) + b"K\x00tb"
    yield b"\x89\x8e" + struct.pack("<Q", rows.nbytes)
    yield rows.reshape(-1).view(np.uint8).data
    yield b"tb"
