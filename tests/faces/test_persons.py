from __future__ import annotations

import numpy as np

from understudy.faces.persons import group_tracks


def vectors(*places: float) -> dict[int, np.ndarray]:
    return {track: np.array([place, 0.0], np.float32) for track, place in enumerate(places)}


def test_tracks_of_one_person_are_joined_and_the_most_seen_comes_first() -> None:
    identities = vectors(0.0, 5.0, 0.2, 5.1, 9.0)
    faces = {0: 10, 1: 30, 2: 10, 3: 5, 4: 50}
    assert group_tracks(identities, faces, 0.6) == {4: 0, 1: 1, 3: 1, 0: 2, 2: 2}


def test_average_linkage_does_not_chain() -> None:
    identities = vectors(0.0, 0.5, 1.0, 1.5)  # each near to the next, the ends far apart
    persons = group_tracks(identities, dict.fromkeys(range(4), 10), 0.6)
    assert persons[0] == persons[1] != persons[2] == persons[3]


def test_tracks_without_a_vector_are_persons_of_their_own() -> None:
    assert group_tracks(vectors(0.0), {0: 5, 7: 2, 8: 9}, 0.6) == {8: 0, 0: 1, 7: 2}
    assert group_tracks({}, {}, 0.6) == {}
