"""Routes have the prefix of what mounts them, also where names repeat, or where a prefix is not known."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench_action.init.routes.node import find_node_routes
from bench_action.init.routes.route import Route
from bench_action.init.sources import Sources

pytestmark = pytest.mark.unit

Finder = Callable[[Sources], Iterator[Route]]
Find = Callable[[Finder, dict[str, str]], list[str]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Finds the paths of routes in files: guarded ones end in `!`."""

    def find(finder: Finder, files: dict[str, str]) -> list[str]:
        sources = Sources(tmp_path, tuple(sorted(files)), files)
        return sorted({f"{route.path}{'!' if route.guarded else ''}" for route in finder(sources)})

    return find


@pytest.mark.parametrize("names", [("js", "ts"), ("mjs", "mts"), ("cjs", "cts")])
def test_node__reads_imports_of_what_typescript_is_compiled_to(find: Find, names: tuple[str, str]) -> None:
    compiled, written = names
    files = {
        f"src/app.{written}": f"import users from './routes/users.{compiled}';\napp.use('/api/users', users);\n",
        f"src/routes/users.{written}": "const router = Router();\nrouter.get('/all', all);\nexport default router;\n",
    }
    assert find(find_node_routes, files) == ["/api/users/all"]
