"""Find the routes of Go applications: net/http, chi, gorilla/mux, gin, echo and fiber."""

import re
from collections.abc import Iterator

from bench_action.init.routes.route import Route, make_path
from bench_action.init.routes.syntax import drop_comments, scan_blocks
from bench_action.init.sources import Sources

_OPENING = r'\.(?:Route|Group)\(\s*"(?P<prefix>[^"]*)"\s*,\s*func'
_WANTED = r'\b(?P<var>\w+)\s*\.\s*(?P<kind>Get|GET|Handle|HandleFunc|HandlerFunc)\(\s*"(?P<path>[^"]*)"(?P<rest>[^\n]*)'
_GROUP = re.compile(r'\b(\w+)\s*:?=\s*(\w+)(?:\.\w+\([^)"]*\))*\.(?:Group|PathPrefix|Party)\(\s*"([^"]*)"')
_PASSED = re.compile(r"\b(?:\w+\.)?(\w+)\(\s*(\w+)\b")
_FUNCTION = re.compile(
    r"\bfunc\s+(?:\([^)]{0,200}\)\s*)?(\w+)\(\s*(\w+)\s+[^)]{0,300}?(?:Router|Group|Engine|Echo|App|Mux)\b"
)
_GUARD = re.compile(r"auth(?!ors?\b)|jwt|login|protect", re.IGNORECASE)
_USES_GUARD = r"\b(?P<receiver>\w+)\.Use\([^)\n]*(?:[aA]uth|[jJ][wW][tT]|[lL]ogin|[vV]erif)"
_PASSED_GROUP = re.compile(r'\b(?:\w+\.)?(\w+)\(\s*(\w+)\.(?:Group|PathPrefix|Party)\(\s*"([^"]*)"')
_MOUNT = re.compile(r'\b(\w+)\.Mount\(\s*"([^"]*)"\s*,\s*&?(?:(\w+)(?:\{\})?\.)?(\w+)\(')
_MOUNTED = re.compile(r'\b(\w+)\.Mount\(\s*"([^"]*)"\s*,\s*(\w+)\s*\)')
_PACKAGE = re.compile(r"^package (\w+)", re.MULTILINE)
_MADE = re.compile(r"^func\s+(?:\(\s*\w+\s+\*?(\w+)\s*\)\s*)?(\w+)\(", re.MULTILINE)
_DEEPEST = 6


def find_go_routes(sources: Sources) -> Iterator[Route]:
    """Find all routes. Prefixes of groups are followed through variables, and into functions that take a group."""
    texts = {file: drop_comments(sources.read(file)) for file in sources.find_code(".go")}
    texts = {file: text for file, text in texts.items() if '("' in text}
    passed, mounted = _find_passed(texts), _find_mounted(texts)
    for file, text in texts.items():
        groups = _find_groups(text)
        made = [
            (match.start(), match[1], _GUARD.search(text[match.end() : text.find("\n", match.end())]) is not None)
            for match in _GROUP.finditer(text)
        ]
        parameters = {match[2]: match[1] for match in _FUNCTION.finditer(text)}
        package = match[1] if (match := _PACKAGE.search(text)) else ""
        functions = [(match.start(), match[1] or "", match[2]) for match in _MADE.finditer(text)]
        for found in scan_blocks(text, _OPENING, _WANTED, inside=_USES_GUARD):
            path = _read_path(found.match)
            if path is None:
                continue
            variable, chain = found.match["var"], set[str]()
            prefix = _follow(variable, groups, parameters, passed, chain)
            guards = {
                name: guarded for start, name, guarded in made if start < found.match.start()
            }  # the last of a name
            behind = any(guards.get(name) or name in found.guards for name in {variable, *chain})
            behind = behind or _is_behind(found.match["rest"])
            mount = _find_mount(functions, found.match.start(), mounted, package)
            yield Route(make_path(mount, prefix, *found.prefixes, path), file, behind)


def _is_behind(arguments: str) -> bool:
    """Whether what follows a route's path requires authentication: a function around the handler, or next to it."""
    functions = arguments.partition("func(")[0].strip(" ,)").split(",")
    return "Auth(" in arguments or (len(functions) > 1 and any(map(_GUARD.search, functions)))


def _find_groups(text: str) -> dict[str, tuple[str, str]]:
    """Find the groups of a file: variable → the variable that it belongs to, and its path."""
    groups = {match[3]: (match[1], match[2]) for match in _MOUNTED.finditer(text)}
    return {**groups, **{match[1]: (match[2], match[3]) for match in _GROUP.finditer(text)}}


def _read_path(match: re.Match[str]) -> str | None:
    """Return the path of a match that may answer GET; None if it is another call, or another method."""
    path, kind = match["path"], match["kind"]
    if " " in path:  # "GET /items", since Go 1.22
        method, _, path = path.partition(" ")
        if method != "GET":
            return None
        path = path[path.find("/") :] if "/" in path else path
    if "Methods(" in match["rest"] and "GET" not in match["rest"].upper().partition("METHODS(")[2]:
        return None
    path = path.replace("{$}", "")
    if path.startswith("/"):
        return path
    return path if path == "" and kind in {"GET", "Get"} and "," in match["rest"] else None


def _follow(
    variable: str,
    groups: dict[str, tuple[str, str]],
    parameters: dict[str, str],
    passed: dict[str, str],
    chain: set[str],
) -> str:
    """Follow a variable to the groups that it was made from; return their common prefix."""
    parts: list[str] = []
    while variable in groups and variable not in chain and len(parts) < _DEEPEST:
        chain.add(variable)
        variable, prefix = groups[variable]
        parts.insert(0, prefix)
    if variable in parameters and parameters[variable] in passed:
        parts.insert(0, passed[parameters[variable]])
    return make_path(*parts) if parts else ""


def _find_passed(texts: dict[str, str]) -> dict[str, str]:
    """Find functions that are called with a group, and that group's prefix in the calling file."""
    functions = {match[1] for text in texts.values() for match in _FUNCTION.finditer(text)}
    found: dict[str, str] = {}
    for text in texts.values():
        groups = _find_groups(text)
        for match in _PASSED_GROUP.finditer(text):
            if match[1] in functions:
                found.setdefault(match[1], make_path(_follow(match[2], groups, {}, {}, set()), match[3]))
        for match in _PASSED.finditer(text):
            if match[1] in functions and match[2] in groups:
                found.setdefault(match[1], _follow(match[2], groups, {}, {}, set()))
    return found


def _find_mounted(texts: dict[str, str]) -> dict[tuple[str, str], str]:
    """Find what `Mount` mounts: receiver (empty: any) and name of the function that makes a router → its path."""
    found: dict[tuple[str, str], str] = {}
    for text in texts.values():
        groups = _find_groups(text)
        for match in _MOUNT.finditer(text):
            path = make_path(_follow(match[1], groups, {}, {}, set()), match[2])
            found.setdefault((match[3] or "", match[4]), path)
    return found


def _find_mount(
    functions: list[tuple[int, str, str]], at: int, mounted: dict[tuple[str, str], str], package: str
) -> str:
    """Find under which path the router is mounted that the function at a place makes; empty if under none."""
    around = next(((receiver, name) for start, receiver, name in reversed(functions) if start < at), None)
    if around is None:
        return ""
    receiver, name = around
    if receiver and (receiver, name) in mounted:
        return mounted[receiver, name]
    if not receiver and (found := mounted.get((package, name), mounted.get(("", name)))) is not None:
        return found
    same = [path for (_, other), path in mounted.items() if other == name]
    return same[0] if len(same) == 1 else ""
