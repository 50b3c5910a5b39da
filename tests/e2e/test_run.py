"""A run that goes well, from a configuration to its results; and one that cannot measure every variant."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.docker.footprint import Footprint
from tests.e2e.conftest import BUILTIN_APPS, SHORT, Finished, Tool, tiny

from bench_action.model.result import Result

pytestmark = pytest.mark.e2e

SCHEMA = Path(__file__).parents[2] / "docs" / "result.schema.json"
PORTS = (8000, 5432, 6379)
BUILTIN = ["django", "aiohttp", "django-tuned", "aiohttp-tuned"]


@pytest.fixture(scope="module")
def builtin(tmp_path_factory: pytest.TempPathFactory, footprint: Footprint) -> Iterator[Finished]:
    """The built-in applications under a short load, while others listen on all ports of theirs on this machine."""
    folder = tmp_path_factory.mktemp("builtin")
    body = yaml.safe_load((BUILTIN_APPS / "bench.yml").read_text(encoding="utf-8"))
    body["seed"] = str(BUILTIN_APPS / body["seed"])
    for variant in body["variants"].values():
        build = variant["build"]
        context = {"context": build} if isinstance(build, str) else build
        variant["build"] = context | {"context": str(BUILTIN_APPS / context["context"])}
    config = folder / "bench.yml"
    config.write_text(yaml.safe_dump(body | {"profiles": {"short": SHORT}}, sort_keys=False), encoding="utf-8")
    tool = Tool(folder, footprint.repository)
    with ExitStack() as stack:
        for port in PORTS:
            listener = stack.enter_context(socket.socket())
            with suppress(OSError):  # somebody else has it: taken all the same
                listener.bind(("127.0.0.1", port))
                listener.listen()
        stack.callback(tool.close)
        finished = tool.run(config)
    yield finished
    assert footprint.left() == []


def test_run__measures_every_built_in_variant_while_their_ports_are_taken(builtin: Finished) -> None:
    assert builtin.status == 0, builtin.stderr
    assert builtin.result.verdict == "measured"
    assert [subject.variant for subject in builtin.result.subjects] == BUILTIN
    assert all(subject.verified and not subject.failure for subject in builtin.result.subjects)
    assert {summary.variant: summary.trials for summary in builtin.result.summaries} == dict.fromkeys(BUILTIN, 5)


def test_run__counts_one_query_and_one_cache_command_for_each_page(builtin: Finished) -> None:
    counts = {trial.variant: trial for trial in builtin.trials if trial.phase == "count"}
    assert sorted(counts) == sorted(BUILTIN)
    for trial in counts.values():
        work = trial.work
        assert (trial.requests, work.queries, work.rows, work.cache_commands) == (20, 20, 400, 20)


def test_run__loads_with_the_connections_that_were_asked_for(builtin: Finished) -> None:
    for trial in (trial for trial in builtin.trials if trial.phase == "capacity"):
        assert trial.valid, trial.warnings
        assert trial.requests > 0
        assert trial.bytes_read > 0
        # without keep-alive, some connection is always just being made
        assert trial.connections_live == 8 or trial.variant == "django"


def test_trials__are_the_same_in_both_files(builtin: Finished) -> None:
    assert builtin.trials == list(builtin.result.trials)
    blocks = [[trial.variant for trial in builtin.trials if trial.block == block] for block in range(6)]
    assert all(sorted(block) == sorted(BUILTIN) for block in blocks)


def test_result__is_what_its_schema_says(builtin: Finished) -> None:
    text = (builtin.output / "result.json").read_text(encoding="utf-8")
    stored: dict[str, Any] = json.loads(text)
    assert next(iter(stored)) == "schema_version"
    jsonschema.validate(stored, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert json.loads(Result.model_validate_json(text).model_dump_json()) == stored


def test_report__has_the_articles_table_and_more(builtin: Finished) -> None:
    (heading,) = [line for line in builtin.report.splitlines() if line.startswith("| Connections ")]
    columns = [cell.strip() for cell in heading.strip("| ").split("|")]
    assert columns[:5] == ["Connections", "Library", "Requests", "Timeouts", "Req/sec"]
    assert {"Errors", "p50", "p99", "Spread"} <= set(columns)
    for variant in BUILTIN:
        assert f"| 8 | {variant} |" in builtin.report
    for head, base in (("aiohttp", "django"), ("aiohttp-tuned", "django-tuned")):
        assert re.search(rf"\| {head} \S+ {base} \| requests/s \|", builtin.report)
    assert "## Environment" in builtin.report
    assert f"--seed {builtin.result.run.seed}" in builtin.report
    assert (builtin.output / "requests-per-second-short.svg").read_text(encoding="utf-8").startswith("<svg")


def test_terminal__shows_the_table_in_plain_lines(builtin: Finished) -> None:
    assert all(variant in builtin.stdout for variant in BUILTIN)
    assert "\x1b" not in builtin.stdout + builtin.stderr
    assert f"[24/24] capacity 5 {builtin.trials[-1].variant} · short" in builtin.stderr


@pytest.fixture
def three_variants(tool: Tool) -> Path:
    """Two that do the same work, and one that answers another page."""
    check = {
        "name": "home",
        "rule": "C1",
        "request": {"path": "/"},
        "expect": {"status": 200, "contains": ["the page"]},
    }
    return tool.config({"one": tiny(), "two": tiny(), "odd": tiny(PAGE="an advertisement")}, checks=[check])


def test_seed__gives_the_same_order_with_a_variant_that_fails_and_without_it(tool: Tool, three_variants: Path) -> None:
    first = tool.run(three_variants, "--seed", "7", output="first")
    rule = "home (C1): expected a body that contains 'the page', got 'an advertisement'"
    first.assert_failed(4, "odd broke 1 rule", f"odd: {rule}", "mend the variant")
    failed = {subject.variant: subject.failure for subject in first.result.subjects}
    assert failed["one"] == failed["two"] == ""
    assert failed["odd"] == rule
    assert "odd" in first.report
    assert f"warning: not measured: odd: {rule}" in first.stderr

    again = tool.start(three_variants, "--seed", "7", "--variant", "one", "--variant", "two", output="again")
    again.wait_for_trials(6)
    again.send_signal(signal.SIGINT)  # three blocks tell enough
    order = [(trial.phase, trial.block, trial.position, trial.variant) for trial in first.trials]
    repeated = [(trial.phase, trial.block, trial.position, trial.variant) for trial in again.finish().trials]
    assert repeated == order[: len(repeated)]
    assert len(repeated) >= 6
    assert {variant for *_, variant in order} == {"one", "two"}


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
