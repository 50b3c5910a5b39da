"""Open the sessions that a profile asks for: requests such as a log-in, whose replies contain values for the load."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from bench_action.config.environment import fill_in
from bench_action.config.schema import Extract, Profile, Row, SessionRequest
from bench_action.config.templates import (
    Column,
    FromSession,
    Part,
    Random,
    Serial,
    encode_value,
    find_content_type,
    parse_template,
)
from bench_action.load.generator import Agent, HttpRequest, Reply
from bench_action.load.tape import User
from bench_action.model.errors import InputError, StackError
from bench_action.stack.subject import Subject

_REPLY_S = 30.0
_FIRST_SERIAL = 900_000_000  # those of the load are below (load/tape.py)
_SERIALS = 99_000_000
_MOST_USERS = 1000  # as config/schema.py allows
_DELETED = re.compile(r"(?i);\s*max-age=(0|-\d+)\s*(;|$)|;\s*expires=[^;]*\b1970\b")
_SENDABLE = re.compile(r"[^\r\n\0\ud800-\udfff]*")
_CONTROL = re.compile(r"[\0-\x08\n-\x1f\x7f]")
_ADVICE = "send what the application expects: its log, and the requests of a browser that logs in, show what is missing"


class SessionError(StackError):
    """A session could not be opened. `expected` and `got`: of the request that failed."""

    def __init__(self, profile: str, request: SessionRequest, expected: str, got: str) -> None:
        self.expected, self.got = f"{expected} to {request.method} {request.path}", got
        super().__init__(
            f"the session of profile {profile} could not be opened: expected {self.expected}, got {got}", advice=_ADVICE
        )


@dataclass(slots=True)
class _Visit:
    """One user's requests: what their replies contained so far. `serial`: the number that `{seq}` stands for."""

    serial: int
    rows: Mapping[str, Row]
    dice: random.Random
    values: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    def write(self, part: Part) -> str:
        """Write a part of a template."""
        match part:
            case str():
                return part
            case Serial():
                return str(self.serial)
            case Random():
                return str(self.dice.randint(part.low, part.high))
            case Column():
                return self.rows[part.file][part.name]
            case FromSession():
                return self.values[part.name]

    def write_cookies(self) -> str:
        """Write all cookies as the value of a header."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def keep(self, profile: str, request: SessionRequest, reply: Reply) -> None:
        """Keep the cookies of a reply, and the values that the request extracts. Raises SessionError."""
        for line in reply.list_values("set-cookie"):
            if _CONTROL.search(line):
                continue  # as browsers do (RFC 6265bis, 5.6)
            name, _, value = line.partition(";")[0].partition("=")
            if _DELETED.search(line):
                self.cookies.pop(name.strip(), None)
            else:
                self.cookies[name.strip()] = value.strip()
        for name, wanted in request.extract.items():
            found = extract(wanted, reply, self.cookies)
            if found is None:
                raise SessionError(profile, request, f"a reply with the value `{name}`", "a reply without it")
            if not _SENDABLE.fullmatch(found):
                raise SessionError(profile, request, f"a value `{name}` that a request can contain", _describe(found))
            self.values[name] = found


@dataclass(slots=True)
class Sessions:
    """Opens the sessions of a run. `secrets`: the values that the configuration may use."""

    agent: Agent
    secrets: Mapping[str, str] = field(repr=False)
    _opened: Counter[str] = field(default_factory=Counter)
    _users: dict[str, dict[str, tuple[User, ...]]] = field(default_factory=dict)

    def forget(self, subject: Subject) -> None:
        """Forget a subject's sessions, as its data are made new."""
        self._users.pop(subject.name, None)

    def open(self, subject: Subject, name: str, profile: Profile) -> Subject:
        """Send the requests of a profile's session for each of its users, unless they have been sent to these data.

        Returns the subject with what the replies contained. `name`: the profile's. A subject's sessions have serial
        numbers that no earlier one of it had. Raises SessionError.
        """
        session = profile.session
        if session is None:
            return subject
        known = self._users.setdefault(subject.name, {})
        if session.key in known:
            return replace(subject, users=dict(known))
        first = _FIRST_SERIAL + self._opened[subject.name] * _MOST_USERS % _SERIALS
        self._opened[subject.name] += 1
        users = []
        for number in range(session.users):
            rows = {file: rows[number % len(rows)] for file, rows in profile.rows.items()}
            visit = _Visit(first + number, rows, random.Random(f"{subject.seed}/session/{number}"))
            for request in session.requests:
                reply = _send(self.agent, _address(subject, request, visit, self.secrets), name, request)
                visit.keep(name, request, reply)
            users.append(User(tuple(visit.values.items()), visit.write_cookies()))
        known[session.key] = tuple(users)
        return replace(subject, users=dict(known))


def _send(agent: Agent, sent: HttpRequest, name: str, request: SessionRequest) -> Reply:
    """Send a request of a session. Raises SessionError if its reply is not as expected."""
    (reply,) = agent.requests(sent, 1, timeout_s=_REPLY_S, limit_s=_REPLY_S)
    if reply.problem or not request.expect.accepts(reply.status):
        got = reply.problem or f"status {reply.status}"
        raise SessionError(name, request, f"a reply with status {request.expect.statuses}", got)
    return reply


def _address(subject: Subject, request: SessionRequest, visit: _Visit, secrets: Mapping[str, str]) -> HttpRequest:
    """Address a request of a session, with everything filled in. Raises InputError if a header has a line break."""

    def join(text: str, encode: Callable[[str], str] = str) -> str:
        encoded = {name: encode(value) for name, value in secrets.items()}
        return "".join(
            fill_in(part, subject.addresses, encoded) if isinstance(part, str) else encode(visit.write(part))
            for part in parse_template(text)
        )

    headers = {name: join(value) for name, value in request.headers.items()}
    if broken := next((name for name, value in headers.items() if not _SENDABLE.fullmatch(value)), ""):
        raise InputError(
            f"the header {broken} of {request.method} {request.path} would have a line break",
            where="a session",
            advice="remove the line break at the end of the secret or of the value in the CSV file",
        )
    if visit.cookies and "cookie" not in {name.lower() for name in headers}:
        headers["Cookie"] = visit.write_cookies()
    kind = find_content_type(headers)
    body = join(request.body, lambda value: encode_value(value, kind))
    path = join(request.path, lambda value: quote(value, safe="-._~"))
    handle = subject.handle
    return HttpRequest(handle.host, handle.port, path, request.method, headers, body, handle.address, handle.tls)


def _describe(value: str) -> str:
    """Describe what is wrong with a value that no request can contain."""
    return "a line break" if "\r" in value or "\n" in value else "a NUL, or bytes that are not UTF-8"


def extract(wanted: Extract, reply: Reply, cookies: Mapping[str, str]) -> str | None:
    """Extract a value from a reply; None if it is not there. `cookies`: those of this reply and earlier ones."""
    if wanted.cookie is not None:
        return cookies.get(wanted.cookie)
    if wanted.header is not None:
        values = reply.list_values(wanted.header)
        return ", ".join(values) if values else None
    if wanted.regex is not None:
        found = re.search(wanted.regex, reply.text)
        return found[1] if found is not None else None
    return _find_in_json(reply.text, (wanted.json_path or "").split("."))


def _find_in_json(text: str, steps: list[str]) -> str | None:
    """Follow names and indices; a number or a boolean is written as JSON does."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    if value is None or isinstance(value, dict | list):
        return None
    return value if isinstance(value, str) else json.dumps(value)
