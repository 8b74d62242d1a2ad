"""The page about a source's readiness for a shot: what it lacks, maps, light, sharpness, repetition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from understudy import __version__
from understudy.faces.faceset import FaceSet
from understudy.metrics.report import (
    Figure,
    Gallery,
    HeatMap,
    Histogram,
    Paragraphs,
    Part,
    PictureRow,
    Report,
    Sheet,
    Table,
)
from understudy.pipelines.readiness import coverage
from understudy.pipelines.readiness.shot_needs import FEWEST, NEAR, Readiness, crops_of, sentences, spans

FORMAT = 1
_SHOWN = 12
"""Crops of a kind on the page."""
_NEEDED = 0.005
"""Share of the target's faces from which a state counts as needed."""


def readiness_report(found: Readiness, sets: Sequence[FaceSet]) -> Report:
    """The page and its JSON.

    Args:
        found: the answer.
        sets: the source's face set and the target's, for pictures.
    """
    return Report(
        title=f"{found.source.name} for {found.target.name}",
        subtitle=f"What the shot needs of {len(found.source.records)} source faces, and what they lack. "
        f"By understudy {__version__}.",
        figures=tuple(_figures(found)),
        parts=tuple(_parts(found, sets)),
        data=_json(found),
    )


def _figures(found: Readiness) -> Iterator[Figure]:
    count = len(found.target.records)
    yield Figure(
        label="of the target is served", value=100 * found.served, unit="%", digits=0,
        note=f"n = {count} faces; {100 * found.mirrored:.0f} % with mirror images of the source",
    )  # fmt: skip
    yield Figure(
        label="lacks light for", value=100 * found.dark, unit="%", digits=0, note="of the target's faces"
    )
    sampled = len(found.source.sampled)
    for label, crops, of in (
        ("repeated", found.repeated, sampled),
        ("blurred", found.blurred, len(found.source.records)),
        ("somebody else", found.strangers, found.described),
    ):
        yield Figure(
            label=label, value=len(crops), digits=0, note=f"of {of} source faces that were looked at"
        )
    ratio = float(np.median(found.source.sharpness) / max(1e-9, float(np.median(found.target.sharpness))))
    yield Figure(
        label="sharpness", value=ratio, unit="× the target's", note="median; variance of the Laplacian"
    )


def _parts(found: Readiness, sets: Sequence[FaceSet]) -> Iterator[Part]:
    said = sentences(found)
    yield Paragraphs(title="In short", texts=tuple(said), bullets=True)
    yield from _lacking(found, sets)
    yield _map(found, "pitch", "yaw", "Pose")
    yield _map(found, "mouth", "yaw", "Mouth and where the head is turned")
    yield _states(found)
    names = (found.target.name, found.source.name)
    for column, title, label in (
        (0, "Light from the side", "stops, above 0 the picture's left is brighter"),
        (1, "Light from above", "stops, above 0 the upper half is brighter"),
        (2, "Brightness of the face", "stops below white"),
    ):
        values = (found.target.light[:, column], found.source.light[:, column])
        yield Histogram(title=title, x_label=label, series=tuple(zip(names, values, strict=True)))
    sharp = [np.log10(np.maximum(one.sharpness, 1e-3)) for one in (found.target, found.source)]
    yield Histogram(
        title="Sharpness",
        x_label="power of ten of the Laplacian's variance",
        series=tuple(zip(names, sharp, strict=True)),
        note="Grain and noise count as sharpness; sets of other crop sizes cannot be compared.",
    )
    yield Histogram(
        title="How near the nearest source face is",
        x_label="visible differences in the respect that differs most",
        series=((found.target.name, found.distance),),
    )
    for title, crops in (
        ("Somebody else?", found.strangers),
        ("Blurred", found.blurred),
        ("Repeated", found.repeated),
    ):
        if crops:
            yield _crops(title, crops, found, sets[0])
    yield _words(found)


def _lacking(found: Readiness, sets: Sequence[FaceSet]) -> Iterator[Part]:
    """What is lacking as a table, and the target's faces that need it beside the nearest the source has."""
    count = len(found.target.records)
    shown = found.lacks[:_SHOWN]
    if not shown:
        return
    rows = tuple(
        (lack.words, len(lack.frames), 100 * len(lack.frames) / count, spans(found, lack)) for lack in shown
    )
    more = len(found.lacks) - len(shown)
    yield Table(
        title="What you lack",
        columns=("", "target faces", "%", "where"),
        rows=rows,
        digits=1,
        note="The target does this and no source face comes within a visible difference of it. Left and "
        "right are "
        "the picture's. One face can lack several "
        "things." + (f" {more} rarer lacks are left out." if more else ""),
    )
    chosen: list[int] = []
    for lack in shown[:6]:
        free = [place for place in lack.frames if place not in chosen] or list(lack.frames)
        chosen.append(free[int(np.argmax(found.distance[free]))])
    wanted = crops_of(sets[1], [found.target.records[place] for place in chosen])
    nearest = crops_of(sets[0], [found.source.records[int(found.nearest[place])] for place in chosen])
    pictures = tuple(
        PictureRow(
            label=f"{lack.words}: frame {found.target.records[place].frame}, {found.distance[place]:.1f} "
            "visible "
            "differences away",
            pictures=(want, have),
        )
        for lack, place, want, have in zip(shown, chosen, wanted, nearest, strict=False)
    )
    yield Gallery(
        title="The shot, and the nearest you have",
        columns=(found.target.name, found.source.name),
        rows=pictures,
    )


def _map(found: Readiness, row: str, column: str, title: str) -> HeatMap:
    need = coverage.needs(found.source.states, found.target.states, row, column)
    lacking = _lacking_cells(need)
    respects = {respect.name: respect for respect in coverage.RESPECTS}
    rows, columns = (_used(need.faces.sum(axis)) for axis in (1, 0))
    texts = tuple(
        tuple(
            f"{100 * need.share[r, c]:.0f} % · {need.near[r, c]}" if need.faces[r, c] else ""
            for c in range(*columns.indices(need.faces.shape[1]))
        )
        for r in range(*rows.indices(need.faces.shape[0]))
    )
    values = np.where(need.faces > 0, np.sqrt(need.share / max(1e-9, float(need.share.max()))), np.nan)
    return HeatMap(
        title=title,
        rows=respects[row].words[rows],
        columns=respects[column].words[columns],
        values=values[rows, columns],
        texts=texts,
        marked=frozenset((int(r), int(c)) for r, c in np.argwhere(lacking[rows, columns])),
        note="Share of the target's faces · source faces within a visible difference of them. The darker, "
        "the "
        f"more the shot needs it; framed: the shot needs it and there are fewer than {FEWEST}.",
    )


def _used(counts: np.ndarray) -> slice:
    """From the first state that occurs to the last."""
    places = np.flatnonzero(counts)
    return slice(int(places[0]), int(places[-1]) + 1)


def _lacking_cells(need: coverage.Need) -> np.ndarray:
    return (need.share >= _NEEDED) & (need.faces >= 2) & (need.near < FEWEST)


def _states(found: Readiness) -> Table:
    rows: list[tuple[str | float, ...]] = []
    marked: list[int] = []
    for respect in coverage.RESPECTS:
        rows.append((respect.name,))
        need = coverage.needs(found.source.states, found.target.states, respect.name, respect.name)
        have = np.bincount(coverage.bins_of(found.source.states, respect.name), minlength=len(respect.words))
        lacking = _lacking_cells(need)
        for place, word in enumerate(respect.words):
            if lacking[place, place]:
                marked.append(len(rows))
            wanted = int(need.faces[place, place])
            near = str(need.near[place, place]) if wanted else ""
            rows.append((word, wanted, 100 * float(need.share[place, place]), int(have[place]), near))
    return Table(
        title="State by state",
        columns=("", "target faces", "%", "source faces", "near the target's"),
        rows=tuple(rows),
        digits=1,
        marked=tuple(marked),
        numeric=(4,),
        note="Near are source faces within a visible difference of the mean of the target's faces in that "
        "state. "
        f"Marked: the shot needs it and fewer than {FEWEST} are near.",
    )


def _crops(title: str, names: Sequence[str], found: Readiness, faces: FaceSet) -> Sheet:
    by_name = {record.crop: record for record in found.source.records}
    shown = [by_name[name] for name in names[:_SHOWN]]
    more = f" {len(names) - _SHOWN} more are listed in report.json." if len(names) > _SHOWN else ""
    pictures = crops_of(faces, shown, 128)
    return Sheet(
        title=title,
        pictures=tuple((record.crop, picture) for record, picture in zip(shown, pictures, strict=True)),
        note=f"Crops of the source; one that you delete is not learned from.{more}",
        width=96,
    )


def _words(found: Readiness) -> Paragraphs:
    units = ", ".join(f"{respect.name} {respect.unit:g}" for respect in coverage.RESPECTS)
    return Paragraphs(
        title="What this means",
        texts=(
            "A target face is served when some source face differs from it by less than a visible "
            "difference in "
            "every respect at once. Visible differences are chosen by eye (yaw and pitch in degrees, lids "
            "in [0, 1], the "
            f"others as fractions of the eye distance or the eye's width): {units}. The share that is not "
            "served is a "
            "share of faces, no loss in decibels: a model can fill small gaps, and it learns from the "
            "target too. Gaps "
            "in pose and open mouths cost most.",
            "Mouth width and brows are each person's own, less their median over the set; lids are relative "
            "to "
            "the same "
            "person's open eyes. A set in which somebody grins throughout therefore has the grin as its "
            "rest.",
            f"Light, repetition and identity were looked at in {len(found.source.sampled)} source crops and "
            f"{len(found.target.sampled)} target crops, evenly spread.",
        ),
    )


def _json(found: Readiness) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": "readiness",
        "understudy": __version__,
        "source": {"name": found.source.name, "faces": len(found.source.records)},
        "target": {"name": found.target.name, "faces": len(found.target.records)},
        "served": found.served,
        "served_with_mirror_images": found.mirrored,
        "near": NEAR,
        "units": {respect.name: respect.unit for respect in coverage.RESPECTS},
        "sentences": sentences(found),
        "lacks": [
            {
                "words": lack.words,
                "faces": len(lack.frames),
                "frames": [found.target.records[place].frame for place in lack.frames],
            }
            for lack in found.lacks
        ],
        "light_lacking": found.dark,
        "states": {
            respect.name: {
                word: {"target": int(need), "source": int(have)}
                for word, need, have in zip(
                    respect.words,
                    *(
                        np.bincount(coverage.bins_of(one.states, respect.name), minlength=len(respect.words))
                        for one in (found.target, found.source)
                    ),
                    strict=True,
                )
            }
            for respect in coverage.RESPECTS
        },
        "repeated": found.repeated,
        "blurred": found.blurred,
        "strangers": found.strangers,
        "described": found.described,
        "other_persons": found.other_persons,
        "respects": [asdict(respect) for respect in coverage.RESPECTS],
    }
