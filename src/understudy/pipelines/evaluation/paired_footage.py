"""Videos that show the same moments: a swapped one, its target, and the exact swap where there is one."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from understudy.contracts import Frame
from understudy.errors import DataError, VideoError
from understudy.events import Warned
from understudy.performers.truth import MASK_VIDEO, SWAP_VIDEO
from understudy.pipelines.evaluation.looker import FramePair
from understudy.pipelines.footage import open_footage
from understudy.stream import read_ahead
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader

_SHAPE = 0.02
"""Relative difference of the sides' ratio from which two videos are not of one shape."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is measured, and against what."""

    result: Path
    """The swapped video, or folder of pictures; of any program."""
    target: Path
    """The footage as it was."""
    source: Path
    """Who was put in: a face set, a video, a picture or a folder of pictures."""
    truth: Path | None = None
    """The exact swap: a performer's truth folder, or a video."""
    gallery: tuple[Path, ...] = ()
    """Other people, each a face set, a video, a picture or a folder of pictures: is the source found among
    them?"""


class PairedFootage:
    """Result, target and truth, opened; a context manager.

    Frames pair by their number. Where one video ends before the others the rest of those is left out, and
    ``remarks`` says which frames pair.

    Args:
        inputs: the files.
        offset: frame 0 of the result is this frame of the target.

    Raises:
        VideoError: a video cannot be read.
        DataError: the truth cannot be read, or a video is not of the target's shape.
    """

    def __init__(self, inputs: Inputs, offset: int = 0) -> None:
        self.inputs, self.offset = inputs, offset
        self.target = open_footage(inputs.target)
        self.result = open_footage(inputs.result)
        self.truth = _open_truth(inputs.truth) if inputs.truth is not None else ()
        self._check_shape()
        lengths = [self.result.info.frames, self.target.info.frames - offset]
        lengths += [reader.info.frames - offset for reader in self.truth]
        self.count = max(0, min(lengths))
        if self.count == 0:
            raise DataError(
                f"{inputs.result.name} and {inputs.target.name} have no frame in common: an offset of "
                f"{offset} "
                f"was asked for, and the target has {self.target.info.frames} frames"
            )

    @property
    def rate(self) -> float:
        """Frames a second of the target."""
        return float(self.target.info.rate)

    @property
    def remarks(self) -> list[Warned]:
        """What does not fit, and what is done about it."""
        out: list[Warned] = []
        result, target = self.result.info, self.target.info
        if result.frames != target.frames - self.offset:
            until = self.offset + self.count - 1
            out.append(
                Warned(
                    message=f"{self.inputs.result.name} has {result.frames} frames, "
                    f"{self.inputs.target.name} "
                    f"{target.frames}: frames {self.offset} to {until} of the target pair with 0 to "
                    f"{self.count - 1} of the swapped video; the rest is not measured. If one of them begins "
                    "later, say so with --offset"
                )
            )
        for reader in self.truth:
            if reader.info.frames != target.frames:
                out.append(
                    Warned(
                        message=f"{reader.path.name} of the truth has {reader.info.frames} frames, the "
                        "target "
                        f"{target.frames}; what has no truth is not measured"
                    )
                )
        if (result.width, result.height) != (target.width, target.height):
            out.append(
                Warned(
                    message=f"the swapped video is {result.width} × {result.height} pixels, the target "
                    f"{target.width} × {target.height}: frames are laid over each other, and the other size "
                    "costs some of every figure of structure"
                )
            )
        return out

    def pairs(self) -> Generator[FramePair]:
        """The frames that pair, each video read ahead in a thread of its own; ends with the shortest."""
        readers = [self.target, self.result, *self.truth]
        starts = [self.offset, 0, *(self.offset for _ in self.truth)]
        with contextlib.ExitStack() as stack:
            streams: list[Iterator[Frame]] = [
                stack.enter_context(contextlib.closing(read_ahead(reader.frames(start), 6)))
                for reader, start in zip(readers, starts, strict=True)
            ]
            for target, result, *truth in zip(*streams, strict=False):
                exact, mask = (*truth, None, None)[:2]
                yield FramePair(target=target, result=result, exact=exact, mask=mask)

    def damage(self) -> Iterator[Warned]:
        """Where a video was damaged."""
        for reader in (self.target, self.result, *self.truth):
            if reader.damage is not None:
                yield reader.damage

    def close(self) -> None:
        """Ends what is being read."""
        for reader in (self.target, self.result, *self.truth):
            reader.close()

    def __enter__(self) -> PairedFootage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_shape(self) -> None:
        target = self.target.info
        for reader in (self.result, *self.truth):
            info = reader.info
            ratio = (info.width / info.height) / (target.width / target.height)
            if abs(ratio - 1.0) > _SHAPE:
                raise DataError(
                    f"{reader.path} is {info.width} × {info.height} pixels, the target {target.width} × "
                    f"{target.height}: frames of another shape cannot be laid over each other; give the "
                    "footage that was swapped, uncropped"
                )


def _open_truth(path: Path) -> tuple[VideoReader | StillsReader, ...]:
    """The exact swap and its mask, or a video alone.

    Raises:
        DataError: it cannot be read.
    """
    inside = path / SWAP_VIDEO
    if path.is_dir() and not inside.is_file() and any(path.glob("*.mkv")):
        raise DataError(
            f"{path}: this truth has no {SWAP_VIDEO}, so the exact swap is not known; draw the performer "
            "with "
            "--swap-with SEED"
        )
    try:
        if not inside.is_file():
            return (open_footage(path),)
        return (open_footage(inside), open_footage(path / MASK_VIDEO))
    except VideoError as error:
        raise DataError(
            f"the truth cannot be read: {error}; give the folder NAME.truth that `understudy performers "
            "--swap-with` wrote, or a video of the exact swap"
        ) from error
