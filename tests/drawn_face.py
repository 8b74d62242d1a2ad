"""A cartoon head with known places, plain enough to draw in a test, good enough for the networks to find."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = 512
BACKGROUND = (92, 104, 112)

PLACES = {
    "right_iris": (210.0, 236.0),
    "left_iris": (302.0, 236.0),
    "nose_tip": (256.0, 296.0),
    "mouth": (256.0, 340.0),
    "right_mouth_corner": (214.0, 340.0),
    "left_mouth_corner": (298.0, 340.0),
    "chin": (256.0, 404.0),
}
"""In pixels of a picture of 512, right and left being the person's."""
EYE_DISTANCE = 92.0


def draw_face(skin: tuple[int, int, int] = (214, 170, 140)) -> np.ndarray:
    """RGB picture of 512 x 512 pixels."""
    picture = np.full((SIZE, SIZE, 3), BACKGROUND, np.uint8)
    dark = tuple(int(value * 0.82) for value in skin)
    light = tuple(min(255, int(value * 1.07)) for value in skin)
    hair = (58, 40, 30)

    def oval(x, y, across, down, color, first=0, last=360, thickness=-1, turned=0):
        center, axes = (x * 16, y * 16), (across * 16, down * 16)
        cv2.ellipse(picture, center, axes, turned, first, last, color, thickness, cv2.LINE_AA, 4)

    oval(256, 235, 128, 160, hair)
    cv2.rectangle(picture, (206, 360), (306, 500), dark, -1)
    oval(256, 262, 108, 142, skin)
    oval(256, 150, 100, 45, hair)
    for side in (-1, 1):
        x = 256 + side * 46
        oval(x, 232, 30, 17, dark)
        oval(x, 236, 22, 10, (245, 240, 236))
        oval(x, 236, 10, 10, (70, 90, 60))
        oval(x, 236, 5, 5, (15, 12, 10))
        oval(x, 230, 24, 12, (60, 40, 32), 190, 350, 3)
        oval(x + side, 205, 32, 9, (62, 44, 34), 180, 360, 8, side * 4)
        oval(256 + side * 13, 300, 6, 4, (120, 80, 64))
    oval(256, 262, 9, 46, light)
    oval(256, 296, 22, 10, dark, 10, 170, 3)
    oval(256, 340, 42, 14, (176, 92, 88))
    oval(256, 338, 40, 3, (110, 50, 50))
    oval(256, 372, 26, 6, dark)
    picture = cv2.GaussianBlur(picture, (0, 0), 2.2)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    shade = 1 - 0.25 * x - 0.4 * (x**2 + y**2)
    return np.clip(picture * shade[..., None], 0, 255).astype(np.uint8)


def pasted(face: np.ndarray, side: int, place: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """The picture, reduced to ``side``, with its top left at ``place`` (x, y) of a plain frame."""
    frame = np.empty((*shape, 3), np.uint8)
    frame[:] = BACKGROUND
    x, y = place
    frame[y : y + side, x : x + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return frame
