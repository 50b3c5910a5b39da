"""A conversation with a program in a container: the engine's frames, over a real pair of sockets."""

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.engine.docker.session import DockerSession
from bench_action.model.errors import StackError

pytestmark = pytest.mark.unit

STDOUT, STDERR = 1, 2
LONG_S = 10.0  # only ever waited for where the test fails


def frame(stream: int, payload: bytes) -> bytes:
    """As the Engine API writes one: stream, three zero bytes, length, payload."""
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
    both = Conversation()
    yield both
    both.close()


def test_session__sends_text_as_it_is(conversation: Conversation) -> None:
    conversation.session.send('{"path": "/ü"}\n')
    assert conversation.engine.recv(100) == '{"path": "/ü"}\n'.encode()


def test_session__takes_in_answers_while_it_writes(conversation: Conversation) -> None:
    """More than both sockets hold, to a program that answers each line and reads on when its answer is taken."""
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


def test_session__waits_for_a_slow_reader_as_long_as_something_moves(conversation: Conversation) -> None:
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


def test_session__reports_a_program_that_reads_nothing(conversation: Conversation) -> None:
    with pytest.raises(StackError, match="does not read"):
        conversation.session.send("x" * 4_000_000, patience_s=0.01)


def test_session__gives_lines_whatever_the_frames(conversation: Conversation) -> None:
    conversation.engine.sendall(frame(STDOUT, b"one\ntw") + frame(STDOUT, b"o\n\nth") + frame(STDOUT, b"ree\n"))
    assert [conversation.session.read_line(LONG_S) for _ in range(4)] == ["one", "two", "", "three"]


def test_session__an_unfinished_line_is_no_line(conversation: Conversation) -> None:
    conversation.engine.sendall(frame(STDOUT, b"half"))
    assert conversation.session.read_line(0.01) is None
    conversation.engine.sendall(frame(STDOUT, b" and half\n"))
    assert conversation.session.read_line(LONG_S) == "half and half"


def test_session__every_byte_by_itself(conversation: Conversation) -> None:
    for byte in frame(STDERR, b"noise\n") + frame(STDOUT, "grün\n".encode()):
        conversation.engine.sendall(bytes([byte]))
    assert conversation.session.read_line(LONG_S) == "grün"


@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=12), min_size=1, max_size=5),
    frames=st.lists(st.integers(0, 80), max_size=5),
    pieces=st.lists(st.integers(0, 160), max_size=8),
    noise=st.binary(max_size=10),
)
def test_session__lines_do_not_depend_on_how_they_are_cut(
    lines: list[str], frames: list[int], pieces: list[int], noise: bytes
) -> None:
    payload = "".join(line + "\n" for line in lines).encode()
    stream = b"".join(frame(STDOUT, part) + frame(STDERR, noise) for part in cut(payload, frames))
    both = Conversation()
    try:
        found: list[str] = []
        for piece in cut(stream, pieces):
            both.engine.sendall(piece)
            while len(found) < len(lines) and (line := both.session.read_line(0.0005)) is not None:
                found.append(line)
        while len(found) < len(lines):
            line = both.session.read_line(LONG_S)
            assert line is not None
            found.append(line)
        assert found == lines
    finally:
        both.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, cut at `places`."""
    ends = sorted(min(place, len(data)) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def test_session__what_came_before_the_end_is_not_lost(conversation: Conversation) -> None:
    conversation.engine.sendall(frame(STDOUT, b"last words\n"))
    conversation.engine.close()
    assert conversation.session.read_line(LONG_S) == "last words"
    with pytest.raises(StackError, match="the program that we talk to ended"):
        conversation.session.read_line(LONG_S)


def test_session__its_end_tells_what_it_wrote_to_standard_error(conversation: Conversation) -> None:
    conversation.engine.sendall(frame(STDERR, b"Traceback\nModuleNotFoundError: json\n"))
    conversation.engine.close()
    with pytest.raises(StackError) as caught:
        conversation.session.read_line(LONG_S)
    assert caught.value.exit_status == 3
    assert caught.value.where == "python3 in the container of load"
    assert caught.value.log == ("Traceback", "ModuleNotFoundError: json")


def test_session__what_became_of_the_container_explains_its_end() -> None:
    explanation = StackError("load was killed for lack of memory")
    both = Conversation(explanation)
    both.engine.close()
    with pytest.raises(StackError) as caught:
        both.session.read_line(LONG_S)
    assert caught.value is explanation
    both.close()


def test_session__keeps_the_last_lines_of_standard_error_only(conversation: Conversation) -> None:
    conversation.engine.sendall(b"".join(frame(STDERR, b"%d\n" % number) for number in range(100)))
    conversation.engine.close()
    with pytest.raises(StackError) as caught:
        conversation.session.read_line(LONG_S)
    assert caught.value.log == tuple(str(number) for number in range(85, 100))


def test_session__sending_to_a_program_that_is_gone_is_told(conversation: Conversation) -> None:
    conversation.engine.close()
    with pytest.raises(StackError, match="the program that we talk to ended"):
        conversation.session.send("x" * 10)


def test_session__can_be_closed_twice_and_then_says_so(conversation: Conversation) -> None:
    conversation.session.close()
    conversation.session.close()
    with pytest.raises(StackError):
        conversation.session.read_line(LONG_S)


def test_session__takes_the_socket_out_of_what_the_sdk_gives() -> None:
    ours, engine = socket.socketpair()

    class Response:
        """As the SDK's: a wrapper that holds the socket."""

        _sock = ours

        def close(self) -> None:
            ours.close()

    session = DockerSession(Response(), "somewhere", lambda: None)
    engine.sendall(frame(STDOUT, b"hello\n"))
    assert session.read_line(LONG_S) == "hello"
    session.close()
    assert ours.fileno() == -1
    engine.close()


def test_session__leaves_no_response_that_cannot_be_closed_any_more() -> None:
    """Python 3.13 prints a traceback for one that is collected in this state."""
    ours, engine = socket.socketpair()
    engine.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\n" + frame(STDOUT, b"hello\n"))
    response = http.client.HTTPResponse(ours)
    response.begin()
    assert isinstance(response.fp, io.BufferedReader)
    raw: Any = response.fp.raw
    raw._response = response  # as the SDK keeps it
    DockerSession(raw, "somewhere", lambda: None).close()
    assert response.isclosed()
    ours.close()
    engine.close()
