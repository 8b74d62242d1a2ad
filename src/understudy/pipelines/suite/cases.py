"""The fixed suite: which performers are swapped in which scenes, and the methods that are compared.

All seeds of the suite stand here and nowhere else. The **test half** is drawn from performers that every
trainer refuses (``performers.TEST_SEEDS_FROM``) and is used by ``understudy evaluate --suite performers``
only: choices (losses, recipes, thresholds) are made on other performers or on the development half. In each
half the people who receive a face are two of light, two of medium and two of dark skin, from 25 to 72
years.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from understudy.performers.draw import PerformersSettings
from understudy.performers.scene import Occluder

Half = Literal["development", "test"]


@dataclass(frozen=True, kw_only=True)
class SuiteCase:
    """One swap: who into whom, and where."""

    source: int
    """Seed of the performer who is put in."""
    target: int
    """Seed of the performer who receives the face."""
    light: Literal["same", "other"] = "same"
    """Whether the source was filmed in the target's light."""
    occluder: Occluder = "none"
    """What is before the target's face."""

    @property
    def name(self) -> str:
        """For folders and tables."""
        return f"{self.source}_{self.target}"

    def drawings(
        self, size: int, source_frames: int, target_frames: int
    ) -> tuple[PerformersSettings, PerformersSettings]:
        """What is drawn: the source's footage, and the target's with its exact swap."""
        side = (size, size)
        source = PerformersSettings(
            seed=self.source,
            frames=source_frames,
            size=side,
            scene=self.target if self.light == "same" else self.source,
            background=self.source,
            sound=False,
        )
        target = PerformersSettings(
            seed=self.target,
            swap_with=self.source,
            frames=target_frames,
            size=side,
            occluder=self.occluder,
            sound=False,
        )
        return source, target


CASES: Mapping[Half, tuple[SuiteCase, ...]] = MappingProxyType(
    {
        "development": (
            SuiteCase(source=5118, target=5123),
            SuiteCase(source=5137, target=5115, light="other"),
            SuiteCase(source=5128, target=5122),
            SuiteCase(source=5113, target=5127, light="other", occluder="glasses"),
            SuiteCase(source=5139, target=5140, occluder="hand"),
            SuiteCase(source=5130, target=5135, light="other"),
        ),
        "test": (
            SuiteCase(source=1_000_021, target=1_000_013),
            SuiteCase(source=1_000_019, target=1_000_011, light="other"),
            SuiteCase(source=1_000_002, target=1_000_025),
            SuiteCase(source=1_000_001, target=1_000_006, light="other", occluder="glasses"),
            SuiteCase(source=1_000_020, target=1_000_029, occluder="hand"),
            SuiteCase(source=1_000_015, target=1_000_024, light="other"),
        ),
    }
)

_FRAMING = {"crop": "full", "coverage": 0.8}
_SIZES = {"e_dims": 32, "ae_dims": 128, "d_dims": 32, "d_mask_dims": 8, "options": "d", "normalized": True}
_PLAIN: dict[str, Any] = {"dssim": {}, "mse": {"weight": 10.0}}
BUDGET: Mapping[str, Any] = MappingProxyType(
    {
        "batch": 4,
        "augmentation": {
            "rotation": 4.0, "scale": 0.06, "shift": 0.02, "flip_source": 0.4, "flip_target": 0.4,
            "warp_strength": 0.6, "color": 0.2,
        },
        "optimizer": {"name": "adam", "rate": 1e-3, "warm_up": 100, "schedule": "cosine", "clip": 1.0},
    }
)  # fmt: skip
"""How every method is trained, where nothing else is asked for: what a processor can do."""


@dataclass(frozen=True)
class Method:
    """A row of the table."""

    model: Mapping[str, Any]
    """Settings of the model, with its name."""
    losses: Mapping[str, Any]
    """Losses besides DSSIM and MSE."""
    paper: str = ""
    """The row of the DeepFaceLab paper's tables that it stands for; empty for none."""

    def changes(self, resolution: int) -> dict[str, Any]:
        """What it changes in the settings of a training."""
        model = {**_FRAMING, **self.model, "resolution": resolution}
        return {"model": model, "losses": {**_PLAIN, **self.losses}}


_GAN = {"patch_gan": {"weight": 0.1}}
_TRUE_FACE = {"true_face": {"weight": 0.01}}
_EXPRESSION = {"expression": {"weight": 1.0, "spread": 3.0}}


def _sized(name: str) -> dict[str, Any]:
    return {"name": name, **_SIZES}


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "original": Method({"name": "original", "width": 64, "code": 256}, {}, "DeepFakes"),
        "df": Method(_sized("df"), {}, "DF"),
        "dfhd": Method(_sized("dfhd"), {}, "DFHD"),
        "dfhd+gan": Method(_sized("dfhd"), _GAN, "DFHD + GAN"),
        "dfhd+gan+trueface": Method(_sized("dfhd"), {**_GAN, **_TRUE_FACE}, "DFHD + GAN + TrueFace"),
        "liae": Method(_sized("liae"), {}, "LIAE"),
        "liaehd": Method(_sized("liaehd"), {}, "LIAEHD"),
        "liaehd+gan": Method(_sized("liaehd"), _GAN, "LIAEHD + GAN"),
        "liaehd+gan+trueface": Method(_sized("liaehd"), {**_GAN, **_TRUE_FACE}, "LIAEHD + GAN + TrueFace"),
        "df+gan": Method(_sized("df"), _GAN),
        "df+trueface": Method(_sized("df"), _TRUE_FACE),
        "df+expression": Method(_sized("df"), _EXPRESSION),
        "liae+expression": Method(_sized("liae"), _EXPRESSION),
    }
)
"""Every method by the name a person types."""
BASELINES = ("untouched", "re-encoded", "mean colour", "exact")
"""What bounds the table: the target as it is, the same encoded as every result is (else PSNR measures the
codec), its face painted over in the face's mean colour, and the exact swap, encoded too."""
