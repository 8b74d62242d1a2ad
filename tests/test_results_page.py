"""docs/results.md is filled from benchmarks/results by scripts/fill_results.py, and is up to date."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fill_results", ROOT / "scripts" / "fill_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def method(paper: str, n: int, **figures: float) -> dict[str, object]:
    plain = {name: {"mean": value, "low": None, "high": None, "n": n} for name, value in figures.items()}
    group = {"psnr_truth": {"light": plain.get("psnr_truth")}}
    return {"paper": paper, "pairs": n, "figures": plain, "groups": {"tone": group, "age": group}}


METHODS = {
    "exact": method("", 2, ssim_target=0.6, psnr_truth=36.0),
    "df": method("DF", 2, ssim_target=0.8704, psnr_truth=21.0),
}


def test_the_page_is_what_the_script_writes(page):
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    assert page.filled(text) == text, "run scripts/fill_results.py"


def test_the_papers_figure_stands_before_ours(page):
    lines = page.paper_table(METHODS)
    assert lines[2] == "| exact | 0.600 | – | – | – | – | 2 |"
    assert lines[3] == "| df | 0.73 / 0.870 | 0.39 / – | 0.61 / – | 0.73 / – | 1.12 / – | 2 |"


def test_truth_and_groups_name_their_n(page):
    assert page.truth_table(METHODS)[2:] == ["| exact | 36.00 | 2 |", "| df | 21.00 | 2 |"]
    assert page.group_table(METHODS)[2] == "| exact | 36.00 (n = 2) | 36.00 (n = 2) |"


def test_the_damage_a_metric_is_there_for_is_bold(page):
    rows = {"psnr": json.dumps({"blur": [1.0, 0.9, 1.0], "flicker": -0.001})}
    lines = page.metrics_table(rows, {"damage": {"blur": "", "flicker": ""}})
    assert lines[2] == "| psnr | **1.00** [0.90, 1.00] | 0.00 |"


def test_only_what_is_between_the_markers_is_rewritten(page, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    text = "before\n\n<!-- table: methods paper -->\nold\n<!-- end -->\n\nafter\n"
    assert page.filled(text) == text.replace("old", "*There is no `benchmarks/results/methods.json` yet.*")
    (tmp_path / "methods.json").write_text(json.dumps({"figures": METHODS}))
    assert "| df | 0.73 / 0.870 |" in page.filled(text)
    assert page.filled(page.filled(text)) == page.filled(text)
