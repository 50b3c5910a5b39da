"""Read the files that a profile names: URLs of a mix, CSV files whose values its requests contain, a k6 script."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from bench_action.config.paths import ALLOWED_FILES, find_problem
from bench_action.config.schema import Config, ExpectedReply, Profile, Route, Row
from bench_action.config.scripts import read_script
from bench_action.config.templates import Column, find_placeholders
from bench_action.config.urls import split_url
from bench_action.model.errors import InputError

_MOST_ROUTES = 20
_MOST_ROWS = 1_000_000
_OTHERS = "other GETs"
# the common and the combined format of access logs
_LOGGED = re.compile(r'"([A-Z]+) (\S+) HTTP/[0-9.]+" (\d{3})\b')
_LINE = re.compile(r"(?:GET\s+)?(/\S*|https?://\S+)")
# parts of a path that say which object, not which route
_ID = re.compile(r"\d+|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# names of parameters, in words (`accessToken`, `api-key`), whose values may be secrets; not `tokens_used` and `author`
_SECRET = re.compile(
    r"(.* )?(signature|(api|access) ?key|bearer|auth|authorization|pwd|hmac|\w*sess(ion)? ?id)( (id|hash|value|key))?|"
    r"o?auth .*|si[dg]|otp|pin|pass"
)
# also within a word, as in `refreshtoken` and `secretkey`
_SECRET_WORD = re.compile(r".*(token|secret|session|passwd|password)|(token|secret|session|credential|passw|jwt).*")
_NO_SECRETS = frozenset({"tokens", "tokenizer", "sessions", "secrets", "secretary"})
_ABOUT = frozenset({"count", "limit", "size", "ttl", "type", "used"})  # what such a name ends with if it is no secret
_SHORT_NAMES, _LONG = {"code", "key"}, 16  # whose values may be secrets if they have so many characters
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_VALUE = re.compile(r"eyJ[\w-]{8,}\.[\w-]+|;jsessionid=", re.IGNORECASE)  # a JSON Web Token, a servlet's session
_UNSAFE_BYTES = re.compile(r"[^!-~]")


def read_mixes(config: Config, folder: Path, root: Path) -> Config:
    """Read the files that profiles name, and complete the requests of mixes. Raises InputError.

    `folder`: what their paths are relative to. `root`: the folder that they must be in.
    """
    profiles = {
        # a position is for serial numbers; without any, it may not tell one revision from the other
        name: _complete(name, profile, folder, root).at(position if profile.varies else 0)
        for position, (name, profile) in enumerate(config.profiles.items())
    }
    return config.model_copy(update={"profiles": profiles})


def _complete(name: str, profile: Profile, folder: Path, root: Path) -> Profile:
    """Complete a profile: routes from URLs, what routes take from their profile, and rows of CSV files."""
    where = f"profile {name}"
    if profile.k6 is not None:
        return profile.with_files(*read_script(profile.k6, folder, root, where))
    if not profile.varies:
        return profile
    routes = profile.routes
    if profile.urls is not None:
        routes = tuple(_read_urls(profile.urls, _read_text(profile.urls, folder, root, where), where))
    texts = [text for route in routes for text in (route.templates if not route.paths else route.templates[1:])]
    for request in profile.session.requests if profile.session is not None else ():
        texts += request.templates
    columns = {part for text in texts for part in find_placeholders(text) if isinstance(part, Column)}
    rows = {
        file: _read_rows(file, folder, root, columns, where) for file in sorted({column.file for column in columns})
    }
    if not profile.is_mix:
        return profile.with_data(rows)
    routes = tuple(_inherit(route, profile) for route in routes)
    return profile.with_data(rows, requests=list(routes), expect=_unite(routes))


def _inherit(route: Route, profile: Profile) -> Route:
    """Fill in what a route does not set itself: its name, what is expected of its replies, headers of the profile."""
    own = {name.lower() for name in route.headers}
    shared = {name: value for name, value in profile.headers.items() if name.lower() not in own}
    update = {"name": route.title, "expect": route.expect or profile.expect, "headers": {**shared, **route.headers}}
    return route.model_copy(update=update)


def _unite(routes: Sequence[Route]) -> ExpectedReply:
    """Unite what is expected of all replies: under load, no reply says which request it belongs to.

    If some of them write, others have more to show later: their sizes vary.
    """
    expected = [route.expect for route in routes if route.expect is not None]
    statuses = dict.fromkeys(status for each in expected for status in each.status)
    varies = any(each.size is not None for each in expected) or any(route.writes for route in routes)
    return ExpectedReply(status=list(statuses), size="varies" if varies else None)


def _read_text(file: str, folder: Path, root: Path, where: str) -> str:
    if problem := find_problem(folder / file, root, "file"):
        raise InputError(f"{where} names {file}, which {problem.text}", advice=ALLOWED_FILES)
    try:
        return (folder / file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{where}: could not read {file}: {error}", advice="save it as a text file in UTF-8"
        ) from error


def _read_rows(file: str, folder: Path, root: Path, columns: set[Column], where: str) -> tuple[Row, ...]:
    """Read a CSV file with a line of headings. Raises InputError if a column or every row is missing."""
    wanted = {column.name for column in columns if column.file == file}
    text = _read_text(file, folder, root, where)
    first = text.partition("\n")[0]
    delimiter = ";" if ";" in first and "," not in first else ","  # as spreadsheets write where `,` is in numbers
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, delimiter=delimiter)
    try:
        headings = [heading.strip() for heading in reader.fieldnames or ()]
        reader.fieldnames = headings
        if missing := sorted(wanted - set(headings)):
            raise InputError(
                f"{where}: {file} has no column {missing[0]!r}",
                advice=f"its first line must name the columns; it names {', '.join(headings) or 'none'}",
            )
        rows = tuple({name: row[name] or "" for name in sorted(wanted)} for row in reader)
    except csv.Error as error:
        raise InputError(f"{where}: could not read {file} as CSV: {error}", where=f"line {reader.line_num}") from error
    if not rows:
        raise InputError(f"{where}: {file} has no rows", advice="write one row for each request that may be sent")
    if len(rows) > _MOST_ROWS:
        raise InputError(f"{where}: {file} has more than {_MOST_ROWS:,} rows")
    for number, row in enumerate(rows, 2):
        if any("\0" in value or "\n" in value or "\r" in value for value in row.values()):
            raise InputError(f"{where}: {file}: row {number} has a line break or a NUL, which no request can contain")
    return rows


def _read_urls(file: str, text: str, where: str) -> Iterator[Route]:
    """Group the GETs of a file into routes, the most frequent first. Raises InputError if it has none, or a secret."""
    targets = list(_list_har(text, file, where) if file.lower().endswith(".har") else _list_lines(text))
    paths = [_UNSAFE_BYTES.sub(lambda found: quote(found[0]), target) for target in targets]
    if not paths:
        raise InputError(
            f"{where}: {file} has no GET requests",
            advice="write one URL a line, such as `/items?page=2`, or name a HAR file or an access log",
        )
    if named := next(filter(None, map(_find_secret, paths)), ""):
        raise InputError(
            f"{where}: {file} has a URL with {named}, which looks like a secret",
            cause="the paths of a profile are sent as they are, and shown in results",
            advice="remove it from the file, or log in with a test user (`session`)",
        )
    names = [_name_route(path) for path in paths]
    counts = Counter(names).most_common()
    shown = [name for name, _ in (counts if len(counts) <= _MOST_ROUTES else counts[: _MOST_ROUTES - 1])]
    grouped: dict[str, list[str]] = {name: [] for name in shown}
    for name, path in zip(names, paths, strict=True):
        grouped.setdefault(name if name in grouped else _OTHERS, []).append(path)
    largest = max(map(len, grouped.values()))
    for name, own in grouped.items():
        weight = len(own) if largest <= 1000 else max(1, round(1000 * len(own) / largest))
        yield Route.model_construct(
            path=own[0], method="GET", headers={}, body="", name=name, weight=weight
        ).with_paths(own)


def _find_secret(path: str) -> str:
    """Say what in a path looks like a secret, without quoting it; empty if nothing does."""
    parameters = parse_qsl(path.partition("?")[2])
    named = next((name for name, value in parameters if value and _may_be_secret(_split_words(name), value)), "")
    if named:
        return f"a value for {named!r}"
    return "a token in its path or query" if _SECRET_VALUE.search(path) else ""


def _may_be_secret(name: str, value: str) -> bool:
    words = name.split()
    part = any(_SECRET_WORD.fullmatch(word) and word not in _NO_SECRETS for word in words) and words[-1] not in _ABOUT
    return part or _SECRET.fullmatch(name) is not None or (name in _SHORT_NAMES and len(value) >= _LONG)


def _split_words(name: str) -> str:
    return " ".join(word.lower() for word in _WORD.findall(name))


def _name_route(path: str) -> str:
    segments = path.partition("?")[0].replace("`", "'").split("/")
    return f"GET {'/'.join('{id}' if _ID.fullmatch(segment) else segment for segment in segments)}"[:80]


def _list_har(text: str, file: str, where: str) -> Iterator[str]:
    """List the GETs of a HAR that were answered with 2xx by the server of the first one.

    Of each only path and query, never headers or cookies; what a browser asks other servers for is left out.
    """
    try:
        entries: list[Mapping[str, Any]] = json.loads(text)["log"]["entries"]
        found = [
            (each["request"]["method"], str(each["request"]["url"]), (each.get("response") or {}).get("status", 200))
            for each in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{where}: {file} is not a HAR file", cause=f"no `log.entries` with requests ({type(error).__name__})"
        ) from error
    pages = [
        (_find_host(url), url)
        for method, url, status in found
        if method == "GET" and url.startswith(("http://", "https://")) and str(status).startswith("2")
    ]
    yield from (path for host, url in pages if host == pages[0][0] and (path := _strip_host(url)))


def _list_lines(text: str) -> Iterator[str]:
    """List the GETs of lines with a URL each, or of an access log those with a status of 2xx; others are left out."""
    for line in text.splitlines():
        if logged := _LOGGED.search(line):
            if logged[1] == "GET" and logged[3].startswith("2") and (path := _strip_host(logged[2])):
                yield path
        elif (written := _LINE.fullmatch(line.strip())) and (path := _strip_host(written[1])):
            yield path


def _find_host(url: str) -> str:
    parts = split_url(url)
    return parts.netloc if parts is not None else ""


def _strip_host(url: str) -> str:
    """Return path and query of a URL; empty if it is none that can be requested."""
    parts = split_url(f"http://host{url}" if url.startswith("/") else url)
    if parts is None:
        return ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return path if path.startswith("/") and not path.startswith("//") else ""
