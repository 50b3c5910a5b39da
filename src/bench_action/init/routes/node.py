"""Find the routes of Node applications: Express, Koa, Fastify, Hono, NestJS, and pages of Next.js."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from posixpath import normpath
from typing import NamedTuple

from bench_action.init.routes.route import Route, make_path, make_query
from bench_action.init.routes.syntax import drop_comments
from bench_action.init.sources import Sources

_SUFFIXES = (".js", ".ts", ".mjs", ".cjs", ".mts", ".cts")
_COMPILED = re.compile(r"\.([mc]?)jsx?$")
_TEXT = r"""["'`]([^"'`$]*)["'`]"""
_GET = re.compile(rf"(?<![\w$])([\w$]+)\s*\.\s*get\s*(?:<[^>]{{0,300}}>)?\(\s*{_TEXT}\s*(,[^\n]*|\)?)")
# variables that are taken for routers, also if their file does not make them
_ROUTER = re.compile(r"app|server|fastify|api|instance|routes?|r|hono|[\w$]*[rR]oute(?:r|s|rs)?")
_CHAINED = re.compile(rf"\.route\(\s*{_TEXT}\s*\)((?:\s*\.\w+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+)")
_LISTED = re.compile(rf"\{{\s*path:\s*{_TEXT}\s*,\s*(?:route|router|handler):\s*([\w$]+)")
_OBJECT = re.compile(rf"method:\s*[\"'`]GET[\"'`]\s*,\s*(?:url|path):\s*{_TEXT}", re.IGNORECASE)
_CHAIN_GET = re.compile(rf"\)\s*\.get\(\s*{_TEXT}\s*,")
_IMPORT = re.compile(
    r"""(?:\bimport\s+(?:\*\s+as\s+)?([\w$]+)[^;'"\n]{0,1000}from\s*|(?:\b(?:const|let|var)|,)\s+([\w$]+)\s*=\s*require\(\s*)["']((?:\.|[@~#]/)[^"']*)["']"""
)
_NAMED_IMPORT = re.compile(
    r"""\bimport\s*(?:[\w$]+\s*,\s*)?\{([^}]{0,2000})\}\s*from\s*["']((?:\.|[@~#]/)[^"']*)["']|"""
    r"""\{([^{}]{0,2000})\}\s*=\s*require\(\s*["'](\.[^"']*)["']"""
)
_MADE = re.compile(r"\b(?:const|let|var)\s+([\w$]+)\s*=\s*(?:await\s+)?([\w$]+)\(")
_USE = re.compile(
    rf"(?:(?<![\w$])([\w$]+)\s*)?\.use\(\s*(?:(?:\[\s*)?{_TEXT}(?:[^\]\n]{{0,500}}\])?\s*,)?"
    r"([^;{}]{0,1000}?)\)\s*(?=[;.\n)]|$)"
)
_USED_AT = re.compile(rf"\.use\(\s*{_TEXT}\s*,\s*([\w$]+)\s*\)")
_MADE_OF = re.compile(r"\b(?:const|let|var)\s+([\w$]+)\s*=(?=(.{0,5000}?)(?:;|\n\s*\n))", re.DOTALL)
_LONGEST_EXPORT = 2000  # characters of a file that only exports what another one does
_ONLY_EXPORTS = re.compile(
    r"""\s*(?:["']use strict["'];?\s*)?(?:module\.exports\s*=\s*require\(|export\s*(?:\*|\{[^}]*\})\s*from)\s*"""
    r"""["'](\.[^"']*)["']\s*\)?\s*;?\s*"""
)
_EXPORTS = re.compile(r"(?:\bmodule\.exports\s*=|\bexport\s+default)\s*\{([^{}]*)\}")
_USES_GUARD = re.compile(r"(?<![\w$])([\w$]+)\.use\(\s*([\w$.]+(?:\([^()]*\))?)\s*\)")
_REGISTER = re.compile(rf"""\.register\(\s*([^;]{{0,1000}}?),\s*\{{[^}}]*\bprefix:\s*{_TEXT}""")
_ASSIGNED = re.compile(
    r"\b(?:const|let|var)\s+([\w$]+)\s*(?::[^=]{1,300})?=\s*"
    r"(?:express\.Router|Router|new Router|require\([\"']express[\"']\)\.Router|"
    r"require\([\"'](?:@koa/|koa-)router[\"']\))\("
)
# Koa's `new Router({prefix: '/books'})` and `router.prefix('/books')`, Hono's `basePath('/api')`
_OWN = re.compile(
    rf"(?<![\w$])([\w$]+)(?:\s*=\s*(?:new\s+)?[\w$.]{{0,100}}Router\(\s*\{{[^{{}}]{{0,300}}?\bprefix:\s*|\.prefix\(\s*|"
    rf"\s*=\s*(?:new\s+[\w$]+(?:<[^>]{{0,300}}>)?\([^()]{{0,300}}\)|[\w$]+)\s*\.basePath\(\s*)(?:{_TEXT}(?=\s*[,}})]))?"
)
_HONO = re.compile(r"\b(?:const|let|var)\s+([\w$]+)\s*=\s*new\s+(?:OpenAPI)?Hono\b")
_ROUTED = re.compile(rf"(?:(?<![\w$])([\w$]+)\s*)?\.route\(\s*{_TEXT}\s*,\s*([\w$]+)\s*\)")
_REQUIRED = re.compile(r"""require\(\s*["'](\.[^"']*)["']""")
_CONTROLLER = re.compile(rf"@Controller\(\s*(?:\{{[^}}]{{0,500}}path:\s*)?(?:{_TEXT})?")
_NEST_GET = re.compile(rf"@Get\(\s*(?:{_TEXT})?\s*\)")
_PUBLIC = re.compile(r"@(?:(?:Is)?Public|SkipAuth|NoAuth|AllowAnonymous|Unprotected|AllowUnauthorized)\w*\b")
_NEST_QUERY = re.compile(rf"@Query\(\s*{_TEXT}([^)]*\)\s*\w+\s*\??[^,)]*)")
_OPTIONAL = re.compile(r"\?\s*:|=|optional|DefaultValue|undefined")
_GUARDED = re.compile(
    r"@(?:UseGuards(?!\(\s*Throttler)|HasPermissions?|Permissions?|Roles?|Auth|ApiBearerAuth|RequiresScope)\b"
)
_GLOBAL_GUARD = re.compile(r"APP_GUARD[^}]{0,300}[aA]uth|useGlobalGuards\([^;]{0,300}[aA]uth")
_GUARD = re.compile(
    r"auth\.required|requireAuth|isAuth|authenticate|ensureLogged|verifyToken|authMiddleware|passport\.authenticate|"
    r"\b(?:auth|protect(?:ed)?|authori[sz]e\w*|ensureAuth\w*|verifyJWT|verifyAuth\w*|verifyUser|checkAuth\w*|isLoggedIn|"
    r"isAdmin|requires?(?:Login|User|Admin|SignIn)\w*|restrictTo|jwtAuth\w*|checkJwt|authGuard|authCheck|withAuth|jwt(?:Page|Loose|Auth)?)\b(?!\.(?:optional|\w+\s*\)))",
    re.IGNORECASE,
)
# among the functions before a route's handler
_BEFORE_HANDLER = re.compile(r"\b\w*auth(?!or)\w*\b(?!\.\w*(?:optional|loose|maybe))|\b\w*token\w*\b", re.IGNORECASE)
# clients of other servers, whose `get` is no route
_CLIENT = r"(?:axios|ky|got|wretch|ofetch|\$fetch|supertest|request|superagent|needle|Http|HttpClient)\b"
_EXPORTS_GET = re.compile(r"\bexport\b[^;\n]{0,300}\bGET\b|\bexport\s+\*")
_SERVERS = re.compile(r'"(?:express|fastify|koa|hono|@nestjs/core|@hapi/hapi|restify)"\s*:')
_LONGEST_SIGNATURE = 5000  # characters of a method's parameters, or of the decorators of a class or method
_SIGNATURE_END = re.compile(r"\)\s*(?::[^{};]{0,500})?\{")
_NAMED_NEXT = re.compile(rf"\bclass\b|{_SIGNATURE_END.pattern}")
_DEEPEST = 6


class _Mount(NamedTuple):
    """A file that another one mounts. `guarded`: what is mounted requires authentication.

    `router`: the variable that mounts it. `member`: which of the file's exports is mounted; empty if it has only one.
    """

    prefix: str
    file: str
    guarded: bool = False
    router: str = ""
    member: str = ""


@dataclass(slots=True)
class _Module:
    """A file: its routes by the variable of their router, the files that it mounts, and where its own routers are.

    `local`: router → the one that mounts it, and its path there. `own`: prefixes that routers are made with.
    `unmounted`: routers that it makes and does not mount itself. `exports`: name → variable, if it has several.
    `applications`: of Hono, whose `/` is the path at which they are mounted.
    """

    routes: list[tuple[str, Route]] = field(default_factory=list)
    mounts: list[_Mount] = field(default_factory=list)
    local: dict[str, tuple[str, str]] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    unmounted: set[str] = field(default_factory=set)
    exports: dict[str, str] = field(default_factory=dict)
    applications: set[str] = field(default_factory=set)

    def locate(self, router: str, *, mounted: bool) -> str:
        """Find the path of a router within the file. `mounted`: whether another file mounts this one."""
        if not router and len(self.own) == 1:  # of a chain of calls, whose router is not named
            router = next(iter(self.own))
        path = self.own.get(router, "")
        for _ in range(_DEEPEST):
            if router not in self.local:
                break
            router, prefix = self.local[router]
            path = make_path(self.own.get(router, ""), prefix, path)
        if router in self.unmounted and not mounted:
            path = make_path("{mounted}", path)  # nothing that is read here says where
        return path


def find_node_routes(sources: Sources) -> Iterator[Route]:
    """Find all routes, under the paths at which their files are mounted."""
    yield from _find_nest_routes(sources)
    yield from _find_next_routes(sources)
    if _is_next(sources):
        return
    modules = {file: _read_module(sources, file) for file in sources.find_code(*_SUFFIXES)}
    mounted: dict[str, list[_Mount]] = {}
    for file, module in modules.items():
        for mount in module.mounts:
            mounted.setdefault(mount.file, []).append(mount._replace(file=file))
    for file, module in modules.items():
        for variable, route in module.routes:
            for prefix, guarded in _list_prefixes(file, variable, modules, mounted, 0):
                own = module.locate(variable, mounted=file in mounted)
                yield Route(make_path(prefix, own, route.path), file, route.guarded or guarded)


def _list_prefixes(
    file: str, router: str, modules: Mapping[str, _Module], mounted: Mapping[str, list[_Mount]], depth: int
) -> list[tuple[str, bool]]:
    """List the paths at which a router of a file is mounted, and whether something above it requires authentication."""
    exports = modules[file].exports
    mounts = [each for each in mounted.get(file, ()) if exports.get(each.member, router) == router]
    if not mounts or depth >= _DEEPEST:
        return [("", False)]
    found = [
        (
            make_path(above, modules[mount.file].locate(mount.router, mounted=True), mount.prefix),
            mount.guarded or guarded,
        )
        for mount in mounts
        for above, guarded in _list_prefixes(mount.file, mount.router, modules, mounted, depth + 1)
    ]
    return list(dict.fromkeys(found))


def _read_module(sources: Sources, file: str) -> _Module:
    text, module = drop_comments(sources.read(file)), _Module()
    if not any(mark in text for mark in (".get(", ".use(", ".register(", ".route(", "GET")):
        return module
    imports = _find_imports(sources, file, text)
    routers = set(_ASSIGNED.findall(text))
    module.unmounted, module.applications = set(routers), set(_HONO.findall(text))
    routers |= module.applications
    _read_routes(sources, file, text, module, imports)
    for match in _EXPORTS.finditer(text):
        for name, variable in re.findall(r"([\w$]+)\s*(?::\s*([\w$]+))?\s*(?:,|$)", match[1].strip()):
            module.exports[name] = variable or name
    module.own = {match[1]: "{prefix}" if match[2] is None else match[2] for match in _OWN.finditer(text)}
    for router, prefix, arguments in _list_uses(text):
        named = re.findall(r"([\w$]+)(?:\.([\w$]+))?", arguments)
        targets = [(imports[name], member) for name, member in named if name in imports]
        targets += [(_find_file(sources, file, path), "") for path in _REQUIRED.findall(arguments)]
        guarded = bool(prefix) and _GUARD.search(arguments) is not None
        module.mounts += [
            _Mount(prefix, target, guarded, router, member) for target, member in targets if target and target != file
        ]
        for name in re.findall(r"[\w$]+", arguments):
            if name in routers and name != router and (prefix or router in routers):
                module.local[name] = (router, prefix)
            module.unmounted.discard(name)
    _apply_local_prefixes(text, module, imports)
    return module


def _list_uses(text: str) -> list[tuple[str, str, str]]:
    """List what is mounted: the router that does it (empty: not named), the path, and what is mounted there."""
    uses = [(match[1] or "", match[2] or "", match[3]) for match in _USE.finditer(text)]
    uses += [("", match[2], match[1]) for match in _REGISTER.finditer(text)]
    uses += [("", match[1], match[2]) for match in _LISTED.finditer(text)]
    router = ""
    for match in _ROUTED.finditer(text):
        router = match[1] or router  # `app.route('/a', a).route('/b', b)`
        uses.append((router, match[2], match[3]))
    return uses


def _find_imports(sources: Sources, file: str, text: str) -> dict[str, str]:
    """Find the files that names come from: imports, and what an imported function makes."""
    imports = {match[1] or match[2]: _find_file(sources, file, match[3]) for match in _IMPORT.finditer(text)}
    for match in _NAMED_IMPORT.finditer(text):
        names = re.findall(r"([\w$]+)\s*(?:,|$)", (match[1] or match[3]).strip())
        imports |= dict.fromkeys(names, _find_file(sources, file, match[2] or match[4]))
    for match in _MADE.finditer(text):  # const users = createUserRoutes(service)
        if imports.get(match[2]):
            imports.setdefault(match[1], imports[match[2]])
    return imports


def _read_routes(sources: Sources, file: str, text: str, module: _Module, imports: Mapping[str, str]) -> None:
    guards = [(match[1], match.start()) for match in _USES_GUARD.finditer(text) if _GUARD.search(match[2])]
    made = module.unmounted | module.applications
    variables = {match[1] for match in _GET.finditer(text) if match[1] in made or _ROUTER.fullmatch(match[1])}
    routers = {name for name in variables if not _is_client(text, _read_import(sources, imports, name), name)}
    for match in _GET.finditer(text):
        if (match[2].startswith(("/", "*")) or not match[2]) and match[1] in routers:
            path = "" if match[2] == "/" and match[1] in module.applications else match[2]
            behind = any(router == match[1] and at < match.start() for router, at in guards)
            rest = match[3] if match[3].strip(" ,") else text[match.end() : match.end() + 300].partition(");")[0]
            module.routes.append((match[1], Route(path, file, behind or _is_behind(rest))))
    for match in _CHAINED.finditer(text):
        if get := re.search(r"\.get\(([^\n]*)", match[2]):
            module.routes.append(("", Route(match[1], file, _is_behind(get[1]))))
    for pattern in (_OBJECT, _CHAIN_GET):
        module.routes += [("", Route(match[1], file)) for match in pattern.finditer(text) if match[1].startswith("/")]


def _is_behind(arguments: str) -> bool:
    """Whether one of the functions before a route's handler, which is the last, requires authentication."""
    before = re.split(r"=>|\bfunction\b", arguments, maxsplit=1)[0].rpartition(",")[0]
    return _GUARD.search(before) is not None or _BEFORE_HANDLER.search(before) is not None


def _apply_local_prefixes(text: str, module: _Module, imports: Mapping[str, str]) -> None:
    """Give `const api = Router().use(a).use(b)` the prefix of a later `use('/api', api)`."""
    made: dict[str, str] = {}
    for match in _MADE_OF.finditer(text):
        made.setdefault(match[1], match[2])
    for match in _USED_AT.finditer(text):
        names = re.findall(r"\.use\(\s*([\w$]+)\s*\)", made.get(match[2], ""))
        targets = {imports[name] for name in names if name in imports}
        if not targets:
            continue
        module.mounts = [
            mount._replace(prefix=match[1]) if mount.file in targets and not mount.prefix else mount
            for mount in module.mounts
        ]


def _read_import(sources: Sources, imports: Mapping[str, str], name: str) -> str:
    return sources.read(imports[name]) if imports.get(name) else ""


def _is_client(text: str, made: str, variable: str) -> bool:
    """Whether a variable is a client of another server: made in `text`, or exported by the file it is imported from."""
    if _makes_client(text, variable):
        return True
    named = re.search(r"\bexport\s+default\s+([\w$]+)|\bmodule\.exports\s*=\s*([\w$]+)", made)
    if named is None:
        return False
    name = named[1] or named[2]
    return re.fullmatch(_CLIENT, name) is not None or _makes_client(made, name)


def _makes_client(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\s*(?::[^=\n]+)?=\s*(?:await\s+)?(?:new\s+)?{_CLIENT}", text) is not None


def _find_file(sources: Sources, file: str, path: str, depth: int = 0) -> str:
    """Find the file that an import names, relative or from the top of the sources; empty if no such file exists.

    One that only exports what another one does stands for that.
    """
    if path[:2] in {"@/", "~/", "#/"}:
        tops = ("", "src/", f"{file.partition('/')[0]}/", f"{file.partition('/src/')[0]}/src/")
        return next(filter(None, (_find_file(sources, "x", f"{top}{path[2:]}") for top in tops)), "")
    base = normpath(str(PurePosixPath(file).parent / path))
    # TypeScript's modules import `users.ts` by what it is compiled to, `users.js`
    compiled = [_COMPILED.sub(rf".\1{kind}", base) for kind in ("ts", "tsx")] if _COMPILED.search(base) else []
    candidates = [
        base,
        *compiled,
        *(f"{base}{suffix}" for suffix in _SUFFIXES),
        *(f"{base}/index{suffix}" for suffix in _SUFFIXES),
    ]
    found = next(filter(sources.has, candidates), "")
    text = sources.read(found) if found and depth < _DEEPEST else ""
    other = _ONLY_EXPORTS.fullmatch(drop_comments(text)) if 0 < len(text) < _LONGEST_EXPORT else None
    return _find_file(sources, found, other[1], depth + 1) if other is not None else found


def _find_nest_routes(sources: Sources) -> Iterator[Route]:
    main = "\n".join(drop_comments(sources.read(file)) for file in sources.find("main.ts"))
    prefix, unprefixed = _find_nest_prefix(main)
    version = _find_nest_version(main)
    guarded = any(_GLOBAL_GUARD.search(sources.read(file)) for file in sources.find("*.module.ts", "main.ts"))
    for file in sources.find_code(".controller.ts"):
        text = drop_comments(sources.read(file))
        base = own = ""
        behind_all = public_all = False
        for match in re.finditer(f"{_CONTROLLER.pattern}|{_NEST_GET.pattern}", text):
            around = _find_decorators(text, match.start(), match.end())
            behind, public = _GUARDED.search(around) is not None, _PUBLIC.search(around) is not None
            if match[0].startswith("@Controller"):
                base, options = match[1] or "", text[match.start() : match.start() + 200].partition(")")[0]
                found = re.search(rf"version:\s*\[?\s*{_TEXT}", options)
                number = found[1] if found else version[1] if version and "VERSION_NEUTRAL" not in options else ""
                own = f"{version[0]}{number}" if version and number else ""
                behind_all, public_all = behind, public
            else:
                path = make_path(base, match[2] or "")
                full = make_path("" if path.strip("/") in unprefixed else prefix, own, path)
                behind = behind or ((behind_all or guarded) and not (public or public_all))
                yield Route(full + _find_nest_query(text, match.end()), file, behind)


def _find_nest_query(text: str, at: int) -> str:
    """Find the parameters of the query that a method cannot do without: `?name={name}`."""
    end = _SIGNATURE_END.search(text, at, at + _LONGEST_SIGNATURE)
    parameters = text[at : end.start() if end else at]
    needed = [match[1] for match in _NEST_QUERY.finditer(parameters) if not _OPTIONAL.search(match[2])]
    return make_query(needed)


def _find_decorators(text: str, start: int, end: int) -> str:
    """Find the decorators around one of a class or a method: from the end of what is before it, to its own name."""
    first = max(0, start - _LONGEST_SIGNATURE)
    before = max(first - 1, *(text.rfind(mark, first, start) for mark in ("}\n", ";", "{\n")))
    after = _NAMED_NEXT.search(text, end, end + _LONGEST_SIGNATURE)
    return text[before + 1 : after.start() if after else end]


def _find_nest_prefix(main: str) -> tuple[str, set[str]]:
    """Find the prefix of all routes, a text or a constant, and the routes that do not have it.

    One that is only known at run time is `{prefix}`.
    """
    match = re.search(rf"setGlobalPrefix\(\s*(?:(?:{_TEXT}|([\w$]+))(?=\s*[,)]))?([^;]*)", main)
    if match is None:
        return "", set()
    named = re.search(rf"\b{re.escape(match[2])}\s*(?::[^=]+)?=\s*{_TEXT}\s*(?:;|\n|$)", main) if match[2] else None
    excluded = re.findall(_TEXT, match[3].partition("exclude")[2])
    known = named[1] if named is not None else match[1]
    return "{prefix}" if known is None else known, {text.strip("/") for text in excluded}


def _find_nest_version(main: str) -> tuple[str, str] | None:
    """Find what versioning adds to a path: `v`, and the default version (empty: none); None if it adds nothing."""
    match = re.search(r"enableVersioning\(([^;]*)", main)
    if match is None or (match[1].strip(" )") and "URI" not in match[1]):
        return None
    default = re.search(rf"defaultVersion:\s*\[?\s*{_TEXT}", match[1])
    prefix = re.search(rf"\bprefix:\s*{_TEXT}", match[1])
    return (prefix[1] if prefix else "v"), default[1] if default else ""


def _is_next(sources: Sources) -> bool:
    """Whether the pages are those of Next.js, and no server of another framework is in front of it."""
    manifests = " ".join(sources.read(name) for name in sources.find("package.json"))
    return any("/" not in name for name in sources.find("next.config.*")) and not _SERVERS.search(manifests)


def _find_next_routes(sources: Sources) -> Iterator[Route]:
    """Find the pages and API routes of Next.js, which are files."""
    tops = {str(PurePosixPath(name).parent).removeprefix(".") for name in sources.find("next.config.*")}
    for file, name in (
        (file, file[len(top) :].lstrip("/")) for top in tops for file in sources.names if file.startswith(top)
    ):
        match = re.fullmatch(r"(?:src/)?app/((?:.*/)?)(?:page|route)\.[jt]sx?", name)
        match = match or re.fullmatch(r"(?:src/)?pages/((?!_)(?:(?!/_).)*?)(?:index)?\.[jt]sx?", name)
        if match and (PurePosixPath(file).stem != "route" or _EXPORTS_GET.search(sources.read(file))):
            path = re.sub(r"\([^/)]*\)/?", "", match[1]).strip("/")
            yield Route(make_path(re.sub(r"\[+(?:\.\.\.)?([^\]]+)\]+", r"{\1}", path)), file)
