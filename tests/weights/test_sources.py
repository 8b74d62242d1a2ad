from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest

from understudy.errors import WeightsError
from understudy.registry import Plugin
from understudy.weights import WEIGHTS, PipArchive, WeightTable, declared


def test_every_declaration_is_complete():
    for file in declared():
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256), file.name
        assert file.size > 0
        assert file.license
        assert file.purpose
        assert isinstance(file.source, PipArchive)
        assert file.member.endswith("/" + file.file_name)
        assert re.fullmatch(r"[\w.-]+==[\d.]+", file.source.requirement)


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from understudy.weights import declared; assert declared(); "
        "print([name for name in ('torch', 'cv2', 'ai_edge_litert', 'dlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_plugins_name_declared_files():
    from understudy.detectors import DETECTORS
    from understudy.embedders import EMBEDDERS
    from understudy.landmarkers import LANDMARKERS
    from understudy.segmenters import SEGMENTERS

    named = set()
    for registry in (DETECTORS, LANDMARKERS, EMBEDDERS, SEGMENTERS):
        for name in registry.names():
            plugin: type[Plugin] = registry[name]
            named.update(plugin.weights)
    assert named == {file.name for file in declared()}


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(WeightsError, match="did you mean 'face_landmark'"):
        WEIGHTS["face_landmarks"]


def test_declaring_twice():
    file = declared()[0]
    table = WeightTable([file])
    table.declare(dataclasses.replace(file))
    assert table.all() == [file]
    with pytest.raises(WeightsError, match="two weight files"):
        table.declare(dataclasses.replace(file, sha256="0" * 64))
