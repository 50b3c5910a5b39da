"""Read MySQL scripts far enough to find commands of the mysql client, which may run programs and read files. Pure.

The client takes a backslash outside quotes and comments as a command, and certain words at the beginning of a statement
(its documentation, "mysql Client Commands"). Scripts come from pull requests, so such commands are refused. Bytes that
are no UTF-8, as in binary columns, are single characters for the client too, as long as it reads the script as UTF-8.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench_action.model.wording import plural
from bench_action.stack.script import ScriptError, end_at_lines

# what opens something in which a word or a backslash means nothing to the client; the first kinds end with their line
_OPENING = re.compile(r"""\#[^\n]*+|--(?=\s|\Z)[^\n]*+|/\*M!\d*+\\-[^*\n]*+\*/|/\*(?!!|M!)|['"`]""")
_CLOSING = {
    "'": re.compile(r"[^'\\]*+(?:\\.[^'\\]*+)*+'", re.DOTALL),
    '"': re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL),
    "`": re.compile(r"[^`]*+`"),
    "/*": re.compile(r".*?\*/", re.DOTALL),
}
_COMMAND = re.compile(
    r"\\|(?:\A|[;/$|])\s*(?:system|source|tee|notee|pager|nopager|edit|ego|connect|exit|quit|use"
    r"|charset(?![ \t]+(?:utf8(?:mb[34])?|latin1|binary)[ \t]*;?[ \t]*\r?$))\b"
    r"|^\s*delimiter\s+(?!(?:;;?|//|\$\$|\|\|?)\s*$)",
    re.IGNORECASE | re.MULTILINE,
)
# a line that begins a statement about a database, in code; and such a line, if the statement is its only one
_ABOUT_DATABASE = re.compile(
    r"^[ \t]*(?:/\*!\d+[ \t]*)?(?:USE|(?:CREATE|ALTER|DROP)[ \t]+(?:DATABASE|SCHEMA))\b", re.IGNORECASE | re.MULTILINE
)
_NAME = r"[ \t]*(?P<{}>`(?:[^`]|``)+`|[\w$]+)"
_IF_EXISTS = r"(?:[ \t]*/\*!\d+[ \t]*IF NOT EXISTS[ \t]*\*/|[ \t]+IF (?:NOT )?EXISTS\b)?"
_ONLY_DATABASE = re.compile(
    rf"[ \t]*(?:USE\b{_NAME.format('used')}[ \t]*;?|(?:/\*!\d+[ \t]*)?(?:CREATE|ALTER|DROP)[ \t]+(?:DATABASE|SCHEMA)\b"
    rf"{_IF_EXISTS}{_NAME.format('changed')}[^;]*;)\s*",
    re.IGNORECASE,
)
_ESCAPES_OFF = re.compile(r"sql_mode[^;\n]*no_backslash_escapes", re.IGNORECASE)


@dataclass(slots=True)
class DatabaseFilter:
    """Leaves out of one dump what creates or uses its database, so that its tables go to the application's.

    `name`: of the dump's database, once it is known. `skipped`: how many statements were left out.
    """

    name: str = ""
    skipped: int = 0

    def filter(self, chunk: str, code: str, line: int) -> tuple[str, str]:
        """Return whole lines, and the code in them, with empty lines for what is left out. `line`: how many precede.

        Raises ScriptError if the dump contains several databases.
        """
        numbers = [code.count("\n", 0, match.start()) for match in _ABOUT_DATABASE.finditer(code)]
        lines, codes = (chunk.split("\n"), code.split("\n")) if numbers else ([chunk], [code])
        for number in numbers:
            if match := _ONLY_DATABASE.fullmatch(lines[number]):
                self._require_one(_unquote(match["used"] or match["changed"]), line + number + 1)
                self.skipped += 1
                lines[number] = codes[number] = ""
        return "\n".join(lines), "\n".join(codes)

    def summarise(self, database: str) -> str:
        """Say in one line what was left out; empty if the dump is of this database, or names none."""
        if self.name in {"", database}:
            return ""
        return (
            f"skipped {plural(self.skipped, 'statement')} about the database {self.name}: its tables go to {database}"
        )

    def _require_one(self, name: str, line: int) -> None:
        if self.name not in {"", name}:
            raise ScriptError("the dump contains more than one database", line, "dump one database with `mysqldump`")
        self.name = name


def refuse_commands(chunks: Iterable[str], databases: DatabaseFilter | None = None) -> Iterator[str]:
    """Give out a script that arrives in chunks of any size, in whole lines.

    `databases`: leaves out what is about the database of a dump. Raises ScriptError for a command of the client, and
    for a setting that changes how quotes are read.
    """
    inside, last, line = "", "", 0
    for chunk in end_at_lines(chunks):
        code, inside = _keep_code(chunk, inside)
        if databases is not None:
            chunk, code = databases.filter(chunk, code, line)  # noqa: PLW2901 (what is left of it)
        code = f"{last}\n{code}"
        if found := _COMMAND.search(code):
            advice = "remove it; to dump, use `mysqldump` on one database, without `--databases`"
            where = line + code.count("\n", 0, found.end())
            raise ScriptError("the SQL contains a command of the mysql client", where, advice)
        if found := _ESCAPES_OFF.search(chunk):
            advice = "leave NO_BACKSLASH_ESCAPES out of `sql_mode`"
            where = line + 1 + chunk.count("\n", 0, found.start())
            raise ScriptError("the SQL changes how quotes are read", where, advice)
        last, line = code.rstrip()[-1:], line + chunk.count("\n")
        yield chunk


def _keep_code(chunk: str, inside: str) -> tuple[str, str]:
    """Return a chunk without comments and quoted texts, but with their newlines; and what is open at its end.

    `inside`: what is open at its beginning, a quote or `/*`; empty for nothing.
    """
    parts, at = [], 0
    while at < len(chunk):
        opening = None if inside else _OPENING.search(chunk, at)
        closing = _CLOSING[inside].match(chunk, at) if inside else None
        match = opening or closing
        end = match.end() if match else len(chunk)
        if inside:
            parts.append("\n" * chunk.count("\n", at, end) or " ")
            inside = "" if closing else inside
        else:
            parts.append(chunk[at : opening.start() if opening else end])
            inside = opening[0] if opening and opening[0] in _CLOSING else ""
        at = end
    return "".join(parts), inside


def _unquote(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name
