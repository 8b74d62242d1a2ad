"""Hair: a shell over the skull, a curtain of long hair, a fringe; grids whose texture ends in strands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int

from understudy.performers.appearance import Appearance
from understudy.performers.canvas import noise
from understudy.performers.hairline import hairline_height
from understudy.performers.topology import grid

SHEET = 1024
"""Side of the hair's texture, texels: the shell has the upper half, curtain and fringe share the lower."""

_JOIN = 96
"""Columns over which the end of a sheet runs into its beginning."""

_RINGS, _AROUND = 21, 73
_CURTAIN = (14, 37)
_FRINGE = (7, 25)

_THICKNESS: dict[str, tuple[float, float]] = {
    # at least, and how much more with length, centimetres
    "short": (0.55, 0.9), "parted": (0.7, 1.1), "volume": (1.3, 1.6), "curls": (1.5, 2.6), "bob": (0.8, 0.7),
    "long": (0.7, 0.7), "tied": (0.45, 0.3), "receding": (0.4, 0.5), "buzz": (0.0, 0.0), "bald": (0.0, 0.0),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Hair:
    """The hair's texture and which grids there are."""

    texture: Float32[np.ndarray, "s s 4"]
    """Linear albedo and coverage."""
    relief: Float32[np.ndarray, "s s"]
    """Height, centimetres."""
    thickness: Float[np.ndarray, "21 73"]
    """Of the shell over the skull, centimetres."""
    curtain: float
    """Length of the curtain below the ears, centimetres; 0 for none."""
    fringe: float
    """0 for none."""
    sweep: float
    """Which way the fringe falls, −1 to 1."""
    bun: bool
    """True with a knot at the back."""


def has_hair(look: Appearance) -> bool:
    """False when the scalp's painted roots are all there is."""
    return look.hair_style not in ("bald", "buzz")


def _unit(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
    return u.astype(np.float32), v.astype(np.float32)


def _strands(rng: np.random.Generator, rows: int, columns: int, curl: float) -> np.ndarray:
    """Streaks that run down the rows, wavy by ``curl``."""
    fine = noise(rng, (rows, columns), 0.7, along=30.0)
    broad = noise(rng, (rows, columns), 2.6, along=16.0)
    out = 0.8 * fine + 0.4 * broad
    u, v = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    wave = noise(rng, (rows, columns), 24.0, along=0.8)
    shift = (1.0 + 5.0 * curl) * wave
    return cv2.remap(
        out.astype(np.float32),
        (u + shift).astype(np.float32),
        v,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


def _joined(sheet: np.ndarray) -> np.ndarray:
    """A sheet whose last columns run over into its first, ``_JOIN`` columns narrower."""
    columns = sheet.shape[1] - _JOIN
    out = sheet[:, :columns].copy()
    t = np.linspace(0, 1, _JOIN, dtype=np.float32)
    out[:, :_JOIN] = sheet[:, :_JOIN] * t + sheet[:, columns:] * (1 - t)
    return out


def _grain(rng: np.random.Generator, look: Appearance) -> np.ndarray:
    """Strands (or curls) over half a sheet, about −1 to 1."""
    shape = (SHEET // 2, SHEET + _JOIN)
    strands = _strands(rng, *shape, look.curl)
    if look.hair_style == "curls":
        strands = 0.35 * strands + 0.8 * noise(rng, shape, 2.0, 4.0)
    return np.clip(_joined(strands), -2.2, 2.2)


def _paint(look: Appearance, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Colour with coverage, and relief, of the whole sheet."""
    sheet = np.zeros((SHEET, SHEET, 4), np.float32)
    half, split = SHEET // 2, int(SHEET * 0.7)
    upper, lower = _grain(rng, look), _grain(rng, look)
    relief = np.concatenate([upper, lower])
    base = np.array(look.hair_color, np.float32)
    color = base * np.clip(1 + (0.15 if look.hair_style == "curls" else 0.24) * relief, 0.3, 1.8)[..., None]
    sheet[..., :3] = np.clip(color, 0, 1) ** 2
    u, v = _unit(half, SHEET)
    sheet[:half, :, 3] = np.clip((v - hairline_height(u, look) - 0.02 + 0.022 * upper) / 0.045, 0, 1)
    # curtain: left part of the lower half, ragged at its end and its front edges, which come out from under
    u, v = _unit(half, split)
    end = np.clip((1 - v - 0.05 * (1 + lower[:, :split])) / 0.05, 0, 1)
    inset = 0.012 * (1 + 0.7 * lower[:, :split]) + 0.13 * np.clip(1 - v / 0.3, 0, 1)
    sheet[half:, :split, 3] = end * np.clip((0.5 - np.abs(u - 0.5) - inset) / 0.02, 0, 1)
    # fringe: right part
    u, v = _unit(half, SHEET - split)
    grain = lower[:, split:]
    end = np.clip((0.72 + 0.2 * look.hair_length - v + 0.09 * grain) / 0.08, 0, 1)
    sheet[half:, split:, 3] = end * np.clip((0.5 - np.abs(u - 0.5)) / 0.05 + 0.3 * grain, 0, 1)
    return sheet, relief


def _thick(look: Appearance, rng: np.random.Generator) -> Float[np.ndarray, "21 73"]:
    """Thickness of the shell, centimetres: it rises from the skull behind the hair line."""
    curls = look.hair_style == "curls"
    least, more = _THICKNESS[look.hair_style]
    place, back = np.meshgrid(np.linspace(0, 1, _AROUND), np.linspace(0, 1, _RINGS))
    rise = np.clip((back - hairline_height(place, look) - 0.05) / 0.24, 0, 1)
    rise = rise * rise * (3 - 2 * rise)
    top = np.cos(place * 2 * np.pi) * 0.5 + 0.5
    lumps = noise(rng, (_RINGS, _AROUND), 1.6 if curls else 2.5)
    fade = np.minimum(place, 1 - place) / 0.12  # the first column is the last: lumps fade where they meet
    lumps = lumps * np.clip(fade, 0, 1)
    thick = (least + more * look.hair_length) * rise * (0.55 + 0.6 * top)
    thick *= 1 + (0.16 if curls else 0.09) * lumps
    if look.hair_style == "parted":
        part = 0.06 if look.texture_seed % 2 else 0.94
        thick *= 1 - 0.55 * np.exp(-(((place - part) / 0.025) ** 2)) * (back < 0.6)
    return thick


def grow_hair(look: Appearance) -> Hair:
    """Texture and thickness of a performer's hair."""
    rng = np.random.default_rng(look.texture_seed + 2)
    sheet, relief = _paint(look, rng)
    thickness = _thick(look, rng)
    lengths = {"bob": 5.5 + 5.0 * look.hair_length, "long": 14.0 + 12.0 * look.hair_length}
    return Hair(
        texture=sheet,
        relief=(0.016 * relief).astype(np.float32),
        thickness=thickness,
        curtain=lengths.get(look.hair_style, 0.0),
        fringe=look.fringe if look.hair_style != "receding" else 0.0,
        sweep=float(rng.uniform(-1, 1)),
        bun=look.hair_style == "tied",
    )


@cache
def _resample() -> tuple[np.ndarray, np.ndarray]:
    """Linear maps from the skull's 11 × 36 points to the shell's 21 × 73 (cubic around, linear back)."""
    around = np.zeros((_AROUND, 36))
    for i in range(_AROUND):
        place = i / 2
        start, t = int(place), place - int(place)
        weights = (-(t**3) + 2 * t**2 - t, 3 * t**3 - 5 * t**2 + 2, -3 * t**3 + 4 * t**2 + t, t**3 - t**2)
        for k, weight in enumerate(weights):
            around[i, (start + k - 1) % 36] += weight / 2
    back = np.zeros((_RINGS, 11))
    for i in range(_RINGS):
        start = min(i // 2, 9)
        back[i, start] += 1 - (i / 2 - start)
        back[i, start + 1] += i / 2 - start
    return around, back


def _shell(hair: Hair, skull: Float[np.ndarray, "11 36 3"]) -> np.ndarray:
    around, back = _resample()
    points = np.einsum("ab,rbk->rak", around, np.einsum("qr,rbk->qbk", back, skull))
    outward = points - np.array([0.0, -1.0, 7.0])
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    return points + outward * (0.06 + hair.thickness[..., None])


def _curtain(hair: Hair, skull: np.ndarray) -> np.ndarray:
    """Long hair from the crown's sides round the back, in head space."""
    rows, columns = _CURTAIN
    turn = np.linspace(-1, 1, columns)[None] * np.deg2rad(138)
    down = np.linspace(0, 1, rows)[:, None] ** 1.1
    half_width = np.abs(skull[2:6, :, 0]).max()
    top, bottom = -10.5, 2.0 + hair.curtain
    y = top + (bottom - top) * down + 0 * turn
    dome = np.sqrt(np.clip(1 - np.clip((-1.5 - y) / 10.5, 0, 1) ** 2, 0.05, 1))
    # it comes out from under the shell: inside it at the crown, outside from the brows down
    out = np.clip((y + 8.5) / 5.5, 0, 1)
    out = out * out * (3 - 2 * out)
    neck = np.clip((y - 5.0) / 8.0, 0, 1)
    shoulder = np.clip((y - 17.0) / 5.0, 0, 1)
    wave = 0.25 * np.sin(turn * 9 + y * 0.5) * out
    wide = (half_width - 1.2 + 2.3 * out) * dome * (1 - 0.16 * neck)
    deep = (8.9 + 1.9 * out) * dome * (1 - 0.22 * neck)
    x = (wide + wave + 2.5 * shoulder) * np.sin(turn)
    z = 7.9 + (deep + wave) * np.cos(turn) - 1.5 * shoulder
    forward = np.clip(np.abs(turn) - 1.9, 0, 1)
    z = z - forward * (0.5 + 1.2 * neck) * out
    return np.stack([x, y, z], -1)


def _fringe(hair: Hair, skull: np.ndarray) -> np.ndarray:
    """Strands over the forehead, from the shell forwards and down."""
    rows, columns = _FRINGE
    wide = np.linspace(-1, 1, columns)
    around, _ = _resample()
    index = (wide * 12) % 72
    shell = _shell(hair, skull)
    rings = [shell[k] for k in (7, 5, 3)] + [around @ skull[0]]
    path = [
        np.stack([np.interp(index, np.arange(_AROUND), ring[:, k]) for k in range(3)], 1) for ring in rings
    ]
    outward = path[-1] - np.array([0.0, -1.0, 7.0])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    for ring, lift in zip(path, (0.12, 0.3, 0.5, 0.62), strict=True):
        ring += outward * lift
    length = 2.0 + 2.0 * hair.fringe
    sweep = np.array([0.35 * hair.sweep, 1.0, 0.0])
    for step in (0.35, 0.7, 1.0):
        hanging = path[3] + sweep * length * step
        hanging[:, 2] += 0.1 * length * step**2 - 0.25 * step + 0.35 * step * wide**2
        path.append(hanging)
    out = np.stack(path)
    assert out.shape == (rows, columns, 3)
    return out


def _bun(skull: np.ndarray) -> np.ndarray:
    middle = skull[-3:].reshape(-1, 3).mean(0) + np.array([0, -3.5, 2.4])
    polar, turn = np.meshgrid(
        np.linspace(0.05, np.pi - 0.05, 9), np.linspace(0, 2 * np.pi, 17), indexing="ij"
    )
    ball = np.stack([np.sin(polar) * np.cos(turn), -np.cos(polar), np.sin(polar) * np.sin(turn)], -1)
    return middle + 3.1 * ball


@cache
def _grid(kind: str) -> tuple[Int[np.ndarray, "t 3"], Float32[np.ndarray, "n 2"]]:
    rows, columns = {"shell": (_RINGS, _AROUND), "curtain": _CURTAIN, "fringe": _FRINGE, "bun": (9, 17)}[kind]
    x0, y0, x1, y1 = {
        "shell": (0.0, 0.0, 1.0, 0.5), "curtain": (0.0, 0.5, 0.7, 1.0), "fringe": (0.7, 0.5, 1.0, 1.0),
        "bun": (0.1, 0.55, 0.6, 0.85),
    }[kind]  # fmt: skip
    u, v = np.meshgrid(np.linspace(x0, x1, columns), np.linspace(y0, y1, rows))
    places = np.stack([u.ravel(), v.ravel()], 1) * SHEET
    margin = 1.0
    places[:, 0] = np.clip(places[:, 0], x0 * SHEET + margin, x1 * SHEET - margin)
    places[:, 1] = np.clip(places[:, 1], y0 * SHEET + margin, y1 * SHEET - margin)
    return grid(rows, columns), places.astype(np.float32)


def pose_hair(hair: Hair, skull: Float[np.ndarray, "11 36 3"]) -> list[tuple[str, np.ndarray]]:
    """Grids of the hair in head space: name, (n, 3) vertices."""
    out = [("shell", _shell(hair, skull).reshape(-1, 3))]
    if hair.curtain:
        out.append(("curtain", _curtain(hair, skull).reshape(-1, 3)))
    if hair.fringe:
        out.append(("fringe", _fringe(hair, skull).reshape(-1, 3)))
    if hair.bun:
        out.append(("bun", _bun(skull).reshape(-1, 3)))
    return out


def hair_grid(kind: str) -> tuple[Int[np.ndarray, "t 3"], Float32[np.ndarray, "n 2"]]:
    """Triangles and places in the hair's texture of one grid."""
    return _grid(kind)


def close_seam(kind: str, normals: Float32[np.ndarray, "n 3"]) -> None:
    """Give the first and the last column of a closed grid, which lie in one place, one normal."""
    rows, columns = (_RINGS, _AROUND) if kind == "shell" else (9, 17)
    table = normals.reshape(rows, columns, 3)
    mean = table[:, 0] + table[:, -1]
    mean /= np.linalg.norm(mean, axis=1, keepdims=True) + 1e-9
    table[:, 0] = table[:, -1] = mean
