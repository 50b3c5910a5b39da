"""Sessions: requests before the load, and the values that their replies contain."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench_action.config.baseline import Baseline
from bench_action.config.environment import check_environment, drop_unusable_variants
from bench_action.config.load import Project, load_policy
from bench_action.config.mixes import read_mixes
from bench_action.config.schema import Config, Extract, Profile, Variant
from bench_action.engine.protocol import Handle
from bench_action.load.generator import Agent, HttpRequest, Reply
from bench_action.model.errors import InputError
from bench_action.stack.images import Image
from bench_action.stack.session import SessionError, Sessions, extract
from bench_action.stack.subject import Subject

pytestmark = pytest.mark.unit

LOAD = {"connections": 4, "threads": 2, "duration": 1}
WEB = Handle("1", "web", "subject", "web", 8000)


def make_config(profile: dict[str, Any], **fields: Any) -> Config:
    return Config.model_validate({"variants": {"web": {"build": "."}}, "profiles": {"shop": LOAD | profile}} | fields)


def make_reply(body: str = "", status: int = 200, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode(), True, "")


def open_it(
    profile: Profile, answer: Callable[[HttpRequest], Reply], secrets: dict[str, str] | None = None
) -> tuple[Subject, list[bytes]]:
    sent: list[bytes] = []

    def send(request: HttpRequest, _repeat: int, **_limits: float) -> list[Reply]:
        sent.append(request.wire)
        return [answer(request)]

    subject = Subject("web", "head", Variant(image="x"), Image("x", "1"), "", WEB, addresses={"db": {"user": "bob"}})
    agent = cast(Agent, SimpleNamespace(requests=send))
    return Sessions(agent, secrets or {}).open(subject, "shop", profile), sent


FORM = {
    "session": [
        {"path": "/login", "extract": {"csrf": {"regex": 'name="csrf" value="([^"]+)"'}}},
        {
            "path": "/login",
            "method": "POST",
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            "body": "user={csv: users.csv, column: name}&password=${TEST_PASSWORD}&csrf={session.csrf}",
            "expect": {"status": 302},
        },
    ],
    "path": "/cart",
}


def answer_form(request: HttpRequest) -> Reply:
    if request.method == "GET":
        return make_reply('<input name="csrf" value="c-1">', set_cookie="csrftoken=abc; Path=/\nlang=en")
    return make_reply(status=302, set_cookie="sid=s1; HttpOnly")


def test_open_session__logs_in_by_a_form_with_a_token_and_cookies(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("name\nann\nbo\n")
    profile = read_mixes(make_config(FORM, secrets=["TEST_PASSWORD"]), tmp_path, tmp_path).profiles["shop"]
    subject, sent = open_it(profile, answer_form, {"TEST_PASSWORD": "p&w ü"})
    assert sent[1].endswith(b"\r\n\r\nuser=ann&password=p%26w+%C3%BC&csrf=c-1")
    assert b"Cookie: csrftoken=abc; lang=en\r\n" in sent[1]
    (first, *_) = subject.address_profile(profile).messages
    assert b"GET /cart " in first.raw
    assert b"Cookie: csrftoken=abc; lang=en; sid=s1\r\n" in first.raw


def test_open_session__each_user_sends_requests_in_turn(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("name\nann\nbo\n")
    request = {
        "path": "/token?user={csv: users.csv, column: name}",
        "method": "POST",
        "extract": {"token": {"json": "data.token"}},
    }
    fields = {"session": {"users": 3, "requests": [request]}, "headers": {"Authorization": "Bearer {session.token}"}}
    profile = read_mixes(make_config(fields), tmp_path, tmp_path).profiles["shop"]
    numbers = iter(range(9))
    subject, sent = open_it(profile, lambda _: make_reply(json.dumps({"data": {"token": next(numbers)}})))
    assert [request.split(b" ")[1] for request in sent] == [b"/token?user=ann", b"/token?user=bo", b"/token?user=ann"]
    messages = subject.address_profile(profile).messages
    for number, message in enumerate(messages[:9]):
        assert b"Authorization: Bearer %d\r\n" % (number % 3) in message.raw


def test_open_session__sends_cookies_back_byte_by_byte() -> None:
    """UTF-8 with a byte that str.splitlines takes for a line break, and one that is not UTF-8; no control character."""
    cookies = "name=ž\x85lu\u2028ť; Path=/\nold=\udce9t\udce9\nbad=" + "\0" * 9 + "\nsid=1"
    profile = make_config({"session": [{"path": "/"}, {"path": "/a"}], "path": "/b"}).profiles["shop"]
    subject, sent = open_it(profile, lambda _: make_reply(set_cookie=cookies))
    cookie = "Cookie: name=ž\x85lu\u2028ť; old=".encode() + b"\xe9t\xe9; sid=1\r\n"
    assert cookie in sent[1]
    message = subject.address_profile(profile).messages[0]
    assert cookie in message.raw
    assert message.serials == ()


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ({"json": "a.0.b"}, "5"),
        ({"json": "a.1"}, None),
        ({"json": "a"}, None),
        ({"json": "t"}, "true"),
        ({"header": "X-Token"}, "h"),
        ({"header": "x-none"}, None),
        ({"header": "Link"}, "</a>, </b>"),
        ({"cookie": "sid"}, "1"),
        ({"cookie": "other"}, None),
        ({"regex": '"b": (.)'}, "5"),
        ({"regex": "(z)"}, None),
    ],
)
def test_extract__finds_a_value(wanted: dict[str, str], value: str | None) -> None:
    reply = make_reply('{"a": [{"b": 5}], "t": true}', x_token="h", link="</a>\n</b>")
    assert extract(Extract.model_validate(wanted), reply, {"sid": "1"}) == value


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (make_reply(status=403), "expected a reply with status 2xx or 3xx to POST /login, got status 403"),
        (Reply(0, {}, b"", False, "no reply within 30 s"), "got no reply within 30 s"),
        (make_reply("{}"), "expected a reply with the value `token` to POST /login, got a reply without it"),
        (make_reply('{"token": "a\\nb"}'), "got a line break"),
        (make_reply('{"token": "a\\u0000b"}'), "got a NUL, or bytes that are not UTF-8"),
    ],
)
def test_open_session__says_what_was_expected(reply: Reply, fault: str) -> None:
    fields = {"session": [{"path": "/login", "method": "POST", "extract": {"token": {"json": "token"}}}]}
    with pytest.raises(SessionError) as caught:
        open_it(make_config(fields).profiles["shop"], lambda _: reply)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"headers": {"A": "{session.token}"}, "session": [{"path": "/"}]}, "is in no `extract` of any request"),
        ({"headers": {"A": "{session.token}"}}, "is in no `extract` of any request"),
        ({"session": [{"path": "/${TEST_PASSWORD}"}]}, "sent literally"),
        ({"session": [{"path": "/{session.a}"}]}, "is in no `extract` of an earlier request"),
        ({"session": []}, "at least 1 item"),
        ({"session": [{"path": "/", "extract": {"a": {}}}]}, "set exactly one of"),
        ({"session": [{"path": "/", "extract": {"a": {"json": "a", "cookie": "b"}}}]}, "set exactly one of"),
        ({"session": [{"path": "/", "extract": {"a": {"regex": "a(b)(c)"}}}]}, "must have one group"),
        ({"session": [{"path": "/", "extract": {"a": {"regex": "("}}}]}, "not a regular expression"),
    ],
)
def test_session__names_what_is_wrong(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match="1 validation error") as caught:
        make_config(fields, secrets=["TEST_PASSWORD"])
    assert fault in str(caught.value)


def test_session__secrets_must_be_allowed() -> None:
    fields = {"session": [{"path": "/login", "method": "POST", "body": "${TEST_PASSWORD}"}]}
    with pytest.raises(InputError, match="is not allowed") as caught:
        check_environment(make_config(fields), {})
    assert "the session of profile shop" in str(caught.value)
    check_environment(make_config(fields, secrets=["TEST_PASSWORD"]), {"TEST_PASSWORD": "pw"})


def test_sessions__no_serial_number_is_used_twice() -> None:
    fields = {"session": {"users": 2, "requests": [{"path": "/users/{seq}", "method": "POST"}, {"path": "/me/{seq}"}]}}
    profile = make_config(fields).profiles["shop"]
    sent: list[bytes] = []

    def send(request: HttpRequest, _repeat: int, **_limits: float) -> list[Reply]:
        sent.append(request.wire.split(b" ")[1])
        return [make_reply()]

    sessions = Sessions(cast(Agent, SimpleNamespace(requests=send)), {})
    subjects = [Subject("web", revision, Variant(image="x"), Image("x", "1"), "", WEB) for revision in ("head", "base")]
    for subject in (*subjects, subjects[0]):
        opened = sessions.open(subject, "shop", profile)
        assert sessions.open(subject, "shop", profile) == opened  # nothing is sent to the same data again
        sessions.forget(subjects[0])
    first = [b"/users/900000000", b"/me/900000000", b"/users/900000001", b"/me/900000001"]
    assert sent == [*first, *first, b"/users/900001000", b"/me/900001000", b"/users/900001001", b"/me/900001001"]


def test_session__bases_secret_is_no_reason_to_leave_its_variants_out() -> None:
    fields = {"session": [{"path": "/login", "method": "POST", "body": "${TEST_PASSWORD}"}]}
    config = make_config(fields, secrets=["TEST_PASSWORD"])
    project = Project(config, load_policy("quick"), "quick", Path(), "")
    environ = {"TEST_PASSWORD": "pw"}
    assert drop_unusable_variants(Baseline(project), environ).lacks == {}
    assert set(drop_unusable_variants(Baseline(project), {}).lacks) == {"web"}


def test_session__values_are_escaped_in_json_and_deleted_cookies_are_dropped() -> None:
    fields = {
        "session": [
            {"path": "/form", "extract": {"quote": {"regex": "<(.*)>"}}},
            {
                "path": "/login",
                "method": "POST",
                "headers": {"content-type": "application/json; charset=utf-8"},
                "body": '{"q": "{session.quote}", "p": "${TEST_PASSWORD}"}',
            },
        ]
    }
    profile = make_config(fields, secrets=["TEST_PASSWORD"]).profiles["shop"]
    sent: list[bytes] = []

    def send(request: HttpRequest, _repeat: int, **_limits: float) -> list[Reply]:
        sent.append(request.wire)
        return [make_reply('<a "b">', set_cookie="sid=s3cret; Path=/\nold=1; Max-Age=0")]

    subject = Subject("web", "head", Variant(image="x"), Image("x", "1"), "", WEB)
    agent = cast(Agent, SimpleNamespace(requests=send))
    Sessions(agent, {"TEST_PASSWORD": 'p"\\w'}).open(subject, "shop", profile)
    assert sent[1].endswith(b'{"q": "a \\"b\\"", "p": "p\\"\\\\w"}')
    assert b"Cookie: sid=s3cret\r\n" in sent[1]


def test_session__a_line_break_in_a_secret_splits_no_header() -> None:
    fields = {"session": [{"path": "/login", "headers": {"X-Key": "${TEST_KEY}"}}]}
    profile = make_config(fields, secrets=["TEST_KEY"]).profiles["shop"]
    with pytest.raises(InputError, match="the header X-Key of GET /login would have a line break"):
        open_it(profile, lambda _: make_reply(), {"TEST_KEY": "k\n"})
