"""Findings about replies: under load compared with those that were counted, and head compared with base."""

from typing import Any

import pytest
from tests.unit.factories import PAIR, PROFILE, make_count, make_trial

from bench_action.compare.replies import compare_replies
from bench_action.config.schema import Check, Profile
from bench_action.model.result import Finding, Replies, Trial, Work

pytestmark = pytest.mark.unit

PLAIN = Profile(path="/items", connections=500, threads=10, duration=10)
VARIES = PLAIN.model_copy(update={"expect": PLAIN.expect.model_copy(update={"size": "varies"})})


def replies(size: int = 500, digest: str = "d", **statuses: int) -> Replies:
    return Replies(
        statuses={name[1:]: count for name, count in (statuses or {"s200": 8}).items()},
        bytes_min=size,
        bytes_mean=size,
        bytes_max=size,
        digest=digest,
    )


def counted(revision: str = "head", size: int = 500, **changes: Any) -> Trial:
    return make_count(revision=revision, **({"replies": replies(size)} | changes))


def loaded(size: float = 500, block: int = 1, **changes: Any) -> Trial:
    """Build a capacity trial of 10,000 requests with one query each."""
    fields: dict[str, Any] = {"bytes_read": round(10_000 * size), "replies": replies(round(size)), "block": block}
    return make_trial(**(fields | changes))


def findings(*trials: Trial, profile: Profile = PLAIN, checks: tuple[Check, ...] = ()) -> list[Finding]:
    return list(compare_replies(trials, [PAIR], {PROFILE: profile}, checks))


def test_compare_replies__finds_nothing_in_equal_replies() -> None:
    trials = (counted("base"), counted(), loaded(), loaded(block=2), loaded(revision="base"))
    assert findings(*trials) == []


def test_compare_replies__reports_both_sizes_of_shorter_replies_under_load() -> None:
    (found,) = findings(counted(), loaded(400), loaded(400, block=2))
    assert (found.code, found.cell, found.fails) == ("replies-differ", "aiohttp · article-500", False)
    assert (found.before, found.after) == (500, 400)
    assert found.message == "a reply has 400 bytes under load, but had 500 when counted"
    assert findings(counted(), loaded(400), profile=VARIES) == []


@pytest.mark.parametrize(("size", "found"), [(468, 0), (467, 1)])
def test_compare_replies__allows_some_bytes_for_a_host_name_or_a_date(size: int, found: int) -> None:
    assert len(findings(counted(), loaded(size))) == found


def test_compare_replies__names_an_unexpected_status_that_was_sampled_under_load() -> None:
    seen = Replies(statuses={"200": 38, "302": 2}, bytes_min=500, bytes_mean=500, bytes_max=500, location="/login")
    (found,) = findings(counted(), loaded(replies=seen))
    assert found.code == "unexpected-status"
    assert found.message == "2 of 40 sampled replies had status 302 to /login, not 2xx"
    assert (found.before, found.after) == (0.0, 0.05)


def test_compare_replies__finds_different_content_if_a_check_declares_it() -> None:
    same = Check.model_validate({"name": "page", "request": {"path": "/items"}, "expect": {"same": "all-variants"}})
    other = Check.model_validate({"name": "page", "request": {"path": "/"}, "expect": {"same": "all-variants"}})
    trials = (counted(), loaded(), loaded(block=2, replies=replies(digest="e")))
    (found,) = findings(*trials, checks=(same,))
    assert (found.code, found.after) == ("content-differs", 0.5)
    assert findings(*trials, checks=(other,)) == []


@pytest.mark.parametrize(
    ("queries", "found"),
    [(10_000, 0), (11_000, 0), (11_600, 1), (40_000, 1), (9_000, 0), (8_900, 1), (0, 1)],
)
def test_compare_replies__compares_queries_under_load(queries: int, found: int) -> None:
    """At the end, 500 requests are still running, which may have made theirs."""
    trial = loaded(work=Work(queries=queries, rows=0, cache_commands=0))
    codes = [finding.code for finding in findings(counted(), trial)]
    assert codes == ["work-differs"] * found


def test_compare_replies__takes_off_idle_work_as_counts_do() -> None:
    """One query each request, and a scheduler with twenty each second, in counts of half a second and loads of ten."""

    def with_idle(rate: float) -> list[Finding]:
        count = counted(
            requests=10,
            wall_s=0.6,
            work=Work(queries=22, rows=0, cache_commands=0),
            idle=Work(queries=round(0.6 * rate), rows=0, cache_commands=0),
            idle_s=0.6,
        )
        return findings(count, loaded(wall_s=10.0, work=Work(queries=10_200, rows=0, cache_commands=0)))

    assert with_idle(20) == []
    (found,) = with_idle(0)
    assert found.message == "a request makes 1.02 queries under load, but made 2.2 when counted"


def test_compare_replies__compares_head_with_base() -> None:
    (found,) = findings(counted("base", 6013), counted(size=100))
    assert (found.code, found.before, found.after) == ("replies-changed", 6013, 100)
    assert found.message == "a reply has 100 bytes, base's had 6,013"
    assert findings(counted("base", 6013), counted(size=100), profile=VARIES) == []
    assert findings(counted("base", 6013), counted(size=6100)) == []


def test_compare_replies__finds_a_status_that_base_does_not_have() -> None:
    (found,) = findings(counted("base"), counted(replies=replies(s201=8)))
    assert (found.code, found.message) == ("status-changed", "replies have status 201, base's had 200")


def test_compare_replies__finds_nothing_in_trials_of_old_results_without_replies() -> None:
    assert findings(make_count(), make_trial()) == []
