"""What training sees of a face set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drawn_sets import SIZE, draw_set
from understudy.faces.faceset import FaceSet
from understudy.image.geometry import align
from understudy.models import MODELS
from understudy.pipelines.runs.faces import frame_face
from understudy.training.augment import MARGIN, store_side


def test_what_a_painted_mask_leaves_out_is_not_learned_from(tmp_path: Path):
    """The right half of the crop is painted out; the face's mask loses what lies there and keeps the rest."""
    faces = draw_set(tmp_path / "faces", 4, (200, 150, 120))
    record = faces.records[0]
    model, side = MODELS["df"](resolution=64, coverage=0.8), store_side(64)
    before = frame_face(faces, record, model, side)
    painted = np.full((SIZE, SIZE), 255, np.uint8)
    painted[:, SIZE // 2 :] = 0
    faces.write_mask(record, painted)
    after = frame_face(FaceSet.open(faces.path), record, model, side)
    # where the crop's middle column lies in the training picture
    stored = record.alignment.crop_matrix(SIZE)
    wanted = align(record.points, model.crop).crop_matrix(side, model.coverage * MARGIN)
    frame = np.linalg.solve(stored[:, :2], np.array([SIZE / 2, SIZE / 2]) - stored[:, 2])
    edge = (wanted[:, :2] @ frame + wanted[:, 2])[0]
    left, right = slice(0, int(edge) - 2), slice(int(edge) + 3, None)
    assert np.array_equal(after.mask[:, left], before.mask[:, left])
    assert before.mask[:, right].max() == 255
    assert after.mask[:, right].max() == 0
    assert after.features[:, right].max() == 0
    assert np.array_equal(after.picture, before.picture)


def test_a_mask_that_leaves_nothing_out_changes_nothing(tmp_path: Path):
    faces = draw_set(tmp_path / "faces", 4, (200, 150, 120))
    record, model = faces.records[0], MODELS["df"](resolution=64)
    before = frame_face(faces, record, model, 104)
    faces.write_mask(record, np.full((SIZE, SIZE), 255, np.uint8))
    assert np.array_equal(frame_face(faces, record, model, 104).mask, before.mask)
