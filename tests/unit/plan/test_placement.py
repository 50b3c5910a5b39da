"""Which CPUs the application, the services and wrk get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.plan.placement import Placement, Processors, choose_placements, place_on_machines

pytestmark = pytest.mark.unit


def test_choose_placements__two_cores_are_used_in_turn() -> None:
    first, second = choose_placements([0, 1], {0: [0], 1: [1]})
    assert (first.application, first.services, first.load) == ((0,), (1,), (1,))
    assert (second.application, second.services, second.load) == ((1,), (0,), (0,))
    assert str(first) == "application on CPU 0, services and wrk on CPU 1"


def test_choose_placements__a_sibling_of_the_applications_cpu_stays_idle() -> None:
    """Place as on GitHub's runner: two cores with two threads each."""
    first, second = choose_placements(range(4), {0: [0, 1], 1: [0, 1], 2: [2, 3], 3: [2, 3]})
    assert (first.application, first.services) == ((0,), (2, 3))
    assert (second.application, second.services) == ((2,), (0, 1))
    assert first.boot == second.boot == (0, 1, 2, 3)  # as in `capacity`
    assert first.spread() == Placement(*((0, 1, 2, 3),) * 3)


def test_choose_placements__with_enough_cores_wrk_has_its_own() -> None:
    first, _ = choose_placements(range(4), {cpu: [cpu] for cpu in range(4)})
    assert (first.application, first.services, first.load) == ((0,), (1, 2), (3,))
    assert "services on CPUs 1 and 2, wrk on CPU 3" in str(first)


def test_choose_placements__two_threads_of_one_core_count_as_two() -> None:
    first, _ = choose_placements([0, 1], {0: [0, 1], 1: [0, 1]})
    assert (first.application, first.services) == ((0,), (1,))


def test_choose_placements__one_cpu_is_not_enough() -> None:
    assert choose_placements([3], {3: [3, 7]}) == ()


@pytest.mark.parametrize(
    ("cores", "most", "own", "services", "load"),
    [
        (4, 8, (0, 1), (2, 3), (2, 3)),
        (5, 8, (0, 1), (2, 3, 4), (2, 3, 4)),
        (8, 2, (0, 1), (2, 3, 4, 5), (6, 7)),
        (8, 8, (0, 1, 2, 3), (4, 5, 6, 7), (4, 5, 6, 7)),
        (16, 8, (0, 1, 2, 3), (*range(4, 12),), (12, 13, 14, 15)),
        (3, 8, (0,), (1,), (2,)),
    ],
)
def test_choose_placements__each_track_has_a_core_and_half_of_them_are_for_the_rest(
    cores: int, most: int, own: tuple[int, ...], services: tuple[int, ...], load: tuple[int, ...]
) -> None:
    first, second = choose_placements(range(cores), {cpu: [cpu] for cpu in range(cores)}, most)
    assert (first.application, first.services, first.load) == (own, services, load)
    assert [first.track(number) for number in range(first.tracks)] == [(cpu,) for cpu in own]
    assert second.application == tuple(range(cores - len(own), cores))


def test_choose_placements__threads_of_a_core_are_no_cores_for_tracks() -> None:
    """Place as on GitHub's runner: two cores with two threads each."""
    first, _ = choose_placements(range(4), {0: [0, 1], 1: [0, 1], 2: [2, 3], 3: [2, 3]}, 4)
    assert (first.tracks, first.track(0)) == (1, (0,))
    many, _ = choose_placements(range(8), {cpu: [cpu - cpu % 2, cpu - cpu % 2 + 1] for cpu in range(8)}, 4)
    assert (many.application, many.services) == ((0, 2), (4, 5, 6, 7))
    assert many.narrow(1).services == (2, 3, 4, 5, 6, 7)
    assert many.narrow(1).boot == tuple(range(8))
    assert str(many).startswith("2 duets at the same time on CPUs 0 and 2, services and wrk on CPUs 4, 5")


@given(st.sets(st.integers(0, 15), min_size=2), st.sampled_from([1, 2, 4]), st.integers(1, 8))
def test_choose_placements__stay_within_the_usable_cpus_and_apart(cpus: set[int], threads: int, most: int) -> None:
    siblings = {cpu: [other for other in range(16) if other // threads == cpu // threads] for cpu in range(16)}
    for place in choose_placements(cpus, siblings, most):
        assert set(place.boot) == set(place.spread().services) == cpus
        assert len(set(place.application)) == place.tracks <= most
        assert len({cpu // threads for cpu in place.application}) in {place.tracks, len({c // threads for c in cpus})}
        assert not set(place.application) & {*place.services, *place.load}
        assert place.services
        assert place.load


def make_processors(machine: str, cpus: int, threads: int = 1) -> Processors:
    siblings = {
        cpu: [other for other in range(cpus) if other % (cpus // threads) == cpu % (cpus // threads)]
        for cpu in range(cpus)
    }
    return Processors(machine, tuple(range(cpus)), siblings)


def test_place_on_machines__each_part_has_its_own_machine() -> None:
    first, second = place_on_machines(make_processors("a", 4), make_processors("s", 8), make_processors("l", 2))
    assert (first.application, second.application) == ((0,), (3,))
    assert (first.background, first.boot) == ((1, 2, 3), (0, 1, 2, 3))
    assert (first.services, first.load) == (tuple(range(8)), (0, 1))
    assert first.spread() == Placement((0, 1, 2, 3), tuple(range(8)), (0, 1), machines=first.machines)
    assert (
        str(first)
        == "application on CPU 0, services on CPUs 0, 1, 2, 3, 4, 5, 6 and 7 and wrk on CPUs 0 and 1, of their hosts"
    )


def test_place_on_machines__the_other_thread_of_the_application_s_core_is_idle() -> None:
    first, _ = place_on_machines(make_processors("a", 8, threads=2), make_processors("s", 2), make_processors("l", 2))
    assert first.application == (0,)
    assert set(first.background) == {1, 2, 3, 5, 6, 7}


@pytest.mark.parametrize(
    ("machines", "services", "load"),
    [
        (("a", "a", "l"), (1, 2, 3), (0, 1, 2, 3)),
        (("a", "s", "a"), (0, 1, 2, 3), (1, 2, 3)),
        (("a", "s", "s"), (0, 1, 2), (3,)),
        (("a", "a", "a"), (1, 2), (3,)),
    ],
)
def test_place_on_machines__that_share_roles(
    machines: tuple[str, str, str], services: tuple[int, ...], load: tuple[int, ...]
) -> None:
    first, _ = place_on_machines(*(make_processors(name, 4) for name in machines))
    assert first.application == (0,)
    assert (first.services, first.load) == (services, load)


def test_place_on_machines__with_one_cpu() -> None:
    one = make_processors("a", 1)
    (only,) = place_on_machines(one, make_processors("s", 2), make_processors("l", 1))
    assert (only.application, only.background) == ((0,), (0,))
    assert place_on_machines(one, one, make_processors("l", 2)) == ()
