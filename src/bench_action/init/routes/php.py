"""Find the routes of PHP applications: Laravel's route files, Slim, and Symfony's attributes."""

import re
from collections.abc import Iterator

from bench_action.init.routes.route import Route, make_path
from bench_action.init.routes.syntax import drop_comments, find_statement_end, scan_blocks
from bench_action.init.sources import Sources

_OPENING = r"""(?:(?:Route::|->)prefix\(|["']prefix["']\s*=>|->group\()\s*["'](?P<prefix>[^"']*)["']"""
_WANTED = (
    r"""(?:Route::|\$(?:app|router|group|r)->)(?P<kind>get|view|resource|apiResource|any)"""
    r"""\(\s*["'](?P<path>[^"']*)["'](?P<rest>[^\n]*)"""
)
_ATTRIBUTE = r"""#\[(?:\w+\\)*Route\((?P<arguments>(?:[^()'"]|'[^'\n]*+'|"[^"\n]*+"|\([^()]{0,500}\)){0,2000}+)\)"""
_SYMFONY = re.compile(rf"{_ATTRIBUTE}|(?<![:$\w])class\s+(?P<class>\w+)|\bfunction\s+(?P<function>\w+)")
_PATH = re.compile(r"""(?:^\s*|\bpath:\s*)["']([^"']*)["']\s*(?:,|$)""")
_NAMED = re.compile(r"\s*(?:\w+:(?!:)|$)")
_METHODS = re.compile(r"\bmethods:\s*(\[[^\]]*|[^,]*)")
_ACTIONS = r"""\b{}\b["']?\s*(?:\(|=>)\s*\[?([^\])]{{0,500}})"""
_GUARD = r"""(?:->|::)middleware\(\s*\[?[^)\n]*\bauth|["']middleware["']\s*=>\s*\[?[^\]\n]*\bauth"""
_HEALTH = re.compile(r"health:\s*['\"]([^'\"]+)['\"]")


def find_php_routes(sources: Sources) -> Iterator[Route]:
    """Find all GET routes; those of `routes/api.php` are below `/api`, as Laravel mounts them."""
    for file in sources.find_code(".php"):
        text = drop_comments(sources.read(file))
        if "Route" not in text and "->get(" not in text and "health:" not in text:
            continue
        mount = "/api" if file.endswith("routes/api.php") else ""
        for found in scan_blocks(text, _OPENING, _WANTED, before=_GUARD):
            statement = text[found.match.start() : find_statement_end(text, found.match.start())]
            guarded = found.guarded or "auth" in found.match["rest"] or re.search(_GUARD, statement) is not None
            prefix = make_path(mount, *found.prefixes)
            if found.match["kind"] in {"resource", "apiResource"}:
                paths = _list_resource(found.match["path"], statement)
            else:
                paths = [found.match["path"]]
            for path in paths:
                yield Route(make_path(prefix, path), file, guarded)
        yield from _read_attributes(text, file)
        if file.endswith("bootstrap/app.php") and (health := _HEALTH.search(text)):
            yield Route(make_path(health[1]), file)


def _list_resource(name: str, statement: str) -> list[str]:
    """List the paths of a resource that answer GET: those of its actions `index` and `show`, if it has them."""
    only, left_out = (re.search(_ACTIONS.format(option), statement) for option in ("only", "except"))
    index, show = (
        (only is None or action in only[1]) and (left_out is None or action not in left_out[1])
        for action in ("index", "show")
    )
    *parents, last = name.strip("/").split(".")
    above = "".join(f"{each}/{{{each.rpartition('/')[2].replace('-', '_').removesuffix('s')}}}/" for each in parents)
    member = f"{last}/{{id}}" if "->shallow()" in statement else f"{above}{last}/{{id}}"
    return [*([f"{above}{last}"] if index else []), *([member] if show else [])]


def _read_attributes(text: str, file: str) -> Iterator[Route]:
    """Read Symfony's attributes: that of a class is the prefix of its methods, or the route of its `__invoke`."""
    pending: list[str] = []
    prefix, above, invoked = "", "", False
    for match in _SYMFONY.finditer(text):
        if match["arguments"] is not None:
            pending.append(match["arguments"])
            continue
        if match["class"] is not None:
            above = pending[-1] if pending else ""
            path = _find_path(above)
            prefix, invoked = "{prefix}" if path is None else path, bool(pending)
        elif pending or (invoked and match["function"] == "__invoke"):
            for arguments in pending or [""]:
                path = _find_path(arguments)
                if path is not None and _allows_get(above, arguments):
                    yield Route(make_path(prefix, path), file)
        pending = []


def _find_path(arguments: str) -> str | None:
    """Find the path among the arguments of an attribute: empty without any, None if it is no text."""
    if match := _PATH.search(arguments):
        return match[1]
    return "" if _NAMED.match(arguments) and "path:" not in arguments else None


def _allows_get(*attributes: str) -> bool:
    """Whether attributes of a class and of a method allow GET together: one of them does, or none names methods."""
    methods = [match[1] for each in attributes if (match := _METHODS.search(each))]
    return not methods or any("GET" in each.upper() for each in methods)
