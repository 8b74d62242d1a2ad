"""The description of a face inside its own picture, so that a crop that was moved is still a face.

JSON text: an iTXt chunk in PNG, an XMP packet in JPEG and WebP. Pictures are written by Pillow, read by
OpenCV.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast
from xml.sax.saxutils import escape, unescape

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, PngImagePlugin

from understudy.errors import FaceSetError

PictureFormat = Literal["jpg", "png", "webp"]
"""jpg: quality 95, chroma not reduced, small and fast; png and webp: lossless."""

KEY = "understudy"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:understudy="https://understudy.invalid/ns/1.0/"><understudy:face>{}</understudy:face>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
_FACE = re.compile(rb"<understudy:face>(.*?)</understudy:face>", re.DOTALL)


def encode_crop(
    picture: UInt8[np.ndarray, "s s 3"], about: Mapping[str, Any], format: PictureFormat
) -> bytes:
    """The file of a crop with its description inside.

    Args:
        picture: RGB.
        about: plain data.
        format: of the file.
    """
    text = json.dumps(about, separators=(",", ":"))
    image, out = Image.fromarray(picture), io.BytesIO()
    if format == "png":
        chunk = PngImagePlugin.PngInfo()
        chunk.add_itxt(KEY, text)
        image.save(out, "PNG", pnginfo=chunk, compress_level=1)
    else:
        packet = _XMP.format(escape(text)).encode()
        if format == "jpg":
            image.save(out, "JPEG", quality=95, subsampling=0, xmp=packet)
        else:
            image.save(out, "WEBP", lossless=True, method=0, xmp=packet)
    return out.getvalue()


def decode_crop(path: Path) -> UInt8[np.ndarray, "s s 3"]:
    """The picture of a crop, RGB.

    Raises:
        FaceSetError: the file is damaged or no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FaceSetError(f"{path}: cannot be read ({error.strerror})") from None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if picture is None:
        raise FaceSetError(
            f"{path}: a damaged picture; delete it (the face is then left out) or extract again"
        )
    return picture


def read_description(path: Path) -> dict[str, Any] | None:
    """What a crop says about itself; None when it says nothing, as after it was saved by another program.

    Raises:
        FaceSetError: the file is no picture.
    """
    try:
        with Image.open(path) as image:
            if image.format == "PNG" and KEY not in image.info:
                image.load()  # another program may have put it behind the picture
            texts: dict[str, str] = getattr(image, "text", {})
            text = texts.get(KEY)
            if text is None and (match := _FACE.search(image.info.get("xmp", b""))):
                text = unescape(match.group(1).decode())
    except (OSError, SyntaxError) as error:  # Pillow's word for a broken PNG
        raise FaceSetError(f"{path}: not a picture that can be read ({error})") from None
    if text is None:
        return None
    try:
        found: object = json.loads(text)
    except ValueError:
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
