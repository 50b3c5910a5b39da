"""Which CPUs who gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.plan.placement import placements

pytestmark = pytest.mark.unit


def test_placements__two_cores_are_used_in_turn() -> None:
    first, second = placements([0, 1], {0: [0], 1: [1]})
    assert (first.application, first.services, first.load) == ((0,), (1,), (1,))
    assert (second.application, second.services, second.load) == ((1,), (0,), (0,))
    assert str(first) == "application on CPU 0, services and wrk on CPU 1"


def test_placements__a_sibling_of_the_applications_cpu_stays_idle() -> None:
    """GitHub's runner: two cores with two threads each."""
    first, second = placements(range(4), {0: [0, 1], 1: [0, 1], 2: [2, 3], 3: [2, 3]})
    assert (first.application, first.services) == ((0,), (2, 3))
    assert (second.application, second.services) == ((2,), (0, 1))


def test_placements__with_cores_enough_wrk_has_its_own() -> None:
    first, _ = placements(range(4), {cpu: [cpu] for cpu in range(4)})
    assert (first.application, first.services, first.load) == ((0,), (1, 2), (3,))
    assert "services on CPUs 1 and 2, wrk on CPU 3" in str(first)


def test_placements__two_threads_of_one_core_are_better_than_none() -> None:
    first, _ = placements([0, 1], {0: [0, 1], 1: [0, 1]})
    assert (first.application, first.services) == ((0,), (1,))


def test_placements__one_cpu_is_not_enough() -> None:
    assert placements([3], {3: [3, 7]}) == ()


@given(st.sets(st.integers(0, 15), min_size=2), st.sampled_from([1, 2, 4]))
def test_placements__stay_within_what_may_be_used_and_apart(cpus: set[int], threads: int) -> None:
    siblings = {cpu: [other for other in range(16) if other // threads == cpu // threads] for cpu in range(16)}
    for place in placements(cpus, siblings):
        assert set(place.everywhere) <= cpus
        assert len(place.application) == 1
        assert not set(place.application) & {*place.services, *place.load}
        assert place.services
        assert place.load
