"""The readiness report: two face sets, or footage, held against each other, and a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from understudy import durable
from understudy.events import Event, Progress, Saved, StageDone, StageStarted, Warned
from understudy.faces.faceset import FaceSet
from understudy.metrics.report import write_report
from understudy.pipelines.extract import ExtractSettings, extract
from understudy.pipelines.footage import open_footage
from understudy.pipelines.measuring import lend
from understudy.pipelines.readiness.page import readiness_report
from understudy.pipelines.readiness.shot_needs import CROPS, Faces, judge, look_at, share_text
from understudy.pipelines.setup import make_context, one_thread

STAGE = "readiness"


def readiness(source: Path, target: Path, folder: Path) -> Iterator[Event]:
    """Compares a source with the shot that it is for; writes ``report.html`` and ``report.json``.

    Args:
        source: a face set, or footage, which is extracted into the report's folder.
        target: likewise.
        folder: where the report goes.

    Raises:
        FaceSetError: a face set that cannot be used.
        NoFaceError: a set without usable faces.
        OutputError: the report cannot be written.
    """
    one_thread()
    for path in (source, target):  # what cannot be read leaves no empty report behind
        if not (path / "faceset.toml").is_file():
            open_footage(path).close()
    with durable.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sets: list[FaceSet] = []
    for path, name in ((source, "source"), (target, "target")):
        if not (path / "faceset.toml").is_file():
            yield from extract((path,), folder / "faces" / name, ExtractSettings())
            path = folder / "faces" / name
        sets.append(FaceSet.open(path))
    total = sum(min(CROPS, len(faces.records)) for faces in sets)
    yield StageStarted(stage=STAGE, detail=f"{source.name} for {target.name}", total=total, unit="faces")
    looked: list[Faces] = []
    for faces, name in zip(sets, (source.name, target.name), strict=True):
        gathered = look_at(faces, name)
        looked.append(gathered)
        done = sum(len(one.sampled) for one in looked)
        yield Progress(stage=STAGE, done=done, total=total)
    lent = lend(make_context("cpu"))
    if lent.embedder is None:
        yield Warned(
            message="strangers are told by what extraction described only: " + "; ".join(lent.lacking)
        )
    found = judge(sets[0], looked[0], looked[1], lent.embedder)
    page = folder / "report.html"
    report = readiness_report(found, sets)
    yield Saved(path=write_report(page, report))
    yield StageDone(
        stage=STAGE,
        summary={
            "source_faces": len(found.source.records),
            "target_faces": len(found.target.records),
            "served": share_text(found.served),
            "lacking": len(found.lacks),
            "repeated": len(found.repeated),
            "blurred": len(found.blurred),
            "strangers": len(found.strangers),
            "report": str(page),
        },
    )
