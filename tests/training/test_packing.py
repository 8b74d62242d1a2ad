"""Weights made small and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from understudy.errors import CheckpointError
from understudy.training.packing import read_packed, write_packed
from understudy.training.tensors import write_tensors

TWINS = {"decoder_target.": "decoder_source."}


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "encoder.weight": torch.randn(6, 3, 5, 5) * torch.logspace(-6, 2, 6).view(6, 1, 1, 1),
        "encoder.bias": torch.randn(6),
        "decoder_source.weight": torch.randn(4, 8),
        "decoder_target.weight": torch.randn(4, 8),
        "empty.weight": torch.zeros(2, 3),
    }


def test_weights_come_back_within_a_254th_of_their_rows_largest(tmp_path: Path):
    mine = weights()
    write_packed(tmp_path / "a.safetensors", mine, {"step": 3}, TWINS)
    again, about = read_packed(tmp_path / "a.safetensors")
    assert about == {"step": 3}
    assert again.keys() == mine.keys()
    for name in ("encoder.weight", "decoder_source.weight", "empty.weight"):
        off = (again[name] - mine[name]).flatten(1).abs().amax(1)
        assert (off <= mine[name].flatten(1).abs().amax(1) / 254 * 1.001).all()
        assert again[name].shape == mine[name].shape
    assert torch.allclose(again["encoder.bias"], mine["encoder.bias"], rtol=1e-3)
    assert torch.equal(again["decoder_target.weight"], again["decoder_source.weight"])


def test_the_file_takes_a_byte_a_weight_and_nothing_for_twins(tmp_path: Path):
    big = {"decoder_source.weight": torch.randn(256, 1000), "decoder_target.weight": torch.randn(256, 1000)}
    write_packed(tmp_path / "a.safetensors", big, {}, TWINS)
    assert (tmp_path / "a.safetensors").stat().st_size < 256 * 1000 + 256 * 4 + 1000


def test_other_files_are_refused(tmp_path: Path):
    write_tensors(tmp_path / "other.safetensors", weights(), {})
    with pytest.raises(CheckpointError, match="its header says 'nothing'"):
        read_packed(tmp_path / "other.safetensors")
    write_packed(tmp_path / "a.safetensors", weights(), {})
    torn = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(torn[:-1] + bytes([torn[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="altered"):
        read_packed(tmp_path / "a.safetensors")
