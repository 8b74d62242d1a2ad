"""IPTC's DigitalSourceType in an XMP packet inside the file: what other programs show without knowing C2PA.

Where the packet lies: PNG iTXt chunk, JPEG APP1 segment, WebP chunk, TIFF tag 700, and the ``uuid`` box of
MP4 and QuickTime (ISO 16684-3). It goes in before signing, so that the signature covers it. Whoever saves
the file again may lose it.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape, unescape

from understudy.errors import OutputError

BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""The uuid of XMP in ISO base media files."""
VIDEO = (".mp4", ".m4v", ".mov")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
MARK = b"Iptc4xmpExt:DigitalSourceType"
_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_PNG = b"XML:com.adobe.xmp"
_TAG = 700
_LARGEST = 16 << 20  # what may be read into memory of a box or chunk


def packet(source_type: str, aigc: Mapping[str, str] | None = None) -> bytes:
    """An XMP packet.

    Args:
        source_type: IPTC's address of the digital source type.
        aigc: the implicit label that China's GB 45438-2025 asks for, by its keys; None: left out.
    """
    label = ""
    if aigc is not None:
        label = f"<TC260:AIGC>{escape(json.dumps(dict(aigc), ensure_ascii=False))}</TC260:AIGC>"
    text = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/">'
        f"<Iptc4xmpExt:DigitalSourceType>{escape(source_type)}</Iptc4xmpExt:DigitalSourceType>{label}"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )
    return text.encode()


def embed(path: Path, data: bytes) -> bool:
    """Puts a packet into a file that is still being made; the file is changed in place.

    Args:
        path: an unfinished file under a temporary name.
        data: the packet.

    Returns:
        False when the container has no place for it, or holds another program's packet already.

    Raises:
        OutputError: the file is damaged.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO:
        return _append_box(path, data)
    if suffix not in PICTURES:
        return False
    try:
        content = put(path.read_bytes(), suffix, data)
    except OutputError as error:
        raise OutputError(f"{path}: {error}") from None
    if content is not None:
        path.write_bytes(content)
    return content is not None


def put(content: bytes, suffix: str, data: bytes) -> bytes | None:
    """A picture in memory, with a packet.

    Args:
        content: the encoded picture.
        suffix: ``.png``, ``.jpg``, …, in small letters.
        data: the packet.

    Returns:
        None when it holds another program's packet already.

    Raises:
        OutputError: the picture is damaged.
    """
    if find(content) is not None:
        return None
    into = {".png": _into_png, ".webp": _into_webp, ".tif": _into_tiff, ".tiff": _into_tiff}
    try:
        return into.get(suffix, _into_jpeg)(content, data)
    except (struct.error, IndexError, ValueError) as error:
        raise OutputError(f"a damaged picture, no metadata can be put into it ({error})") from None


def read(path: Path) -> bytes | None:
    """The XMP packet of a file; None where there is none."""
    if path.suffix.lower() in VIDEO:
        with path.open("rb") as file:
            for kind, start, size in boxes(path):
                if kind == b"uuid" and size - 24 <= _LARGEST:
                    file.seek(start + 8)
                    if file.read(16) == BOX:
                        return file.read(size - 24)
        return None
    return find(path.read_bytes()) if path.suffix.lower() in PICTURES else None


def find(content: bytes) -> bytes | None:
    """The first XMP packet in a picture's bytes."""
    match = re.search(rb"<x:xmpmeta.*?</x:xmpmeta>", content, re.DOTALL)
    return match.group() if match else None


def source_type_of(data: bytes) -> str | None:
    """The digital source type that a packet names, as element or attribute; None when it names none."""
    match = re.search(rb"DigitalSourceType(?:>|=[\"'])([^<\"']+)", data)
    return unescape(match.group(1).decode("utf-8", "replace")) if match else None


def boxes(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Top-level boxes of an ISO base media file: kind, offset, size."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        start = 0
        while start + 8 <= length:
            file.seek(start)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            size = size or length - start
            if size < 8:
                return
            yield kind, start, size
            start += size


def _append_box(path: Path, data: bytes) -> bool:
    found = list(boxes(path))
    if not found or sum(size for _, _, size in found) != path.stat().st_size:
        raise OutputError(f"{path}: not a whole MP4 or QuickTime file; write it again")
    with path.open("r+b") as file:
        file.seek(found[-1][1])
        if file.read(4) == b"\0\0\0\0" or read(path) is not None:
            return False  # the last box reaches to the end of the file, whatever is there
        file.seek(0, 2)
        file.write(struct.pack(">I4s", 24 + len(data), b"uuid") + BOX + data)
    return True


def _into_png(content: bytes, data: bytes) -> bytes:
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG")
    end = 8 + 12 + int.from_bytes(content[8:12], "big")
    body = b"iTXt" + _PNG + b"\0\0\0\0\0" + data
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:end] + chunk + content[end:]


def _into_jpeg(content: bytes, data: bytes) -> bytes:
    if content[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    place = 2
    if content[2:4] == b"\xff\xe0":  # JFIF wants to be first
        place = 4 + int.from_bytes(content[4:6], "big")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(_JPEG) + len(data)) + _JPEG + data
    return content[:place] + segment + content[place:]


def _into_webp(content: bytes, data: bytes) -> bytes:
    """The extended layout of WebP (RFC 9649, section 2.7): a VP8X header first, the packet last."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        raise ValueError("no WebP")
    kind, body = content[12:16], content[12:]
    if kind == b"VP8X":
        body = body[:8] + bytes([body[8] | 0x04]) + body[9:]
    else:
        if kind == b"VP8L":
            bits = int.from_bytes(content[21:25], "little")
            width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bits >> 28 & 1
        else:
            width, height = (int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (26, 28))
            alpha = 0
        flags = 0x04 | (0x10 if alpha else 0)
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body = b"VP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + sides + body
    body += b"XMP " + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _into_tiff(content: bytes, data: bytes) -> bytes:
    """A copy of the first directory with one entry more, at the end of the file."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None:
        raise ValueError("no TIFF, or one of more than 4 GB")
    (start,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, start)
    entries = [content[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    following = content[start + 2 + 12 * count : start + 6 + 12 * count]
    content += b"\0" * (len(content) % 2)
    entries.append(struct.pack(order + "HHII", _TAG, 1, len(data), len(content)))
    entries.sort(key=lambda entry: struct.unpack(order + "H", entry[:2])[0])
    content += data + b"\0" * (len(data) % 2)
    table = struct.pack(order + "H", len(entries)) + b"".join(entries) + following
    return content[:4] + struct.pack(order + "I", len(content)) + content[8:] + table
