"""Signed manifests (C2PA, Content Credentials): what was done to a picture, bound to its bytes.

mp4, mov, jpg, png, webp and tiff carry it inside; for every other file it lies beside it as ``FILE.c2pa``,
and for a folder of images it binds a list of their hashes. What it says is in ``provenance.claim``.

Signing is the last write. It makes a new file under a temporary name and then gives it its name, so that
under that name there is the signed file or none.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from understudy import durable
from understudy.errors import OutputError
from understudy.provenance import xmp
from understudy.provenance.claim import Edit, aigc_label, definition, source_type
from understudy.provenance.claim import plate as parent
from understudy.provenance.labels import file_hash
from understudy.provenance.signer import SigningSettings, complaint, open_signer, quiet_context
from understudy.video.stills import image_files

EMBEDDABLE = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
"""Files that carry their manifest inside, with their media types."""
DETACHED = {".mkv": "video/x-matroska", ".webm": "video/webm", ".exr": "image/x-exr"}
"""Media types of some that cannot."""
_BUFFER = 1 << 20  # the library reads and writes 8 KiB at a time; with this a third of the time is saved


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What signing did."""

    path: Path
    """The signed file."""
    manifest: Path | None
    """Where the manifest lies if not in the file."""
    size: int
    """Bytes of the manifest."""
    timestamped: bool
    """Whether a timestamp service vouches for the time."""
    remarks: tuple[str, ...] = ()
    """What went otherwise than wanted, a sentence each."""
    data: bytes = field(default=b"", repr=False)
    """The manifest, for the local store."""


# ---------------------------------------------------------------------------------------------------- signing


@contextlib.contextmanager
def signed_file(
    output: Path, edit: Edit, settings: SigningSettings | None = None, *, home: Path | None = None
) -> Generator[tuple[Path, list[Signed]]]:
    """A temporary path to write a result to; when the block ends well it is signed and becomes ``output``.

    Args:
        output: the file to be.
        edit: what was done.
        settings: key, certificate, timestamp service; None for this installation's own key.
        home: state folder; None for ``understudy_home()``.

    Yields:
        The path to write to, and a list in which what signing did lies after the block.

    Raises:
        OutputError: it cannot be written or signed; then there is nothing under ``output`` that was not
            there before.
    """
    unsigned = durable.part_name(output.with_name(f"unsigned.{output.name}"))
    done: list[Signed] = []
    try:
        yield unsigned, done
        done.append(sign_file(unsigned, edit, settings, output=output, home=home))
    finally:
        with contextlib.suppress(OSError):
            unsigned.unlink(missing_ok=True)


def sign_file(
    source: Path,
    edit: Edit,
    settings: SigningSettings | None = None,
    *,
    output: Path | None = None,
    home: Path | None = None,
) -> Signed:
    """Signs a file.

    Args:
        source: the finished picture or video. Its metadata block (XMP) is added to it if ``output`` is
            another file.
        edit: what was done.
        settings: see ``signed_file``.
        output: the signed file to be; None: ``source`` is replaced.
        home: state folder; None for ``understudy_home()``.

    Raises:
        OutputError: it cannot be signed or written; ``output`` is then as it was.
    """
    output = output or source
    if output.suffix.lower() not in EMBEDDABLE:
        return _sign_beside(source, output, edit, settings, home)
    remarks: list[str] = []
    with contextlib.ExitStack() as stack:
        if output == source:  # a copy takes the metadata, so that the original stays as it is until the end
            copy = durable.part_name(source.with_name(f"unsigned.{source.name}"))
            stack.callback(copy.unlink, missing_ok=True)
            with durable.explained(output, source.stat().st_size), source.open("rb") as file:
                durable.fill(copy, iter(lambda: file.read(1 << 22), b""))
            source = copy
        with durable.explained(output):
            if not xmp.embed(source, xmp.packet(source_type(edit), aigc_label(edit))):
                remarks.append(f"{output.name}: no place for IPTC's source type in its metadata")
        size = source.stat().st_size
        with durable.new_file(output, size=size) as part, complaint(output):
            data, stamped = _sign(source, part, output.name, edit, settings, home, remarks)
    return Signed(
        path=output, manifest=None, size=len(data), timestamped=stamped, remarks=tuple(remarks), data=data
    )


def sign_staged(
    staged: Path,
    output: Path,
    edit: Edit,
    settings: SigningSettings | None = None,
    *,
    home: Path | None = None,
) -> Signed:
    """Signs a finished file in place, before it gets its name.

    Args:
        staged: the file under a temporary name, in the folder of ``output``; the signed one replaces it.
        output: the name it is going to have. A manifest that cannot lie in the file lies beside this name.
        edit: what was done.
        settings: see ``signed_file``.
        home: state folder; None for ``understudy_home()``.

    Raises:
        OutputError: it cannot be signed; nobody may then give it its name.
    """
    remarks: list[str] = []
    if output.suffix.lower() not in EMBEDDABLE:
        beside = manifest_path(output)
        with durable.new_file(beside) as part, complaint(output):
            data, stamped = _sign(staged, None, output.name, edit, settings, home, remarks)
            durable.fill(part, [data])
        return Signed(
            path=output,
            manifest=beside,
            size=len(data),
            timestamped=stamped,
            remarks=tuple(remarks),
            data=data,
        )
    with durable.explained(output):
        if not xmp.embed(staged, xmp.packet(source_type(edit), aigc_label(edit))):
            remarks.append(f"{output.name}: no place for IPTC's source type in its metadata")
        size = staged.stat().st_size
    signed = durable.part_name(output.with_name(f"signed.{output.name}"))
    try:
        with durable.explained(output, size), complaint(output):
            data, stamped = _sign(staged, signed, output.name, edit, settings, home, remarks)
            signed.replace(staged)
    finally:
        with contextlib.suppress(OSError):
            signed.unlink(missing_ok=True)
    return Signed(
        path=output, manifest=None, size=len(data), timestamped=stamped, remarks=tuple(remarks), data=data
    )


def sign_folder(
    folder: Path, edit: Edit, settings: SigningSettings | None = None, *, home: Path | None = None
) -> Signed:
    """Signs a folder of images: a list of their hashes, as ``sha256sum`` writes it, and its manifest.

    Args:
        folder: the images; the list is put beside it as ``FOLDER.sha256``.
        edit: what was done.
        settings: see ``signed_file``.
        home: state folder; None for ``understudy_home()``.
    """
    listing = list_path(folder)
    lines = [f"{file_hash(file)}  {folder.name}/{file.name}\n" for file in image_files(folder)]
    with durable.new_file(listing) as part:
        durable.fill(part, [line.encode() for line in lines])
    return _sign_beside(listing, listing, edit, settings, home)


def manifest_path(path: Path) -> Path:
    """Where the detached manifest of a file lies."""
    return path.with_name(path.name + ".c2pa")


def list_path(folder: Path) -> Path:
    """Where the list of hashes of a folder of images lies."""
    return folder.with_name(folder.name + ".sha256")


def media_type(path: Path) -> str:
    """A file's media type by its suffix."""
    suffix = path.suffix.lower()
    return EMBEDDABLE.get(suffix) or DETACHED.get(suffix) or "application/octet-stream"


def _sign_beside(
    source: Path, output: Path, edit: Edit, settings: SigningSettings | None, home: Path | None
) -> Signed:
    """The manifest first, then the file: who sees the file sees its manifest."""
    remarks: list[str] = []
    beside = manifest_path(output)
    with durable.new_file(beside) as part, complaint(output):
        data, stamped = _sign(source, None, output.name, edit, settings, home, remarks)
        durable.fill(part, [data])
    if source != output:
        with durable.new_file(output, size=source.stat().st_size) as part, durable.explained(output):
            source.replace(part)
    return Signed(
        path=output, manifest=beside, size=len(data), timestamped=stamped, remarks=tuple(remarks), data=data
    )


def _sign(
    source: Path,
    target: Path | None,
    title: str,
    edit: Edit,
    settings: SigningSettings | None,
    home: Path | None,
    remarks: list[str],
) -> tuple[bytes, bool]:
    """Signs, a second time without a timestamp if its service does not answer."""
    settings = settings or SigningSettings()
    try:
        return _sign_once(source, target, title, edit, settings, settings.timestamp, home), bool(
            settings.timestamp
        )
    except OutputError:
        raise
    except Exception as error:
        from c2pa import C2paError

        if not settings.timestamp or not isinstance(error, C2paError):
            raise
        done = _sign_once(source, target, title, edit, settings, "", home)
        remarks.append(
            f"{title}: signed without a timestamp, since {settings.timestamp} gave none ({error}); the "
            "signature holds until the certificate ends"
        )
        return done, False


def _sign_once(
    source: Path,
    target: Path | None,
    title: str,
    edit: Edit,
    settings: SigningSettings,
    timestamp: str,
    home: Path | None,
) -> bytes:
    from c2pa import Builder

    kind = media_type(Path(title))
    with (
        open_signer(settings, timestamp, home) as signer,
        quiet_context() as context,
        Builder(definition(edit, title, kind), context) as builder,
        source.open("rb", buffering=_BUFFER) as file,
    ):
        add_history(builder, edit)
        if target is None:
            builder.set_no_embed()
            return builder.sign(signer, kind, file, _Nowhere())
        with target.open("w+b", buffering=_BUFFER) as out:
            return builder.sign(signer, kind, file, out)


def add_history(builder: Any, edit: Edit) -> None:  # noqa: ANN401 - a type of the library, which loads late
    """The plate as the parent, with its own manifest where it has one; nothing for a generated picture."""
    from c2pa import C2paBuilderIntent, C2paDigitalSourceType

    if edit.plate is None:
        name = "TRAINED_ALGORITHMIC_DATA" if edit.operation == "model" else "TRAINED_ALGORITHMIC_MEDIA"
        kind = getattr(C2paDigitalSourceType, name)
        builder.set_intent(C2paBuilderIntent.CREATE, kind)
        return
    builder.set_intent(C2paBuilderIntent.EDIT)
    plate = edit.plate
    about = parent(edit if edit.plate_hash else replace(edit, plate_hash=plate_hash(plate)))
    if plate.is_dir():
        plate = list_path(plate) if list_path(plate).is_file() else next(iter(image_files(plate)))
        about["format"] = media_type(plate)
    with plate.open("rb") as file:
        builder.add_ingredient(about, media_type(plate), file)


def plate_hash(plate: Path) -> str:
    """SHA-256 of a file, or of the list of hashes of a folder's images."""
    if plate.is_file():
        return file_hash(plate)
    digest = hashlib.sha256()
    for file in image_files(plate):
        digest.update(f"{file_hash(file)}  {file.name}\n".encode())
    return digest.hexdigest()


class _Nowhere:
    """A file that forgets what is written to it: the library copies the picture even when nothing goes in."""

    def __init__(self) -> None:
        self._place = self._length = 0

    def write(self, data: bytes) -> int:
        self._place += len(data)
        self._length = max(self._length, self._place)
        return len(data)

    def read(self, _size: int = -1) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._length)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        """Nothing waits."""
