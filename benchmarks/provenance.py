"""Provenance: what label, mark, audit line, hash and signature cost beside a render at 1080p; large files.

The render is the real one (``pipelines.merging``) with a small swapper, so that the share is the largest that
a user sees. It is made with everything and with nothing of it, by turns; the difference of the medians is the
whole chain's, what the encoder has to do for the mark included. The plate moves and has grain, as that of
``merge.py``. Label and mark are also timed alone, on the plate's own frames. Large files are a short video
with a box of random bytes behind it, as large as a master; reading it back counts the hash too. The disk's
cache is warm.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from common import ROOT, Timing, measure, publish
from merge import plate
from understudy.events import Event
from understudy.pipelines.merging.merge import MergeSettings, merge
from understudy.pipelines.merging.rights import MergeRights
from understudy.pipelines.merging.settings import Station
from understudy.provenance.claim import Edit
from understudy.provenance.labelling import LabelStation
from understudy.provenance.manifest import plate_hash, sign_staged
from understudy.provenance.mark import MarkStation
from understudy.provenance.verify import verify
from understudy.training.process import keep_pages
from understudy.video.encoding import Encoding
from understudy.video.writer import open_writer

WIDTH, HEIGHT, FRAMES = 1920, 1080, 72
LARGE = 300_000_000
PAIRS = 5
"""Renders with everything and with nothing of it."""


class Nothing(MergeRights):
    """A render without label, mark, audit line and signature."""

    @property
    def stations(self) -> tuple[Station, ...]:
        """None."""
        return ()

    def finish(self, staged: Path) -> None:
        """Nothing."""

    def end(self) -> Iterator[Event]:
        """Nothing."""
        return iter(())

    def facts(self) -> dict[str, Any]:
        """None."""
        return {}


def padded(video: Path, output: Path, size: int) -> Path:
    """A video with a box of random bytes behind it."""
    block = np.random.default_rng(0).bytes(1 << 20)
    with output.open("wb") as file:
        file.write(video.read_bytes())
        count = size // len(block)
        file.write((8 + count * len(block)).to_bytes(4, "big") + b"abcd")
        for _ in range(count):
            file.write(block)
    return output


def main() -> None:
    """Measure and publish."""
    keep_pages()  # as the command does
    sys.path.insert(0, str(ROOT / "tests"))
    from merge_footage import make_faces, make_swapper

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["UNDERSTUDY_HOME"] = str(folder / "home")
        target, frames = folder / "plate.mp4", [plate(index, WIDTH, HEIGHT) for index in range(FRAMES)]
        with open_writer(target, encoding=Encoding(preset="ultrafast", quality=20.0)) as writer:
            for frame in frames:
                writer.write(frame)

        def place(index: int) -> list[tuple[float, float, float]]:
            return [(900 + 40 * np.sin(index / 7), 520.0, 3.0)]

        faces = make_faces(folder / "faces", target, FRAMES, place)
        swapper = make_swapper(folder)
        settings = MergeSettings()

        def render(rights: type[MergeRights]) -> float:
            (folder / "out.mp4").unlink(missing_ok=True)
            begin = time.perf_counter()
            with patch("understudy.pipelines.merging.merge.MergeRights", rights):
                for _ in merge(swapper, target, faces, folder / "out.mp4", settings):
                    pass
            return time.perf_counter() - begin

        render(Nothing)
        pairs = [(render(Nothing), render(MergeRights)) for _ in range(PAIRS)]
        bare, full = (tuple(times) for times in zip(*pairs, strict=True))
        whole = Timing(seconds=full, units=FRAMES)
        label = LabelStation(("eu-modified-always",), frames[0].width, frames[0].height, 25.0, {})
        mark = MarkStation(7)
        labelled = measure(lambda: [label(each) for each in frames], units=FRAMES, runs=3)
        marked = measure(lambda: [mark(each) for each in frames], units=FRAMES, runs=3)
        staged, edit = folder / "staged.mp4", Edit(plate=target, references=["ab" * 32])

        def finish() -> None:
            staged.write_bytes((folder / "out.mp4").read_bytes())
            known = dataclasses.replace(edit, plate_hash=plate_hash(target))
            sizes.append(sign_staged(staged, folder / "signed.mp4", known).size)

        sizes: list[int] = []
        finished = measure(finish, runs=5)
        large = padded(target, folder / "large.mp4", LARGE)
        amount = large.stat().st_size / 1e6
        signing: list[float] = []
        for _ in range(3):
            padded(target, large, LARGE)
            start = time.perf_counter()
            sign_staged(large, large, edit)
            signing.append(time.perf_counter() - start)
        reading = measure(lambda: verify(large, mark="no"), units=amount, runs=3)
        share = 100 * (labelled.median + finished.median) / whole.median
        nothing = Timing(seconds=bare, units=FRAMES)
        publish(
            "provenance",
            {
                "render with nothing of it, a frame": nothing,
                "render, a frame": whole,
                "the whole chain, per cent of the render": 100 * (1 - nothing.median / whole.median),
                "label, a frame": labelled,
                "mark, a frame": marked,
                "audit, hash and signature, a file": finished,
                "label and signature, per cent of the render": share,
                "mark, per cent of the render": 100 * marked.median / whole.median,
                "signing, MB": Timing(seconds=tuple(signing), units=amount),
                "verifying, MB": reading,
                "manifest, bytes": float(max(sizes)),
            },
            {"size": f"{frames[0].width} x {frames[0].height}", "frames": FRAMES, "large file, MB": amount},
        )


if __name__ == "__main__":
    main()
