"""How a script is read: where its statements are, and what is refused before it runs."""

import pytest

from bench_action.stack.script import Piece, ScriptError, read_pieces, read_script

pytestmark = pytest.mark.unit

DUMP = """\\restrict 5yRkq1XW
SET standard_conforming_strings = on;

CREATE TABLE public.item (
    id integer,
    text text
);

COPY public.item (id, text) FROM stdin;
1\tone; it's "quoted" \\N
2\t\\restrict me
\\.


--
-- PostgreSQL database dump complete
--

\\unrestrict 5yRkq1XW
"""


def read(text: str, size: int = 10**6) -> list[Piece]:
    """Read a script in chunks of so many characters."""
    return list(read_pieces(text[at : at + size] for at in range(0, len(text), size)))


def list_statements(pieces: list[Piece]) -> list[tuple[str, int, int]]:
    return [(piece.kind, piece.first, piece.last) for piece in pieces if piece.code]


def test_read_pieces__keeps_the_data_of_a_dump_and_blanks_its_guards() -> None:
    pieces = read(DUMP)
    assert list_statements(pieces) == [("SET", 2, 2), ("CREATE TABLE", 4, 7), ("COPY", 9, 9)]
    text = "".join(piece.text for piece in pieces)
    assert len(text) == len(DUMP)
    assert "2\t\\restrict me" in text
    assert "5yRkq1XW" not in text


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_read_pieces__reads_chunks_of_any_size(size: int) -> None:
    for text in (DUMP, "SELECT E'a'\n  '\\' b'; DO $a$\n;\n$a$; /* ;\n */ SELECT \"a\n;\" -- ;\n; SELECT 1"):
        pieces = read(text, size)
        assert list_statements(pieces) == list_statements(read(text))
        assert "".join(piece.text for piece in pieces) == "".join(piece.text for piece in read(text))


def test_read_script__leaves_empty_statements_out() -> None:
    text = "SELECT 1;;\nCOPY a FROM stdin;\n1;\n\\.\n;\n/* nothing */ ;\nSELECT ';;';"
    assert read_script(text).text == "SELECT 1; \nCOPY a FROM stdin;\n1;\n\\.\n \n/* nothing */  \nSELECT ';;';"
    assert list_statements(read(text)) == [("SELECT", 1, 1), ("COPY", 2, 2), ("SELECT", 7, 7)]


def test_read_pieces__a_routine_with_a_body_is_one_statement() -> None:
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN 1 > 0 THEN 1 END; SELECT 2; END;"
    assert list_statements(read(f"{body}\nSELECT 3;")) == [("CREATE FUNCTION", 1, 1), ("SELECT", 2, 2)]


def test_read_pieces__names_where_a_dump_connects_to() -> None:
    pieces = read("CREATE DATABASE shop;\n\\connect -reuse-previous=on \"dbname='shop'\"\nSELECT 1;\n\\c other\n")
    assert [piece.connects for piece in pieces if piece.connects] == ["-reuse-previous=on \"dbname='shop'\"", "other"]
    assert "connect" not in "".join(piece.text for piece in pieces)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT 1; SELECT 2 -- two",
        "SELECT 'a;b'\n-- no more",
        "CREATE FUNCTION f() RETURNS int AS $$ SELECT 1; $$ LANGUAGE sql",
        "CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2)",
        "CREATE PROCEDURE p() BEGIN ATOMIC SELECT 1; END",
    ],
)
def test_read_script__a_statement_without_a_semicolon_is_incomplete(text: str) -> None:
    assert read_script(text).rest == "\n;"


def test_read_script__data_without_an_end_is_incomplete() -> None:
    assert read_script("COPY a FROM stdin;\n1\n2").rest == "\n\\."
    assert read_script("COPY a FROM stdin").rest == "\n;\n\\."
    assert read_script("COPY a FROM stdin;\n1\n2\n").rest == "\\."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "-- nothing\n",
        "SELECT 1;",
        "SELECT 1; -- one",
        "SELECT 1; /* a /* b */ ; ' */",
        "COPY a FROM stdin;\n1\n\\.",
        "COPY a FROM stdin;\n1\n\\.\n\n-- done",
        "copy a from STDIN (FORMAT csv);\n'\n\\.\n",
        "SELECT 'it''s \\ fine';",
        "SELECT E'it\\'s \\\\ fine';",
        "SELECT E'a'\n  '\\' b';",
        'SELECT "a;\'";',
        "DO $a$ BEGIN PERFORM $$ \\! $$; END $a$;",
        "SELECT a$b$c, $1;",
        "SELECT 1 \\; SELECT 2;",
        "SELECT U&'\\0041';",
        "COPY a TO stdout;",
    ],
)
def test_read_script__these_are_complete(text: str) -> None:
    assert read_script(text).rest == ""


@pytest.mark.parametrize(
    ("text", "why", "line"),
    [
        ("SELECT 1;\nSELECT 'a;\n", "a quoted text is never closed", 2),
        ("SELECT E'a\\';", "a quoted text is never closed", 1),
        ('SELECT 1;\n\nSELECT "a;', "a quoted name is never closed", 3),
        ("DO $do$ BEGIN END $d$;", "a dollar-quoted text is never closed", 1),
        ("SELECT 1;\n/* a /* b */", "a comment is never closed", 2),
        ("SELECT 1;\nSELECT (1;", "a parenthesis is never closed", 2),
        ("SELECT 1;\n\\! id", "the SQL contains a psql backslash command", 2),
        ("SELECT 1 \\gexec", "the SQL contains a psql backslash command", 1),
        ("\\connect other\nSELECT 1;", "the SQL contains a psql backslash command", 1),
        ("\\i /etc/passwd", "the SQL contains a psql backslash command", 1),
        ("SELECT nameE'a\\'; \\! id '", "the SQL contains a psql backslash command", 1),
        ("COPY a FROM stdin; \\! id\n1\n\\.\n", "text follows COPY … FROM stdin on its line", 1),
        ("COPY (SELECT 1 FROM stdin) TO stdout;\n\\! id\n\\.\n", "the SQL contains a psql backslash command", 2),
        ('COPY "a from stdin" TO stdout;\n\\! id\n', "the SQL contains a psql backslash command", 2),
        ("CREATE PROCEDURE p() BEGIN ATOMIC SELECT 1;", "the body of a routine is never closed", 1),
        ("SELECT 1;\n\\connect `id`\nSELECT 1;", "the SQL contains a psql backslash command", 2),
        ("COPY a FROM stdin;\n1\n\\.\n\\! id\n", "the SQL contains a psql backslash command", 4),
        ("SELECT 1\n\\restrict abc\n;", "the SQL contains a psql backslash command", 2),
        ("\\restrict `id`\nSELECT 1;", "the SQL contains a psql backslash command", 1),
        ("SET standard_conforming_strings TO off;", "the SQL sets `standard_conforming_strings`, ", 1),
        ("SELECT 1;\n\0", "the SQL is not plain text", 2),
    ],
)
def test_read_script__names_the_line_of_what_it_refuses_and_quotes_nothing(text: str, why: str, line: int) -> None:
    with pytest.raises(ScriptError) as caught:
        read_script(text)
    assert caught.value.why.startswith(why)
    assert caught.value.line == line
    assert caught.value.advice
    assert "id" not in caught.value.why.split()


def test_read_pieces__data_may_say_anything() -> None:
    data = "1\tSET standard_conforming_strings = off;\n2\tGRANT ALL ON a TO b;\n3\t\\connect x\n4\t'\n"
    text = f"COPY a FROM stdin;\n{data}\\.\nSELECT 1;\n"
    pieces = read(text)
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.kind for piece in pieces if piece.code] == ["COPY", "SELECT"]


def test_read_pieces__a_large_script_is_read_in_one_pass_and_not_kept() -> None:
    line = "INSERT INTO a VALUES (1, 'it''s'), (2, '/* (');\n"
    pieces = (piece for piece in read_pieces(line * 100 for _ in range(200)) if piece.code)
    for number, piece in enumerate(pieces, start=1):
        assert len(piece.text) <= len(line) + 1
        assert (piece.first, piece.last) == (number, number)
    assert number == 20_000
