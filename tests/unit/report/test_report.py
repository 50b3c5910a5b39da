"""What people read: numbers, tables, charts, terminal and progress."""

import io
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from tests.unit.factories import (
    make_comparison,
    make_count,
    make_duet,
    make_latency,
    make_result,
    make_subject,
    make_trial,
    make_turns,
    two_variants,
    warn,
)

from bench_action.model.result import Errors, NoiseSource, Result, Trial, WarmUp
from bench_action.model.visible import remove_invisible
from bench_action.model.warning import Code
from bench_action.report import numbers
from bench_action.report.chart import render_svg, render_text
from bench_action.report.concerns import group_warnings
from bench_action.report.markdown import render_markdown
from bench_action.report.progress import LiveProgress, PlainProgress, describe_outcome
from bench_action.report.table import Table
from bench_action.report.templating import escape_script_json, escape_text, markdown_table
from bench_action.report.terminal import print_compared, print_view
from bench_action.report.view import Bar, Chart, make_view

pytestmark = pytest.mark.unit

HOSTILE = [
    "a|b",
    "`code`",
    "<script>alert(1)</script>",
    "a\nb",
    "a\n\n# b",
    "\\|",
    "**b**",
    "[x](y)",
    "~~s~~",
    "a`b",
    "",
]
markdown = MarkdownIt("commonmark").enable("table")


def kinds(text: str) -> list[str]:
    """The types of all parts of a rendered text."""
    found = []
    for token in markdown.parse(text):
        found += [token.type, *(child.type for child in token.children or [])]
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [(1049, "1,049"), (1_234_567.4, "1,234,567"), (0, "0"), (7, "7"), (1.5, "1.50"), (0.25, "0.25"), (12.4, "12")],
)
def test_count__sets_thousands_apart(value: float, text: str) -> None:
    assert numbers.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0 µs"), (850, "850 µs"), (1000, "1.0 ms"), (48_000, "48 ms"), (1_320_000, "1.32 s")],
)
def test_latency__has_the_unit_that_fits(value: float | None, text: str) -> None:
    assert numbers.latency(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1500, "µs", "1.5 ms"), (0.123, "ms", "0.12 ms"), (64.4, "MiB", "64 MiB"), (1.25, "s", "1.2 s"), (20, "1", "20")],
)
def test_metric_value__carries_its_unit(value: float, unit: str, text: str) -> None:
    assert numbers.metric_value(value, unit) == text


def test_factor__keeps_three_figures() -> None:
    assert [numbers.factor(value) for value in (None, 5.631, 12.34, 0.5)] == ["–", "5.63", "12.3", "0.50"]


def test_ratio__with_and_without_its_interval() -> None:
    (one, *_) = make_result().comparisons
    found = one.model_copy(update={"ratio": 5.631, "ci_low": 5.21, "ci_high": 6.079})
    assert numbers.ratio(found) == "5.63 × (5.21 to 6.08)"
    assert numbers.ratio(found.model_copy(update={"ci_low": None})) == "5.63 ×"
    assert numbers.ratio(found.model_copy(update={"ratio": None})) == numbers.ratio(None) == "–"


@given(st.text() | st.sampled_from(["</script>", "<!-- <script", "]]>", "a\u2028b\u2029c", "&lt;", "\\u003c"]))
def test_escape_script_json__no_value_ends_a_script_and_none_changes(text: str) -> None:
    escaped = escape_script_json(json.dumps(text, ensure_ascii=False))
    assert not set("<>&\u2028\u2029") & set(escaped)
    assert json.loads(escaped) == text


@given(st.text() | st.sampled_from(HOSTILE))
def test_escape_text__no_value_becomes_markup(text: str) -> None:
    found = set(kinds(f"before {escape_text(text)} after"))
    assert found <= {"paragraph_open", "inline", "paragraph_close", "text", "text_special", "code_inline"}


@given(st.lists(st.lists(st.text() | st.sampled_from(HOSTILE), min_size=3, max_size=3), min_size=1, max_size=4))
def test_markdown_table__no_value_leaves_its_cell(rows: list[list[str]]) -> None:
    table = Table(("One", "Two", "Three"), (True, False, True), tuple(tuple(row) for row in rows))
    found = kinds(markdown_table(table))
    assert found.count("tr_open") == len(rows) + 1
    assert found.count("td_open") == 3 * len(rows)
    assert found.count("th_open") == 3
    assert not {"html_inline", "html_block", "code_inline", "link_open", "strong_open", "em_open"} & set(found)
    assert all(line.count(" | ") >= 2 for line in markdown_table(table).splitlines() if "---" not in line)


def hostile_result(text: str) -> Result:
    """A result in which every name and message is `text`."""
    trials = []
    for trial in two_variants():
        name = text + trial.variant
        trials.append(trial.model_copy(update={"variant": name, "warnings": (warn(Code.STEAL, text, text),)}))
    failed = make_subject(f"{text}failed", verified=False, failure=text)
    result = make_result(trials)
    return result.model_copy(update={"subjects": (*result.subjects, failed)})


@pytest.mark.parametrize("text", HOSTILE)
def test_render_markdown__hostile_names_stay_text(text: str) -> None:
    found = kinds(render_markdown(make_view(hostile_result(text))))
    ordinary = kinds(render_markdown(make_view(hostile_result("x"))))
    for kind in ("html_inline", "html_block", "tr_open", "td_open", "heading_open", "list_item_open", "link_open"):
        assert found.count(kind) == ordinary.count(kind), kind


def test_render_markdown__has_the_articles_columns_and_every_run() -> None:
    result = make_result()
    text = render_markdown(make_view(result))
    assert "| Connections | Library | Requests | Timeouts | Req/sec |" in text
    assert text.index("## Results") < text.index("## Environment") < text.index("## Reproduce")
    assert kinds(text).count("table_open") == 6
    every = text[text.index("Every single run") : text.index("</details>")]
    assert kinds(every).count("tr_open") == len(result.trials) + 1
    assert "bench-action run --preset article" in text


def test_make_view__tables_have_as_many_cells_as_headings() -> None:
    for result in (make_result(), make_result([]), make_result([make_count()]), hostile_result("x")):
        view = make_view(result)
        for table in (view.results, view.work, view.footprint, view.comparisons, view.trials, view.environment):
            assert len(table.numeric) == len(table.headings)
            assert {len(row) for row in table.rows} <= {1, len(table.headings)}  # 1: a heading for the rows below


def test_make_view__the_headline_of_a_comparison_says_who_is_ahead() -> None:
    view = make_view(make_result())
    assert view.trusted
    assert "aiohttp serves 5.0" in view.headline
    assert "× the requests/s of django" in view.headline


def test_make_view__the_slower_head_is_behind() -> None:
    slow = [
        trial.model_copy(update={"variant": {"django": "b", "aiohttp": "a"}[trial.variant]}) for trial in two_variants()
    ]
    view = make_view(make_result(sorted(slow, key=lambda trial: (trial.block, trial.variant))))
    assert "a serves 5.0" in view.headline
    assert "× the requests/s of b" in view.headline


def test_make_view__what_invalidates_is_the_headline() -> None:
    invalid = make_result([make_trial(warnings=(warn(Code.STEAL, "6 % stolen"), warn(Code.CLOCK_STEP, "a jump")))])
    view = make_view(invalid)
    assert not view.trusted
    assert view.headline == "no verdict, the measurement is invalid"
    assert view.concerns[0].warnings[0].message == "a jump"
    assert view.results.rows[0][4] == "invalid"


def test_make_view__a_variant_that_failed_is_the_headline() -> None:
    result = make_result()
    subjects = (*result.subjects, make_subject("flask", verified=False, failure="home: expected 200, got 500"))
    view = make_view(result.model_copy(update={"subjects": subjects}))
    assert (view.mark, view.headline) == ("🔴", "`flask` failed its checks and was not measured")


def test_make_view__the_headline_of_one_variant_alone_is_its_speed() -> None:
    assert make_view(make_result([make_trial(speed=1049)])).headline == "aiohttp 1,049 requests/s"


def test_make_view__timeouts_are_shown_apart_from_other_errors() -> None:
    view = make_view(make_result([make_trial(errors=Errors(read=1, write=2, status=4, timeout=8))]))
    row = dict(zip(view.results.headings, view.results.rows[0], strict=True))
    assert (row["Timeouts"], row["Errors"]) == ("8", "7")


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)


@given(st.lists(st.tuples(NAMES, st.floats(0, 1e7), st.booleans()), max_size=8), NAMES)
def test_render_svg__is_well_formed_and_inside_its_picture(drawn: list[tuple[str, float, bool]], title: str) -> None:
    allowed = str.maketrans("", "", "\ufffe\uffff")
    bars = tuple(
        Bar(name.translate(allowed), value, value * 0.9 if whisker else None, value * 1.2 if whisker else None)
        for name, value, whisker in drawn
    )
    root = ElementTree.fromstring(render_svg(Chart("p", title.translate(allowed), bars)))  # noqa: S314 (our own)
    width = float(root.attrib["width"])
    rectangles = root.findall("{http://www.w3.org/2000/svg}rect")[1:]
    assert len(rectangles) == len(bars)
    assert all(float(one.attrib["x"]) + float(one.attrib["width"]) <= width for one in rectangles)
    whiskers = [one.attrib["d"] for one in root.findall("{http://www.w3.org/2000/svg}path")]
    assert len(whiskers) == sum(bar.low is not None for bar in bars)
    assert all(float(path.split("H")[1].split("M")[0]) <= width for path in whiskers)
    labels = [one.text or "" for one in root.findall("{http://www.w3.org/2000/svg}text")]
    assert labels[1::2] == [remove_invisible(bar.label) for bar in bars]


def test_render_text__bars_are_as_long_as_their_share() -> None:
    bars = (Bar("a", 100, None, None), Bar("longer", 50, None, None), Bar("c", 0, None, None))
    title, first, second, third = render_text(Chart("p", "requests/s, p", bars))
    assert title == "requests/s, p"
    assert (first.count("█"), second.count("█"), third.count("█")) == (40, 20, 0)
    assert first.startswith("       a █")
    assert second.endswith(" 50")


def printed(result: Result, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_view(make_view(result), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def article_sized() -> Result:
    """The built-in variants with the largest numbers that one may see."""
    trials = []
    for name in ("django", "aiohttp", "django-tuned", "aiohttp-tuned"):
        for block in (1, 2, 3):
            busy = make_trial(name, block, 25_000 + 100 * block, errors=Errors(timeout=14_000, read=3_000))
            trials.append(
                busy.model_copy(update={"profile": "article-1500", "duration_s": 60.0, "requests": 1_512_345})
            )
    return make_result(trials)


def test_print_view__fits_into_80_columns() -> None:
    text = printed(article_sized())
    assert "…" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    for number in ("1,512,345", "14,000", "3,000", "25,206", "130 ms"):
        assert number in text


@pytest.mark.parametrize(("confidence", "certain"), [(1.0, True), (0.99, False)])
def test_print_compared__only_counts_that_agree_are_certain(confidence: float, certain: bool) -> None:
    file = io.StringIO()
    counts = make_comparison(method="count", metric="queries_per_request", base_value=1, head_value=21, ratio=21)
    print_compared([counts.model_copy(update={"confidence": confidence})], Console(file=file, width=120))
    assert ("counted exactly, so it did change" in file.getvalue()) == certain


def test_print_view__shows_warnings_with_their_advice() -> None:
    text = " ".join(printed(make_result([make_trial(warnings=(warn(Code.STEAL, "6 % stolen"),))])).split())
    assert "! aiohttp · article-500: 6 % stolen → Run again" in text


def test_print_view__names_the_profile_only_if_there_are_several() -> None:
    one = make_result(two_variants(2))
    both = make_result([*two_variants(2), *(t.model_copy(update={"profile": "search"}) for t in two_variants(2))])
    for width in (80, 120):
        assert "article-500, 500 connections" not in printed(one, width)
        lines = [line.strip() for line in printed(both, width).splitlines()]
        assert lines.index("article-500, 500 connections") < lines.index("search, 500 connections")
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("preset", "heading"), [("article", "Library"), ("ci", "Variant"), ("", "Variant")])
def test_print_view__says_library_in_the_articles_table_only(preset: str, heading: str) -> None:
    result = make_result()
    text = printed(result.model_copy(update={"run": result.run.model_copy(update={"preset": preset})}))
    assert ("Library" in text, "Variant" in text) == (heading == "Library", heading == "Variant")


def test_group_warnings__puts_a_kind_into_one_line_with_the_worst() -> None:
    noisy = [
        make_trial(block=block, warnings=(warn(Code.STEAL, f"{share} % of the CPU time went to other guests"),))
        for block, share in ((1, 6), (2, 10), (3, 7))
    ]
    (concern,) = group_warnings(make_result([make_count(), *noisy]))
    assert concern.text == "Noisy machine: 3 of 4 trials, up to 10 % of the CPU time went to other guests."
    assert concern.advice == Code.STEAL.advice


def test_group_warnings__names_the_cells_and_keeps_each_warning() -> None:
    cells = [f"web · p{n}" for n in range(5)]
    warnings = tuple(warn(Code.WIDE_SPREAD, f"its runs differ by {30 + n} %", cells[n]) for n in range(5))
    other = warn(Code.NO_COUNTERS, "no control groups", "")
    grave = warn(Code.VARIANT_FAILED, "status 500", "web")
    first, spread, last = group_warnings(make_result(warnings=(*warnings, other, grave)))
    assert (first.grave, first.text) == (True, "web: status 500.")
    assert spread.text == "web · p0, web · p1, web · p2, 2 more: its runs differ by up to 34 %."
    assert (spread.warnings, last.text) == (warnings, "no control groups.")


def test_table__leaves_out_columns_and_keeps_headings_of_groups() -> None:
    table = Table(("A", "B", "C"), (False, True, True), (("group",), ("a", "1", "2"))).leave_out("B", "Z")
    assert table == Table(("A", "C"), (False, True), (("group",), ("a", "2")))
    assert markdown_table(table).splitlines()[2:] == ["| **group** |  |", "| a | 2 |"]


def test_print_view__a_name_is_never_markup() -> None:
    assert "[red]x[/red]" in printed(make_result([make_trial("[red]x[/red]")]))


def test_describe_outcome__of_a_count_is_its_work() -> None:
    assert describe_outcome(make_count()) == "10 queries and 10 cache commands in 10 requests"


def make_warm_up(duration_s: float) -> WarmUp:
    return WarmUp(duration_s=duration_s, limit_s=20, steady=True, cpu_ms_first=4.0, cpu_ms_last=1.0, change_per_s=-0.01)


@pytest.mark.parametrize(("duration_s", "before"), [(1.1, ""), (13.2, "warmed up for 13 s; ")])
def test_describe_outcome__a_long_warm_up_is_mentioned(duration_s: float, before: str) -> None:
    trial = make_trial(warm_up=make_warm_up(duration_s))
    assert describe_outcome(trial) == f"{before}1,000 requests/s, p99 130 ms"


def test_make_view__says_how_long_warm_ups_took_if_that_is_unusual() -> None:
    trials = [make_trial(block=n, warm_up=make_warm_up(seconds)) for n, seconds in ((1, 9.8), (2, 12.9), (3, 12.1))]
    sentence = "After each restart, subjects were warmed up until CPU/request had levelled off: for 10 to 13 s."
    assert sentence in make_view(make_result(trials)).method
    usual = [make_trial(block=n, warm_up=make_warm_up(1.1)) for n in (1, 2, 3)]
    assert not any("warmed up until" in text for text in make_view(make_result(usual)).method)


@pytest.mark.parametrize(
    ("trials", "said", "unsaid"),
    [
        (make_duet(1), ("at the same time on one CPU, ", "A duet cannot see"), ("in turns of",)),
        (make_duet(1, track=1), ("at the same time on one CPU for each duet, ",), ("in turns of",)),
        (make_turns(1), ("loaded in short turns",), ("at the same time", "A duet", "one connection to each")),
        ([*make_duet(1), *make_latency(1)], ("at the same time", "one connection to each"), ("short turns",)),
        ([make_trial()], (), ("slots", "Interim analyses", "A duet")),
    ],
)
def test_make_view__says_how_pairs_were_loaded(
    trials: list[Trial], said: tuple[str, ...], unsaid: tuple[str, ...]
) -> None:
    method = "\n".join(make_view(make_result(trials)).method)
    assert [part for part in said if part not in method] == []
    assert [part for part in unsaid if part in method] == []


def test_make_view__what_was_measured_cold_is_a_concern_with_what_to_set() -> None:
    cold = make_warm_up(20.1).model_copy(update={"steady": False, "change_per_s": -0.06})
    (concern,) = make_view(make_result([make_trial(block=n, warm_up=cold) for n in (1, 2, 3)])).concerns
    assert concern.text.startswith("aiohttp · article-500: the longest warm-up, 20 s, was too short: CPU/request was 4")
    assert "Set `warmup: 40s` in profile `article-500`" in concern.advice


def test_describe_outcome__of_a_trial_is_its_speed_and_what_is_wrong() -> None:
    assert describe_outcome(make_trial(speed=1049)) == "1,049 requests/s, p99 130 ms"
    assert describe_outcome(make_trial(latency=None)) == "1,000 requests/s"
    stolen = make_trial(warnings=(warn(Code.STEAL, "6 % stolen"),))
    assert describe_outcome(stolen) == "1,000 requests/s, p99 130 ms; 6 % stolen"
    assert describe_outcome(make_trial(warnings=(warn(Code.CLOCK_STEP, "a jump"),))).startswith("INVALID: ")


def test_plain_progress__is_a_line_for_each_event() -> None:
    console = Console(file=io.StringIO(), width=40, color_system=None)
    with PlainProgress(console) as progress:
        progress.step("building [aiohttp]")
        progress.expect(2, 12.4)
        progress.trial_starts("aiohttp · quick-64", "capacity", 1)
        for _ in range(3):
            progress.trial_ended(make_trial())
        progress.warn("not measured: django: " + "x" * 60)
    assert isinstance(console.file, io.StringIO)
    lines = [line.partition(" s  ")[2] for line in console.file.getvalue().splitlines()]
    assert lines == [
        "building [aiohttp]",
        "measuring: about 2 trials, 12 s",
        "[1/2] capacity 1 aiohttp · article-500: 1,000 requests/s, p99 130 ms",
        "[2/2] capacity 1 aiohttp · article-500: 1,000 requests/s, p99 130 ms",
        "[3] capacity 1 aiohttp · article-500: 1,000 requests/s, p99 130 ms",
        "warning: not measured: django: " + "x" * 60,
    ]


def test_live_progress__keeps_a_line_for_each_trial() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with LiveProgress(console) as progress:
        progress.step("building [aiohttp]")
        progress.expect(1, 12.4)
        progress.trial_starts("aiohttp · quick-64", "capacity", 1)
        progress.trial_ended(make_trial())
        progress.warn("not measured")
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "capacity 1 aiohttp · article-500: 1,000 requests/s, p99 130 ms" in text
    assert "! not measured" in text


def test_report__shows_no_interval_from_too_few_blocks() -> None:
    trials = [trial for trial in two_variants() if trial.block <= 2]
    few, many = (render_markdown(make_view(make_result(found))) for found in (trials, two_variants()))
    assert re.search(r"\d × django \|", few)
    assert re.search(r"\d × django \([\d.]+ to [\d.]+\) \|", many)


def test_make_view__other_services_and_workers_have_their_own_cpu_and_memory() -> None:
    cpu_ms = {"application": 9000.0, "db": 4000.0, "rabbitmq": 2000.0, "generator": 800.0}
    memory_mib = {"db": 120.0, "rabbitmq": 140.4}
    trials = [make_trial(block=n, requests=1000, cpu_ms=cpu_ms, service_memory_mib=memory_mib) for n in (1, 2, 3)]
    view = make_view(make_result(trials))
    assert dict(zip(view.work.headings, view.work.rows[0], strict=True))["rabbitmq CPU"] == "2.00 ms"
    assert [heading for heading in view.work.headings if heading.startswith("database")] == ["database CPU"]
    footprint = dict(zip(view.footprint.headings, view.footprint.rows[0], strict=True))
    assert (footprint["database memory"], footprint["rabbitmq memory"]) == ("120 MiB", "140 MiB")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {},
            "a slice of 4 s. A block took 3.3 s in addition, and restarts explain 60 % of the noise.",
        ),
        ({"slice_s": 6}, "each followed by a slice of 4 s in the first 3 and 6 s in the others. A block took"),
        ({"measured": False}, "and restarts usually explain 60 % of the noise."),
    ],
)
def test_make_view__says_where_the_noise_comes_from(changes: dict[str, Any], text: str) -> None:
    fields = {"pair": "web · list", "blocks": 12, "first_blocks": 3, "first_slice_s": 4, "slice_s": 4, "cost_s": 3.3}
    variances = {"restart_sd": 0.0105, "second_sd": 0.0155, "restart_share": 0.6, "measured": True}
    noise = NoiseSource(**(fields | variances | changes))
    (line,) = [line for line in make_view(make_result(noise=(noise,))).method if "of the noise" in line]
    assert line.startswith("`web · list`: 12 restarts")
    assert text in line
