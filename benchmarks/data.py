"""The data side of training: faces loaded, read in random order from memory and from a file; batches.

Every store is measured in a process of its own, because memory that was once taken is not given back. Faces
are those of a model of 256 pixels: 400 x 400 pixels of five bytes, 0.8 MB each. A hundred thousand of them
are 80 GB; the file of the last condition is as long, and holes after the first few thousand faces stand for
disk that most machines do not have to spare: it says what memory and the order of reading cost, not the disk.
Beside the wall clock stands the processor's time, of which a busy machine takes nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

RESOLUTION = 256
REAL, MANY = 4000, 100_000
BATCH, READS = 8, 150
CROPS, STEPS = 200, 20
SAID = {
    "memory": "in memory",
    "warm": "in a file",
    "cold": "in a file, from the disk",
    "many": "in a file of 100 000",
}


def row_bytes() -> int:
    """Bytes of a stored face."""
    from understudy.training.store import bytes_of

    return bytes_of(1, RESOLUTION)


def write_rows(file: Path, count: int) -> None:
    """``REAL`` random faces, and holes for the rest."""
    random = np.random.default_rng(0)
    block = random.integers(0, 256, 64 * row_bytes(), np.uint8).tobytes()
    with file.open("wb") as out:
        for _ in range(REAL // 64):
            out.write(block)
    os.truncate(file, count * row_bytes())


def resident() -> float:
    """Resident memory now, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def forget(file: Path) -> None:
    """Let the system drop what it keeps of a file, so that the disk is read."""
    with file.open("rb") as data:
        os.fsync(data.fileno())
        os.posix_fadvise(data.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def child(kind: str, file: Path) -> None:
    """Read batches of faces in random order and print what it took."""
    import torch

    from understudy.training.augment import store_side
    from understudy.training.sampling import faces_of_step
    from understudy.training.store import FaceStore, RowFile

    torch.set_num_threads(1)
    count = MANY if kind == "many" else REAL // 64 * 64
    side = store_side(RESOLUTION)
    shape = (count, 5, side, side)
    before = resident()
    if kind == "memory":
        store = FaceStore(np.fromfile(file, np.uint8, int(np.prod(shape))).reshape(shape))
    else:
        store = FaceStore(RowFile(file, shape))
    faces_of_step(0, 0, 0, count, BATCH)
    seconds: list[float] = []
    for step in range(READS):
        if kind == "cold" and step % 10 == 0:
            forget(file)
        started = time.perf_counter()
        store.rows(faces_of_step(0, 0, step, count, BATCH), torch.device("cpu"))
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": seconds, "memory": resident() - before}))


def make_set(folder: Path) -> None:
    """A face set of noise with the mesh at rest: what loading costs does not depend on what is seen."""
    from understudy.contracts import Face
    from understudy.faces.writing import FaceSetWriter
    from understudy.image.geometry import align
    from understudy.performers.topology import rest_points

    rest = np.array(rest_points(), np.float64)
    mesh = np.concatenate([rest, np.repeat(rest[[33, 263]], 5, 0)]) * 20 + (320, 240, 0)
    points = mesh.astype(np.float32)
    alignment = align(points, "whole")
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (40, 40, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with FaceSetWriter(folder, {"mode": "whole", "size": 320, "picture": "jpg"}) as writer:
        writer.begin("a.mp4", "none")
        for frame in range(CROPS):
            face = Face(
                frame=frame, time=frame / 25, index=0, track=0, box=np.zeros(4), presence=1.0,
                points=points, alignment=alignment,
            )  # fmt: skip
            writer.add(face, noise)
        writer.read_to(CROPS, complete=True)
        writer.write_persons({0: 0})


def processor(work: Callable[[], object], units: int) -> float:
    """Milliseconds of the processor for a unit of work, all threads together."""
    started = time.process_time()
    work()
    return round(1000 * (time.process_time() - started) / units, 2)


def loading(folder: Path) -> dict[str, Any]:
    """Faces a second from crops on disk to a store in memory."""
    from common import measure
    from understudy.faces.faceset import FaceSet
    from understudy.models import MODELS
    from understudy.pipelines.runs import faces as training_faces
    from understudy.training.process import cores
    from understudy.training.store import FaceStore

    make_set(folder)
    faces = FaceSet.open(folder)
    records = faces.for_training()
    model = MODELS["df"](resolution=RESOLUTION)
    out: dict[str, Any] = {}
    for threads in sorted({1, cores()}):
        training_faces._READERS = threads

        def work() -> None:
            framed = training_faces._framed(faces, records, model, training_faces.store_side(RESOLUTION))
            FaceStore.collect(framed, len(records), RESOLUTION)

        out[f"load, {threads} threads"] = measure(work, units=len(records), runs=3)
        out[f"load, {threads} threads: processor, ms"] = processor(work, len(records))
    return out


def batches() -> dict[str, Any]:
    """Batches of both persons, in memory, as the step asks for them."""
    import torch

    from common import measure
    from understudy.color_transfers import COLOR_TRANSFERS
    from understudy.training.augment import Augmentation
    from understudy.training.batches import SwapFeed, random_store

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stores = random_store(200, RESOLUTION, 1), random_store(200, RESOLUTION, 2)
    everything = Augmentation(hsv=0.05, blur_outside=0.0078)
    conditions: dict[str, dict[str, Any]] = {
        "plain": {},
        "poses in balance": {"sampling": "pose"},
        "colours of the target": {"transfer": COLOR_TRANSFERS["reinhard"]()},
        "all of it": {
            "sampling": "pose",
            "transfer": COLOR_TRANSFERS["reinhard"](),
            "augmentation": everything,
        },
    }
    out: dict[str, Any] = {}
    for name, changes in conditions.items():
        settings = {"augmentation": Augmentation(), **changes}
        feed = SwapFeed(
            *stores,
            batch=BATCH,
            resolution=RESOLUTION,
            output_resolution=RESOLUTION,
            device=device,
            seed=0,
            ahead=False,
            **settings,
        )
        steps = itertools.count()

        def work(feed: SwapFeed = feed, steps: Iterator[int] = steps) -> None:
            feed.batch(next(steps))

        title = f"batch of {BATCH} + {BATCH}, {name}"
        out[title] = measure(work)
        out[f"{title}: processor, ms"] = processor(work, 1)
    return out


def waiting() -> dict[str, Any]:
    """On a GPU: how much of a step of some matrix products is spent waiting for the batch."""
    import torch

    from common import measure

    if not torch.cuda.is_available():
        return {"device waits": "no GPU here"}
    from understudy.training.augment import Augmentation
    from understudy.training.batches import SwapFeed, random_store

    device = torch.device("cuda")
    wide = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    stores = random_store(400, RESOLUTION, 1), random_store(400, RESOLUTION, 2)
    products = 8
    out: dict[str, Any] = {}

    def step() -> None:
        for _ in range(products):
            torch.mm(wide, wide)

    def alone() -> None:
        for _ in range(STEPS):
            step()

    out["device: step alone"] = bare = measure(alone, units=STEPS)
    for where in ("on the device", "on the host"):
        for ahead in (False, True):
            feed = SwapFeed(
                *stores,
                batch=BATCH,
                resolution=RESOLUTION,
                output_resolution=RESOLUTION,
                augmentation=Augmentation(),
                device=device,
                seed=0,
                ahead=ahead,
            )
            steps = itertools.count()
            for store in stores:
                store._resident = torch.empty(0) if where == "on the host" else None

            def both(feed: SwapFeed = feed, steps: Iterator[int] = steps) -> None:
                for _ in range(STEPS):
                    feed.batch(next(steps))
                    step()

            name = f"device: faces {where}, {'ahead' if ahead else 'when asked for'}"
            out[name] = timing = measure(both, units=STEPS)
            out[f"{name}: share waited"] = round(1 - bare.median / timing.median, 4)
            feed.close()
    return out


def main() -> None:
    """Measure and publish."""
    from common import Timing, publish

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < 2 * REAL * row_bytes():
            raise SystemExit(
                f"{folder}: {2 * REAL * row_bytes() / 1e9:.0f} GB are needed; name another folder"
            )
        figures |= loading(folder / "faces")
        for kind, count in (("memory", REAL), ("warm", REAL), ("cold", REAL), ("many", MANY)):
            file = folder / "rows.bin"
            write_rows(file, count)
            if kind == "warm":
                with file.open("rb") as data:
                    while data.read(1 << 24):
                        pass
            done = subprocess.run(
                [sys.executable, __file__, "child", kind, str(file)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            got = json.loads(done.stdout.splitlines()[-1])
            figures[f"faces {SAID[kind]}"] = Timing(seconds=tuple(got["seconds"]), units=BATCH)
            figures[f"faces {SAID[kind]}: memory, MiB"] = round(got["memory"], 1)
    figures |= batches()
    figures |= waiting()
    publish(
        "data",
        figures,
        {
            "resolution": RESOLUTION,
            "bytes of a face": row_bytes(),
            "faces on the disk": REAL,
            "faces of the long file, the rest holes": MANY,
            "faces read at once": BATCH,
            "crops loaded": f"{CROPS} of 320 pixels, JPEG",
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
