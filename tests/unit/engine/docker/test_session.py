"""A conversation with a program in a container: the engine's frames, over a real pair of sockets."""

import contextlib
import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from bench_action.engine.docker import session
from bench_action.engine.docker.session import DockerSession
from bench_action.model.errors import StackError

pytestmark = pytest.mark.unit

STDOUT, STDERR = 1, 2
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\n"
LONG_S = 10.0  # reached only if the test fails


def frame(stream: int, payload: bytes) -> bytes:
    """A frame of the Engine API: stream, three zero bytes, length, payload."""
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


class Conversation:
    """A session and the engine's end of its socket."""

    def __init__(self, explanation: StackError | None = None) -> None:
        self.engine, ours = socket.socketpair()
        self.session = DockerSession(ours, "python3 in the container of load", lambda: explanation)
        self._ours = ours

    def close(self) -> None:
        self.session.close()
        self.engine.close()
        self._ours.close()


@pytest.fixture
def conversation() -> Iterator[Conversation]:
    conversation = Conversation()
    yield conversation
    conversation.close()


def test_send__sends_text_unchanged(conversation: Conversation) -> None:
    conversation.session.send('{"path": "/ü"}\n')
    assert conversation.engine.recv(100) == '{"path": "/ü"}\n'.encode()


def test_send__reads_answers_while_it_writes(conversation: Conversation) -> None:
    """More than both sockets hold, to a program that answers each line before it reads the next."""
    lines = 20_000

    def answer() -> None:
        reader = conversation.engine.makefile("rb")
        for _ in range(lines):
            conversation.engine.sendall(frame(STDOUT, reader.readline()))

    answering = threading.Thread(target=answer)
    answering.start()
    conversation.session.send(f"{'x' * 200}\n" * lines)
    assert all(conversation.session.read_line(LONG_S) == "x" * 200 for _ in range(lines))
    answering.join()


def test_send__waits_for_a_slow_reader_as_long_as_something_moves(conversation: Conversation) -> None:
    size = 4_000_000

    def read_slowly() -> None:
        left = size
        while left:
            time.sleep(0.005)
            left -= len(conversation.engine.recv(65536))

    reading = threading.Thread(target=read_slowly)
    reading.start()
    conversation.session.send("x" * size, patience_s=5.0)
    reading.join()


def test_send__reports_a_program_that_reads_nothing(conversation: Conversation) -> None:
    with pytest.raises(StackError, match="stopped reading"):
        conversation.session.send("x" * 4_000_000, patience_s=0.01)


def test_read_line__puts_lines_together_from_frames(conversation: Conversation) -> None:
    conversation.engine.sendall(frame(STDOUT, b"one\ntw") + frame(STDOUT, b"o\n\nth") + frame(STDOUT, b"ree\n"))
    assert [conversation.session.read_line(LONG_S) for _ in range(4)] == ["one", "two", "", "three"]


def test_read_line__waits_for_the_end_of_a_line(conversation: Conversation) -> None:
    conversation.engine.sendall(frame(STDOUT, b"half"))
    assert conversation.session.read_line(0.01) is None
    conversation.engine.sendall(frame(STDOUT, b" and half\n"))
    assert conversation.session.read_line(LONG_S) == "half and half"


def test_read_line__accepts_single_bytes(conversation: Conversation) -> None:
    for byte in frame(STDERR, b"noise\n") + frame(STDOUT, "grün\n".encode()):
        conversation.engine.sendall(bytes([byte]))
    assert conversation.session.read_line(LONG_S) == "grün"


@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=12), min_size=1, max_size=5),
    frames=st.lists(st.integers(0, 80), max_size=5),
    pieces=st.lists(st.integers(0, 160), max_size=8),
    noise=st.binary(max_size=10),
)
def test_read_line__does_not_depend_on_how_lines_are_cut(
    lines: list[str], frames: list[int], pieces: list[int], noise: bytes
) -> None:
    payload = "".join(line + "\n" for line in lines).encode()
    stream = b"".join(frame(STDOUT, part) + frame(STDERR, noise) for part in cut(payload, frames))
    conversation = Conversation()
    try:
        received: list[str] = []
        for piece in cut(stream, pieces):
            conversation.engine.sendall(piece)
            while len(received) < len(lines) and (line := conversation.session.read_line(0.0005)) is not None:
                received.append(line)
        while len(received) < len(lines):
            line = conversation.session.read_line(LONG_S)
            assert line is not None
            received.append(line)
        assert received == lines
    finally:
        conversation.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut `data` at `places`."""
    ends = sorted(min(place, len(data)) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def test_read_line__loses_nothing_that_came_before_the_end(conversation: Conversation) -> None:
    conversation.engine.sendall(frame(STDOUT, b"last words\n"))
    conversation.engine.close()
    assert conversation.session.read_line(LONG_S) == "last words"
    with pytest.raises(StackError, match="a helper program exited unexpectedly"):
        conversation.session.read_line(LONG_S)


def test_read_line__reports_an_exit_with_what_was_written_to_standard_error(conversation: Conversation) -> None:
    conversation.engine.sendall(frame(STDERR, b"Traceback\nModuleNotFoundError: json\n"))
    conversation.engine.close()
    with pytest.raises(StackError) as caught:
        conversation.session.read_line(LONG_S)
    assert caught.value.exit_status == 3
    assert caught.value.where == "python3 in the container of load"
    assert caught.value.log == ("Traceback", "ModuleNotFoundError: json")


def test_read_line__reports_the_exit_of_the_container() -> None:
    explanation = StackError("load ran out of memory and was killed")
    conversation = Conversation(explanation)
    conversation.engine.close()
    with pytest.raises(StackError) as caught:
        conversation.session.read_line(LONG_S)
    assert caught.value is explanation
    conversation.close()


def test_read_line__reports_only_the_last_lines_of_standard_error(conversation: Conversation) -> None:
    conversation.engine.sendall(b"".join(frame(STDERR, b"%d\n" % number) for number in range(100)))
    conversation.engine.close()
    with pytest.raises(StackError) as caught:
        conversation.session.read_line(LONG_S)
    assert caught.value.log == tuple(str(number) for number in range(85, 100))


def test_send__reports_a_program_that_has_exited(conversation: Conversation) -> None:
    conversation.engine.close()
    with pytest.raises(StackError, match="a helper program exited unexpectedly"):
        conversation.session.send("x" * 10)


def test_close__can_be_called_twice_and_ends_the_session(conversation: Conversation) -> None:
    conversation.session.close()
    conversation.session.close()
    with pytest.raises(StackError):
        conversation.session.read_line(LONG_S)


def test_session__finds_the_socket_in_the_sdks_wrapper() -> None:
    ours, engine = socket.socketpair()

    class Response:
        """Like the SDK's: a wrapper that holds the socket."""

        _sock = ours

        def close(self) -> None:
            ours.close()

    session = DockerSession(Response(), "somewhere", lambda: None)
    engine.sendall(frame(STDOUT, b"hello\n"))
    assert session.read_line(LONG_S) == "hello"
    session.close()
    assert ours.fileno() == -1
    engine.close()


def upgrade(ours: socket.socket) -> tuple[Any, http.client.HTTPResponse]:
    """Read the headers of the engine's answer; return what the SDK returns, and the answer that it keeps with it."""
    answer = http.client.HTTPResponse(ours)
    answer.begin()
    response = requests.Response()
    response.raw = urllib3.HTTPResponse(answer, preload_content=False)
    assert isinstance(answer.fp, io.BufferedReader)
    connection: Any = answer.fp.raw
    connection._response = response
    return connection, answer


def test_close__closes_the_response_before_its_socket() -> None:
    """Python 3.13 prints a traceback for a response that is collected after its socket was closed."""
    ours, engine = socket.socketpair()
    engine.sendall(UPGRADED + frame(STDOUT, b"hello\n"))
    connection, answer = upgrade(ours)
    DockerSession(connection, "somewhere", lambda: None).close()
    assert answer.isclosed()
    ours.close()
    engine.close()


@pytest.mark.parametrize("early", range(0, 40, 3))
def test_session__reads_what_came_with_the_headers(early: int) -> None:
    ours, engine = socket.socketpair()
    output = frame(STDOUT, b"first\n") + frame(STDERR, b"?") + frame(STDOUT, b"second\n")
    with engine, ours:
        engine.sendall(UPGRADED + output[:early])
        talking = DockerSession(upgrade(ours)[0], "somewhere", lambda: None)
        engine.sendall(output[early:])
        assert [talking.read_line(LONG_S) for _ in range(2)] == ["first", "second"]
        talking.close()


@pytest.mark.parametrize("early", range(0, 40, 3))
def test_collect_output__has_what_came_with_the_headers(early: int) -> None:
    ours, engine = socket.socketpair()
    output = frame(STDOUT, b"first\n") + frame(STDERR, b"?") + frame(STDOUT, b"second\n")
    with engine, ours, ThreadPoolExecutor(max_workers=1) as pool:
        engine.sendall(UPGRADED + output[:early])
        collected = pool.submit(session.collect_output, upgrade(ours)[0], "cat in the container of app", LONG_S)
        engine.sendall(output[early:])
        engine.shutdown(socket.SHUT_WR)
        assert collected.result() == b"first\n?second\n"


def test_collect_output__joins_both_streams() -> None:
    engine, ours = socket.socketpair()
    engine.sendall(frame(STDOUT, b"out\n") + frame(STDERR, "ä\n".encode()) + frame(STDOUT, b"last"))
    engine.close()
    assert session.collect_output(ours, "cat in the container of app", LONG_S) == "out\nä\nlast".encode()
    assert ours.fileno() == -1  # closed


def test_collect_output__ends_with_a_program_that_prints_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LONGEST_OUTPUT", 2**20)
    engine, ours = socket.socketpair()

    def flood() -> None:
        with contextlib.suppress(OSError):
            for _ in range(2**9):
                engine.sendall(frame(STDOUT, b"y\n" * 2**12))
            engine.shutdown(socket.SHUT_WR)

    with engine, ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(flood)
        with pytest.raises(StackError, match="a program printed more than 1 MiB") as caught:
            session.collect_output(ours, "yes in the container of app", LONG_S)
    assert caught.value.where == "yes in the container of app"


def test_collect_output__refuses_too_much_even_if_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LONGEST_OUTPUT", 1000)
    engine, ours = socket.socketpair()
    with engine:
        engine.sendall(frame(STDOUT, b"y" * 1500))
        engine.shutdown(socket.SHUT_WR)
        with pytest.raises(StackError, match="a program printed more than"):
            session.collect_output(ours, "yes in the container of app", LONG_S)


def test_session__of_a_connection_that_is_lost_is_an_error_of_the_stack() -> None:
    ours, engine = socket.socketpair()
    with engine, ours:
        engine.sendall(UPGRADED)
        connection, answer = upgrade(ours)
        ours.sendall(b"not read, so that the connection is reset")
        engine.close()
        with pytest.raises(StackError, match="a helper program exited unexpectedly"):
            DockerSession(connection, "somewhere", lambda: None)
        assert answer.isclosed()


def test_collect_output__ends_with_a_program_that_never_ends() -> None:
    engine, ours = socket.socketpair()
    with engine, pytest.raises(StackError, match=r"a program did not end within 0\.05 s"):
        session.collect_output(ours, "sleep in the container of app", 0.05)
