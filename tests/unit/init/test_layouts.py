"""Routes have the prefix of what mounts them, also where names repeat, or where a prefix is not known."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench_action.init.routes.decorated import find_decorated_routes
from bench_action.init.routes.django import find_django_routes
from bench_action.init.routes.dotnet import find_dotnet_routes
from bench_action.init.routes.go import find_go_routes
from bench_action.init.routes.node import find_node_routes
from bench_action.init.routes.php import find_php_routes
from bench_action.init.routes.rails import find_rails_routes
from bench_action.init.routes.route import Route
from bench_action.init.routes.rust import find_rust_routes
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


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("'api'", "/api/cats"),
        ("prefix", "/{prefix}/cats"),
        ("config.get('prefix')", "/{prefix}/cats"),
        ("`${name}/v1`", "/{prefix}/cats"),
        ("'api/' + version", "/{prefix}/cats"),
    ],
)
def test_nest__has_no_literal_paths_below_a_prefix_that_is_not_known(find: Find, argument: str, path: str) -> None:
    files = {
        "main.ts": f"const prefix = process.env.PREFIX ?? 'api';\napp.setGlobalPrefix({argument});\n",
        "cats.controller.ts": "@Controller('cats')\nclass Cats {\n  @Get()\n  all() {}\n}\n",
    }
    assert find(find_node_routes, files) == [path]


def test_koa__reads_prefixes_of_routers(find: Find) -> None:
    files = {
        "app.js": """
const books = require('./books'), pens = require('./pens'), inks = require('./inks');
app.use(books.routes()).use(pens.routes()).use(inks.routes());
""",
        "books.js": """
const router = new Router({ prefix: '/books' });
router.get('/', all).get('/new-ones', some);
module.exports = router;
""",
        "pens.js": """
const router = new Router();
router.prefix('/pens');
router.get('/all', all);
module.exports = router;
""",
        "inks.js": """
const inks = require('koa-router')();
inks.prefix('/inks').get('/none', x);
inks.get('/all', all);
module.exports = inks;
""",
        "one.js": """
const router = new Router({ sensitive: true, prefix: BASE });
router.get('/one', x);
app.use(router.routes());
""",
        "two.js": """
const apiRouter = new Router({ prefix: '/api' });
const innerRouter = new Router();
innerRouter.get('/two', x);
apiRouter.use('/inner', innerRouter.routes());
app.use(apiRouter.routes());
""",
    }
    assert find(find_node_routes, files) == [
        *("/api/inner/two", "/books/", "/books/new-ones", "/inks/all", "/inks/none", "/pens/all", "/{prefix}/one")
    ]


def test_hono__reads_routes_of_other_applications(find: Find) -> None:
    files = {
        "index.ts": """
import books from './books';
import pens from './pens';
const app = new Hono().basePath('/v1');
const api = new Hono();
api.get('/status-page', x);
app.route('/books', books).route('/pens', pens);
app.route('/api', api);
export default app;
""",
        "books.ts": "const books = new Hono<Env>();\nbooks.get('/', all);\nexport default books;\n",
        "pens.ts": "const app = new Hono();\napp.get('/all', all);\nexport default app;\n",
    }
    assert find(find_node_routes, files) == ["/v1/api/status-page", "/v1/books", "/v1/pens/all"]


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


def test_go__passes_on_that_a_group_requires_authentication(find: Find) -> None:
    files = {
        "main.go": """
package main
func main() {
	v1 := r.Group("/v1")
	orders(v1.Group("/orders", AuthRequired()))
	admin := v1.Group("/admin", middleware.Auth(config.Get("x")))
	panel(admin)
	v1.Use(users.AuthMiddleware(false))
	items(v1.Group("/items"))
	v1.Use(users.AuthMiddleware(true))
	plans(v1.Group("/plans"))
}
func orders(router *gin.RouterGroup) { router.GET("/all", x) }
func panel(router *gin.RouterGroup) { nested(router.Group("/nested")) }
func nested(router *gin.RouterGroup) { router.GET("/all", x) }
func items(router *gin.RouterGroup) { router.GET("/all", x) }
func plans(router *gin.RouterGroup) { router.GET("/all", x) }
""",
    }
    assert find(find_go_routes, files) == [
        *("/v1/admin/nested/all!", "/v1/items/all", "/v1/orders/all!", "/v1/plans/all!")
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


@pytest.mark.parametrize(
    "scope", ['scope "(:locale)"', 'scope "(:locale(/:region))", locale: /en|de/', 'scope path: "(:locale)"']
)
def test_rails__leaves_out_optional_segments_of_scopes(find: Find, scope: str) -> None:
    files = {"config/routes.rb": f'{scope} do\n  get "/about(/:page)", to: "pages#about"\nend\n'}
    assert find(find_rails_routes, files) == ["/about"]


def test_symfony__puts_the_path_of_a_class_before_those_of_its_methods(find: Find) -> None:
    files = {
        "src/Controller/ProductController.php": """<?php
#[Route('/api/products', name: 'product_')]
final class ProductController extends AbstractController
{
    #[Route('', name: 'list', methods: ['GET'])]
    public function list(): Response { return $this->forward(Other::class); }
    #[Route(
        '/add-one',
        name: 'add',
        methods: ['POST'],
    )]
    public function add(): Response {}
    #[Route(path: '/{id}', requirements: ['id' => '(a|b)'])]
    public function one(int $id): Response {}
    #[Route(self::PATH)]
    public function unknown(): Response {}
}
#[Route('/about', methods: 'GET')]
class About { public function __construct(X $x) {} public function __invoke(): Response {} }
#[Route(self::BASE)]
class Based { #[Route('/some')] public function some() {} }
class Plain { #[Route('/plain')] public function plain() {} }
#[Route('/posted', methods: ['POST'])]
class Posted { #[Route('/all')] public function all() {} }
""",
    }
    assert find(find_php_routes, files) == [
        *("/about", "/api/products", "/api/products/{id}", "/plain", "/{prefix}/some")
    ]


def test_laravel__has_only_the_actions_of_resources_that_exist(find: Find) -> None:
    files = {
        "routes/web.php": """<?php
Route::resource('a', A::class)->only(['index', 'store']);
Route::resource('b', B::class)->only('show');
Route::resource('c', C::class)->except(['index']);
Route::apiResource('d', D::class, ['only' => ['store']]);
Route::resource('posts.comments', E::class);
Route::resource('teams.members', F::class)
    ->shallow();
""",
    }
    assert find(find_php_routes, files) == [
        *("/a", "/b/{id}", "/c/{id}", "/members/{id}"),
        *("/posts/{post}/comments", "/posts/{post}/comments/{id}", "/teams/{team}/members"),
    ]


def test_dotnet__names_actions_by_their_methods(find: Find) -> None:
    files = {
        "Items.cs": """
[Route("api/[controller]/[action]")]
public class ItemsController : ControllerBase
{
    [HttpGet]
    public IActionResult Recent() { }
    [HttpGet]
    public async Task<IActionResult> PopularAsync() { }
    [HttpGet("{id}"), ActionName("Detail")]
    public async Task<IActionResult> One(int id) { }
}
public class PensController : ControllerBase
{
    [HttpGet("/pens/[action]")]
    public IActionResult All() { }
}
""",
    }
    assert find(find_dotnet_routes, files) == [
        *("/api/Items/Detail/{id}", "/api/Items/Popular", "/api/Items/Recent", "/pens/All")
    ]


def test_django__knows_views_by_their_files(find: Find) -> None:
    files = {
        "site/settings.py": 'ROOT_URLCONF = "site.urls"',
        "site/urls.py": """
from django.urls import include, path
import pens.views
urlpatterns = [
    path("items/", include("items.urls")), path("orders/", include("orders.urls")), path("tags/", include("tags.urls")),
    path("pens/", pens.views.index), path("api/", api.urls),
]
""",
        "items/urls.py": 'from . import views\nurlpatterns = [path("", views.index)]\n',
        "items/views.py": "def index(request): ...\n",
        "orders/urls.py": 'from .views import index as home\nurlpatterns = [path("", home)]\n',
        "orders/views.py": "@login_required\ndef index(request): ...\n",
        "tags/urls.py": 'urlpatterns = [path("", index)]\n',
        "tags/views/all.py": "def index(request): ...\n",
        "pens/views/__init__.py": "from .some import *\n",
        "pens/views/some.py": "@require_POST\ndef index(request): ...\n",
    }
    assert find(find_django_routes, files) == ["/items/", "/orders/!", "/tags/"]


def test_django__has_no_list_of_what_is_only_made_or_retrieved(find: Find) -> None:
    files = {
        "shop/urls.py": """
router = DefaultRouter()
router.register("made", Made)
router.register("one", One)
router.register("own", viewset=Own)
router.register("all", All)
urlpatterns = [path("", include(router.urls))]
""",
        "shop/views.py": """
class Made(mixins.CreateModelMixin, viewsets.GenericViewSet): ...
class One(mixins.RetrieveModelMixin, viewsets.GenericViewSet): ...
class Own(viewsets.ViewSet):
    def list(self, request): ...
class All(viewsets.ReadOnlyModelViewSet): ...
""",
    }
    assert find(find_django_routes, files) == ["/all/", "/all/{id}/", "/one/{id}/", "/own/"]


def test_flask_restful__adds_resources_below_the_prefix_of_their_api(find: Find) -> None:
    files = {
        "app/__init__.py": """
from app.views import bp, late
app = Flask(__name__)
app.register_blueprint(bp, url_prefix="/shop")
api = Api(app, prefix="/api/v1")
api.add_resource(Items, "/items")
other = Api(app, prefix=PLACE)
other.add_resource(Items, "/others")
late.init_app(bp)
""",
        "app/views.py": """
bp = Blueprint("shop", __name__)
api = Api(bp)
api.add_resource(Pens, "/pens")
late = Api(prefix="/late")
late.add_resource(Pens, "/pens")
""",
    }
    assert find(find_decorated_routes, files) == ["/api/v1/items", "/shop/late/pens", "/shop/pens", "/{prefix}/others"]


def test_flask_restx__adds_the_name_or_the_path_of_a_namespace(find: Find) -> None:
    files = {
        "app.py": """
from cats import ns
from dogs import ns as dogs
api = Api(app, prefix="/v1")
api.add_namespace(ns)
api.add_namespace(dogs, path="/hounds")
birds = api.namespace("birds", description="x")
fish = api.namespace("fish", path="/")
@birds.route("/all")
class Birds(Resource):
    def get(self): ...
@fish.route("/fishes")
class Fish(Resource):
    def get(self): ...
""",
        "cats.py": """
ns = Namespace("cats", description="x")
@ns.route("/")
class Cats(Resource):
    def get(self): ...
""",
        "dogs.py": """
ns = Namespace("dogs", path="/dogs")
@ns.route("/all")
class Dogs(Resource):
    def get(self): ...
""",
    }
    assert find(find_decorated_routes, files) == ["/v1/birds/all", "/v1/cats/", "/v1/fishes", "/v1/hounds/all"]


def test_axum__nests_functions_of_modules_over_several_levels(find: Find) -> None:
    files = {
        "src/main.rs": """
use crate::pens::routes as pen_routes;
fn app() -> Router {
    let inner = Router::new().route("/inner", get(x));
    let app = Router::new().route("/home", get(home)).nest("/deep", inner);
    let app = Router::new().nest("/v1", app).nest(&config.base, tags::routes());
    Router::new().merge(app).nest("/api", api()).nest("/written", Router::new().route("/here", get(x)))
        .route("/there", get(x))
}
fn api() -> Router {
    Router::new().nest("/users", users::routes()).nest("/items", items::routes(state)).nest("/pens", pen_routes())
}
""",
        "src/users.rs": 'pub fn routes() -> Router { Router::new().route("/all", get(all)) }\n',
        "src/items/mod.rs": 'pub fn routes() -> Router { let r = Router::new().route("/all", get(all)); r }\n',
        "src/pens.rs": 'pub fn routes() -> Router { Router::new().route("/all", get(all)) }\n',
        "src/tags.rs": 'pub fn routes() -> Router { Router::new().route("/all", get(all)) }\n',
    }
    assert find(find_rust_routes, files) == [
        *("/api/items/all", "/api/pens/all", "/api/users/all", "/there"),
        *("/v1/deep/inner", "/v1/home", "/written/here", "/{prefix}/all"),
    ]


def test_axum__keeps_modules_of_one_name_apart(find: Find) -> None:
    files = {
        "src/main.rs": """
use routes::{health::check_router, tags};
use routes::v2::users as new_users;
fn main() {
    Router::new().nest("/api", routes::router()).merge(check_router()).nest("/new", new_users::router());
}
""",
        "src/routes/mod.rs": """
pub fn router() -> Router { Router::new().nest("/users", users::router()).merge(super::routes::tags::router()) }
""",
        "src/routes/users.rs": 'pub fn router() -> Router { Router::new().route("/all", get(all)) }',
        "src/routes/tags.rs": 'pub fn router() -> Router { Router::new().route("/tags", get(all)) }',
        "src/routes/health.rs": 'pub fn check_router() -> Router { Router::new().route("/ok", get(all)) }',
        "src/routes/v2/users.rs": 'pub fn router() -> Router { Router::new().route("/list", get(all)) }',
    }
    assert find(find_rust_routes, files) == ["/api/tags", "/api/users/all", "/new/list", "/ok"]


def test_actix__reads_resources_and_routes_of_a_scope(find: Find) -> None:
    code = """
fn main() {
    App::new().service(
        web::scope("/v1")
            .service(web::resource("/items").route(web::post().to(add)).route(web::get().to(list)))
            .service(web::resource("/orders").route(web::post().to(order)))
            .route("/tags", web::get().to(tags)))
}
"""
    assert find(find_rust_routes, {"src/main.rs": code}) == ["/v1/items", "/v1/tags"]


@pytest.mark.parametrize(
    ("mounts", "path"),
    [
        ('rocket::build().mount("/api", routes![all])', "/api/all"),
        ('rocket::build().mount("/api", routes![all]).mount("/", routes![index])', "/{mounted}/all"),
        ('App::new().service(web::scope("/a").service(all)).service(web::scope("/b"))', "/{mounted}/all"),
        ("App::new().service(web::scope(&base).service(all))", "/{mounted}/all"),
    ],
)
def test_rust__does_not_guess_which_of_several_scopes_a_function_is_in(find: Find, mounts: str, path: str) -> None:
    files = {"src/main.rs": f'#[get("/all")]\nasync fn all() {{}}\nfn main() {{ {mounts}; }}\n'}
    assert find(find_rust_routes, files) == [path]
