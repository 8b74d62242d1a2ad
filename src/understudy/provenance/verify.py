"""What a file says about itself, and how much of it can be believed.

The manifest in the file, or beside it, is checked against the bytes; then every ingredient is walked, since a
plate that was altered before it was taken in leaves the manifest above it whole. Metadata and the sidecar
file are read too, but prove nothing: anyone can write them. No network is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from understudy.errors import UnderstudyError, VideoError
from understudy.provenance import xmp
from understudy.provenance.claim import NAMESPACE
from understudy.provenance.history import OWN, History, Origin, Signer, every
from understudy.provenance.keys import KeyStore, pem_text
from understudy.provenance.labels import file_hash, sidecar_path
from understudy.provenance.manifest import list_path, manifest_path
from understudy.provenance.reading import DOUBTS, UNTRUSTED, WORDS, codes_of, read
from understudy.provenance.recovery import Found, look
from understudy.video.encoding import CONTAINERS
from understudy.video.probe import probe
from understudy.video.stills import image_files

Verdict = Literal[
    "intact", "stranger", "recovered", "unsigned", "doubtful", "origin", "unreadable", "changed"
]
"""The gravest last. ``stranger``: intact, but nobody trusted here vouches for the signer. ``recovered``: no
manifest, but our mark is in it. ``doubtful``: intact, but who signed it, or something that it was made from,
is no longer believed. ``origin``: intact, but what it was made from had been altered. ``changed``: not as it
was signed."""
EXIT: dict[Verdict, int] = {
    "intact": 0,
    "stranger": 3,
    "recovered": 8,
    "unsigned": 4,
    "doubtful": 9,
    "origin": 5,
    "unreadable": 6,
    "changed": 7,
}
"""Exit codes, the gravest last; of several files that of the gravest."""
Look = Literal["no", "whole pictures", "as needed"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Everything about one file."""

    path: str
    verdict: Verdict
    reasons: tuple[str, ...]
    """Sentences, the weightiest first."""
    manifest: Literal["inside", "beside", "none"] = "none"
    signer: Signer | None = None
    source_type: str = ""
    """IPTC's digital source type that the manifest gives."""
    actions: tuple[Mapping[str, Any], ...] = ()
    consent: Mapping[str, Any] | None = None
    """Lane, hashes of consent records, preset of the label."""
    disclosure: Mapping[str, Any] | None = None
    """C2PA's ai-disclosure: the model."""
    mark: Mapping[str, Any] | None = None
    """The invisible mark that the manifest speaks of."""
    found: Found | None = None
    """The invisible mark that is in the picture."""
    looked: bool = False
    """Whether it was looked for."""
    origins: tuple[Origin, ...] = ()
    codes: tuple[str, ...] = ()
    """The library's codes of what is wrong."""
    metadata: Mapping[str, str] | None = None
    """What the file's metadata says of AI; proves nothing."""
    sidecar: Literal["fits", "of another file", "damaged", "none"] = "none"
    """Whether the sidecar's hash is the file's."""

    @property
    def exit_code(self) -> int:
        """For scripts."""
        return EXIT[self.verdict]

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "exit_code": self.exit_code}


def verify(path: Path, *, mark: Look = "as needed", home: Path | None = None) -> Answer:
    """Reads and checks one file, or a folder of images.

    Args:
        path: a picture, video, or a folder that ``sign_folder`` signed.
        mark: how far the invisible mark is looked for: not at all, in whole pictures, or, where the manifest
            does not settle what the file is, in parts of pictures too, which takes seconds.
        home: state folder; None for ``understudy_home()``.

    Raises:
        VideoError: there is no such file.
    """
    if not path.exists():
        raise VideoError(f"{path}: there is no such file or folder; check the name")
    if not (path.is_file() or path.is_dir()):
        raise VideoError(f"{path}: neither a file nor a folder, so nothing can be read from it")
    if path.is_dir():
        return _with_mark(_verify_folder(path, home), path, mark, home)
    answer = _verify_manifest(path, home)
    metadata = _metadata(path)
    sidecar = _sidecar(path)
    reasons = list(answer.reasons)
    if answer.verdict == "unsigned" and metadata:
        reasons.append("its metadata says that it is AI modified; anyone can write or remove that")
    if sidecar == "of another file":
        reasons.append(f"{sidecar_path(path).name} beside it is of another file, or this file was changed")
    answer = replace(answer, reasons=tuple(reasons), metadata=metadata or None, sidecar=sidecar)
    return _with_mark(answer, path, mark, home)


def _with_mark(answer: Answer, path: Path, how: Look, home: Path | None) -> Answer:
    """The answer, with the mark that is in the picture."""
    if how == "no":
        return answer
    settled = answer.verdict in ("intact", "stranger", "doubtful", "origin")
    found = look(path, crops=how == "as needed" and not settled, home=home)
    answer = replace(answer, found=found, looked=True)
    if found is None:
        ours = answer.signer is not None and answer.signer.root == OWN
        if ours and answer.mark and settled:
            lost = "the invisible mark that its manifest speaks of is not found in it"
            return replace(answer, reasons=(*answer.reasons, lost))
        return answer
    if settled:
        return answer
    what = "a part of " if found.cropped else ""
    if found.result:
        reason = (
            f"our invisible mark is in it: it is a copy of {what}{found.result}, made on {found.made[:10]}"
        )
    else:
        reason = "our invisible mark is in it, but the local store does not know the result"
    if answer.verdict == "unsigned":
        return replace(answer, verdict="recovered", reasons=("it has lost its manifest", reason))
    return replace(answer, reasons=(*answer.reasons, reason))


def _verify_manifest(path: Path, home: Path | None) -> Answer:
    from c2pa import C2paError

    beside = manifest_path(path)
    store = KeyStore(home)
    roots = pem_text([*store.roots(), *store.time_roots()])
    manifest: bytes | None = None
    try:
        found = read(path, None, roots)
        if found is None and beside.is_file():
            manifest = beside.read_bytes()
            found = read(path, manifest, roots)
        if found is None:
            reason = "there is no manifest in it or beside it: nothing tells where it comes from"
            return Answer(path=str(path), verdict="unsigned", reasons=(reason,))
        if found.get("active_manifest") not in found["manifests"]:
            reason = "its manifest is damaged, so that it cannot be checked"
            return Answer(path=str(path), verdict="unreadable", reasons=(reason,))
        history = History(found, lambda some: read(path, manifest, some), store)
    except C2paError as error:
        reason = f"it is damaged, or no file of its kind, and cannot be checked ({error})"
        return Answer(path=str(path), verdict="unreadable", reasons=(reason,))
    return _answer(path, found, "inside" if manifest is None else "beside", history)


def _answer(
    path: Path, found: dict[str, Any], where: Literal["inside", "beside"], history: History
) -> Answer:
    active = found["manifests"][found["active_manifest"]]
    codes = codes_of(found.get("validation_results", {}).get("activeManifest"))
    origins, signer = history.origins(), history.signer(history.active)
    verdict, reasons = _judged(found.get("validation_state") == "Invalid", codes, signer, origins)
    data = {each["label"].split("__")[0]: each["data"] for each in active.get("assertions", [])}
    actions: list[dict[str, Any]] = data.get("c2pa.actions.v2", data.get("c2pa.actions", {})).get(
        "actions", []
    )
    kinds = [each["digitalSourceType"] for each in actions if "digitalSourceType" in each]
    return Answer(
        path=str(path),
        verdict=verdict,
        reasons=tuple(dict.fromkeys(reasons)) or ("it does not check out",),
        manifest=where,
        signer=signer,
        source_type=kinds[-1] if kinds else "",
        actions=tuple(actions),
        consent=data.get(f"{NAMESPACE}.consent"),
        disclosure=data.get("c2pa.ai-disclosure"),
        mark=data.get("c2pa.soft-binding"),
        origins=origins,
        codes=tuple(codes),
    )


def _judged(
    invalid: bool, codes: Sequence[str], signer: Signer, origins: Sequence[Origin]
) -> tuple[Verdict, list[str]]:
    """The verdict that the library's codes and everybody who signed come to, with its reasons."""
    wrong = [code for code in codes if code != UNTRUSTED]
    later = [
        f"{each.title}, from which it was made: {_in_words(each.late)}"
        for each in every(origins)
        if set(each.late) - DOUBTS
    ]
    if set(wrong) - DOUBTS or later or (invalid and not wrong):
        return "changed", [*(WORDS.get(code, f"it does not check out: {code}") for code in wrong), *later]
    altered = [
        f"the file is as it was signed, but {each.title}, from which it was made, had been altered: "
        + _in_words(each.codes)
        for each in every(origins)
        if each.state == "changed"
    ]
    if altered:
        return "origin", altered
    whole = "it is as it was signed"
    unknown = f"{whole}, but nobody whom you trust vouches for the signer"
    doubts = _doubts(signer, wrong)
    for each in every(origins):
        if each.state == "doubtful":
            doubts += [
                f"{each.title}, from which it was made: {why}" for why in _doubts(each.signer, each.codes)
            ]
    if doubts:
        return "doubtful", [*doubts, whole if signer.root else unknown]
    if signer.root:
        return "intact", [f"{whole}, by a key that {_vouches(signer.root)}"]
    return "stranger", [unknown]


def _doubts(signer: Signer | None, codes: Sequence[str]) -> list[str]:
    """Why who signed is no longer believed."""
    gone = [signer.revoked] if signer is not None and signer.revoked else []
    return [*gone, *(WORDS[code] for code in codes)]


def _in_words(codes: Sequence[str]) -> str:
    return ", ".join(WORDS.get(code, code) for code in codes)


def _vouches(root: str) -> str:
    return "this installation made itself" if root == OWN else f"your trusted root {root} vouches for"


def _verify_folder(folder: Path, home: Path | None) -> Answer:
    """A signed list of hashes, and then every image against it."""
    listing = list_path(folder)
    if not listing.is_file():
        reason = f"there is no {listing.name} beside it: nothing tells where it comes from"
        return Answer(path=str(folder), verdict="unsigned", reasons=(reason,))
    answer = replace(_verify_manifest(listing, home), path=str(folder))
    if answer.manifest == "none":
        return answer  # a list that nobody has signed says nothing
    lines = [line.split("  ", 1) for line in listing.read_text("utf-8", errors="replace").splitlines()]
    listed = {line[1].rpartition("/")[2]: line[0] for line in lines if len(line) == 2}
    here = {file.name: file for file in image_files(folder)}
    reasons = [f"{name} is missing" for name in sorted(listed.keys() - here.keys())]
    reasons += [f"{name} was added after signing" for name in sorted(here.keys() - listed.keys())]
    both = sorted(listed.keys() & here.keys())
    reasons += [f"{name} was changed after signing" for name in both if file_hash(here[name]) != listed[name]]
    if not reasons:
        return answer
    return replace(answer, verdict="changed", reasons=(*reasons, *answer.reasons))


def _metadata(path: Path) -> dict[str, str]:
    """What XMP and the container's tags say of AI."""
    out: dict[str, str] = {}
    packet = xmp.read(path)
    if packet and (kind := xmp.source_type_of(packet)):
        out["DigitalSourceType"] = kind
    if path.suffix.lower() in CONTAINERS:
        try:
            tags = probe(path).metadata
        except UnderstudyError:
            return out
        out |= {key: value for key, value in tags.items() if "AI modified" in value or key == "AIGC"}
    return out


def _sidecar(path: Path) -> Literal["fits", "of another file", "damaged", "none"]:
    file = sidecar_path(path)
    if not file.is_file():
        return "none"
    try:
        said: Any = json.loads(file.read_text("utf-8"))
        digest = said.get("sha256")
    except (ValueError, AttributeError, OSError):
        return "damaged"
    return "fits" if digest == file_hash(path) else "of another file"


def gravest(answers: Iterable[Answer]) -> int:
    """The exit code of several answers."""
    found = {answer.verdict for answer in answers}
    return max(((place, code) for place, (name, code) in enumerate(EXIT.items()) if name in found))[1]


def read_audit(path: Path) -> str:
    """Hash of the audit log's line that a file's manifest names, checked or not; empty when it names none."""
    answer = _verify_manifest(list_path(path) if path.is_dir() else path, None)
    return str((answer.consent or {}).get("audit", ""))


def read_consent(path: Path) -> tuple[str, ...]:
    """Hashes of the consent records that a file's manifest names, checked or not; none when it has none."""
    answer = _verify_manifest(path, None)
    records: Any = (answer.consent or {}).get("records", [])
    return tuple(str(each) for each in records)
