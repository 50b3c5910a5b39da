"""Which cells have a counterpart in base, judged by the replies of both."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config, Profile
from bench_action.load.generator import Reply
from bench_action.verify.cells import Counterparts, choose_profiles
from bench_action.verify.failures import Failure

pytestmark = pytest.mark.unit

OLD, NEW = (Profile(path=path, connections=4, threads=2, duration=1) for path in ("/old", "/new"))
CONFIG = Config.model_validate({"variants": {"web": {"image": "x"}, "api": {"image": "x"}}})
PROJECT = Project(CONFIG.model_copy(update={"profiles": {"old": OLD, "new": NEW}}), load_policy("ci"), "ci", Path(), "")
BASE = Baseline(PROJECT, "1a2b3c4d", valid=True, profiles={"old": OLD})


def reply(status: int, problem: str = "") -> Reply:
    return Reply(status, {}, b"", kept=True, problem=problem)


def make_replies(**statuses: tuple[int, int]) -> dict[tuple[str, str, str], list[Reply]]:
    """Make the replies of base and head of both variants to each profile."""
    return {
        (revision, variant, name): [reply(status)]
        for name, pair in statuses.items()
        for revision, status in zip(("base", "head"), pair, strict=True)
        for variant in ("web", "api")
    }


SAME = make_replies(old=(200, 200), new=(200, 200))
COUNTERPARTS = Counterparts(BASE, {}, (), SAME, changed={})


def find_missing(counterparts: Counterparts) -> dict[str, tuple[str, str]]:
    missing = counterparts.find_missing(PROJECT)
    return {str(cell): (lack.status, lack.reason) for cell, lack in missing.items()}


def test_find_missing__finds_nothing_if_base_serves_everything() -> None:
    assert find_missing(COUNTERPARTS) == {}


def test_find_missing__a_profile_that_base_does_not_have_is_new_by_its_rules() -> None:
    reason = ("new", "base `1a2b3c4` has no profile `new`")
    assert find_missing(replace(COUNTERPARTS, base=replace(BASE, judges=True))) == {
        "web · new": reason,
        "api · new": reason,
    }


def test_find_missing__a_route_that_base_does_not_serve_is_new() -> None:
    missing = find_missing(replace(COUNTERPARTS, replies=make_replies(old=(200, 200), new=(404, 200))))
    assert missing["web · new"] == ("new", "base `1a2b3c4` answers 404 to `GET /new`")
    assert set(missing) == {"web · new", "api · new"}


def test_find_missing__a_route_of_base_that_fails_is_a_fault_of_base() -> None:
    missing = find_missing(replace(COUNTERPARTS, replies=make_replies(old=(500, 200), new=(200, 200))))
    assert missing["web · old"] == ("base-failed", "base `1a2b3c4` answers 500 to `GET /old`")


@pytest.mark.parametrize("statuses", [(404, 404), (200, 500), (302, 302), (401, 401)])
def test_find_missing__a_route_that_neither_serves_is_left_to_the_measurement(statuses: tuple[int, int]) -> None:
    assert find_missing(replace(COUNTERPARTS, replies=make_replies(old=statuses, new=(200, 200)))) == {}


def test_find_missing__a_page_that_base_redirects_is_another_page() -> None:
    missing = find_missing(replace(COUNTERPARTS, replies=make_replies(old=(302, 200), new=(200, 200))))
    assert missing["web · old"] == ("base-failed", "base `1a2b3c4` answers 302 to `GET /old`")


def test_find_missing__a_missing_reply_is_reported_with_its_cause() -> None:
    replies = SAME | {("base", "web", "old"): [reply(0, "connection refused")]}
    assert find_missing(replace(COUNTERPARTS, replies=replies)) == {
        "web · old": ("base-failed", "base `1a2b3c4` does not answer `GET /old`: connection refused")
    }


def test_find_missing__a_variant_without_base_lacks_all_its_cells() -> None:
    lack = Lack("base-failed", "base could not be built", ("the log",))
    missing = replace(COUNTERPARTS, lacks={"api": lack}).find_missing(PROJECT)
    assert {str(cell): reason for cell, reason in missing.items()} == {"api · old": lack, "api · new": lack}


def test_find_missing__a_failure_of_base_affects_the_profiles_that_it_concerns() -> None:
    failure = Failure("web@base", "home", "status 200", "500", frozenset({"old"}), ("boom",))
    missing = replace(COUNTERPARTS, failures=[failure]).find_missing(PROJECT)
    assert {str(cell): lack.log for cell, lack in missing.items()} == {"web · old": ("boom",)}
    everything = replace(COUNTERPARTS, failures=[replace(failure, profiles=None)])
    assert set(find_missing(everything)) == {"web · old", "web · new"}
    assert find_missing(replace(COUNTERPARTS, failures=[replace(failure, subject="web")])) == {}


MOVED = Profile(path="/list", connections=4, threads=2, duration=1)


def test_choose_profiles__keeps_bases_version_while_head_serves_it() -> None:
    kept, changed = choose_profiles({"old": OLD}, {"old": MOVED}, make_replies(old=(200, 200)))
    assert (kept, changed) == ({"old": OLD}, {})


def test_choose_profiles__a_route_that_head_moved_is_measured_by_heads_version() -> None:
    kept, changed = choose_profiles({"old": OLD}, {"old": MOVED}, make_replies(old=(200, 404)))
    assert kept == {"old": MOVED}
    assert changed == {"old": "this pull request changes profile `old`, and head no longer serves `GET /old`"}


def test_choose_profiles__a_route_that_head_removed_is_not_measured() -> None:
    judged = {"new": NEW, "old": OLD}
    assert choose_profiles(judged, {"new": NEW}, make_replies(old=(200, 404), new=(404, 200)))[0] == {"new": NEW}
    assert set(choose_profiles(judged, {"new": NEW}, make_replies(old=(200, 200), new=(404, 200)))[0]) == {"new", "old"}


def test_choose_profiles__a_route_that_head_broke_is_still_measured() -> None:
    assert choose_profiles({"old": OLD}, {"old": OLD}, make_replies(old=(200, 500))) == ({"old": OLD}, {})
