"""The trend's pages in a real browser, from a folder: charts, toggles, keys, older data, dark mode, hostile text."""

from pathlib import Path

import numpy as np
import pytest
from tests.e2e.browser import Page

from bench_action.trend.change_points import find_all_change_points
from bench_action.trend.page import CommitLinks, render_site, write_files
from bench_action.trend.series import Point, Series

pytestmark = pytest.mark.e2e
EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>{{7*7}}"
RUNS = 1_500
DRAWN = "document.getElementById('chart').dataset.drawn"
LINES = "document.querySelectorAll('#chart .scatterlayer .trace .lines .js-line').length"


def _series(variant: str, profile: str, *, evil: bool = False) -> Series:
    random = np.random.default_rng(len(variant))
    level = np.where(np.arange(RUNS) < RUNS - 40, 0.0, np.log(0.93))
    values = np.exp(random.normal(0, 0.014, RUNS) + level)
    days = np.datetime64("2022-10-15T03:00:00") + np.arange(RUNS) * np.timedelta64(1, "D")
    points = tuple(
        Point(
            f"{day}Z",
            EVIL if evil else f"{n:040x}",
            f"run-{n}",
            float(v),
            float(v) * 0.98,
            float(v) * 1.02,
            EVIL if evil else ("epyc", "xeon")[int(random.random() < 0.3)],
            (1.0, 20.0),
        )
        for n, (day, v) in enumerate(zip(days, values, strict=True))
    )
    return Series(variant, profile, "requests_per_second", True, points, "control")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trend") / "a site"
    shown = [_series("django", "list"), _series("aiohttp", "list"), _series(EVIL, EVIL, evil=True)]
    links = CommitLinks("https://example.org/o/r", f"trend of {EVIL}")
    write_files(render_site(shown, find_all_change_points(shown), links), folder)
    return folder


def _open_chart(page: Page, site: Path, name: str = "list-requests-per-second", width: int = 1280) -> None:
    page.open((site / f"{name}.html").as_uri(), width)
    page.until(DRAWN)


def _act_and_wait(page: Page, action: str) -> None:
    before = page.value(DRAWN)
    page.value(action)
    page.until(f"{DRAWN} !== '{before}'")


@pytest.mark.parametrize("width", [1280, 390])
def test_index__shows_charts_without_plotly(page: Page, site: Path, width: int) -> None:
    page.open((site / "index.html").as_uri(), width)
    assert page.value("document.querySelectorAll('.card svg path').length") == 3
    assert page.value("typeof Plotly") == "undefined"
    assert page.value("document.documentElement.scrollWidth <= innerWidth")
    assert page.value("document.querySelector('.card').href").endswith(".html")


@pytest.mark.parametrize("width", [1280, 390])
def test_chart__draws_bands_changes_and_runners(page: Page, site: Path, width: int) -> None:
    _open_chart(page, site, width=width)
    assert page.value(LINES) == 4  # a line and a band for each variant
    assert page.value("document.querySelectorAll('#chart .annotation').length") == 2
    assert page.value("document.querySelectorAll('#chart .scatterlayer .points path.point').length") > 300
    assert page.value("document.querySelectorAll('ul.changes li a').length") == 2
    levels = page.value("document.getElementById('chart').layout.shapes.filter(s => s.name === 'level').map(s => s.y0)")
    assert len(levels) == 4  # before and after the change of each
    assert [after / before for before, after in (levels[:2], levels[2:])] == pytest.approx([0.93, 0.93], abs=0.01)
    assert page.value("document.documentElement.scrollWidth <= innerWidth")


def test_chart__variants_are_toggled_with_the_keyboard(page: Page, site: Path) -> None:
    _open_chart(page, site)
    page.value("document.querySelector('#variants input').focus()")
    before = page.value(DRAWN)
    page.press(" ")
    page.until(f"{DRAWN} !== '{before}'")
    assert page.value(LINES) == 2
    assert page.value("document.activeElement.checked") is False


def test_chart__keys_zoom_move_and_step_through_runs(page: Page, site: Path) -> None:
    _open_chart(page, site)
    page.value("document.getElementById('chart').focus()")
    width = page.value("trendChart.range[1] - trendChart.range[0]")
    page.press("+")
    page.until(f"trendChart.range[1] - trendChart.range[0] < {width} * 0.6")
    end = page.value("trendChart.range[1]")
    page.press("ArrowLeft")
    page.until(f"trendChart.range[1] < {end}")
    page.press("PageUp")
    assert page.until("document.querySelector('#run a') && document.querySelector('#run a').href").startswith(
        "https://example.org/o/r/commit/0000"
    )


def test_chart__older_runs_are_loaded_on_demand(page: Page, site: Path) -> None:
    _open_chart(page, site)
    assert page.value("trendChart.runs.length") == 400
    _act_and_wait(page, "document.querySelector('[data-days=\"0\"]').click()")
    page.until(f"trendChart.runs.length === {RUNS}")
    assert "each point stands for" in page.until("document.getElementById('status').textContent")


def test_chart__small_chart_is_shown_until_plotly_draws(page: Page, site: Path) -> None:
    assert '<svg class="spark"' in (site / "list-requests-per-second.html").read_text().split("<noscript>")[0]
    _open_chart(page, site)
    assert page.value("document.querySelectorAll('#chart > svg.spark').length") == 0


def test_chart__changes_in_percent(page: Page, site: Path) -> None:
    _open_chart(page, site)
    _act_and_wait(page, "document.querySelector('[data-percent]').click()")
    assert page.value("Math.min(...document.getElementById('chart').data[1].y)") < -5
    assert page.value("document.querySelector('[data-percent]').getAttribute('aria-pressed')") == "true"


@pytest.mark.parametrize("dark", [True, False])
def test_theme__follows_the_system_and_the_switch(page: Page, site: Path, dark: bool) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    colours = {True: "rgb(13, 17, 23)", False: "rgb(255, 255, 255)"}
    page.open((site / "index.html").as_uri(), dark=dark)
    assert page.value(paper) == colours[dark]
    page.value("document.querySelector('button.theme').click()")
    assert page.value(paper) == colours[not dark]
    page.value("localStorage.removeItem('theme')")


def test_hostile_text__is_shown_and_does_nothing(page: Page, site: Path) -> None:
    (name,) = [file.stem for file in site.glob("*.html") if file.stem.startswith("img")]
    _open_chart(page, site, name)
    page.value("trendChart.stepRun(-1)")
    page.until("!document.getElementById('run').hidden")
    assert page.value("document.querySelectorAll('img').length") == 0
    assert "<img src=x onerror=alert(1)>" in page.value("document.querySelector('#variants').textContent")
    assert "<img src=x" in page.value("document.getElementById('run').textContent")
    page.value("Plotly.Fx.hover(document.getElementById('chart'), [{curveNumber: 1, pointNumber: 5}])")
    assert "<img src=x" in page.until("document.querySelector('#chart .hoverlayer').textContent")


def test_broken_site__reports_what_is_missing(browser: Page, site: Path, tmp_path: Path) -> None:
    for name in ("list-requests-per-second.html", "trend.js", "trend.css"):
        (tmp_path / name).write_bytes((site / name).read_bytes())
    browser.open((tmp_path / "list-requests-per-second.html").as_uri())
    assert "did not load" in browser.until("document.getElementById('chart').textContent")
