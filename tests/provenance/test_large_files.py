"""Results of more than 4 GB, whose lengths do not fit into 32 bits; in ``make test-all`` only."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from understudy.provenance.claim import Edit
from understudy.provenance.manifest import manifest_path, sign_staged
from understudy.provenance.verify import verify

SIZE = (4 << 30) + (1 << 20)
"""Bytes; a disk that knows holes stores next to none of them until the file is copied."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif("UNDERSTUDY_TEST_ALL" not in os.environ, reason="a minute each: make test-all"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Emptied afterwards, since pytest keeps the folders of three runs."""
    made = tmp_path / "large"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_large_file_is_signed_and_a_byte_beyond_4_gb_counts(
    suffix: str, folder: Path, home: Path, make_video: Callable[..., Path]
) -> None:
    """A manifest beside an mkv, and inside an mp4, which is copied for it."""
    if suffix == ".mp4" and shutil.disk_usage(folder).free < 3 * SIZE:
        pytest.skip("there is no room for two files of 4 GB")
    plate = make_video(f"plate{suffix}")
    result = folder / f"result{suffix}"
    shutil.copy(plate, result)
    with result.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        if suffix == ".mp4":  # a second box of samples, with its length in 64 bits
            file.write(struct.pack(">I4sQ", 1, b"mdat", SIZE))
        file.truncate(plate.stat().st_size + SIZE)
    signed = sign_staged(result, result, Edit(plate=plate))
    assert (signed.manifest, signed.remarks) == (manifest_path(result) if suffix == ".mkv" else None, ())
    assert signed.size < 10_000
    assert result.stat().st_size > 1 << 32
    answer = verify(result, mark="no")
    assert (answer.verdict, answer.codes) == ("intact", ())
    with result.open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        file.write(b"\1")
    assert verify(result, mark="no").verdict == "changed"
