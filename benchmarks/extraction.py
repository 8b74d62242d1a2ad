"""Extraction: frames per second from a video to a face set, one face, and what its stations take alone.

The footage is a performer, drawn here, so that nothing has to be fetched but the networks themselves.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from common import Timing, measure, publish
from understudy.faces.smoothing import smooth
from understudy.faces.tracks import Tracker, faces_of
from understudy.image.color import frame_to_rgb8
from understudy.image.warp import crop_frame
from understudy.performers.draw import PerformersSettings, draw
from understudy.pipelines.extract import ExtractSettings, extract
from understudy.pipelines.setup import build_finders, fetch_weights, make_context, one_thread
from understudy.training.process import keep_pages
from understudy.video.reader import VideoReader

FRAMES = 150
SIZES = ((512, 512), (1280, 720))


def main() -> None:
    """Measures every size and writes the results."""
    keep_pages()
    one_thread()
    settings = ExtractSettings()
    plugins = (settings.detector, settings.landmarker, settings.embedder)
    for _ in fetch_weights(plugins):
        pass
    figures: dict[str, Timing | float | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            name = f"{size[0]} x {size[1]}"
            video = Path(folder) / f"{size[0]}.mp4"
            for _ in draw(PerformersSettings(seed=1, frames=FRAMES, size=size), video):
                pass
            figures |= {f"{name}: {what}": timing for what, timing in _stations(video, settings).items()}
            figures[f"{name}: extract, whole"] = _whole(video, settings, Path(folder) / "faces")
    publish("extraction", figures, {"frames": FRAMES, "faces": 1, "crop": settings.size, "unit": "frames"})


def _whole(video: Path, settings: ExtractSettings, output: Path) -> Timing:
    def once() -> None:
        shutil.rmtree(output, ignore_errors=True)
        for _ in extract((video,), output, settings):
            pass

    return measure(once, units=FRAMES, runs=5)


def _stations(video: Path, settings: ExtractSettings) -> dict[str, Timing]:
    """The work of each station on frames that are in memory."""
    finders = build_finders(settings.detector, settings.landmarker, settings.embedder, make_context("cpu"))

    def decode() -> list[object]:
        return list(VideoReader(video).frames())

    frames = list(VideoReader(video).frames())
    pictures = [frame_to_rgb8(frame, settings.search_side) for frame in frames]

    def follow() -> list[object]:
        tracker = Tracker(finders.detector, finders.landmarker, settings.track)
        return [tracker(picture, frame) for picture, frame in zip(pictures, frames, strict=True)]

    tracker = Tracker(finders.detector, finders.landmarker, settings.track)
    seen = [tracker(picture, frame) for picture, frame in zip(pictures, frames, strict=True)]
    faces = [face for s in seen for face in faces_of(s, frame=s.item.index, time=0.0, mode=settings.mode)]

    def cut() -> list[object]:
        pairs = zip(frames, faces, strict=True)
        return [crop_frame(f, face.alignment.crop_matrix(settings.size), settings.size) for f, face in pairs]

    return {
        "decode": measure(decode, units=FRAMES),
        "to RGB": measure(lambda: [frame_to_rgb8(f, settings.search_side) for f in frames], units=FRAMES),
        "detect and landmarks": measure(follow, units=FRAMES),
        "smooth": measure(lambda: list(smooth(iter(seen), settings.smooth)), units=FRAMES),
        "crop": measure(cut, units=FRAMES),
    }


if __name__ == "__main__":
    main()
