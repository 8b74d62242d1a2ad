from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from understudy import config
from understudy.errors import ConfigError, OutputError, VideoError
from understudy.image.view import Plate, View
from understudy.pipelines.footage import FootageSettings, open_footage, require_free_folder
from understudy.video.encoding import Encoding
from understudy.video.exr import write_exr
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader
from understudy.video.writer import open_writer


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64, 3), 60 + 20 * number, np.uint8))
    return folder


@pytest.fixture
def video(pictures: Path, tmp_path: Path) -> Path:
    path = tmp_path / "video.mkv"
    with open_footage(pictures) as reader, open_writer(path, encoding=Encoding(codec="ffv1")) as writer:
        for frame in reader:
            writer.write(frame)
    return path


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    pytest.importorskip("OpenImageIO")
    folder = tmp_path / "plates"
    folder.mkdir()
    for number in (1001, 1002, 1004):
        write_exr(folder / f"a.{number}.exr", np.full((48, 64, 3), 0.18, np.float16))
    return folder


def test_the_kind_decides(pictures: Path, video: Path, plates: Path) -> None:
    (plates / "a.1004.exr").unlink()
    readers = [open_footage(path) for path in (pictures, video, plates, plates / "a.####.exr")]
    assert [type(reader) for reader in readers] == [StillsReader, VideoReader, StillsReader, StillsReader]
    frames = [next(iter(reader)) for reader in readers]
    assert [isinstance(frame, Plate) for frame in frames] == [False, False, True, True]
    assert frames[2].view == View(curve="log")


def test_settings_arrive(pictures: Path, video: Path, plates: Path) -> None:
    settings = FootageSettings(rate="24000/1001", exposure=-1.5, missing="skip")
    with open_footage(plates, settings) as reader:
        frames = list(reader)
    assert [frame.name for frame in frames] == ["a.1001.exr", "a.1002.exr", "a.1004.exr"]
    assert frames[0].view == View(curve="log", exposure=-1.5)
    assert frames[1].time_base == Fraction(1001, 24000)
    # a stop and a half on a video is a gain, not a log
    assert next(iter(open_footage(video, settings))).view == View(curve="linear", exposure=-1.5)
    assert next(iter(open_footage(pictures, FootageSettings(view="srgb")))).view == View(curve="srgb")
    with pytest.raises(VideoError, match="frame 1003 is missing"):
        open_footage(plates)


def test_a_colour_space_makes_a_transform(video: Path) -> None:
    pytest.importorskip("PyOpenColorIO")
    frame = next(iter(open_footage(video, FootageSettings(color_space="ACEScct"))))
    assert isinstance(frame, Plate)
    assert frame.view.curve == "log"
    assert frame.view.transform is not None
    # log footage, made linear, seen as log: what the file holds is what the network sees
    rgb = np.linspace(0.2, 0.8, 30, dtype=np.float32).reshape(1, 10, 3)
    np.testing.assert_allclose(frame.view.show(rgb), rgb, atol=1e-4)
    with pytest.raises(ConfigError, match="has no 'LogC9'"):
        open_footage(video, FootageSettings(color_space="LogC9"))


@pytest.mark.parametrize("rate", ["fast", "0", "-24", "24/0", "1001"])
def test_bad_rates(rate: str) -> None:
    with pytest.raises(ConfigError, match="rate: wanted frames a second"):
        FootageSettings(rate=rate)


def test_the_settings_are_plain_data() -> None:
    settings = FootageSettings(view="srgb", exposure=0.5, rate="24")
    assert config.merge(FootageSettings(), config.dump(settings)) == settings


def test_pictures_are_not_poured_into_a_folder_of_other_things(tmp_path: Path, pictures: Path) -> None:
    require_free_folder(tmp_path / "new")
    require_free_folder(tmp_path / "film.mp4")
    (pictures / ".lock").touch()
    require_free_folder(pictures)
    (pictures / "faceset.toml").touch()
    with pytest.raises(OutputError, match=r"pictures holds faceset\.toml, .* a video such as pictures\.mp4"):
        require_free_folder(pictures)
    with pytest.raises(OutputError, match="holds pictures, so it is no folder of pictures"):
        require_free_folder(tmp_path)
