"""The result of a run from plan, trials and facts: by whose rules it was judged, and which cells were compared."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.factories import make_count, make_duet, make_subject

from bench_action.compare.assemble import Facts, Measured, assemble
from bench_action.config.baseline import Lack
from bench_action.config.gates import Gate, Gates, default_gates
from bench_action.config.load import Project, load_policy
from bench_action.config.rules import AppliedRules
from bench_action.config.schema import Config, ExpectedWork
from bench_action.model.errors import StackError
from bench_action.model.machine import Machine
from bench_action.model.result import Errors, RuleChange, RunInfo, Source, Trial
from bench_action.model.warning import Code
from bench_action.plan.blocks import Cell
from bench_action.plan.design import make_design
from bench_action.plan.plan import Plan

pytestmark = pytest.mark.unit

PROFILE = "article-500"
CELL = Cell("aiohttp", "head", PROFILE)
STRICT: Gates = {"requests_per_second": Gate(max_loss=0.02)}
LOOSE: Gates = {"requests_per_second": Gate(max_loss=0.5)}
CHANGED = (RuleChange(what="gate on requests/s", before="2 %", after="50 %"),)


def plan(lacks: Mapping[Cell, Lack] | None = None) -> Plan:
    """Of a run of aiohttp at both revisions, by strict gates."""
    config = Config.model_validate({"variants": {"aiohttp": {"image": "x"}}})
    profiles = {PROFILE: load_policy("article").profiles[PROFILE]}
    config = config.model_copy(update={"profiles": profiles, "gates": dict.fromkeys(default_gates()) | STRICT})
    project = Project(config, load_policy("ci"), "ci", Path(), "bench.yml")
    both = tuple(make_subject("aiohttp", revision=name) for name in ("head", "base"))
    names = [("aiohttp", "head"), ("aiohttp", "base")]
    design = make_design(names, [PROFILE], (), duets=True, seed=0, without=lacks or {})
    return Plan(project, both, design, lacks=lacks or {})


def measured(trials: Sequence[Trial], **changes: Any) -> Measured:
    return Measured(tuple(trials), **changes)


def facts(**changes: Any) -> Facts:
    run = RunInfo(
        id="r",
        started_at="2026-11-23T10:00:00+00:00",
        duration_s=1,
        seed=0,
        engine="docker",
        preset="ci",
        tool_version="0",
        command="bench-action run",
    )
    fields: dict[str, Any] = {
        "run": run,
        "source": Source(base_sha="b" * 40),
        "machine": Machine(cores=2, memory_mib=4096, kernel="6", engine_version="28"),
        "generator": {"cpu_model": "x", "machine": "x86_64"},
        "images": {},
        "control": {},
        "compares": True,
    }
    return Facts(**(fields | changes))


def slower(loss: float = 0.2, queries: int = 1) -> list[Trial]:
    counts = [make_count(queries=10), make_count(queries=10 * queries, revision="base")]
    wiggle = (0.004, -0.006, 0.002, -0.003, 0.005, -0.002, 0.001, -0.001)
    duets = [
        make_duet(number, base=10_000, head=10_000 * math.exp(-loss - one)) for number, one in enumerate(wiggle, 1)
    ]
    return [*counts, *(trial for block in duets for trial in block)]


def test_assemble__base_judges_and_heads_verdict_is_stored_too() -> None:
    result = assemble(plan(), measured(slower()), facts(applied=AppliedRules("base", CHANGED, LOOSE)))
    assert (result.verdict, result.rules, result.rule_changes) == ("regressed", "base", CHANGED)
    assert result.verdict_by_head_rules == "measured"  # a loss of a fifth, which no gate of head's forbids
    assert (result.compared, result.not_compared) == ((str(CELL),), ())


def test_assemble__quick_errors_are_no_gain() -> None:
    trials = [
        trial.model_copy(update={"errors": Errors(read=trial.requests // 50)})
        if (trial.phase, trial.side) == ("duet", "head")
        else trial
        for trial in slower(-0.2)
    ]
    result = assemble(plan(), measured(trials), facts())
    assert result.verdict == "regressed"
    assert not any(c.verdict == "improved" or c.relevant for c in result.comparisons)
    assert assemble(plan(), measured(slower(-0.2)), facts()).verdict == "improved"


def test_assemble__heads_verdict_also_goes_by_heads_work() -> None:
    applied = AppliedRules("base", CHANGED, STRICT, {PROFILE: ExpectedWork(queries=7)})
    result = assemble(plan(), measured(slower(0.0)), facts(applied=applied))
    assert (result.verdict, result.verdict_by_head_rules) == ("unchanged", "regressed")


@pytest.mark.parametrize("applied", [AppliedRules(), AppliedRules("base"), AppliedRules("head", CHANGED)])
def test_assemble__without_a_change_of_the_rules_there_is_one_verdict(applied: AppliedRules) -> None:
    assert assemble(plan(), measured(slower()), facts(applied=applied)).verdict_by_head_rules is None


def test_assemble__a_cell_that_base_lacks_is_not_compared() -> None:
    alone: Sequence[Trial] = [make_count()]
    result = assemble(plan({CELL: Lack("new", "base `bbbbbbb` has no `bench.yml`")}), measured(alone), facts())
    assert (result.verdict, result.compared) == ("measured", ())
    (other,) = result.not_compared
    assert (other.cell, other.status) == (str(CELL), "new")


def test_assemble__a_base_that_ended_is_not_judged_by_what_was_left_of_it() -> None:
    result = assemble(
        plan(), measured(slower(), lost={"aiohttp": StackError("aiohttp-base exited with status 1")}), facts()
    )
    assert [one for one in result.comparisons if one.kind == "revision"] == []
    assert [one.status for one in result.not_compared] == ["base-failed"]


def test_assemble__a_head_that_reached_a_limit_is_not_judged_by_what_was_left_of_it() -> None:
    gone = {"aiohttp": StackError("aiohttp reached its limit of 4,096 processes")}
    dropped = (Code.BLOCKS_DROPPED.warn("it was not measured any further", "aiohttp"),)
    result = assemble(plan(), measured(slower(), gone=gone, dropped=dropped), facts())
    assert [one for one in result.comparisons if one.kind == "revision"] == []
    assert [one.status for one in result.not_compared] == ["head-failed"]
    assert result.verdict == "invalid"


def test_assemble__without_a_baseline_nothing_is_said_of_a_comparison() -> None:
    result = assemble(plan(), measured([make_count()]), facts(compares=False))
    assert (result.compared, result.not_compared) == ((), ())


def test_environment__names_the_architecture_and_who_hosts_the_runner() -> None:
    environment = assemble(plan(), measured([]), facts(runner="github-hosted")).environment
    assert (environment.architecture, environment.runner) == ("x86_64", "github-hosted")
    assert assemble(plan(), measured([]), facts()).environment.runner == ""
