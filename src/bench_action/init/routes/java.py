"""Find the routes of Spring (Java and Kotlin): mappings of classes and methods."""

import re
from collections.abc import Iterator

from bench_action.init.routes.route import Route, make_path
from bench_action.init.routes.syntax import drop_comments
from bench_action.init.sources import Sources

_MAPPING = re.compile(
    r"@(GetMapping|RequestMapping|Path|GET)\b(?:\s*\(((?:[^()\"]|\"(?:\\.|[^\"\\])*\"|\([^()]*\))*)\))?|\b(class|interface)\s+\w+"
)
_TEXTS = re.compile(r'"([^"\\]*)"')
_NAMED = re.compile(r'\b(?:value|path)\s*=\s*(\{[^}]*\}|\[[^\]]*\]|"[^"]*")')


def find_spring_routes(sources: Sources) -> Iterator[Route]:
    """Find all GET routes; `@RequestMapping` of a method counts unless it names another method."""
    for file in sources.find_code(".java", ".kt"):
        text = sources.read(file)
        if "Mapping" in text:
            yield from _read(drop_comments(text), file)


def _read(text: str, file: str) -> Iterator[Route]:
    prefixes, pending, inside = [""], [""], False
    for match in _MAPPING.finditer(text):
        if match[3]:
            prefixes, pending, inside = pending, [""], True
            continue
        kind, arguments = match[1], match[2] or ""
        paths = _list_paths(arguments)
        if kind == "RequestMapping" and _precedes_class(text, match.end(), inside=inside):
            pending = paths
        elif kind == "GetMapping" or (kind == "RequestMapping" and ("method" not in arguments or "GET" in arguments)):
            yield from (Route(make_path(prefix, path), file) for prefix in prefixes for path in paths)


def _precedes_class(text: str, at: int, *, inside: bool) -> bool:
    """Whether an annotation belongs to a class: no parenthesis of a method comes before the word `class`."""
    rest = re.sub(r"@\w+(?:\s*\((?:[^()\"]|\"[^\"]*\")*\))?", " ", text[at : at + 2000])
    match = re.match(r"\s*(?:[\w<>,?\s]*?\s)?(class|interface)\s", rest)
    return match is not None or (not inside and "(" not in rest[:200])


def _list_paths(arguments: str) -> list[str]:
    named = _NAMED.search(arguments)
    if named is None and "=" in re.sub(_TEXTS, "", arguments):
        return [""]
    return _TEXTS.findall(named[1] if named else arguments) or [""]
