"""Two subjects on one CPU, in slots that they swap: on a real engine."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

import pytest
from tests.docker.conftest import make_owner
from tests.docker.footprint import Footprint
from tests.quiet import Quiet

from bench_action.compare.evidence import build_evidence, pair_blocks
from bench_action.config.baseline import Baseline
from bench_action.config.load import Project
from bench_action.config.schema import Config, Profile, Request
from bench_action.engine.docker import DockerEngine, limits
from bench_action.engine.protocol import Handle
from bench_action.load.generator import HttpRequest
from bench_action.measure.measurer import Measurer
from bench_action.model.warning import Code
from bench_action.plan.blocks import (
    Cell,
    Pace,
    Pair,
    make_duet_blocks,
    make_interleaved_blocks,
    make_latency_blocks,
    make_solo_blocks,
    share_restarts,
)
from bench_action.plan.placement import Placement, choose_placements
from bench_action.plan.timetable import ENOUGH_REQUESTS
from bench_action.stack.slots import PairOfSlots
from bench_action.stack.stack import Stack, bring_up

pytestmark = pytest.mark.docker

SHORT = Profile(path="/", connections=4, threads=2, duration=1, warmup=1)
PACE = Pace(warmup_s=1, slice_s=1)
AIOHTTP = Pair("revision", Cell("aiohttp", "base", "short"), Cell("aiohttp", "head", "short"))
FALLING, FALLEN, BOMB = (
    Pair("revision", Cell(name, "base", "short"), Cell(name, "head", "short")) for name in ("falling", "fallen", "bomb")
)
DYING = {"DIE_AFTER_CONNECTIONS": "6"}  # under the second load


def narrowed(project: Project, environments: Mapping[str, Mapping[str, str]]) -> Project:
    """aiohttp, and the tiny application under three names, each of which does as its environment says."""
    known = project.config.variants
    variants = {name: known["tiny"].model_copy(update={"env": env}) for name, env in environments.items()}
    config: Config = project.config.model_copy(
        update={"variants": {"aiohttp": known["aiohttp"], **variants}, "checks": []}
    )
    return replace(project, config=config)


@pytest.fixture(scope="module")
def pairs(footprint: Footprint, project: Project) -> Iterator[Stack]:
    """Every variant at both revisions: head of `falling` dies, base of `fallen`; head of `bomb` starts processes.

    No container may have more than a hundred.
    """
    engine = DockerEngine(make_owner(footprint), dict(os.environ))
    head = narrowed(project, {"falling": DYING, "fallen": {}, "bomb": {"FORK": "1"}})
    base = narrowed(project, {"falling": {}, "fallen": DYING, "bomb": {}})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(limits, "_MOST_PROCESSES", 100)
        monkeypatch.setattr(limits, "_LEAST_PROCESSES", 100)
        try:
            yield bring_up(engine, head, {}, Quiet(), base=Baseline(base))
        finally:
            engine.remove()


@pytest.fixture(scope="module")
def places(pairs: Stack) -> tuple[Placement, ...]:
    machine = pairs.agent.machine()
    return choose_placements(machine["cpus"], {int(cpu): found for cpu, found in machine["siblings"].items()})


def measurer(stack: Stack, places: tuple[Placement, ...]) -> Measurer:
    return Measurer(stack, lambda _variant, _profile: SHORT, 10, 2, Quiet(), lambda _: None, places=places)


def allowed(stack: Stack, handle: Handle) -> str:
    status, output = stack.engine.exec(handle, ["grep", "Cpus_allowed_list", "/proc/self/status"])
    assert status == 0, output
    return output.split()[-1]


def test_bring_up__base_has_its_own_database_of_the_same_template(pairs: Stack) -> None:
    head, base = (pairs.subject("aiohttp", revision).database for revision in ("head", "base"))
    assert head is not None
    assert base is not None
    assert head.server is not base.server
    assert head.server.address() == base.server.address()
    assert head.template == base.template
    assert pairs.lacks == {}


def test_measurer__a_base_that_dies_alone_leaves_head_its_own_figures(pairs: Stack) -> None:
    taken = measurer(pairs, ())
    trials = taken.walk(make_solo_blocks([FALLEN.base, FALLEN.head], blocks=1, warmup_s=1, seed=0))
    measured = {(trial.phase, trial.revision) for trial in trials}
    # how many connections base has left for its count depends on how often it was asked whether it is ready
    assert measured - {("count", "base")} == {("count", "head"), ("capacity", "head")}
    assert "exited with status 7" in taken.lost["fallen"].what


def test_measurer__a_fork_bomb_costs_its_own_trials_only_and_is_named(
    pairs: Stack, places: tuple[Placement, ...]
) -> None:
    alone, paired = measurer(pairs, ()), measurer(pairs, places)
    trials = alone.walk(make_solo_blocks([BOMB.head, AIOHTTP.head], blocks=1, warmup_s=1, seed=0))
    assert paired.walk(make_duet_blocks([BOMB], blocks=1, pace=PACE, seed=4)) == ()
    assert paired.walk(make_duet_blocks([AIOHTTP], blocks=1, pace=PACE, seed=5))
    assert {trial.variant for trial in trials if trial.phase == "capacity"} == {"aiohttp"}
    assert alone.gone["bomb"].what == "bomb reached its limit of 100 processes"
    (dropped,) = paired.dropped
    assert dropped.message == "duet 1 was dropped: bomb reached its limit of 100 processes"


def test_slots__either_is_in_either_with_the_slots_own_services_and_data(pairs: Stack) -> None:
    known = pairs.pair_of_slots(AIOHTTP)
    # without what other tests on a busy machine have shown of how long starts take
    slots = PairOfSlots(known.engine, known.starter, known.base, known.head, known.slots)
    seen, environments = {}, set()
    for swapped in (False, True):
        (both,) = slots.arrange(swapped=swapped, head_first=swapped, cpus=(), fresh_data=False, hash_seed=7)
        pairs.wait_for(*both)
        for subject in both:
            assert subject.database is not None
            assert subject.database.execute("SELECT count(*) FROM item") == ["20"]
            seen[subject.revision, swapped] = (subject.slot, subject.handle.address, subject.services["postgres"].id)
            assert subject.handle.host == "aiohttp"
            assert subject.cache is not None
            before = subject.cache.integer("counter")
            assert pairs.agent.get(HttpRequest.from_config(subject.handle, Request()), 10.0).status == 200
            assert (before, subject.cache.integer("counter")) == (0, 1)
            _, environment = pairs.engine.exec(subject.handle, ["env"])
            assert subject.database.server.address()["url"] in environment
            assert "PYTHONHASHSEED=7" in environment.splitlines()
            environments.add(environment)
    assert len(environments) == 1  # nothing shows a subject which slot it is in
    assert seen["base", False] == seen["head", True] != seen["head", False] == seen["base", True]
    slots.clear()
    assert not slots.hold_any([])


def test_measurer__duets_share_one_cpu_and_alternate(pairs: Stack, places: tuple[Placement, ...]) -> None:
    taken = measurer(pairs, places)
    trials = taken.walk(make_duet_blocks([AIOHTTP], blocks=2, pace=PACE, seed=4))
    assert [(trial.block, trial.phase) for trial in trials] == [(1, "duet")] * 2 + [(2, "duet")] * 2
    assert {trial.side for trial in trials} == {"base", "head"}
    for trial in trials:
        assert trial.requests > 0
        assert trial.valid
        assert trial.application_idle is not None
        assert trial.cpu_ms["application"] > 0
        assert trial.cpu_ms["db"] > 0
        assert trial.cpu_ms["cache"] > 0
    last = places[2 % len(places)]
    assert allowed(pairs, pairs.load) == str(last.load[0])
    for slot in pairs.slots:
        assert allowed(pairs, slot.handles["postgres"]) == str(last.services[0])
    up = list(pairs.pair_of_slots(AIOHTTP)._inside)
    assert {allowed(pairs, subject.handle) for subject in up} == {str(last.application[0])}


def test_measurer__latency_includes_the_services_cpu_and_shares_the_restart_of_a_duet(
    pairs: Stack, places: tuple[Placement, ...]
) -> None:
    taken = measurer(pairs, places)
    latency = make_latency_blocks([AIOHTTP], blocks=1, pace=PACE, seed=4)
    *duet, base, head = taken.walk(share_restarts(make_duet_blocks([AIOHTTP], blocks=1, pace=PACE, seed=4), latency))
    assert [trial.phase for trial in (*duet, base, head)] == ["duet"] * 2 + ["latency"] * 2
    assert [trial.warm_up is not None for trial in (*duet, base, head)] == [True] * 2 + [False] * 2
    (latency_s,), (duet_s,) = (taken.times[phase, str(AIOHTTP)] for phase in ("latency", "duet"))
    assert duet_s >= PACE.slice_s
    assert latency_s >= PACE.slice_s or base.requests == head.requests == ENOUGH_REQUESTS
    for trial in (base, head):
        assert trial.latency is not None
        assert 5 <= trial.requests <= ENOUGH_REQUESTS
        assert set(trial.cpu_ms) == {"application", "db", "cache"}
        assert trial.connections_asked == 1


def test_measurer__tracks_run_at_the_same_time_each_in_slots_and_on_a_cpu_of_its_own(
    pairs: Stack, places: tuple[Placement, ...]
) -> None:
    """As with four cores, which this machine need not have: services and wrk share the CPUs of the two tracks here."""
    cpus = places[0].boot[:2]
    taken = measurer(pairs, (Placement(cpus, cpus, cpus, tracks=2),))
    latency = make_latency_blocks([AIOHTTP], blocks=1, pace=PACE, seed=4)
    trials = taken.walk(share_restarts(make_duet_blocks([AIOHTTP], blocks=2, pace=PACE, seed=4), latency))
    assert [trial.track for trial in trials if trial.phase == "latency"] == [0, 0]
    blocks = pair_blocks(trials, str(AIOHTTP), "duet")
    assert [block.number for block in blocks] == [1, 2]
    for block in blocks:
        duets = [trial for duet in block.tracks for trial in duet]
        assert [(trial.track, trial.side) for trial in duets] == [(0, "base"), (0, "head"), (1, "base"), (1, "head")]
        assert len({trial.slot for trial in duets}) == 4
        assert all(trial.requests > 0 and trial.warm_up is not None and trial.marks for trial in duets)
        began = [datetime.fromisoformat(trial.started_at).timestamp() for trial in duets]
        assert max(began) < min(start + trial.wall_s for start, trial in zip(began, duets, strict=True))
    slots = pairs.pair_of_slots(AIOHTTP)
    assert [slot.inside is not None for slot in slots.slots[:5]] == [True] * 4 + [False]
    for number, slot in enumerate(slots.slots[:4]):
        assert slot.inside is not None
        assert allowed(pairs, slot.inside.handle) == str(cpus[number // 2])
    evidence = build_evidence(blocks, "requests_per_second")
    assert evidence is not None
    assert len(evidence.losses) == 2


def test_measurer__takes_turns_where_there_is_one_cpu(pairs: Stack) -> None:
    trials = measurer(pairs, ()).walk(make_interleaved_blocks([AIOHTTP], blocks=1, pace=PACE, seed=4))
    sides = [trial.side for trial in trials]
    assert len(sides) == 4
    assert sides == sides[::-1]
    assert {trial.phase for trial in trials} == {"interleaved"}


def test_measurer__a_subject_that_dies_costs_its_block_and_three_end_its_pair(
    pairs: Stack, places: tuple[Placement, ...]
) -> None:
    taken = measurer(pairs, places)
    assert taken.walk(make_duet_blocks([FALLING], blocks=5, pace=PACE, seed=4)) == ()
    assert [warned.code for warned in taken.dropped] == [Code.BLOCK_DROPPED, Code.BLOCK_DROPPED, Code.BLOCKS_DROPPED]
    assert "exited with status 7" in taken.dropped[0].message
    assert taken.dropped[0].cell == "falling · short"
    assert taken.walk(make_duet_blocks([AIOHTTP], blocks=1, pace=PACE, seed=5))  # the others go on


def test_measurer__a_base_that_dies_is_left_out_and_ends_nothing(pairs: Stack, places: tuple[Placement, ...]) -> None:
    taken = measurer(pairs, places)
    assert taken.walk(make_duet_blocks([FALLEN], blocks=5, pace=PACE, seed=4)) == ()
    assert {warned.code for warned in taken.dropped} == {Code.BLOCK_DROPPED}
    assert "exited with status 7" in taken.lost["fallen"].what
    assert any("Segmentation fault" in line for line in taken.lost["fallen"].log)
