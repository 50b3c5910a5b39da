"""A run that goes well, from a configuration to its results; and one that cannot measure every variant."""

import re
import signal

import pytest
from tests.e2e.conftest import Finished, Tool, tiny

pytestmark = pytest.mark.e2e

BUILTIN = ["django", "aiohttp", "django-tuned", "aiohttp-tuned"]


def test_run__measures_every_built_in_variant_while_their_ports_are_taken(builtin: Finished) -> None:
    assert builtin.status == 0, builtin.stderr
    assert builtin.result.verdict == "measured"
    assert [subject.variant for subject in builtin.result.subjects] == BUILTIN
    assert all(subject.verified and not subject.failure for subject in builtin.result.subjects)
    assert {summary.variant: summary.trials for summary in builtin.result.summaries} == dict.fromkeys(BUILTIN, 5)


def test_run__loads_with_the_requested_connections(builtin: Finished) -> None:
    for trial in (trial for trial in builtin.trials if trial.phase == "capacity"):
        assert trial.valid, trial.warnings
        assert trial.requests > 0
        assert trial.bytes_read > 0
        # without keep-alive, some connection is always just being made
        assert trial.connections_live == 8 or trial.variant == "django"


def test_trials__are_the_same_in_both_files(builtin: Finished) -> None:
    assert builtin.trials == list(builtin.result.trials)
    capacity = [trial for trial in builtin.trials if trial.phase == "capacity"]
    blocks = [[trial.variant for trial in capacity if trial.block == block] for block in range(1, 6)]
    assert all(sorted(block) == sorted(BUILTIN) for block in blocks)
    assert {trial.variant for trial in builtin.trials if trial.phase == "count"} == set(BUILTIN)


def test_report__has_the_articles_table_and_more(builtin: Finished) -> None:
    (heading,) = [line for line in builtin.report.splitlines() if line.startswith("| Connections ")]
    columns = [cell.strip() for cell in heading.strip("| ").split("|")]
    # "Library" only in a run with the article's own preset
    assert columns[:5] == ["Connections", "Variant", "Requests", "Timeouts", "Req/sec"]
    assert {"Errors", "p50", "p99", "Spread"} <= set(columns)
    for variant in BUILTIN:
        assert f"| 8 | {variant} |" in builtin.report
    for head, base in (("aiohttp", "django"), ("aiohttp-tuned", "django-tuned")):
        assert re.search(rf"\| \*\*{head} \S+ {base} · short\*\* [| ]+\n\| requests/s \|", builtin.report)
    assert "## Environment" in builtin.report
    assert f"--seed {builtin.result.run.seed}" in builtin.report
    assert (builtin.output / "requests-per-second-short.svg").read_text(encoding="utf-8").startswith("<svg")


def test_terminal__shows_the_table_in_plain_lines(builtin: Finished) -> None:
    assert all(variant in builtin.stdout for variant in BUILTIN)
    assert "\x1b" not in builtin.stdout + builtin.stderr
    assert re.search(rf"\[\d+/44\] capacity 5 {builtin.trials[-1].variant} · short", builtin.stderr)


def test_seed__gives_the_same_order_with_a_variant_that_fails_and_without_it(tool: Tool) -> None:
    check = {"name": "home", "request": {"path": "/"}, "expect": {"contains": ["the page"]}}
    config = tool.config({"one": tiny(), "odd": tiny(PAGE="an advertisement"), "two": tiny()}, checks=[check])
    orders = {}
    for output, chosen in {"first": (), "again": ("--variant", "one", "--variant", "two")}.items():
        running = tool.start(config, "--seed", "7", *chosen, "--engine", "local", output=output)
        running.wait_for_trials(4)
        running.send_signal(signal.SIGINT)  # two blocks are enough
        trials = running.finish().trials[:4]
        orders[output] = [(trial.phase, trial.block, trial.position, trial.variant) for trial in trials]
    assert orders["first"] == orders["again"]
    assert {variant for *_, variant in orders["first"]} == {"one", "two"}


def test_verification__that_every_variant_fails(tool: Tool) -> None:
    check = {"name": "home", "request": {"path": "/"}, "expect": {"status": 200}}
    finished = tool.run(tool.config({"one": tiny(STATUS="404"), "two": tiny(STATUS="500")}, checks=[check]))
    finished.assert_failed(
        4,
        "one, two broke 2 rules",
        "one: home: expected status 200, got 404",
        "two: home: expected status 200, got 500",
    )
    assert not (finished.output / "result.json").exists()


def test_verification__that_finds_keep_alive_other_than_configured(tool: Tool) -> None:
    finished = tool.run(tool.config({"closing": tiny(CLOSE="1")}))
    finished.assert_failed(4, "keep_alive: true", "expected the connection kept open", "closed after the reply")
