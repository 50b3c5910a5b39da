"""What is decided before measuring begins."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.factories import make_subject

from bench_action.config.baseline import Lack
from bench_action.config.load import Project, load_policy
from bench_action.config.options import Options
from bench_action.config.schema import Config
from bench_action.plan.blocks import Cell
from bench_action.plan.placement import Placement
from bench_action.plan.plan import Plan, make_plan

pytestmark = pytest.mark.unit

PLACES = (Placement((0,), (1,), (1,)), Placement((1,), (0,), (0,)))
HEAD, BASE = make_subject("web"), make_subject("web", revision="base")


def plan(*subjects: object, places: tuple[Placement, ...] = PLACES, lacks: dict[Cell, Lack] | None = None) -> Plan:
    config = Config.model_validate(
        {"variants": {"web": {"image": "x"}}, "profiles": {"list": {"connections": 4, "threads": 2, "duration": 1}}}
    )
    project = Project(config, load_policy("ci"), "ci", Path(), "bench.yml")
    return make_plan(project, subjects, lacks or {}, places, Options())  # type: ignore[arg-type]


def test_make_plan__pairs_base_and_head() -> None:
    found = plan(HEAD, BASE)
    assert [str(pair) for pair in found.design.pairs] == ["web · list"]
    assert found.needs_pinning
    assert "application on CPU 0" in found.describe_places()


def test_make_plan__a_head_that_broke_a_rule_is_not_measured_and_its_rule_is_known() -> None:
    broken = make_subject("old", verified=False, failure="home: expected status 200, got 500")
    found = plan(HEAD, BASE, broken)
    assert {cell.variant for cell in found.design.cells} == {"web"}
    assert found.failed == {"old": "home: expected status 200, got 500"}


def test_make_plan__a_base_that_broke_a_rule_stays_for_the_cells_it_can_be_compared_in() -> None:
    broken = make_subject("web", revision="base", verified=False, failure="new: expected status 200, got 404")
    found = plan(HEAD, broken)
    assert [str(pair) for pair in found.design.pairs] == ["web · list"]
    assert found.failed == {"web@base": "new: expected status 200, got 404"}


def test_make_plan__a_cell_without_a_counterpart_is_measured_alone() -> None:
    found = plan(HEAD, BASE, lacks={Cell("web", "head", "list"): Lack("new", "base has no profile `list`")})
    assert found.design.pairs == ()
    assert found.design.cells == (Cell("web", "head", "list"),)
    assert not found.needs_pinning


def test_make_plan__the_slowest_subject_decides_what_a_restart_costs() -> None:
    slow = make_subject("web", revision="base", startup_s=9.0)
    assert plan(HEAD, slow).design.boot_s == 9.0


def test_make_plan__the_largest_data_decide_what_it_costs_to_copy_them() -> None:
    large = make_subject("web", revision="base", renewal_s=33.0)
    assert plan(HEAD, large).design.renewal_s == 33.0


def test_without_pinning__pairs_take_turns_and_the_reason_is_kept() -> None:
    found = plan(HEAD, BASE).without_pinning("the engine ignores it")
    assert not found.design.duets
    assert found.places == ()
    assert found.describe_places() == "none, because the engine ignores it: subjects are measured in turn"


def test_make_plan__one_cpu_means_turns() -> None:
    found = plan(HEAD, BASE, places=())
    assert not found.design.duets
    assert found.describe_places() == "none, because there is one CPU only: subjects are measured in turn"
    assert replace(found, unpinned="x").describe_places().startswith("none, because x")


def test_make_plan__subjects_that_take_turns_have_longer_blocks_alone() -> None:
    config = Config.model_validate(
        {"variants": {"web": {"image": "x"}}, "profiles": {"list": {"connections": 4, "threads": 2, "duration": 1}}}
    )
    project = Project(config, load_policy("ci"), "ci", Path(), "bench.yml")
    together, in_turns = (
        make_plan(project, (HEAD, BASE), {}, PLACES, Options(), in_turns=turns).design for turns in (False, True)
    )
    longer = in_turns.make_timetable(project).capacity_s - together.make_timetable(project).capacity_s
    assert longer >= 2 * (project.policy.warmup + HEAD.startup_s)
    assert all(step.renew for block in in_turns.make_blocks(project) if block.pair is None for step in block.steps)
