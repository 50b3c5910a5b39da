"""How a run is divided among runners."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factories import make_subject

from bench_action.config.baseline import Baseline
from bench_action.config.control import add_control
from bench_action.config.levels import spread_levels
from bench_action.config.load import Project, load_policy
from bench_action.config.options import Options
from bench_action.config.schema import Config
from bench_action.config.shard import Shard
from bench_action.model.errors import InputError
from bench_action.plan.blocks import Cell
from bench_action.plan.plan import make_plan
from bench_action.plan.shares import Share, Unit, allocate, divide, list_units

pytestmark = pytest.mark.unit

LOAD = {"connections": 4, "threads": 2, "duration": 1}


def project(
    variants: tuple[str, ...] = ("web", "api"), profiles: tuple[str, ...] = ("a", "b", "c"), **more: Any
) -> Project:
    config = Config.model_validate(
        {
            "variants": {name: {"image": "x"} for name in variants},
            "profiles": {name: {**LOAD, "path": f"/{name}"} for name in profiles},
            **more,
        }
    )
    return Project(config, load_policy("ci"), "ci", Path(), "bench.yml")


def with_base(head: Project) -> Baseline:
    return Baseline(head, "b" * 40, valid=True, profiles=head.profiles)


def divided(count: int, head: Project, base: Baseline | None = None, **facts: object) -> list[Share]:
    return [divide(Shard(number, count), head, base, facts=facts) for number in range(1, count + 1)]


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "a/b", "1/300", ""])
def test_shard__parse_refuses_what_is_none(text: str) -> None:
    with pytest.raises(InputError, match="is not a shard"):
        Shard.parse(text)
    assert str(Shard.parse(" 2 / 5 ")) == "2/5"


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=40), st.integers(1, 60))
def test_allocate__gives_everything_and_nobody_nothing(seconds: list[float], count: int) -> None:
    units = [Unit(("web",), (str(number),), length) for number, length in enumerate(seconds)]
    shares = allocate(units, count)
    assert len(shares) == count
    assert all(shares)
    given_out = [number for share in shares for number in share]
    assert set(given_out) == set(range(len(units)))
    if count <= len(units):
        assert len(given_out) == len(units)
        loads = [sum(seconds[number] for number in share) for share in shares]
        assert max(loads) <= sum(seconds) / count + max(seconds) + 1e-6


def test_list_units__a_pair_is_whole_and_variants_are_apart_only_with_a_base() -> None:
    head = project()
    assert [unit.cells for unit in list_units(head, None)] == [
        (Cell("web", "head", name), Cell("api", "head", name)) for name in "abc"
    ]
    apart = list_units(head, with_base(head))
    assert len(apart) == 6
    assert all(len(unit.cells) == 1 for unit in apart)
    compared = project(compare=[["web", "api"]])
    assert len(list_units(compared, with_base(compared))) == 3
    assert len(list_units(head, with_base(head), [("web", "api")])) == 3


def test_list_units__levels_of_a_profile_are_compared_on_one_machine() -> None:
    head = spread_levels(replace(project(("web",)), policy=load_policy("capacity")))
    units = list_units(head, None)
    assert [{name.rpartition("-at-")[0] for name in unit.profiles} for unit in units] == [{"a"}, {"b"}, {"c"}]
    assert all(len(unit.profiles) == len(head.policy.levels) > 1 for unit in units)
    assert sum(len(unit.cells) for unit in units) == len(head.profiles)


def test_list_units__variants_stay_together_if_base_has_none_of_them() -> None:
    head = project()
    empty = replace(with_base(head), project=project(("old",)))
    assert [len(unit.variants) for unit in list_units(head, empty)] == [2, 2, 2]


def test_list_units__ratios_to_a_control_are_of_one_machine() -> None:
    own = project(control="web")
    built_in = add_control(project(), "built-in")
    for head in (own, built_in):
        assert [len(unit.variants) for unit in list_units(head, with_base(head))] == [2, 2, 2]


def test_divide__shards_agree_and_together_measure_everything() -> None:
    head = project()
    shares = divided(4, head, with_base(head))
    assert {share.digest for share in shares} == {shares[0].digest}
    assert {share.shares for share in shares} == {shares[0].shares}
    assert sorted(str(cell) for share in shares for cell in share.cells) == sorted(
        f"{variant} · {profile}" for variant in ("web", "api") for profile in "abc"
    )
    assert not any(share.repeated for share in shares)
    assert {share.counts.pairs for share in shares} == {6}


def test_divide__another_commit_or_configuration_has_another_digest() -> None:
    head = project()
    digests = {
        divided(2, head, with_base(head))[0].digest,
        divided(2, head)[0].digest,
        divided(2, project(gates={"requests_per_second": {"max_loss": "5%"}}), with_base(head))[0].digest,
        divided(2, head, with_base(head), commits=["a", "b"])[0].digest,
        divided(3, head, with_base(head))[0].digest,
    }
    assert len(digests) == 5


def test_divide__more_shards_than_pairs_measure_a_pair_several_times_to_the_end() -> None:
    head = project(("web",), ("a", "b"))
    shares = divided(3, head, with_base(head))
    assert [share.repeated for share in shares] == [True, True, False]
    assert {share.counts.pairs for share in shares} == {2}
    subjects = [make_subject("web"), make_subject("web", revision="base")]
    plans = [make_plan(share.narrow(head), subjects, {}, (), Options(), share=share) for share in shares]
    assert [plan.to_the_end for plan in plans] == [True, True, False]
    assert [[str(pair.head) for pair in plan.design.pairs] for plan in plans] == [["web · a"], ["web · a"], ["web · b"]]
    assert all(plan.counts == shares[0].counts for plan in plans)


def test_share__leaves_out_what_others_measure_of_head_of_base_and_of_a_control() -> None:
    head = add_control(project(), "built-in")
    base = replace(with_base(project(("web", "old"), ("a", "b"))), removed=("old",))
    share = divided(3, head, base)[0]
    narrowed = share.narrow(head)
    assert set(narrowed.profiles) == set(share.profiles)
    assert set(narrowed.config.variants) == {"web", "api", "bench-action-control"}
    assert narrowed.control_project is not None
    assert set(narrowed.control_project.profiles) == set(share.profiles)
    kept = share.narrow_base(base)
    assert set(kept.project.config.variants) == {"web"}
    assert set(kept.profiles) == set(share.profiles) & {"a", "b"}


def test_share__starts_every_variant_whose_replies_a_check_compares() -> None:
    check = {"name": "same", "request": {"path": "/a"}, "expect": {"same": "all-variants"}}
    head = project(profiles=("a",), checks=[check])
    shares = divided(2, head, with_base(head))
    assert [share.variants for share in shares] == [("web", "api"), ("api", "web")]
    assert [len(share.cells) for share in shares] == [1, 1]
    subjects = [make_subject(name, revision=side) for name in ("web", "api") for side in ("head", "base")]
    plan = make_plan(shares[1].narrow(head), subjects, {}, (), Options(), share=shares[1])
    assert {cell.variant for cell in plan.design.cells} == {"api"}
