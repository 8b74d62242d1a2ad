"""Figures for groups of people: a mean hides whom a method fails.

Performers know their own skin tone (place on the Monk Skin Tone scale, 0 to 9) and age. Groups are thirds of
the tone scale and twenty years of age.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from understudy.metrics.interval import Estimate, estimate

TONES = ("light", "medium", "dark")
"""Monk tones 1 to 3, 4 to 7 and 8 to 10."""
AGES = ("20 to 39", "40 to 59", "60 and more")


def tone_group(tone: float) -> str:
    """The group of a place on the Monk scale, 0 (lightest) to 9; one of ``TONES``."""
    return TONES[0] if tone < 2.5 else TONES[1] if tone < 6.5 else TONES[2]


def age_group(age: float) -> str:
    """The group of an age in years; one of ``AGES``."""
    return AGES[0] if age < 40.0 else AGES[1] if age < 60.0 else AGES[2]


def by_group(figures: Sequence[float], groups: Sequence[str], names: Sequence[str]) -> Mapping[str, Estimate]:
    """The estimate of each group; a group without a video has n = 0.

    Args:
        figures: one a video.
        groups: the group of each.
        names: which groups there are, in the order wanted.
    """
    return {
        name: estimate([value for value, group in zip(figures, groups, strict=True) if group == name])
        for name in names
    }
