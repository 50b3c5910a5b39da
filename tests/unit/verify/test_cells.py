"""Which cells have a counterpart in base, by what both replied."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config, Profile
from bench_action.load.generator import Reply
from bench_action.verify.cells import Counterparts, settled_profiles
from bench_action.verify.subjects import Failure

pytestmark = pytest.mark.unit

OLD, NEW = (Profile(path=path, connections=4, threads=2, duration=1) for path in ("/old", "/new"))
CONFIG = Config.model_validate({"variants": {"web": {"image": "x"}, "api": {"image": "x"}}})
LOADED = Project(CONFIG.model_copy(update={"profiles": {"old": OLD, "new": NEW}}), load_policy("ci"), "ci", Path(), "")
BASE = Baseline(LOADED, "1a2b3c4d", valid=True, profiles={"old": OLD})


def reply(status: int, problem: str = "") -> Reply:
    return Reply(status, {}, b"", kept=True, problem=problem)


def served(**statuses: tuple[int, int]) -> dict[tuple[str, str, str], Reply]:
    """What base and head of both variants replied to each profile."""
    return {
        (revision, variant, name): reply(status)
        for name, pair in statuses.items()
        for revision, status in zip(("base", "head"), pair, strict=True)
        for variant in ("web", "api")
    }


SAME = served(old=(200, 200), new=(200, 200))
FOUND = Counterparts(BASE, {}, (), SAME, changed={})


def missing(found: Counterparts) -> dict[str, tuple[str, str]]:
    return {str(cell): (lack.status, lack.reason) for cell, lack in found.missing(LOADED).items()}


def test_missing__nothing_if_base_serves_everything() -> None:
    assert missing(FOUND) == {}


def test_missing__a_profile_that_base_does_not_have_is_new_by_its_rules() -> None:
    reason = ("new", "base `1a2b3c4` has no profile `new`")
    assert missing(replace(FOUND, base=replace(BASE, judges=True))) == {"web · new": reason, "api · new": reason}


def test_missing__a_route_that_base_does_not_serve_is_new() -> None:
    found = missing(replace(FOUND, replies=served(old=(200, 200), new=(404, 200))))
    assert found["web · new"] == ("new", "base `1a2b3c4` answers 404 to `GET /new`")
    assert set(found) == {"web · new", "api · new"}


def test_missing__a_route_of_bases_own_that_fails_is_a_fault_of_base() -> None:
    found = missing(replace(FOUND, replies=served(old=(500, 200), new=(200, 200))))
    assert found["web · old"] == ("base-failed", "base `1a2b3c4` answers 500 to `GET /old`")


@pytest.mark.parametrize("statuses", [(404, 404), (200, 500), (302, 302), (401, 401)])
def test_missing__what_head_does_not_serve_either_is_for_the_measurement_to_tell(statuses: tuple[int, int]) -> None:
    assert missing(replace(FOUND, replies=served(old=statuses, new=(200, 200)))) == {}


def test_missing__a_page_that_base_redirects_is_another_page() -> None:
    found = missing(replace(FOUND, replies=served(old=(302, 200), new=(200, 200))))
    assert found["web · old"] == ("base-failed", "base `1a2b3c4` answers 302 to `GET /old`")


def test_missing__no_reply_at_all_is_told_with_its_cause() -> None:
    replies = SAME | {("base", "web", "old"): reply(0, "connection refused")}
    assert missing(replace(FOUND, replies=replies)) == {
        "web · old": ("base-failed", "base `1a2b3c4` does not answer `GET /old`: connection refused")
    }


def test_missing__a_variant_without_base_lacks_all_its_cells() -> None:
    lack = Lack("base-failed", "base could not be built", ("the log",))
    found = replace(FOUND, lacks={"api": lack}).missing(LOADED)
    assert {str(cell): one for cell, one in found.items()} == {"api · old": lack, "api · new": lack}


def test_missing__a_failure_of_base_costs_the_profiles_that_it_concerns() -> None:
    failure = Failure("web@base", "home", "status 200", "500", frozenset({"old"}), ("boom",))
    found = replace(FOUND, failures=[failure]).missing(LOADED)
    assert {str(cell): one.log for cell, one in found.items()} == {"web · old": ("boom",)}
    everything = replace(FOUND, failures=[replace(failure, profiles=None)])
    assert set(missing(everything)) == {"web · old", "web · new"}
    assert missing(replace(FOUND, failures=[replace(failure, subject="web")])) == {}


MOVED = Profile(path="/list", connections=4, threads=2, duration=1)


def test_settled_profiles__bases_version_stays_while_head_serves_it() -> None:
    kept, changed = settled_profiles({"old": OLD}, {"old": MOVED}, served(old=(200, 200)))
    assert (kept, changed) == ({"old": OLD}, {})


def test_settled_profiles__a_route_that_head_moved_is_measured_by_heads_version() -> None:
    kept, changed = settled_profiles({"old": OLD}, {"old": MOVED}, served(old=(200, 404)))
    assert kept == {"old": MOVED}
    assert changed == {"old": "this pull request changes profile `old`, and head no longer serves `GET /old`"}


def test_settled_profiles__a_route_that_head_removed_is_not_measured() -> None:
    judged = {"new": NEW, "old": OLD}
    assert settled_profiles(judged, {"new": NEW}, served(old=(200, 404), new=(404, 200)))[0] == {"new": NEW}
    assert set(settled_profiles(judged, {"new": NEW}, served(old=(200, 200), new=(404, 200)))[0]) == {"new", "old"}


def test_settled_profiles__a_route_that_head_broke_is_still_measured() -> None:
    assert settled_profiles({"old": OLD}, {"old": OLD}, served(old=(200, 500))) == ({"old": OLD}, {})
