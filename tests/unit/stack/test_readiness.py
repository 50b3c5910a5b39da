"""Waiting until everything answers."""

from typing import cast

import pytest

from bench_action.engine.protocol import Engine, Exit, Handle
from bench_action.model.errors import StackError
from bench_action.stack.readiness import (
    Group,
    Probe,
    ReadinessCheck,
    Unready,
    require_alive,
    wait_for_groups,
    wait_until_ready,
)

pytestmark = pytest.mark.unit

REFUSED, NOT_YET = Unready("GET /: refused", "set `port`"), Unready("no")

DJANGO = Handle("1", "django", "subject", "django", 8000)
REDIS = Handle("2", "redis", "redis", "redis", 6379)


class Watched:
    """An engine whose containers may have exited; checked one time a round."""

    def __init__(self, *ended: Exit, after: int = 0) -> None:
        self._ended = list(ended)
        self._after = after
        self.looks = 0

    def ended(self) -> list[Exit]:
        self.looks += 1
        return self._ended if self.looks > self._after else []

    def logs(self, handle: Handle, lines: int = 15) -> list[str]:
        assert lines > 0
        return [f"log of {handle.name}"]


def make_engine(*ended: Exit, after: int = 0) -> Engine:
    return cast(Engine, Watched(*ended, after=after))


def ready_after(rounds: int) -> Probe:
    """Make a probe that finds something missing so many times."""
    answers = iter([Unready("not yet")] * rounds)
    return lambda: next(answers, None)


def test_wait_until_ready__waits_for_all_and_measures_how_long_each_took() -> None:
    checks = [ReadinessCheck(DJANGO, 600, ready_after(3)), ReadinessCheck(REDIS, 600, ready_after(0))]
    waited = wait_until_ready(make_engine(), checks)
    django_s, redis_s = waited
    assert 0 <= redis_s < django_s


def test_wait_until_ready__does_not_probe_again_what_is_ready() -> None:
    probes = []

    def probe() -> None:
        probes.append(1)

    wait_until_ready(make_engine(), [ReadinessCheck(REDIS, 600, probe), ReadinessCheck(DJANGO, 600, ready_after(2))])
    assert len(probes) == 1


def test_wait_until_ready__of_nothing_returns_immediately() -> None:
    assert wait_until_ready(make_engine(), []) == []


def test_wait_until_ready__one_that_exits_ends_the_wait_with_its_log() -> None:
    with pytest.raises(StackError, match="django exited with status 3") as caught:
        wait_until_ready(make_engine(Exit(DJANGO, 3, False), after=2), [ReadinessCheck(DJANGO, 600, lambda: REFUSED)])
    assert caught.value.log == ("log of django",)
    assert caught.value.exit_status == 3


def test_wait_until_ready__one_that_exits_after_it_was_ready_ends_the_wait() -> None:
    checks = [ReadinessCheck(REDIS, 600, lambda: None), ReadinessCheck(DJANGO, 600, lambda: REFUSED)]
    with pytest.raises(StackError, match="redis exited with status 0"):
        wait_until_ready(make_engine(Exit(REDIS, 0, False), after=1), checks)


def test_wait_until_ready__another_subject_that_exits_does_not_end_the_wait() -> None:
    base = Handle("3", "django-base", "subject", "django", 8000)
    checks = [ReadinessCheck(DJANGO, 600, ready_after(3))]
    wait_until_ready(make_engine(Exit(base, 3, False)), checks)
    with pytest.raises(StackError, match="django-base exited with status 3"):
        wait_until_ready(make_engine(Exit(base, 3, False)), checks, [base])


def test_wait_for_groups__each_but_the_needed_one_may_fail() -> None:
    one, two = (Handle(str(number), f"base-{number}", "subject", "web", 8000) for number in (3, 4))
    needed = Group([ReadinessCheck(DJANGO, 600, ready_after(3))])
    late = Group([ReadinessCheck(two, 0, lambda: NOT_YET)])
    waited_s, found = wait_for_groups(
        make_engine(Exit(one, 3, False)), needed, [Group([ReadinessCheck(one, 600, lambda: None)]), late]
    )
    assert len(waited_s) == 1
    assert [str(each.what) for each in found if isinstance(each, StackError)] == [
        "base-3 exited with status 3",
        "base-4 was not ready after 0 s",
    ]
    fine = Group([ReadinessCheck(two, 600, ready_after(5))])
    (first_s,), (second_s,) = wait_for_groups(make_engine(), Group([ReadinessCheck(DJANGO, 600, lambda: None)]), [fine])
    assert isinstance(second_s, list)
    assert first_s < second_s[0]


def test_wait_for_groups__a_failure_of_the_needed_one_is_raised_while_others_are_not_ready() -> None:
    base = Group([ReadinessCheck(Handle("3", "base", "subject", "web", 8000), 600, lambda: NOT_YET)])
    with pytest.raises(StackError, match="django was not ready after 0 s"):
        wait_for_groups(make_engine(), Group([ReadinessCheck(DJANGO, 0, lambda: NOT_YET)]), [base])


def test_wait_until_ready__one_that_exits_before_its_probe_is_reported_as_exited() -> None:
    def probe() -> Unready | None:
        raise StackError("pg_isready cannot be run")

    with pytest.raises(StackError, match="redis exited with status 1"):
        wait_until_ready(make_engine(Exit(REDIS, 1, False), after=1), [ReadinessCheck(REDIS, 600, probe)])
    with pytest.raises(StackError, match="pg_isready cannot be run"):
        wait_until_ready(make_engine(), [ReadinessCheck(REDIS, 600, probe)])


def test_wait_until_ready__one_that_times_out_is_named_with_what_is_missing() -> None:
    with pytest.raises(StackError, match="django was not ready after 0 s") as caught:
        wait_until_ready(
            make_engine(),
            [ReadinessCheck(REDIS, 600, lambda: None), ReadinessCheck(DJANGO, 0, lambda: REFUSED)],
        )
    error = caught.value
    assert (error.where, error.cause, error.log) == ("subject at django:8000", "GET /: refused", ("log of django",))
    assert error.advice == "set `port`"


def test_wait_until_ready__each_has_its_own_timeout() -> None:
    with pytest.raises(StackError, match="redis was not ready after 0 s"):
        wait_until_ready(
            make_engine(),
            [ReadinessCheck(DJANGO, 600, lambda: NOT_YET), ReadinessCheck(REDIS, 0, lambda: NOT_YET)],
        )


def test_require_alive__a_lack_of_memory_is_named() -> None:
    with pytest.raises(StackError, match="django ran out of memory and was killed") as caught:
        require_alive(make_engine(Exit(DJANGO, 137, True)), "loading django · quick-64")
    assert caught.value.where == "loading django · quick-64"
    assert "more memory" in caught.value.advice


def test_require_alive__does_nothing_while_all_run() -> None:
    require_alive(make_engine())
