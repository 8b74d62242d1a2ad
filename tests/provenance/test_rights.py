"""What a result owes, by everybody in it; what a model says; labels that another process makes again."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from provenance_frames import frames

import consented
from understudy.errors import CheckpointError, ConsentError
from understudy.provenance.consent import ConsentStore
from understudy.provenance.labelling import LabelStation
from understudy.provenance.rights import (
    Rights,
    one_line,
    records_of_model,
    said_by_model,
    standing_of_model,
    told,
)
from understudy.provenance.standing import Standing, consent_of, declare, require_not_withdrawn
from understudy.training.rundir import SwapperFiles, save_swapper


def on(lane: str, label: str) -> Standing:
    return Standing(
        lane=lane, label=label, sentence=f"{lane}: attach one", record="ab" * 32 if lane == "record" else ""
    )


NONE = on("none", "eu-modified-always")
PERFORMER = on("performer", "credits-only")
RESEARCH = on("research", "research")


@pytest.mark.parametrize(
    ("source", "target", "asked", "labels"),
    [
        (PERFORMER, PERFORMER, "record", ("credits-only",)),
        (NONE, PERFORMER, "record", ("eu-modified-always",)),
        (PERFORMER, NONE, "record", ("eu-modified-always",)),
        (RESEARCH, NONE, "record", ("research",)),
        (on("record", "eu-modified"), on("record", "credits-only"), "record", ("eu-modified",)),
        (on("record", "eu-modified"), NONE, "record", ("eu-modified-always",)),
        (on("record", "credits-only"), PERFORMER, "gb45438", ("gb45438",)),
        (on("record", "eu-modified"), PERFORMER, "gb45438", ("eu-modified", "gb45438")),
        (NONE, NONE, "eu-modified", ("eu-modified-always",)),
    ],
)
def test_the_label_follows_everybody_and_asking_never_takes_away(
    source: Standing, target: Standing, asked: str, labels: tuple[str, ...]
) -> None:
    assert Rights(standings=(source, target)).labels(asked) == labels


def test_the_weakest_lane_counts() -> None:
    assert Rights(standings=(on("record", "eu-modified"), NONE)).lane == "none"
    assert Rights(standings=(PERFORMER, RESEARCH)).lane == "research"
    assert Rights(standings=(PERFORMER, on("record", "eu-modified"))).lane == "record"


def test_a_master_needs_a_record_of_everybody() -> None:
    Rights(standings=(on("record", "eu-modified"), PERFORMER)).require_master()
    for lacking in (NONE, RESEARCH):
        with pytest.raises(ConsentError, match=r"master.*attach one"):
            Rights(standings=(on("record", "eu-modified"), lacking)).require_master()


def test_one_line_with_both_commands(home: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "alice", tmp_path / "scene"]
    for folder in folders:
        folder.mkdir()
        (folder / "faceset.toml").write_text("format = 1\n")
    text = one_line([consent_of(each) for each in folders], folders)
    assert text.startswith("alice and scene have no consent record")
    assert text.count("understudy consent attach") == 2
    declare(folders[0], {"lane": "research", "dataset": "d", "licence": "l"})
    text = one_line([consent_of(each) for each in folders], folders)
    assert (text.startswith("scene has no consent record"), text.count("attach")) == (True, 1)


def swapper(folder: Path, **about: object) -> Path:
    files = SwapperFiles(model="df", settings={"resolution": 32}, weights={"a": torch.zeros(2)}, step=1)
    save_swapper(folder, files, **about)
    return folder / "weights.safetensors"


def test_a_model_carries_hashes_and_no_name(home: Path, tmp_path: Path) -> None:
    agreement = consented.agreement()
    standing = Standing(
        lane="record", label="eu-modified", sentence="", record=agreement.record.hash, id=agreement.record.id
    )
    weights = swapper(
        tmp_path, consent={"source": told(standing, "cd" * 32), "target": told(PERFORMER, "ef" * 32)}
    )
    assert agreement.record.person.encode() not in weights.read_bytes()
    assert records_of_model(weights) == (agreement.record.hash,)
    source = standing_of_model(said_by_model(weights)["source"], weights)
    assert (source.lane, source.label) == ("record", "credits-only"), "the record's own word counts"
    ConsentStore().withdraw(agreement)
    with pytest.raises(ConsentError, match=f"{agreement.record.id} was withdrawn"):
        standing_of_model(said_by_model(weights)["source"], weights)
    with pytest.raises(ConsentError, match="was withdrawn"):
        require_not_withdrawn(records_of_model(weights), weights)


def test_a_model_whose_record_has_ended_since_training_does_not_merge(home: Path, tmp_path: Path) -> None:
    """Trained while it held; the day after its last one nothing is made with it, until it is made anew."""
    today = datetime.datetime.now(datetime.UTC).date()
    day = datetime.timedelta(days=1)
    for until, ended in ((today, False), (today - day, True)):
        agreement = consented.agreement(start="2020-01-01", until=until.isoformat())
        record = agreement.record
        said = {"lane": "record", "record": record.hash, "id": record.id, "label": "credits-only"}
        if not ended:
            assert standing_of_model(said, tmp_path).lane == "record"
            require_not_withdrawn([record.hash], tmp_path)
            continue
        with pytest.raises(ConsentError, match=f"{record.id} ended on {until}"):
            standing_of_model(said, tmp_path)
        with pytest.raises(ConsentError, match=f"{record.id} ended on {until}"):
            require_not_withdrawn([record.hash], tmp_path)


def test_a_model_of_elsewhere_keeps_its_label_without_the_record(home: Path, tmp_path: Path) -> None:
    said = {"lane": "record", "record": "ab" * 32, "id": "0123", "label": "gb45438"}
    assert standing_of_model(said, tmp_path).label == "gb45438"
    assert standing_of_model({**said, "label": "nothing at all"}, tmp_path).label == "eu-modified-always"


def test_a_model_that_says_nothing_gets_the_label(home: Path, tmp_path: Path) -> None:
    weights = swapper(tmp_path)
    assert said_by_model(weights) == {}
    assert standing_of_model(None, weights).label == "eu-modified-always"
    assert standing_of_model({"lane": "trusted"}, weights).lane == "none"
    weights.write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="bring it back"):
        said_by_model(weights)


def test_labels_made_again_from_their_key_are_the_same() -> None:
    walk = {index: [(8.0 * index, 0.0, 8.0 * index + 60, 60.0)] for index in range(30)}
    station = LabelStation(("eu-modified", "gb45438"), 320, 240, 25.0, walk, cuts=[12])
    key = json.loads(json.dumps(station.key()))
    assert key == station.key()
    again = LabelStation.from_key(key)
    (frame,) = frames(1, width=320, height=240)
    for index in (0, 12, 29):
        shown = dataclasses.replace(frame, index=index)
        expected = station(shown).planes[0]
        assert not np.array_equal(expected, frame.planes[0])
        np.testing.assert_array_equal(again(shown).planes[0], expected)
    first, second = (station.labellers[name].places[0] for name in ("eu-modified", "gb45438"))
    apart = first.x0 + first.width <= second.x0 or second.x0 + second.width <= first.x0
    assert apart or first.y0 + first.height <= second.y0 or second.y0 + second.height <= first.y0


def test_a_swapper_that_is_not_there_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file; wanted a run"):
        records_of_model(tmp_path / "weights.safetensors")
