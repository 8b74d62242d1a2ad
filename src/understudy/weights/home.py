"""Where understudy keeps its state: weights, keys, manifests, audit log. Settings never come from here."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "UNDERSTUDY_HOME"
"""Environment variable that moves the state folder; tests set it."""


def understudy_home() -> Path:
    """The state folder: ``UNDERSTUDY_HOME``, or the platform's folder for user data. It may not exist yet."""
    if chosen := os.environ.get(HOME_VARIABLE):
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("understudy", appauthor=False))
