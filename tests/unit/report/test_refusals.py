"""When the tool refuses to answer: the table of docs/how-it-decides.md, row by row, by the code that a run uses."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.factories import (
    PAIR,
    make_compared,
    make_count,
    make_duet,
    make_paired,
    make_result,
    make_subject,
    make_trial,
    make_turns,
    warn,
)

from bench_action.cli import app as cli
from bench_action.compare.verdict import decide_verdict
from bench_action.config.gates import Gate, Gates, default_gates
from bench_action.model.errors import BenchError, StackError
from bench_action.model.result import NotCompared, Result, RuleChange, SubjectInfo, Trial
from bench_action.model.warning import Code
from bench_action.pipeline import Outcome
from bench_action.report.comment import Links, render_comment
from bench_action.report.headline import choose_headline
from bench_action.report.html import render_html
from bench_action.report.markdown import render_markdown
from bench_action.report.view import make_view
from bench_action.verify.failures import Failure

pytestmark = pytest.mark.unit

CELL = str(PAIR)
BASE = "base `1a2b3c4`"
SHORT = "restarting took 13 s of each block of 18 s; --max-minutes 4 should do"
TABLE = Path("docs/how-it-decides.md").read_text(encoding="utf-8")
GREEN_ROWS = {
    "a route is new in this pull request",
    "base and head are one commit",
    "duets with unequal shares of the CPU",
    "a count that varies",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A result, and with what the run ends."""

    result: Result
    failures: tuple[Failure, ...] = ()
    require: bool = False
    error: BenchError | None = None

    @property
    def status(self) -> int:
        if self.error is not None:  # raised by the run itself, after what was measured has been stored
            return self.error.exit_status
        try:
            cli.raise_verdict(
                Outcome(self.result, self.failures), cli.FailOn.REGRESSION, require_comparison=self.require
            )
        except BenchError as error:
            return error.exit_status
        return 0


def uncompared(status: str, reason: str, log: tuple[str, ...] = ()) -> Result:
    """Head measured alone."""
    trials = [make_count(), *(make_trial(block=n, speed=412) for n in (1, 2))]
    missing = NotCompared.model_validate({"cell": CELL, "status": status, "reason": reason, "log": log})
    return make_result(trials, not_compared=(missing,))


def compared(trials: list[Trial], **changes: Any) -> Result:
    return make_compared(trials, **({"compared": (CELL,)} | changes))


def paired(head: float = 1003, **changes: Any) -> Result:
    return compared(make_paired(head), **changes)


def lenient(**gates: Gate | None) -> Gates:
    return {name: gate for name, gate in {**default_gates(), **gates}.items() if gate is not None}


def without(phase: str) -> list[Trial]:
    return [trial for trial in make_paired(1003) if trial.phase != phase]


def with_duets(duets: list[Trial]) -> list[Trial]:
    return [*without("duet"), *duets]


def unequal() -> list[Trial]:
    """Shares that wander, and rates with them, so that costs are equal."""
    return [
        one
        for n in range(1, 9)
        for share in ((0.57, 0.43) if n % 2 else (0.43, 0.57),)
        for one in make_duet(
            n, base=4000 * share[0] + 5 * (n % 3), head=4000 * share[1] + 5 * (n % 4), shares=share, connections_live=0
        )
    ]


def idle(blocks: int = 8) -> list[Trial]:
    return [one for n in range(1, blocks + 1) for one in make_duet(n, application_idle=0.4, used=0.6)]


def in_turn(spread: int) -> list[Trial]:
    return [
        one
        for n in range(1, 9)
        for one in make_turns(n, base=1000 + spread * (n % 2), head=1000 + spread * (n % 3 % 2))
    ]


def refused(code: Code, message: str, error: BenchError | None = None) -> Row:
    result = paired()
    warnings = (warn(code, message),)
    verdict = decide_verdict(result.trials, warnings, result.comparisons)
    return Row(result.model_copy(update={"warnings": warnings, "verdict": verdict}), error=error)


def judged_by(gates: Gates, head: float) -> Row:
    return Row(compared(make_paired(head), gates=gates))


def wobbling() -> Row:
    counts = [
        make_count(revision=side, block=n, queries=10 + (n + shift) % 2)
        for shift, side in enumerate(("base", "head"))
        for n in range(5)
    ]
    return Row(compared([*counts, *make_paired(1003)[2:]]))


def missing(cell: str, status: str, reason: str) -> tuple[NotCompared]:
    return (NotCompared.model_validate({"cell": cell, "status": status, "reason": reason}),)


ROWS: dict[str, Callable[[], Row]] = {
    "base has no `bench.yml` (first adoption)": lambda: Row(
        uncompared("new", f"new in this pull request: {BASE} has no `bench.yml`")
    ),
    "a route is new in this pull request": lambda: Row(
        paired(not_compared=missing("aiohttp · orders", "new", f"{BASE} has no profile `orders`"))
    ),
    "base cannot be built": lambda: Row(
        uncompared("base-failed", f"{BASE} could not be built: step `RUN make` failed", ("make: Error 2",))
    ),
    "base never answers": lambda: Row(uncompared("base-failed", f"{BASE} does not answer `GET /`: timed out")),
    "base fails its checks": lambda: Row(
        uncompared("base-failed", f"{BASE} does not pass `home`: expected status 200, got 500")
    ),
    "base fails for one cell of two": lambda: Row(
        paired(not_compared=missing("django · article-500", "base-failed", f"{BASE} could not be built"))
    ),
    "nothing was compared, and `require-comparison` is set": lambda: Row(
        uncompared("new", f"new in this pull request: {BASE} has no `bench.yml`"), require=True
    ),
    "head fails its checks": lambda: Row(
        make_result([make_count()], subjects=(failed_head(),)), (Failure("aiohttp", "home", "status 200", "500"),)
    ),
    "no time for pairs": lambda: Row(
        compared(
            without("duet"),
            compared=(),
            shortage=SHORT,
            not_compared=missing(CELL, "not-measured", f"no pair was measured in time: {SHORT}"),
        )
    ),
    "a gated metric that no block compares": lambda: Row(compared(without("latency"), shortage=SHORT)),
    "only one block of pairs": lambda: Row(compared(with_duets(make_duet(1)), shortage=SHORT)),
    "only one block of pairs, and `require-comparison` is set": lambda: Row(
        compared(with_duets(make_duet(1)), shortage=SHORT), require=True
    ),
    "duets with unequal shares of the CPU": lambda: Row(compared(with_duets(unequal()))),
    "duets with an idle CPU, and slices in turn that decide nothing": lambda: Row(
        compared(with_duets([*idle(), *in_turn(90)]))
    ),
    "one CPU, and slices in turn that decide nothing": lambda: Row(compared(with_duets(in_turn(90)))),
    "a loss that a gate only warns of": lambda: judged_by(
        lenient(requests_per_second=Gate(max_loss=0.01, level="warn"), cpu_ms_per_request=Gate(max_gain=0.2)), 960
    ),
    "a loss that no gate looks at": lambda: judged_by(lenient(requests_per_second=None, cpu_ms_per_request=None), 960),
    "a loss within its gate": lambda: judged_by(
        lenient(requests_per_second=Gate(max_loss=0.1), cpu_ms_per_request=Gate(max_gain=0.1)), 960
    ),
    "head raises its own gates over its loss": lambda: Row(
        paired(
            940,
            rules="base",
            verdict_by_head_rules="measured",
            rule_changes=(RuleChange(what="gate on requests/s", before="1 %", after="10 %"),),
        )
    ),
    "connections are refused": lambda: refused(Code.CONNECT_ERRORS, "244 of 500 connections could not be made"),
    "most replies are errors": lambda: refused(Code.MOSTLY_ERRORS, "9,120 of 9,600 replies have status 429"),
    "replies under load have another size": lambda: refused(
        Code.REPLIES_DIFFER, "replies under load have 38 bytes, those that were counted 6,013"
    ),
    "replies are redirects": lambda: refused(Code.REDIRECTS, "every reply is 302, to /login"),
    "the load generator is saturated": lambda: refused(Code.GENERATOR_SATURATED, "wrk used 95 % of its CPU"),
    "the run is stopped early": lambda: refused(Code.STOPPED_EARLY, "web exited", StackError("web exited")),
    "a self-test that finds a difference": lambda: refused(
        Code.UNRELIABLE, "identical code was called regressed by p50"
    ),
    "base and head are one commit": lambda: Row(
        paired(warnings=(warn(Code.IDENTICAL, "base and head are the same commit, 1a2b3c4", ""),))
    ),
    "a count that varies": wobbling,
}


def failed_head() -> SubjectInfo:
    return make_subject("aiohttp", verified=False, failure="home: expected status 200, got 500")


def line(situation: str) -> str:
    row = ROWS[situation]()
    chosen = choose_headline(row.result)
    return f"| {situation} | `{row.result.verdict}` | {row.status} | {chosen.mark} {chosen.text} |"


def documented() -> list[str]:
    section = TABLE.partition("## When it refuses to answer\n")[2].partition("\n## ")[0]
    return [row for row in section.splitlines() if row.startswith("| ") and not row.startswith("| situation |")]


@pytest.mark.parametrize("situation", ROWS)
def test_each_row__is_what_the_code_says(situation: str) -> None:
    assert line(situation) in documented()


def test_the_table__has_these_rows_and_no_others() -> None:
    assert [row.split(" | ")[0].removeprefix("| ") for row in documented()] == list(ROWS)


@pytest.mark.parametrize("situation", ROWS)
def test_green__is_only_what_was_compared_and_got_no_worse(situation: str) -> None:
    result = ROWS[situation]().result
    assert (choose_headline(result).mark == "🟢") == (situation in GREEN_ROWS)
    assert (result.verdict == "unchanged") <= bool(result.compared)


@pytest.mark.parametrize("situation", [name for name, row in ROWS.items() if row().result.verdict == "invalid"])
def test_an_invalid_measurement__has_no_figure_with_a_verdict(situation: str) -> None:
    result = ROWS[situation]().result
    faster = [one.model_copy(update={"verdict": "improved", "ratio": 1.8}) for one in result.comparisons]
    result = result.model_copy(update={"comparisons": tuple(faster)})
    page = re.sub(r"<script>/\*\*.*?</script>", "", render_html(result), count=1, flags=re.DOTALL)  # without plotly
    texts = (render_comment(result, Links()), render_markdown(make_view(result)), page)
    assert not any("improved" in text or "🟢" in text for text in texts)
    assert "|" not in texts[0].partition("<details>")[0]


@pytest.mark.parametrize("situation", ROWS)
def test_the_comment__says_each_reason_once_and_fits_its_headline(situation: str) -> None:
    result = ROWS[situation]().result
    text = render_comment(result, Links()).partition("<details>")[0]
    assert text.startswith(f"### {choose_headline(result).mark} bench-action: ")
    for one in result.comparisons:
        if one.reason and one.verdict == "inconclusive":
            assert text.count(re.sub(r"`.*", "", one.reason)[:60]) <= 1
