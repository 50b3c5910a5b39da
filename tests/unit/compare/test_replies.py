"""Findings about replies: under load against those that were counted, and head against base."""

from typing import Any

import pytest
from tests.unit.factories import PAIR, PROFILE, make_count, make_trial

from bench_action.compare.replies import findings_of_replies
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


def count_of(revision: str = "head", size: int = 500, **changes: Any) -> Trial:
    return make_count(revision=revision, **({"replies": replies(size)} | changes))


def load_of(size: float = 500, block: int = 1, **changes: Any) -> Trial:
    """A capacity trial of 10,000 requests with one query each."""
    fields: dict[str, Any] = {"bytes_read": round(10_000 * size), "replies": replies(round(size)), "block": block}
    return make_trial(**(fields | changes))


def findings(*trials: Trial, profile: Profile = PLAIN, checks: tuple[Check, ...] = ()) -> list[Finding]:
    return list(findings_of_replies(trials, [PAIR], {PROFILE: profile}, checks))


def test_findings__the_same_replies_everywhere_are_none() -> None:
    trials = (count_of("base"), count_of(), load_of(), load_of(block=2), load_of(revision="base"))
    assert findings(*trials) == []


def test_findings__shorter_replies_under_load_have_both_sizes() -> None:
    (found,) = findings(count_of(), load_of(400), load_of(400, block=2))
    assert (found.code, found.cell, found.fails) == ("replies-differ", "aiohttp · article-500", False)
    assert (found.before, found.after) == (500, 400)
    assert found.message == "under load a reply has 400 bytes, when it was counted it had 500"
    assert findings(count_of(), load_of(400), profile=VARIES) == []


@pytest.mark.parametrize(("size", "found"), [(468, 0), (467, 1)])
def test_findings__some_bytes_are_a_host_name_or_a_date(size: int, found: int) -> None:
    assert len(findings(count_of(), load_of(size))) == found


def test_findings__a_status_that_was_sampled_under_load_is_named() -> None:
    seen = Replies(statuses={"200": 38, "302": 2}, bytes_min=500, bytes_mean=500, bytes_max=500, location="/login")
    (found,) = findings(count_of(), load_of(replies=seen))
    assert found.code == "unexpected-status"
    assert found.message == "2 of 40 replies that were sampled had the status 302 to /login, not 2xx"
    assert (found.before, found.after) == (0.0, 0.05)


def test_findings__another_content_where_a_check_says_what_it_is() -> None:
    same = Check.model_validate({"name": "page", "request": {"path": "/items"}, "expect": {"same": "all-variants"}})
    other = Check.model_validate({"name": "page", "request": {"path": "/"}, "expect": {"same": "all-variants"}})
    trials = (count_of(), load_of(), load_of(block=2, replies=replies(digest="e")))
    (found,) = findings(*trials, checks=(same,))
    assert (found.code, found.after) == ("content-differs", 0.5)
    assert findings(*trials, checks=(other,)) == []


@pytest.mark.parametrize(
    ("queries", "found"),
    [(10_000, 0), (11_000, 0), (11_600, 1), (40_000, 1), (9_000, 0), (8_900, 1), (0, 1)],
)
def test_findings__queries_under_load(queries: int, found: int) -> None:
    """At the end 500 requests are under way, which may have made theirs."""
    trial = load_of(work=Work(queries=queries, rows=0, cache_commands=0))
    codes = [finding.code for finding in findings(count_of(), trial)]
    assert codes == ["work-differs"] * found


def test_findings__head_beside_base() -> None:
    (found,) = findings(count_of("base", 6013), count_of(size=100))
    assert (found.code, found.before, found.after) == ("replies-changed", 6013, 100)
    assert found.message == "a reply has 100 bytes, base's has 6,013"
    assert findings(count_of("base", 6013), count_of(size=100), profile=VARIES) == []
    assert findings(count_of("base", 6013), count_of(size=6100)) == []


def test_findings__another_status_than_base() -> None:
    (found,) = findings(count_of("base"), count_of(replies=replies(s201=8)))
    assert (found.code, found.message) == ("status-changed", "replies have the status 201, base's have 200")


def test_findings__trials_of_before_have_no_replies() -> None:
    assert findings(make_count(), make_trial()) == []
