from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from understudy.contracts import Alignment, Face
from understudy.errors import FaceSetError
from understudy.faces.faceset import FaceSet
from understudy.faces.polygons import Polygons, polygons_path, read_polygons, write_polygons
from understudy.faces.writing import FaceSetWriter
from understudy.image.draw import hull_mask

SIZE = 32
SQUARE = np.array([[8.0, 8.0], [24.0, 8.0], [24.0, 24.0], [8.0, 24.0]])
NOTCH = np.array([[16.0, 0.0], [32.0, 0.0], [32.0, 32.0], [16.0, 32.0]])


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    points = np.random.default_rng(0).uniform(8, 24, (478, 3)).astype(np.float32)
    alignment = Alignment(matrix=np.array([[1 / 32, 0, 0], [0, 1 / 32, 0]]), mode="whole")
    with FaceSetWriter(tmp_path / "set", {"mode": "whole", "size": SIZE, "picture": "png"}) as writer:
        writer.begin("a.mp4", "hash")
        for frame in range(2):
            face = Face(
                frame=frame,
                time=0.0,
                index=0,
                track=0,
                box=np.array([8.0, 8.0, 24.0, 24.0]),
                presence=1.0,
                points=points,
                alignment=alignment,
            )
            writer.add(face, np.zeros((SIZE, SIZE, 3), np.uint8))
        writer.read_to(2, complete=True)
        writer.write_persons({0: 0})
    return FaceSet.open(tmp_path / "set")


def test_written_polygons_are_read(faces):
    record = faces.records[1]
    write_polygons(faces, record, Polygons(size=SIZE, include=(SQUARE,), exclude=(NOTCH,)))
    assert polygons_path(faces, record) == faces.path / "masks" / "000001_0.json"
    read = read_polygons(faces, record)
    assert read is not None
    assert read.size == SIZE
    assert np.array_equal(read.include[0], SQUARE)
    assert np.array_equal(read.exclude[0], NOTCH)
    assert read_polygons(faces, faces.records[0]) is None


@pytest.mark.parametrize("size", [32, 64, 16])
def test_what_is_excluded_is_cut_out_whatever_the_order(faces, size):
    half = Polygons(size=SIZE, include=(SQUARE,), exclude=(NOTCH,)).mask(faces.records[0], size)
    wanted = np.zeros((32, 32))
    wanted[8:24, 8:16] = 1
    wanted = wanted.repeat(2, 0).repeat(2, 1) if size == 64 else wanted
    wanted = wanted[::2, ::2] if size == 16 else wanted
    np.testing.assert_allclose(half, wanted, atol=0.08)


def test_polygons_that_overlap_are_one_face(faces):
    mask = Polygons(size=SIZE, include=(SQUARE, SQUARE + 2)).mask(faces.records[0], SIZE)
    assert mask.max() == 1
    assert mask.sum() == pytest.approx(16 * 16 + 16 * 16 - 14 * 14, rel=0.02)


def test_where_only_something_is_excluded_the_outline_is_the_face(faces):
    record = faces.records[0]
    hull = hull_mask(record.points, record.alignment.crop_matrix(SIZE), SIZE)
    mask = Polygons(size=SIZE, include=(), exclude=(NOTCH,)).mask(record, SIZE)
    np.testing.assert_allclose(mask[:, :15], hull[:, :15], atol=1e-6)
    assert mask[:, 17:].max() == 0


def test_a_crops_own_description_counts_without_a_file(faces):
    from understudy.faces.metadata import decode_crop, encode_crop, read_description

    record = faces.records[0]
    crop = faces.path / "crops" / record.crop
    drawn = {"polygons": [{"kind": "include", "points": SQUARE.tolist()}]}
    crop.write_bytes(encode_crop(decode_crop(crop), {**(read_description(crop) or {}), **drawn}, "png"))
    read = read_polygons(faces, record)
    assert read is not None
    assert read.size == SIZE
    assert np.array_equal(read.include[0], SQUARE)
    write_polygons(faces, record, Polygons(size=SIZE, include=(NOTCH,)))
    again = read_polygons(faces, record)
    assert again is not None
    assert np.array_equal(again.include[0], NOTCH)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        json.dumps({"polygons": []}),
        json.dumps({"size": 32, "polygons": [{"kind": "include", "points": [[1, 2], [3, 4]]}]}),
        json.dumps({"size": 32, "polygons": [{"kind": "maybe", "points": SQUARE.tolist()}]}),
        json.dumps({"size": 32, "polygons": [{"kind": "include", "points": [[1, 2], [3, 4], ["x", 1]]}]}),
        json.dumps({"size": 0, "polygons": []}),
        '{"size": 32, "polygons": [{"kind": "include", "points": [[NaN, 1], [2, 3], [4, 5]]}]}',
    ],
)
def test_what_is_not_understood_is_named(faces, text):
    path = polygons_path(faces, faces.records[0])
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(FaceSetError, match=r"000000_0.json"):
        read_polygons(faces, faces.records[0])
