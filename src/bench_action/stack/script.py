"""SQL scripts as psql reads them: where each statement is, and what must not be in one. Pure.

psql's rules (its documentation, "Meta-Commands"; `psqlscan.l`): a backslash outside of quotes, comments and COPY data
begins a command of psql's own, which may run programs and read files beside the server. Scripts are data of a pull
request, so every such command is refused, except for the two that pg_dump writes to guard against them.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

# what may change how the text after it is read; everything between two of these is plain code
_SPECIAL = re.compile(r"""['"\\;()]|--|/\*|\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$""")
_ESCAPED = re.compile(r"[^'\\]*+(?:\\.[^'\\]*+)*+'", re.DOTALL)
_CONTINUED = re.compile(r"[ \t\f\r\v]*\n\s*'")
_NESTED = re.compile(r"/\*|\*/")
_COPY = re.compile(r"\s*copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_END_OF_DATA = re.compile(r"^\\\.\r?$", re.MULTILINE)
_GUARD = re.compile(r"\\(?:un)?restrict[ \t]+\w+[ \t]*\r?$", re.MULTILINE)  # pg_dump since August 2025
_ESCAPES_OFF = re.compile(r"standard_conforming_strings(?!\s*(?:=|to)\s*'?on\b)", re.IGNORECASE)


class ScriptError(ValueError):
    """Why a script cannot be run, `line` where (from 1), and what to do. Never any of the script's own text."""

    def __init__(self, why: str, line: int, advice: str) -> None:
        super().__init__(why)
        self.why, self.line, self.advice = why, line, advice


@dataclass(frozen=True, slots=True)
class Script:
    """A script that may be run. `ends`: the last line of each statement; `begins`: its first.

    `rest`: what is missing after it to end its last statement or that one's data; empty where nothing is.
    """

    text: str
    begins: Sequence[int]
    ends: Sequence[int]
    rest: str

    def place(self, line: int) -> str:
        """Name a line of it for a message: psql names the one on which a statement ends."""
        number = bisect_left(self.ends, line)
        if number >= len(self.ends):
            return f"line {line}"
        return f"line {line}, in statement {number + 1}, which begins on line {self.begins[number]}"


def read_script(text: str) -> Script:
    """Check a script. Raises ScriptError for an open quote, comment or parenthesis and for commands of psql's own."""
    if "\0" in text:
        raise ScriptError("the SQL is not text", _line(text, text.index("\0")), "dump with `pg_dump --format=plain`")
    if setting := _ESCAPES_OFF.search(text):
        raise ScriptError(
            "the SQL sets `standard_conforming_strings`, which changes what a quote is",
            _line(text, setting.start()),
            "leave the setting on, and write strings with backslash escapes as E'…'",
        )
    return _Reader(text).read()


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    depth: int = 0
    begun: int | None = None
    data_open: bool = False
    code: list[str] = field(default_factory=list)
    blanks: list[tuple[int, int]] = field(default_factory=list)
    bounds: list[tuple[int, int]] = field(default_factory=list)

    def read(self) -> Script:
        """Walk from one special place to the next."""
        while (special := _SPECIAL.search(self.text, self.at)) is not None:
            self._code(special.start())
            self.at = special.end()
            self._special(special[0], special.start())
        self._code(len(self.text))
        if self.depth > 0 and self.begun is not None:
            raise self._error("a parenthesis is never closed", self.begun, "close it, or end the statement with `;`")
        rest = ("" if self.text.endswith("\n") else "\n") + "\\." if self.data_open else ""
        if self.begun is not None:
            self.bounds.append((self.begun, len(self.text)))
            rest = "\n;"
        lines = _Lines(self.text)
        begins, ends = ([lines.number(bound[side]) for bound in self.bounds] for side in (0, 1))
        return Script(self._blanked(), begins, ends, rest)

    def _blanked(self) -> str:
        kept, at = [], 0
        for start, end in self.blanks:
            kept += [self.text[at:start], " " * (end - start)]
            at = end
        return "".join([*kept, self.text[at:]])

    def _code(self, end: int) -> None:
        """Take plain code up to `end` into the statement under way."""
        piece = self.text[self.at : end]
        if piece.strip():
            if self.begun is None:
                self.begun = self.at + len(piece) - len(piece.lstrip())
            self.code.append(piece)

    def _special(self, found: str, start: int) -> None:
        match found[0]:
            case "-":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
                self.code.append(" ")
            case "/":
                self._comment(start)
            case ";":
                self._semicolon()
            case "\\":
                self._backslash(start)
            case "(" | ")":
                self._begin(start)
                self.depth = max(0, self.depth + (1 if found == "(" else -1))
            case _:
                self._begin(start)
                self._quoted(found, start)

    def _begin(self, start: int) -> None:
        if self.begun is None:
            self.begun = start
        self.code.append(" ")

    def _comment(self, start: int) -> None:
        depth = 1
        while depth:
            mark = _NESTED.search(self.text, self.at)
            if mark is None:
                raise self._error("a comment is never closed", start, "close it with */")
            depth += 1 if mark[0] == "/*" else -1
            self.at = mark.end()
        self.code.append(" ")

    def _semicolon(self) -> None:
        if self.depth > 0:  # psql goes on, as in CREATE RULE … DO (…; …)
            self.code.append(";")
            return
        if self.begun is None:  # an empty statement after COPY's data has psql wait for data again: leave it out
            self.blanks.append((self.at - 1, self.at))
            return
        end = self.at
        if _COPY.match("".join(self.code)):
            line_end = self.text.find("\n", self.at)
            data = _END_OF_DATA.search(self.text, len(self.text) if line_end < 0 else line_end + 1)
            self.at = end = data.end() if data else len(self.text)
            self.data_open = data is None
        self.bounds.append((self.begun, end))
        self.begun = None
        self.code.clear()

    def _backslash(self, start: int) -> None:
        if self.text[self.at : self.at + 1] in {";", ":"}:  # psql's way to write these two within a statement
            self.at += 1
            return
        guard = _GUARD.match(self.text, start)
        if guard is None or self.begun is not None or self.text[:start].rpartition("\n")[2].strip():
            advice = "leave commands of psql out; dump one database, without `--create`, with `pg_dump --format=plain`"
            raise self._error("the SQL has a backslash command of psql", start, advice)
        self.blanks.append(guard.span())
        self.at = guard.end()

    def _quoted(self, found: str, start: int) -> None:
        if found == "'" and self._escapes(start):
            end = self._escaped(start)
        elif found.startswith("$") and start and _is_name(self.text[start - 1]):
            return  # a dollar within a name
        else:  # a doubled quote closes one and opens the next, which comes to the same
            closing = self.text.find(found, self.at)
            end = closing + len(found) if closing >= 0 else -1
        if end < 0:
            what = {"'": "a quoted text", '"': "a quoted name"}.get(found, "a dollar-quoted text")
            raise self._error(f"{what} is never closed", start, "close the quote that is opened there")
        self.at = end

    def _escapes(self, start: int) -> bool:
        """Whether a quote belongs to E'…'."""
        before = self.text[max(0, start - 2) : start]
        return before[-1:] in {"e", "E"} and not (len(before) > 1 and _is_name(before[0]))

    def _escaped(self, start: int) -> int:
        at = start + 1
        while (match := _ESCAPED.match(self.text, at)) is not None:
            at = match.end()
            if self.text[at : at + 1] == "'":
                at += 1
            elif more := _CONTINUED.match(self.text, at):
                at = more.end()
            else:
                return at
        return -1

    def _error(self, why: str, position: int, advice: str) -> ScriptError:
        return ScriptError(why, _line(self.text, position), advice)


class _Lines:
    """Line numbers of growing positions, each found from the one before."""

    def __init__(self, text: str) -> None:
        self._starts = [match.end() for match in re.finditer("\n", text)]

    def number(self, position: int) -> int:
        return bisect_left(self._starts, position + 1) + 1


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _is_name(character: str) -> bool:
    return character.isalnum() or character in "_$" or character >= "\x80"
