"""Send each request of a configuration once, and count what it costs: for `bench-action check --up`."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench_action.config.load import Project
from bench_action.config.schema import Check, Profile, Request
from bench_action.load.generator import HttpRequest, Reply, Tape
from bench_action.load.k6 import K6Report, Turn, parse_k6_report
from bench_action.load.messages import Bodies
from bench_action.load.tape import cut_routes
from bench_action.model.errors import StackError
from bench_action.model.progress import Progress
from bench_action.model.result import Statement, Work, name_route
from bench_action.stack.meters.work import count_work, list_queries, read_work
from bench_action.stack.session import SessionError
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject
from bench_action.verify.connections import choose_connections
from bench_action.verify.failures import Failure
from bench_action.verify.scripts import check_scripts
from bench_action.verify.subjects import verify_subjects

_ANSWER_S = 30.0
_SCRIPT_S = 60  # for one run of a script
_DESCRIPTIONS = ["/openapi.json", "/api/openapi.json", "/api/v1/openapi.json", "/v3/api-docs", "/swagger.json"]
_MOST_ROUTES = 1000
NO_PATH = "/bench-action/no-such-page"  # that no application has


@dataclass(frozen=True, slots=True)
class TriedRequest:
    """A request that was sent twice: the first time warms the application up, the second time is counted.

    `profile` or `check`: the part of the configuration that it belongs to. `took_s`: until the second reply was read,
    the way to the load container included. Of bodies, only the start is known. `work` is None if it could not be
    counted. `log`: the subject's last lines if it answered with an error.
    """

    subject: str
    name: str
    request: Profile | Request
    first: Reply
    reply: Reply
    took_s: float
    work: Work | None
    statements: Sequence[Statement] = ()
    profile: Profile | None = None
    check: Check | None = None
    log: Sequence[str] = ()

    @property
    def is_expected(self) -> bool:
        """Whether the reply has a status that the profile or the check expects, and the first one had it, too."""
        return all(not reply.problem and self._accepts(reply.status) for reply in (self.first, self.reply))

    def _accepts(self, status: int) -> bool:
        if self.profile is not None:
            return self.profile.expect.accepts(status)
        expected = self.check.expect.status if self.check is not None else None
        return expected is None or status == expected


@dataclass(frozen=True, slots=True)
class TriedScript:
    """A script of a profile that one user has run once. `took_s`: that run, without the start of k6."""

    subject: str
    name: str
    script: str
    report: K6Report
    work: Work | None
    log: Sequence[str] = ()

    @property
    def took_s(self) -> float:
        """How long the run took."""
        return self.report.duration_s

    @property
    def problem(self) -> str:
        """What keeps it from being measured; empty if nothing does."""
        found, report = self.report.at_rate, self.report
        if found.failed_checks:
            return f"its checks fail: {', '.join(found.failed_checks)}"
        if found.exceptions:
            return "it raises an exception: `k6 run` shows where"
        if found.ended:
            return found.ended
        if not report.bytes_read and not report.failed:
            return "it sends no request to `__ENV.BASE_URL`"
        if report.failed and not found.checks:
            return f"{report.failed} of {report.requests} replies are errors"
        return ""


@dataclass(frozen=True, slots=True)
class Tryout:
    """What a stack that was started once showed. `routes`: GET routes that a subject describes itself, by subject.

    `scripts`: those of profiles, each run once. `failures`: the rules that subjects break. `error`: what ended
    verification, if something did. `unknown`: what each subject answers at a path that it does not have: a page that
    stands for all others looks like any profile's.
    """

    attempts: Sequence[TriedRequest]
    routes: Mapping[str, Sequence[str]]
    failures: Sequence[Failure] = ()
    error: StackError | None = None
    unknown: Mapping[str, Reply] = field(default_factory=dict)
    scripts: Sequence[TriedScript] = ()


def try_requests(stack: Stack, project: Project, progress: Progress) -> Tryout:
    """Send each profile's and each check's request to each subject, then verify all subjects on fresh data.

    Scripts are run once. Checks with `before_sql` are only verified. Raises StackError if a subject exits before all
    requests were sent, InputError for a script that is wrong.
    """
    check_scripts(stack, project)
    attempts: list[TriedRequest] = []
    scripts: list[TriedScript] = []
    routes, unknown = {}, {}
    for subject in stack.subjects:
        stack.admit([subject])
        progress.step(f"trying each request of {subject.name}")
        own = project.find_owner(subject.variant)
        attempts += _try_subject(stack, own, subject)
        scripts += [_try_script(stack, subject, name, profile) for name, profile in own.scripts.items()]
        routes[subject.name] = find_described_routes(stack, subject)
        ready = subject.config.ready.request
        unknown[subject.name] = _send(stack, subject.address_request(Request(path=NO_PATH, headers=ready.headers)))
    try:
        stack.renew(*stack.present)
        failures = verify_subjects(stack, project, progress)
        for warning in choose_connections(project, stack.subjects)[1]:
            progress.warn(f"{warning.message}. {warning.advice}")
    except StackError as error:
        return Tryout(attempts, routes, error=error, unknown=unknown, scripts=scripts)
    return Tryout(attempts, routes, failures, unknown=unknown, scripts=scripts)


def _try_subject(stack: Stack, project: Project, subject: Subject) -> Iterator[TriedRequest]:
    sent = []
    for name, profile in project.requested.items():
        try:
            opened = stack.open_session(subject, name, profile)
        except SessionError:
            continue  # which verification reports, with what was expected
        tapes = cut_routes(profile, opened.address_profile(profile), 2)
        parts = (profile.parts or {"": profile}).items()
        for number, ((title, part), cut) in enumerate(zip(parts, tapes, strict=True)):
            tape = cut.number_from(cut.first_serial + 2 * number)
            sent.append(_describe(part))
            own_name = name_route(name, title) if title else name
            yield _try_request(stack, subject, own_name, part, tape, profile=part)
    for check in project.config.checks:
        if not check.before_sql and _describe(check.request) not in sent:
            sent.append(_describe(check.request))
            request = subject.address_request(check.request).tape
            yield _try_request(stack, subject, check.name, check.request, request, check=check)


def _describe(request: Profile | Request) -> tuple[object, ...]:
    return request.method, request.path, sorted(request.headers.items()), request.body


def _try_request(
    stack: Stack,
    subject: Subject,
    name: str,
    wanted: Profile | Request,
    tape: Tape,
    *,
    profile: Profile | None = None,
    check: Check | None = None,
) -> TriedRequest:
    first = _send(stack, tape.cut(tape.messages, 0, 1))
    before, began = read_work(subject), time.monotonic()
    reply = _send(stack, tape.cut(tape.messages, 1, 1).number_from(tape.first_serial + 1))
    took_s = time.monotonic() - began
    after = read_work(subject)
    return TriedRequest(
        subject=subject.name,
        name=name,
        request=wanted,
        first=first,
        reply=reply,
        took_s=took_s,
        work=count_work(before, after),
        statements=list_queries(before, after),
        profile=profile,
        check=check,
        log=stack.engine.logs(subject.handle) if reply.problem or reply.status >= 500 else (),
    )


def _try_script(stack: Stack, subject: Subject, name: str, profile: Profile) -> TriedScript:
    turn = Turn(None, _SCRIPT_S, iterations=1, seed=subject.seed)
    before = read_work(subject)
    order, tape = subject.order_turn(profile, turn)
    report = parse_k6_report(stack.agent.k6(order, tape), profile, turn, f"{subject.name} · {name}")
    work = count_work(before, read_work(subject))
    log = stack.engine.logs(subject.handle) if report.failed else ()
    return TriedScript(subject.name, name, str(profile.k6), report, work, log)


def _send(stack: Stack, request: HttpRequest | Tape, bodies: Bodies = "start") -> Reply:
    return stack.agent.requests(request, 1, timeout_s=_ANSWER_S, bodies=bodies, limit_s=_ANSWER_S)[-1]


def find_described_routes(stack: Stack, subject: Subject) -> list[str]:
    """Ask a subject for its description in OpenAPI; list the paths that answer GET and need no parameter."""
    for path in _DESCRIPTIONS:
        reply = _send(stack, subject.address_request(Request(path=path)), bodies="all")
        if not reply.problem and reply.status == 200 and (found := parse_openapi(reply.text)):
            return found
    return []


def parse_openapi(text: str) -> list[str]:
    """List the paths of an OpenAPI description that answer GET and need no parameter; none if it is not one."""
    try:
        description = json.loads(text)
    except (ValueError, RecursionError):
        return []
    paths = description.get("paths") if isinstance(description, dict) else None
    if not isinstance(paths, dict):
        return []
    base = description.get("basePath")  # of Swagger 2
    prefix = base.rstrip("/") if isinstance(base, str) else ""
    found = [f"{prefix}{path}" for path, item in paths.items() if "{" not in path and _answers_get(item)]
    return found[:_MOST_ROUTES]


def _answers_get(item: object) -> bool:
    """Whether an OpenAPI path item answers GET without a required query or header."""
    operation = item.get("get") if isinstance(item, dict) else None
    if not isinstance(operation, dict):
        return False
    parameters = operation.get("parameters")
    listed = parameters if isinstance(parameters, list) else []
    return not any(isinstance(parameter, dict) and parameter.get("required") for parameter in listed)
