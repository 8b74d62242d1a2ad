from __future__ import annotations

import itertools

import numpy as np
import pytest

from understudy.provenance.codeword import (
    BITS,
    SYMBOLS,
    SYNC,
    bits_of,
    checksum,
    number_of,
    read_bits,
    symbols_of,
    sync_symbols,
)

NUMBERS = (0, 1, 0xCAFE1234, 0xFFFFFFFF)


def crc16(data: bytes) -> int:
    """CCITT, bit by bit."""
    register = 0xFFFF
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1) ^ (0x1021 if register & 0x8000 else 0)
            register &= 0xFFFF
    return register


def test_the_check_sum_is_ccitts():
    assert crc16(b"123456789") == 0x29B1  # the catalogue's check value
    for number in NUMBERS:
        assert checksum(number) == crc16(number.to_bytes(4, "big"))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_comes_back(number):
    bits = bits_of(number)
    assert bits.shape == (BITS,)
    assert int("".join(map(str, bits[:16])), 2) == SYNC
    sent = symbols_of(number)
    assert sent.shape == (SYMBOLS,)
    assert set(np.unique(sent)) == {-1, 1}
    assert number_of(read_bits(sent.astype(float))) == number


def test_the_code_is_what_the_standard_says():
    bits = bits_of(0xCAFE1234).astype(int)
    sent = (symbols_of(0xCAFE1234) > 0).astype(int)
    for generator, taps in enumerate((0o133, 0o171, 0o165)):
        delays = [delay for delay in range(7) if taps >> (6 - delay) & 1]
        expected = np.bitwise_xor.reduce([np.roll(bits, delay) for delay in delays])
        np.testing.assert_array_equal(sent[generator::3], expected)


def test_the_same_symbols_are_in_every_mark():
    every = np.stack([symbols_of(number) for number in (*NUMBERS, 77, 0x80000001)])
    same = sync_symbols() != 0
    assert same.sum() == 30
    assert (every[:, same] == sync_symbols()[same]).all()


def test_a_symbol_in_eight_may_be_wrong():
    random = np.random.default_rng(1)
    for _ in range(20):
        number = int(random.integers(1 << 32))
        soft = symbols_of(number).astype(float)
        soft[random.choice(SYMBOLS, SYMBOLS // 8, replace=False)] *= -1
        assert number_of(read_bits(soft)) == number


def test_the_nearest_word_is_found():
    """Against the agreement of the true word: what is decoded is never worse."""
    random = np.random.default_rng(2)
    weights = 1 << np.arange(BITS - 1, -1, -1, dtype=object)
    for _ in range(10):
        soft = symbols_of(5) + random.normal(0, 1.6, SYMBOLS)
        word = read_bits(soft)
        assert int((word.astype(object) * weights).sum()) >= 0
        again = np.array([], int)
        for taps in (0o133, 0o171, 0o165):
            delays = [delay for delay in range(7) if taps >> (6 - delay) & 1]
            again = np.append(again, np.bitwise_xor.reduce([np.roll(word, delay) for delay in delays]))
        agreement = (soft.reshape(-1, 3).T.reshape(-1) * (2.0 * again - 1)).sum()
        assert agreement >= (soft * symbols_of(5)).sum() - 1e-9


def test_the_check_sum_catches_errors():
    bits = bits_of(0xCAFE1234)
    for first, second in itertools.combinations(range(16, BITS), 2):
        wrong = bits.copy()
        wrong[[first, second]] ^= 1
        assert number_of(wrong) is None
    for place in range(16, BITS):
        wrong = bits.copy()
        wrong[place] ^= 1
        assert number_of(wrong) is None


def test_noise_is_read_as_a_number_once_in_65536():
    random = np.random.default_rng(0)
    read = [number_of(read_bits(random.normal(size=SYMBOLS))) for _ in range(60)]
    assert all(number is None for number in read)


def test_numbers_beyond_32_bits_are_refused():
    with pytest.raises(ValueError, match="2\\^32"):
        symbols_of(1 << 32)
