"""Read SQL scripts the way psql does: find each statement, and refuse what a script must not contain. Pure.

psql's rules (its documentation, "Meta-Commands"; `psqlscan.l`): a backslash outside quotes, comments and COPY data
begins a psql command, which may run programs and read files on the server's machine. Scripts come from pull requests,
so every psql command is refused, except for the two that pg_dump writes to guard against such commands.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

# everything that may change how the text after it is read; anything between two of these is plain code
_SPECIAL = re.compile(r"""['"\\;()]|--|/\*|\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$""")
_ESCAPED = re.compile(r"[^'\\]*+(?:\\.[^'\\]*+)*+'", re.DOTALL)
_CONTINUED = re.compile(r"[ \t\f\r\v]*\n\s*'")
_NESTED = re.compile(r"/\*|\*/")
_COPY = re.compile(r"\s*copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_END_OF_DATA = re.compile(r"^\\\.\r?$", re.MULTILINE)
_GUARD = re.compile(r"\\(?:un)?restrict[ \t]+\w+[ \t]*\r?$", re.MULTILINE)  # pg_dump since August 2025
_ESCAPES_OFF = re.compile(r"standard_conforming_strings(?!\s*(?:=|to)\s*'?on\b)", re.IGNORECASE)


class ScriptError(ValueError):
    """A script cannot be run: why, at which `line` (from 1), and what to do. Never quotes the script."""

    def __init__(self, why: str, line: int, advice: str) -> None:
        super().__init__(why)
        self.why, self.line, self.advice = why, line, advice


@dataclass(frozen=True, slots=True)
class Script:
    """A script that may be run. `begins` and `ends`: the first and the last line of each statement.

    `rest`: what must follow to end its last statement, or the data of that statement; empty if it is complete.
    """

    text: str
    begins: Sequence[int]
    ends: Sequence[int]
    rest: str

    def describe_line(self, line: int) -> str:
        """Name a line, and its statement, for a message: psql reports the line on which a statement ends."""
        number = bisect_left(self.ends, line)
        if number >= len(self.ends):
            return f"line {line}"
        return f"line {line}, in statement {number + 1}, which begins on line {self.begins[number]}"


def read_script(text: str) -> Script:
    """Check a script. Raises ScriptError for an unclosed quote, comment or parenthesis, and for psql commands."""
    if "\0" in text:
        raise ScriptError(
            "the SQL is not plain text", _find_line(text, text.index("\0")), "dump with `pg_dump --format=plain`"
        )
    if setting := _ESCAPES_OFF.search(text):
        raise ScriptError(
            "the SQL sets `standard_conforming_strings`, which changes how quotes are read",
            _find_line(text, setting.start()),
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
        """Walk from one special character to the next."""
        while (special := _SPECIAL.search(self.text, self.at)) is not None:
            self._take_code(special.start())
            self.at = special.end()
            self._take_special(special[0], special.start())
        self._take_code(len(self.text))
        if self.depth > 0 and self.begun is not None:
            raise self._error("a parenthesis is never closed", self.begun, "close it, or end the statement with `;`")
        rest = ("" if self.text.endswith("\n") else "\n") + "\\." if self.data_open else ""
        if self.begun is not None:
            self.bounds.append((self.begun, len(self.text)))
            rest = "\n;"
        breaks = [match.start() for match in re.finditer("\n", self.text)]
        begins, ends = ([bisect_left(breaks, bound[side]) + 1 for bound in self.bounds] for side in (0, 1))
        return Script(self._blank_out(), begins, ends, rest)

    def _blank_out(self) -> str:
        """Replace what psql must not see by spaces, so that positions are unchanged."""
        kept, at = [], 0
        for start, end in self.blanks:
            kept += [self.text[at:start], " " * (end - start)]
            at = end
        return "".join([*kept, self.text[at:]])

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
                self._begin(start)
                self.depth = max(0, self.depth + (1 if special == "(" else -1))
            case _:
                self._begin(start)
                self._skip_quoted(special, start)

    def _begin(self, start: int) -> None:
        if self.begun is None:
            self.begun = start
        self.code.append(" ")

    def _skip_comment(self, start: int) -> None:
        depth = 1
        while depth:
            mark = _NESTED.search(self.text, self.at)
            if mark is None:
                raise self._error("a comment is never closed", start, "close it with */")
            depth += 1 if mark[0] == "/*" else -1
            self.at = mark.end()
        self.code.append(" ")

    def _take_semicolon(self) -> None:
        if self.depth > 0:  # it does not end the statement, as in CREATE RULE … DO (…; …)
            self.code.append(";")
            return
        if self.begun is None:  # after COPY's data, an empty statement makes psql wait for more data: leave it out
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

    def _take_backslash(self, start: int) -> None:
        if self.text[self.at : self.at + 1] in {";", ":"}:  # how psql writes these two within a statement
            self.at += 1
            return
        guard = _GUARD.match(self.text, start)
        if guard is None or self.begun is not None or self.text[:start].rpartition("\n")[2].strip():
            advice = "remove it; to dump, use `pg_dump --format=plain` on one database, without `--create`"
            raise self._error("the SQL contains a psql backslash command", start, advice)
        self.blanks.append(guard.span())
        self.at = guard.end()

    def _skip_quoted(self, quote: str, start: int) -> None:
        if quote == "'" and self._has_escapes(start):
            end = self._find_escaped_end(start)
        elif quote.startswith("$") and start and _is_name(self.text[start - 1]):
            return  # a dollar within a name
        else:  # a doubled quote closes one text and opens the next: the result is the same
            closing = self.text.find(quote, self.at)
            end = closing + len(quote) if closing >= 0 else -1
        if end < 0:
            what = {"'": "a quoted text", '"': "a quoted name"}.get(quote, "a dollar-quoted text")
            raise self._error(f"{what} is never closed", start, "close the quote that opens there")
        self.at = end

    def _has_escapes(self, start: int) -> bool:
        """Tell whether a quote begins E'…', in which backslashes escape."""
        before = self.text[max(0, start - 2) : start]
        return before[-1:] in {"e", "E"} and not (len(before) > 1 and _is_name(before[0]))

    def _find_escaped_end(self, start: int) -> int:
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
        return ScriptError(why, _find_line(self.text, position), advice)


def _find_line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _is_name(character: str) -> bool:
    return character.isalnum() or character in "_$" or character >= "\x80"
