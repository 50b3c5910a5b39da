"""The built-in applications, measured once in containers and once as processes: what every run of them shows."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.e2e.conftest import Finished

from bench_action.model.result import Result, Work

pytestmark = pytest.mark.e2e

SCHEMA = Path(__file__).parents[2] / "docs" / "result.schema.json"
BUILTIN = ["django", "aiohttp", "django-tuned", "aiohttp-tuned"]
BOTH = ("django", "aiohttp")  # what both engines run


@pytest.fixture(params=["docker", "local"])
def built_in(request: pytest.FixtureRequest) -> Finished:
    """A run of the built-in applications on each engine."""
    finished: Finished = request.getfixturevalue("builtin" if request.param == "docker" else "builtin_local")
    assert finished.status == 0, finished.stderr
    assert finished.result.run.engine == request.param
    return finished


def metrics_of(finished: Finished) -> dict[str, set[str]]:
    return {one.variant: set(one.metrics) for one in finished.result.summaries if one.variant in BOTH}


def test_run__measures_every_built_in_variant_while_their_ports_are_taken(builtin: Finished) -> None:
    assert builtin.status == 0, builtin.stderr
    assert builtin.result.verdict == "measured"
    assert [subject.variant for subject in builtin.result.subjects] == BUILTIN
    assert all(subject.verified and not subject.failure for subject in builtin.result.subjects)
    assert {summary.variant: summary.trials for summary in builtin.result.summaries} == dict.fromkeys(BUILTIN, 2)


def test_run__loads_with_the_connections_that_were_asked_for(builtin: Finished) -> None:
    for trial in (trial for trial in builtin.trials if trial.phase == "capacity"):
        assert trial.valid, trial.warnings
        assert trial.requests > 0
        assert trial.bytes_read > 0
        # the agent may have one itself; without keep-alive, some connection is always just being made
        assert trial.connections_live in {8, 9} or trial.variant == "django"


def test_trials__are_the_same_in_both_files(builtin: Finished) -> None:
    assert builtin.trials == list(builtin.result.trials)
    capacity = [trial for trial in builtin.trials if trial.phase == "capacity"]
    blocks = [[trial.variant for trial in capacity if trial.block == block] for block in (1, 2)]
    assert all(sorted(block) == sorted(BUILTIN) for block in blocks)
    assert {trial.variant for trial in builtin.trials if trial.phase == "count"} == set(BUILTIN)


def test_report__has_the_articles_table_and_more(builtin: Finished) -> None:
    (heading,) = [line for line in builtin.report.splitlines() if line.startswith("| Connections ")]
    columns = [cell.strip() for cell in heading.strip("| ").split("|")]
    # "Library" is the word of the article, and only of its preset
    assert columns[:5] == ["Connections", "Variant", "Requests", "Timeouts", "Req/sec"]
    assert {"Errors", "p50", "p99", "Spread"} <= set(columns)
    for variant in BUILTIN:
        assert f"| 8 | {variant} |" in builtin.report
    for head, base in (("aiohttp", "django"), ("aiohttp-tuned", "django-tuned")):
        assert re.search(rf"\| \*\*{head} ÷ {base} · short\*\* \|[^\n]*\n\| requests/s \|", builtin.report)
    assert "## Environment" in builtin.report
    assert f"--seed {builtin.result.run.seed}" in builtin.report
    assert (builtin.output / "requests-per-second-short.svg").read_text(encoding="utf-8").startswith("<svg")


def test_terminal__shows_the_table_in_plain_lines(builtin: Finished) -> None:
    assert all(variant in builtin.stdout for variant in BUILTIN)
    assert "\x1b" not in builtin.stdout + builtin.stderr
    assert re.search(rf"\[\d+/32\] capacity 2 {builtin.trials[-1].variant} · short", builtin.stderr)


def test_run__ends_with_a_result_as_its_schema_says(built_in: Finished) -> None:
    assert built_in.result.verdict == "measured"
    assert all(subject.verified and not subject.failure for subject in built_in.result.subjects)
    text = (built_in.output / "result.json").read_text(encoding="utf-8")
    stored: dict[str, Any] = json.loads(text)
    assert next(iter(stored)) == "schema_version"
    jsonschema.validate(stored, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert json.loads(Result.model_validate_json(text).model_dump_json()) == stored


def test_run__counts_one_query_and_one_cache_command_for_each_page(built_in: Finished) -> None:
    counts = [trial for trial in built_in.trials if trial.phase == "count"]
    for variant in BOTH:
        own = [(trial.requests, trial.work) for trial in counts if trial.variant == variant]
        # others follow where a busy machine made the first two differ
        assert own.count((20, Work(queries=20, rows=400, cache_commands=20))) >= 2, own


def test_engines__have_the_same_metrics(builtin: Finished, builtin_local: Finished) -> None:
    assert metrics_of(builtin_local) == metrics_of(builtin)
    assert {"cpu_ms_per_request", "db_cpu_ms_per_request", "cache_cpu_ms_per_request", "memory_peak_mib"} <= (
        metrics_of(builtin_local)["aiohttp"]
    )


def test_engines__agree_exactly_on_the_work_of_a_request(builtin: Finished, builtin_local: Finished) -> None:
    exact = ("queries_per_request", "rows_per_request", "cache_commands_per_request")
    counts = [
        {
            (one.variant, name): one.metrics[name].median
            for one in finished.result.summaries
            for name in exact
            if one.variant in BOTH
        }
        for finished in (builtin, builtin_local)
    ]
    assert counts[0] == counts[1]
    assert set(counts[0].values()) == {1.0, 20.0}
