"""Provenance: what label, mark, audit line, hash and signature cost beside a render at 1080p; large files.

The render is the real one (``pipelines.merging``) with a small swapper, so that the share is the largest that
a user sees. It is made with everything and with nothing of it, by turns, each pair begun by the other one;
the share is the median of the pairs', by the wall clock and by the processor time of all threads, which
neighbours on the machine disturb less. The plate moves and has grain, as that of ``merge.py``. Label and mark
are also timed alone, on the plate's own frames. What the encoder has to do for the mark is timed in one
thread, on frames with that grain, with a third of it and without any; the plate's colours move as under a
panning camera, which the mark follows. Large files are a short video with a box of random bytes behind it, as
large as a master; reading it back counts the hash too. The disk's cache is warm.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import merge as footage
from common import ROOT, Timing, measure, publish
from understudy.contracts import Frame
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
PAIRS = 6
"""Renders with everything and with nothing of it."""
GRAINS = {"with grain": footage.GRAIN, "with little grain": footage.GRAIN / 3, "without grain": 0.0}
ENCODED = 48
"""Frames that are encoded with each grain."""

Figures = dict[str, Timing | float | str]


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


def plates(count: int, grain: float = footage.GRAIN) -> list[Frame]:
    """Frames of the plate."""
    footage.grain.cache_clear()
    with patch.object(footage, "GRAIN", grain):
        out = [footage.plate(index, WIDTH, HEIGHT) for index in range(count)]
    footage.grain.cache_clear()
    return out


def write(path: Path, frames: Sequence[Frame], encoding: Encoding) -> None:
    """A video of these frames."""
    with open_writer(path, encoding=encoding) as writer:
        for frame in frames:
            writer.write(frame)


def renders(folder: Path, target: Path) -> Figures:
    """With everything and with nothing of it."""
    folder.mkdir(exist_ok=True)
    from merge_footage import make_faces, make_swapper

    def place(index: int) -> list[tuple[float, float, float]]:
        return [(900 + 40 * np.sin(index / 7), 520.0, 3.0)]

    faces = make_faces(folder / "faces", target, FRAMES, place)
    swapper = make_swapper(folder)

    def render(rights: type[MergeRights]) -> tuple[float, float]:
        (folder / "out.mp4").unlink(missing_ok=True)
        begin, work = time.perf_counter(), time.process_time()
        with patch("understudy.pipelines.merging.merge.MergeRights", rights):
            for _ in merge(swapper, target, faces, folder / "out.mp4", MergeSettings()):
                pass
        return time.perf_counter() - begin, time.process_time() - work

    render(Nothing)
    render(MergeRights)
    bare: list[tuple[float, float]] = []
    full: list[tuple[float, float]] = []
    for pair in range(PAIRS):
        turns = ((Nothing, bare), (MergeRights, full))
        for rights, times in turns[:: -1 if pair % 2 else 1]:
            times.append(render(rights))
    out: Figures = {}
    for clock, name in enumerate(("", ", processor")):
        one, other = (tuple(times[clock] for times in each) for each in (bare, full))
        out[f"render with nothing of it, a frame{name}"] = Timing(seconds=one, units=FRAMES)
        out[f"render, a frame{name}"] = Timing(seconds=other, units=FRAMES)
        shares = [100 * (b / a - 1) for a, b in zip(one, other, strict=True)]
        out[f"the whole chain, per cent more than nothing of it{name}"] = statistics.median(shares)
    return out


def encoding(folder: Path) -> Figures:
    """What the encoder has to do for the mark, in one thread."""
    out: Figures = {}
    how = Encoding(threads=1)
    for name, grain in GRAINS.items():
        frames = plates(ENCODED, grain)
        mark = MarkStation(7)
        kinds = {"plain": frames, "marked": [mark(each) for each in frames]}
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        sizes: dict[str, int] = {}
        for _ in range(3):
            for kind, each in kinds.items():
                begin = time.process_time()
                write(folder / "encoded.mp4", each, how)
                seconds[kind].append(time.process_time() - begin)
                sizes[kind] = (folder / "encoded.mp4").stat().st_size
        for kind in kinds:
            out[f"encoding {kind} frames {name}, processor"] = Timing(
                seconds=tuple(seconds[kind]), units=ENCODED
            )
        more = [b / a - 1 for a, b in zip(seconds["plain"], seconds["marked"], strict=True)]
        out[f"encoding marked frames {name}, per cent more time"] = 100 * statistics.median(more)
        out[f"encoding marked frames {name}, per cent more bytes"] = 100 * (
            sizes["marked"] / sizes["plain"] - 1
        )
    return out


def stations(frames: Sequence[Frame]) -> Figures:
    """Label and mark alone."""
    label = LabelStation(("eu-modified-always",), frames[0].width, frames[0].height, 25.0, {})
    mark = MarkStation(7)
    return {
        "label, a frame": measure(lambda: [label(each) for each in frames], units=len(frames), runs=5),
        "mark, a frame": measure(lambda: [mark(each) for each in frames], units=len(frames), runs=5),
    }


def signatures(folder: Path, target: Path, result: Path) -> Figures:
    """Audit, hash and signature, of a result and of a large file."""
    staged, edit = folder / "staged.mp4", Edit(plate=target, references=["ab" * 32])
    sizes: list[int] = []
    finishing: list[float] = []
    for _ in range(6):
        staged.write_bytes(result.read_bytes())
        begin = time.perf_counter()
        known = dataclasses.replace(edit, plate_hash=plate_hash(target))
        sizes.append(sign_staged(staged, folder / "signed.mp4", known).size)
        finishing.append(time.perf_counter() - begin)
    large = padded(target, folder / "large.mp4", LARGE)
    amount = large.stat().st_size / 1e6
    signing: list[float] = []
    for _ in range(3):
        padded(target, large, LARGE)
        start = time.perf_counter()
        sign_staged(large, large, edit)
        signing.append(time.perf_counter() - start)
    return {
        "audit, hash and signature, a file": Timing(seconds=tuple(finishing[1:]), units=1.0),
        "signing, MB": Timing(seconds=tuple(signing), units=amount),
        "verifying, MB": measure(lambda: verify(large, mark="no"), units=amount, runs=3),
        "manifest, bytes": float(max(sizes)),
        "large file, MB": amount,
    }


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


def _share(figures: Figures, name: str) -> float:
    """Per cent of a render that a part of the chain takes by itself."""
    whole = figures["render, a frame"]
    part = figures.get(f"{name}, a frame") or figures[f"{name}, a file"]
    assert isinstance(whole, Timing)
    assert isinstance(part, Timing)
    frames = part.units if f"{name}, a frame" in figures else FRAMES
    return 100 * (part.median / frames) / (whole.median / whole.units)


def main() -> None:
    """Measure and publish."""
    keep_pages()  # as the command does
    sys.path.insert(0, str(ROOT / "tests"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["UNDERSTUDY_HOME"] = str(folder / "home")
        target, frames = folder / "plate.mp4", plates(FRAMES)
        write(target, frames, Encoding(preset="ultrafast", quality=20.0))
        figures = renders(folder, target)
        figures |= stations(frames)
        figures |= signatures(folder, target, folder / "out.mp4")
        for name in ("label", "mark", "audit, hash and signature"):
            figures[f"{name}, per cent of the render"] = _share(figures, name)
        for name, grain in list(GRAINS.items())[1:]:
            write(target, plates(FRAMES, grain), Encoding(preset="ultrafast", quality=20.0))
            figures |= {f"{name}: {what}": each for what, each in renders(folder / name, target).items()}
        figures |= encoding(folder)
    publish("provenance", figures, {"size": f"{WIDTH} x {HEIGHT}", "frames": FRAMES})


if __name__ == "__main__":
    main()
