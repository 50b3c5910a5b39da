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
_SYMFONY = re.compile(r"""(?:#\[|@)Route\(\s*(?:path:\s*)?["']([^"']+)["']([^\n]*)""")
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
            yield from _read(found.match, (mount, *found.prefixes), file, guarded=guarded)
        for match in _SYMFONY.finditer(text):
            if "methods" not in match[2] or "GET" in match[2]:
                yield Route(make_path(match[1]), file)
        if file.endswith("bootstrap/app.php") and (health := _HEALTH.search(text)):
            yield Route(make_path(health[1]), file)


def _read(match: re.Match[str], prefixes: tuple[str, ...], file: str, *, guarded: bool) -> Iterator[Route]:
    path, kind = match["path"], match["kind"]
    yield Route(make_path(*prefixes, path), file, guarded)
    if kind in {"resource", "apiResource"}:
        yield Route(make_path(*prefixes, path, "{id}"), file, guarded)
