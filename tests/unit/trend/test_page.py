"""The site's files: complete, small at first, and safe with any data."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.trend.simulated import point, series
from tests.unit.trend.test_change_points import stepped

from bench_action.model.benchmark import Benchmark
from bench_action.trend.change_points import find_all_change_points
from bench_action.trend.charts import make_charts
from bench_action.trend.chunks import make_chunks, render_script
from bench_action.trend.page import CommitLinks, render_site
from bench_action.trend.series import Series

pytestmark = pytest.mark.unit
EVIL = "</script><img src=x onerror=alert(1)>"


def read_data(text: str) -> Any:
    found = re.fullmatch(r"\(self\.trendData = self\.trendData \|\| \[\]\)\.push\((.*)\);\n", text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_render_site__every_link_leads_to_a_file() -> None:
    many = [
        series(stepped(-0.1), metric, variant=variant)
        for metric in ("requests_per_second", "latency_p99_us")
        for variant in ("a", "b")
    ]
    files = dict(render_site(many, find_all_change_points(many), CommitLinks("https://example.org/o/r")))
    assert {"index.html", "trend.js", "trend.css", "plotly.min.js", "badge.svg", "badge.json"} <= files.keys()
    for name, text in files.items():
        if name.endswith(".html"):
            local = re.findall(r'(?:href|src)="([^"#:]+)"', text)
            assert local
            assert set(local) <= files.keys()
            assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', text)  # nothing from elsewhere
    assert "https://example.org/o/r/compare/" in files["index.html"]


def test_render_site__hostile_text_is_inert() -> None:
    evil = Series(
        EVIL,
        EVIL,
        "requests_per_second",
        True,
        tuple(point(n, v, machine=EVIL, sha=EVIL) for n, v in enumerate(stepped(-0.1))),
        EVIL,
    )
    files = dict(render_site([evil], find_all_change_points([evil]), CommitLinks("javascript:alert(1)", EVIL)))
    for name, text in files.items():
        assert re.fullmatch(r"[\w./-]+", name)
        assert ".." not in name
        if name not in {"plotly.min.js", "trend.js"}:
            assert "<img src=x" not in text
            assert "javascript:" not in text


def test_render_site__an_empty_history_has_a_page() -> None:
    files = dict(render_site([], [], CommitLinks()))
    assert "has no records yet" in files["index.html"]


def test_make_charts__every_name_is_unique() -> None:
    profiles = ["a b", "a-b", "A.B", "", "../../etc"]
    charts = make_charts([Series("v", p, "requests_per_second", True, (point(0, 1.0),)) for p in profiles], [])
    assert len({chart.name for chart in charts}) == len(profiles)


def test_make_chunks__every_point_once_and_the_newest_first() -> None:
    random = np.random.default_rng(1)
    both = [series(random.random(5_000).tolist(), variant=v) for v in ("a", "b")]
    chunks = list(make_chunks(both))
    sizes = [len(render_script(chunk.value)) for chunk in chunks]
    assert sum(chunk.runs for chunk in chunks) == 5_000
    assert [chunk.first for chunk in chunks] == sorted((chunk.first for chunk in chunks), reverse=True)
    assert sizes[0] < 200_000
    for number, whole in enumerate(both):
        values = [
            v for chunk in reversed(chunks) for v in read_data(render_script(chunk.value))["columns"][number]["value"]
        ]
        assert values == pytest.approx([p.value for p in whole.points], rel=1e-4)


def test_make_chunks__a_repeated_run_is_marked_and_next_to_the_first() -> None:
    whole = series([1.0, 2.0, 3.0])
    again = replace(whole.points[0], run_id="again", at=whole.points[1].at, order=1, repeated=True)
    points = (whole.points[0], again, replace(whole.points[1], order=2), replace(whole.points[2], order=3))
    (chunk,) = make_chunks([replace(whole, points=points)])
    assert (chunk.value["id"], chunk.value["again"]) == (["run-0", "again", "run-1", "run-2"], [1])
    assert chunk.value["columns"][0]["value"] == [1, 1, 2, 3]


def test_make_charts__two_benchmarks_with_the_same_cells_have_separate_charts() -> None:
    both = [replace(series([1.0, 2.0]), benchmark=Benchmark(name)) for name in ("b/bench.yml", "a/bench.yml")]
    charts = make_charts(both, [])
    assert [(chart.benchmark, chart.name) for chart in charts] == [
        ("a/bench.yml", "a-bench-yml-list-requests-per-second"),
        ("b/bench.yml", "b-bench-yml-list-requests-per-second"),
    ]
    (alone,) = make_charts(both[:1], [])
    assert (alone.benchmark, alone.name) == ("", "list-requests-per-second")


def test_render_site__a_variant_has_one_colour_in_all_charts_of_a_profile() -> None:
    ratios = [series([1.0, 2.0], variant=name) for name in ("zebra", "shop")]
    plain = [series([1.0, 2.0], variant=name, relative=False) for name in ("control", "shop", "zebra")]
    files = dict(render_site([*ratios, *plain], [], CommitLinks()))
    legend = re.findall(r'<span class="key k(\d)"></span>(\w+)</li>', files["index.html"])
    assert legend == [("0", "control"), ("1", "shop"), ("2", "zebra")]
    cards = re.findall(r'<a class="card".*?</a>', files["index.html"], re.DOTALL)
    assert [re.findall(r'<path class="s(\d)"', card) for card in cards] == [["1", "2"], ["0", "1", "2"]]
    for name, shown in (("list-requests-per-second", legend[1:]), ("list-requests-per-second-plain", legend)):
        keys = re.findall(r'value="(\d)"><span class="key k(\d)"></span>(\w+)</label>', files[f"{name}.html"])
        assert [(value, variant) for value, _, variant in keys] == shown
        about = read_data(files[f"data/{name}-0.js"])["chart"]
        assert [(str(number), about["variants"][number]) for number in about["series"]] == shown


@pytest.mark.parametrize("text", [EVIL, "\u2028", "<!--", "]]>", '"'])
def test_render_script__no_value_ends_the_script(text: str) -> None:
    assert not set(render_script(text)) & set("<>&\u2028\u2029")
    assert read_data(render_script(text)) == text


@pytest.mark.parametrize("address", ["javascript:alert(1)", 'https://x/"onclick="', "https://x/a b", "ftp://x/y", ""])
def test_links__only_an_address_is_a_link(address: str) -> None:
    assert CommitLinks(address).commit("a" * 40) == ""


def test_links__only_a_commit_is_a_link() -> None:
    links = CommitLinks("https://example.org/o/r/")
    assert links.commit("a" * 40) == f"https://example.org/o/r/commit/{'a' * 40}"
    assert links.commit("../../evil") == ""
