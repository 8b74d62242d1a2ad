"""Pages as a person meets them: in a browser, with keys and mouse, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from browser import Browser, chromium
from understudy.metrics.chart import Chart, Curve
from understudy.metrics.report import Figure, HeatMap, Histogram, Report, Sheet, Slider, Table, write_report


def ramp(level: int) -> np.ndarray:
    return np.linspace(level, 255, 320 * 200 * 3).reshape(200, 320, 3).astype(np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    words = tuple(f"turned rather far to the left {n}" for n in range(7))
    curve = Curve(name="swap", x=list(range(90)), y=np.sin(np.arange(90) / 9).tolist())
    report = Report(
        title="a_rather_long_name_of_a_video_without_any_space_in_it_at_all.mp4, measured",
        figures=tuple(Figure(label=f"figure {n}", value=n / 3, unit="dB", note="of 250") for n in range(6)),
        parts=(
            Slider(title="Before and after", names=("target", "swap"),
                   pairs=(("one", ramp(0), ramp(90)), ("two", ramp(40), ramp(160)))),
            Table(title="All", columns=tuple("abcdefgh"),
                  rows=(("group",), ("name", *(f"{n}.123 … 9" for n in range(7))))),
            Chart(title="Curve", x_label="seconds", y_label="degrees", curves=(curve,)),
            Histogram(title="Often", x_label="v", series=(("s", np.arange(60.0)),)),
            Histogram(title="Often", x_label="v", series=(("s", np.arange(60.0)),)),
            HeatMap(title="Map", rows=words, columns=words, values=np.eye(7),
                    texts=(("12 % · 140",) * 7,) * 7),
            Sheet(title="Sheet", pictures=tuple((f"{n} · 0.04 s", ramp(n)) for n in range(9))),
        ),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(path, report)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def edge(browser: Browser) -> float:
    """Where the edge of the slider is, as a share of the picture's width."""
    return browser.run(
        "(() => { const s = document.querySelector('.stage:not([hidden])').getBoundingClientRect();"
        " const e = document.querySelector('.stage:not([hidden]) .edge').getBoundingClientRect();"
        " return (e.left + e.width / 2 - s.left) / s.width; })()"
    )


@pytest.mark.parametrize(("width", "height", "scheme"), [(1280, 900, "light"), (390, 844, "dark")])
def test_it_renders_without_a_complaint_and_asks_nobody(browser, page, width, height, scheme):
    browser.open(page, width, height, scheme)
    assert browser.complaints() == []
    assert browser.asked() == []
    assert browser.run("document.images.length") == 4 + 9
    assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.run("document.documentElement.scrollWidth") == width, "nothing reaches beyond the screen"
    dark = browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 21)"
    assert dark == (scheme == "dark")


def test_the_slider_moves_by_keys(browser, page):
    browser.open(page)
    assert edge(browser) == pytest.approx(0.5, abs=0.01)
    browser.run("document.querySelector('.stage input').focus()")
    for _ in range(10):
        browser.press("ArrowRight")
    assert edge(browser) == pytest.approx(0.6, abs=0.011)
    clip = browser.run("getComputedStyle(document.querySelector('.stage .over')).clipPath")
    assert "40%" in clip, "the left picture is shown as far as the edge"


def test_the_slider_moves_by_the_mouse(browser, page):
    browser.open(page)
    box = browser.run(
        "(() => { const s = document.querySelector('.stage').getBoundingClientRect();"
        " return [s.left, s.top, s.width, s.height]; })()"
    )
    left, top, width, height = box
    y = min(top + height / 2, 880)
    browser.drag((left + width * 0.5, y), (left + width * 0.2, y))
    assert edge(browser) == pytest.approx(0.2, abs=0.05)


def test_a_button_changes_the_pictures_and_keeps_the_edge(browser, page):
    browser.open(page)
    browser.run("document.querySelector('.stage input').focus()")
    browser.press("ArrowLeft")
    browser.run("document.querySelectorAll('.choices button')[1].click()")
    assert browser.run("[...document.querySelectorAll('.stage')].map(s => s.hidden)") == [True, False]
    pressed = "[...document.querySelectorAll('.choices button')].map(b => b.ariaPressed)"
    assert browser.run(pressed) == ["false", "true"]
    assert edge(browser) == pytest.approx(0.49, abs=0.01)


def test_a_script_that_is_not_its_own_does_not_run(browser, page, tmp_path):
    changed = tmp_path / "changed.html"
    changed.write_text(page.read_text().replace("</main>", "<script>document.title = 'x'</script></main>"))
    browser.open(changed)
    assert browser.run("document.title").startswith("a_rather")
    assert any("Content Security Policy" in words for words in browser.complaints())
