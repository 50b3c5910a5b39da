"""Every rule of `apps/CONTRACT.md`, on every variant of both applications."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Application, StartApplication

pytestmark = pytest.mark.integration

# As the glossary says: transaction control and asyncpg's reset of a session are not queries.
STATEMENTS = """
    SELECT coalesce(sum(calls), 0)::int, coalesce(sum(rows), 0)::int FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = %s)
      AND query ~* '^\\s*(select|insert|update|delete|merge)' AND query !~* 'pg_advisory_unlock_all'
"""
# What a client sends when it connects, and what the measuring itself sends.
NOT_COUNTED = {"auth", "client", "config", "hello", "info", "ping", "select"}

BAD_BODIES = [
    pytest.param(b"", "Empty data", id="empty"),
    pytest.param(b" \r\n\t", "Empty data", id="white-space"),
    *(pytest.param(body, "Empty data", id=body.decode()) for body in (b"{}", b"[]", b'""', b"null", b"false", b"0")),
    pytest.param(b"{", "Invalid JSON", id="cut-off"),
    pytest.param(b"text=x", "Invalid JSON", id="a-form"),
    pytest.param(b'{"text": "\xff"}', "Invalid JSON", id="not-utf-8"),
    pytest.param(b"[" * 60_000, "Invalid JSON", id="too-deep"),
    pytest.param(b'{"text": "\\ud800"}', "Invalid JSON", id="half-a-surrogate-pair"),
    pytest.param(b'{"\\udc00": 1, "text": "x"}', "Invalid JSON", id="half-a-surrogate-pair-in-a-name"),
    pytest.param(b"[1]", "must be an object", id="a-list"),
    pytest.param(b'"x"', "must be an object", id="a-string"),
    pytest.param(b"1.5", "must be an object", id="a-number"),
    *(
        pytest.param(b'{"text": %s}' % value, "text: must be a string", id=f"text-{value.decode()}")
        for value in (b"null", b"5", b"true", b"[]", b'["x"]', b"{}", b'{"a": 1}')
    ),
    pytest.param({"text": "x" * 1001}, "text: must be at most 1000 characters", id="too-long"),
    pytest.param({"text": "\x00" * 1001}, "text: must be at most 1000 characters", id="too-long-first"),
    pytest.param({"text": "a\x00b"}, "text: contains a character that cannot be stored", id="nul"),
    pytest.param({"text": "line\n\x00"}, "text: contains a character that cannot be stored", id="nul-below"),
    pytest.param({"text": "x", "done": True}, "done: unknown field", id="unknown-field"),
    pytest.param({"text": "x", "%(name)s{0}": 1}, "%(name)s{0}: unknown field", id="unknown-field-with-a-format"),
    pytest.param({"done": True}, "done: unknown field; text: must be a string", id="text-absent"),
    pytest.param({"z": 1, "a": 2, "text": 3}, "a: unknown field; text: must be a string; z: unknown field", id="many"),
]


def collapsed(page: str) -> str:
    return " ".join(page.split())


def shown_counter(page: str) -> int:
    found = re.search(r'<strong id="counter">(\d+)</strong>', page)
    assert found, page
    return int(found[1])


@contextmanager
def counted_work(app: Application) -> Iterator[dict[str, Any]]:
    """Count queries, rows and cache commands from here on; the dictionary is filled at the end."""
    work: dict[str, Any] = {}
    app.postgres.execute("SELECT pg_stat_statements_reset()")
    app.redis.config_resetstat()
    yield work
    ((work["queries"], work["rows"]),) = app.postgres.execute(STATEMENTS, app.database)
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in app.redis.info("commandstats").items()}
    work["cache"] = {name: count for name, count in calls.items() if name.split("|")[0] not in NOT_COUNTED}


@contextmanager
def table_away(app: Application) -> Iterator[None]:
    """Let every statement of the application fail."""
    app.sql("ALTER TABLE item RENAME TO item_away")
    try:
        yield
    finally:
        app.sql("ALTER TABLE item_away RENAME TO item")


def logged(app: Application, since: int = 0) -> str:
    return app.log.read_bytes()[since:].decode()


def connections(app: Application) -> set[int]:
    """The server processes of the application's connections to its database."""
    rows = app.postgres.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", app.database)
    return {pid for (pid,) in rows}


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(own: Application) -> list[int]:
    """Return its workers, one a core, once all are there: the first answers before the last is forked."""
    own.wait_until(lambda: len(children(own.process.pid)) == len(os.sched_getaffinity(0)), "a worker for each core")
    return children(own.process.pid)


def test_home__shows_every_item_in_order_and_the_counter(app: Application) -> None:  # C1
    reply = app.get()
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    shown = re.findall(r'<li id="item-(\d+)"><span>(.*?)</span> <time>([\d-]+)</time></li>', reply.text)
    expected = [(str(number), text, str(date)) for number, text, date in app.items()]
    assert len(expected) == 20
    assert [(number, html.unescape(text), date) for number, text, date in shown] == expected
    assert shown_counter(reply.text) == 1


def test_home__counts_each_page_once(app: Application) -> None:  # C2
    shown = [shown_counter(app.get().text) for _ in range(5)]
    assert shown == [1, 2, 3, 4, 5]
    assert app.counter() == 5


def test_home__counts_pages_at_the_same_time(app: Application) -> None:  # C2
    with ThreadPoolExecutor(16) as clients:
        pages = list(clients.map(lambda _: app.get().text, range(80)))
    assert sorted(shown_counter(page) for page in pages) == list(range(1, 81))
    assert app.counter() == 80


def test_home__is_one_query_and_one_cache_command(app: Application) -> None:  # C3
    with counted_work(app) as work:
        for _ in range(20):
            assert app.get().status == 200
    assert work == {"queries": 20, "rows": 400, "cache": {"incrby": 20}}


def test_home__escapes_the_seed(app: Application) -> None:  # C4
    page = app.get().text
    assert "<span>&lt;script&gt;alert(1)&lt;/script&gt;</span>" in page
    assert "<script" not in page.lower()
    assert "Bread &amp; butter &lt; 5 €" in page


def test_home__is_the_same_everywhere(every_app: list[Application]) -> None:  # C5
    pages = {app.variant.name: collapsed(app.get().text) for app in every_app}
    assert pages == dict.fromkeys(pages, pages["django"])


def test_home__means_the_same_everywhere_with_any_text(every_app: list[Application]) -> None:  # C5
    texts = ['"double" and \'single\' <b onclick="x">&amp;</b>', "{{ counter }} {% block %}", "žluťoučký 🐎 \u2028 ok"]
    for app in every_app:
        app.sql("ALTER SEQUENCE item_id_seq RESTART WITH 21")
        assert [app.post({"text": text}).json() for text in texts] == [{"id": 21}, {"id": 22}, {"id": 23}]
    pages = {app.variant.name: app.get().text for app in every_app}
    assert not [name for name, page in pages.items() if "<b onclick" in page]
    meant = {name: collapsed(html.unescape(page)) for name, page in pages.items()}
    assert meant == dict.fromkeys(meant, meant["django"])
    assert all(collapsed(text) in meant["django"] for text in texts)


def test_home__without_items(app: Application) -> None:  # C1
    app.sql("ALTER TABLE item RENAME TO item_away")
    app.sql("CREATE TABLE item (LIKE item_away INCLUDING ALL)")
    try:
        reply = app.get()
    finally:
        app.sql("DROP TABLE item")
        app.sql("ALTER TABLE item_away RENAME TO item")
    assert reply.status == 200
    assert "Nothing to do." in reply.text


def test_home__that_fails_does_not_count(app: Application) -> None:  # C6, C20
    with table_away(app):
        reply = app.get()
    assert (reply.status, reply.json()) == (500, {"error": "Database failure"})
    assert app.counter() == 0
    assert app.get().status == 200


def test_create__adds_the_cleaned_text(app: Application) -> None:  # C7
    reply = app.post({"text": " \t\u3000Feed the cat \n"})
    assert reply.status == 201
    ((number, text, is_today),) = app.sql(
        "SELECT id, text, date_posted = (now() AT TIME ZONE 'UTC')::date FROM item WHERE id > 20"
    )
    assert reply.json() == {"id": number}
    assert (text, is_today) == ("Feed the cat", True)


def test_create__gives_each_item_an_id(app: Application) -> None:  # C7
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(lambda index: app.post({"text": f"item {index}"}), range(24)))
    assert {reply.status for reply in replies} == {201}
    texts = {number: text for number, text, _ in app.items()}
    assert [texts[reply.json()["id"]] for reply in replies] == [f"item {index}" for index in range(24)]


@pytest.mark.parametrize("text", ["x" * 1000, " " * 30 + "🐎" * 1000 + "\n", "two\nlines", "</span>'\"%s {0}"])
def test_create__stores_any_text_that_fits(app: Application, text: str) -> None:  # C7, C12
    reply = app.post({"text": text})
    assert reply.status == 201
    assert app.sql("SELECT text FROM item WHERE id > 20") == [(text.strip(),)]


def test_create__does_not_look_at_the_content_type(app: Application) -> None:
    with closing(app.connect()) as connection:
        connection.request("POST", "/items", b'{"text": "x"}', {"Content-Type": "text/plain; charset=latin-1"})
        assert app.read(connection).status == 201


@pytest.mark.parametrize(("body", "reason"), BAD_BODIES)
def test_create__refuses_with_the_reason(app: Application, body: object, reason: str) -> None:  # C8 to C15, C18
    with counted_work(app) as work:
        reply = app.post(body)
    assert (reply.status, reply.json()) == (400, {"error": reason})
    assert work == {"queries": 0, "rows": 0, "cache": {}}
    assert len(app.items()) == 20


@pytest.mark.parametrize("text", ["", " ", "\t\r\n", "\x1c\x85\u00a0\u3000"])
def test_create__with_nothing_left(app: Application, text: str) -> None:  # C16, C18
    with counted_work(app) as work:
        reply = app.post({"text": text})
    assert (reply.status, reply.text) == (204, "")
    assert work == {"queries": 0, "rows": 0, "cache": {}}
    assert len(app.items()) == 20


def test_create__takes_a_body_of_64_kib(app: Application) -> None:  # C17
    body = json.dumps({"text": "x"}).encode()
    assert app.post(body.ljust(65_536)).status == 201
    reply = app.post(body.ljust(65_537))
    assert (reply.status, reply.json()) == (413, {"error": "Body too large"})
    assert len(app.items()) == 21


def test_create__is_one_query_of_one_row(app: Application) -> None:  # C18
    with counted_work(app) as work:
        for index in range(10):
            assert app.post({"text": f"item {index}"}).status == 201
    assert work == {"queries": 10, "rows": 10, "cache": {}}


def test_create__reports_a_database_failure(app: Application) -> None:  # C20, C25
    before = app.log.stat().st_size
    with table_away(app):
        reply = app.post({"text": "x"})
    assert (reply.status, reply.json()) == (500, {"error": "Database failure"})
    assert len(app.items()) == 20
    assert "Traceback" in logged(app, before)
    assert app.post({"text": "x"}).status == 201


def test_health__asks_nobody(app: Application) -> None:  # C19
    with table_away(app), counted_work(app) as work:
        reply = app.get("/health")
    assert (reply.status, reply.json()) == (200, {"status": "ok"})
    assert work == {"queries": 0, "rows": 0, "cache": {}}


def test_errors__of_redis(app: Application) -> None:  # C21, C25
    before = app.log.stat().st_size
    app.redis.set("counter", "not a number")
    reply = app.get()
    assert (reply.status, reply.json()) == (500, {"error": "Server failure"})
    assert "Traceback" in logged(app, before)
    app.redis.delete("counter")
    assert app.get().status == 200


def test_errors__of_lost_database_connections(start_application: StartApplication, app: Application) -> None:  # C20
    own = start_application(app.variant.name)
    assert own.get().status == 200
    lost = connections(own)
    own.postgres.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", list(lost))
    # asyncpg's pool may have others in their place already.
    own.wait_until(lambda: not connections(own) & lost, "every connection to be gone")
    statuses = [own.get().status for _ in range(20)]
    assert statuses.count(200) >= 20 - len(lost)
    assert set(statuses) <= {200, 500}


def test_errors__of_lost_redis_connections(start_application: StartApplication, app: Application) -> None:  # C21
    own = start_application(app.variant.name)
    assert own.get().status == 200
    clients = own.redis.client_list()
    ours = own.redis.client_id()
    number = own.redis.connection_pool.connection_kwargs["db"]
    lost = [client["id"] for client in clients if client["db"] == str(number) and client["id"] != str(ours)]
    assert lost
    for client in lost:
        own.redis.client_kill_filter(_id=client)
    statuses = [own.get().status for _ in range(10)]
    assert statuses.count(200) >= 10 - len(lost)
    assert set(statuses) <= {200, 500}


@pytest.mark.parametrize("path", ["/nothing", "/items/", "/health/", "/items/1", "/static/x"])
def test_errors__unknown_path(app: Application, path: str) -> None:  # C22
    reply = app.get(path)
    assert (reply.status, reply.json()) == (404, {"error": "Not found"})


@pytest.mark.parametrize(("path", "allowed"), [("/", "GET"), ("/items", "POST"), ("/health", "GET")])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_errors__other_method(app: Application, method: str, path: str, allowed: str) -> None:  # C23
    if method == allowed:
        method = "TRACE"
    reply = app.request(method, path)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)
    if method != "HEAD":
        assert reply.json() == {"error": "Method not allowed"}
    assert app.counter() == 0


def test_log__is_silent_about_requests(app: Application) -> None:  # C25
    before = app.log.stat().st_size
    replies = [
        app.get(),
        app.get("/nothing"),
        app.request("PUT", "/"),
        app.post({}),
        app.post({"text": "x"}),
        app.post({"text": " "}),
        app.post(b" " * 70_000),
    ]
    assert [reply.status for reply in replies] == [200, 404, 405, 400, 201, 204, 413]
    assert logged(app, before) == ""


def test_process__refuses_an_unknown_profile(app: Application) -> None:  # C26
    ended = subprocess.run(
        [sys.executable, *app.variant.command],
        env={**os.environ, "TODO_PROFILE": "fast", "PORT": "0"},
        cwd=Path(__file__).parents[2] / "apps" / app.variant.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "TODO_PROFILE is 'fast': expected one of published, tuned" in ended.stderr


def test_process__ends_at_sigterm(start_application: StartApplication, app: Application) -> None:  # C27
    own = start_application(app.variant.name)
    with closing(own.connect()) as idle:
        idle.request("GET", "/")
        assert own.read(idle).status == 200
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(10) == 0
    assert not own.listens()
    own.wait_until(lambda: not connections(own), "its database connections to be closed")
    assert logged(own) == ""


def test_process__that_is_still_starting_ends_at_sigterm_without_a_word() -> None:  # C27
    program = (
        "import os, signal; from todo_aiohttp import config, supervisor\n"
        "def serve(_):\n"  # in one write: the processes share the pipe, and the first that ends has the other ended
        "    os.write(1, f'{signal.getsignal(signal.SIGTERM)!s} {signal.getsignal(signal.SIGINT)!s}\\n'.encode())\n"
        "supervisor.serve = serve\n"
        "supervisor.supervise(config.Config.from_environment({'TODO_PROFILE': 'tuned'}))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2] / "apps" / "aiohttp",
        capture_output=True,
        text=True,
        check=False,
    )
    defaults = f"{signal.SIG_DFL!s} {signal.SIG_DFL!s}"
    assert set(ended.stdout.splitlines()) == {defaults}, ended.stderr


def test_process__does_not_outlive_a_dead_worker(start_application: StartApplication) -> None:  # C28
    own = start_application("aiohttp-tuned")
    os.kill(workers_of(own)[0], signal.SIGKILL)
    assert own.process.wait(10) == 1
    assert not own.listens()
    assert "server 0 ended with status -9" in logged(own)


def test_process__replaces_a_dead_worker(start_application: StartApplication) -> None:  # C28
    own = start_application("django-tuned")
    killed = workers_of(own)[0]
    os.kill(killed, signal.SIGKILL)
    own.wait_until(lambda: killed not in children(own.process.pid), "the end of a worker")
    workers_of(own)
    own.wait_until(lambda: own.get("/health").status == 200, "an answer")


def test_profile__keeps_http_connections(app: Application) -> None:
    with closing(app.connect()) as connection:
        connection.request("GET", "/")
        app.read(connection)
        kept = connection.sock is not None
    assert kept is (app.variant.name != "django")


def test_profile__keeps_database_connections(app: Application) -> None:
    assert app.get().status == 200
    if app.variant.name == "django":
        app.wait_until(lambda: not connections(app), "its connection to be closed")
    else:
        assert 1 <= len(connections(app)) <= 200
