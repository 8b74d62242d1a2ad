"""The invisible mark: what it survives, costs and looks like, and how often it is seen where none is.

    python benchmarks/watermark.py [--part survival | false-positives | rivals]

Drawn performers, and photographs that come with scikit-image, over which a camera with grain pans. Every
method marks the same frames and goes the same ways: RGB in 8 bits between marking, attack and reading. Bits
are the 64 of the frame (of the rivals, 64 random ones), read after adding up over the frames; the reader is
told nothing of them. The rivals, ``invisible-watermark`` (dwtDct, dwtDctSvd) and ``blind-watermark``, run
in a virtual environment of their own that this script makes; their votes are counted over the frames. They
get 4 frames of one performer, as they take up to seconds each. Every part has results of its own.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data
import torch

from common import Timing, measure, publish
from understudy.contracts import ColorTags, Frame
from understudy.image.masking import FINE, small_luma
from understudy.image.spread_spectrum import SIDE, Spread, features
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Scene
from understudy.pipelines.setup import one_thread
from understudy.provenance.codeword import SYMBOLS, bits_of, symbols_of, sync_symbols
from understudy.provenance.mark import FOUND
from understudy.provenance.marker import tail
from understudy.provenance.spread import SpreadGatherer, SpreadMarker, compare, read_pooled
from understudy.training.process import keep_pages
from understudy.video.layout import layout_of

FRAMES, RIVAL_FRAMES = 32, 4
NUMBER, KEY = 0xCAFE1234, b"benchmark" * 4
PHOTOGRAPHS = {"astronaut": (480, 480), "coffee": (560, 360), "rocket": (600, 400), "chelsea": (416, 280)}
"""Width and height of the part that is seen."""
GRAIN = 0.008
"""Standard deviation, of the range."""
PERFORMERS = ((1, (512, 512)), (7, (640, 360)), (13, (1920, 1080)))
CROPS = {
    "crop 90 %": (0.05, 0.05, 0.95, 0.95),
    "crop 80 %, off centre": (0.15, 0.02, 0.95, 0.82),
    "crop 70 %, a corner": (0.0, 0.3, 0.7, 1.0),
    "crop 16:9 to 5:4": (0.15, 0.0, 0.85, 1.0),
}
UNMARKED, KEYS = 10_000, 1_000
Pictures = list[np.ndarray]
Figures = dict[str, Timing | float | str]


# ------------------------------------------------------------------------------------------------ material


def performers(seed: int, size: tuple[int, int], count: int = FRAMES) -> list[Frame]:
    """A drawn person, 4:2:0."""
    who, motion, scene = Performer.from_seed(seed), Motion.from_seed(seed), Scene.from_seed(seed)
    pictures = [render(who, motion.state(index / 25), scene, size).image for index in range(count)]
    return [yuv_frame(picture, index) for index, picture in enumerate(pictures)]


def photographs() -> dict[str, list[Frame]]:
    """Photographs in the public domain as a panning camera with grain sees them, 4:2:0."""
    out: dict[str, list[Frame]] = {}
    for name, (width, height) in PHOTOGRAPHS.items():
        picture = getattr(skimage.data, name)().astype(np.float32) / 255.0
        random = np.random.default_rng(len(name))
        frames: list[Frame] = []
        for index in range(FRAMES):
            top, left = _way(index)
            part = picture[top : top + height, left : left + width]
            noise = GRAIN * random.standard_normal((height, width, 1)).astype(np.float32)
            frames.append(yuv_frame(np.rint(255.0 * (part + noise).clip(0, 1)).astype(np.uint8), index))
        out[f"{name}, {width} x {height}"] = frames
    return out


def _way(index: int) -> tuple[int, int]:
    """How far down and right the camera is, pixels."""
    return index // 4, index // 2


def yuv_frame(rgb: np.ndarray, index: int = 0) -> Frame:
    """RGB as a decoder would give it."""
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    samples = picture.reformat(format="yuv420p", dst_colorspace=1).to_ndarray()
    height, width = rgb.shape[:2]
    planes = (
        samples[:height],
        samples[height : height * 5 // 4].reshape(height // 2, width // 2),
        samples[height * 5 // 4 :].reshape(height // 2, width // 2),
    )
    return Frame(
        index=index,
        pts=index,
        time_base=Fraction(1, 25),
        planes=planes,
        format=layout_of("yuv420p"),
        color=ColorTags(),
    )


def rgb_of(frame: Frame) -> np.ndarray:
    """What a viewer sees."""
    samples = np.concatenate([plane.reshape(-1) for plane in frame.planes])
    picture = av.VideoFrame.from_ndarray(
        samples.reshape(frame.height * 3 // 2, frame.width), format="yuv420p"
    )
    return picture.reformat(format="rgb24", src_colorspace=1).to_ndarray()


def rgb_frame(rgb: np.ndarray) -> Frame:
    """A decoded still."""
    color = ColorTags(matrix="rgb", full_range=True)
    return Frame(
        index=0,
        pts=0,
        time_base=Fraction(1, 25),
        planes=(np.ascontiguousarray(rgb),),
        format=layout_of("rgb24"),
        color=color,
    )


# ------------------------------------------------------------------------------------------------- attacks


def encode(pictures: Pictures, crf: int, codec: str = "libx264") -> Pictures:
    """Through a video encoder and back, medium preset."""
    file = io.BytesIO()
    height, width = (side - side % 2 for side in pictures[0].shape[:2])
    options = {"crf": str(crf), "preset": "medium"}
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            out.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), "rgb24")
                )
            )
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as back:
        return [picture.to_ndarray(format="rgb24") for picture in back.decode(video=0)]


def jpeg(pictures: Pictures) -> Pictures:
    """JPEG at quality 75."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 75]
    return [cv2.imdecode(cv2.imencode(".jpg", picture, options)[1], 1) for picture in pictures]


def half(pictures: Pictures) -> Pictures:
    """Half as wide and high."""
    size = (pictures[0].shape[1] // 4 * 2, pictures[0].shape[0] // 4 * 2)
    return [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]


def turned(pictures: Pictures) -> Pictures:
    """Turned by two degrees about the middle."""
    height, width = pictures[0].shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 2.0, 1.0)
    return [cv2.warpAffine(picture, matrix, (width, height)) for picture in pictures]


ATTACKS: dict[str, Callable[[Pictures], Pictures]] = {
    "none": lambda pictures: pictures,
    "JPEG 75": jpeg,
    "half size": half,
    "H.264 CRF 23": lambda pictures: encode(pictures, 23),
    "H.264 CRF 28": lambda pictures: encode(pictures, 28),
    "H.264 CRF 35": lambda pictures: encode(pictures, 35),
    "half size, H.264 CRF 28": lambda pictures: encode(half(pictures), 28),
    "H.265 CRF 28": lambda pictures: encode(pictures, 28, "libx265"),
    "turned by 2 degrees": turned,
}


def cropped(pictures: Pictures, part: Sequence[float]) -> Pictures:
    """A part, encoded at CRF 28."""
    height, width = pictures[0].shape[:2]
    x0, y0, x1, y1 = (
        round(value * side / 2) * 2 for value, side in zip(part, (width, height, width, height), strict=True)
    )
    return encode([picture[y0:y1, x0:x1] for picture in pictures], 28)


# ---------------------------------------------------------------------------------------------------- ours


def decibels(before: Pictures, after: Pictures) -> float:
    """PSNR of RGB in 8 bits, over all frames."""
    noise = [
        np.square(a.astype(np.float32) - b).mean(dtype=np.float64) for a, b in zip(after, before, strict=True)
    ]
    return float(10 * np.log10(255**2 / np.mean(noise)))


def flicker(before: Sequence[Frame], after: Sequence[Frame], pans: bool = False) -> float:
    """How much what was added changes from frame to frame, smoothed as the eye does: rms, luma in 219ths.

    Where the camera pans the eye goes along: it is what changes on the things that are seen.
    """
    added: list[np.ndarray] = []
    for index, (a, b) in enumerate(zip(before, after, strict=True)):
        top, left = _way(index) if pans else (0, 0)
        change = b.planes[0].astype(np.float32) - a.planes[0]
        seen = change[_way(FRAMES)[0] - top :, _way(FRAMES)[1] - left :] if pans else change
        seen = seen[: -top or None, : -left or None]
        added.append(cv2.resize(seen, (240, 240), interpolation=cv2.INTER_AREA))
    return float(np.sqrt(np.mean([np.square(b - a).mean() for a, b in itertools.pairwise(added)])))


def ours(name: str, frames: list[Frame], figures: Figures) -> None:
    """Marks one material and reads it after every attack."""
    marker = SpreadMarker(KEY)
    stamp = marker.begin(NUMBER)
    marked = [stamp(frame) for frame in frames]
    before, after = [rgb_of(frame) for frame in frames], [rgb_of(frame) for frame in marked]
    figures[f"{name}: PSNR, dB"] = decibels(before, after)
    figures[f"{name}: flicker, rms of 219"] = flicker(frames, marked, "performer" not in name)
    for attack, act in ATTACKS.items():
        pool = gather(marker, act(after))
        reading = pool.read()
        bits = 100.0 * bits_read(marker, pool)
        right = "number read" if reading.number == NUMBER else "number not read"
        expected = pool.read([NUMBER]).p_value
        figures[f"{name}: {attack}"] = (
            f"{bits:.1f} % of bits, {right}, p {reading.p_value:.0e}, {expected:.0e} where it is in the store"
        )
    for crop, part in CROPS.items():
        pool = gather(marker, cropped(after, part))
        start = time.process_time()
        reading = pool.search()
        seconds = time.process_time() - start
        off = max(abs(a - b) for a, b in zip(reading.region, part, strict=True))
        right = f"found, {100 * off:.1f} % off" if reading.number == NUMBER else "not found"
        figures[f"{name}: {crop}, H.264 CRF 28"] = f"{right}, p {reading.p_value:.0e}, {seconds:.1f} s"


def gather(marker: SpreadMarker, pictures: Pictures) -> SpreadGatherer:
    """Frames taken in."""
    pool = marker.gatherer()
    for picture in pictures:
        pool.add(rgb_frame(picture))
    return pool


def bits_read(marker: SpreadMarker, pool: SpreadGatherer) -> float:
    """Share of the 64 bits that is right where the reader itself would look."""
    likeliest = min(pool.pools(), key=lambda pooled: read_pooled(marker.spread, pooled).p_value)
    return compare(marker.spread, likeliest, NUMBER).bits


def times(frames: list[Frame], figures: Figures) -> None:
    """Of a 1080p frame, one thread: by the wall clock, and processor time beside it."""
    marker = SpreadMarker(KEY)
    stamp, pool = marker.begin(NUMBER), marker.gatherer()

    def mark_all() -> None:
        for frame in frames:
            stamp(frame)

    def read_all() -> None:
        for frame in frames:
            pool.add(frame)

    for name, work in (("mark", mark_all), ("read", read_all)):
        figures[f"{name} a 1080p frame"] = measure(work, units=len(frames))
        start = time.process_time()
        work()
        figures[f"{name} a 1080p frame, processor, ms"] = 1000 * (time.process_time() - start) / len(frames)


# ----------------------------------------------------------------------------------------- false positives


def views(pictures: Pictures, count: int) -> Iterable[np.ndarray]:
    """Parts of pictures, mirrored, brightened: squares of luma."""
    random = np.random.default_rng(0)
    for index in range(count):
        picture = pictures[index % len(pictures)]
        height, width = picture.shape
        share = random.uniform(0.5, 1.0)
        high, wide = int(height * share), int(width * share)
        top, left = random.integers(height - high + 1), random.integers(width - wide + 1)
        part = picture[top : top + high, left : left + wide]
        part = part[:, ::-1] if random.random() < 0.5 else part
        small = cv2.resize(np.ascontiguousarray(part), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        yield 219.0 * (small / 219.0).clip(0, 1) ** random.uniform(0.7, 1.4)


def false_positives(material: dict[str, list[Frame]], figures: Figures) -> None:
    """Unmarked pictures against random keys, by matrix products; a sample by the reader itself."""
    side = FINE * SIDE
    pictures = [small_luma(frame, side, side) for frames in material.values() for frame in frames[::4]]
    for seed in range(20, 32):
        pictures += [small_luma(frame, side, side) for frame in performers(seed, (256, 256), 4)]
    squares = np.stack(list(views(pictures, UNMARKED))).astype(np.float32)
    heard = torch.cat([features(torch.from_numpy(part)) for part in np.array_split(squares, 100)])
    spreads = [Spread(b"random key" + index.to_bytes(4, "big"), SYMBOLS) for index in range(KEYS)]
    every = torch.from_numpy(symbols_of(NUMBER).astype(np.float32))
    sync = torch.from_numpy(sync_symbols().astype(np.float32))
    whole = torch.stack([spread.signs * every[spread.places] for spread in spreads], 1)
    known = torch.stack([spread.signs * sync[spread.places] for spread in spreads], 1)
    number_scores = (heard @ whole) / heard.square().sum(1, keepdim=True).sqrt()
    sync_scores = (heard @ known) / (heard.square() @ known.abs()).sqrt()
    pairs = UNMARKED * KEYS
    limit = next(score for score in np.arange(3.0, 9.0, 0.01) if tail(score, 3.0) < FOUND)
    hits = int(((number_scores > limit) | (sync_scores > limit)).sum())
    figures["false positives: pairs of picture and key"] = float(pairs)
    figures["false positives: with p below 1e-6"] = float(hits)
    figures["false positives: rate"] = f"{hits / pairs:.1e}"
    for name, scores in (("an expected number", number_scores), ("the sync", sync_scores)):
        figures[f"false positives: {name}: largest score, deviation of scores"] = (
            f"{float(scores.max()):.2f}, {float(scores.std()):.4f}"
        )
    worst = [divmod(int(place), KEYS) for place in sync_scores.flatten().topk(300).indices]
    random = np.random.default_rng(1)
    chosen = worst + [(int(random.integers(UNMARKED)), int(random.integers(KEYS))) for _ in range(700)]
    values = [read_pooled(spreads[key], heard[picture]).p_value for picture, key in chosen]
    figures["false positives: smallest p of the reader in 1,000 pairs, 300 of them the worst"] = (
        f"{min(values):.1e}"
    )


# -------------------------------------------------------------------------------------------------- rivals


RIVAL = """
import json, sys, time, types
import cv2, numpy as np
for name in ("torch", "onnxruntime"):  # only a method that is not used here wants them
    sys.modules.setdefault(name, types.ModuleType(name))
from imwatermark import WatermarkDecoder, WatermarkEncoder
import blind_watermark
blind_watermark.bw_notes.close()
task, method, bits, source, target = sys.argv[1:]
bits = [int(bit) for bit in bits]
def mark(rgb):
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    if method == "blind-watermark":
        one = blind_watermark.WaterMark(password_img=1, password_wm=1)
        one.read_img(img=bgr)
        one.read_wm(np.array(bits, bool), mode="bit")
        return np.clip(np.asarray(one.embed()) + 0.5, 0, 255).astype(np.uint8)[..., ::-1]
    encoder = WatermarkEncoder()
    encoder.set_watermark("bits", bits)
    return encoder.encode(bgr, method)[..., ::-1]
def read(rgb):
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    if method == "blind-watermark":
        one = blind_watermark.WaterMark(password_img=1, password_wm=1)
        return np.asarray(one.extract(embed_img=bgr, wm_shape=len(bits), mode="bit"), float) - 0.5
    return np.asarray(WatermarkDecoder("bits", len(bits)).decode(bgr, method), float) - 0.5
start = time.process_time()
if task == "mark":
    frames = np.load(source)
    np.save(target, np.stack([mark(frame) for frame in frames]))
    print(json.dumps({"ms": 1000 * (time.process_time() - start) / len(frames)}))
else:
    out = {}
    with np.load(source) as packed:
        for name in packed.files:
            votes = np.sum([read(frame) for frame in packed[name]], 0)
            out[name] = float(np.mean((votes > 0) == np.array(bits, bool)))
    print(json.dumps(out))
"""


def rivals(figures: Figures) -> None:
    """The two packages on the same frames, each in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        python = home / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = [str(python), "-m", "pip", "install", "--quiet"]
        needs = ["numpy", "opencv-python-headless", "PyWavelets", "pillow"]
        packages = ["invisible-watermark==0.2.0", "blind-watermark==0.4.4"]
        for arguments in (needs, ["--no-deps", *packages]):
            done = subprocess.run([*install, *arguments], capture_output=True, text=True, check=False)
            if done.returncode:
                figures["rivals"] = "could not be installed"
                return
        (home / "rival.py").write_text(RIVAL, encoding="utf-8")
        frames = performers(*PERFORMERS[0], RIVAL_FRAMES)
        pictures = [rgb_of(frame) for frame in frames]
        marker = SpreadMarker(KEY)
        stamp = marker.begin(NUMBER)
        start = time.process_time()
        marked = [stamp(frame) for frame in frames]
        figures["ours: mark, processor, ms"] = 1000 * (time.process_time() - start) / len(frames)
        seen = [rgb_of(frame) for frame in marked]
        figures["ours: PSNR, dB"] = decibels(pictures, seen)
        for attack, act in ATTACKS.items():
            pool = gather(marker, act(seen))
            figures[f"ours: {attack}, % of bits"] = 100.0 * bits_read(marker, pool)
        for method in ("dwtDct", "dwtDctSvd", "blind-watermark"):
            _rival(python, method, pictures, method, figures)


def _rival(python: Path, method: str, pictures: Pictures, name: str, figures: Figures) -> None:
    home = python.parents[2]
    bits = "".join(map(str, bits_of(NUMBER)))

    def call(task: str, source: Path, target: Path) -> dict[str, float]:
        command = [str(python), str(home / "rival.py"), task, method, bits, str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return {}
        return json.loads(done.stdout.strip().splitlines()[-1])

    np.save(home / "plain.npy", np.stack(pictures))
    took = call("mark", home / "plain.npy", home / "marked.npy")
    if not took:
        figures[name] = "fails"
        return
    marked = list(np.load(home / "marked.npy"))
    figures[f"{name}: PSNR, dB"] = decibels(pictures, marked)
    figures[f"{name}: mark, processor, ms"] = took["ms"]
    np.savez(home / "attacked.npz", **{attack: np.stack(act(marked)) for attack, act in ATTACKS.items()})
    for attack, share in call("read", home / "attacked.npz", home / "none").items():
        figures[f"{name}: {attack}, % of bits"] = 100.0 * share


def survival(material: dict[str, list[Frame]], figures: Figures, conditions: dict[str, object]) -> None:
    """Times, and every material; figures are written as they come."""
    times(performers(*PERFORMERS[-1], 8), figures)
    for name, frames in material.items():
        ours(name, frames, figures)
        publish("watermark", figures, conditions)


def main() -> None:
    """Measures everything and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("survival", "false-positives", "rivals"))
    arguments = parser.parse_args()
    keep_pages()
    one_thread()
    cv2.setNumThreads(1)
    material = photographs()
    conditions: dict[str, object] = {"frames": FRAMES, "threads": 1, "grain of photographs": GRAIN}
    if arguments.part in (None, "false-positives"):
        figures: Figures = {}
        false_positives(material, figures)
        publish("watermark_false_positives", figures, {"pictures": UNMARKED, "keys": KEYS, **conditions})
    if arguments.part in (None, "rivals"):
        figures = {}
        rivals(figures)
        publish("watermark_rivals", figures, {**conditions, "frames": RIVAL_FRAMES, "size": "512 x 512"})
    if arguments.part in (None, "survival"):
        for seed, size in PERFORMERS:
            material[f"performer {seed}, {size[0]} x {size[1]}"] = performers(seed, size)
        survival(material, {}, conditions)


if __name__ == "__main__":
    main()
