"""Routes have the prefix of what mounts them, also where names repeat, or where a prefix is not known."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench_action.init.routes.go import find_go_routes
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


def test_go__passes_groups_to_functions_by_package(find: Find) -> None:
    files = {
        "main.go": """
package main
func main() {
	v1 := r.Group("/v1")
	users.RegisterRoutes(v1.Group("/users"))
	items.RegisterRoutes(db, v1.Group("/items"))
	r.Route("/tags", func(r chi.Router) {
		tags.RegisterRoutes(r)
	})
}
""",
        "users/routes.go": """
package users
func RegisterRoutes(router *gin.RouterGroup) {
	router.GET("/all", x)
	nested(router.Group("/nested"))
}
func nested(router *gin.RouterGroup) {
	router.GET("/some", x)
}
func Other(router *gin.RouterGroup) {
	router.GET("/other", x)
}
""",
        "items/routes.go": """
package items
func RegisterRoutes(db *sql.DB, router *gin.RouterGroup) { router.GET("/all", x) }
""",
        "tags/routes.go": 'package tags\nfunc RegisterRoutes(r chi.Router) { r.Get("/all", x) }\n',
    }
    assert find(find_go_routes, files) == [
        *("/other", "/tags/all", "/v1/items/all", "/v1/users/all", "/v1/users/nested/some")
    ]


def test_go__does_not_guess_which_of_several_methods_is_called(find: Find) -> None:
    files = {
        "main.go": """
package main
func main() {
	one.Register(r.Group("/users"))
	two.Register(r.Group("/items"))
}
""",
        "handlers/users.go": 'package handlers\nfunc (h *Users) Register(g *gin.RouterGroup) { g.GET("/all", x) }\n',
        "handlers/items.go": 'package handlers\nfunc (h *Items) Register(g *gin.RouterGroup) { g.GET("/some", x) }\n',
    }
    assert find(find_go_routes, files) == ["/{mounted}/all", "/{mounted}/some"]


def test_go__keeps_groups_of_functions_apart(find: Find) -> None:
    files = {
        "main.go": """
package main
func users(r *gin.Engine) {
	group := r.Group("/users")
	group.GET("/all", x)
}
func items(r *gin.Engine) {
	group := r.Group("/items")
	group.GET("/all", x)
}
""",
    }
    assert find(find_go_routes, files) == ["/items/all", "/users/all"]
