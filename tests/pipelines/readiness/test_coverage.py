from __future__ import annotations

import numpy as np
import pytest

from drawn_sets import points_of
from understudy.pipelines.readiness.coverage import (
    RESPECTS,
    lacks,
    mirrored_states,
    nearest,
    needs,
    states_of,
    words_of,
)

UNITS = np.array([respect.unit for respect in RESPECTS])
NAMES = [respect.name for respect in RESPECTS]


def state(**changed: float) -> np.ndarray:
    row = np.zeros(len(RESPECTS))
    for name, value in changed.items():
        row[NAMES.index(name.replace("_", " "))] = value
    return row


def test_the_words_have_a_state_each():
    for respect in RESPECTS:
        assert len(respect.words) == len(respect.edges) + 1
        assert list(respect.edges) == sorted(respect.edges)


def test_states_are_what_the_faces_do():
    states = states_of(np.stack([points_of(-30.0), points_of(0.0, 12.0), points_of(0.0, 0.0, 1.5)]))
    assert states[:, 0] - states[1, 0] == pytest.approx([-30.0, 0.0, 0.0], abs=3.0)
    assert states[1, 1] - states[2, 1] == pytest.approx(-12.0, abs=3.0), "nodded: down is negative"
    assert states[2, 2] > states[1, 2] + 0.1


def test_the_nearest_face_is_that_of_a_search_through_all():
    random = np.random.default_rng(3)
    source, target = (random.normal(0, 1, (n, 8)) * UNITS for n in (60, 25))
    distance, place = nearest(source, target)
    every = (np.abs(source[None] - target[:, None]) / UNITS).max(-1)
    assert distance == pytest.approx(every.min(1))
    assert (place == every.argmin(1)).all()


def test_mirror_images_turn_and_look_to_the_other_side_only():
    row = state(yaw=20, pitch=5, mouth=0.3, gaze_aside=0.1, gaze_up=0.1)
    assert mirrored_states(row[None])[0] == pytest.approx(
        state(yaw=-20, pitch=5, mouth=0.3, gaze_aside=-0.1, gaze_up=0.1)
    )


def test_what_is_lacking_is_said_in_the_fewest_words():
    source = np.stack([state(), state(yaw=-30), state(mouth=0.3)])
    target = np.stack([state(yaw=-30, mouth=0.3), state(yaw=40), state(yaw=40), state(yaw=1)])
    distance, _ = nearest(source, target)
    found = lacks(source, target, distance > 1)
    assert [(lack.words, lack.frames) for lack in found] == [
        ("turned far to the right", (1, 2)),
        ("turned to the left, mouth open", (0,)),
    ]


def test_a_source_that_has_everything_lacks_nothing():
    states = np.random.default_rng(1).normal(0, 1, (30, 8)) * UNITS
    distance, _ = nearest(states, states)
    assert lacks(states, states, distance > 1) == []


def test_needs_are_counted_state_by_state():
    target = np.stack([state(yaw=-30), state(yaw=-28), state(yaw=0), state(yaw=0, mouth=0.5)])
    source = np.stack([state(yaw=-20), state(yaw=-60), state(yaw=14)])
    need = needs(source, target, "mouth", "yaw")
    assert need.faces.sum() == 4
    assert need.faces[0, 1] == 2
    assert need.near[0, 1] == 1, "within 15 degrees of 29 to the left"
    assert need.near[0, 3] == 1
    assert need.near[3, 3] == 0
    assert need.share.sum() == pytest.approx(1.0)


def test_words_of_a_face():
    assert words_of(state(yaw=-50, mouth=0.2), [0, 2]) == "turned far to the left, mouth open"
