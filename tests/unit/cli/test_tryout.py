"""What `bench-action check --up` says about each kind of reply, and what is missing."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from bench_action.cli.check import print_tryout
from bench_action.cli.tryout import list_hints, list_missing, tabulate_attempts
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Check, Config, Profile, Variant
from bench_action.load.generator import HttpRequest, Reply, Tape
from bench_action.load.k6 import K6Report
from bench_action.model.errors import StackError, VerificationError
from bench_action.model.progress import Progress
from bench_action.model.result import AtRate, Statement, Work
from bench_action.report.terminal import print_table
from bench_action.stack.images import Image
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.failures import Failure
from bench_action.verify.tryout import TriedRequest, TriedScript, Tryout, parse_openapi, try_requests

pytestmark = pytest.mark.unit

LOAD = {"connections": 8, "threads": 2, "duration": "1s"}
PROFILE = Profile.model_validate({"path": "/items", **LOAD})
WRITING = Profile.model_validate({"path": "/items", "method": "POST", **LOAD})


def make_reply(status: int = 200, body: str = "", *, size: int = 100, location: str = "", problem: str = "") -> Reply:
    return Reply(status, {}, body.encode(), kept=True, problem=problem, size=size, location=location, digest=body)


def make_attempt(reply: Reply | None = None, profile: Profile | None = PROFILE, **changes: Any) -> TriedRequest:
    reply = reply or make_reply()
    fields: dict[str, Any] = {
        "subject": "web",
        "name": "items",
        "request": profile,
        "first": reply,
        "reply": reply,
        "took_s": 0.0123,
        "work": Work(queries=2, rows=20, cache_commands=1),
        "profile": profile,
    }
    return TriedRequest(**{**fields, **changes})


def make_project(**config: Any) -> Project:
    body = {"variants": {"web": {"build": "."}}, "profiles": {"items": {"path": "/items", **LOAD}}, **config}
    return Project(Config.model_validate(body), load_policy("quick"), "quick", Path(), "bench.yml")


def make_script(problem: str = "", **figures: Any) -> TriedScript:
    found = {"rate": None, "iterations": 1, "iteration_us": 900.0, "dropped": 0, "all_requests": 4, "timed": "x"}
    at_rate = AtRate.model_validate({**found, "checks": 2, **figures})
    report = K6Report(at_rate, None, 4, 4 if problem == "errors" else 0, 0 if problem == "nothing" else 900, 0.25)
    return TriedScript("web", "checkout", "load/checkout.js", report, Work(queries=7, rows=20, cache_commands=0), ())


COMPLETE = {"seed": "seed.sql", "checks": [{"name": "items"}]}


def explain(*attempts: TriedRequest, **config: Any) -> Sequence[str]:
    return list_missing(Tryout(attempts, {}), make_project(**{**COMPLETE, **config}))


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (make_script(), ""),
        (make_script("errors"), ""),  # its checks judge
        (make_script(failed_checks=("is paid",), checks_failed=1), "its checks fail: is paid"),
        (make_script(exceptions=1), "it raises an exception: `k6 run` shows where"),
        (make_script(ended="k6 exited with status 107"), "k6 exited with status 107"),
        (make_script("nothing", checks=0), "it sends no request to `__ENV.BASE_URL`"),
        (make_script("errors", checks=0), "4 of 4 replies are errors"),
    ],
)
def test_script__fails_before_a_run_does(script: TriedScript, problem: str) -> None:
    tryout = Tryout([], {}, scripts=[script])
    (row,) = tabulate_attempts([], [script]).rows
    assert row == (
        "load/checkout.js",
        "fails" if problem else "passes",
        f"{script.report.bytes_read:,}",
        "7",
        "0",
        "250 ms",
    )
    lines = list_missing(tryout, make_project(**COMPLETE))
    console = Console(file=StringIO())
    if not problem:
        assert lines == []
        print_tryout(tryout, make_project(**COMPLETE), console)
        return
    assert lines == [f"web: load/checkout.js would not be measured, as {problem}"]
    with pytest.raises(VerificationError, match=r"1 script failed: load/checkout\.js"):
        print_tryout(tryout, make_project(**COMPLETE), console)


@pytest.mark.parametrize(
    ("unknown", "path", "found"),
    [
        (make_reply(200, "<html>"), "/items", True),
        (make_reply(200, "<html>"), "/", False),
        (make_reply(200, "other"), "/items", False),
        (make_reply(404, "<html>"), "/items", False),
        (make_reply(0, problem="timed out"), "/items", False),
    ],
)
def test_missing__a_page_that_any_path_has(unknown: Reply, path: str, found: bool) -> None:
    """A path that does not exist then looks as if it did: profile and check pass, and a static page is measured."""
    profile = Profile.model_validate({"path": path, **LOAD})
    tryout = Tryout([make_attempt(make_reply(200, "<html>"), profile, request=profile)], {}, unknown={"web": unknown})
    lines = list_missing(tryout, make_project(**COMPLETE))
    assert [f"web: GET {path} gets the same reply as a path that does not exist" in line for line in lines] == [
        True
    ] * found


def test_missing__nothing() -> None:
    assert explain(make_attempt()) == []


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        (make_reply(302, location="/login"), ("redirects (302) to /login", "`headers`")),
        (make_reply(401, "No token\nmore"), ("is refused (401): No token.", "`headers`")),
        (make_reply(404), ("does not exist (404). Fix its path",)),
        (make_reply(400, "\n\n  bad host"), ("is a bad request (400): bad host.", "host names")),
        (make_reply(418, "tea"), ("answers 418, which is not what is expected: tea",)),
        (make_reply(0, problem="timed out"), ("is not answered: timed out. Its log is empty",)),
    ],
)
def test_missing__a_reply_that_is_not_expected(reply: Reply, parts: Sequence[str]) -> None:
    (line,) = explain(make_attempt(reply))
    assert line.startswith("web: GET /items ")
    for part in parts:
        assert part in line


def test_missing__an_error_comes_with_the_log() -> None:
    (line,) = explain(make_attempt(make_reply(500, "<h1>Oops"), log=["Traceback", "KeyError: 'x'"]))
    assert line == (
        "web: GET /items fails (500): <h1>Oops. The last lines of its log:\n    | Traceback\n    | KeyError: 'x'"
    )


def test_missing__a_request_that_cannot_be_repeated() -> None:
    attempt = make_attempt(make_reply(409), WRITING, first=make_reply(201))
    (line,) = explain(attempt)
    assert "answers 201, and 409 when it is sent again. Send a request that can be repeated, or put `{seq}`" in line


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"work": Work(queries=2, rows=0, cache_commands=0)}, "2 queries returned no rows"),
        ({"work": None}, "could not be counted"),
        ({"first": make_reply(size=99)}, "99 and 100 bytes"),
        (
            {"statements": [Statement(text="insert INTO visit VALUES ($1)", calls=1, rows=1)]},
            "writes although it is a GET (insert INTO visit VALUES ($1))",
        ),
    ],
)
def test_missing__what_a_good_reply_hides(changes: dict[str, Any], part: str) -> None:
    (line,) = explain(make_attempt(**changes))
    assert part in line


def test_missing__parts_of_the_configuration() -> None:
    assert [line.split(":")[0].split(",")[0] for line in explain(make_attempt(), seed=[], checks=[])] == [
        "no `seed`",
        "no `checks`",
    ]
    profiles = load_policy("quick").profiles
    (line,) = list_missing(Tryout([], {}), make_project(**{**COMPLETE, "profiles": profiles}))
    assert line == "no `profiles`, so only / is measured. Name the pages that matter"


def test_hints__routes_and_work() -> None:
    tryout = Tryout([make_attempt()], {"web": ["/items", "/a", *(f"/{n}" for n in range(9))]})
    routes, work = list_hints(tryout, make_project())
    assert routes == "web describes these routes, which no profile measures: /a, /0, /1, /2, /3, /4, /5, /6 and 2 more"
    assert work.endswith("add `work: {items: {queries: 2}}`")
    (only_routes,) = list_hints(tryout, make_project(work={"items": {"queries": 2}}))
    assert only_routes == routes


def test_table__fits_80_columns_and_distinguishes_requests() -> None:
    path = "/a-very-long-path/that-does-not-end/before-the-eightieth-column/of-a-terminal"
    check = Check.model_validate({"name": "refused", "request": {"path": "/items"}, "expect": {"status": 404}})
    attempts = [
        make_attempt(),
        make_attempt(make_reply(404), name=check.name, request=check.request, profile=None, check=check),
        make_attempt(
            make_reply(size=12_345_678), Profile.model_validate({"path": path, **LOAD}), work=None, took_s=9.9
        ),
        make_attempt(subject="other"),
    ]
    page = StringIO()
    print_table(tabulate_attempts(attempts), Console(file=page, width=80))
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("GET /items (refused)") and " 404 " in line for line in lines)
    assert any("12,345,678" in line and "9,900 ms" in line for line in lines)
    assert "web" in lines
    assert "other" in lines


def test_print__the_status_of_the_command() -> None:
    console, project = Console(file=StringIO()), make_project(**COMPLETE)
    print_tryout(Tryout([make_attempt()], {}), project, console)
    with pytest.raises(VerificationError, match="1 request of 2 not answered as expected"):
        print_tryout(Tryout([make_attempt(), make_attempt(make_reply(404))], {}), project, console)
    with pytest.raises(VerificationError, match="web broke 1 rule"):
        print_tryout(Tryout([make_attempt()], {}, (Failure("web", "r", "x", "y"),)), project, console)
    with pytest.raises(StackError, match="web exited"):
        print_tryout(Tryout([make_attempt()], {}, error=StackError("web exited")), project, console)


@pytest.mark.parametrize(
    ("text", "routes"),
    [
        ('{"paths": {"/a": {"get": {}}, "/b": {"post": {}}, "/c/{id}": {"get": {}}}}', ["/a"]),
        ('{"basePath": "/v1/", "paths": {"/a": {"get": {"parameters": []}}}}', ["/v1/a"]),
        ('{"paths": {"/a": {"get": {"parameters": [{"name": "q", "required": true}, 3]}}, "/b": []}}', []),
        ('{"paths": []}', []),
        ("[1]", []),
        ("<html>", []),
        ("[" * 100_000, []),
    ],
)
def test_openapi__routes_that_need_no_parameter(text: str, routes: list[str]) -> None:
    assert parse_openapi(text) == routes


def test_tryout__fills_in_the_placeholders_of_each_request() -> None:
    sent, kept = [], []

    def answer(request: HttpRequest | Tape, _repeat: int, *, bodies: str, **_limits: float) -> list[Reply]:
        kept.append(bodies)
        sent.append(request.wire if isinstance(request, HttpRequest) else request.messages[0].raw)
        return [make_reply()]

    def stop() -> None:
        raise StackError("the stack is gone")

    subject = Subject("web", "head", Variant(image="x"), Image("x", "1"), "", addresses={"db": {"password": "S3cret"}})
    profile = {"path": "/items", "headers": {"X-Key": "{db.password}"}, **LOAD}
    fields = {"subjects": [subject], "present": [], "admit": lambda _: None, "renew": stop}
    fields["open_session"] = lambda subject, *_: subject
    stack = SimpleNamespace(agent=SimpleNamespace(requests=answer), **fields)
    project = make_project(profiles={"items": profile})
    found = try_requests(cast(Stack, stack), project, cast(Progress, SimpleNamespace(step=lambda _: None)))
    assert b"X-Key: S3cret" in sent[0]
    assert set(kept[:2]) == {"start"}  # so that a large page can be tried
    assert found.attempts[0].request.headers == {"X-Key": "{db.password}"}  # what is shown holds no password
