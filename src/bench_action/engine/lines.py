"""Complete lines from bytes that arrive in pieces of any size."""

from collections import deque

from bench_action.model.errors import StackError

_LONGEST = 512 * 2**20  # bytes of one line: more than any answer of our agent


class LineBuffer:
    """Bytes received so far; `pop` returns one complete line without its newline."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of the last line; joined once, when it is complete
        self._size = 0
        self._complete: deque[str] = deque()

    def feed(self, data: bytes) -> None:
        """Add a piece. Raises StackError if a line is too long to keep."""
        rest, *others = data.split(b"\n")
        self._keep(rest)
        for piece in others:
            self._complete.append(b"".join(self._pieces).decode(errors="replace"))
            self._pieces, self._size = [], 0
            self._keep(piece)

    def pop(self) -> str:
        """Remove and return the next line. Raises IndexError if no line is complete."""
        return self._complete.popleft()

    def __bool__(self) -> bool:
        return bool(self._complete)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > _LONGEST:
            self._pieces.clear()
            raise StackError(
                f"a helper program printed a line of more than {_LONGEST // 2**20} MiB",
                cause="a query returned that much, or a reply was that large",
                advice="ask for less: fewer rows in a check's query, smaller pages, or a smaller `repeat`",
            )
        self._pieces.append(piece)
