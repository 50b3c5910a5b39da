"""Complete lines out of bytes that arrive in any pieces."""

from collections import deque


class Lines:
    """What has arrived; `pop` gives complete lines, without their end."""

    def __init__(self) -> None:
        self._rest = b""
        self._complete: deque[str] = deque()

    def feed(self, data: bytes) -> None:
        """Take in a piece."""
        *complete, self._rest = (self._rest + data).split(b"\n")
        self._complete.extend(line.decode(errors="replace") for line in complete)

    def pop(self) -> str:
        """The next line. Raises IndexError where none is complete."""
        return self._complete.popleft()

    def __bool__(self) -> bool:
        return bool(self._complete)
