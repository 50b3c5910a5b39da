"""Find the routes of Rust applications: axum's `route` and `nest`, and the attributes of actix-web and Rocket."""

import re
from collections.abc import Iterator

from bench_action.init.routes.route import Route, make_path
from bench_action.init.routes.syntax import drop_comments
from bench_action.init.sources import Sources

_AXUM = re.compile(r'\.route\(\s*"([^"]*)"\s*,(?=([^;]{0,300}))')
_GET = re.compile(r"\bget\(")
_NEST = re.compile(r'\.nest\(\s*"([^"]*)"\s*,\s*(?:\w+::)*(\w+)')
_FUNCTION = re.compile(r"\bfn\s+(\w+)\s*[(<]")
_ATTRIBUTE = re.compile(r'#\[(?:\w+::)?get\(\s*"([^"]*)"')
_SCOPE = re.compile(r'\b(?:web::)?scope\(\s*"([^"]*)"\s*\)|\.mount\(\s*"([^"]*)"')
_DEEPEST = 6


def find_rust_routes(sources: Sources) -> Iterator[Route]:
    """Find all GET routes. A router is nested by the name of the function, or of the variable, that makes it."""
    texts = {file: drop_comments(sources.read(file)) for file in sources.find_code(".rs")}
    nested = {match[2]: match[1] for text in texts.values() for match in _NEST.finditer(text)}
    scopes = {match[1] or match[2] for text in texts.values() for match in _SCOPE.finditer(text)}
    scope = next(iter(scopes)) if len(scopes) == 1 else ""  # of several, it is not known which
    for file, text in texts.items():
        functions = [(match.start(), match[1]) for match in _FUNCTION.finditer(text)]
        for match in _AXUM.finditer(text):
            if _GET.search(re.split(r"\.(?:route|nest)\(", match[2])[0]):
                around = next((name for start, name in reversed(functions) if start < match.start()), "")
                yield Route(make_path(_find_prefix(text, match.start(), around, nested), match[1]), file)
        for match in _ATTRIBUTE.finditer(text):
            yield Route(make_path(scope, match[1]), file)


def _find_prefix(text: str, at: int, function: str, nested: dict[str, str]) -> str:
    """Find the prefix of the router that a route belongs to: of its variable, else of the function around it."""
    before = text[:at].rpartition("let ")[2]
    variable = re.match(r"(?:mut\s+)?(\w+)\s*(?::[^=;]+)?=", before)
    name = variable[1] if variable is not None and ";" not in before else function
    return nested.get(name, "")
