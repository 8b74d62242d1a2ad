"""dlib's frontal face detector: histograms of oriented gradients under a linear classifier, no network.

Dalal & Triggs 2005, "Histograms of Oriented Gradients for Human Detection", with King 2015, "Max-Margin
Object Detection". Finds upright, frontal faces from 80 pixels up; a second opinion, slower than
``blazeface``.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import UInt8

from understudy.contracts import Context, Detection
from understudy.detectors import DETECTORS, DetectorSettings
from understudy.errors import PluginError


@DETECTORS.register("hog")
@dataclass(frozen=True, kw_only=True)
class Hog(DetectorSettings):
    """dlib's frontal face detector (needs ``pip install understudy[hog]``)."""

    threshold: float = 0.5
    """Score from which a box counts as a face, 0 to 1; 0.5 is the classifier's own border."""
    enlarge: int = 0
    """How often the picture is doubled first: 0 finds faces from 80 pixels, 1 from 40 (takes 4 x as long)."""

    def build(self, context: Context) -> HogDetector:
        """Make it; it runs on the processor.

        Raises:
            PluginError: dlib is not installed.
        """
        try:
            import dlib
        except ImportError as error:
            raise PluginError(
                "the detector 'hog' needs dlib, which is not installed: pip install 'understudy[hog]', "
                "or use the detector 'blazeface'"
            ) from error
        return HogDetector(self, dlib)


class HogDetector:
    """Finds faces; see ``contracts.Detector``. Any thread may call it. Has no keypoints to give."""

    def __init__(self, settings: Hog, library: ModuleType) -> None:
        self.settings = settings
        self._library = library
        self._local = threading.local()  # a dlib detector keeps its work space in itself

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Faces of an RGB picture, in its pixels, best first."""
        detector = getattr(self._local, "detector", None)
        if detector is None:
            detector = self._local.detector = self._library.get_frontal_face_detector()
        threshold = self.settings.threshold
        margin = math.log(threshold / (1 - threshold)) if 0 < threshold < 1 else 0.0
        boxes, scores, _ = detector.run(np.ascontiguousarray(image), self.settings.enlarge, margin)
        found = [
            Detection(
                # dlib names the first and the last pixel
                box=np.array([box.left(), box.top(), box.right() + 1, box.bottom() + 1], np.float64),
                score=1 / (1 + math.exp(-score)),
                keypoints=np.empty((0, 2)),
            )
            for box, score in zip(boxes, scores, strict=True)
        ]
        return sorted(found, key=lambda item: -item.score)
