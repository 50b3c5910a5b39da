"""What verification makes of what it found; the rest of it needs a stack."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.checks import Answers, collapsed
from bench_action.config.baseline import Baseline
from bench_action.config.load import Loaded, load_policy
from bench_action.config.schema import Check, Config, Profile
from bench_action.engine.protocol import Handle
from bench_action.load.generator import Reply
from bench_action.stack.images import Image
from bench_action.stack.subject import Subject
from bench_action.verify import (
    Failure,
    as_error,
    checks_of,
    compare_pages,
    failed_subjects,
    is_gone,
    normalised,
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<ul>\n  <li> a </li>\n</ul>", "<ul><li>a</li></ul>"),
        ("<p>a\n\n b</p>", "<p>a b</p>"),
        ("  <p>x</p>\n", "<p>x</p>"),
    ],
)
def test_normalised__white_space_makes_no_difference(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "ab"), ("<p>a</p>", "<p>b</p>"), ("<p>A</p>", "<p>a</p>")])
def test_normalised__anything_else_does(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text())
def test_normalised__once_is_enough(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
    assert collapsed(collapsed(text)) == collapsed(text)


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


def loaded_with(*checks: object) -> Loaded:
    config = Config.model_validate({"variants": {"web": {"image": "x"}}, "checks": list(checks)})
    return Loaded(config.model_copy(update={"profiles": PROFILES}), load_policy("ci"), "ci", Path(), "")


def subjects_with(head: Loaded) -> list[Subject]:
    handle = Handle("", "web", "subject", "", 0)
    variant = head.config.variants["web"]
    return [Subject("web", "head", variant, Image("x", "x"), handle, None, None),
            Subject("web", "base", variant, Image("x", "x"), handle, None, None)]  # fmt: skip


def asked(head: Loaded, base: Baseline | None) -> list[tuple[Check, list[str]]]:
    return [(check, [one.name for one in on]) for check, on in checks_of(head, subjects_with(head), base)]


def test_checks_of__a_changed_check_is_each_revisions_own() -> None:
    head, base = loaded_with(HOME, OTHER), loaded_with(OLD)
    new, old, other = head.config.checks[0], base.config.checks[0], head.config.checks[1]
    assert asked(head, Baseline(base, valid=True)) == [(new, ["web"]), (other, ["web"]), (old, ["web@base"])]


def test_checks_of__one_that_both_have_is_sent_to_both_together() -> None:
    head = loaded_with(HOME)
    assert asked(head, Baseline(loaded_with(HOME, OTHER), valid=True)) == [
        (head.config.checks[0], ["web", "web@base"]), (loaded_with(OTHER).config.checks[0], ["web@base"]),
    ]  # fmt: skip


def test_checks_of__one_that_head_has_removed_still_applies_by_bases_rules() -> None:
    base = Baseline(loaded_with(HOME, OTHER), valid=True, judges=True)
    home, other = base.loaded.config.checks
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
