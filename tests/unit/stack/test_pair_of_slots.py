"""In which slots the subjects of a pair are, in each of the tracks, and on which CPUs."""

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from bench_action.plan.placement import Placement
from bench_action.stack.hash_seed import ITSELF, NO_HASH_SEED, HashSeed
from bench_action.stack.slots import PairOfSlots

pytestmark = pytest.mark.unit


class FakeSlot:
    """A slot whose subject has a handle with the names of both."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self._log = name, log
        self.inside: SimpleNamespace | None = None
        self.hash_seed = NO_HASH_SEED
        self.started: dict[str, list[Any]] = {}

    def clear(self) -> None:
        self.inside = None

    def list_started(self, subject: Any) -> list[Any]:
        return self.started.get(subject.name, [])

    def renew(self, subject: Any, *, fresh_data: bool) -> None:
        self._log.append(f"renew {subject.name} in {self.name}{' with new data' if fresh_data else ''}")

    def start(self, subject: Any, _starter: object, _cpus: Sequence[int], hash_seed: HashSeed) -> Any:
        self._log.append(f"start {subject.name} in {self.name}")
        self.hash_seed = hash_seed
        handles = [SimpleNamespace(id=f"{subject.name}/{self.name}"), SimpleNamespace(id=f"worker/{self.name}")]
        self.inside = SimpleNamespace(name=subject.name, handles=handles, workers={"worker": handles[1]})
        return self.inside


def make_pair(
    slots: int, monkeypatch: pytest.MonkeyPatch, seedable: Mapping[str, Collection[str]] | None = None
) -> tuple[PairOfSlots, list[str], list[tuple[str, tuple[int, ...]]]]:
    """Make a pair of slots, with a log of what is done in which order, and of what is pinned.

    `seedable`: the parts of each subject that use a hash seed.
    """
    log: list[str] = []
    pinned: list[tuple[str, tuple[int, ...]]] = []
    monkeypatch.setattr(
        "bench_action.stack.slots.run_in_parallel", lambda action, items: [action(item) for item in items]
    )
    engine: Any = SimpleNamespace(pin=lambda handle, cpus: pinned.append((handle.id, cpus)))
    base, head = (SimpleNamespace(name=name) for name in ("web@base", "web"))
    places: Any = tuple(FakeSlot(name, log) for name in "abcdefgh"[:slots])
    starter: Any = SimpleNamespace(list_seedable=lambda subject: (seedable or {}).get(subject.name, ()))
    return PairOfSlots(engine, starter, base, head, places), log, pinned  # type: ignore[arg-type]


@pytest.mark.parametrize(("swapped", "head_first", "tracks"), list(product((False, True), (False, True), (1, 2, 3))))
def test_arrange__each_track_has_two_slots_and_every_second_one_is_the_other_way_round(
    monkeypatch: pytest.MonkeyPatch, swapped: bool, head_first: bool, tracks: int
) -> None:
    pair, log, _ = make_pair(8, monkeypatch)
    found = pair.arrange(swapped=swapped, head_first=head_first, cpus=(), fresh_data=True, hash_seed=7, tracks=tracks)
    assert [(base.name, head.name) for base, head in found] == [("web@base", "web")] * tracks
    begun = [line.removeprefix("start ") for line in log if line.startswith("start")]
    for track in range(tracks):
        odd, slots = bool(track % 2), "abcdef"[2 * track : 2 * track + 2]
        base, head = (
            f"{name} in {slot}"
            for name, slot in zip(("web@base", "web"), slots[:: -1 if swapped != odd else 1], strict=True)
        )
        assert begun[2 * track : 2 * track + 2] == ([head, base] if head_first != odd else [base, head])
    assert len(begun) == 2 * tracks
    assert sum(slot.inside is not None for slot in pair.slots) == 2 * tracks
    pair.clear()
    assert not any(slot.inside for slot in pair.slots)


def test_pin__moves_each_track_to_its_cpu_and_workers_to_those_of_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, _, pinned = make_pair(4, monkeypatch)
    pair.arrange(swapped=False, head_first=False, cpus=(), fresh_data=False, hash_seed=7, tracks=2)
    pair.pin(Placement((4, 5), (6, 7), (6, 7), tracks=2))
    assert dict(pinned) == {
        "web@base/a": (4,),
        "web/b": (4,),
        "web/c": (5,),
        "web@base/d": (5,),
        **{f"worker/{slot}": (6, 7) for slot in "abcd"},
    }


def test_hold_only_base__knows_which_side_ended_in_any_track(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, _, _ = make_pair(4, monkeypatch)
    pair.arrange(swapped=False, head_first=False, cpus=(), fresh_data=False, hash_seed=7, tracks=2)
    assert pair.hold_any({"web@base/d"})
    assert pair.hold_only_base({"web@base/d"})
    assert not pair.hold_only_base({"web@base/d", "web/c"})
    assert not pair.hold_any({"web/a"})


@pytest.mark.parametrize(
    ("of_base", "of_head", "parts"),
    [
        ([ITSELF], [ITSELF], {ITSELF}),
        ([ITSELF, "worker"], ["worker", ITSELF], {ITSELF, "worker"}),
        ([ITSELF], [ITSELF, "worker"], {ITSELF}),
        (["worker"], ["worker", ITSELF], {"worker"}),
        ([], [ITSELF], set()),
        ([ITSELF], [], set()),
    ],
)
def test_arrange__both_of_a_track_have_the_same_hash_seed_in_parts_that_use_one_in_both(
    monkeypatch: pytest.MonkeyPatch, of_base: list[str], of_head: list[str], parts: set[str]
) -> None:
    pair, _, _ = make_pair(4, monkeypatch, {"web@base": of_base, "web": of_head})
    pair.arrange(swapped=True, head_first=False, cpus=(), fresh_data=False, hash_seed=7, tracks=2)
    slots: Any = pair.slots
    assert [slot.hash_seed for slot in slots] == [HashSeed(number, parts) for number in (7, 7, 8, 8)]


@pytest.mark.parametrize(
    ("made_s", "restarted_s", "seeded"),
    [
        (2.0, 1.0, [True] * 7),
        (9.0, 8.0, [True, False, False, False, True, True, True]),
        (9.0, 1.0, [True] + [False] * 6),
    ],
)
def test_arrange__new_containers_that_take_longer_to_start_than_a_seed_is_worth_are_made_once(
    monkeypatch: pytest.MonkeyPatch, made_s: float, restarted_s: float, seeded: list[bool]
) -> None:
    """The first blocks without a seed take the one back that a container has, which makes it again as well."""
    pair, _, _ = make_pair(2, monkeypatch, {"web@base": [ITSELF], "web": [ITSELF]})
    slots: Any = pair.slots
    clock, made = [0.0], [0]
    containers: dict[tuple[str, str], tuple[int, bool]] = {}  # number, and whether it has a seed

    def start(slot: FakeSlot, subject: Any, hash_seed: HashSeed) -> Any:
        place, wanted = (slot.name, subject.name), bool(hash_seed.parts)
        number, has_seed = containers.get(place, (0, False))
        if not number or wanted or has_seed:
            made[0] += 1
            number = made[0]
        containers[place] = (number, wanted)
        slot.hash_seed, slot.started[subject.name] = hash_seed, [SimpleNamespace(id=number)]
        return SimpleNamespace(name=subject.name, handles=slot.started[subject.name])

    monkeypatch.setattr("bench_action.stack.slots.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(FakeSlot, "start", lambda slot, subject, _starter, _cpus, seed: start(slot, subject, seed))
    found = []
    for swapped in (False, True, False, True, False, True, False):
        before = made[0]
        pair.arrange(swapped=swapped, head_first=False, cpus=(), fresh_data=False, hash_seed=7)
        found.append(bool(slots[0].hash_seed.parts))
        clock[0] += made_s if made[0] > before else restarted_s
        pair.note_ready()
    assert found == seeded
