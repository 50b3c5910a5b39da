"""A stand-in for `redis-cli` on machines without it: reads one command per line and prints each reply.

It is run as text (`python -c`), as the account may not be able to read our files: `… -p PORT [COMMAND … | --pipe]`.
REDISCLI_AUTH has the password.
"""

import os
import shlex
import socket
import sys
import threading
from io import BufferedRWPair
from typing import IO

_END = b"end of the stream" * 1000  # hardly any reply to a stream has this length


def send_command(connection: BufferedRWPair, words: list[str]) -> str:
    """Send one command, and return the reply as redis-cli prints it to a pipe."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    connection.write(f"*{len(words)}\r\n{''.join(parts)}".encode())
    connection.flush()
    return _read_reply(connection)


def _read_reply(connection: BufferedRWPair) -> str:
    line = connection.readline().decode().rstrip("\r\n")
    kind, text = line[:1], line[1:]
    if kind == "$":
        length = int(text)
        return connection.read(length + 2)[:-2].decode(errors="replace") if length >= 0 else ""
    if kind == "*":
        return "\n".join(_read_reply(connection) for _ in range(int(text)))
    return text


def send_stream(server: socket.socket, connection: BufferedRWPair) -> int:
    """Send standard input, which is in Redis' protocol, and print the errors; return 1 if there are any."""
    sender = threading.Thread(target=_send_all, args=(server, sys.stdin.buffer))
    sender.start()
    failed = 0
    while (line := connection.readline().rstrip(b"\r\n")) != b"$%d" % len(_END):
        if line.startswith(b"-"):
            print(line[1:].decode(errors="replace"), file=sys.stderr)
            failed = 1
        elif line.startswith(b"$") and line != b"$-1":
            connection.read(int(line[1:]) + 2)
    sender.join()
    return failed


def _send_all(server: socket.socket, stream: IO[bytes]) -> None:
    while chunk := stream.read(65536):
        server.sendall(chunk)
    server.sendall(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(_END), _END))


def main() -> None:
    """Send the command on the command line, or else every line of standard input."""
    _, _, port, *command = sys.argv
    password = os.environ.get("REDISCLI_AUTH", "")
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as server, server.makefile("rwb") as connection:
        if password and (reply := send_command(connection, ["AUTH", password])) != "OK":
            print(f"AUTH failed: {reply}", flush=True)
        if command == ["--pipe"]:
            sys.exit(send_stream(server, connection))
        if command:
            print(send_command(connection, command))
            return
        for line in sys.stdin:
            print(send_command(connection, shlex.split(line)), flush=True)


if __name__ == "__main__":
    main()
