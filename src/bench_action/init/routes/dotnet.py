"""Find the routes of ASP.NET Core: attributes of controllers, and `MapGet` of minimal APIs."""

import re
from collections.abc import Iterator, Mapping

from bench_action.init.routes.route import Route, make_path, make_query
from bench_action.init.routes.syntax import drop_comments, find_statement_end
from bench_action.init.sources import Sources

_PART = re.compile(
    r"\[(?P<attributes>[A-Z][^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]|\bclass\s+(?P<class>\w+)(?:\([^)]*\))?(?:\s*:\s*(?P<base>\w+))?|"
    r"\b(?:public|internal)\s+(?:(?:async|virtual|override|static)\s+)*"
    r"[\w<>\[\],.? ]{1,200}?\s+(?P<method>\w+)\s*\((?P<parameters>[^;{}]{0,500})"
)
_BASE = re.compile(r'\[Route\(\s*"([^"]*)"\s*\)\](?:\s*\[[^\]]*\])*\s*public\s+(?:abstract\s+)?class\s+(\w+)')
_MAP_GET = re.compile(r'\b(\w+)\.MapGet\(\s*"([^"]*)"')
_GROUP = re.compile(r'\b(\w+)\s*=\s*(\w+)\.MapGroup\(\s*"([^"]*)"\s*\)([^;]*)')
_QUERY = re.compile(r"\[FromQuery[^\]]*\]\s*(\w+)\s+(\w+)\s*(?=[,)]|$)")
_AUTHORIZED = re.compile(r"\bAuthorize\b")
_ANONYMOUS = re.compile(r"\bAllowAnonymous\b")
_DEEPEST = 6


def find_dotnet_routes(sources: Sources) -> Iterator[Route]:
    """Find all GET routes. `[controller]` and `[action]` stand for names."""
    texts = {file: drop_comments(sources.read(file)) for file in sources.find_code(".cs")}
    bases = {match[2]: match[1] for text in texts.values() for match in _BASE.finditer(text)}
    for file, text in texts.items():
        if "[Http" in text or "[Route" in text:
            yield from _read_controllers(text, file, bases)
        if "MapGet(" in text:
            yield from _read_minimal(text, file)


def _read_controllers(text: str, file: str, bases: Mapping[str, str]) -> Iterator[Route]:
    """Read attributes in front of classes and methods. `bases`: classes with a route, which others inherit."""
    pending: list[str] = []
    prefix, name, behind = "", "", False
    for match in _PART.finditer(text):
        if match["attributes"] is not None:
            pending.append(match["attributes"])
            continue
        attributes, pending = pending, []
        if match["class"] is not None:
            name = match["class"].removesuffix("Controller")
            prefix = _find_template(attributes, "Route") or bases.get(match["base"] or "", "")
            behind = _is_guarded(attributes)
            continue
        if not any(re.search(r"\bHttpGet\b", each) for each in attributes):
            continue
        own = _find_template(attributes, "HttpGet") or _find_template(attributes, "Route") or ""
        path = own[1:] if own.startswith("~") else own if own.startswith("/") else f"{prefix}/{own}"
        action = _find_template(attributes, "ActionName") or match["method"].removesuffix("Async")
        path = re.sub(r"\[controller\]", name, path, flags=re.IGNORECASE)
        path = action.join(re.split(r"\[action\]", path, flags=re.IGNORECASE))
        needed = [found[2] for found in _QUERY.finditer(match["parameters"] or "") if not found[1].endswith("?")]
        guarded = _is_guarded(attributes) or (behind and not any(map(_ANONYMOUS.search, attributes)))
        yield Route(make_path(path.rstrip("/")) + make_query(needed), file, guarded)


def _find_template(attributes: list[str], name: str) -> str | None:
    """Find the text that an attribute begins with: of `HttpGet("all", Name = "x")`, `all`; None without one."""
    matches = (re.search(rf'\b{name}\s*\(\s*"([^"]*)"', each) for each in attributes)
    return next((match[1] for match in matches if match is not None), None)


def _is_guarded(attributes: list[str]) -> bool:
    return any(map(_AUTHORIZED.search, attributes)) and not any(map(_ANONYMOUS.search, attributes))


def _read_minimal(text: str, file: str) -> Iterator[Route]:
    groups = {match[1]: (match[2], match[3], "RequireAuthorization" in match[4]) for match in _GROUP.finditer(text)}
    for match in _MAP_GET.finditer(text):
        variable, parts, guarded = match[1], [match[2]], False
        for _ in range(_DEEPEST):
            if variable not in groups:
                break
            variable, path, own = groups[variable]
            parts.insert(0, path)
            guarded = guarded or own
        statement = text[match.start() : find_statement_end(text, match.start())]
        yield Route(make_path(*parts), file, guarded or "RequireAuthorization" in statement)
