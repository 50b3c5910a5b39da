"""What `redis-cli` does for us, for machines whose Redis has no client: a command a line in, its reply out.

Run as a program: `python -m bench_action.engine.local.cache_client -p PORT [COMMAND …]`.
"""

import shlex
import socket
import sys
from io import BufferedRWPair


def ask(connection: BufferedRWPair, words: list[str]) -> str:
    """One command; its reply as redis-cli prints it to a pipe."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    connection.write(f"*{len(words)}\r\n{''.join(parts)}".encode())
    connection.flush()
    return _reply(connection)


def _reply(connection: BufferedRWPair) -> str:
    line = connection.readline().decode().rstrip("\r\n")
    kind, text = line[:1], line[1:]
    if kind == "$":
        length = int(text)
        return connection.read(length + 2)[:-2].decode(errors="replace") if length >= 0 else ""
    if kind == "*":
        return "\n".join(_reply(connection) for _ in range(int(text)))
    return text


def main() -> None:
    """Answer the command line's command, else every line of standard input."""
    _, _, port, *command = sys.argv
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as server, server.makefile("rwb") as connection:
        if command:
            print(ask(connection, command))
            return
        for line in sys.stdin:
            print(ask(connection, shlex.split(line)), flush=True)


if __name__ == "__main__":
    main()
