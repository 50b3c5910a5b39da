"""Redis' commands, and what is said about rows that a start took away."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.model.errors import InputError
from bench_action.model.warning import Code
from bench_action.stack.seeding.check import list_losses, warn_of_losses
from bench_action.stack.seeding.feed import encode
from bench_action.stack.seeding.redis import split_command, write_command

pytestmark = pytest.mark.unit


def quote(word: bytes) -> str:
    """Quote a word as redis-cli prints it."""
    return (
        '"' + "".join(chr(code) if 32 < code < 127 and code not in b'"\\' else f"\\x{code:02x}" for code in word) + '"'
    )


@given(st.lists(st.binary(), min_size=1))
def test_split_command__reads_what_redis_cli_prints(words: list[bytes]) -> None:
    assert split_command(" ".join(map(quote, words)), 1) == words


def test_split_command__knows_the_three_kinds_of_words() -> None:
    assert split_command('SET a:1 \'it\\\'s \\n\' "a\\tb \\"c\\""\r', 1) == [b"SET", b"a:1", b"it's \\n", b'a\tb "c"']


@pytest.mark.parametrize("line", ['SET a "b', "SET a 'b", 'SET a "b"c'])
def test_split_command__names_the_line_of_an_open_quote(line: str) -> None:
    with pytest.raises(InputError) as caught:
        split_command(line, 7)
    assert caught.value.where == "line 7"


def test_write_command__is_redis_protocol() -> None:
    assert write_command([b"SET", b"a", b"\xff\r\n"]) == b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\n\xff\r\n\r\n"


@given(st.lists(st.binary(max_size=100_000), max_size=4))
def test_encode__is_one_stream_of_base64(chunks: list[bytes]) -> None:

    lines = "".join(encode(chunks)).splitlines()
    assert base64.b64decode("".join(lines), validate=True) == b"".join(chunks)


def test_list_losses__ignores_growth_and_a_little_cleaning() -> None:
    assert list_losses({"public.a": 100, "b.c": 0, "public.d": 1}, {"public.a": 95, "public.d": 5, "new": 0}) == []


def test_warn_of_losses__names_the_tables_and_what_to_do() -> None:
    assert warn_of_losses("web", []) is None
    seeded = {f"public.t{n}": 100 for n in range(5)}
    warning = warn_of_losses("web", list_losses(seeded, {"public.t0": 0, "public.t1": 40, "public.t4": 100}))
    assert warning is not None
    assert warning.code is Code.SEED_LOST
    assert warning.message == (
        "web: starting it removed seeded data: t0 was emptied (100 rows were seeded, 0 are left); "
        "t1 has lost rows (100 rows were seeded, 40 are left); t2 (100 rows) was dropped and 1 more table"
    )
    assert "after: ready" in warning.advice
