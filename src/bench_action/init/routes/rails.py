"""Find the routes of Ruby applications: `config/routes.rb` of Rails, and Sinatra's `get '/path' do`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bench_action.init.routes.controllers import Controllers
from bench_action.init.routes.route import Route, make_path
from bench_action.init.sources import Sources

_WORD = r"""(?::(\w+)|["']([^"']*)["'])"""
_CALL = re.compile(rf"^(namespace|scope|resources|resource|get|root|match)\b[ (]*(?:{_WORD})?")
_MORE = re.compile(rf",\s*{_WORD}(?!\s*=>)(?=\s*(?:,|do\b|$|\)))")
_OPTION = r"\b{}:\s*(?:\[([^\]]*)\]|%i\[([^\]]*)\]|:(\w+)|[\"']([^\"']*)[\"'])"
_LISTED = re.compile(r"\[[^\]]{0,1000}\]")
_OPENS = re.compile(r"\bdo\b\s*(?:\|[^|]*\|)?\s*$")
_BLOCK = re.compile(r"^(?:if|unless|case|begin|while|def)\b")
_SINATRA = re.compile(r"""^[ \t]*get[ (]+["']([^"']+)["'].*\bdo\b""", re.MULTILINE)
_DEEPEST = 4  # of optional segments within others
_COMMENT = re.compile(r"(?:^|\s)#(?!\{).*$")


@dataclass(slots=True)
class _Place:
    """A block that is open: its path, and whether it is that of one member (`/items/{id}`) of a resource.

    `module`: the folder of its controllers. `controller`: that of the resource.
    """

    path: str
    collection: str = ""
    guarded: bool = False
    module: str = ""
    controller: str = ""


@dataclass(slots=True)
class _Reader:
    file: str
    controllers: Controllers
    places: list[_Place] = field(default_factory=lambda: [_Place("")])
    routes: list[Route] = field(default_factory=list)

    def read(self, text: str) -> list[Route]:
        """Read line by line; a line that ends in a comma continues in the next."""
        joined = re.sub(r",\s*\n\s*", ", ", "\n".join(_COMMENT.sub("", line) for line in text.splitlines()))
        for raw in joined.splitlines():
            line = raw.strip()
            if line == "end":
                if len(self.places) > 1:
                    self.places.pop()
                continue
            place = self._read_line(line)
            if _OPENS.search(line) or _BLOCK.match(line):
                self.places.append(place)
        return self.routes

    def _read_line(self, line: str) -> _Place:
        """Read one line, and return the block that it may open."""
        here = self.places[-1]
        if line.startswith("collection"):
            return replace(here, path=here.collection or here.path)
        if line.startswith("authenticate"):
            return replace(here, guarded=True)
        match = _CALL.match(line)
        if match is None:
            return here
        kind, name = match[1], match[2] or match[3] or ""
        if kind == "root":
            self._add(here.path or "/", _find_target(line) or name)
        elif kind in {"get", "match"}:
            self._read_get(line, kind, name, [match[1] or match[2] for match in _MORE.finditer(line)])
        elif kind in {"namespace", "scope"}:
            path = _find_option(line, "path") or (
                [name] if name and "module:" not in line.split(name, maxsplit=1)[0] else []
            )
            path = [_drop_optional(each) for each in path]
            modules = _find_option(line, "module") or ([name] if kind == "namespace" else [])
            module = "/".join(filter(None, [here.module, *modules]))
            return _Place(make_path(here.path, *path) if path else here.path, "", here.guarded, module)
        else:
            names = [name, *(match[1] or match[2] for match in _MORE.finditer(_LISTED.sub("", line)))]
            return [self._read_resource(line, each, single=kind == "resource") for each in names][-1]
        return here

    def _read_get(self, line: str, kind: str, name: str, more: list[str]) -> None:
        here = self.places[-1]
        if kind == "match" and "get" not in line:
            return
        on_collection = "on: :collection" in line or ":on => :collection" in line
        base = (here.collection or here.path) if on_collection else here.path
        for each in [name, *(more if "to:" not in line and "=>" not in line else [])]:
            target = _find_target(line) or (f"{here.controller}#{each}" if here.controller else each.replace("/", "#"))
            self._add(make_path(base, _drop_optional(each)), target)

    def _read_resource(self, line: str, name: str, *, single: bool) -> _Place:
        here = self.places[-1]
        path = make_path(here.path, (_find_option(line, "path") or [name])[0])
        only, left_out = _find_option(line, "only"), _find_option(line, "except")
        actions = [
            action
            for action in ("index", "show")
            if (only is None or action in only) and action not in (left_out or [])
        ]
        controller = (_find_option(line, "controller") or [f"{name.rstrip('s')}s" if single else name])[0]
        parameter = (_find_option(line, "param") or ["id"])[0]
        member = path if single else f"{path}/{{{parameter}}}"
        full = "/".join(filter(None, [here.module, controller]))
        actions = [action for action in actions if self.controllers.has_action(full, action)]
        if "index" in actions and not single:
            self._add(path, f"{controller}#index")
        if "show" in actions:
            self._add(member, f"{controller}#show")
        nested = path if single else f"{path}/{{{name.rstrip('s')}_{parameter}}}"
        return _Place(nested, path, here.guarded, here.module, controller)

    def _add(self, path: str, target: str) -> None:
        """Add a route. `target`: its controller and action, as in `to: "items#index"`."""
        here = self.places[-1]
        controller, _, action = target.partition("#")
        named = "/".join(filter(None, [here.module, controller.strip("/")]))
        guarded = here.guarded or self.controllers.is_guarded(named, action)
        self.routes.append(Route(make_path(path), self.file, guarded))


def find_rails_routes(sources: Sources) -> Iterator[Route]:
    """Find the routes of Rails."""
    controllers = Controllers(sources)
    for file in sources.find("config/routes.rb", "*/config/routes.rb", "config/routes/*.rb"):
        yield from _Reader(file, controllers).read(sources.read(file))


def find_sinatra_routes(sources: Sources) -> Iterator[Route]:
    """Find the routes of Sinatra."""
    for file in sources.find_code(".rb", ".ru"):
        for match in _SINATRA.finditer(sources.read(file)):
            yield Route(make_path(match[1]), file)


def _drop_optional(path: str) -> str:
    """Remove segments that a request may leave out, as in `(/:locale)`."""
    for _ in range(_DEEPEST):
        path = re.sub(r"\([^()]*\)", "", path)
    return path


def _find_target(line: str) -> str:
    """Find the controller and action that a line names: `to: "items#index"`, or `"/path" => "items#index"`."""
    match = re.search(r"""(?:\bto:|=>)\s*["']([\w/]+#\w+)["']""", line)
    return match[1] if match is not None else ""


def _find_option(line: str, name: str) -> list[str] | None:
    match = re.search(_OPTION.format(name), line)
    if match is None:
        return None
    listed = match[1] if match[1] is not None else match[2]
    return re.findall(r"[\w/-]+", listed) if listed is not None else [match[3] or match[4] or ""]
