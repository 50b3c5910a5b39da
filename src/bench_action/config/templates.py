"""Placeholders in requests: `{seq}`, `{random: 1..50}`, `{csv: users.csv, column: id}`, `{session.token}`."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus

# `{{seq}}` and `${seq}` are other programs' own
_PLACEHOLDER = re.compile(r"(?<![{$])\{(?:(seq|random|csv)\b([^{}]*)|session\.([a-z][a-z0-9_]*))\}")
_RANGE = re.compile(r":\s*(\d{1,18})\s*\.\.\s*(\d{1,18})\s*")
_COLUMN = re.compile(r":\s*([^,]*[^,\s])\s*,\s*column:\s*(.*\S)\s*")


@dataclass(frozen=True, slots=True)
class Serial:
    """A number that no other request of a subject has: nine digits, so that requests are equally long."""


@dataclass(frozen=True, slots=True)
class Random:
    """A whole number, `low` and `high` included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Column:
    """The value of a column in a row of a CSV file; all columns of one request are of the same row."""

    file: str
    name: str


@dataclass(frozen=True, slots=True)
class FromSession:
    """A value that a reply of the session's requests contained."""

    name: str


Placeholder = Serial | Random | Column | FromSession
Part = str | Placeholder


def parse_template(text: str) -> tuple[Part, ...]:
    """Split a text into what is sent as it is and its placeholders. Raises ValueError for one that is incomplete."""
    return tuple(_split(text))


def find_placeholders(text: str) -> tuple[Placeholder, ...]:
    """Find the placeholders of a text. Raises ValueError as parse_template does."""
    return tuple(part for part in parse_template(text) if not isinstance(part, str))


def check_template(text: str) -> str:
    """Return a text whose placeholders are complete. Raises ValueError."""
    parse_template(text)
    return text


def check_path(text: str) -> str:
    """Return a path that has no spaces, except in placeholders. Raises ValueError."""
    for part in parse_template(text):
        if isinstance(part, str) and not all("!" <= character <= "~" for character in part):
            raise ValueError("a path has visible ASCII characters only: write others as `%20`, `%C3%A9`")
    return text


def check_header_name(text: str) -> str:
    """Return the name of a header without placeholders. Raises ValueError."""
    if _PLACEHOLDER.search(text):
        raise ValueError("a header's name is the same in all requests: placeholders are for values")
    return text


def find_content_type(headers: Mapping[str, str]) -> str:
    """Find the type of a body; empty if no header says it."""
    return next((value for name, value in headers.items() if name.lower() == "content-type"), "")


def encode_value(value: str, content_type: str) -> str:
    """Encode a value for a body of this type: for a form, or for a text within JSON; as it is for any other."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return quote_plus(value)
    if kind == "application/json" or kind.endswith("+json"):
        return json.dumps(value, ensure_ascii=False)[1:-1]
    return value


def shorten_template(text: str) -> str:
    """Shorten placeholders for the name of a route: `/items/{random}`, `/users/{id}`."""
    return "".join(part if isinstance(part, str) else f"{{{_name(part)}}}" for part in parse_template(text))


def drop_placeholders(text: str) -> str:
    """Leave out the placeholders of a text, such as `{session.user}`, which is no attribute of a service."""
    return "".join(part for part in parse_template(text) if isinstance(part, str))


def _name(part: Placeholder) -> str:
    match part:
        case Serial():
            return "seq"
        case Random():
            return "random"
        case Column():
            return part.name
        case FromSession():
            return f"session.{part.name}"


def _split(text: str) -> Iterator[Part]:
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        yield FromSession(match[3]) if match[3] else _parse(match[0], match[1], match[2])
        end = match.end()
    if end < len(text):
        yield text[end:]


def _parse(whole: str, kind: str, rest: str) -> Placeholder:
    match kind:
        case "seq":
            if rest:
                raise ValueError(f"{whole}: `{{seq}}` has no arguments")
            return Serial()
        case "random":
            found = _RANGE.fullmatch(rest)
            if found is None or int(found[1]) > int(found[2]):
                raise ValueError(f"{whole}: expected a range such as `{{random: 1..50000}}`")
            return Random(int(found[1]), int(found[2]))
        case _:
            found = _COLUMN.fullmatch(rest)
            if found is None:
                raise ValueError(f"{whole}: expected a file and a column, such as `{{csv: users.csv, column: id}}`")
            return Column(found[1], found[2])
