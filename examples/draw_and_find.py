"""Draw a person who does not exist, find the face again, and say how far the landmarks are from the truth.

python examples/draw_and_find.py [SEED]
"""

from __future__ import annotations

import sys

import numpy as np

from understudy.detectors import DETECTORS
from understudy.landmarkers import LANDMARKERS
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Scene
from understudy.pipelines.setup import fetch_weights, make_context


def main(seed: int) -> None:
    """Draws, finds, compares."""
    drawn = render(Performer.from_seed(seed), Motion.from_seed(seed).state(1.0), Scene.from_seed(seed), 512)
    settings = DETECTORS["blazeface"](), LANDMARKERS["facemesh"]()
    for _ in fetch_weights(settings):  # once; nothing happens when they are here
        pass
    context = make_context("cpu")
    detector, landmarker = settings[0].build(context), settings[1].build(context)
    best = detector(drawn.image)[0]
    (found,) = landmarker(drawn.image, [landmarker.region_of_detection(best)])
    eyes = np.linalg.norm(drawn.points[33, :2] - drawn.points[263, :2])
    error = np.linalg.norm(found.points[:468, :2] - drawn.points[:468, :2], axis=1).mean() / eyes
    yaw, pitch, roll = drawn.pose
    print(f"performer {seed}, yaw {yaw:.0f}°, pitch {pitch:.0f}°, roll {roll:.0f}°")
    print(
        f"found with presence {found.presence:.3f}, landmarks off by {100 * error:.1f} % of the eye distance"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
