"""Explain why something is not ready, and what to do about it."""

import re
from collections.abc import Mapping

from bench_action.config.schema import ExpectedReply
from bench_action.config.urls import split_url
from bench_action.engine.protocol import Handle
from bench_action.load.generator import Answer, HttpRequest
from bench_action.load.messages import Failure
from bench_action.stack.readiness import Unready

MORE_TIME = "if it only needs longer: `ready: {timeout: …}`, up to 600s"
_HTTP_PORT = "set `port` to its HTTP port; a service that speaks something else is probed with `ready: {tcp: true}`"
_LISTEN = (
    "set `port` to the port that it listens on; in a container it must listen on all addresses (0.0.0.0), "
    "not on 127.0.0.1 only"
)
_SET_TLS = (
    "for a variant, set `tls: true`: it is then measured over HTTPS; else let it serve plain HTTP, or set `port` to a "
    "port without TLS"
)
_NO_TLS = "let it serve HTTPS with `{tls.cert}` and `{tls.key}`, or leave `tls: true` out"
_LONGEST = 400  # characters of a command's output in a message
_NOT_THERE = frozenset({126, 127})  # what engines and shells return for a program that cannot be run
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSALS = frozenset({400, 403, 421})  # what frameworks answer to a host name that they do not know
_REFUSED_HOST = re.compile(
    r"DisallowedHost|ALLOWED_HOSTS|blocked hosts?\b|(invalid|unknown|untrusted) host\b|misdirected request|"
    r"\bhost\b.{0,80}\bnot allowed",
    re.IGNORECASE | re.DOTALL,
)
_WANTS_TLS = re.compile(r"plain HTTP|HTTP request to an HTTPS server|requires TLS", re.IGNORECASE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def strip_colours(text: str) -> str:
    """Remove the colours of a terminal from a text."""
    return _COLOURS.sub("", text)


def explain_exit(title: str, status: int, output: str) -> Unready:
    """Say how a command failed, with the end of its output."""
    text = " / ".join(line.strip() for line in strip_colours(output).splitlines() if line.strip())
    shown = f": {text if len(text) <= _LONGEST else f'…{text[-_LONGEST:]}'}" if text else ", without any output"
    advice = f"see its output and its log; {MORE_TIME}"
    if status in _NOT_THERE:
        advice = (
            "use a program that the image contains, or another probe: `ready: {path: …}`, `{tcp: true}`, `{log: …}`"
        )
    return Unready(f"{title} exited with status {status}{shown}", advice)


def explain_answer(answer: Answer, request: HttpRequest, expect: ExpectedReply) -> Unready | None:
    """Say what is wrong with the answer to an HTTP probe, and what to do; None if it is the expected one."""
    what, status = f"{request.method} {request.path}", answer.status
    if answer.failure:
        return explain_failure(answer, what, request)
    if expect.accepts(status):
        return None
    if status in _REDIRECTS:
        return _explain_redirect(answer, request)
    got = f"{what}: answered {status}, expected {expect.statuses}"
    if _WANTS_TLS.search(answer.text):
        return Unready(f"{got}: port {request.port} expects TLS", _SET_TLS)
    if _REFUSED_HOST.search(answer.text) or status in _REFUSALS:
        return _explain_refusal(answer, request, got)
    return _explain_status(status, got)


def _explain_status(status: int, got: str) -> Unready:
    accept = _accept(status)
    if status == 401:
        login = "`ready: {headers: {Authorization: …}}`"
        return Unready(f"{got}: it wants a login", f"send one: {login}; or accept it: {accept}")
    if status >= 500:
        return Unready(f"{got}: the application fails", f"fix what its log shows; {MORE_TIME}")
    if status in {404, 410}:
        return Unready(got, f"set `ready: {{path: …}}` to a path that it has, or accept it: {accept}")
    return Unready(got, f"if it is ready when it answers this, accept it: {accept}; else set `ready: {{path: …}}`")


def _accept(status: int) -> str:
    return f"`ready: {{status: {status}}}`"


def _explain_redirect(answer: Answer, request: HttpRequest) -> Unready:
    accept = _accept(answer.status)
    got = f"{request.method} {request.path}: answered {answer.status}"
    if not answer.location:
        return Unready(f"{got}, a redirect without Location", f"set `ready: {{path: …}}`, or accept it: {accept}")
    got = f"{got}, to {answer.location}"
    own_url = f"{'https' if request.tls else 'http'}://{request.host_header}{request.path}"
    own, target = split_url(own_url), split_url(answer.location, own_url)
    if own is None or target is None:
        fix = f"let it redirect to a valid URL, set another `ready: {{path: …}}`, or accept it: {accept}"
        return Unready(f"{got}, which cannot be read", fix)
    path = f"{target.path or '/'}{f'?{target.query}' if target.query else ''}"
    if target.scheme == "https" and not request.tls:
        proxy = "`ready: {headers: {X-Forwarded-Proto: https}}`, and the same `headers` in profiles and checks"
        turn_off = "turn the redirect to HTTPS off (Django: SECURE_SSL_REDIRECT, Rails: config.force_ssl)"
        turn_off += ", let it serve HTTPS itself with `tls: true`"
        return Unready(got, f"{turn_off}, or send what its proxy would: {proxy}; or accept it: {accept}")
    if target.hostname != own.hostname:
        name = f"`ready: {{host: {target.netloc}}}`, and `headers: {{Host: {target.netloc}}}` in profiles and checks"
        return Unready(got, f"send the host name that it wants: {name}; or accept it: {accept}")
    if path == request.path:
        return Unready(got, f"it redirects to itself: set another `ready: {{path: …}}`, or accept it: {accept}")
    return Unready(got, f"set `ready: {{path: {path}}}`, or accept it: {accept}")


def _explain_refusal(answer: Answer, request: HttpRequest, got: str) -> Unready:
    """Explain an answer that refuses the host name, certainly or possibly."""
    host, certain = request.host_header, _REFUSED_HOST.search(answer.text) is not None
    cure = (
        "allow it (Django: ALLOWED_HOSTS, Rails: config.hosts), or send a host name that it knows: "
        "`ready: {host: …}`, and `headers: {Host: …}` in profiles and checks"
    )
    if certain:
        return Unready(f"{got}: it refuses the host name {host}", cure)
    login = "if it wants a login, send one with `ready: {headers: …}`; " if answer.status == 403 else ""
    return Unready(
        f"{got}, to the host name {host}",
        f"if it refuses this host name, {cure}; {login}or accept it: {_accept(answer.status)}",
    )


def explain_failure(answer: Answer, what: str, server: HttpRequest | Handle) -> Unready:
    """Say why there was no answer. `what`: what was tried. `server`: where."""
    port = server.port
    explanations: Mapping[Failure, tuple[str, str]] = {
        "unresolved": (
            f"the name {server.address or server.host} does not resolve",
            "its container is not on the network, so it may have just exited: see its log",
        ),
        "refused": (
            f"port {port} refuses connections",
            f"{_LISTEN}; {MORE_TIME}",
        ),
        "late": (answer.problem, f"its log may say what it waits for; {MORE_TIME}"),
        "closed": ("it closed the connection without an answer", f"see its log; {_HTTP_PORT}"),
        "not-http": (f"port {port} does not answer in HTTP", _HTTP_PORT),
        "tls": (f"port {port} expects TLS", _SET_TLS),
        "no-tls": (f"port {port} does not answer in TLS ({answer.problem})", _NO_TLS),
    }
    problem, advice = explanations.get(answer.failure, (answer.problem, f"check `port`; {MORE_TIME}"))
    return Unready(f"{what}: {problem}", advice)
