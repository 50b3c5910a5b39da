"""Find the routes of a Django project: `urlpatterns`, `include()`, converters, and routers of REST framework."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from bench_action.init.routes.route import Route, make_path
from bench_action.init.routes.syntax import get_keyword, get_name, get_text, parse_python, walk, write_python
from bench_action.init.sources import Sources

_ROOT = re.compile(r"""^[ \t]*ROOT_URLCONF\s*[=:]\s*["']([\w.]+)["']""", re.MULTILINE)
_NAMED = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")
_GROUP = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
_SPECIAL = re.compile(r"[\[\]()*+?|^$\\]")
_DEEPEST = 8
_PAGE_TREES = ("wagtail.urls", "wagtail.core.urls", "cms.urls")  # packages that serve pages from the database
_DEFAULT_PERMISSIONS = re.compile(r"""["']DEFAULT_PERMISSION_CLASSES["']\s*:\s*[\[(]([^\])]{0,500})""")
_NOT_FOR_GET = re.compile(r"RedirectView|Token\w*View|ObtainAuthToken|obtain_\w*token|verify_\w*token|refresh_\w*token")
_READS = re.compile(r"List|Retrieve|ModelViewSet|ReadOnly")
_WRITES = re.compile(r"(?:Create|Update|Destroy)APIView")
_REDIRECTS = frozenset({"redirect", "HttpResponseRedirect", "HttpResponsePermanentRedirect"})
_MARKS = (
    *("require_POST", "require_http_methods", "api_view", "Mixin", "permission_classes", "APIView", "ViewSet"),
    *("generics.", "redirect", "HttpResponseRedirect", "login_required", "permission_required"),
    *("staff_member_required", "user_passes_test"),
)
_GUARDS = ("login_required", "permission_required", "staff_member_required", "user_passes_test")


_DEFINED = re.compile(r"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)", re.MULTILINE)
_BARE_SETS = frozenset({"ViewSet", "GenericViewSet"})  # of views, which have no action themselves
_ACTIONS = {
    "list": re.compile(r"List|ModelViewSet|ReadOnly"),
    "retrieve": re.compile(r"Retrieve|ModelViewSet|ReadOnly"),
}


class _View(NamedTuple):
    file: str
    name: str


@dataclass(frozen=True, slots=True)
class _Views:
    """The views of a project. `defined`: name → files. `unfit`: those that refuse GET or only redirect.

    `guarded`: those that require authentication. `lacking`: sets of views without an action, and that action.
    """

    defined: dict[str, list[str]] = field(default_factory=dict)
    unfit: set[_View] = field(default_factory=set)
    guarded: set[_View] = field(default_factory=set)
    lacking: set[tuple[_View, str]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Reader:
    sources: Sources
    views: _Views
    _imports: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _lists: dict[str, Mapping[str, list[ast.expr]]] = field(default_factory=dict)
    _modules: dict[str, str | None] = field(default_factory=dict)

    def read_module(self, name: str, prefix: str, depth: int) -> Iterator[Route]:
        """Read the `urlpatterns` of a module, named with dots."""
        file = self._find_module(name)
        if file is not None and depth < _DEEPEST:
            tree = parse_python(self.sources.read(file))
            yield from self._read_list(tree, "urlpatterns", prefix, file, depth)
        elif file is None and name.startswith(_PAGE_TREES):
            yield Route(make_path(prefix), name)

    def _read_list(self, tree: ast.Module, name: str, prefix: str, file: str, depth: int) -> Iterator[Route]:
        if file not in self._lists:
            self._lists[file] = _find_assigned(tree)
        for value in self._lists[file].get(name, []) if depth < _DEEPEST else ():
            yield from self._read_patterns(tree, value, prefix, file, depth)

    def _read_patterns(self, tree: ast.Module, value: ast.AST, prefix: str, file: str, depth: int) -> Iterator[Route]:
        """Read an expression of patterns: a list, a sum of lists, the name of another list, or a router's `.urls`."""
        names: dict[str, None] = {}
        for item in _list_terms(value):
            if isinstance(item, ast.Call):
                yield from self._read_call(tree, item, prefix, file, depth)
            elif name := get_name(item):
                names[name] = None
        for name in names:
            router, _, attribute = name.rpartition(".")
            if attribute == "urls":
                module, _, last = self._find_import(tree, file, router).rpartition(".")
                other = self._find_module(module) if module else None
                if other is None:
                    yield from self._read_router(tree, router, prefix, file)
                else:
                    yield from self._read_router(parse_python(self.sources.read(other)), last, prefix, other)
            elif not router:
                yield from self._read_list(tree, name, prefix, file, depth + 1)

    def _read_call(self, tree: ast.Module, call: ast.Call, prefix: str, file: str, depth: int) -> Iterator[Route]:
        kind = get_name(call.func).rpartition(".")[2]
        if kind in {"i18n_patterns", "format_suffix_patterns"}:
            for argument in call.args:
                yield from self._read_patterns(tree, argument, prefix, file, depth)
            return
        text = _get_pattern(call.args[0]) if call.args else None
        if kind not in {"path", "re_path", "url"} or text is None:
            return
        pattern = text if kind == "path" else _convert_regex(text)
        view = call.args[1] if len(call.args) > 1 else get_keyword(call, "view")
        if isinstance(view, ast.Call) and get_name(view.func).rpartition(".")[2] == "include":
            yield from self._read_include(tree, view, f"{prefix}{pattern}", file, depth)
        elif view is not None and not get_name(view).endswith(".urls"):  # of the admin, or of Django Ninja
            name = _name_view(view)
            views = self._find_views(tree, file, name)
            if not views & self.views.unfit and not _NOT_FOR_GET.fullmatch(name.rpartition(".")[2]):
                behind = bool(views & self.views.guarded) or _is_wrapped(view)
                yield Route(make_path(f"{prefix}{pattern}"), file, behind)

    def _read_include(self, tree: ast.Module, call: ast.Call, prefix: str, file: str, depth: int) -> Iterator[Route]:
        target = call.args[0] if call.args else get_keyword(call, "arg")
        if isinstance(target, ast.Tuple) and target.elts:
            target = target.elts[0]
        if name := get_text(target):
            yield from self.read_module(name, prefix, depth + 1)
        elif isinstance(target, ast.Name) and (module := self._find_import(tree, file, target.id)):
            yield from self.read_module(module, prefix, depth + 1)
        elif target is not None:
            yield from self._read_patterns(tree, target, prefix, file, depth + 1)

    def _read_router(self, tree: ast.Module, router: str, prefix: str, file: str) -> Iterator[Route]:
        """Read what is registered with a router of REST framework: a list and a detail for each name."""
        for node in walk(tree):
            if not isinstance(node, ast.Call) or get_name(node.func) != f"{router}.register" or not node.args:
                continue
            name = get_text(node.args[0])
            given = node.args[1] if len(node.args) > 1 else get_keyword(node, "viewset")
            views = self._find_views(tree, file, get_name(given))
            if name is not None:
                pattern, behind = _convert_regex(name), bool(views & self.views.guarded)
                for action, path in (("list", f"{pattern}/"), ("retrieve", f"{pattern}/{{id}}/")):
                    if not any((view, action) in self.views.lacking for view in views):
                        yield Route(make_path(prefix, path), file, behind)

    def _find_module(self, name: str) -> str | None:
        if name not in self._modules:
            path = name.replace(".", "/")
            endings = (f"/{path}.py", f"/{path}/__init__.py")
            self._modules[name] = next((file for file in self.sources.names if f"/{file}".endswith(endings)), None)
        return self._modules[name]

    def _find_import(self, tree: ast.Module, file: str, name: str) -> str:
        if file not in self._imports:
            self._imports[file] = _list_imports(tree, file)
        return self._imports[file].get(name, "")

    def _find_views(self, tree: ast.Module, file: str, name: str) -> set[_View]:
        """Find the views that a name in a file of URLs may be: by its imports, else in the same folder, else any."""
        owner, rest = name, list[str]()
        while owner and not self._find_import(tree, file, owner):
            owner, _, last = owner.rpartition(".")
            rest.insert(0, last)
        if owner:
            module, _, last = ".".join([self._find_import(tree, file, owner), *rest]).rpartition(".")
            top = self._find_module(module) or ""
        else:
            last, top = name.rpartition(".")[2], f"{PurePosixPath(file).parent}/__init__.py".removeprefix("./")
        files = self.views.defined.get(last, [])
        if top in files:
            return {_View(top, last)}
        folder = top.removesuffix("__init__.py")
        near = [each for each in files if each.startswith(folder)] if top.endswith("__init__.py") else []
        return {_View(each, last) for each in near or files}


def find_django_routes(sources: Sources) -> Iterator[Route]:
    """Find the routes that begin at ROOT_URLCONF, else at the `urls.py` nearest to the top."""
    code = sources.find_code(".py")
    roots = [match[1] for name in code if "settings" in name for match in _ROOT.finditer(sources.read(name))]
    if not roots:
        files = [name for name in code if name.rpartition("/")[2] == "urls.py"]
        roots = [name.removesuffix(".py").replace("/", ".") for name in files[:1]]
    reader = _Reader(sources, _find_views(sources, code))
    for root in dict.fromkeys(roots):
        yield from reader.read_module(root, "", 0)


def _get_pattern(node: ast.AST) -> str | None:
    """Return a pattern. What is only known at run time counts as empty: most often it is a prefix that is."""
    if isinstance(node, ast.JoinedStr):
        return "".join(get_text(part) or "" for part in node.values)
    return "" if get_name(node) else get_text(node)


def _list_imports(tree: ast.Module, file: str) -> dict[str, str]:
    """List what the imports of a file name, from the top of the repository: name → dotted name."""
    found, package = dict[str, str](), PurePosixPath(file).parts[:-1]
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            level, module = (node.level, node.module) if isinstance(node, ast.ImportFrom) else (0, None)
            above = package[: len(package) - level + 1] if level else ()
            for alias in node.names:
                found.setdefault(alias.asname or alias.name, ".".join(filter(None, [*above, module, alias.name])))
    return found


def _find_assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Find what a file assigns to each name, or adds to it."""
    found: dict[str, list[ast.expr]] = {}
    for node in walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found.setdefault(get_name(target), []).append(node.value)
    return found


def _list_terms(value: ast.AST) -> Iterator[ast.AST]:
    """List what lists and sums of them contain, in order and without recursion."""
    waiting = [value]
    while waiting:
        term = waiting.pop()
        if isinstance(term, ast.List | ast.Tuple):
            waiting.extend(reversed(term.elts))
        elif isinstance(term, ast.BinOp):
            waiting.extend([term.right, term.left])
        elif isinstance(term, ast.Starred):
            waiting.append(term.value)
        else:
            yield term


def _find_views(sources: Sources, code: list[str]) -> _Views:
    """Find the views of all files, and what is known of each."""
    views, by_default = _Views(), _find_default_permissions(sources, code)
    for file in code:
        text = sources.read(file)
        for name in dict.fromkeys(_DEFINED.findall(text)):
            views.defined.setdefault(name, []).append(file)
        if not any(mark in text for mark in _MARKS):
            continue
        for node in walk(parse_python(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                _read_function(views, file, node, by_default=by_default)
            elif isinstance(node, ast.ClassDef):
                view = _View(file, node.name)
                if _lacks_get(node):
                    views.unfit.add(view)
                elif _is_guarded_class(node, by_default=by_default):
                    views.guarded.add(view)
                views.lacking.update((view, action) for action in _ACTIONS if _lacks_action(node, action))
    return views


def _read_function(views: _Views, file: str, node: ast.FunctionDef | ast.AsyncFunctionDef, *, by_default: bool) -> None:
    decorators = [write_python(decorator) for decorator in node.decorator_list]
    if any(_refuses_get(decorator) for decorator in decorators) or _only_redirects(node):
        views.unfit.add(_View(file, node.name))
    named = next((text for text in decorators if text.startswith("permission_classes(")), "")
    behind = by_default if any(text.startswith("api_view") for text in decorators) else False
    behind = _guards(named) if named else behind
    if behind or any(guard in decorator for decorator in decorators for guard in _GUARDS):
        views.guarded.add(_View(file, node.name))


def _lacks_action(node: ast.ClassDef, action: str) -> bool:
    """Whether a set of views of REST framework has no such action: neither its own nor that of a base."""
    bases = [write_python(base) for base in node.bases]
    own = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    bare = any(base.rpartition(".")[2] in _BARE_SETS for base in bases)
    return bare and action not in own and not _ACTIONS[action].search(" ".join(bases))


def _lacks_get(node: ast.ClassDef) -> bool:
    """Whether a view of REST framework answers other methods only."""
    bases = " ".join(map(write_python, node.bases))
    own = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    if "get" in own or _READS.search(bases):
        return False
    return _WRITES.search(bases) is not None or ("APIView" in bases and bool(own & {"post", "put", "patch", "delete"}))


def _is_guarded_class(node: ast.ClassDef, *, by_default: bool) -> bool:
    """Whether a view requires authentication: by a mixin, or by the permissions of REST framework."""
    bases = " ".join(map(write_python, node.bases))
    if any(mixin in bases for mixin in ("LoginRequired", "PermissionRequired", "UserPassesTest")):
        return True
    for each in node.body:
        if isinstance(each, ast.Assign) and get_name(each.targets[0]) == "permission_classes":
            return _guards(write_python(each.value))
    return by_default and any(kind in bases for kind in ("APIView", "ViewSet", "generics."))


def _guards(permissions: str) -> bool:
    """Whether permissions of REST framework require authentication when something is read."""
    names = re.findall(r"\b[A-Z]\w+", permissions)
    return bool(names) and not any(name == "AllowAny" or name.endswith("ReadOnly") for name in names)


def _find_default_permissions(sources: Sources, code: list[str]) -> bool:
    """Whether the settings of REST framework require authentication unless a view has permissions."""
    for file in code:
        if "settings" in file and (match := _DEFAULT_PERMISSIONS.search(sources.read(file))):
            return _guards(re.sub(r"[\w.]+\.(?=\w)", "", match[1]))
    return False


def _only_redirects(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether all that a view returns are redirects."""
    returned = [each.value for each in walk(node) if isinstance(each, ast.Return)]
    calls = [get_name(each.func).rpartition(".")[2] if isinstance(each, ast.Call) else "" for each in returned]
    return bool(calls) and all(name in _REDIRECTS for name in calls)


def _refuses_get(decorator: str) -> bool:
    if decorator.rpartition(".")[2] == "require_POST":
        return True
    return decorator.startswith(("require_http_methods(", "api_view([")) and "GET" not in decorator


def _name_view(view: ast.AST | None) -> str:
    """Name the function or class behind a view: `views.index`, `Index.as_view()`, `login_required(index)`."""
    for _ in range(_DEEPEST):
        if not isinstance(view, ast.Call):
            break
        name = get_name(view.func)
        view = view.func if name.endswith(".as_view") or not view.args else view.args[0]
        if isinstance(view, ast.Attribute) and view.attr == "as_view":
            view = view.value
    return get_name(view)


def _is_wrapped(view: ast.AST | None) -> bool:
    return isinstance(view, ast.Call) and get_name(view.func).rpartition(".")[2] in _GUARDS


def _convert_regex(pattern: str) -> str:
    """Write a regular expression as a path with parameters; what else is special stays, and is never requested."""
    pattern = re.sub(r"\\([-./])", r"\1", pattern.removeprefix("^").removesuffix("$").removesuffix(r"\Z"))
    pattern = _GROUP.sub("{value}", _NAMED.sub(r"{\1}", pattern)).replace("/?", "/")
    return _SPECIAL.sub("{pattern}", pattern)
