"""The whole chain on performers: draw, extract, train a little, merge, compare with the exact swap."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import CommandServer
from understudy.performers.truth import truth_folder
from understudy.pipelines.evaluation.evaluate import against_truth
from understudy.provenance.labels import sidecar_path

pytestmark = pytest.mark.slow

SOURCE, TARGET = 7, 13
"""Performers who differ clearly, but not in the proportions by which alignment places a face."""


def test_the_result_is_nearer_to_the_truth_than_doing_nothing_and_than_a_patch(tmp_path: Path):
    server = CommandServer()
    source, target, result = (tmp_path / f"{name}.mp4" for name in ("source", "target", "result"))
    scene = ["--size", 256, 256, "--motion", 1, "--scene", 1, "--fps", 25]
    drawn = server.run("performers", "--seed", SOURCE, "--frames", 100, *scene, "-o", source)
    assert drawn.code == 0, drawn.text
    drawn = server.run(
        "performers", "--seed", TARGET, "--swap-with", SOURCE, "--frames", 30, *scene, "-o", target
    )
    assert drawn.code == 0, drawn.text
    small = ["--train.model.e-dims", 16, "--train.model.d-dims", 16, "--train.loop.threads", 1]
    words = ["--source", source, "--target", target, "-o", result, "--steps", 350, *small]
    swapped = server.run("swap", "--recipe", "cpu", *words)
    server.close()
    assert swapped.code == 0, swapped.text
    figures = against_truth(result, target, truth_folder(target))
    assert len(figures.result.psnr) == 30
    assert figures.result.mean_psnr > figures.untouched.mean_psnr
    assert figures.result.mean_psnr > figures.mean_color.mean_psnr
    assert sidecar_path(result).is_file()
