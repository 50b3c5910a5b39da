"""What of a dump is left out because it names what does not exist here, and that nothing else is changed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench_action.stack.script import ScriptError, read_pieces
from bench_action.stack.seeding.dump import Cluster, DumpFilter

pytestmark = pytest.mark.unit

OURS = Cluster(
    roles=frozenset({"me", "My Role"}),
    settings=frozenset({"statement_timeout", "search_path", "default_tablespace"}),
    extensions=frozenset({"plpgsql"}),
    may_create=True,
)
SKIPPED = [
    "ALTER TABLE public.item OWNER TO shop;",
    'ALTER FUNCTION public.f(a integer, "b;c" text) OWNER TO "shop owner";',
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop IN SCHEMA public GRANT SELECT ON TABLES TO me;",
    "ALTER DEFAULT PRIVILEGES FOR ROLE me GRANT SELECT ON TABLES TO reader;",
    "GRANT SELECT,\n  INSERT ON TABLE public.item TO reader WITH GRANT OPTION;",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC, reader;",
    "GRANT reader TO me;",
    "GRANT me TO reader GRANTED BY postgres;",
    "SET transaction_timeout = 0;",
    "SET SESSION AUTHORIZATION shop;",
    "CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8';",
    "ALTER DATABASE shop SET search_path TO 'a';",
    "COMMENT ON DATABASE shop IS 'x';",
    "GRANT CONNECT ON DATABASE shop TO me;",
    "CREATE SCHEMA public;",
    "CREATE EXTENSION plpgsql;",
    "CREATE ROLE me;",
    "ALTER ROLE shop WITH LOGIN;",
    "CREATE POLICY p ON public.item FOR SELECT TO reader USING (true);",
    "CREATE TABLESPACE fast LOCATION '/x';",
    "-- a comment\nGRANT /* all */ ALL ON TABLE a TO reader;",
]
KEPT = [
    "ALTER TABLE public.item OWNER TO me;",
    'ALTER TABLE public.item OWNER TO "My Role";',
    "ALTER TABLE public.item OWNER TO CURRENT_USER;",
    "GRANT ALL ON TABLE public.item TO PUBLIC;",
    "GRANT ALL ON TABLE public.item TO me;",
    "SET statement_timeout = 0;",
    "SET search_path = public;",
    "SET LOCAL my.own = 'x';",
    "SET TIME ZONE 'UTC';",
    "SELECT pg_catalog.set_config('search_path', '', false);",
    "CREATE EXTENSION IF NOT EXISTS plpgsql;",
    "COMMENT ON EXTENSION plpgsql IS 'x';",
    "CREATE SCHEMA shop;",
    "INSERT INTO item VALUES ('ALTER TABLE item OWNER TO shop;');",
    "INSERT INTO grants VALUES ('a', 'GRANT ALL ON a TO reader');",
    "COMMENT ON TABLE item IS 'GRANT ALL ON TABLE a TO reader';",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN GRANT ALL ON a TO reader; END $$;",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS ' SELECT 1; ALTER TABLE a OWNER TO shop;';",
    "CREATE TABLE owner (\"to\" text DEFAULT 'OWNER TO shop');",
    "UPDATE item SET text = 'x';",
    "CREATE POLICY p ON public.item USING (true);",
]


def run(text: str, cluster: Cluster = OURS, size: int = 10**6) -> tuple[str, DumpFilter]:
    found = DumpFilter(cluster)
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    return "".join(piece.text for piece in found.filter(read_pieces(chunks))), found


@pytest.mark.parametrize("statement", SKIPPED)
def test_filter__leaves_out_what_does_not_exist_here(statement: str) -> None:
    text, found = run(f"SELECT 1;\n{statement}\nSELECT 2;\n")
    assert text.split() == ["SELECT", "1;", "SELECT", "2;"]
    assert text.count("\n") == statement.count("\n") + 3, "psql must report the lines of the file"
    assert found.summarise().startswith("skipped 1 statement ")


@pytest.mark.parametrize("statement", KEPT)
def test_filter__keeps_everything_else(statement: str) -> None:
    text, found = run(f"{statement}\n")
    assert text == f"{statement}\n"
    assert found.summarise() == ""


def test_filter__owners_that_the_dump_itself_creates_are_kept() -> None:
    text = "CREATE ROLE shop;\nALTER ROLE shop WITH LOGIN;\nALTER TABLE a OWNER TO shop;\n"
    assert run(text)[0] == text
    limited = Cluster(OURS.roles, OURS.settings, OURS.extensions, may_create=False)
    assert run(text, limited)[0].strip() == ""
    assert run("COMMENT ON EXTENSION plpgsql IS 'x';", limited)[0] == ""


def test_filter__a_schema_that_the_dump_drops_is_created_again() -> None:
    text = "DROP SCHEMA IF EXISTS public;\nCREATE SCHEMA public;\n"
    assert run(text)[0] == text


def test_summarise__says_it_in_one_line() -> None:
    _, found = run(
        "ALTER TABLE a OWNER TO shop; ALTER TABLE b OWNER TO shop; GRANT ALL ON a TO r1; GRANT ALL ON b TO r2;"
        "SET transaction_timeout = 0; CREATE SCHEMA public;"
    )
    assert found.summarise() == (
        "skipped 5 statements about the owner shop, the roles r1, r2 and the setting transaction_timeout, which this "
        "server does not have; 1 statement that would create what exists"
    )


def test_filter__a_dump_of_one_database_may_connect_to_it() -> None:
    whole = "\\connect template1\nCREATE DATABASE shop;\n\\connect -reuse-previous=on \"dbname='shop'\"\nSELECT 1;\n"
    assert run(whole)[0].split() == ["SELECT", "1;"]
    with pytest.raises(ScriptError, match="more than one database") as caught:
        run(f"{whole}\\connect other\n")
    assert caught.value.line == 5


rows = st.lists(
    st.sampled_from([statement.replace("\n", " ") for statement in SKIPPED] + ["a\t1", "\\N", "it's", "--", "/*"])
)
literals = st.text("abc';-\n/*\\ $\"").map(lambda text: "'" + text.replace("'", "''").replace("\\", "") + "'")
bodies = st.text("abc';-\n/*\\ \"").map(lambda text: f"$x${text}$x$")
data = rows.map(lambda lines: "COPY a FROM stdin;\n" + "".join(f"{line}\n" for line in lines) + "\\.\n")
kept = st.one_of(
    st.sampled_from(KEPT).map(lambda text: f"{text}\n"),
    data,
    st.one_of(literals, bodies).map(lambda x: f"SELECT {x};\n"),
)
parts = st.lists(st.tuples(st.booleans(), kept, st.sampled_from(SKIPPED[:-1])), max_size=8)


@given(parts, st.integers(1, 200))
@example([(True, "COPY a FROM stdin;\nALTER TABLE a OWNER TO shop;\n\\.\n", SKIPPED[0])], 3)
def test_filter__never_changes_data_or_quoted_text(parts: list[tuple[bool, str, str]], size: int) -> None:
    script = "".join(f"{skipped}\n{text}" if skips else text for skips, text, skipped in parts)
    text, found = run(script, size=size)
    at = 0
    for _, kept, _ in parts:
        at = text.index(kept, at) + len(kept)
    assert found.skipped.total() == sum(skips for skips, _, _ in parts)
    assert text.replace("\n", "") == "".join(kept for _, kept, _ in parts).replace("\n", "")
