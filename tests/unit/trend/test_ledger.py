"""Runs of unchanged code are counted by kind of runner; a change that one reports is a false alarm."""

import io
import re
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from benchmarks.detection.ledger import read_records
from benchmarks.detection.records import recorded
from benchmarks.detection.scenarios import CHANGES
from rich.console import Console
from tests.unit.history.places import make_history, make_record

from bench_action.history.record import Record, UnchangedCode, parse_line, render_line
from bench_action.model.result import Verdict
from bench_action.report.terminal import print_table
from bench_action.stats.sequential import ALPHA
from bench_action.trend.badge import make_ledger_badge
from bench_action.trend.ledger import (
    OPTIONAL,
    Ledger,
    RunnerKind,
    Tally,
    UnchangedRun,
    describe_false_alarm,
    make_ledger,
    make_ledger_table,
    summarize_ledger,
)
from bench_action.trend.ledger_page import render_ledger
from bench_action.trend.page import CommitLinks

pytestmark = pytest.mark.unit
EVIL = "</script><img src=x onerror=alert(1)>"


def make_entry(
    run_id: str = "run-1", verdict: Verdict = "unchanged", *, day: int = 1, of_record: Any = None, **changes: Any
) -> Record:
    """Build a cell's record of a run of unchanged code on a hosted runner."""
    fields: dict[str, Any] = {
        "verdict": verdict,
        "detectable": {"requests_per_second": 0.012, "latency_p50_us": 0.2},
        "runner": "github-hosted",
        "architecture": "x86_64",
        "cores": 4,
    }
    code = UnchangedCode(**(fields | changes))
    at = f"2026-11-{day:02}T04:41:00Z"
    return make_record(run_id, at, **{"preset": "ci", "metrics": {}, "unchanged": code, **(of_record or {})})


def make_tally(alarms: int, runs: int) -> Tally:
    verdicts: list[Verdict] = ["regressed" if n < alarms else "unchanged" for n in range(runs)]
    return Tally([UnchangedRun(f"run-{n}", "", "", verdict, (), 0.01) for n, verdict in enumerate(verdicts)])


def make_hosted(tally: Tally) -> Ledger:
    return Ledger({RunnerKind("github-hosted", "x86_64", "docker", "ci", "CPU", 4): tally})


def test_make_ledger__counts_by_runner_cpu_and_engine() -> None:
    neoverse = {"cpu_model": "Neoverse-N2"}
    records = [
        make_entry("a"),
        make_entry("b", "inconclusive"),
        make_entry("c", "invalid", architecture="aarch64", of_record=neoverse),
        make_entry("d", "regressed", architecture="aarch64", of_record=neoverse),
        make_entry("e", runner="", cores=0, of_record={"engine": "local", "cpu_model": ""}),
        make_record("another run"),
    ]
    table = make_ledger_table(make_ledger(records))
    columns = [table.headings.index(name) for name in ("CPU", "Runs", "False alarms", "Invalid", "Inconclusive")]
    assert [row if len(row) == 1 else tuple(row[column] for column in columns) for row in table.rows] == [
        ("outside of GitHub Actions, amd64 (local, ci)",),
        ("unknown (0123456789ab)", "1", "0", "0 %", "0 %"),
        ("github-hosted, arm64 (docker, ci)",),
        ("Neoverse-N2, 4 cores", "2", "1", "50 %", "0 %"),
        ("github-hosted, amd64 (docker, ci)",),
        ("AMD EPYC 7763 64-Core Processor, 4 cores", "2", "0", "0 %", "50 %"),
        ("All runs",),
        ("any", "5", "1", "20 %", "20 %"),
    ]


def test_make_ledger__cells_of_one_run_are_one_run() -> None:
    slow = make_entry("a", "inconclusive", detectable={"cpu_ms_per_request": 0.031}, of_record={"variant": "django"})
    ledger = make_ledger([make_entry("a", "inconclusive"), slow])
    (tally,) = ledger.tallies.values()
    assert (len(tally.runs), tally.count("inconclusive")) == (1, 1)
    assert tally.detectable == (0.031, 0.031, 0.031), "its least precise cell, by CPU/request without requests/s"


def test_make_ledger__a_change_of_one_metric_is_a_false_alarm_under_any_verdict_of_the_run() -> None:
    warned = make_entry("a", "measured", alarms={"latency_p50_us": "regressed"})
    tested = make_entry("b", "invalid", alarms={"requests_per_second": "improved"}, day=2)  # a self-test
    found = make_entry("c", "regressed", day=3)
    total = make_ledger([warned, tested, found, make_entry("d", "measured", day=4)]).total
    assert [describe_false_alarm(run) for run in total.false_alarms] == [
        "2026-11-03: the run regressed by a finding without a gate, such as errors (run c)",
        "2026-11-02: requests/s of aiohttp · article-500 improved (run b)",
        "2026-11-01: p50 of aiohttp · article-500 regressed (run a)",
    ]
    assert (total.count("invalid"), total.count("measured"), total.count("regressed")) == (0, 1, 0)


def test_tally__the_detectable_change_is_the_median_of_the_runs_that_know_theirs() -> None:
    sizes = (0.01, 0.02, 4.0, None)
    records = [
        make_entry(f"run-{n}", detectable={} if size is None else {"requests_per_second": size})
        for n, size in enumerate(sizes)
    ]
    ledger = make_ledger(records)
    assert summarize_ledger(ledger) == "0 false alarms in 4 runs, 2.0 % detectable"
    (_, row) = make_ledger_table(ledger).rows
    assert row[-3:-1] == ("2.0 %", "1.0 to over 100 %")
    assert make_ledger([make_entry(detectable={})]).total.detectable is None


@pytest.mark.parametrize(("rate", "kept"), [(ALPHA, 1.0), (0.1, 0.0)])
def test_ledger__is_red_only_if_the_false_alarms_can_hardly_be_chance(rate: float, kept: float) -> None:
    """The interval misses the true rate on its lower side in at most 1 of 200 ledgers."""
    alarms = np.random.default_rng(7).binomial(200, rate, 400)
    ledgers = [make_hosted(make_tally(int(count), 200)) for count in alarms]
    share = float(np.mean([ledger.keeps_promise for ledger in ledgers]))
    assert share == pytest.approx(kept, abs=0.01)
    colours = {make_ledger_badge(ledger).colour for ledger in ledgers if not ledger.keeps_promise}
    assert make_ledger_badge(make_hosted(make_tally(0, 200))).colour not in colours


def test_badge__of_no_runs_and_of_some() -> None:
    assert make_ledger_badge(Ledger()).message == "no runs"
    badge = make_ledger_badge(make_hosted(make_tally(1, 60)))
    assert (badge.label, badge.message) == ("unchanged code", "1 false alarm in 60 runs, 1.0 % detectable")


def test_page__shows_table_and_false_alarms_with_their_commits() -> None:
    ledger = make_ledger([make_entry(), make_entry("run-2", alarms={"requests_per_second": "regressed"})])
    files = dict(render_ledger(ledger, CommitLinks("https://example.org/o/r")))
    page = files["index.html"]
    assert set(re.findall(r'(?:href|src)="([^"#:]+)"', page)) <= files.keys()
    assert files.keys() >= {"badge.svg", "badge.json"}
    assert "1 false alarm in 2 runs" in page
    assert "AMD EPYC 7763 64-Core Processor, 4 cores" in page
    assert f'href="https://example.org/o/r/commit/{"a" * 40}"' in page
    assert "has no runs of unchanged code" in dict(render_ledger(Ledger(), CommitLinks()))["index.html"]


def test_page__hostile_text_is_inert() -> None:
    of_record = dict.fromkeys(("cpu_model", "engine", "preset", "variant", "profile", "sha"), EVIL)
    evil = make_entry(EVIL, runner=EVIL, architecture=EVIL, alarms={EVIL: "regressed"}, of_record=of_record)
    for name, text in render_ledger(make_ledger([evil]), CommitLinks("javascript:alert(1)")):
        assert name == "trend.js" or ("<img src=x" not in text and "javascript:" not in text)


def test_record__of_unchanged_code_is_read_as_it_was_written() -> None:
    entry = make_entry(alarms={"requests_per_second": "regressed"})
    assert parse_line(render_line(entry)) == entry
    assert len(render_line(entry)) < 1024


def test_recordings__of_unchanged_code_become_entries_once() -> None:
    records = list(read_records())
    same = [scenario.name for scenario in CHANGES if scenario.unchanged]
    assert "same code" in same
    assert {"calibrate", "CPU + 2 %", "wait + 5 ms", "1 sync worker, 2 in head"}.isdisjoint(same)
    for engine in ("docker", "local"):
        runs = [run for run in recorded(engine) if run["scenario"] in same]
        own = [record for record in records if record.engine == engine and record.run_id.partition(engine)[1]]
        assert len(own) >= len(runs) >= 20
    assert {record.cpu_model for record in records if record.fingerprint == "4a0f8c514f9f"} == {"AMD EPYC"}
    last = datetime.fromisoformat(max(record.at for record in records))
    history = make_history(now=lambda: last)
    assert (history.append(records), history.append(read_records())) == (len(records), 0)
    tallies = make_ledger(history.read()).tallies
    assert sum(len(tally.runs) for tally in tallies.values()) == len(records)
    assert all(tally.detectable is not None for tally in tallies.values())


def test_table__in_a_narrow_terminal_wraps_the_cpu_and_keeps_its_columns() -> None:
    page = io.StringIO()
    table = make_ledger_table(make_ledger([make_entry("a"), make_entry("b", architecture="aarch64")]))
    print_table(table, Console(file=page, width=80), OPTIONAL)
    lines = page.getvalue().splitlines()
    column = lines[0].index("Runs") + len("Runs")
    counts = [line[:column].split()[-1] for line in lines if line.rstrip().endswith("1.2 %")]
    assert counts == ["1", "1", "2"]
    assert "Processor" in page.getvalue()
    assert all(len(line) <= 80 for line in lines)
