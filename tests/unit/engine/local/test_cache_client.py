"""The stand-in for `redis-cli`, as a program that talks to a server."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.unit


class Server:
    """A server with a password: it answers OK to AUTH, and to any other command with the command's words."""

    def __init__(self) -> None:
        self.received: list[list[str]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rwb") as stream:
            while line := stream.readline():
                words = []
                for _ in range(int(line[1:])):
                    length = int(stream.readline()[1:])
                    words.append(stream.read(length + 2)[:-2].decode())
                self.received.append(words)
                text = " ".join(words)
                refused = words[0] == "AUTH" and words[1] != "p w"
                reply = "-WRONGPASS" if refused else "+OK" if words[0] == "AUTH" else f"${len(text)}\r\n{text}"
                stream.write(f"{reply}\r\n".encode())
                stream.flush()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def run(server: Server, *arguments: str, password: str = "", text: str = "") -> str:
    command = [sys.executable, "-m", "bench_action.engine.local.cache_client", "-p", str(server.port), *arguments]
    env = {**os.environ, "REDISCLI_AUTH": password}
    return subprocess.run(command, input=text, env=env, capture_output=True, text=True, check=True, timeout=60).stdout


def test_cache_client__signs_in_before_it_sends_a_command(server: Server) -> None:
    assert run(server, "GET", "a key", password="p w") == "GET a key\n"
    assert server.received == [["AUTH", "p w"], ["GET", "a key"]]


def test_cache_client__signs_in_before_it_sends_lines(server: Server) -> None:
    assert run(server, password="p w", text='PING\nSET a "b c"\n') == "PING\nSET a b c\n"
    assert server.received == [["AUTH", "p w"], ["PING"], ["SET", "a", "b c"]]


def test_cache_client__says_that_it_could_not_sign_in(server: Server) -> None:
    assert run(server, "PING", password="wrong") == "AUTH failed: WRONGPASS\nPING\n"


def test_cache_client__without_a_password_does_not_sign_in(server: Server) -> None:
    assert run(server, "PING") == "PING\n"
    assert server.received == [["PING"]]
