"""Complete lines from bytes that arrive in pieces of any size."""

from collections import deque


class LineBuffer:
    """Bytes received so far; `pop` returns one complete line without its newline."""

    def __init__(self) -> None:
        self._rest = b""
        self._complete: deque[str] = deque()

    def feed(self, data: bytes) -> None:
        """Add a piece."""
        *complete, self._rest = (self._rest + data).split(b"\n")
        self._complete.extend(line.decode(errors="replace") for line in complete)

    def pop(self) -> str:
        """Remove and return the next line. Raises IndexError if no line is complete."""
        return self._complete.popleft()

    def __bool__(self) -> bool:
        return bool(self._complete)
