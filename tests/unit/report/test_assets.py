"""The style sheets and scripts of the pages: readable, safe inside a page, and with one palette."""

import re
from pathlib import Path

import pytest

import bench_action.report
from bench_action.report.assets import read_assets, read_light_colours

pytestmark = pytest.mark.unit

STATIC = Path(bench_action.report.__file__).parent / "static"
FILES = sorted(path.name for path in STATIC.iterdir())


def test_assets__are_style_sheets_and_scripts() -> None:
    assert {Path(name).suffix for name in FILES} == {".css", ".js"}


@pytest.mark.parametrize("name", FILES)
def test_assets__lines_have_at_most_120_characters(name: str) -> None:
    assert max(len(line) for line in read_assets(name).splitlines()) <= 120


@pytest.mark.parametrize("name", FILES)
def test_assets__cannot_end_the_element_of_a_page_that_contains_them(name: str) -> None:
    assert not re.search(r"</(?:script|style)|<!--", read_assets(name), re.IGNORECASE)


@pytest.mark.parametrize("name", FILES)
def test_assets__every_colour_is_in_the_palette(name: str) -> None:
    text = read_assets(name)
    assert name == "palette.css" or not re.search(r"#[0-9a-f]{3,8}\b", text)
    used = re.findall(r"var\(--(\w+)\)|readColour\(\"--(\w+)\"\)", text)
    assert {first or second for first, second in used} <= read_light_colours().keys()


def test_read_assets__joins_files_in_the_given_order() -> None:
    assert read_assets("page.css", "trend.css") == f"{read_assets('page.css')}\n{read_assets('trend.css')}"


def test_modules_and_templates__take_every_colour_from_the_palette() -> None:
    files = [*STATIC.parent.glob("*.py"), *STATIC.parent.glob("templates/*.j2")]
    found = {path.name: re.findall(r"#[0-9a-f]{6}\b", path.read_text(encoding="utf-8")) for path in files}
    assert {name: colours for name, colours in found.items() if colours} == {}
