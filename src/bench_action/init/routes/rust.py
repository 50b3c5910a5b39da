"""Find the routes of Rust applications: axum's `route` and `nest`, actix-web's resources, and attributes (Rocket)."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

from bench_action.init.routes.route import Route, make_path
from bench_action.init.routes.syntax import drop_comments, find_statement_end
from bench_action.init.sources import Sources

_AXUM = re.compile(r'\.route\(\s*"([^"]*)"\s*,(?=([^;]{0,300}))')
_GET = re.compile(r"\bget\(")
_NEST = re.compile(
    r'\.(?:nest(?:_service)?\(\s*(?:"(?P<path>[^"]*)"|[^"(),;]{1,200}(?:\([^()]{0,200}\))?)\s*,|(?P<merge>merge)\()'
    r"\s*(?P<owner>(?:\w+::)*)(?P<name>\w+)(?P<called>\s*\()?"
)
_FUNCTION = re.compile(r"\bfn\s+(\w+)\s*[(<]")
_LET = re.compile(r"\blet\s+(?:mut\s+)?(\w+)\s*(?::[^=;]{1,200})?=")
_USE = re.compile(r"\buse\s+((?:\w+::)+)(?:(\w+)(?:\s+as\s+(\w+))?\s*;|\{([^{}]{0,1000})\})")
_USED = re.compile(r"([\w:]+)(?:\s+as\s+(\w+))?")
_RESOURCE = re.compile(r'\bresource\(\s*"([^"]*)"\s*\)(?=([^;]{0,300}))')
_NEXT_ROUTE = re.compile(r"\.(?:route|nest|service)\(")
_NEXT_RESOURCE = re.compile(r'\.service\(|\.route\(\s*"')
_ABOVE = frozenset({"crate", "self", "super"})
_UNNAMED = frozenset({"mod", "main", "lib", "src"})  # parts of paths that are no modules
_ATTRIBUTE = re.compile(r'#\[(?:\w+::)?get\(\s*"([^"]*)"')
_SCOPE = re.compile(r'(?:\b(?:web::)?scope|\.mount)\(\s*"([^"]*)"|\bweb::scope\(')
_DEEPEST = 6
_MOST_NAMED = 500  # functions of one name, and routers that are written in a call of a file
_MOST = 20  # prefixes of one router, and routers around one


class _Place(NamedTuple):
    """What makes a router: a function, a variable, or a call of `nest` with one that is written in it."""

    file: str
    start: int


@dataclass(frozen=True, slots=True)
class _File:
    """Where functions, variables, ends of statements, and routers that are written in a call are in a file.

    `modules`: those that the file is in, the outermost first. `uses`: name → the same with its modules.
    """

    name: str
    modules: list[str]
    functions: list[tuple[int, str]]
    variables: Mapping[str, list[int]]
    lets: list[int]
    ends: list[int]
    written: list[tuple[int, int]]
    uses: Mapping[str, list[str]]

    def find_function(self, at: int) -> int:
        """Find where the function around a place starts; -1 outside of any."""
        index = bisect_right(self.functions, at, key=lambda each: each[0])
        return self.functions[index - 1][0] if index else -1

    def find_place(self, at: int) -> _Place:
        """Find what makes the router that a call at a place belongs to."""
        last = bisect_left(self.written, (at, 0))
        for start, end in reversed(self.written[max(0, last - _MOST) : last]):
            if start < at < end:
                return _Place(self.name, start)
        function, index = self.find_function(at), bisect_left(self.lets, at)
        let = self.lets[index - 1] if index else -1
        in_statement = let > function and bisect_left(self.ends, let) == bisect_left(self.ends, at)
        return _Place(self.name, let if in_statement else function)

    def find_variable(self, name: str, at: int) -> list[_Place]:
        """Find the variable of a name before the statement at a place, in the same function."""
        function, starts = self.find_function(at), self.variables.get(name, [])
        index = bisect_left(starts, at)
        if index and starts[index - 1] == self.find_place(at).start:  # let app = app.nest(…)
            index -= 1
        return [_Place(self.name, starts[index - 1])] if index and starts[index - 1] > function else []


@dataclass(frozen=True, slots=True)
class _Project:
    """All files, and for each router what it is nested in, and the path there."""

    files: Mapping[str, _File]
    parents: dict[_Place, list[tuple[_Place, str]]] = field(default_factory=dict)
    _prefixes: dict[_Place, list[str]] = field(default_factory=dict)

    def list_prefixes(self, place: _Place, depth: int = 0) -> list[str]:
        """List the paths at which a router is nested; those of its function if it is a variable that is not."""
        if place not in self._prefixes:
            self._prefixes[place] = []  # of one that is nested in itself
            function = _Place(place.file, self.files[place.file].find_function(place.start))
            parents = self.parents.get(place, [(function, "")] if function != place and place.start >= 0 else [])
            found = {
                make_path(above, path): None
                for parent, path in (parents if depth < _DEEPEST else [])
                for above in self.list_prefixes(parent, depth + 1)
            }
            self._prefixes[place] = list(found)[:_MOST] or [""]
        return self._prefixes[place]


def find_rust_routes(sources: Sources) -> Iterator[Route]:
    """Find all GET routes. Routers are followed through variables and functions into those that nest them."""
    texts = {file: drop_comments(sources.read(file)) for file in sources.find_code(".rs")}
    project = _Project({file: _read_file(file, text) for file, text in texts.items()})
    _find_parents(project, texts)
    scopes = {match[1] for text in texts.values() for match in _SCOPE.finditer(text)}
    known = next(iter(scopes), "") if len(scopes) < 2 else None  # of several, it is not known which
    scope = "{mounted}" if known is None else known
    for file, text in texts.items():
        for match in _AXUM.finditer(text):
            handlers = _NEXT_ROUTE.split(match[2])[0]
            if "web::" in handlers and _GET.search(handlers):  # of actix-web
                yield Route(make_path(scope, match[1]), file)
            elif _GET.search(handlers):
                for prefix in project.list_prefixes(project.files[file].find_place(match.start())):
                    yield Route(make_path(prefix, match[1]), file)
        for match in (*_ATTRIBUTE.finditer(text), *_list_resources(text)):
            yield Route(make_path(scope, match[1]), file)


def _list_resources(text: str) -> Iterator[re.Match[str]]:
    """List the resources of actix-web that answer GET."""
    yield from (match for match in _RESOURCE.finditer(text) if _GET.search(_NEXT_RESOURCE.split(match[2])[0]))


def _read_file(file: str, text: str) -> _File:
    variables: dict[str, list[int]] = {}
    for match in _LET.finditer(text):
        variables.setdefault(match[1], []).append(match.start())
    return _File(
        name=file,
        modules=[part for part in PurePosixPath(file).with_suffix("").parts if part not in _UNNAMED],
        functions=[(match.start(), match[1]) for match in _FUNCTION.finditer(text)],
        variables=variables,
        lets=sorted(start for starts in variables.values() for start in starts),
        ends=[match.start() for match in re.finditer(";", text)],
        written=[
            (match.start(), find_statement_end(text, match.start("owner")))
            for match in islice(filter(_is_written, _NEST.finditer(text)), _MOST_NAMED)
        ],
        uses=dict(_list_uses(text)),
    )


def _list_uses(text: str) -> Iterator[tuple[str, list[str]]]:
    for match in _USE.finditer(text):
        listed = _USED.findall(match[4]) if match[4] is not None else [(match[2], match[3])]
        for name, alias in listed:
            parts = f"{match[1]}{name}".split("::")
            yield alias or parts[-1], parts


def _is_written(match: re.Match[str]) -> bool:
    """Whether a router is made where it is nested: `.nest("/api", Router::new()…)`."""
    return match["owner"].endswith("Router::") and match["name"] == "new"


def _find_parents(project: _Project, texts: Mapping[str, str]) -> None:
    """Find what nests or merges each router; a path that is not known there is `{prefix}`."""
    functions: dict[str, list[_Place]] = {}
    for file in project.files.values():
        for start, name in file.functions:
            functions.setdefault(name, []).append(_Place(file.name, start))
    for file in project.files.values():
        for match in _NEST.finditer(texts[file.name]):
            path = "" if match["merge"] else "{prefix}" if match["path"] is None else match["path"]
            if _is_written(match):
                found = [_Place(file.name, match.start())]
            elif match["called"]:
                found = _find_called(project, functions, file, match)
            else:
                found = file.find_variable(match["name"], match.start())
            for place in found:
                above = (file.find_place(match.start()), path if len(found) == 1 else "{mounted}")
                project.parents.setdefault(place, []).append(above)


def _find_called(
    project: _Project, functions: Mapping[str, list[_Place]], file: _File, match: re.Match[str]
) -> list[_Place]:
    """Find the function that is called: in this file, or by its modules; several if that is not known."""
    first, *rest = f"{match['owner']}{match['name']}".split("::")
    *modules, name = [*file.uses.get(first, [first]), *rest]
    modules = [module for module in modules if module not in _ABOVE]
    same = functions.get(name, [])[:_MOST_NAMED]
    near = [] if modules else [place for place in same if place.file == file.name]
    for wanted in (file.modules + modules, modules) if modules else ():
        near = near or [place for place in same if project.files[place.file].modules == wanted]
    for count in (len(modules), 1) if modules else ():
        near = near or [place for place in same if project.files[place.file].modules[-count:] == modules[-count:]]
    return near or same
