"""Every cell of head is either compared or has one reason why not."""

import pytest
from tests.unit.factories import make_duet, make_trial, warn

from bench_action.compare.coverage import Coverage, describe
from bench_action.config.baseline import Lack
from bench_action.model.errors import StackError
from bench_action.model.result import NotCompared
from bench_action.model.warning import Code
from bench_action.plan.blocks import Cell, Pair

pytestmark = pytest.mark.unit

PROFILE = "article-500"
CELLS = [Cell(variant, "head", PROFILE) for variant in ("aiohttp", "django")]
PAIRS = [Pair("revision", Cell(cell.variant, "base", PROFILE), cell) for cell in CELLS]
DUETS = [*make_duet(1), *make_duet(1, variant="django", pair="django · article-500")]


def split(**changes: object) -> tuple[tuple[str, ...], tuple[NotCompared, ...]]:
    fields = {"cells": CELLS, "pairs": PAIRS, "lacks": {}, "failed": {}, "lost": {}} | changes
    trials = fields.pop("trials", DUETS)
    return Coverage(**fields).split(trials)  # type: ignore[arg-type]


def test_split__cells_with_a_paired_block_are_compared() -> None:
    assert split() == (("aiohttp · article-500", "django · article-500"), ())


def test_split__a_variant_that_base_lacks_costs_only_its_own_cell() -> None:
    compared, (other,) = split(lacks={CELLS[1]: Lack("new", "base `1a2b3c4` has no variant `django`")}, pairs=PAIRS[:1])
    assert compared == ("aiohttp · article-500",)
    assert (other.cell, other.status) == ("django · article-500", "new")
    assert other.reason == "new in this pull request: base `1a2b3c4` has no variant `django`"


def test_split__a_base_that_failed_keeps_its_log() -> None:
    lack = Lack("base-failed", "base `1a2b3c4` could not be built: exit 1", ("line one", "line two"))
    _, (other,) = split(lacks={CELLS[0]: lack})
    assert (other.status, other.reason, other.log) == ("base-failed", lack.reason, ("line one", "line two"))


def test_split__a_base_that_exited_under_load_is_not_compared() -> None:
    _, (other,) = split(lost={"django": StackError("django-base exited with status 3", log=["boom"])})
    assert (other.cell, other.status, other.log) == ("django · article-500", "base-failed", ("boom",))


def test_split__a_head_that_could_not_be_measured_to_the_end_is_not_compared() -> None:
    _, (other,) = split(gone={"django": StackError("django ran out of memory and was killed", log=["boom"])})
    assert (other.cell, other.status, other.log) == ("django · article-500", "head-failed", ("boom",))
    assert other.reason == "head could not be measured to the end: django ran out of memory and was killed"


def test_split__a_head_that_failed_a_check_comes_before_what_base_lacks() -> None:
    _, (other,) = split(failed={"django": "home: expected status 200, got 500"}, lacks={CELLS[1]: Lack("new", "x")})
    assert (other.status, other.reason) == ("head-failed", "head failed home: expected status 200, got 500")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"shortage": "restarting took 13 s of each block of 18 s; --max-minutes 8 should do"},
            "no pair was measured in time: restarting took 13 s of each block of 18 s; --max-minutes 8 should do",
        ),
        ({"stopped": "interrupted"}, "no pair was measured because the run ended early: interrupted"),
        (
            {"trials": [make_trial(warnings=(warn(Code.NOTHING_SERVED, "no request was served"),))]},
            "no pair counts because a trial was invalid: no request was served",
        ),
        ({}, "no pair was measured"),
    ],
)
def test_split__explains_why_no_block_was_paired(changes: dict[str, object], reason: str) -> None:
    compared, others = split(**({"trials": [make_trial()]} | changes))
    assert compared == ()
    assert {(other.status, other.reason) for other in others} == {("not-measured", reason)}


def test_describe__counts_cells_and_groups_them_by_reason() -> None:
    others = [NotCompared(cell=name, status="new", reason="new in this pull request: x") for name in ("a · b", "a · c")]
    assert describe(["a · a"], others, "base 1a2b3c4") == (
        "compared 1 of 3 cells with base 1a2b3c4; not compared: a · b, a · c (new in this pull request: x)"
    )
    assert describe(["a · a"], [], "base 1a2b3c4") == "compared 1 of 1 cell with base 1a2b3c4"
