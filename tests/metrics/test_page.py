from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from understudy.metrics.chart import Chart, Curve, histogram_svg
from understudy.metrics.page import number_text
from understudy.metrics.parts import Gallery, HeatMap, Histogram, Paragraphs, PictureRow, Sheet, Slider, Table
from understudy.metrics.report import Report, page, write_report

VOID = {"meta", "img", "line", "polyline", "polygon", "rect", "input"}


class Checker(HTMLParser):
    """Fails on tags that are not closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def plain(level: int) -> np.ndarray:
    return np.full((20, 30, 3), level, np.uint8)


def every_part() -> Report:
    slider = Slider(
        title="S<", names=("a&b", "c"), pairs=(("one", plain(10), plain(200)), ("two", plain(0), plain(9)))
    )
    heat = HeatMap(
        title="H", rows=("up", "down"), columns=("left", "right"),
        values=np.array([[0.5, np.nan], [2.0, 0.0]]),
        texts=(("a", "b"), ("c<", "d")), marked=frozenset({(1, 1)}), row_label="tilt", column_label="turn",
    )  # fmt: skip
    curve = Curve(name="k", x=[0.0, 1.0], y=[1.0, 2.0])
    return Report(
        title="T",
        parts=(
            slider,
            Sheet(title="C", pictures=(("f 1", plain(5)),), note="n"),
            heat,
            Table(title="G", columns=("", "x"), rows=(("group",), ("a", 1.5), ("b", 2.5)), marked=(2,)),
            *(Chart(title=f"c{n}", x_label="x", y_label="y", curves=(curve,)) for n in range(3)),
            Histogram(title="I", x_label="v", series=(("s", np.array([1.0, 2.0, 2.5])),)),
            Paragraphs(title="W", texts=("p<q", "r"), bullets=True, strong=True),
            Gallery(title="E", columns=("x",), rows=(PictureRow(label="l", pictures=(plain(3),)),)),
        ),
    )


def test_every_part_is_well_formed_and_escaped():
    text = page(every_part())
    checker = Checker()
    checker.feed(text.replace("<!doctype html>", ""))
    assert checker.open == []
    assert "S&lt;" in text
    assert "a&amp;b" in text
    assert "c&lt;" in text
    assert "p&lt;q" in text
    assert not re.search(r"https?://", text)


def test_only_its_own_script_may_run():
    text = page(every_part())
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "<script" not in page(Report(title="still", parts=every_part().parts[1:]))


def test_a_slider_shows_its_first_pair_and_has_a_button_for_each():
    text = page(every_part())
    assert len(re.findall(r'<div class="stage">', text)) == 1
    assert len(re.findall(r'<div class="stage" hidden>', text)) == 1
    assert re.findall(r'aria-pressed="(\w+)"', text) == ["true", "false"]
    assert "No pictures" in page(Report(title="t", parts=(Slider(title="s", names=("a", "b"), pairs=()),)))


def test_a_heat_map_marks_what_is_lacking_and_keeps_within_its_scale():
    text = page(every_part())
    assert '<td style="--v:0.500">a</td><td class="blank">b</td>' in text
    assert '<td style="--v:1.000">c&lt;</td><td class="lack">d</td>' in text


def test_a_row_of_one_cell_is_a_headline():
    text = page(every_part())
    assert '<tr class="group"><th colspan="2">group</th></tr>' in text
    assert '<tr class="marked"><th scope="row">b</th>' in text
    assert '<th scope="col" class=number>x</th>' in text


def test_charts_in_a_row_stand_side_by_side():
    inside = re.search(r'<div class="charts">(.*?)</div>', page(every_part()), re.DOTALL)[1]
    assert inside.count("<svg") == 4


def test_bars_are_shares_of_the_values():
    values = np.array([0.0] * 30 + [10.0] * 10 + [np.nan] * 60)
    svg = histogram_svg("t", "x", [values])
    heights = [float(h) for h in re.findall(r'<rect class="bar curve0"[^>]* height="([\d.]+)"', svg)]
    assert len(heights) == 2
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.02), "30 of 40 and 10 of 40"
    assert histogram_svg("t", "x", [np.array([np.nan])]) == '<p class="empty">No values.</p>'


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.004, 2, "0.00"),
        (-0.006, 2, "−0.01"),
        (-1234.5, 1, "−1\u202f234.5"),
        (float("nan"), 2, "–"),
        (0.0, 0, "0"),
    ],
)
def test_numbers(value, digits, text):
    assert number_text(value, digits) == text


def test_the_json_is_what_it_was_given(tmp_path):
    data = {
        "n": np.int64(3),
        "x": np.array([1.0, np.nan]),
        "s": frozenset({2, 1}),
        "deep": {"y": float("inf")},
    }
    path = write_report(tmp_path / "report.html", Report(title="t", data=data))
    assert json.loads(path.read_text()) == {"n": 3, "x": [1.0, None], "s": [1, 2], "deep": {"y": None}}
