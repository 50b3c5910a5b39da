"""What verification makes of what it found; the rest of it needs a stack."""

from pathlib import Path

import pytest

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Check, Config, Profile
from bench_action.engine.protocol import Handle
from bench_action.load.generator import Reply
from bench_action.stack.images import Image
from bench_action.stack.subject import Subject
from bench_action.verify.checks import Answers
from bench_action.verify.subjects import (
    Failure,
    as_error,
    checks_of,
    compare_pages,
    compare_restless_pages,
    failed_subjects,
    is_gone,
    profiles_of,
)

pytestmark = pytest.mark.unit


def test_compare_pages__names_those_that_differ_from_the_first() -> None:
    pages = {
        "django": "a" * 100 + "same" + "z" * 9,
        "aiohttp": "a" * 100 + "same" + "z" * 9,
        "flask": "a" * 100 + "not",
    }
    (failure,) = compare_pages("home (C1)", pages)
    assert (failure.subject, failure.rule) == ("flask", "home (C1)")
    assert failure.expected.startswith("the same page as django, ")
    assert "same" in failure.expected
    assert failure.got.endswith("not'")


@pytest.mark.parametrize("pages", [{}, {"django": "x"}, {"django": "x", "aiohttp": "x"}])
def test_compare_pages__nothing_differs(pages: dict[str, str]) -> None:
    assert list(compare_pages("home", pages)) == []


def test_compare_pages__a_page_that_goes_on_differs() -> None:
    (failure,) = compare_pages("home", {"django": "abc", "aiohttp": "abcd"})
    assert failure.got == "'abcd'"


TOKENS = ("Zq3fWm8dLk2x", "p9TtYc5vRb7n", "Hs4jXe6gUa1o", "k0QwNi2zMv8y")


def token_page(token: str, text: str = "the list") -> str:
    return f'<form><input name="csrf" value="{token}"></form><p>{text}</p>'


def test_compare_restless_pages__tokens_are_left_out_and_named() -> None:
    pages = {"django": token_page(TOKENS[0]), "aiohttp": token_page(TOKENS[1])}
    again = {"django": token_page(TOKENS[2]), "aiohttp": token_page(TOKENS[3])}
    left_out, failures = compare_restless_pages("home", pages, again)
    assert failures == []
    assert "differs from itself" in left_out
    assert TOKENS[0] in left_out


def test_compare_restless_pages__what_differs_apart_from_tokens_is_found() -> None:
    pages = {"django": token_page(TOKENS[0]), "aiohttp": token_page(TOKENS[1], "another list")}
    again = {"django": token_page(TOKENS[2]), "aiohttp": token_page(TOKENS[3], "another list")}
    left_out, (failure,) = compare_restless_pages("home", pages, again)
    assert left_out == ""
    assert (failure.subject, failure.expected.startswith("the same page as django")) == ("aiohttp", True)
    assert "another list" in failure.got


def test_compare_restless_pages__a_variant_that_always_sends_one_token_differs() -> None:
    pages = {"django": token_page(TOKENS[0]), "aiohttp": token_page(TOKENS[1])}
    again = {"django": token_page(TOKENS[2]), "aiohttp": token_page(TOKENS[1])}
    _, failures = compare_restless_pages("home", pages, again)
    assert [failure.subject for failure in failures] == ["aiohttp"]


def test_compare_restless_pages__steady_pages_are_compared_as_they_are() -> None:
    pages = {"django": "<p>one</p>", "aiohttp": "<p>two</p>"}
    _, failures = compare_restless_pages("home", pages, pages)
    assert failures == list(compare_pages("home", pages))


def test_compare_restless_pages__a_number_that_counts_requests_is_compared() -> None:
    pages = {"django": token_page(TOKENS[0], "visits: 5"), "aiohttp": token_page(TOKENS[1], "visits: 5")}
    again = {"django": token_page(TOKENS[2], "visits: 6"), "aiohttp": token_page(TOKENS[3], "visits: 6")}
    assert compare_restless_pages("home", pages, again)[1] == []
    pages["aiohttp"], again["aiohttp"] = (token_page(token, "visits: 0") for token in TOKENS[:2])
    assert [one.subject for one in compare_restless_pages("home", pages, again)[1]] == ["aiohttp"]


def test_compare_restless_pages__a_page_that_differs_from_itself_is_said_to() -> None:
    pages = {"django": "took 17 ms", "aiohttp": "took 3 ms"}
    again = {"django": "took 18 ms", "aiohttp": "took 4 ms"}
    _, (failure,) = compare_restless_pages("home", pages, again)
    assert failure.subject == "aiohttp"
    assert failure.got.endswith("the page differs from itself too)")


FAILURES = [
    Failure("django", "home (C1)", "status 200", "500"),
    Failure("aiohttp", "home (C1)", "a reply", "refused"),
    Failure("django", "keep_alive: true", "open", "closed"),
]


def test_failed_subjects__tells_what_each_broke() -> None:
    assert failed_subjects(FAILURES) == {
        "django": "home (C1): expected status 200, got 500; keep_alive: true: expected open, got closed",
        "aiohttp": "home (C1): expected a reply, got refused",
    }
    assert failed_subjects([]) == {}


def test_as_error__lists_every_rule() -> None:
    error = as_error(FAILURES)
    assert error.exit_status == 4
    assert error.what.startswith("django, aiohttp broke 3 rules")
    assert all(str(failure) in error.what for failure in FAILURES)
    assert "broke 1 rule and" in as_error(FAILURES[:1]).what


PROFILES = {"home": Profile(path="/?page=2", connections=4, threads=2, duration=1)}
OLD, HOME = ({"name": "home", "request": {"path": "/"}, "expect": {"contains": [text]}} for text in ("old", "new"))
OTHER = {"name": "other", "request": {"path": "/other"}}


def loaded_with(*checks: object) -> Project:
    config = Config.model_validate({"variants": {"web": {"image": "x"}}, "checks": list(checks)})
    return Project(config.model_copy(update={"profiles": PROFILES}), load_policy("ci"), "ci", Path(), "")


def subjects_with(head: Project) -> list[Subject]:
    handle = Handle("", "web", "subject", "", 0)
    variant = head.config.variants["web"]
    return [
        Subject("web", "head", variant, Image("x", "x"), handle, None, None),
        Subject("web", "base", variant, Image("x", "x"), handle, None, None),
    ]


def asked(head: Project, base: Baseline | None) -> list[tuple[Check, list[str]]]:
    return [(check, [one.name for one in on]) for check, on in checks_of(head, subjects_with(head), base)]


def test_checks_of__a_changed_check_is_each_revisions_own() -> None:
    head, base = loaded_with(HOME, OTHER), loaded_with(OLD)
    new, old, other = head.config.checks[0], base.config.checks[0], head.config.checks[1]
    assert asked(head, Baseline(base, valid=True)) == [(new, ["web"]), (other, ["web"]), (old, ["web@base"])]


def test_checks_of__one_that_both_have_is_sent_to_both_together() -> None:
    head = loaded_with(HOME)
    assert asked(head, Baseline(loaded_with(HOME, OTHER), valid=True)) == [
        (head.config.checks[0], ["web", "web@base"]),
        (loaded_with(OTHER).config.checks[0], ["web@base"]),
    ]


def test_checks_of__one_that_head_has_removed_still_applies_by_bases_rules() -> None:
    base = Baseline(loaded_with(HOME, OTHER), valid=True, judges=True)
    home, other = base.project.config.checks
    assert asked(loaded_with(HOME), base) == [(home, ["web", "web@base"]), (other, ["web", "web@base"])]
    assert asked(loaded_with(OLD, OTHER), base)[-1] == (home, ["web@base"])  # changed, not removed: each by its own


@pytest.mark.parametrize(
    ("statuses", "gone"), [([404], True), ([405], True), ([], True), ([200], False), ([500], False), ([0], False)]
)
def test_is_gone__only_where_the_route_is(statuses: list[int], gone: bool) -> None:
    replies = [Reply(status, {}, b"", kept=True, problem="") for status in statuses]
    assert is_gone(Answers(subjects_with(loaded_with())[0], replies)) is gone


def test_checks_of__base_without_its_own_gets_heads_about_what_is_measured() -> None:
    head = loaded_with(HOME, OTHER)
    assert [on for _, on in asked(head, Baseline(head))] == [["web", "web@base"], ["web"]]


def test_profiles_of__are_those_that_load_the_path() -> None:
    assert profiles_of("/", PROFILES) == frozenset({"home"})
    assert profiles_of("/?page=9", PROFILES) == frozenset({"home"})
    assert profiles_of("/other", PROFILES) is None
