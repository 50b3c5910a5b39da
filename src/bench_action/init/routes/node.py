"""Find the routes of Node applications: Express, Koa, Fastify, Hono, NestJS, and pages of Next.js."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from posixpath import normpath

from bench_action.init.routes.route import Route, make_path
from bench_action.init.routes.syntax import drop_comments
from bench_action.init.sources import Sources

_SUFFIXES = (".js", ".ts", ".mjs", ".cjs", ".mts", ".cts")
_TEXT = r"""["'`]([^"'`$]*)["'`]"""
_GET = re.compile(
    rf"\b(app|server|fastify|api|instance|routes?|r|hono|[\w$]*[rR]outer)\s*\.\s*get\s*(?:<[^>]*>)?\(\s*{_TEXT}\s*(,[^\n]*|\)?)"
)
_CHAINED = re.compile(rf"\.route\(\s*{_TEXT}\s*\)((?:\s*\.\w+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+)")
_LISTED = re.compile(rf"\{{\s*path:\s*{_TEXT}\s*,\s*(?:route|router|handler):\s*([\w$]+)")
_OBJECT = re.compile(rf"method:\s*[\"'`]GET[\"'`]\s*,\s*(?:url|path):\s*{_TEXT}", re.IGNORECASE)
_CHAIN_GET = re.compile(rf"\)\s*\.get\(\s*{_TEXT}\s*,")
_IMPORT = re.compile(
    r"""(?:\bimport\s+(?:\*\s+as\s+)?([\w$]+)[^;'"\n]*from\s*|\b(?:const|let|var)\s+([\w$]+)\s*=\s*require\(\s*)["'](\.[^"']*)["']"""
)
_USE = re.compile(rf"\.use\(\s*(?:{_TEXT}\s*,)?([^;{{}}]*?)\)\s*(?=[;.\n)]|$)")
_REGISTER = re.compile(rf"""\.register\(\s*([^;]*?),\s*\{{[^}}]*\bprefix:\s*{_TEXT}""")
_ASSIGNED = re.compile(
    r"\b(?:const|let|var)\s+([\w$]+)\s*(?::[^=]+)?=\s*"
    r"(?:express\.Router|Router|new Router|require\([\"']express[\"']\)\.Router)\("
)
_REQUIRED = re.compile(r"""require\(\s*["'](\.[^"']*)["']""")
_CONTROLLER = re.compile(rf"@Controller\(\s*(?:\{{[^}}]*path:\s*)?(?:{_TEXT})?")
_NEST_GET = re.compile(rf"@Get\(\s*(?:{_TEXT})?\s*\)")
_GUARD = re.compile(
    r"auth\.required|\bauth\(|requireAuth|isAuth|authenticate|ensureLogged|verifyToken|authMiddleware|passport",
    re.IGNORECASE,
)
_DEEPEST = 6


@dataclass(slots=True)
class _Module:
    """A file: its routes by the variable of their router, the files that it mounts, and where its own routers are."""

    routes: list[tuple[str, Route]] = field(default_factory=list)
    mounts: list[tuple[str, str]] = field(default_factory=list)
    local: dict[str, str] = field(default_factory=dict)


def find_node_routes(sources: Sources) -> Iterator[Route]:
    """Find all routes, under the paths at which their files are mounted."""
    modules = {file: _read_module(sources, file) for file in sources.find_code(*_SUFFIXES)}
    mounted: dict[str, list[tuple[str, str]]] = {}
    for file, module in modules.items():
        for prefix, target in module.mounts:
            mounted.setdefault(target, []).append((file, prefix))
    for file, module in modules.items():
        for variable, route in module.routes:
            for prefix in _list_prefixes(file, mounted, 0):
                own = module.local.get(variable, "")
                yield Route(make_path(prefix, own, route.path), file, route.guarded)
    yield from _find_nest_routes(sources)
    yield from _find_next_routes(sources)


def _list_prefixes(file: str, mounted: Mapping[str, list[tuple[str, str]]], depth: int) -> list[str]:
    if file not in mounted or depth >= _DEEPEST:
        return [""]
    found = [
        make_path(above, prefix)
        for other, prefix in mounted[file]
        for above in _list_prefixes(other, mounted, depth + 1)
    ]
    return list(dict.fromkeys(found))


def _read_module(sources: Sources, file: str) -> _Module:
    text, module = drop_comments(sources.read(file)), _Module()
    if ".get(" not in text and ".use(" not in text and ".register(" not in text and "GET" not in text:
        return module
    imports = {match[1] or match[2]: _find_file(sources, file, match[3]) for match in _IMPORT.finditer(text)}
    routers = set(_ASSIGNED.findall(text))
    for match in _GET.finditer(text):
        if match[2].startswith(("/", "*")) or not match[2]:
            module.routes.append((match[1], Route(match[2], file, _GUARD.search(match[3]) is not None)))
    for match in _CHAINED.finditer(text):
        if get := re.search(r"\.get\(([^\n]*)", match[2]):
            module.routes.append(("", Route(match[1], file, _GUARD.search(get[1]) is not None)))
    for pattern in (_OBJECT, _CHAIN_GET):
        module.routes += [("", Route(match[1], file)) for match in pattern.finditer(text) if match[1].startswith("/")]
    uses = [(match[1] or "", match[2]) for match in _USE.finditer(text)]
    uses += [(match[2], match[1]) for match in _REGISTER.finditer(text)]
    uses += [(match[1], match[2]) for match in _LISTED.finditer(text)]
    for prefix, arguments in uses:
        targets = [imports[name] for name in re.findall(r"[\w$]+", arguments) if name in imports]
        targets += [_find_file(sources, file, path) for path in _REQUIRED.findall(arguments)]
        module.mounts += [(prefix, target) for target in targets if target and target != file]
        for name in re.findall(r"[\w$]+", arguments):
            if name in routers and prefix:
                module.local[name] = prefix
    _apply_local_prefixes(text, module, imports)
    return module


def _apply_local_prefixes(text: str, module: _Module, imports: Mapping[str, str]) -> None:
    """Give `const api = Router().use(a).use(b)` the prefix of a later `use('/api', api)`."""
    for match in re.finditer(rf"\.use\(\s*{_TEXT}\s*,\s*([\w$]+)\s*\)", text):
        made = re.search(rf"\b(?:const|let|var)\s+{re.escape(match[2])}\s*=(.*?)(?:;|\n\s*\n)", text, re.DOTALL)
        if made is None:
            continue
        targets = {imports[name] for name in re.findall(r"\.use\(\s*([\w$]+)\s*\)", made[1]) if name in imports}
        module.mounts = [
            (match[1] if target in targets and not prefix else prefix, target) for prefix, target in module.mounts
        ]


def _find_file(sources: Sources, file: str, path: str) -> str:
    """Find the file that a relative import names; empty if no such file exists."""
    base = normpath(str(PurePosixPath(file).parent / path))
    candidates = [
        base,
        *(f"{base}{suffix}" for suffix in _SUFFIXES),
        *(f"{base}/index{suffix}" for suffix in _SUFFIXES),
    ]
    return next((name for name in candidates if name in sources.names), "")


def _find_nest_routes(sources: Sources) -> Iterator[Route]:
    prefix = ""
    for file in sources.find("main.ts"):
        if match := re.search(rf"setGlobalPrefix\(\s*{_TEXT}", sources.read(file)):
            prefix = match[1]
    for file in sources.find_code(".controller.ts"):
        text = drop_comments(sources.read(file))
        base = ""
        for match in re.finditer(f"{_CONTROLLER.pattern}|{_NEST_GET.pattern}", text):
            if match[0].startswith("@Controller"):
                base = match[1] or ""
            else:
                yield Route(make_path(prefix, base, match[2] or ""), file, "@UseGuards" in text)


def _find_next_routes(sources: Sources) -> Iterator[Route]:
    """Find the pages and API routes of Next.js, which are files."""
    if not sources.find("next.config.*"):
        return
    for file in sources.names:
        match = re.fullmatch(r"(?:src/)?app/((?:.*/)?)(?:page|route)\.[jt]sx?", file)
        match = match or re.fullmatch(r"(?:src/)?pages/((?!_)(?:(?!/_).)*?)(?:index)?\.[jt]sx?", file)
        if match:
            path = re.sub(r"\([^/)]*\)/?", "", match[1]).strip("/")
            yield Route(make_path(re.sub(r"\[+(?:\.\.\.)?([^\]]+)\]+", r"{\1}", path)), file)
