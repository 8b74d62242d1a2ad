"""Who is who in a face set: tracks grouped by their identity vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32
from scipy.cluster.hierarchy import fcluster, linkage


def group_tracks(
    identities: Mapping[int, Float32[np.ndarray, "d"]], faces: Mapping[int, int], same_person: float
) -> dict[int, int]:
    """The person of every track.

    Average linkage over the Euclidean distance of the tracks' vectors; a track without a vector is a person
    of its own.

    Args:
        identities: vector of each track that has one.
        faces: number of faces of each track.
        same_person: distance below which two vectors are taken for one person.

    Returns:
        Person of each track; 0 has most faces.
    """
    tracks = sorted(identities)
    labels: dict[int, int] = {}
    if len(tracks) == 1:
        labels = {tracks[0]: 0}
    elif tracks:
        vectors = np.stack([identities[track] for track in tracks]).astype(np.float64)
        found = fcluster(linkage(vectors, "average"), same_person, "distance")
        labels = dict(zip(tracks, (int(label) for label in found), strict=True))
    for track in sorted(set(faces) - set(tracks)):
        labels[track] = -1 - track
    sizes: dict[int, int] = {}
    for track, label in labels.items():
        sizes[label] = sizes.get(label, 0) + faces.get(track, 0)
    order = sorted(sizes, key=lambda label: (-sizes[label], min(t for t in labels if labels[t] == label)))
    return {track: order.index(label) for track, label in labels.items()}
