"""Segments on a Ray cluster of two nodes, both on this machine."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from merge_footage import make_footage, packets_of
from understudy.errors import ConfigError
from understudy.pipelines.merging.merge import MergeSettings, merge
from understudy.video.encoding import Encoding

SETTINGS = MergeSettings(segment=8, encode=Encoding(preset="ultrafast"))

# Ray has warnings and processes of its own: it stays out of this one
SCRIPT = """
import sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from understudy.cli.main import main

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
try:
    code = main([*sys.argv[1:], "--cluster", cluster.address])
finally:
    cluster.shutdown()
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_two_nodes_give_the_same_packets(tmp_path: Path):
    before = torch.get_num_threads()
    footage = make_footage(tmp_path, frames=20)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = tmp_path / "one" / "out.mp4", tmp_path / "two" / "out.mp4"
    list(merge(footage.swapper, footage.target, footage.faces, one, SETTINGS))
    torch.set_num_threads(before)
    words = ["--swapper", footage.swapper, "--target", footage.target, "--faces", footage.faces.path]
    words += ["-o", two, "--segment", 8, "--encode.preset", "ultrafast", "--workers", 2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "merge", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert packets_of(two) == packets_of(one)


def test_without_ray_it_says_how_to_get_it(tmp_path: Path, monkeypatch):
    footage = make_footage(tmp_path, frames=2)
    monkeypatch.setitem(sys.modules, "ray", None)
    settings = dataclasses.replace(SETTINGS, cluster="auto")
    before = torch.get_num_threads()
    with pytest.raises(ConfigError, match=r"pip install 'understudy\[cluster\]'"):
        list(merge(footage.swapper, footage.target, footage.faces, tmp_path / "out.mp4", settings))
    torch.set_num_threads(before)
