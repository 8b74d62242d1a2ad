from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from understudy.errors import OutputError
from understudy.metrics.chart import Chart, Curve, chart_svg, round_ticks
from understudy.metrics.report import Figure, Gallery, PictureRow, Report, Table, page, write_report

VOID = {"meta", "img", "line", "polyline", "polygon"}


class Checker(HTMLParser):
    """Fails on tags that are not closed in their order; collects the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def gradient(red: int) -> np.ndarray:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[..., 0] = red
    picture[..., 1] = np.arange(60) * 4
    return picture


@pytest.fixture
def report() -> Report:
    row = PictureRow(label="frame 3 <b>", pictures=(gradient(10), None, gradient(200)))
    steps = tuple(range(1000))
    loss = tuple(float(np.exp(-step / 300)) for step in steps)
    return Report(
        title='A & B "swapped"',
        subtitle="quick",
        figures=(
            Figure(label="PSNR", value=31.237, unit="dB", digits=1, note="higher is better"),
            Figure(label="none", value=float("nan")),
            Figure(label="minus", value=-1234.5, digits=1),
        ),
        galleries=(Gallery(title="Side by side", columns=("Source", "Target", "Result"), rows=(row,)),),
        charts=(
            Chart(
                title="Loss",
                x_label="step",
                y_label="loss",
                curves=(Curve(name="source", x=steps, y=loss),),
                logarithmic=True,
            ),
        ),
        tables=(
            Table(
                title="All", columns=("Picture", "PSNR", "Frames"), rows=(("Result", 31.237, 250),), digits=2
            ),
        ),
        notes=("One <paragraph>.",),
    )


def test_the_page_is_well_formed_and_needs_nothing(report):
    text = page(report)
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert "script" not in checker.tags
    assert "link" not in checker.tags
    assert not re.search(r"https?://", text)
    assert all(image["src"].startswith("data:image/webp;base64,") for image in checker.images)


def test_texts_are_escaped(report):
    text = page(report)
    assert "<paragraph>" not in text
    assert "frame 3 &lt;b&gt;" in text
    assert "A &amp; B &quot;swapped&quot;" in text


def test_numbers_are_written_for_people(report):
    text = page(report)
    assert '31.2<span class="unit">dB' in text
    assert ">–<" in text
    assert "−1\u202f234.5" in text
    assert ">31.24<" in text
    assert ">250<" in text


def test_pictures_are_those_given(report):
    checker = Checker()
    checker.feed(page(report))
    assert [image["alt"] for image in checker.images] == ["Source, frame 3 <b>", "Result, frame 3 <b>"]
    for image, red in zip(checker.images, (10, 200), strict=True):
        data = base64.b64decode(image["src"].split(",", 1)[1])
        decoded = cv2.cvtColor(
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
        )
        assert np.abs(decoded.astype(int) - gradient(red)).mean() < 4


def test_files(report, tmp_path):
    data = write_report(tmp_path / "new" / "report.html", report)
    assert sorted(path.name for path in data.parent.iterdir()) == ["report.html", "report.json"]
    read = json.loads(data.read_text(encoding="utf-8"))
    assert read["figures"][0]["value"] == 31.237
    assert read["figures"][1]["value"] is None
    assert read["galleries"][0]["rows"][0]["pictures"] == [
        {"width": 60, "height": 40},
        None,
        {"width": 60, "height": 40},
    ]
    assert len(read["charts"][0]["curves"][0]["y"]) == 1000


def test_a_place_that_cannot_be(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another place"):
        write_report(tmp_path / "file" / "deep" / "report.html", report)


def test_an_empty_report():
    checker = Checker()
    checker.feed(page(Report(title="Nothing")))
    assert checker.open == []


def one_curve(x: list[float], y: list[float], logarithmic: bool = False) -> str:
    curve = Curve(name="c", x=x, y=y)
    return chart_svg(Chart(title="t", x_label="x", y_label="y", curves=(curve,), logarithmic=logarithmic))


def test_a_curve_goes_where_its_values_are():
    svg = one_curve([0, 1, 2], [0, 10, 5])
    points = re.search(r'class="line curve0" points="([^"]+)"', svg)[1].split()
    x, y = np.array([[float(v) for v in point.split(",")] for point in points]).T
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert y[0] > y[2] > y[1], "up is less in SVG"
    assert y[0] - y[2] == pytest.approx(y[2] - y[1], abs=0.2)


def test_a_long_curve_keeps_its_extremes_in_the_band():
    values = np.ones(50_000)
    values[31_234] = 9.0
    svg = one_curve(list(range(50_000)), values.tolist())
    assert len(svg) < 30_000
    band = re.search(r'class="band curve0" points="([^"]+)"', svg)[1].split()
    heights = [float(point.split(",")[1]) for point in band]
    assert max(heights) - min(heights) > 200


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1.0], [2.0]), ([0, 1], [3, 3]), ([0, 1, 2], [1, float("nan"), float("inf")])]
)
@pytest.mark.parametrize("logarithmic", [False, True])
def test_curves_of_little(x, y, logarithmic):
    assert "nan" not in one_curve(x, y, logarithmic)


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_curve_of_one_point_is_a_dot_over_its_own_place(logarithmic: bool):
    svg = one_curve([100.0, 200.0], [0.5, float("nan")], logarithmic)
    dot = re.search(r'<circle class="bar curve0" cx="([^"]+)" cy="[^"]+" r="4"/>', svg)
    ticks = re.findall(r'<text x="([^"]+)" y="274.0" text-anchor="middle">([^<]+)<', svg)
    assert dot is not None
    assert ticks == [(dot[1], "100")]
    assert "<circle" not in one_curve([100.0, 200.0], [0.5, 0.6], logarithmic)


def test_a_logarithmic_axis_leaves_zero_out():
    svg = one_curve([0, 1, 2, 3], [0.0, 0.01, 1.0, 100.0], logarithmic=True)
    points = re.search(r'class="line curve0" points="([^"]+)"', svg)[1].split()
    assert len(points) == 3
    assert ">0.01<" in svg
    assert ">100<" in svg


@pytest.mark.parametrize("y", [[0.5, 0.7], [0.61, 0.62], [3e-5, 3.4e-5], [1100.0, 1900.0], [7.0, 7.0]])
def test_a_logarithmic_axis_within_a_power_of_ten_still_has_numbers(y: list[float]):
    svg = one_curve([0, 1], y, logarithmic=True)
    numbers = [
        float(text.replace("\u202f", "").replace("−", "-"))
        for text in re.findall(r'text-anchor="end">([\d\u202f.e−-]+)<', svg)
    ]
    assert len(numbers) >= 2
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 17), (0.00021, 0.00094), (1e6, 3.4e6), (99.5, 100.5)])
def test_ticks_are_round_and_inside(low, high):
    ticks = round_ticks(low, high, 6)
    assert 2 <= len(ticks) <= 7
    assert low - 1e-9 * abs(low) <= ticks[0] < ticks[-1] <= high * (1 + 1e-9)
