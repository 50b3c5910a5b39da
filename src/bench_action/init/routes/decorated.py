"""Find routes that Python decorators declare: Flask, Quart, FastAPI, Sanic and Litestar, with prefixes of routers.

Also what is added by calls: `add_url_rule`, `add_resource`, Starlette's `Route`, aiohttp's `add_get`.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from bench_action.init.routes.route import Route, make_path, make_query
from bench_action.init.routes.syntax import get_keyword, get_name, get_text, parse_python, walk, write_python
from bench_action.init.sources import Sources

_ROUTERS = frozenset({"APIRouter", "Blueprint", "Namespace", "Router", "APIBlueprint"})
_INCLUDES = frozenset({"include_router", "register_blueprint", "blueprint", "mount", "add_namespace"})
_PREFIXES = ("prefix", "url_prefix", "path")
_ADDING = {"add_url_rule": 0, "add_get": 0, "add_resource": 1}
_GUARDS = re.compile(
    r"login_required|jwt_required|auth_required|token_required|requires?_auth|admin_required|permission_required|"
    r"current_\w*user|currentuser|superuser|oauth2|verify_token|get_user(?![a-z_])|authenticate|require_user|api_key|"
    r"jwtbearer|httpbearer"
)
_OPTIONAL = ("required=false", "auto_error=false", "optional")
_CONSTANT = re.compile(r"^[A-Z][A-Z0-9_]*$|prefix$|_path$")
# of parameters that FastAPI and Litestar read from the query, unless the path has them
_SIMPLE = re.compile(r"(?:str|int|float|bool|UUID\d?|uuid\.UUID|date|datetime|Decimal|EmailStr|HttpUrl|AnyUrl)")
_DEEPEST = 6
_MARKS = (
    "route(",
    "add_url_rule",
    "add_resource",
    "add_get",
    ".get(",
    "@get(",
    "APIRouter",
    "Blueprint",
    "Route(",
    "include_router",
    "add_namespace",
    "Api(",
    "init_app(",
)


class _Key(NamedTuple):
    """A router: the module that makes it, and its name there. Without a name, the module itself."""

    module: str
    name: str


class _Include(NamedTuple):
    parent: _Key
    child: _Key
    prefix: str
    replaces: bool
    guarded: bool = False


@dataclass(slots=True)
class _Project:
    """What all files declare together. `own`: prefixes that routers are made with. `aliases`: names that are imported.

    `guarded`: routers all of whose routes require authentication. `modules`: every ending of a file's dotted name →
    the whole name, as imports may begin anywhere above it. `views`: classes, whether they answer GET, and whether they
    require authentication for it; a route may name one.
    """

    constants: Mapping[str, str]
    modules: Mapping[str, str]
    aliases: dict[_Key, _Key] = field(default_factory=dict)
    own: dict[_Key, str] = field(default_factory=dict)
    guarded: set[_Key] = field(default_factory=set)
    includes: list[_Include] = field(default_factory=list)
    routes: list[tuple[_Key, Route, str]] = field(default_factory=list)
    views: dict[str, tuple[bool, bool]] = field(default_factory=dict)

    def list_prefixes(self, key: _Key, depth: int = 0) -> list[tuple[str, bool]]:
        """List the prefixes under which a router answers; its own if nothing is known to include it.

        With each: whether the router, or what includes it, requires authentication.
        """
        key = self.find_original(key)
        own, behind = self.own.get(key, ""), key in self.guarded
        includes = [include for include in self.includes if self.find_original(include.child) == key != include.parent]
        if not includes:
            return [(own, behind)]
        found = []
        for include in includes if depth < _DEEPEST else ():
            below = include.prefix if include.replaces else make_path(include.prefix, own)
            found += [
                (make_path(above, below), behind or include.guarded or guarded)
                for above, guarded in self.list_prefixes(include.parent, depth + 1)
            ]
        return list(dict.fromkeys(found))

    def find_original(self, key: _Key) -> _Key:
        """Follow imports to the module that makes a router."""
        for _ in range(_DEEPEST):
            if key in self.own or key not in self.aliases:
                break
            key = self.aliases[key]
        return key


def find_decorated_routes(sources: Sources) -> Iterator[Route]:
    """Find all routes, under every prefix that their router is included with."""
    trees = {}
    for file in sources.find_code(".py"):
        if any(mark in (text := sources.read(file)) for mark in _MARKS):
            trees[file] = parse_python(text)
    names = {file: _name_module(file) for file in sources.find_code(".py")}
    project = _Project(_find_constants(sources), _list_endings(names.values()))
    for file, tree in trees.items():
        imports = _find_imports(tree, file, project.modules)
        project.aliases.update({_Key(names[file], name): key for name, key in imports.items()})
        _File(project, file, names[file], imports).read(tree)
    for key, route, view in project.routes:
        answers, behind = project.views.get(view, (True, False))
        for prefix, guarded in project.list_prefixes(key):
            path, _, query = route.path.partition("?")
            full = f"{make_path(prefix, path)}{'?' if query else ''}{query}"
            if answers:
                yield Route(full, route.source, route.guarded or guarded or behind)


@dataclass(frozen=True, slots=True)
class _File:
    project: _Project
    name: str
    module: str
    imports: Mapping[str, _Key]

    def read(self, tree: ast.Module) -> None:
        """Add what one file declares to the project."""
        for node in walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                self._read_router(get_name(node.targets[0]), node.value)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._read_decorators(node)
                if isinstance(node, ast.ClassDef):
                    self.project.views[node.name] = (_answers_get(node), _is_guarded(node))
            elif isinstance(node, ast.Call):
                self._read_call(node)

    def _read_router(self, name: str, call: ast.Call) -> None:
        owner, _, made = get_name(call.func).rpartition(".")
        if made in {*_ROUTERS, "Api", "namespace"}:
            self.project.own[_Key(self.module, name)] = self._find_own_prefix(made, call)
        if made == "Api":  # of Flask-RESTful and RESTX: its routes are those of an application, or of a blueprint
            self._join(get_name(call.args[0] if call.args else get_keyword(call, "app")), name)
        if made == "namespace":
            self._join(owner, name)
        if made in {*_ROUTERS, "FastAPI"} and _requires_login(
            write_python(get_keyword(call, "dependencies") or call.func)
        ):
            self.project.guarded.add(_Key(self.module, name))

    def _join(self, parent: str, child: str) -> None:
        """Include what has its own prefix."""
        if parent:
            self.project.includes.append(_Include(self._resolve(parent), self._resolve(child), "", replaces=False))

    def _find_own_prefix(self, made: str, call: ast.Call) -> str:
        """Find the prefix that a router is made with; without a path, a namespace of RESTX has its name."""
        prefix = self._find_prefix(call)
        if prefix is None and made.lower() == "namespace" and call.args:
            return make_path(self._get_text(call.args[0]) or "{namespace}")
        return "{prefix}" if prefix is None and made == "Api" and get_keyword(call, "prefix") else prefix or ""

    def _read_decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and (path := self._find_path(decorator)) is not None:
                router, _, _ = get_name(decorator.func).rpartition(".")
                route = Route(path + _find_query(node, path), self.name, _is_guarded(node))
                if not isinstance(node, ast.ClassDef) or _answers_get(node):
                    self.project.routes.append((self._resolve(router), route, ""))

    def _find_path(self, call: ast.Call) -> str | None:
        """Find the path of a decorator that declares a route for GET."""
        router, _, method = get_name(call.func).rpartition(".")
        keyword = next(filter(None, (get_keyword(call, name) for name in ("path", "rule", "uri"))), None)
        text = self._get_text(call.args[0] if call.args else keyword)
        if method == "get" and (router or (text or "").startswith("/")):
            return text if text is not None and (not text or text.startswith("/")) else None
        methods = get_keyword(call, "methods")
        allows = methods is None or "GET" in write_python(methods).upper()
        return text if method in {"route", "api_route"} and router and allows else None

    def _read_call(self, call: ast.Call) -> None:
        owner, _, method = get_name(call.func).rpartition(".")
        if method in _INCLUDES and owner and call.args:
            self._read_include(owner, method, call)
        elif method == "init_app" and call.args:
            self._join(get_name(call.args[0]), owner)
        elif method in _ADDING and owner and len(call.args) > _ADDING[method]:
            for argument in call.args[_ADDING[method] :]:
                self._add(owner, self._get_text(argument), get_name(call.args[0]).rpartition(".")[2])
        elif (
            method == "Route"
            and call.args
            and "GET" in write_python(get_keyword(call, "methods") or ast.Constant("GET"))
        ) or ((owner, method) == ("web", "get") and call.args):
            self._add("", self._get_text(call.args[0]))

    def _add(self, owner: str, path: str | None, view: str = "") -> None:
        if path is not None and path.startswith("/"):
            self.project.routes.append((self._resolve(owner), Route(path, self.name), view))

    def _read_include(self, owner: str, method: str, call: ast.Call) -> None:
        first, *others = call.args
        if method == "mount" and others:
            child, prefix = get_name(others[0]), self._get_text(first)
        else:
            child, prefix = get_name(first), self._find_prefix(call)
        if method == "add_namespace" and (given := others[0] if others else get_keyword(call, "path")):
            prefix = self._get_text(given) or "{prefix}"
        if child:
            replaces = method in {"register_blueprint", "add_namespace"} and prefix is not None
            needed = get_keyword(call, "dependencies")
            guarded = needed is not None and _requires_login(write_python(needed))
            include = _Include(self._resolve(owner), self._resolve(child), prefix or "", replaces, guarded)
            self.project.includes.append(include)

    def _resolve(self, name: str) -> _Key:
        """Find the router behind a name, which may be imported, or belong to an imported module."""
        module, _, attribute = name.rpartition(".")
        if module in self.imports:
            owner = self.imports[module]
            return _Key(owner.module if not owner.name else f"{owner.module}.{owner.name}", attribute)
        return self.imports.get(name, _Key(self.module, name))

    def _find_prefix(self, call: ast.Call) -> str | None:
        return next((text for name in _PREFIXES if (text := self._get_text(get_keyword(call, name))) is not None), None)

    def _get_text(self, node: ast.AST | None) -> str | None:
        """Return a text: a constant, an f-string of constants, or any file's constant by its last name."""
        if isinstance(node, ast.JoinedStr):
            parts = [
                self._get_text(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values
            ]
            return None if None in parts else "".join(filter(None, parts))
        if name := get_name(node):
            return self.project.constants.get(name.rpartition(".")[2])
        return get_text(node)


def _is_guarded(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a decorator or a parameter of a view, or of a class's `get`, says that it requires authentication."""
    parts = [write_python(decorator) for decorator in node.decorator_list]
    if isinstance(node, ast.ClassDef):
        own = _list_methods(node).get("get")
        return any(map(_requires_login, parts)) or (own is not None and _is_guarded(own))
    for argument, default in _list_arguments(node):
        parts.append(
            f"{write_python(argument)} = {write_python(default)}" if default is not None else write_python(argument)
        )
    return any(map(_requires_login, parts))


def _list_methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    return {each.name: each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def _answers_get(node: ast.ClassDef) -> bool:
    """Whether a class of views may answer GET: it has `get`, or none of the methods of HTTP itself."""
    methods = _list_methods(node).keys()
    return "get" in methods or not methods & {"post", "put", "patch", "delete"}


def _requires_login(text: str) -> bool:
    text = text.lower()
    return _GUARDS.search(text) is not None and not any(mark in text for mark in _OPTIONAL)


def _find_query(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, path: str) -> str:
    """Find the parameters of the query without which a view answers with an error: `?name={name}`."""
    if isinstance(node, ast.ClassDef):
        return ""
    path = make_path(path)
    needed = [
        argument.arg
        for argument, default in _list_arguments(node)
        if f"{{{argument.arg}" not in path and _is_needed(argument, default)
    ]
    return make_query(needed)


def _list_arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[ast.arg, ast.expr | None]]:
    """List the parameters of a function, each with its default."""
    plain, named = [*node.args.posonlyargs, *node.args.args], node.args.kwonlyargs
    none: list[ast.expr | None] = [None] * (len(plain) - len(node.args.defaults))
    return list(zip([*plain, *named], [*none, *node.args.defaults, *node.args.kw_defaults], strict=True))


def _is_needed(argument: ast.arg, default: ast.expr | None) -> bool:
    """Whether a parameter is one of the query without a default, also as `Query(...)` or `Annotated[str, Query()]`."""
    kind = argument.annotation
    if (
        isinstance(kind, ast.Subscript)
        and get_name(kind.value).endswith("Annotated")
        and isinstance(kind.slice, ast.Tuple)
    ):
        kind, *others = kind.slice.elts
        calls = [each for each in others if isinstance(each, ast.Call)]
        if any(get_name(call.func).rpartition(".")[2] != "Query" or _has_default(call) for call in calls):
            return False
    if kind is None or not _SIMPLE.fullmatch(write_python(kind)):
        return False
    if isinstance(default, ast.Call) and get_name(default.func).rpartition(".")[2] == "Query":
        return not _has_default(default)
    return default is None


def _has_default(call: ast.Call) -> bool:
    """Whether `Query` has a default: its first argument, unless that is `...`."""
    first = call.args[0] if call.args else get_keyword(call, "default")
    if isinstance(first, ast.Constant) and first.value is ...:
        return False
    return first is not None or get_keyword(call, "default_factory") is not None


def _name_module(file: str) -> str:
    """Name a file as a module, from the top of the repository."""
    return ".".join(PurePosixPath(file).with_suffix("").parts).removesuffix(".__init__")


def _list_endings(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        parts = name.split(".")
        for at in range(len(parts)):
            found.setdefault(".".join(parts[at:]), name)
    return found


def _find_imports(tree: ast.Module, file: str, modules: Mapping[str, str]) -> dict[str, _Key]:
    """Find what each imported name stands for: a module of the repository, or a name in one."""
    found = {}
    package = PurePosixPath(file).parts[:-1]
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                key = _Key(modules[inner], "") if inner in modules else _Key(modules.get(module, module), alias.name)
                found[alias.asname or alias.name] = key
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name] = _Key(modules.get(alias.name, alias.name), "")
    return found


def _find_constants(sources: Sources) -> dict[str, str]:
    """Find texts that files assign, such as `API_V1_STR = "/api/v1"`; of a name, the first one counts."""
    found: dict[str, str] = {}
    for file in sources.find_code(".py"):
        text = sources.read(file)
        if "/" not in text or not any(mark in text.upper() for mark in ("PREFIX", "API", "PATH", "URL", "ROOT")):
            continue
        for node in walk(parse_python(text)):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                value, name = get_text(node.value), get_name(target).rpartition(".")[2]
                if value is not None and _CONSTANT.search(name) and (not value or value.startswith("/")):
                    found.setdefault(name, value)
    return found
