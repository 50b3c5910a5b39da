"""What a report says about base against head, in every format."""

import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from tests.unit.factories import (
    make_compared,
    make_comparison,
    make_count,
    make_duet,
    make_latency,
    make_paired,
    make_subject,
)

from bench_action.model.result import INITIAL_DATA_OF, Finding, Result, RuleChange, Statement
from bench_action.report import numbers
from bench_action.report.comment import Links, render_comment
from bench_action.report.html import render_html
from bench_action.report.markdown import render_markdown
from bench_action.report.terminal import print_view
from bench_action.report.view import make_view

pytestmark = pytest.mark.unit

UNDECIDED: dict[str, Any] = {"verdict": "inconclusive", "significant": False, "relevant": False}
HOSTILE = "SELECT '</script><img src=x onerror=alert(1)>' || `x` | y"


def print_result(result: Result, width: int = 120) -> str:
    page = StringIO()
    print_view(make_view(result), Console(file=page, width=width))
    return page.getvalue()


def test_headline__a_loss_says_what_how_much_and_how_sure() -> None:
    result = make_compared(make_paired(940))
    view = make_view(result)
    assert view.headline.startswith("`aiohttp` is 6.")
    assert view.headline.endswith("% slower on `article-500`")
    assert (view.mark, result.verdict) == ("🔴", "regressed")
    sure = r"`aiohttp` is 6\.\d % slower on `article-500`: 99 % interval −\d\.\d to −\d\.\d %, from 8 paired blocks\."
    assert re.fullmatch(sure, view.certainties[0])
    assert any("does the same work, but the application's own code takes more CPU" in s for s in view.causes)


def test_causes__other_data_are_the_cause_if_the_image_is_the_same() -> None:
    result = make_compared(make_paired(940))
    changes = (RuleChange(what=f"{INITIAL_DATA_OF} db", before="init.sql", after="other contents of init.sql"),)
    for ids, cause in ((("a", "a"), "begins with other data: a lost index"), (("a", "b"), "own code takes more CPU")):
        subjects = tuple(
            make_subject("aiohttp", revision=revision, image_id=image)
            for revision, image in zip(("base", "head"), ids, strict=True)
        )
        view = make_view(result.model_copy(update={"rule_changes": changes, "subjects": subjects}))
        assert any(cause in sentence for sentence in view.causes)


def test_headline__no_change_says_what_is_detectable() -> None:
    view = make_view(make_compared(make_paired(1003)))
    assert re.fullmatch(r"no change detected \(detectable: 0\.\d %\)", view.headline)
    assert view.mark == "🟢"


def test_headline__an_n_plus_one_is_the_reason() -> None:
    loop = Statement(text="SELECT 1 FROM tag WHERE id = $1", calls=200, rows=200)
    view = make_view(make_compared(make_paired(940, queries=210, statements=(loop,))))
    assert any(
        "`aiohttp · article-500`, counted exactly: queries/request 1 → 21 (N+1" in sentence for sentence in view.causes
    )
    assert any("SELECT 1 FROM tag" in finding for finding in view.findings)
    alone = make_view(make_compared(make_paired(1003, queries=210)))
    assert alone.headline == "each request of `aiohttp` on `article-500` makes 21 queries instead of 1"


def test_headline__an_improvement() -> None:
    view = make_view(make_compared(make_paired(1100)))
    assert re.match(r"`aiohttp` is (9|10).* % faster", view.headline)


def test_explanations__of_what_is_inconclusive_say_how_much_longer() -> None:
    trials = [make_count(revision="base"), make_count(), *(one for n in range(1, 6) for one in make_latency(n))]
    for n in range(1, 9):
        trials += [
            one.model_copy(update={"started_at": f"2026-11-25T10:00:{6 * n:02d}+00:00"})
            for one in make_duet(n, base=1000, head=988 + 60 * (n % 2) - 30)
        ]
    result = make_compared(trials)
    assert result.verdict == "inconclusive"
    view = make_view(result)
    assert (view.mark, view.headline) == ("⚪", "not sure about requests/s of `aiohttp · article-500`")
    text = " ".join(view.explanations)
    assert "Not sure about requests/s of `aiohttp · article-500`: the change is −" in text
    assert re.search(r"`--max-minutes \d+` would decide it", text)


def test_explanations__advise_no_more_time_than_anybody_waits() -> None:
    undecided = make_comparison(**UNDECIDED, ci_low=0.97, ci_high=1.03, ratio=0.995, smallest_detectable=0.04)
    for wanted in (9_000, 10_000):
        result = make_compared(make_paired(1003))
        result = result.model_copy(update={"comparisons": (undecided.model_copy(update={"blocks_wanted": wanted}),)})
        text = " ".join(make_view(result).explanations)
        assert ("A gate of 4 % can be decided" in text) == (wanted == 9_000)
        assert ("no amount of time decides it" in text) == (wanted == 10_000)
        assert not re.search(r"\d (h|min)\b", text)


def test_sizes__are_shown_only_where_they_mean_something() -> None:
    few = make_comparison(**UNDECIDED, blocks=2, ratio=0.8, ci_low=0.02, ci_high=79.63, smallest_detectable=None)
    wild = make_comparison(
        metric="cpu_ms_per_request",
        **UNDECIDED,
        blocks=5,
        ratio=1.4,
        ci_low=0.02,
        ci_high=79.63,
        smallest_detectable=432_176.74,
        blocks_wanted=5_000,
    )
    result = make_compared(make_paired(1003)).model_copy(update={"comparisons": (few, wild), "verdict": "inconclusive"})
    for text in (print_result(result), render_markdown(make_view(result)), render_comment(result, Links())):
        assert not re.search(r"−98|7,?863|43,?217,?6|by –|1\.4|\+40", text.partition("All results")[0])
    assert "More blocks are needed, or a quieter machine." in print_result(result)


def test_headline__comes_from_what_changed_and_not_from_what_fails() -> None:
    result = make_compared(make_paired(1003))
    for changes, end in (
        ({"level": "warn", "verdict": "regressed"}, "; no gate forbids it"),
        ({"level": None, "gate": None, "verdict": "measured"}, "; no gate forbids it"),
        ({"gate": 0.15, "verdict": "measured"}, ", within the gate of 15 %"),
        ({"gate": 0.12, "verdict": "inconclusive"}, "; not sure whether that is within the gate of 12 %"),
    ):
        lost = make_comparison(**changes)
        view = make_view(result.model_copy(update={"comparisons": (lost,), "verdict": "measured"}))
        assert (view.mark, view.headline) == ("🟡", f"`aiohttp` is 10 % slower on `article-500`{end}")


def test_self_test__reports_false_alarms_and_what_it_can_detect() -> None:
    result = make_compared(make_paired(1003))
    run = result.run.model_copy(update={"self_test": True})
    view = make_view(result.model_copy(update={"run": run}))
    assert view.headline.startswith("this machine's measurements are reliable (detectable: ")
    assert any("0 false alarms in" in sentence for sentence in view.explanations)
    assert any("95 of 100 such runs detect a loss of" in sentence for sentence in view.explanations)


@pytest.mark.parametrize("width", [80, 120])
def test_terminal__shows_changes_before_absolute_figures(width: int) -> None:
    text = print_result(make_compared(make_paired(940)), width)
    assert text.index("is 6.") < text.index("Verdict") < text.index("Connections")
    assert max(map(len, text.splitlines())) <= width


def test_markdown__begins_with_the_verdict_and_has_the_table() -> None:
    text = render_markdown(make_view(make_compared(make_paired(940))))
    assert text.startswith("# 🔴 bench-action: `aiohttp` is 6.")
    assert "## Base against head" in text
    assert "| **aiohttp · article-500** |" in text
    assert "\n| requests/s |" in text
    assert "🔴 regressed (gate 1\u00a0%)" in text


def test_html__shows_every_figure_without_the_network() -> None:
    text = render_html(make_compared(make_paired(940)))
    assert text.count('<div class="figure"') >= 4
    without_plotly = re.sub(r"<script>/\*\*.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert not re.search(r'(src|href)="', without_plotly)
    assert "block by block" in text
    assert "<code>aiohttp</code> is 6." in text


def test_reports__nothing_that_a_statement_says_gets_out_of_its_place() -> None:
    hostile = Statement(text=HOSTILE, calls=50, rows=0)
    result = make_compared(make_paired(940, queries=60, statements=(hostile,)))
    page = render_html(result)
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    text = render_markdown(make_view(result))
    assert "<img" not in re.sub(r"`[^`\n]+`", "", text)


def test_html__a_hostile_name_cannot_end_the_script_of_a_figure() -> None:
    result = make_compared(make_paired(940))
    evil = result.comparisons[0].model_copy(update={"variant": "</script><script>alert(1)//"})
    page = render_html(result.model_copy(update={"comparisons": (evil, *result.comparisons)}))
    assert "<script>alert(1)" not in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.4, "8 s"), (98.2, "98 s"), (130, "2 min 10 s"), (240, "4 min"), (7200, "2 h")]
)
def test_duration__as_people_say_it(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (20.5, "20.5"), (1234.0, "1,234"), (0.25, "0.25"), (4.4 - 2.4, "2")]
)
def test_plain__has_no_more_figures_than_the_number(value: float, text: str) -> None:
    assert numbers.plain(value) == text


def test_causes__a_server_that_closes_connections_is_the_cause_of_a_loss() -> None:
    message = "its server closes connections after each reply, and base's keeps them open: each request needs a new one"
    changed = Finding(code="keep-alive-changed", message=message, cell="aiohttp · article-500", before=None, after=None)
    subjects = (
        make_subject("aiohttp", keep_alive={"article-500": False}),
        make_subject("aiohttp", revision="base", keep_alive={"article-500": True}, keep_alive_configured=True),
    )
    view = make_view(make_compared(make_paired(940), findings=(changed,), subjects=subjects))
    assert f"`aiohttp · article-500`: {message}." in view.causes
    closed = (
        "Connections were closed after each reply by aiohttp, as was found out: wrk opened a new one for each request."
    )
    assert closed in view.method
