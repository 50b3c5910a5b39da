"""Complete lines from pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.engine import lines
from bench_action.engine.lines import LineBuffer
from bench_action.model.errors import StackError

pytestmark = pytest.mark.unit


def take(buffer: LineBuffer) -> list[str]:
    taken = []
    while buffer:
        taken.append(buffer.pop())
    return taken


@given(st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\r", b"\n"))))
def test_lines__do_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    buffer = LineBuffer()
    for piece in pieces:
        buffer.feed(piece)
    whole = (
        b"".join(pieces).decode(errors="replace").split("\n") if not any(b > 127 for p in pieces for b in p) else None
    )
    found = take(buffer)
    assert len(found) == b"".join(pieces).count(b"\n")
    if whole is not None:
        assert found == whole[:-1]


def test_a_character_may_be_in_two_pieces() -> None:
    buffer = LineBuffer()
    for piece in (b"a\xc3", b"\xa4\nb", b"\n\n", b"rest"):
        buffer.feed(piece)
    assert take(buffer) == ["aä", "b", ""]


def test_a_line_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_LONGEST", 1000)
    buffer = LineBuffer()
    for _ in range(10):
        buffer.feed(b"x" * 99 + b"\n" + b"y" * 900 + b"\n")
    assert len(take(buffer)) == 20
    for _ in range(10):
        buffer.feed(b"x" * 100)
    with pytest.raises(StackError, match="a helper program printed a line of more than"):
        buffer.feed(b"x")
