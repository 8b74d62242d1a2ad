"""What holds for the whole process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from understudy.training.process import peak_memory

ASK = "from understudy.training.process import peak_memory; print(peak_memory())"


def test_peak_memory_counts_what_was_touched() -> None:
    before = peak_memory()
    touched = np.ones(400_000_000, np.uint8)
    assert peak_memory() >= min(before, 400_000_000)
    assert peak_memory() >= touched.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands a parent's peak on")
def test_peak_memory_is_the_process_own_not_its_parents() -> None:
    touched = np.ones(400_000_000, np.uint8)
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout
    assert 1_000_000 < int(said) < touched.nbytes / 2
