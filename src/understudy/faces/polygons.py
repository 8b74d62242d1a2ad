"""What a person drew round faces: polygons beside the crops, and the masks that they make.

``masks/000123_0.json``::

    {"size": 512, "polygons": [{"kind": "include", "points": [[120.5, 80.0], [301.0, 95.5], …]},
                               {"kind": "exclude", "points": […]}]}

Corners are (x, y) in pixels of a crop whose side is ``size``; (0, 0) is the outer corner of its first pixel.
The face is what the including polygons cover together, less what the excluding ones do. Where there are only
excluding ones, the face is its landmarks' outline less those: enough where a hand passes before it. Where a
face has no such file, a list ``polygons`` of the same form in its crop's own description counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float32, Float64

from understudy import durable
from understudy.errors import FaceSetError
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.faces.metadata import read_description
from understudy.image.draw import hull_mask, polygon_mask


@dataclass(frozen=True, kw_only=True, eq=False)
class Polygons:
    """The polygons of one face."""

    size: int
    """Side of the crop that they are drawn on, pixels."""
    include: tuple[Float64[np.ndarray, "_ 2"], ...]
    """What is face; none: the outline of the landmarks."""
    exclude: tuple[Float64[np.ndarray, "_ 2"], ...] = ()
    """What lies before it."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, as it stands in the file."""
        drawn = [("include", corners) for corners in self.include]
        drawn += [("exclude", corners) for corners in self.exclude]
        return {
            "size": self.size,
            "polygons": [{"kind": k, "points": np.round(corners, 3).tolist()} for k, corners in drawn],
        }

    def mask(self, record: FaceRecord, size: int) -> Float32[np.ndarray, "{size} {size}"]:
        """The mask of the face, in [0, 1].

        Args:
            record: whose polygons these are.
            size: side of the mask, which shows what the stored crop shows.
        """
        scale = size / self.size
        if self.include:
            mask = polygon_mask([corners * scale for corners in self.include], size)
        else:
            mask = hull_mask(record.points, record.alignment.crop_matrix(size), size)
        if self.exclude:
            mask = mask * (1.0 - polygon_mask([corners * scale for corners in self.exclude], size))
        return mask


def polygons_path(faces: FaceSet, record: FaceRecord) -> Path:
    """Where the polygons of a face lie if it has some."""
    return faces.mask_path(record).with_suffix(".json")


def read_polygons(faces: FaceSet, record: FaceRecord) -> Polygons | None:
    """The polygons of a face; None when nobody drew any.

    Raises:
        FaceSetError: they cannot be understood.
    """
    path = polygons_path(faces, record)
    if path.is_file():
        try:
            said: object = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise FaceSetError(f"{path}: cannot be read ({error}); draw it again, or delete it") from None
        return _parse(said, path)
    crop = faces.path / "crops" / (record.file or record.crop)
    described = read_description(crop) if crop.is_file() else None
    return _parse(described, crop) if described and "polygons" in described else None


def write_polygons(faces: FaceSet, record: FaceRecord, polygons: Polygons) -> None:
    """Keep the polygons of a face.

    Raises:
        OutputError: no space, no permission.
    """
    path = polygons_path(faces, record)
    with durable.explained(path):
        path.parent.mkdir(exist_ok=True)
    durable.write_text(path, json.dumps(polygons.to_json()) + "\n")


def _parse(said: object, path: Path) -> Polygons:
    found: dict[str, list[np.ndarray]] = {"include": [], "exclude": []}
    try:
        table = cast("Mapping[str, Any]", said)
        size = int(table["size"])
        for entry in table["polygons"]:
            corners = np.array(entry["points"], np.float64)
            if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
                raise ValueError(f"a polygon has at least three corners (x, y), got shape {corners.shape}")
            if not np.isfinite(corners).all():
                raise ValueError("a corner is no number")
            found[entry["kind"]].append(corners)
        if size < 1:
            raise ValueError(f"size must be 1 or more, got {size}")
    except (KeyError, TypeError, ValueError) as error:
        raise FaceSetError(
            f"{path}: wanted size and polygons, each with kind (include, exclude) and points; {error!r}"
        ) from None
    return Polygons(size=size, include=tuple(found["include"]), exclude=tuple(found["exclude"]))
