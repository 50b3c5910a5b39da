"""Read SQL scripts the way psql does, piece by piece: find each statement, and refuse what a script must not contain.

psql's rules (its documentation, "Meta-Commands"; `psqlscan.l`): a backslash outside quotes, comments and COPY data
begins a psql command, which may run programs and read files on the server's machine. Scripts come from pull requests,
so psql commands are refused, except for the two that pg_dump writes to guard against such commands, and the
one that connects to a database, which are left out. No more of a script is in memory than its longest statement. Pure.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

# everything that may change how the text after it is read; anything between two of these is plain code
_SPECIAL = re.compile(r"""['"\\;()]|--|/\*|\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$""")
_ESCAPED = re.compile(r"[^'\\]*+(?:\\.[^'\\]*+)*+'", re.DOTALL)
_CONTINUED = re.compile(r"[ \t\f\r\v]*\n\s*'")
_NESTED = re.compile(r"/\*|\*/")
_NOT_BLANK = re.compile(r"\S")
_QUOTED_NAME = re.compile(r'"[^"]*"')
_INNERMOST = re.compile(r"\([^()]*\)")
_COPY = re.compile(r"\s*copy\b[^;]*\bfrom\s+stdin\b", re.IGNORECASE)
_END_OF_DATA = re.compile(r"^\\\.\r?(?:\n|\Z)", re.MULTILINE)
_ROUTINE = re.compile(r"\s*create\s+(?:or\s+replace\s+)?(?:function|procedure)\b", re.IGNORECASE)
_BODY_MARK = re.compile(r"\b(?:begin|case|end)\b", re.IGNORECASE)
_GUARD = re.compile(r"\\(?:un)?restrict[ \t]+\w+[ \t]*\r?$", re.MULTILINE)  # pg_dump since August 2025
_CONNECT = re.compile(r"\\c(?:onnect)?[ \t]+(?P<where>[^\\\n]*?)[ \t]*\r?$", re.MULTILINE)
_WORD = re.compile(r"\w+")
_TWO_WORDS = frozenset({"ALTER", "COMMENT", "CREATE", "DELETE", "DROP", "INSERT"})
_ESCAPES_OFF = re.compile(r"standard_conforming_strings(?!\s*(?:=|to)\s*'?on\b)", re.IGNORECASE)


class ScriptError(ValueError):
    """A script cannot be run: why, at which `line` (from 1), and what to do. Never quotes the script."""

    def __init__(self, why: str, line: int, advice: str) -> None:
        super().__init__(why)
        self.why, self.line, self.advice = why, line, advice


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a script; all parts together are the script.

    `code`: of a statement, its text without comments, quoted texts as `''` or `$$`; empty if the part is white space,
    a comment or COPY's data. `first`, `last`: the lines on which it begins and ends, from 1. `rest`: what must follow
    to end the statement, or its data, if the script ends too early. `connects`: where psql's
    command to connect, which is left out of `text`, leads.
    """

    text: str
    first: int
    last: int
    code: str = ""
    rest: str = ""
    connects: str = ""

    @property
    def kind(self) -> str:
        """What it does, such as `CREATE TABLE` or `COPY`."""
        words = [word.upper() for word in _WORD.findall(self.code[:200])[:2]]
        return " ".join(words if words and words[0] in _TWO_WORDS else words[:1])

    def blank(self) -> "Piece":
        """Return it without its statement; lines stay where they are."""
        return Piece("\n" * self.text.count("\n"), self.first, self.last)


@dataclass(frozen=True, slots=True)
class Script:
    """A short script that may be run. `rest`: what must follow to end its last statement, or its data."""

    text: str
    rest: str


def read_script(text: str) -> Script:
    """Check a short script. Raises ScriptError like `read_pieces`, and for a command to connect."""
    pieces = list(read_pieces([text]))
    if connecting := next((piece for piece in pieces if piece.connects), None):
        raise _make_command_error(connecting.first)
    return Script("".join(piece.text for piece in pieces), pieces[-1].rest if pieces else "")


def read_pieces(chunks: Iterable[str]) -> Iterator[Piece]:
    """Read a script that arrives in chunks of any size.

    Raises ScriptError for an unclosed quote, comment or parenthesis, and for psql commands.
    """
    return _Reader(end_at_lines(chunks)).read()


def end_at_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Cut chunks at line ends, so that a chunk's end is within no token."""
    waiting: list[str] = []
    for chunk in chunks:
        lines, newline, rest = chunk.rpartition("\n")
        if newline:
            yield "".join([*waiting, lines, newline])
            waiting.clear()
        if rest:
            waiting.append(rest)
    if waiting:
        yield "".join(waiting)


@dataclass(slots=True)
class _Reader:
    """Reads one script. `text` holds what was read last; from `start` on, which is on `line`, it is not given out."""

    source: Iterator[str]
    text: str = ""
    start: int = 0
    line: int = 1
    at: int = 0
    depth: int = 0
    begun: int | None = None
    code: list[str] = field(default_factory=list)
    ready: list[Piece] = field(default_factory=list)
    in_data: bool = False
    in_line: bool = False

    def read(self) -> Iterator[Piece]:
        """Walk from one special character to the next; give out each part as soon as it is complete."""
        while self.at < len(self.text) or self._read_on():
            if self.in_data:
                self._take_data()
            else:
                self._take_next()
            yield from self.ready
            self.ready.clear()
        if self.in_data:
            yield Piece("", self.line, self.line, rest="\n\\." if self.in_line else "\\.")
        elif self.begun is not None:
            yield self._end_script(self.begun)

    def _read_on(self) -> bool:
        """Drop what was given out, and add a chunk. Positions change."""
        if self.begun is not None:
            self.begun -= self.start
        self.text, self.at, self.start = self.text[self.start :], self.at - self.start, 0
        return self._fill()

    def _fill(self) -> bool:
        """Add a chunk; return False at the end of the script."""
        chunk = next(self.source, "")
        if "\0" in chunk:
            self.text += chunk
            advice = "dump with `pg_dump --format=plain`"
            raise self._error("the SQL is not plain text", self.text.index("\0", self.at), advice)
        self.text += chunk
        return bool(chunk)

    def _take_next(self) -> None:
        special = _SPECIAL.search(self.text, self.at)
        self._take_code(special.start() if special else len(self.text))
        if special is None:
            self.at = len(self.text)
            if self.begun is None:
                self._give(self.text[self.start :])
            return
        self.at = special.end()
        self._take_special(special[0], special.start())

    def _take_code(self, end: int) -> None:
        """Add plain code, up to `end`, to the current statement."""
        piece = self.text[self.at : end]
        if piece.strip():
            if self.begun is None:
                self.begun = self.at + len(piece) - len(piece.lstrip())
            self.code.append(piece)

    def _take_special(self, special: str, start: int) -> None:
        match special[0]:
            case "-":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
                self.code.append(" ")
            case "/":
                self._skip_comment(start)
            case ";":
                self._take_semicolon()
            case "\\":
                self._take_backslash(start)
            case "(" | ")":
                self._begin(start, special)
                self.depth = max(0, self.depth + (1 if special == "(" else -1))
            case _:
                self._skip_quoted(special, start)

    def _begin(self, start: int, code: str) -> None:
        if self.begun is None:
            self.begun = start
        self.code.append(code)

    def _skip_comment(self, start: int) -> None:
        depth = 1
        while depth:
            while (mark := _NESTED.search(self.text, self.at)) is None:
                if not self._fill():
                    raise self._error("a comment is never closed", start, "close it with */")
            depth += 1 if mark[0] == "/*" else -1
            self.at = mark.end()
        self.code.append(" ")

    def _take_semicolon(self) -> None:
        code = "".join(self.code)
        if self.depth > 0 or _is_inside_body(code):  # it does not end the statement, as in CREATE RULE … DO (…; …)
            self.code.append(";")
        elif self.begun is None:  # after COPY's data, an empty statement makes psql wait for more: leave it out
            self._give(self.text[self.start : self.at - 1] + " ")
        else:
            if copies_from_stdin(code):
                self._skip_to_data()
            self._give(self.text[self.start : self.at], self.begun, code)

    def _skip_to_data(self) -> None:
        """Go to the line after COPY: psql reads data from there, and then what is left of COPY's own line."""
        while (end := self.text.find("\n", self.at)) < 0:
            if not self._fill():
                end = len(self.text)
                break
        if self.text[self.at : end].strip():
            raise self._error("text follows COPY … FROM stdin on its line", self.at, "begin the data on the next line")
        self.at = min(end + 1, len(self.text))
        self.in_data = True

    def _take_data(self) -> None:
        end = _END_OF_DATA.search(self.text, self.start)
        self.in_data = end is None
        self.at = end.end() if end else len(self.text)
        self._give(self.text[self.start : self.at])

    def _take_backslash(self, start: int) -> None:
        if self.text[self.at : self.at + 1] in {";", ":"}:  # how psql writes these two within a statement
            self.at += 1
            return
        line_start = self.text.rfind("\n", 0, start) + 1
        alone = self.begun is None and not self.text[line_start:start].strip()
        guard, connect = _GUARD.match(self.text, start), _CONNECT.match(self.text, start)
        command = guard or connect
        if command is None or not alone:
            raise _make_command_error(self._find_line(start))
        self.at = command.end()
        blanked = self.text[self.start : start] + " " * (self.at - start)
        self._give(blanked, start, connects=connect["where"] if connect else "")

    def _skip_quoted(self, quote: str, start: int) -> None:
        if quote.startswith("$") and start and _is_name(self.text[start - 1]):
            self.at = start + 1  # a dollar within a name
            self.code.append("$")
            return
        escapes = quote == "'" and self._has_escapes(start)
        # a doubled quote closes one text and opens the next: the result is the same
        end = self._find_escaped_end(start) if escapes else self._find_end(quote)
        if end < 0:
            what = {"'": "a quoted text", '"': "a quoted name"}.get(quote, "a dollar-quoted text")
            raise self._error(f"{what} is never closed", start, "close the quote that opens there")
        self._begin(start, self.text[start:end] if quote == '"' else "''" if quote == "'" else " $$ ")
        self.at = end

    def _find_end(self, quote: str) -> int:
        start = self.at
        while (closing := self.text.find(quote, start)) < 0:
            start = len(self.text)  # a chunk ends at a line's end, and so within no quote
            if not self._fill():
                return -1
        return closing + len(quote)

    def _has_escapes(self, start: int) -> bool:
        """Tell whether a quote begins E'…', in which backslashes escape."""
        before = self.text[max(0, start - 2) : start]
        return before[-1:] in {"e", "E"} and not (len(before) > 1 and _is_name(before[0]))

    def _find_escaped_end(self, start: int) -> int:
        at = start + 1
        while True:
            while (match := _ESCAPED.match(self.text, at)) is None:
                if not self._fill():
                    return -1
            at = match.end()
            while _NOT_BLANK.search(self.text, at) is None and self._fill():
                pass
            if self.text[at : at + 1] == "'":
                at += 1
            elif more := _CONTINUED.match(self.text, at):
                at = more.end()
            else:
                return at

    def _give(self, text: str, begun: int | None = None, code: str = "", connects: str = "") -> None:
        """Give out a part, which is `text`, and ends at `at`."""
        if code and (setting := _ESCAPES_OFF.search(self.text, self.start, self.at)):
            raise self._error(
                "the SQL sets `standard_conforming_strings`, which changes how quotes are read",
                setting.start(),
                "leave the setting on, and write strings with backslash escapes as E'…'",
            )
        first = self.line if begun is None else self._find_line(begun)
        last = self._find_line(max(self.start, self.at - 1))
        self.ready.append(Piece(text, first, last, code.strip(), connects=connects))
        self.line = self._find_line(self.at)
        self.in_line = not self.text.endswith("\n", self.start, self.at)
        self.start, self.begun = self.at, None
        self.code.clear()

    def _end_script(self, begun: int) -> Piece:
        """Return the last statement, which has no semicolon."""
        code = "".join(self.code)
        if self.depth > 0:
            raise self._error("a parenthesis is never closed", begun, "close it, or end the statement with `;`")
        if _is_inside_body(code):
            raise self._error("the body of a routine is never closed", begun, "end it with END")
        self._give(self.text[self.start :], begun, code)
        return replace(self.ready.pop(), rest="\n;\n\\." if copies_from_stdin(code) else "\n;")

    def _find_line(self, position: int) -> int:
        return self.line + self.text.count("\n", self.start, position)

    def _error(self, why: str, position: int, advice: str) -> ScriptError:
        return ScriptError(why, self._find_line(position), advice)


def _make_command_error(line: int) -> ScriptError:
    advice = "remove it; to dump, use `pg_dump --format=plain` on one database"
    return ScriptError("the SQL contains a psql backslash command", line, advice)


def copies_from_stdin(code: str) -> bool:
    """Tell whether data follow a statement: FROM stdin counts only outside names and parentheses."""
    if code.lstrip()[:4].lower() != "copy":
        return False
    code, count = _QUOTED_NAME.sub("x", code), 1
    while count:
        code, count = _INNERMOST.subn(" ", code)
    return _COPY.match(code) is not None


def _is_inside_body(code: str) -> bool:
    """Tell whether code ends inside the body of a routine: BEGIN ATOMIC …; … END."""
    if _ROUTINE.match(code) is None:
        return False
    marks = [mark.lower() for mark in _BODY_MARK.findall(_QUOTED_NAME.sub("x", code))]
    return "begin" in marks and sum(-1 if mark == "end" else 1 for mark in marks) > 0


def _is_name(character: str) -> bool:
    return character.isalnum() or character in "_$" or character >= "\x80"
