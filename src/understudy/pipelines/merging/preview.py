"""A look before the render: a contact sheet, a strip of before and after, a grid of settings to choose from.

Only the frames that are shown are rendered, with the few round them that they depend on. The pictures say
that they are AI modified.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from understudy import config, durable
from understudy.contracts import Face, Frame
from understudy.errors import ConfigError, NoFaceError
from understudy.events import Event, Progress, Saved, StageDone, StageStarted
from understudy.faces.records import FaceRecord
from understudy.image.color import frame_to_rgb8
from understudy.image.warp import crop_frame
from understudy.pipelines.compositing.compositor import reach_of
from understudy.pipelines.compositing.settings import MODES, CompositeSettings
from understudy.pipelines.merging.faces import FaceMerge, FaceSettings, SwapStage
from understudy.pipelines.merging.render import Renderer, RenderOrder
from understudy.video.stills import encode_image

STAGE = "preview"
SHORT: Mapping[str, str] = {"color": "color_transfer", "mask": "mask.source"}
"""Short names of settings to try."""
PICTURES = 12
"""Frames on a contact sheet."""
ROWS = 4
"""Frames in a grid that tries one setting; one that tries several shows one frame."""
_WIDTH, _SIDE, _GAP, _LINE = 480, 288, 6, 24
"""Of a frame, of a face, between pictures, and of a line of text; pixels."""
_AROUND = 1.5
"""Side of what is shown of a face, in sides of its crop."""
_NOTE = "AI modified: a preview by understudy"

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Trial:
    """A setting and the values to compare."""

    name: str
    """As the person wrote it."""
    values: tuple[tuple[str, dict[str, Any]], ...]
    """Each as it was written, and the changes to ``CompositeSettings``."""


def parse_trial(text: str) -> Trial:
    """``color=reinhard,idt`` or ``mask.blur=0.02,0.06``; ``mode`` is a key of ``settings.MODES``.

    Raises:
        ConfigError: it is none, or a setting or a value that does not exist.
    """
    name, equals, values = text.partition("=")
    words = [word.strip() for word in values.split(",") if word.strip()]
    if not equals or not words:
        raise ConfigError(f"try: wanted a setting and its values, color=reinhard,idt, got {text!r}")
    out: list[tuple[str, dict[str, Any]]] = []
    for word in words:
        if name == "mode":
            if word not in MODES:
                raise ConfigError(f"try: mode: wanted one of {', '.join(MODES)}, got {word!r}")
            changes = dict(MODES[word])
        else:
            changes = _nested(SHORT.get(name, name), _value(word))
        try:
            config.merge(CompositeSettings(), changes)
        except ConfigError as error:
            raise ConfigError(f"try: {error}") from None
        out.append((word, changes))
    return Trial(name, tuple(out))


def preview(order: RenderOrder) -> Iterator[Event]:
    """Writes ``<output>.sheet.png``, frames of the render, and ``<output>.strip.png``, before and after.

    Raises:
        NoFaceError: no frame of the render has a face.
        OutputError: they cannot be written.
    """
    renderer = Renderer(order)
    chosen = _spread(renderer, PICTURES)
    yield StageStarted(stage=STAGE, detail=order.target.name, total=len(chosen))
    tiles: list[Picture] = []
    labels: list[str] = []
    before: list[Picture] = []
    after: list[Picture] = []
    for number, index in enumerate(chosen, 1):
        target, finished = _rendered(renderer, renderer.merge, index)
        tiles.append(frame_to_rgb8(finished, _WIDTH))
        labels.append(f"{index}   {target.time:.2f} s")
        face = _face(renderer.merge, index)
        before.append(_close(target, face))
        after.append(_close(finished, face))
        yield Progress(stage=STAGE, done=number, total=len(chosen))
    renderer.close()
    heading = f"{order.target.name}   {_NOTE}"
    columns = min(4, len(tiles))
    starts = range(0, len(tiles), columns)
    rows = [(labels[at : at + columns], tiles[at : at + columns]) for at in starts]
    paths = [_write(order.output, "sheet", _sheet(rows, heading))]
    strip = [
        ([f"{index} before" for index in chosen], before),
        ([f"{index} after" for index in chosen], after),
    ]
    paths.append(_write(order.output, "strip", _sheet(strip, heading)))
    yield from (Saved(path=path) for path in paths)
    yield StageDone(stage=STAGE, summary={"frames": len(chosen), "pictures": ", ".join(map(str, paths))})


def try_settings(order: RenderOrder, trials: Sequence[Trial]) -> Iterator[Event]:
    """Writes ``<output>.try.png``: a column for every value of the last setting, the target first.

    One setting is shown on several frames, a row each; of several, every combination is, on one frame.

    Raises:
        NoFaceError: no frame of the render has a face.
        OutputError: it cannot be written.
    """
    renderer = Renderer(order)
    *others, last = trials
    chosen = _spread(renderer, 1 if others else ROWS)
    combined = list(itertools.product(*(trial.values for trial in others)))
    yield StageStarted(
        stage=STAGE,
        detail=order.target.name,
        total=len(chosen) * len(combined) * len(last.values),
        unit="tries",
    )
    rows: list[tuple[list[str], list[Picture]]] = []
    done = 0
    for index in chosen:
        for combination in combined:
            names = [f"{trial.name} {word}" for trial, (word, _) in zip(others, combination, strict=True)]
            labels, pictures = [", ".join(names) or f"frame {index}"], list[Picture]()
            for word, changes in last.values:
                merge = _changed(renderer.merge, [*(change for _, change in combination), changes])
                target, finished = _rendered(renderer, merge, index)
                face = _face(merge, index)
                pictures += [_close(target, face)] * (not pictures) + [_close(finished, face)]
                labels.append(f"{last.name} {word}")
                done += 1
                yield Progress(stage=STAGE, done=done)
            rows.append((labels, pictures))
    renderer.close()
    path = _write(order.output, "try", _sheet(rows, f"{order.target.name}   {_NOTE}"))
    yield Saved(path=path)
    yield StageDone(stage=STAGE, summary={"pictures": str(path)})


class _Overridden:
    """Settings with changes on top, whatever a plan says; see ``faces.FaceSettings``."""

    def __init__(self, below: FaceSettings, changes: Sequence[Mapping[str, Any]]) -> None:
        self._below, self._changes = below, changes
        self._known: dict[CompositeSettings, CompositeSettings] = {}
        self.common = self._over(below.common)
        self.reach = max(below.reach, reach_of(self.common))
        self.persons = below.persons
        self.code = max(below.code, self.common.temporal.code)
        self.target_masks = below.target_masks or self.common.mask.asks_target

    def of(self, record: FaceRecord) -> CompositeSettings:
        """Of one face."""
        below = self._below.of(record)
        if below not in self._known:
            self._known[below] = self._over(below)
        return self._known[below]

    def _over(self, settings: CompositeSettings) -> CompositeSettings:
        for change in self._changes:
            settings = config.merge(settings, change)
        return settings


def _changed(merge: FaceMerge, changes: Sequence[Mapping[str, Any]]) -> FaceMerge:
    """The same faces with other settings."""
    stages = [
        SwapStage(
            stage.swapper,
            stage.faces,
            stage.by_frame,
            stage.batch,
            _Overridden(stage.settings, changes),
            stage.segmenter,
        )
        for stage in merge.stages
    ]
    return FaceMerge(stages, merge.stations)


def _spread(renderer: Renderer, count: int) -> list[int]:
    """Numbers of frames with a face, spread over the render.

    Raises:
        NoFaceError: there is none.
    """
    order = renderer.order
    frames = sorted({record.frame for record in renderer.records})
    within = [n for n in frames if order.start <= n and (order.stop is None or n < order.stop)]
    if not within:
        raise NoFaceError(
            f"{order.faces} has no face of {order.target.name} in the frames that are asked for"
        )
    places = (
        np.linspace(0, len(within) - 1, min(count, len(within)) + 2)[1:-1] if count < len(within) else None
    )
    return within if places is None else [within[round(place)] for place in places]


def _rendered(renderer: Renderer, merge: FaceMerge, index: int) -> tuple[Frame, Frame]:
    """One frame, as it was and as it is written."""
    for pair in merge.render(renderer.reader, index, index + 1, exact=False):
        return pair
    raise NoFaceError(
        f"{renderer.order.target}: frame {index} cannot be read any more; extract the faces again"
    )


def _face(merge: FaceMerge, index: int) -> Face:
    face = merge.largest_face(index)
    assert face is not None, "only frames with a face are chosen"
    return face


def _close(frame: Frame, face: Face) -> Picture:
    """A face and what is round it."""
    picture = crop_frame(frame, face.alignment.crop_matrix(_SIDE, _AROUND), _SIDE)
    return np.rint(np.moveaxis(picture, 0, -1).clip(0, 1) * 255).astype(np.uint8)


def _sheet(rows: Sequence[tuple[Sequence[str], Sequence[np.ndarray]]], heading: str) -> np.ndarray:
    """Pictures of any size in rows, each under its label."""
    across = max(len(pictures) for _, pictures in rows)
    width = max(picture.shape[1] for _, pictures in rows for picture in pictures)
    heights = [max(picture.shape[0] for picture in pictures) + _LINE + _GAP for _, pictures in rows]
    size = (_GAP + across * (width + _GAP), _LINE + _GAP + sum(heights))
    sheet = Image.new("RGB", size, (24, 24, 26))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    draw.text((_GAP, 4), heading, (255, 200, 90), font)
    top = _LINE + _GAP
    for (labels, pictures), height in zip(rows, heights, strict=True):
        for place, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
            left = _GAP + place * (width + _GAP)
            draw.text((left + 2, top + 3), label, (235, 235, 235), font)
            sheet.paste(Image.fromarray(picture), (left, top + _LINE))
        top += height
    return np.asarray(sheet)


def _write(output: Path, kind: str, picture: np.ndarray) -> Path:
    path = output.with_name(f"{output.stem}.{kind}.png")
    durable.write_bytes(path, encode_image(picture, ".png"))
    return path


def _nested(path: str, value: object) -> dict[str, Any]:
    out: Any = value
    for part in reversed(path.split(".")):
        out = {part: out}
    return out


def _value(word: str) -> object:
    """A word as TOML would have it."""
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue  # the next kind may fit; the last one is text
    return word
