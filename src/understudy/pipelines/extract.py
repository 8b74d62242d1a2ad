"""Extraction: footage to a face set.

Faces are found, followed, smoothed, aligned, cropped once, described and grouped by person.
A file is decoded once. Detection sees a reduced copy of each frame; crops are read from the frame itself.
A call that was interrupted goes on after the last frame that is in the face set.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32

from understudy import config, durable
from understudy.contracts import CropMode, Face, Frame
from understudy.detectors import DETECTORS, DetectorSettings
from understudy.embedders import EMBEDDERS, EmbedderSettings
from understudy.errors import ConfigError, NoFaceError
from understudy.events import Event, Progress, StageDone, StageStarted
from understudy.faces.faceset import FaceSet
from understudy.faces.metadata import PictureFormat
from understudy.faces.persons import group_tracks
from understudy.faces.ranking import sharpness
from understudy.faces.smoothing import SmoothingSettings, smooth
from understudy.faces.tracks import Seen, Tracker, TrackSettings, faces_of, fill_gaps
from understudy.faces.writing import FaceSetWriter
from understudy.image.color import frame_to_rgb8
from understudy.image.draw import hull_mask
from understudy.image.warp import crop_frame
from understudy.landmarkers import LANDMARKERS, LandmarkerSettings
from understudy.pipelines.footage import FootageSettings, open_footage
from understudy.pipelines.likeness import after_extraction
from understudy.pipelines.setup import Finders, build_finders, fetch_weights, make_context, one_thread
from understudy.provenance.labels import fingerprint
from understudy.stream import read_ahead
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader

STAGE = "extract"
IDENTITIES = 16
"""Faces of a track that are described at most; their vectors are averaged."""
IDENTITY_EVERY = 6
"""Every so manyth found face of a track is described, beginning with the first."""
LARGEST_CROP = 4096
"""Side of the largest crops, pixels: more than a face has in 8K footage."""
GROUP = 32
"""Frames after which the face set is brought up to date."""


@dataclass(frozen=True, kw_only=True)
class ExtractSettings:
    """How faces are found and kept."""

    detector: DetectorSettings = config.slot(DETECTORS, "blazeface")
    """What finds faces."""
    landmarker: LandmarkerSettings = config.slot(LANDMARKERS, "facemesh")
    """What finds their landmarks."""
    embedder: EmbedderSettings = config.slot(EMBEDDERS, "dlib")
    """What describes who they are."""
    track: TrackSettings = field(default_factory=TrackSettings)
    """How faces are followed from frame to frame."""
    smooth: SmoothingSettings = field(default_factory=SmoothingSettings)
    """How landmarks are smoothed over time; smooth.reach 0 switches it off."""
    mode: CropMode = "whole"
    """How much of the head the kept crops show; models take their part of it."""
    size: int = 320
    """Side of the kept crops, pixels."""
    picture: PictureFormat = "jpg"
    """Format of the crops: jpg (quality 95, full chroma) is quick; png and webp lose nothing."""
    search_side: int = 1280
    """Longest side of the reduced frame in which faces are searched, pixels."""
    device: str = "cpu"
    """Where the network that describes faces runs."""
    footage: FootageSettings = field(default_factory=FootageSettings)
    """How linear light is shown, what to do about missing and interlaced pictures."""

    def __post_init__(self) -> None:
        if not 32 <= self.size <= LARGEST_CROP:
            raise ConfigError(f"size: wanted 32 to {LARGEST_CROP} pixels, got {self.size}")
        if self.search_side < 64:
            raise ConfigError(f"search_side: wanted 64 pixels or more, got {self.search_side}")


def extract(
    inputs: tuple[Path, ...], output: Path, settings: ExtractSettings, *, say_consent: bool = True
) -> Iterator[Event]:
    """Makes or continues a face set.

    Args:
        inputs: videos, pictures or folders of pictures.
        output: folder of the face set.
        settings: how.
        say_consent: say so if the face set has no consent record; False where the next stage says it.

    Raises:
        NoFaceError: no face in any of the inputs.
        VideoError: an input cannot be read.
        FaceSetError: the folder holds something else, or a face set that was made with other settings.
    """
    one_thread()
    yield from fetch_weights((settings.detector, settings.landmarker, settings.embedder))
    twice = [name for name, count in Counter(path.name for path in inputs).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two inputs are named {twice[0]!r}; rename one, a face set tells footage by its name"
        )
    readers = [open_footage(path, settings.footage) for path in inputs]
    total = sum(reader.info.frames for reader in readers)
    context = make_context(settings.device)
    finders = build_finders(settings.detector, settings.landmarker, settings.embedder, context)
    names = ", ".join(path.name for path in inputs)
    yield StageStarted(stage=STAGE, detail=f"{names} to {output.name}", total=total)
    about = {
        "mode": settings.mode,
        "size": settings.size,
        "picture": settings.picture,
        "finding": _finding(settings),
    }
    work = _Work(FaceSetWriter(output, about), finders, settings, context.device, total)
    with durable.sole_writer(output):
        for path, reader in zip(inputs, readers, strict=True):
            with reader:
                yield from work.read(path, reader)
            if reader.damage is not None:
                yield reader.damage
        _group(work, output, names)
        same = finders.embedder.same_person
        yield from after_extraction(
            output, inputs, lambda path: describe_picture(path, finders), same, say=say_consent
        )
    yield StageDone(stage=STAGE, summary={**_summary(FaceSet.open(output)), "output": str(output)})


def _group(work: _Work, output: Path, names: str) -> None:
    """Tell the face set's persons apart.

    Raises:
        NoFaceError: there is no face.
    """
    settings = work.settings
    faces = FaceSet.open(output)
    if not faces.records:
        raise NoFaceError(
            f"no face was found in {names}; is one visible, lit, and larger than "
            f"{settings.track.smallest:.0f} pixels? A larger --search-side finds smaller ones"
        )
    sizes = Counter(record.track for record in faces.records)
    work.writer.write_persons(group_tracks(faces.identities, sizes, work.finders.embedder.same_person))


def _finding(settings: ExtractSettings) -> str:
    """A short name for how faces are found, so that one face set is not found in two ways."""
    plain = config.dump(settings)
    kept = {
        key: plain[key] for key in ("detector", "landmarker", "embedder", "track", "smooth", "search_side")
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


class _Work:
    """Reads files into a face set and counts."""

    def __init__(
        self,
        writer: FaceSetWriter,
        finders: Finders,
        settings: ExtractSettings,
        device: torch.device,
        total: int,
    ) -> None:
        self.writer, self.finders, self.settings, self.device = writer, finders, settings, device
        self.total, self.done = total, 0
        self.started = self.shown = time.monotonic()
        self.fresh = 0

    def read(self, path: Path, reader: VideoReader | StillsReader) -> Iterator[Event]:
        """The faces of one file, from where an earlier call stopped."""
        start = self.writer.begin(path.name, fingerprint((path,)))
        if start < 0:
            self.done += reader.info.frames
            return
        self.done += start
        facts = declared(reader.info.metadata)
        described: Counter[int] = Counter()
        last = start
        stream = read_ahead(self._faces(reader, start), 2 * GROUP)
        with contextlib.closing(stream):
            for group in _grouped(stream, GROUP):
                found = [pair for _, pairs in group for pair in pairs]
                identities = self._describe(found, described)
                for cut, identity in zip(found, identities, strict=True):
                    self.writer.add(cut.face, cut.picture, identity)
                last = group[-1][0] + 1
                self.writer.read_to(last, **facts)
                yield from self._tick(len(group))
        self.writer.read_to(last, complete=True, **facts)

    def _faces(self, reader: VideoReader | StillsReader, start: int) -> Iterator[tuple[int, list[_Cut]]]:
        """Number of each frame with the faces in it, cut out."""
        settings = self.settings
        tracker = Tracker(self.finders.detector, self.finders.landmarker, settings.track)

        def look(frame: Frame) -> Seen[Frame]:
            picture = frame_to_rgb8(frame, settings.search_side)
            return tracker(picture, frame, scale=picture.shape[1] / frame.width)

        before = max(0, start - settings.smooth.reach - settings.track.gap)
        frames = read_ahead(reader.frames(before), 8)
        with contextlib.closing(frames):
            seen = fill_gaps((look(frame) for frame in frames), settings.track.gap)
            found: Counter[int] = Counter()
            for item in smooth(seen, settings.smooth):
                frame = item.item
                if frame.index < start:  # only there to bring tracks and smoothing under way
                    continue
                faces = faces_of(item, frame=frame.index, time=frame.time, mode=settings.mode)
                cuts: list[_Cut] = []
                for face in faces:
                    cuts.append(
                        self._cut(frame, face, face.found and found[face.track] % IDENTITY_EVERY == 0)
                    )
                    found[face.track] += face.found
                yield frame.index, cuts

    def _cut(self, frame: Frame, face: Face, describe: bool) -> _Cut:
        settings, embedder = self.settings, self.finders.embedder
        matrix = face.alignment.crop_matrix(settings.size)
        picture = _to_uint8(crop_frame(frame, matrix, settings.size))
        hull = hull_mask(face.points, matrix, settings.size)
        chip = None
        if describe:
            chip = crop_frame(frame, embedder.crop_matrix(face.points), embedder.side)
        return _Cut(replace(face, sharpness=sharpness(picture, hull)), picture, chip)

    def _describe(self, cuts: list[_Cut], described: Counter[int]) -> list[np.ndarray | None]:
        """Identity vectors of the faces that have a chip, until their track has enough."""
        out: list[np.ndarray | None] = [None] * len(cuts)
        chosen: list[int] = []
        for place, cut in enumerate(cuts):
            if cut.chip is not None and described[cut.face.track] < IDENTITIES:
                described[cut.face.track] += 1
                chosen.append(place)
        if chosen:
            chips = np.stack([chip for place in chosen if (chip := cuts[place].chip) is not None])
            with torch.inference_mode():
                vectors = self.finders.embedder(torch.from_numpy(chips).to(self.device)).cpu().numpy()
            for place, vector in zip(chosen, vectors, strict=True):
                out[place] = vector
        return out

    def _tick(self, frames: int) -> Iterator[Event]:
        self.done += frames
        self.fresh += frames
        rate = self.fresh / max(1e-6, time.monotonic() - self.started)
        left = max(0.0, (self.total - self.done) / rate)
        yield Progress(stage=STAGE, done=self.done, total=self.total, seconds_left=left, values={"fps": rate})


@dataclass(frozen=True, eq=False)
class _Cut:
    face: Face
    picture: np.ndarray
    chip: np.ndarray | None
    """What the embedder wants to see; None for a face that is not described."""


def _to_uint8(crop: np.ndarray) -> np.ndarray:
    """RGB float (3, s, s) as uint8 (s, s, 3)."""
    return np.ascontiguousarray(cv2.convertScaleAbs(crop.transpose(1, 2, 0).clip(0, 1), alpha=255.0))


def _grouped(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while group := list(itertools.islice(items, size)):
        yield group


def declared(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What footage says about itself that a face set must know: the seed of a performer."""
    words = " ".join(metadata.values())
    seeds = [int(seed) for seed in re.findall(r"understudy performer seed=(\d+)", words)]
    return {"performers": seeds} if seeds else {}


def _summary(faces: FaceSet) -> dict[str, Any]:
    frames = sum(line["frames"] for line in faces.sources.values())
    found = {(record.source, record.frame) for record in faces.records if record.data["found"]}
    held = sum(not record.data["found"] for record in faces.records)
    return {
        "frames": frames,
        "frames_with_a_face": len(found),
        "faces": len(faces.records),
        "interpolated": held,
        "persons": len(faces.persons()),
    }


def describe_picture(path: Path, finders: Finders) -> Float32[np.ndarray, "d"]:
    """Identity vector of the largest face in a picture or at the start of a video.

    Raises:
        NoFaceError: no face is found in it.
    """
    with open_footage(path) as reader:
        for frame in reader.frames(0, 50):
            seen = Tracker(finders.detector, finders.landmarker)(frame_to_rgb8(frame), frame)
            if seen.faces:
                largest = max(seen.faces, key=lambda face: float(np.ptp(face.points[:, 1])))
                embedder = finders.embedder
                chip = crop_frame(frame, embedder.crop_matrix(largest.points), embedder.side)
                with torch.inference_mode():
                    return embedder(torch.from_numpy(chip)[None]).cpu().numpy()[0]
    raise NoFaceError(
        f"{path}: no face was found in it; give a picture in which the face is large and looks ahead"
    )
