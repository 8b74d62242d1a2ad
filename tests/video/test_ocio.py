from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from understudy.errors import ConfigError
from understudy.image.view import Transform, View
from understudy.video.ocio import BUILT_IN, OcioTransform

pytest.importorskip("PyOpenColorIO")

CONFIG = """ocio_profile_version: 2
roles:
  default: lin
  scene_linear: lin
displays:
  d:
    - !<View> {name: v, colorspace: lin}
active_displays: []
active_views: []
colorspaces:
  - !<ColorSpace>
    name: lin
  - !<ColorSpace>
    name: swapped
    to_scene_reference: !<MatrixTransform> {matrix: [0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 1]}
  - !<ColorSpace>
    name: gamma
    to_scene_reference: !<ExponentTransform> {value: [2.2, 2.2, 2.2, 1], style: mirror}
  - !<ColorSpace>
    name: clipped
    to_scene_reference: !<RangeTransform>
      {min_in_value: 0, min_out_value: 0, max_in_value: 0.5, max_out_value: 0.5}
"""
"""Colour spaces whose formulas can be checked by hand."""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "config.ocio").write_text(CONFIG)
    return str(tmp_path / "config.ocio")


def light(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((5, 7, 3)) * 8).astype(np.float32)


def test_the_configuration_is_followed(config: str) -> None:
    rgb = light()
    swapped = OcioTransform(config, "swapped")
    assert isinstance(swapped, Transform)
    out = swapped.forward(rgb)
    np.testing.assert_allclose(out, rgb[..., [1, 0, 2]] * np.float32([2, 1, 0.5]), rtol=1e-6)
    np.testing.assert_allclose(swapped.backward(out), rgb, rtol=1e-6)
    gamma = OcioTransform(config, "gamma")
    np.testing.assert_allclose(gamma.forward(rgb), rgb.astype(float) ** 2.2, rtol=1e-3)
    gamma.check()


def test_the_input_is_not_altered(config: str) -> None:
    rgb = light()
    kept = rgb.copy()
    OcioTransform(config, "swapped").forward(rgb)
    np.testing.assert_array_equal(rgb, kept)


def test_a_view_goes_through_it(config: str) -> None:
    view = View(transform=OcioTransform(config, "swapped"), exposure=1.0)
    rgb = light()
    wanted = (np.log2(np.maximum(rgb[..., [1, 0, 2]] * [2, 1, 0.5] * 2.0, 1e-3)) + 9.72) / 17.52
    bright = rgb.min(axis=2) > 0.1
    np.testing.assert_allclose(view.show(rgb)[bright], wanted[bright], atol=1e-5)
    np.testing.assert_allclose(view.undo(view.show(rgb)), rgb, rtol=1e-4, atol=1e-5)


def test_a_built_in_configuration_of_aces() -> None:
    """ACEScct of the library against the formula that the view log has (same primaries: only the curve)."""
    transform = OcioTransform(BUILT_IN, "ACEScct")
    transform.check()
    signal = np.full((1, 1, 3), 0.5, np.float32)
    assert transform.forward(signal)[0, 0, 1] == pytest.approx(2 ** (0.5 * 17.52 - 9.72), rel=1e-4)


def test_what_cannot_be_undone_is_refused(config: str) -> None:
    with pytest.raises(ConfigError, match="'clipped' to 'scene_linear' and back is off by"):
        OcioTransform(config, "clipped").check()


def test_what_is_not_there(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"has no 'LogC9'; it has lin, swapped"):
        OcioTransform(config, "LogC9").check()
    with pytest.raises(ConfigError, match=r"no file .*nothing\.ocio"):
        OcioTransform(str(tmp_path / "nothing.ocio"), "lin").check()
    (tmp_path / "broken.ocio").write_text("ocio_profile_version: 2\ncolorspaces: 7")
    with pytest.raises(ConfigError, match=r"broken\.ocio"):
        OcioTransform(str(tmp_path / "broken.ocio"), "lin").check()
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    with pytest.raises(ConfigError, match=r"pip install 'understudy\[ocio\]'"):
        OcioTransform(config, "gamma2").check()
