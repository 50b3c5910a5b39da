"""The page for coding agents: its jq lines work on results, and its tables are complete."""

import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from tests.unit.factories import make_compared, make_comparison, make_paired, make_result, make_subject, warn

from bench_action.model.result import Comparison, NotCompared, Result, Verdict
from bench_action.model.warning import Code

pytestmark = pytest.mark.unit

_PAGE = (Path(__file__).parents[2] / "docs/for-agents.md").read_text(encoding="utf-8")
_LINES = re.findall(r"jq (-\w) '(.+)' bench-results/result\.json", _PAGE)


def ask(step: int, result: Result) -> str:
    """Run the jq line of a step, counted from 1."""
    option, program = _LINES[step - 1]
    done = subprocess.run(
        ["jq", option, program], input=result.model_dump_json(), capture_output=True, text=True, check=True
    )
    return done.stdout


def test_page__every_line_of_jq_runs_on_every_kind_of_result() -> None:
    assert len(_LINES) == _PAGE.count("jq -") == 6
    for result in (make_result(), make_result([]), make_compared(make_paired(900))):
        for step in range(1, 7):
            ask(step, result)


def test_page__finds_the_verdict_the_broken_gate_and_the_cause() -> None:
    result = make_compared(make_paired(900, queries=210))
    assert ask(1, result) == "regressed\n"
    assert '"metric":"requests_per_second"' in ask(4, result)
    assert "21 queries per request" in ask(5, result) or "queries" in ask(5, result)


def test_page__finds_what_is_invalid_failed_and_undecided() -> None:
    warning = warn(Code.CONNECT_ERRORS, "3 connections were refused")
    subject = make_subject("aiohttp", failure="GET /: 500")
    missing = NotCompared(cell="aiohttp · new", status="new", reason="base does not have it")
    undecided: Comparison = make_comparison(verdict="inconclusive", reason="the blocks disagree")
    result = make_result(
        [], warnings=(warning,), subjects=(subject,), not_compared=(missing,), comparisons=(undecided,)
    )
    assert "3 connections were refused" in ask(2, result)
    assert ask(3, result) == "aiohttp@head: GET /: 500\n"
    assert ask(6, result).splitlines() == [
        "aiohttp · new: base does not have it",
        "aiohttp article-500 requests_per_second: the blocks disagree",
    ]


def test_page__names_every_verdict() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", _PAGE, re.MULTILINE)) == set(get_args(Verdict))
