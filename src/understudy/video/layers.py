"""Layers for compositors: every swapped face as pictures that Nuke, Fusion or Blender can finish by hand.

    layers/layers.json                    size, rate, colour and conventions
    layers/frames/1001.json               the faces of a frame, in the order in which they are laid over it
    layers/patch/track00/patch.1001.exr   RGBA over the frame, colours times alpha, in the plate's own values;
                                          data window round the face, display window that of the frame
    layers/crop/track00/crop.1001.exr     RGBA of the face's square, upright, before it is turned into place
    layers/uv/track00/uv.1001.exr         for an STMap, 32 bits: where in the square each pixel lies

``plate * (1 - A) + RGB`` of all patches of a frame, in order, is the rendered frame: a plain "over". The
patches of an EXR plate are linear light as it is; those of a video are its R'G'B' signal, so plate and patch
are to be read raw. Written files replace each other whole, so frames can be written in any order and again:

    with LayersWriter(folder, reader.info) as layers:
        for frame in frames:
            layers.write(frame, face_layers)  # the plate, and its FaceLayers in the order of pasting
    rebuilt = recomposite(frame, folder)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64

from understudy import durable
from understudy.contracts import Face, Frame
from understudy.errors import OutputError, VideoError
from understudy.image.color import raw_rect
from understudy.image.geometry import transform_points
from understudy.image.paste import paste_crop, patch_of
from understudy.image.view import Plate, View, is_floating, view_of
from understudy.image.warp import Rect
from understudy.stream import Sink
from understudy.video.exr import Canvas, Spec, read_exr, require_openimageio, write_exr
from understudy.video.images import frame_number
from understudy.video.info import VideoInfo
from understudy.video.stills import HEADER

FIRST_NUMBER = 1001
"""Number of a video's first frame, as is the custom of the trade."""


@runtime_checkable
class Laid(Protocol):
    """A finished face, as it is laid over its frame; the compositor's ``FaceLayer`` is one."""

    @property
    def face(self) -> Face:
        """Whose place it takes."""
        ...

    @property
    def colors(self) -> Float32[np.ndarray, "3 s s"]:
        """RGB times alpha."""
        ...

    @property
    def alpha(self) -> Float32[np.ndarray, "s s"]:
        """Share of the layer."""
        ...

    @property
    def matrix(self) -> Float64[np.ndarray, "2 3"]:
        """Frame pixels to pixels of the layer."""
        ...


class LayersWriter:
    """Writes the faces of frames as layers into a folder; a context manager.

    Files are encoded in a thread of their own; an error is raised at a later ``write`` or at ``close``.

    Args:
        folder: where to; made if it does not exist.
        info: the plate's.
        half: 16-bit floats for patch and crop; the map always has 32.
        first_number: of the first frame of a video; images keep the numbers in their names.

    Raises:
        OutputError: OpenImageIO is not installed, or the folder cannot be written to.
    """

    def __init__(
        self, folder: Path, info: VideoInfo, *, half: bool = False, first_number: int = FIRST_NUMBER
    ) -> None:
        require_openimageio(OutputError)
        self.folder = folder
        self._info, self._half, self._first_number = info, half, first_number
        with durable.explained(folder):
            (folder / "frames").mkdir(parents=True, exist_ok=True)
        about = json.dumps(_about(info), indent=1, ensure_ascii=False) + "\n"
        durable.write_text(folder / "layers.json", about)
        self._sink: Sink[tuple[Frame, tuple[Laid, ...]]] = Sink(self._store, 4)

    def __enter__(self) -> LayersWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._sink.abort()

    def write(self, frame: Frame, layers: Sequence[Laid]) -> None:
        """The layers of one frame.

        Args:
            frame: the plate, without any of the faces.
            layers: its faces, in the order in which they are laid over it; none is fine.

        Raises:
            OutputError: a file before could not be written.
        """
        self._sink.put((frame, tuple(layers)))

    def close(self) -> None:
        """Wait until everything is written.

        Raises:
            OutputError: a file could not be written.
        """
        self._sink.close()

    def _store(self, item: tuple[Frame, tuple[Laid, ...]]) -> None:
        frame, layers = item
        number = number_of(frame, self._first_number)
        faces: list[dict[str, Any]] = []
        below = frame
        for place, layer in enumerate(layers):
            name = f"track{layer.face.track if layer.face.track >= 0 else 100 + place:02d}"
            patch = patch_of(below, layer.colors, layer.alpha, layer.matrix)
            if patch is None:
                continue
            rect, pixels = patch
            files = {kind: f"{kind}/{name}/{kind}.{number:04d}.exr" for kind in ("patch", "crop", "uv")}
            kind = np.float16 if self._half else np.float32
            window, origin = self._windows(frame, rect)
            self._save(files["patch"], np.clip(pixels, -65504, 65504).astype(kind), window, origin)
            self._save(files["crop"], _crop_pixels(layer, view_of(frame)).astype(kind))
            self._save(files["uv"], st_map(layer.matrix, rect, layer.alpha.shape[0]), window, origin)
            faces.append(_face_record(layer, rect, files))
            if place + 1 < len(layers) and view_of(frame):
                below = paste_crop(below, layer.colors, layer.alpha, layer.matrix)
        record = {"frame": frame.index, "number": number, "name": frame.name, "time": frame.time}
        text = json.dumps({**record, "faces": faces}, indent=1, ensure_ascii=False) + "\n"
        durable.write_text(self.folder / "frames" / f"{number:04d}.json", text, flush=False)

    def _windows(self, frame: Frame, rect: Rect) -> tuple[Canvas, Canvas]:
        """The patch's data window, and the display window, in the plate's own coordinates."""
        header = frame.header.get(HEADER) if isinstance(frame, Plate) else None
        canvas = header.canvas if header else Canvas(0, 0, frame.width, frame.height)
        spec = header.specs[0] if header else None
        display = Canvas(spec.full_x, spec.full_y, spec.full_width, spec.full_height) if spec else canvas
        x0, y0, x1, y1 = rect
        return Canvas(canvas.x + x0, canvas.y + y0, x1 - x0, y1 - y0), display

    def _save(
        self, name: str, pixels: np.ndarray, window: Canvas | None = None, display: Canvas | None = None
    ) -> None:
        file = self.folder / name

        def describe(spec: Spec) -> None:
            spec.attribute("PixelAspectRatio", float(self._info.pixel_aspect) if window else 1.0)
            if window and display:
                spec.x, spec.y = window.x, window.y
                spec.full_x, spec.full_y = display.x, display.y
                spec.full_width, spec.full_height = display.width, display.height

        with durable.explained(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with durable.new_file(file, flush=False, size=pixels.nbytes) as part:
            write_exr(part, pixels, describe=describe)


def number_of(frame: Frame, first_number: int = FIRST_NUMBER) -> int:
    """The frame number that people use: the one in its file's name, or counted from ``first_number``."""
    named = frame_number(Path(frame.name)) if frame.name else None
    return frame.index + first_number if named is None else named


def st_map(matrix: np.ndarray, rect: Rect, size: int) -> Float32[np.ndarray, "h w 4"]:
    """Where in the face's square the pixels of a rectangle lie, as Nuke's STMap wants it.

    Args:
        matrix: frame pixels to pixels of the square.
        rect: the rectangle of the frame.
        size: side of the square, pixels.

    Returns:
        u to the right and v **upwards**, 0 to 1 over the square; 0; and 1 inside the square, 0 outside.
    """
    x0, y0, x1, y1 = rect
    y, x = np.mgrid[y0:y1, x0:x1] + 0.5
    places = transform_points(matrix, np.stack([x, y], -1).reshape(-1, 2)).reshape(y1 - y0, x1 - x0, 2) / size
    inside = ((places >= 0.0) & (places <= 1.0)).all(axis=2)
    out = [places[..., 0], 1.0 - places[..., 1], np.zeros_like(inside, float), inside]
    return np.stack(out, axis=2).astype(np.float32)


def _crop_pixels(layer: Laid, view: View | None) -> np.ndarray:
    """The square's RGBA, times alpha, in the plate's own values."""
    colors, alpha = np.moveaxis(layer.colors, 0, -1), layer.alpha[..., None]
    if view:
        shown = np.where(alpha > 1e-4, colors / np.maximum(alpha, 1e-4), 0.0).astype(np.float32)
        colors = np.where(alpha > 1e-4, view.undo(shown) * alpha, 0.0)
    return np.concatenate([colors, alpha], axis=2).astype(np.float32)


def _face_record(layer: Laid, rect: Rect, files: dict[str, str]) -> dict[str, Any]:
    """What a frame's JSON says of a face."""
    matrix, size = np.asarray(layer.matrix, np.float64), layer.alpha.shape[0]
    back = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))
    corners = transform_points(back[:2], np.array([[0.0, 0.0], [size, 0.0], [size, size], [0.0, size]]))
    return {
        "face": layer.face.index,
        "track": layer.face.track,
        "files": files,
        "rect": list(rect),
        "size": size,
        "frame_to_crop": [*matrix.tolist(), [0.0, 0.0, 1.0]],
        "crop_to_frame": back.tolist(),
        "corners": corners.tolist(),
        "rotation": float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))),
        "scale": float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))),
    }


def _about(info: VideoInfo) -> dict[str, Any]:
    """What the folder holds."""
    linear = is_floating(info.format)
    return {
        "what": "AI modified: layers of replaced faces",
        "plate": info.path.name,
        "width": info.width,
        "height": info.height,
        "rate": str(info.rate),
        "pixel_aspect": str(info.pixel_aspect),
        "values": "linear light of the plate"
        if linear
        else "R'G'B' signal of the plate, 0 to 1; read it raw",
        "primaries": info.color.primaries,
        "transfer": info.color.transfer,
        "alpha": "premultiplied; plate * (1 - A) + RGB, faces in order",
        "coordinates": "pixels, x to the right, y down, (0, 0) the outer corner of the first pixel",
        "uv": "R to the right, G up, 0 to 1 over the crop; A 1 inside it",
    }


# --------------------------------------------------------------------------------------------- going back


def read_frame(folder: Path, number: int) -> dict[str, Any]:
    """What ``frames/NUMBER.json`` says.

    Raises:
        VideoError: there are no layers of that frame.
    """
    file = folder / "frames" / f"{number:04d}.json"
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise VideoError(f"{file}: there are no layers of frame {number}; render them again") from error


def recomposite(plate: Frame, folder: Path, first_number: int = FIRST_NUMBER) -> Float32[np.ndarray, "h w 3"]:
    """Plate and layers put together as a compositor's "over" does it.

    Args:
        plate: the frame as decoded.
        folder: of the layers.
        first_number: as it was for ``LayersWriter``.

    Returns:
        RGB in the plate's own values, not clipped.

    Raises:
        VideoError: there are no layers of that frame, or one is damaged.
    """
    out = (
        plate.planes[0][..., :3].astype(np.float32)
        if is_floating(plate.format) and plate.planes[0].ndim == 3
        else raw_rect(plate, 0, 0, plate.width, plate.height)
    )
    for face in read_frame(folder, number_of(plate, first_number))["faces"]:
        x0, y0, x1, y1 = face["rect"]
        pixels = read_exr(folder / face["files"]["patch"])[2].parts[0].astype(np.float32)
        part = out[y0:y1, x0:x1]
        part[...] = part * (1.0 - pixels[..., 3:]) + pixels[..., :3]
    return out
