"""`report.html` in a real browser: its figures are drawn, in the page's colours, from a file alone."""

import pytest
from tests.e2e.browser import Page
from tests.unit.factories import make_compared, make_paired

from bench_action.report.html import render_html

pytestmark = pytest.mark.e2e

DRAWN = "[...document.querySelectorAll('.figure')].every(figure => figure.querySelector('.main-svg'))"
TOO_WIDE = "table => table.scrollWidth > table.clientWidth"
INK = "getComputedStyle(document.querySelector('.figure .xtick text')).fill"
GRIDS = "[...document.querySelectorAll('.figure .gridlayer path')].map(line => getComputedStyle(line).stroke)"
COLOURS = {False: "rgb(31, 35, 40)", True: "rgb(230, 237, 243)"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_html(make_compared(make_paired(940))), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize("width", [1280, 390])
def test_report__draws_every_figure(page: Page, address: str, width: int) -> None:
    page.open(address, width)
    assert page.until(DRAWN)
    assert page.value("document.querySelectorAll('.figure').length") >= 4
    assert page.value("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1280, 800])
def test_report__has_no_table_wider_than_its_page(page: Page, address: str, width: int) -> None:
    page.open(address, width)
    page.value("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.value("document.querySelectorAll('.scroll').length") >= 6
    assert page.value(f"[...document.querySelectorAll('.scroll')].filter({TOO_WIDE}).length") == 0


@pytest.mark.parametrize("dark", [True, False])
def test_report__figures_follow_the_system_and_the_switch(page: Page, address: str, dark: bool) -> None:
    page.open(address, dark=dark)
    page.until(DRAWN)
    assert page.value(INK) == COLOURS[dark]
    page.value("document.querySelector('button.theme').click()")
    page.until(f"{INK} === '{COLOURS[not dark]}'")
    grids = page.value(GRIDS)
    assert len(set(grids)) == 1, "grid lines in both directions have the page's colour"
    page.value("localStorage.removeItem('theme')")
