"""How verification judges what it found; the rest of it needs a stack."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.quiet import Quiet

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Check, Config, Profile
from bench_action.load.generator import Reply
from bench_action.stack.images import Image
from bench_action.stack.subject import Subject
from bench_action.verify.checks import Answers
from bench_action.verify.failures import Failure, describe_failures, make_verification_error
from bench_action.verify.subjects import (
    _collect_failures,
    _compare_subjects,
    assign_checks,
    compare_changing_pages,
    compare_pages,
    find_profiles,
    is_gone,
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


def test_compare_changing_pages__tokens_are_left_out_and_named() -> None:
    pages = {"django": token_page(TOKENS[0]), "aiohttp": token_page(TOKENS[1])}
    again = {"django": token_page(TOKENS[2]), "aiohttp": token_page(TOKENS[3])}
    left_out, failures = compare_changing_pages("home", pages, again)
    assert failures == []
    assert "changes with every request" in left_out
    assert TOKENS[0] in left_out


def test_compare_changing_pages__other_differences_than_tokens_are_found() -> None:
    pages = {"django": token_page(TOKENS[0]), "aiohttp": token_page(TOKENS[1], "another list")}
    again = {"django": token_page(TOKENS[2]), "aiohttp": token_page(TOKENS[3], "another list")}
    left_out, (failure,) = compare_changing_pages("home", pages, again)
    assert left_out == ""
    assert (failure.subject, failure.expected.startswith("the same page as django")) == ("aiohttp", True)
    assert "another list" in failure.got


def test_compare_changing_pages__a_variant_that_always_sends_one_token_differs() -> None:
    pages = {"django": token_page(TOKENS[0]), "aiohttp": token_page(TOKENS[1])}
    again = {"django": token_page(TOKENS[2]), "aiohttp": token_page(TOKENS[1])}
    _, failures = compare_changing_pages("home", pages, again)
    assert [failure.subject for failure in failures] == ["aiohttp"]


def test_compare_changing_pages__pages_that_do_not_change_are_compared_unmasked() -> None:
    pages = {"django": "<p>one</p>", "aiohttp": "<p>two</p>"}
    _, failures = compare_changing_pages("home", pages, pages)
    assert failures == list(compare_pages("home", pages))


def test_compare_changing_pages__a_number_that_counts_requests_is_compared() -> None:
    pages = {"django": token_page(TOKENS[0], "visits: 5"), "aiohttp": token_page(TOKENS[1], "visits: 5")}
    again = {"django": token_page(TOKENS[2], "visits: 6"), "aiohttp": token_page(TOKENS[3], "visits: 6")}
    assert compare_changing_pages("home", pages, again)[1] == []
    pages["aiohttp"], again["aiohttp"] = (token_page(token, "visits: 0") for token in TOKENS[:2])
    assert [failure.subject for failure in compare_changing_pages("home", pages, again)[1]] == ["aiohttp"]


def test_compare_changing_pages__a_page_that_differs_from_itself_is_marked() -> None:
    pages = {"django": "took 17 ms", "aiohttp": "took 3 ms"}
    again = {"django": "took 18 ms", "aiohttp": "took 4 ms"}
    _, (failure,) = compare_changing_pages("home", pages, again)
    assert failure.subject == "aiohttp"
    assert failure.got.endswith("(this page also changes from one request to the next)")


def make_reply(text: str) -> Reply:
    return Reply(200, {}, text.encode(), kept=True, problem="")


@pytest.mark.parametrize("revision", ["head", "base"])
def test_compare_subjects__only_the_revision_whose_pages_differ_fails(revision: str) -> None:
    """The other one's pages are the same, so that no token is looked for in them."""
    check = make_project(HOME).config.checks[0]
    answers = [
        Answers(replace(subject, variant=name), [make_reply(name if subject.revision == revision else "same")])
        for name in ("django", "flask")
        for subject in make_subjects(make_project())
    ]
    failures = list(_compare_subjects(check, answers, lambda: answers, Quiet()))
    assert [failure.subject for failure in failures] == ["flask@base" if revision == "base" else "flask"]


def test_compare_subjects__a_revision_whose_pages_are_the_same_may_change_them() -> None:
    """Base's pages agree, and when head's differ, they are only requested again for a second time."""
    check = make_project(HOME).config.checks[0]
    names = ("django", "flask")
    head, base = ([replace(each, variant=name) for name in names] for each in make_subjects(make_project()))
    first = [Answers(subject, [make_reply(TOKENS[0])]) for subject in base]
    first += [Answers(subject, [make_reply(token)]) for subject, token in zip(head, TOKENS, strict=False)]
    again = [Answers(subject, [make_reply(token)]) for subject, token in zip((*base, *head), TOKENS, strict=True)]
    assert [*_compare_subjects(check, first, lambda: again, Quiet())] == []


FAILURES = [
    Failure("django", "home (C1)", "status 200", "500"),
    Failure("aiohttp", "home (C1)", "a reply", "refused"),
    Failure("django", "keep_alive: true", "open", "closed"),
]


def test_describe_failures__lists_what_each_broke() -> None:
    assert describe_failures(FAILURES) == {
        "django": "home (C1): expected status 200, got 500; keep_alive: true: expected open, got closed",
        "aiohttp": "home (C1): expected a reply, got refused",
    }
    assert describe_failures([]) == {}


def test_make_verification_error__lists_every_rule() -> None:
    error = make_verification_error(FAILURES)
    assert error.exit_status == 4
    assert error.what.startswith("django, aiohttp broke 3 rules")
    assert all(str(failure) in error.what for failure in FAILURES)
    assert "broke 1 rule and" in make_verification_error(FAILURES[:1]).what


PROFILES = {"home": Profile(path="/?page=2", connections=4, threads=2, duration=1)}
OLD, HOME = ({"name": "home", "request": {"path": "/"}, "expect": {"contains": [text]}} for text in ("old", "new"))
OTHER = {"name": "other", "request": {"path": "/other"}}


def make_project(*checks: object) -> Project:
    config = Config.model_validate({"variants": {"web": {"image": "x"}}, "checks": list(checks)})
    return Project(config.model_copy(update={"profiles": PROFILES}), load_policy("ci"), "ci", Path(), "")


def make_subjects(head: Project) -> list[Subject]:
    variant = head.config.variants["web"]
    return [
        Subject("web", "head", variant, Image("x", "x"), "template"),
        Subject("web", "base", variant, Image("x", "x"), "template"),
    ]


def list_assigned(head: Project, base: Baseline | None) -> list[tuple[Check, list[str]]]:
    return [(check, [subject.name for subject in on]) for check, on in assign_checks(head, make_subjects(head), base)]


def test_assign_checks__each_revision_gets_its_own_version_of_a_changed_check() -> None:
    head, base = make_project(HOME, OTHER), make_project(OLD)
    new, old, other = head.config.checks[0], base.config.checks[0], head.config.checks[1]
    assert list_assigned(head, Baseline(base, valid=True)) == [(new, ["web"]), (other, ["web"]), (old, ["web@base"])]


def test_assign_checks__one_that_both_have_is_sent_to_both_together() -> None:
    head = make_project(HOME)
    assert list_assigned(head, Baseline(make_project(HOME, OTHER), valid=True)) == [
        (head.config.checks[0], ["web", "web@base"]),
        (make_project(OTHER).config.checks[0], ["web@base"]),
    ]


def test_assign_checks__one_that_head_has_removed_still_applies_under_bases_rules() -> None:
    base = Baseline(make_project(HOME, OTHER), valid=True, judges=True)
    home, other = base.project.config.checks
    assert list_assigned(make_project(HOME), base) == [(home, ["web", "web@base"]), (other, ["web", "web@base"])]
    assert list_assigned(make_project(OLD, OTHER), base)[-1] == (
        home,
        ["web@base"],
    )  # changed, not removed: each by its own


@pytest.mark.parametrize(
    ("statuses", "gone"), [([404], True), ([405], True), ([], True), ([200], False), ([500], False), ([0], False)]
)
def test_is_gone__only_if_the_route_is(statuses: list[int], gone: bool) -> None:
    replies = [Reply(status, {}, b"", kept=True, problem="") for status in statuses]
    assert is_gone(Answers(make_subjects(make_project())[0], replies)) is gone


def test_assign_checks__base_without_checks_gets_heads_about_what_is_measured() -> None:
    head = make_project(HOME, OTHER)
    assert [on for _, on in list_assigned(head, Baseline(head))] == [["web", "web@base"], ["web"]]


def test_find_profiles__finds_those_that_load_the_path() -> None:
    assert find_profiles("/", PROFILES) == frozenset({"home"})
    assert find_profiles("/?page=9", PROFILES) == frozenset({"home"})
    assert find_profiles("/other", PROFILES) is None


def make_answers(revision: str, *problems: tuple[str, str], excess: tuple[tuple[str, str], ...] = ()) -> Answers:
    subject = next(each for each in make_subjects(make_project()) if each.revision == revision)
    return Answers(subject, problems=list(problems), excess=list(excess))


MORE, WRONG = ("1 query in 1 request", "21"), ("status 200", "500")


@pytest.mark.parametrize(
    ("base", "head", "regression"),
    [
        (make_answers("base"), make_answers("head", MORE, excess=(MORE,)), True),
        (make_answers("base", MORE, excess=(MORE,)), make_answers("head", MORE, excess=(MORE,)), False),
        (make_answers("base"), make_answers("head", MORE, WRONG, excess=(MORE,)), False),
        (None, make_answers("head", MORE, excess=(MORE,)), False),
    ],
)
def test_collect_failures__only_work_that_base_does_as_declared_is_a_regression(
    base: Answers | None, head: Answers, regression: bool
) -> None:
    check = make_project(HOME).config.checks[0]
    failures = _collect_failures([*([base] if base is not None else []), head], check, None)
    assert {failure.regression for failure in failures if failure.subject == "web"} == {regression}


def test_make_verification_error__gives_the_advice_that_fits_the_rule() -> None:
    backlog = Failure("web", "live connections", "500", "128", advice="raise the backlog")
    assert make_verification_error([backlog]).advice == "raise the backlog"
    both = make_verification_error([backlog, *FAILURES]).advice
    assert both.startswith("raise the backlog; fix the variant")
