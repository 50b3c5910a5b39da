"""How a script is read: where its statements are, and what is refused before it runs."""

import pytest

from bench_action.stack.script import ScriptError, read_script

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


def test_read_script__keeps_the_data_of_a_dump_and_blanks_its_guards() -> None:
    script = read_script(DUMP)
    assert script.rest == ""
    assert (script.begins, script.ends) == ([2, 4, 9], [2, 7, 12])
    assert len(script.text) == len(DUMP)
    assert "2\t\\restrict me" in script.text
    assert "5yRkq1XW" not in script.text


def test_read_script__leaves_empty_statements_out() -> None:
    script = read_script("SELECT 1;;\nCOPY a FROM stdin;\n1;\n\\.\n;\n/* nothing */ ;\nSELECT ';;';")
    assert script.text == "SELECT 1; \nCOPY a FROM stdin;\n1;\n\\.\n \n/* nothing */  \nSELECT ';;';"
    assert (script.begins, script.ends) == ([1, 2, 7], [1, 4, 7])


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT 1; SELECT 2 -- two",
        "SELECT 'a;b'\n-- no more",
        "CREATE FUNCTION f() RETURNS int AS $$ SELECT 1; $$ LANGUAGE sql",
        "CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2)",
    ],
)
def test_read_script__a_statement_without_a_semicolon_is_incomplete(text: str) -> None:
    assert read_script(text).rest == "\n;"


def test_read_script__data_without_an_end_is_incomplete() -> None:
    assert read_script("COPY a FROM stdin;\n1\n2").rest == "\n\\."
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


def test_describe_line__names_the_statement_that_ends_there_or_later() -> None:
    script = read_script("SELECT 1;\nSELECT\n  2;\n\n-- end\n")
    assert script.describe_line(1) == "line 1, in statement 1, which begins on line 1"
    assert script.describe_line(3) == "line 3, in statement 2, which begins on line 2"
    assert script.describe_line(5) == "line 5"


def test_read_script__a_large_script_is_read_in_one_pass() -> None:
    script = read_script("INSERT INTO a VALUES (1, 'it''s'), (2, '/* (');\n" * 20_000)
    assert (len(script.ends), script.ends[-1]) == (20_000, 20_000)
