"""A stand-in for `redis-cli` on machines without it: reads one command per line and prints each reply.

Usage: `python -m bench_action.engine.local.cache_client -p PORT [COMMAND …]`.
"""

import shlex
import socket
import sys
from io import BufferedRWPair


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


def main() -> None:
    """Send the command on the command line, or else every line of standard input."""
    _, _, port, *command = sys.argv
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as server, server.makefile("rwb") as connection:
        if command:
            print(send_command(connection, command))
            return
        for line in sys.stdin:
            print(send_command(connection, shlex.split(line)), flush=True)


if __name__ == "__main__":
    main()
