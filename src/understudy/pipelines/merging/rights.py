"""What a render owes to the people in it: refusals and the label before it, the signature at its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy import config, durable
from understudy.errors import ConfigError, OutputError
from understudy.events import Event, Warned
from understudy.faces.faceset import FaceSet
from understudy.faces.records import FaceRecord
from understudy.pipelines.merging.segments import SegmentReport, group_of
from understudy.pipelines.merging.settings import MergeSettings, Station
from understudy.provenance.audit import note
from understudy.provenance.breaks import starts_of
from understudy.provenance.claim import Edit, Mark
from understudy.provenance.labelling import LabelStation, boxes_of, cuts_of
from understudy.provenance.labels import file_hash, fingerprint
from understudy.provenance.manifest import (
    EMBEDDABLE,
    Signed,
    plate_hash,
    sign_folder,
    sign_staged,
)
from understudy.provenance.pictures import require_signing, sign_picture
from understudy.provenance.rights import (
    Rights,
    label_texts,
    name_of_model,
    one_line,
    said_by_model,
    standing_of_model,
    usable,
)
from understudy.provenance.standing import Standing, consent_of
from understudy.provenance.store import ManifestStore
from understudy.provenance.visible import PRESETS
from understudy.video.info import VideoInfo
from understudy.video.writer import is_folder

if TYPE_CHECKING:  # it counts with scipy, for which help has a stand-in
    from understudy.provenance.mark import MarkStation

PRIVATE = ("sign", "source_faces", "device", "workers", "cluster")
"""Settings that are nobody's business outside: where keys and face sets lie, on what it was rendered."""
STRETCHES = 24
"""Stretches of frames that a manifest names at most; the nearest ones are taken together."""


class MergeRights:
    """The rights of one render.

    Args:
        weights: the swapper's weight file.
        target: the footage.
        faces: its face set.
        output: the result.
        info: of the footage.
        settings: label, master, key.
        first: number of the first frame that is rendered.
        cast: weight files of further swappers (``merge.toml``); theirs are the rights of their sources.

    Raises:
        ConsentError: a record forbids it.
        OutputError: it could not be signed.
    """

    def __init__(
        self,
        weights: Path,
        target: Path,
        faces: FaceSet,
        output: Path,
        info: VideoInfo,
        settings: MergeSettings,
        first: int = 0,
        cast: Sequence[Path] = (),
    ) -> None:
        model, every = name_of_model(weights), {each: said_by_model(each) for each in (weights, *cast)}
        digests = dict.fromkeys(said.get("source", {}).get("faces", "") for said in every.values())
        self.rights = Rights(
            standings=(
                _source(weights, every[weights], settings.source_faces),
                usable(faces.path),
                *(_source(each, every[each]) for each in cast),
            ),
            references=tuple(digest for digest in digests if len(digest) == 64),
        )
        self.cast = {"cast": [file_hash(each) for each in cast]} if cast else {}
        owed = self.rights.labels(settings.label)
        if settings.master:
            self.rights.require_master()
        require_signing(settings.sign)
        self.settings, self.output, self.faces = settings, output, faces.path
        self.labels = () if settings.master else owed
        mine = [record for record in faces.records if record.source == target.name]
        self.station = _station(self.labels, mine, info, settings, first)
        self.edit = Edit(
            plate=target,
            references=self.rights.references,
            model=model,
            model_hash=file_hash(weights),
            parameters={**public(settings), **self.cast},
            consent=self.rights.records,
            lane=self.rights.lane,
            label=", ".join(self.labels) or "none",
            owed=(", ".join(owed) or "none") if settings.master else "",
        )
        self.mark: MarkStation | None = None
        if not settings.master:
            from understudy.provenance.mark import MarkKeys, MarkStation, number_for
            from understudy.provenance.spread import GROUP

            secret = MarkKeys().load()
            models = (self.edit.model_hash, *self.cast.get("cast", ()))
            facts = (fingerprint((target,)), *models, output.name, *self.rights.records)
            group = group_of(settings.segment, GROUP)  # segments are rendered by themselves
            self.mark = MarkStation(number_for(secret, facts), first=first, group=group)
            said_by_mark = Mark(algorithm=self.mark.marker.algorithm, value=f"{self.mark.number:08x}")
            self.edit = replace(self.edit, mark=said_by_mark)
        self.size = (info.width, info.height)
        self.signed: Signed | None = None
        self.pictures: list[str] = []
        self.remarks: list[str] = []

    @property
    def stations(self) -> tuple[Station, ...]:
        """What is done to every finished frame: the visible label, then the invisible mark."""
        return (self.station,) if self.mark is None else (self.station, self.mark)

    def begin(self) -> Iterator[Event]:
        """What a person should know before the work."""
        source, standings = self.settings.source_faces, self.rights.standings
        sentence = self.rights.sentence
        if source:  # one command may mend both face sets; for the cast there are models only
            further = replace(self.rights, standings=standings[2:]).sentence
            sentence = "; ".join(filter(None, (one_line(standings[:2], (source, self.faces)), further)))
        if sentence:
            yield Warned(message=sentence)
        if self.settings.breaks and not any(PRESETS[name].seconds for name in self.labels):
            drawn = label_texts(self.labels)
            yield Warned(
                message="breaks: without effect, since no label that stands at the beginning is drawn "
                f"(on every frame: {drawn})"
            )
        if self.settings.master:
            yield Warned(
                message="a master: neither label nor mark is put into it; whoever delivers it owes "
                f"{self.edit.owed}"
            )

    def rendered(self, reports: Iterable[SegmentReport]) -> None:
        """Takes in which frames were changed.

        Args:
            reports: of all segments, in order.
        """
        if is_folder(self.output):
            self.pictures = [name for report in reports for name in report.files]
            return
        changed = (
            frame
            for report in reports
            for frame in range(report.first, report.first + report.frames)
            if not any(first <= frame < last for first, last in report.without)
        )
        self.edit = replace(self.edit, frames=stretches(changed))

    def finish(self, staged: Path) -> None:
        """Signs a whole video, or a picture of a folder, before it gets its name; see ``Finish``."""
        if not self.edit.plate_hash:
            self._log()
        if not is_folder(self.output):
            self.signed = sign_staged(staged, self.output, self.edit, self.settings.sign)
            self.remarks += self.signed.remarks
        elif staged.suffix.lower() in EMBEDDABLE:
            content = sign_picture(staged.read_bytes(), staged.name, self.edit, self.settings.sign)
            durable.write_bytes(staged, content, flush=False)

    def finish_folder(self) -> None:
        """Signs the list of a folder's pictures."""
        if not self.edit.plate_hash:
            self._log()
        self.signed = sign_folder(self.output, self.edit, self.settings.sign)
        self.remarks += self.signed.remarks

    def end(self) -> Iterator[Event]:
        """Files the result, by its mark, in the local store; then what went otherwise than wanted."""
        if self.mark is not None:
            digest = file_hash(self.output) if self.output.is_file() else ""
            manifest = self.signed.data if self.signed else None
            store, records = ManifestStore(), self.rights.records
            try:
                store.add(
                    self.mark.number,
                    self.output,
                    digest,
                    manifest=manifest,
                    records=records,
                    size=self.size,
                )
            except OutputError as error:
                self.remarks.append(str(error))
        for remark in self.remarks:
            yield Warned(message=remark)

    def facts(self) -> dict[str, Any]:
        """For the sidecar."""
        signed = self.signed
        return {
            "consent": {
                "lane": self.edit.lane,
                "records": list(self.edit.consent),
                "label": self.edit.label,
                **({"owed": self.edit.owed} if self.edit.owed else {}),
            },
            "signed": signed is not None and (str(signed.manifest.name) if signed.manifest else "inside"),
            "audit": self.edit.audit,
            **({"mark": self.edit.mark.value} if self.edit.mark else {}),
        }

    def _log(self) -> None:
        """A line in the audit log, whose hash goes into the manifest."""
        assert self.edit.plate is not None
        digest = plate_hash(self.edit.plate)
        facts: dict[str, Any] = {
            "output": self.output.name,
            "plate": digest,
            "model": self.edit.model_hash,
            **self.cast,
            "lane": self.edit.lane,
            "records": list(self.edit.consent),
            "label": self.edit.label,
        }
        head, remark = note("merge", facts)
        self.edit = replace(self.edit, plate_hash=digest, audit=head)
        self.remarks += [remark] if remark else []


def _station(
    labels: Sequence[str],
    records: Sequence[FaceRecord],
    info: VideoInfo,
    settings: MergeSettings,
    first: int,
) -> LabelStation:
    """The labels of a render, clear of every face of the target."""
    return LabelStation(
        labels,
        info.width,
        info.height,
        float(info.rate),
        boxes_of(records),
        cuts_of(records),
        starts_of(settings.breaks, info, first),
    )


def public(settings: MergeSettings) -> dict[str, Any]:
    """Settings that a manifest and a sidecar may say."""
    return {key: value for key, value in config.dump(settings).items() if key not in PRIVATE}


def stretches(frames: Iterable[int], most: int = STRETCHES) -> list[tuple[int, int]]:
    """Rising numbers as stretches, first and last of each; too many are joined where gaps are least."""
    out: list[tuple[int, int]] = []
    for frame in frames:
        if out and frame == out[-1][1] + 1:
            out[-1] = (out[-1][0], frame)
        else:
            out.append((frame, frame))
    gaps = sorted(range(1, len(out)), key=lambda place: out[place][0] - out[place - 1][1])
    closed = set(gaps[: max(0, len(out) - most)])
    joined: list[tuple[int, int]] = []
    for place, (first, last) in enumerate(out):
        if place in closed:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def standings_of(*face_sets: Path) -> list[list[str]]:
    """On what face sets stand, as plain data: a result is made anew when that changes."""
    found = [consent_of(each) for each in face_sets]
    return [[each.lane, each.record, each.label] for each in found]


def trained_on(weights: Path, face_set: Path) -> bool:
    """Whether a model was trained on a face set as it is now; True if it says nothing of that."""
    digest = said_by_model(weights).get("source", {}).get("faces", "")
    faces = FaceSet.open(face_set)
    return not digest or any(faces.choose((person,)).digest() == digest for person in faces.persons())


def remark_on_pictures(weights: Path, source_faces: Path | None) -> str:
    """What is to be said of working pictures; empty if the source has a record, or needs none.

    Raises:
        ConsentError: its record was withdrawn, has ended, or was altered.
    """
    if _source(weights, said_by_model(weights), source_faces).lane != "none":
        return ""
    return "working pictures of somebody without a consent record: not signed, not for publication"


def _source(
    weights: Path, said: Mapping[str, Mapping[str, str]], source_faces: Path | None = None
) -> Standing:
    """On what the source stands: by the face set that is named, or by what the model says."""
    place = weights.resolve().parent.parent if weights.name == "weights.safetensors" else weights
    known = standing_of_model(said.get("source"), place)  # what the model was trained on stays refused
    if source_faces is None:
        return known
    if not trained_on(weights, source_faces):
        raise ConfigError(
            f"source_faces: {source_faces} is not the face set that this model was trained on, or was "
            "changed since; leave it out, or train on it"
        )
    return usable(source_faces)
