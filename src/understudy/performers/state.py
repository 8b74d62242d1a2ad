"""What changes from frame to frame: head pose, place, expression."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from understudy.performers.expression import Expression


@dataclass(frozen=True, kw_only=True)
class State:
    """One moment of a performance."""

    yaw: float = 0.0
    """Degrees; positive looks to the picture's right."""
    pitch: float = 0.0
    """Degrees; positive looks up."""
    roll: float = 0.0
    """Degrees; positive leans clockwise as seen."""
    x: float = 0.0
    """Centimetres to the picture's right."""
    y: float = 0.0
    """Centimetres down."""
    nearer: float = 0.0
    """Centimetres towards the camera."""
    expression: Expression = field(default_factory=Expression)
    """What the face does."""

    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """Head space to camera axes; the head is rolled first, then pitched, then turned."""
        yaw, pitch, roll = np.deg2rad([self.yaw, self.pitch, self.roll])
        cos, sin = np.cos(yaw), np.sin(yaw)
        turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        cos, sin = np.cos(pitch), np.sin(pitch)
        nod = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        cos, sin = np.cos(roll), np.sin(roll)
        lean = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        return turn @ nod @ lean
