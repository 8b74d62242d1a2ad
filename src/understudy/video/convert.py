"""Frames in the sample layout that an encoder wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.image.chroma import downsample, upsample
from understudy.image.color import quantisation, rect_to_rgb, rgb_to_rect, seen_rect
from understudy.image.view import Plate, View, is_floating, paint_floats
from understudy.video.layout import rgb_format
from understudy.video.stills import HEADER, samples_for


def displayed(frame: Frame) -> Frame:
    """A frame of floats as the 16-bit RGB that its view shows; any other frame as it is."""
    if not is_floating(frame.format):
        return frame
    samples = samples_for(frame, deep=True, alpha=True)
    if samples.ndim == 2 or samples.shape[2] < 3:
        samples = np.repeat(samples.reshape(*samples.shape[:2], -1)[..., :1], 3, axis=2)
    plain = {field.name: getattr(frame, field.name) for field in fields(Frame)}
    view = frame.view if isinstance(frame, Plate) else View()
    plain |= {
        "planes": (np.ascontiguousarray(samples),),
        "format": rgb_format(16, alpha=samples.shape[2] == 4),
        "color": replace(frame.color, transfer=13 if view.curve == "srgb" else 2),
    }
    return Frame(**plain)


def on_displayed(frame: Frame, work: Callable[[Frame], Frame]) -> Frame:
    """Do to a frame of floats what is made for integer samples: a label, an invisible mark.

    The work is given 16-bit sRGB, as a screen shows the plate at its view's exposure; what it changes is
    added to that, unclipped, and taken back to light. Pixels that it leaves alone keep every bit, and so does
    what lies beyond the file's own pixels. Other frames it is given as they are.

    Args:
        frame: any kind of frame.
        work: gives back a frame of the same layout.
    """
    if not is_floating(frame.format):
        return work(frame)
    screen = on_screen(frame)
    shown = displayed(screen)
    before, after = shown.planes[0][..., :3], work(shown).planes[0][..., :3]
    changed = np.asarray((before != after).any(axis=2))
    header = screen.header.get(HEADER)
    if header:
        inside = np.zeros_like(changed)
        inside[header.data] = True
        changed &= inside
    if not changed.any():
        return frame
    seen = seen_rect(screen, 0, 0, frame.width, frame.height)
    seen += (after.astype(np.float32) - before.astype(np.float32)) * np.float32(1.0 / 65535.0)
    return paint_floats(frame, 0, 0, screen.view.undo(seen), changed)


def on_screen(frame: Frame) -> Plate:
    """A frame of floats with the view of a screen: sRGB, at the exposure of its own view."""
    if isinstance(frame, Plate):
        return replace(frame, view=replace(frame.view, curve="srgb"))
    plain = {field.name: getattr(frame, field.name) for field in fields(Frame)}
    return Plate(**plain, view=View(curve="srgb"))


def converted(frame: Frame, layout: PixelFormat, color: ColorTags) -> Frame:
    """A frame with its samples in another layout.

    More depth and more chroma are exact; from RGB to Y'CbCr the matrix of ``color`` is used.
    """
    source = frame.format
    other_matrix = source.kind == layout.kind == "yuv" and frame.color.matrix != color.matrix
    same = (source.kind, source.depth, source.shift_x, source.shift_y, source.alpha)
    if same == (layout.kind, layout.depth, layout.shift_x, layout.shift_y, layout.alpha) and not other_matrix:
        return frame
    if other_matrix:
        planes = _recolored(frame, layout, color)
    elif source.kind == layout.kind == "yuv":
        planes = _resampled(frame, layout)
    elif source.kind == layout.kind and source.depth <= layout.depth:
        planes = _widened(frame, layout)
    elif source.kind == "gray" and source.depth <= layout.depth:
        luma = _deepened(frame.planes[0], source.depth, layout.depth, color.full_range)
        size = (-(-frame.height >> layout.shift_y), -(-frame.width >> layout.shift_x))
        planes = (luma, *(np.full(size, 1 << (layout.depth - 1), luma.dtype) for _ in range(2)))
    else:
        planes = _recolored(frame, layout, color)
    return replace(frame, planes=planes, format=layout, color=color)


def _recolored(frame: Frame, layout: PixelFormat, color: ColorTags) -> tuple[np.ndarray, ...]:
    """Through RGB; alpha goes beside it."""
    planes = rgb_to_rect(layout, color, rect_to_rgb(frame, 0, 0, frame.width, frame.height))
    if not (layout.alpha and frame.format.alpha):
        return planes
    rgb = frame.format.kind == "rgb"
    alpha = _deepened(
        frame.planes[0][..., 3] if rgb else frame.planes[3], frame.format.depth, layout.depth, True
    )
    if layout.kind == "rgb":
        planes[0][..., 3] = alpha
        return planes
    return (*planes[:3], alpha)


def _widened(frame: Frame, layout: PixelFormat) -> tuple[np.ndarray, ...]:
    """RGB or grey samples with more bits, with or without alpha."""
    samples, source = frame.planes[0], frame.format
    if source.kind == "rgb" and layout.alpha != source.alpha:
        opaque = np.full((*samples.shape[:2], 1), (1 << source.depth) - 1, samples.dtype)
        samples = np.concatenate([samples, opaque], axis=2) if layout.alpha else samples[..., :3]
    full = source.kind == "rgb" or frame.color.full_range
    return (_deepened(samples, source.depth, layout.depth, full),)


def _resampled(frame: Frame, layout: PixelFormat) -> tuple[np.ndarray, ...]:
    """Y'CbCr with another chroma, other bits, or alpha more or less."""
    source, full = frame.format, frame.color.full_range
    planes = list(frame.planes)
    if source.alpha and not layout.alpha:
        del planes[3]
    elif layout.alpha and not source.alpha:
        planes.append(np.full_like(planes[0], (1 << source.depth) - 1))
    across, down = source.shift_x - layout.shift_x, source.shift_y - layout.shift_y
    for channel in (1, 2):
        chroma = planes[channel].astype(np.float32) if across or down else planes[channel]
        if across or down:
            size = (-(-frame.width >> layout.shift_x), -(-frame.height >> layout.shift_y))
            tall = (-(-frame.width >> source.shift_x), size[1])
            chroma = upsample(chroma, 0, down, *tall) if down > 0 else downsample(chroma, 0, -down)
            chroma = upsample(chroma, across, 0, *size) if across > 0 else downsample(chroma, -across, 0)
        if across or down:
            chroma = np.clip(np.rint(chroma), 0, (1 << source.depth) - 1).astype(planes[0].dtype)
        planes[channel] = chroma
    alpha = planes[3:]
    out = [_deepened(plane, source.depth, layout.depth, full) for plane in planes[:3]]
    return (*out, *(_deepened(plane, source.depth, layout.depth, True) for plane in alpha))


def _deepened(samples: np.ndarray, depth: int, wanted: int, full_range: bool) -> np.ndarray:
    """The same signal with more bits, or rounded to fewer."""
    if depth == wanted:
        return np.ascontiguousarray(samples)
    if not full_range and wanted > depth:
        return samples.astype(np.uint16) << (wanted - depth)
    top = quantisation(wanted, True).maximum
    scale = top / quantisation(depth, True).maximum if full_range else 2.0 ** (wanted - depth)
    rounded = np.minimum(np.rint(samples * scale), top)
    return rounded.astype(np.uint8 if wanted == 8 else np.uint16)
