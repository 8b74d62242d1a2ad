"""What extraction does for the people in a face set: drawn ones into their lane, strangers left out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from understudy.errors import ConsentError, NoFaceError
from understudy.events import Event, Warned
from understudy.faces.faceset import FaceSet
from understudy.provenance.consent import ConsentStore
from understudy.provenance.proof import declare_performers, standing_now
from understudy.provenance.references import reference_files
from understudy.provenance.standing import Standing, Stranger, strangers

Describe = Callable[[Path], Float32[np.ndarray, "d"]]
"""Identity vector of the person in a picture; raises ``NoFaceError`` where there is none."""


def after_extraction(
    face_set: Path, footage: Sequence[Path], describe: Describe, same_person: float, *, say: bool = True
) -> Iterator[Event]:
    """Puts drawn people into their lane, leaves strangers out, and says if there is no record.

    Args:
        face_set: its folder.
        footage: what it was extracted from.
        describe: describes the record's reference pictures.
        same_person: distance below which two identity vectors are one person.
        say: whether a face set without a record is spoken of.
    """
    declare_performers(face_set, footage)
    standing = standing_now(face_set)
    if standing.refusal:
        yield Warned(message=f"{face_set.name}: {standing.refusal}")
    elif standing.lane == "record":
        yield from leave_strangers_out(face_set, standing, describe, same_person)
    elif say and standing.lane == "none":
        yield Warned(message=standing.sentence)


def leave_strangers_out(
    face_set: Path,
    standing: Standing,
    describe: Describe,
    same_person: float,
    references: Sequence[Path] = (),
) -> Iterator[Event]:
    """Rejects crops that do not show the person of the record, and names them.

    Args:
        face_set: its folder.
        standing: on a record.
        describe: describes reference pictures.
        same_person: distance below which two identity vectors are one person.
        references: the record's reference pictures; none: where they lay when the record was made.
    """
    store = ConsentStore()
    agreement = store.by_hash(standing.record)
    files = list(references) or (reference_files(agreement.record, store) if agreement else [])
    if not files:
        yield Warned(
            message=f"{face_set.name} was not compared with the reference pictures of record {standing.id}, "
            "since they are not where they were: understudy consent attach "
            f"{shlex.quote(str(face_set))} --record {standing.id} --references PICTURE …"
        )
        return
    try:
        found = find_strangers(FaceSet.open(face_set), files, describe, same_person)
    except ConsentError as error:
        yield Warned(message=f"{face_set.name} was not compared with its record: {error}")
        return
    if found:
        FaceSet.open(face_set).reject([each.crop for each in found])
        names = ", ".join(each.crop for each in found[:4]) + (", …" if len(found) > 4 else "")
        yield Warned(
            message=f"{face_set.name}: {len(found)} crops do not show the person of record {standing.id} and "
            f"are left out ({names}; the farthest is {found[0].distance:.2f} away, the same person stays "
            f"below {same_person})"
        )


def find_strangers(
    faces: FaceSet, references: Sequence[Path], describe: Describe, same_person: float
) -> list[Stranger]:
    """Crops of tracks whose identity is far from the reference pictures, those rejected already left out.

    Raises:
        ConsentError: no face is found in any reference picture.
    """
    known: list[np.ndarray] = []
    for path in references:
        try:
            known.append(describe(path))
        except NoFaceError:
            continue
    if not known:
        names = ", ".join(path.name for path in references)
        raise ConsentError(f"no face was found in the reference pictures ({names}); give a clear one")
    crops = {
        record.crop: faces.identities[record.track]
        for record in faces.records
        if record.track in faces.identities and record.crop not in faces.rejected
    }
    return strangers(crops, known, same_person)
