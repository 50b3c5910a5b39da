"""Find the routes of Go applications: net/http, chi, gorilla/mux, gin, echo and fiber."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath

from bench_action.init.routes.route import Route, make_path
from bench_action.init.routes.syntax import Found, drop_comments, scan_blocks
from bench_action.init.sources import Sources

_OPENING = r'\.(?:Route|Group)\(\s*"(?P<prefix>[^"]*)"\s*,\s*func'
_WANTED = r'\b(?P<var>\w+)\s*\.\s*(?P<kind>Get|GET|Handle|HandleFunc|HandlerFunc)\(\s*"(?P<path>[^"]*)"(?P<rest>[^\n]*)'
_GROUP = re.compile(r'\b(\w+)\s*:?=\s*(\w+)(?:\.\w+\([^)"]*\))*\.(?:Group|PathPrefix|Party)\(\s*"([^"]*)"')
_GROUPED = re.compile(r'\.(?:Group|PathPrefix|Party)\(\s*"([^"]*)"')
_NESTED = r"\((?:[^()]|\([^()]{0,200}\)){0,200}\)"
_ARGUMENTS = rf"[^()]{{0,500}}(?:{_NESTED}[^()]{{0,500}}){{0,5}}"
_ARGUMENT = re.compile(rf"(?:[^(),]|{_NESTED})+")
_PASSED = re.compile(r"\s*&?(?:\w+\.)*(\w+)(?:\s*\.\w+\(.*)?\s*", re.DOTALL)
_CALL = (
    r"(?:\b(?P<package>\w+)\.)?(?<!\w)(?P<function>(?!(?:Route|Group|Use|func)\b)\w+)"
    rf"\((?=(?P<path>{_ARGUMENTS})\))"
)
_PARAMETER = re.compile(r"\s*(\w+)\s+.*(?:Router|Group|Engine|Echo|App|Mux)\b", re.DOTALL)
_DECLARED = re.compile(r"\b(\w+)\s*(?:,\s*\w+\s*)?:=|\bvar\s+(\w+)")
_GUARD = re.compile(r"auth(?!ors?\b)|jwt|login|protect", re.IGNORECASE)
# `AuthMiddleware(false)` lets everybody pass
_USES_GUARD = (
    r"\b(?P<receiver>\w+)\.Use\((?![^\n]{0,200}\(false\))[^)\n]{0,200}(?:[aA]uth|[jJ][wW][tT]|[lL]ogin|[vV]erif)"
)
_MOUNT = re.compile(r'\b(\w+)\.Mount\(\s*"([^"]*)"\s*,\s*&?(?:(\w+)(?:\{\})?\.)?(\w+)\(')
_MOUNTED = re.compile(r'\b(\w+)\.Mount\(\s*"([^"]*)"\s*,\s*(\w+)\s*\)')
_PACKAGE = re.compile(r"^package (\w+)", re.MULTILINE)
_MADE = re.compile(r"^func\s+(?:\(\s*\w+\s+\*?(\w+)\s*\)\s*)?(\w+)\(", re.MULTILINE)
_DEEPEST = 6
_MOST_CALLS = 100  # of functions of one name, and functions of that name
_MOST_PREFIXES = 20  # of one function


@dataclass(frozen=True, slots=True, eq=False)
class _Function:
    """A function: where it starts in its file, and the groups that its variables stand for.

    `parameter`: its router or group, the argument number `place`; empty if it takes none.
    """

    start: int
    folder: str
    package: str
    receiver: str = ""
    name: str = ""
    parameter: str = ""
    place: int = 0
    groups: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A call of a function with a group. `package`: what is written before its name, which may be a variable too.

    `inherits`: the group belongs to the parameter of the function that calls. `guarded`: it requires authentication.
    """

    around: _Function
    package: str
    path: str
    inherits: bool
    guarded: bool

    def reaches(self, function: _Function) -> bool:
        """Whether this names the function by its package, or calls it within its own."""
        if function.receiver:
            return False
        return self.package == function.package if self.package else self.around.folder == function.folder


@dataclass(frozen=True, slots=True)
class _Project:
    """Functions that take a group, by name, and calls of them by name and by the number of that argument."""

    functions: Mapping[str, list[_Function]]
    calls: Mapping[tuple[str, int], list[_Call]]
    _prefixes: dict[_Function, list[tuple[str, bool]]] = field(default_factory=dict)

    def list_prefixes(self, function: _Function, depth: int = 0) -> list[tuple[str, bool]]:
        """List the paths of the groups that a function is called with; `{mounted}` if it may be another that is.

        With each: whether the group requires authentication.
        """
        if function not in self._prefixes:
            self._prefixes[function] = []  # of one that calls itself
            self._prefixes[function] = self._find_prefixes(function, depth)
        return self._prefixes[function]

    def _find_prefixes(self, function: _Function, depth: int) -> list[tuple[str, bool]]:
        taking = function.parameter and depth < _DEEPEST
        calls = self.calls.get((function.name, function.place), [])[:_MOST_CALLS] if taking else []
        others = [each for each in self.functions.get(function.name, [])[:_MOST_CALLS] if each is not function]
        mine = [call for call in calls if call.reaches(function)]
        rivals = [each for each in others if any(call.reaches(each) for call in mine)]
        if not mine:
            mine = [call for call in calls if not any(map(call.reaches, others))]
            rivals = [each for each in others if not any(call.reaches(each) for call in calls)]
        found = {
            (make_path(above, call.path), call.guarded or guarded): None
            for call in mine
            for above, guarded in (self.list_prefixes(call.around, depth + 1) if call.inherits else [("", False)])
        }
        if rivals and len({path for path, _ in found}) > 1:
            return [("{mounted}", any(guarded for _, guarded in found))]
        return list(found)[:_MOST_PREFIXES] or [("", False)]


def find_go_routes(sources: Sources) -> Iterator[Route]:
    """Find all routes. Prefixes of groups are followed through variables, and into functions that take a group."""
    texts = {file: drop_comments(sources.read(file)) for file in sources.find_code(".go")}
    texts = {file: text for file, text in texts.items() if '("' in text}
    functions = {file: _read_functions(file, text) for file, text in texts.items()}
    project, mounted = _find_calls(texts, functions), _find_mounted(texts, functions)
    for file, text in texts.items():
        guards = _find_guards(text)
        for found in scan_blocks(text, _OPENING, _WANTED, inside=_USES_GUARD):
            path = _read_path(found.match)
            if path is None:
                continue
            function, chain = _find_around(functions[file], found.match.start()), {found.match["var"]}
            prefix, top = _follow(found.match["var"], function.groups, chain)
            behind = _is_guarded(chain, found, guards) or _is_behind(found.match["rest"])
            mount = _find_mount(function, mounted)
            for above, guarded in project.list_prefixes(function) if top == function.parameter else [("", False)]:
                yield Route(make_path(mount, above, prefix, *found.prefixes, path), file, behind or guarded)


def _find_guards(text: str) -> dict[str, list[tuple[int, bool]]]:
    """Find where groups are made, by their variables, and whether they require authentication."""
    found: dict[str, list[tuple[int, bool]]] = {}
    for match in _GROUP.finditer(text):
        guarded = _GUARD.search(text[match.end() : text.find("\n", match.end())]) is not None
        found.setdefault(match[1], []).append((match.start(), guarded))
    return found


def _is_guarded(names: Iterable[str], found: Found, guards: Mapping[str, list[tuple[int, bool]]]) -> bool:
    """Whether one of several groups requires authentication, by how it was made last or by what its block says."""
    for name in names:
        made = guards.get(name, [])
        index = bisect_left(made, (found.match.start(), False))
        if name in found.guards or (index and made[index - 1][1]):
            return True
    return False


def _read_functions(file: str, text: str) -> list[_Function]:
    """Read the functions of a file; the first one stands for what is before them."""
    folder, match = PurePosixPath(file).parent, _PACKAGE.search(text)
    package, everywhere = match[1] if match else folder.name, _find_groups(text)
    found = [_Function(0, str(folder), package, groups=everywhere)]
    matches = list(_MADE.finditer(text))
    ends = [after.start() for _, after in pairwise(matches)] + [len(text)]
    for match, end in zip(matches, ends, strict=False):
        listed = re.compile(_ARGUMENTS).match(text, match.end())
        parameters = _ARGUMENT.findall(listed[0]) if listed else []
        routers = [(at, router[1]) for at, each in enumerate(parameters) if (router := _PARAMETER.match(each))]
        place, parameter = next(iter(routers), (0, ""))
        own = text[match.start() : end]
        declared = {name for names in _DECLARED.findall(own) for name in names} | {
            each.split()[0] for each in parameters if each.strip()
        }
        groups = {name: group for name, group in everywhere.items() if name not in declared} | _find_groups(own)
        found.append(_Function(match.start(), str(folder), package, match[1] or "", match[2], parameter, place, groups))
    return found


def _find_around(functions: list[_Function], at: int) -> _Function:
    return functions[max(0, bisect_right(functions, at, key=lambda each: each.start) - 1)]


def _find_calls(texts: Mapping[str, str], functions: Mapping[str, list[_Function]]) -> _Project:
    """Find the functions that take a group, and what they are called with."""
    taking: dict[str, list[_Function]] = {}
    for function in (each for listed in functions.values() for each in listed if each.parameter):
        taking.setdefault(function.name, []).append(function)
    places = {name: dict.fromkeys(each.place for each in listed) for name, listed in taking.items()}
    calls: dict[tuple[str, int], list[_Call]] = {}
    for file, text in texts.items():
        guards = _find_guards(text)
        for found in scan_blocks(text, _OPENING, _CALL, inside=_USES_GUARD):
            name, around = found.match["function"], _find_around(functions[file], found.match.start())
            for place in places.get(name, ()):
                arguments = _ARGUMENT.findall(found.match["path"])
                passed = _PASSED.fullmatch(arguments[place]) if place < len(arguments) else None
                if passed is not None:
                    chain = {passed[1]}
                    prefix, top = _follow(passed[1], around.groups, chain)
                    path = make_path(prefix, *found.prefixes, *_GROUPED.findall(arguments[place]))
                    package = found.match["package"] or ""
                    inherits = bool(top) and top == around.parameter
                    made = _GROUPED.split(arguments[place])[-1]  # what a group that is made there uses
                    behind = _is_guarded(chain, found, guards) or _GUARD.search(made) is not None
                    calls.setdefault((name, place), []).append(_Call(around, package, path, inherits, behind))
    return _Project(taking, calls)


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


def _follow(variable: str, groups: Mapping[str, tuple[str, str]], chain: set[str]) -> tuple[str, str]:
    """Follow a variable to the groups that it was made from; return their common prefix, and the variable above."""
    parts: list[str] = []
    while variable in groups and len(parts) < _DEEPEST:  # `chain`: the groups on the way, from the first one
        variable, prefix = groups[variable]
        parts.insert(0, prefix)
        if variable in chain or variable not in groups:
            break
        chain.add(variable)
    return make_path(*parts) if parts else "", variable


def _find_mounted(texts: Mapping[str, str], functions: Mapping[str, list[_Function]]) -> dict[tuple[str, str], str]:
    """Find what `Mount` mounts: receiver (empty: any) and name of the function that makes a router → its path."""
    found: dict[tuple[str, str], str] = {}
    for file, text in texts.items():
        for match in _MOUNT.finditer(text):
            around = _find_around(functions[file], match.start())
            path = make_path(_follow(match[1], around.groups, {match[1]})[0], match[2])
            found.setdefault((match[3] or "", match[4]), path)
    return found


def _find_mount(function: _Function, mounted: Mapping[tuple[str, str], str]) -> str:
    """Find under which path the router is mounted that a function makes; empty if under none."""
    receiver, name = function.receiver, function.name
    if receiver and (receiver, name) in mounted:
        return mounted[receiver, name]
    if not receiver and (found := mounted.get((function.package, name), mounted.get(("", name)))) is not None:
        return found
    same = {path for (_, other), path in mounted.items() if other == name}
    return "{mounted}" if len(same) > 1 else "".join(same)
