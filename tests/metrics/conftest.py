"""A short performance that the tests of several metrics look at."""

from __future__ import annotations

from fractions import Fraction

import pytest

from understudy.contracts import Face, Frame
from understudy.image.geometry import box_of_points
from understudy.performers.draw import Drawn, render_clip
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.scene import Scene
from understudy.performers.truth import rgb_frame


@pytest.fixture(scope="session")
def drawn() -> list[Drawn]:
    """Five frames of a performer with their exact swaps, 160 pixels a side."""
    source, target = Performer.from_seed(5201), Performer.from_seed(5202)
    return list(
        render_clip(target, Motion.from_seed(5202), Scene.from_seed(5202), 5, size=160, source=source)
    )


@pytest.fixture(scope="session")
def clip(drawn: list[Drawn]) -> list[tuple[Frame, Frame, Face]]:
    """The performer's frames, their exact swaps, their faces."""
    out = []
    for one in drawn:
        assert one.swap is not None
        points = one.frame.points
        face = Face(
            frame=one.index, time=one.index / 25, index=0, track=0, box=box_of_points(points), presence=1.0,
            points=points, alignment=one.frame.alignment(),
        )  # fmt: skip
        frames = [
            rgb_frame(one.index, picture, Fraction(25)) for picture in (one.frame.picture, one.swap.picture)
        ]
        out.append((*frames, face))
    return out
