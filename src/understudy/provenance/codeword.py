"""The 64 bits of an invisible mark, and the 192 symbols that carry them.

    16 bits   sync: the same in every mark, so that it can be looked for before anything is read
    32 bits   the number under which the manifest lies in the local store
    16 bits   CRC-16 (CCITT, polynomial 0x1021) of the number

All go through a convolutional code of rate 1/3 and constraint length 7 that bites its own tail (the
generators 133, 171, 165 of 3GPP TS 36.212, section 5.1.3.1), which mends about a symbol in six. A symbol
depends on seven bits, so those of the sync's last ten bits are the same in every mark. Decoding takes soft
values and finds the nearest of all 2^64 words.
"""

from __future__ import annotations

import binascii
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int8, UInt8

SYNC = 0xEB90
"""A word that overlaps itself little."""
SYNC_BITS, ID_BITS, CRC_BITS = 16, 32, 16
BITS = SYNC_BITS + ID_BITS + CRC_BITS
RATE = 3
"""Symbols a bit."""
SYMBOLS = BITS * RATE
_GENERATORS = (0o133, 0o171, 0o165)
_MEMORY = 6
_STATES = 1 << _MEMORY


def checksum(number: int) -> int:
    """CRC-16 of a mark's number."""
    return binascii.crc_hqx(number.to_bytes(4, "big"), 0xFFFF)


def bits_of(number: int) -> UInt8[np.ndarray, "64"]:
    """The 64 bits, the highest of each field first."""
    word = (SYNC << 48) | (number << CRC_BITS) | checksum(number)
    return np.unpackbits(np.frombuffer(word.to_bytes(8, "big"), np.uint8))


def symbols_of(number: int) -> Int8[np.ndarray, "192"]:
    """What is sent for a number, -1 and 1; three symbols a bit, in the order of the bits."""
    if not 0 <= number < 1 << ID_BITS:
        raise ValueError(f"number: wanted 0 to 2^32 - 1, got {number}")
    return _encode(bits_of(number))


@lru_cache(maxsize=1)
def sync_symbols() -> Int8[np.ndarray, "192"]:
    """The symbols that are the same in every mark; 0 for the others."""
    out = np.zeros(SYMBOLS, np.int8)
    same = slice(_MEMORY * RATE, SYNC_BITS * RATE)
    out[same] = symbols_of(0)[same]
    return out


def _encode(bits: UInt8[np.ndarray, "64"]) -> Int8[np.ndarray, "192"]:
    """Tail-biting: the register starts with the last six bits, so that it ends as it began."""
    register = 0
    for bit in bits[-_MEMORY:]:
        register = (register >> 1) | (int(bit) << (_MEMORY - 1))
    out: list[int] = []
    for bit in bits:
        window = (int(bit) << _MEMORY) | register
        out += [_sign(window, generator) for generator in _GENERATORS]
        register = window >> 1
    return np.array(out, np.int8)


def _sign(window: int, generator: int) -> int:
    return 2 * ((window & generator).bit_count() & 1) - 1


@lru_cache(maxsize=1)
def _trellis() -> tuple[np.ndarray, np.ndarray]:
    """For every state after a step: the two states before it, and the signs that each way sends."""
    before, signs = np.zeros((_STATES, 2), np.int64), np.zeros((_STATES, 2, RATE))
    for state in range(_STATES):
        for lost in (0, 1):  # the bit that has just left the register
            window = (state << 1) | lost
            before[state, lost] = window & (_STATES - 1)
            signs[state, lost] = [_sign(window, generator) for generator in _GENERATORS]
    return before, signs


def read_bits(soft: Float[np.ndarray, "192"]) -> UInt8[np.ndarray, "64"]:
    """The word whose symbols agree best with soft values; nothing is assumed of the sync.

    Viterbi's algorithm for every state that the register may begin and end in, side by side: exact.

    Args:
        soft: one value a symbol, positive for 1; their size tells how sure they are.
    """
    values = np.asarray(soft, np.float64)
    before, signs = _trellis()
    score = np.where(np.eye(_STATES, dtype=bool), 0.0, -np.inf)  # (start, state)
    ways: list[np.ndarray] = []
    for step in range(BITS):
        gains = signs @ values[step * RATE : (step + 1) * RATE]  # (state, 2)
        candidates = score[:, before] + gains
        way = candidates[..., 1] > candidates[..., 0]
        score = np.where(way, candidates[..., 1], candidates[..., 0])
        ways.append(way)
    start = int(np.diagonal(score).argmax())
    state, bits = start, np.zeros(BITS, np.uint8)
    for step in reversed(range(BITS)):
        bits[step] = state >> (_MEMORY - 1)
        state = int(before[state, int(ways[step][start, state])])
    return bits


def number_of(bits: UInt8[np.ndarray, "64"]) -> int | None:
    """The number in 64 bits; None where its CRC does not fit."""
    word = int.from_bytes(np.packbits(bits[SYNC_BITS:]).tobytes(), "big")
    number = word >> CRC_BITS
    return number if checksum(number) == word & 0xFFFF else None
