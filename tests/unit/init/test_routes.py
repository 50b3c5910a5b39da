"""Routes are found in the sources of each framework, with their prefixes; unknown input gives fewer, never an error."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_action.init.routes.decorated import find_decorated_routes
from bench_action.init.routes.django import find_django_routes
from bench_action.init.routes.dotnet import find_dotnet_routes
from bench_action.init.routes.go import find_go_routes
from bench_action.init.routes.java import find_spring_routes
from bench_action.init.routes.node import find_node_routes
from bench_action.init.routes.php import find_php_routes
from bench_action.init.routes.rails import find_rails_routes, find_sinatra_routes
from bench_action.init.routes.route import Route, make_path, sort_routes
from bench_action.init.routes.rust import find_rust_routes
from bench_action.init.sources import Sources

pytestmark = pytest.mark.unit

Finder = Callable[[Sources], Iterator[Route]]

DJANGO = {
    "site/settings.py": 'ROOT_URLCONF = "site.urls"',
    "site/urls.py": """
from django.contrib import admin
from django.urls import include, path, re_path
from rest_framework import routers
from shop import views
router = routers.DefaultRouter()
router.register(r"orders", views.OrderViewSet)
extra = [path("terms/", views.terms)]
urlpatterns = [
    path("admin/", admin.site.urls),
    path("", views.index, name="index"),
    path("shop/", include("shop.urls")),
    path("api/", include(router.urls)),
    path("legal/", include(extra)),
    re_path(r"^year/(?P<year>[0-9]{4})/$", views.year),
]
urlpatterns += [path("buy/", views.buy), path("cart/", views.Cart.as_view()), path("broken", )]
""",
    "shop/urls.py": """
from django.urls import path
from . import views
app_name = "shop"
urlpatterns = [path("items/", views.items), path("items/<int:pk>/", views.Item.as_view())]
""",
    "shop/views.py": """
from django.contrib.auth.mixins import LoginRequiredMixin
from django.views.decorators.http import require_POST
@require_POST
def buy(request): ...
class Cart(LoginRequiredMixin, View): ...
""",
}
FLASK = {
    "app/__init__.py": """
from flask import Flask
def create_app():
    app = Flask(__name__)
    from app.auth import bp as auth_bp
    from app import api
    app.register_blueprint(auth_bp, url_prefix="/auth")
    app.register_blueprint(api.bp)
    @app.route("/")
    def home(): ...
    app.add_url_rule("/about", view_func=home)
    return app
""",
    "app/auth/__init__.py": "from flask import Blueprint\nbp = Blueprint('auth', __name__)\nfrom . import routes\n",
    "app/auth/routes.py": "from app.auth import bp\n@bp.route('/who')\n@login_required\ndef who(): ...\n",
    "app/api.py": """
from flask import Blueprint
bp = Blueprint("api", __name__, url_prefix="/api")
@bp.get("/items")
def items(): ...
@bp.route("/items", methods=["POST"])
def add(): ...
@bp.route("/items/<int:item_id>")
def item(item_id): ...
config.get("name")
""",
}
FASTAPI = {
    "app/main.py": """
from fastapi import FastAPI
from app.api.main import api_router
from app.config import settings
app = FastAPI()
app.include_router(api_router, prefix=settings.API_V1)
@app.get("/health")
async def health(): ...
""",
    "app/config.py": "class Settings:\n    API_V1: str = '/api/v1'\n",
    "app/api/main.py": """
from fastapi import APIRouter
from app.api.routes import items, users
api_router = APIRouter()
api_router.include_router(items.router, prefix="/items")
api_router.include_router(users.router)
""",
    "app/api/routes/items.py": """
from fastapi import APIRouter
router = APIRouter()
@router.get("/")
def read(): ...
@router.get("/{item_id}")
def one(item_id: int): ...
@router.post("/")
def add(): ...
""",
    "app/api/routes/users.py": """
router = APIRouter(prefix="/users")
@router.get("/list")
def users(current_user: CurrentUser): ...
""",
}
RAILS = {
    "config/routes.rb": """
Rails.application.routes.draw do
  root to: "pages#home"
  get "up" => "rails/health#show", as: :rails_health_check  # a comment
  namespace :api do
    scope "/v1" do
      resources :articles, param: :slug, except: [:edit, :new] do
        resources :comments, only: [:create, :index]
        get :feed, on: :collection
        member do
          get "stats"
        end
      end
      resource :profile,
               only: [:show]
    end
  end
  resources :tags, :labels, only: %i[index]
  authenticate :user do
    get "/private", to: "x#y"
  end
  post "/orders", to: "orders#create"
end
"""
}
EXPRESS = {
    "server.js": """
const express = require('express');
const items = require('./routes/items');
const app = express();
// app.get('/removed', x)
app.use(cors());
app.use('/api/items', items);
app.use('/admin', require('./routes/admin'));
app.get('/', (req, res) => res.send('x'));
app.get('title'); config.get('/not/a/route');
app.post('/orders', x);
""",
    "routes/items.js": """
const router = require('express').Router();
router.get('/', list);
router.get('/:id(\\\\d+)', one);
router.route('/recent').post(auth('x'), add).get(auth('x'), recent);
module.exports = router;
""",
    "routes/admin.js": "const router = Router();\nrouter.get('/stats', requireAuth, stats)\n",
    "routes/items.test.js": "app.get('/only/in/a/test', x)",
}
EXPRESS_LIST = {
    "app.js": "const routes = require('./routes');\napp.use('/v1', routes);\n",
    "routes/index.js": """
const userRoute = require('./user.route');
const router = express.Router();
[{ path: '/users', route: userRoute }].forEach((each) => router.use(each.path, each.route));
""",
    "routes/user.route.js": "const router = express.Router();\nrouter\n  .route('/')\n  .post(add)\n  .get(list);\n",
}
FASTIFY = {
    "index.ts": """
import items from './items';
fastify.register(items, { prefix: '/items' });
fastify.get('/ping', async () => 'x');
""",
    "items.ts": """
export default async (fastify) => {
  fastify.get<{ Params: X }>('/all', handler);
  fastify.route({ method: 'GET', url: '/some' });
}
""",
}
NEST = {
    "main.ts": "app.setGlobalPrefix('api');",
    "cats.controller.ts": "@Controller('cats')\nclass Cats {\n  @Get()\n  all() {}\n  @Get(':id')\n  one() {}\n}\n",
}
SPRING = {
    "src/main/java/a/Owners.java": """
@RestController
@RequestMapping("/owners")
class Owners {
  // @GetMapping("/removed")
  @GetMapping public List<Owner> all() { return x; }
  @GetMapping("/{id}") public Owner one(@PathVariable("id") int id) { return x; }
  @PostMapping("/new") public void add() {}
}
class Pages {
  @GetMapping({"/", "/home"}) String home() { return "x"; }
  @RequestMapping(value = "/report", method = RequestMethod.GET) String report() { return "x"; }
  @RequestMapping(path = "/send", method = RequestMethod.POST) String send() { return "x"; }
}
""",
    "src/test/java/a/OwnersTest.java": 'class T { @GetMapping("/only/in/a/test") void x() {} }',
}
GO = {
    "router.go": """
package main
func routes(r chi.Router) {
	r.Get("/livez", live)
	r.Route("/v1", func(r chi.Router) {
		r.Get("/books", list)
		r.Get("/books/{id}", one)
		r.Post("/books", add)
	})
	header.Get("Accept")
}
func gin(e *gin.Engine) {
	v2 := e.Group("/v2")
	admin := v2.Group("/users", AuthRequired())
	v2.GET("/items/:id", x)
	admin.GET("/list", x)
	register(v2)
	mux.HandleFunc("GET /std/{$}", x)
	mux.HandleFunc("POST /no", x)
	m.HandleFunc("/mux", x).Methods("GET")
	m.HandleFunc("/put", x).Methods("PUT")
}
func register(group *gin.RouterGroup) {
	group.GET("/passed", x)
}
"""
}
LARAVEL = {
    "routes/web.php": """<?php
Route::get('/', function () { return view('x'); });
Route::prefix('shop')->group(function () {
    Route::get('items', [X::class, 'index']);
    Route::resource('photos', PhotoController::class);
});
Route::post('/orders', 'X@y');
""",
    "routes/api.php": "<?php\nRoute::group(['prefix' => 'v1'], function () {\n Route::get('tags/{tag}', 'X@y');\n});\n",
    "bootstrap/app.php": "<?php\nApplication::configure()->withRouting(health: '/up');",
}
EXPRESS_PROTECTED = {
    "server.js": """
const goals = require('./routes/goals'), api = require('./routes/private');
app.use('/api/goals', goals);
app.use('/api/private', protect, api);
app.use(passport.initialize());
app.get('/open', (req, res) => res.send('x'));
""",
    "routes/goals.js": """
const router = express.Router();
router.route('/').get(protect, getGoals).post(protect, setGoal);
router.get('/public', list);
router.get('/mine', ensureAuth, mine);
router.get('/login-page', authController.page);
router.use(verifyJWT);
router.get('/after', list);
""",
    "routes/private.js": "const router = express.Router();\nrouter.get('/all', all);\n",
}
EXPRESS_EXPORTS = {
    "server.js": """
const routes = require('./routes');
app.use('/', routes.render);
app.use(['/api/v2', '/api'], routes.api);
""",
    "routes/index.js": "module.exports = require('./all');\n",
    "routes/all.js": """
const { Router } = require('express');
const renders = require('./renders'), health = require('./health');
const { makeTeams } = require('./teams');
const teams = makeTeams(service);
const renderRouter = Router();
renderRouter.use(renders);
const apiRouter = Router();
apiRouter.use('/health', health);
apiRouter.use('/teams', teams);
module.exports = { api: apiRouter, render: renderRouter };
""",
    "routes/health.js": "const router = Router();\nrouter.get('/', ok);\nmodule.exports = router;\n",
    "routes/teams.js": """
exports.makeTeams = () => {
  const router = Router();
  router.get('/all', all);
  return router;
}
""",
    "routes/renders.js": """
const router = Router();
router.get('/terms', terms);
router.get(
  '/stats',
  handle(auth.jwtPage),
  handle(stats)
);
""",
    "routes/lost.js": "const router = Router();\nrouter.get('/somewhere', x);\n",
}
CLIENTS = {
    "package.json": '{"dependencies": {"express": "4", "axios": "1"}}',
    "server.js": "app.get('/', home);\n",
    "web/api.js": "import axios from 'axios';\nexport default axios.create({baseURL: '/api'});\n",
    "web/teams.js": "import api from './api';\napi.get('/teams');\n",
    "web/users.js": "const api = axios.create({});\napi.get('/users', {});\n",
}
NEXT_ONLY = {
    "package.json": '{"dependencies": {"next": "15"}}',
    "next.config.ts": "",
    "app/page.tsx": "",
    "lib/api.ts": "api.get('/teams')",
}
NEST_VERSIONS = {
    "apps/api/src/main.ts": """
const globalPrefix = 'api';
app.enableVersioning({ defaultVersion: '1', type: VersioningType.URI });
app.setGlobalPrefix(globalPrefix, { exclude: ['sitemap.xml', 'info'] });
""",
    "apps/api/src/app.module.ts": "providers: [{ provide: APP_GUARD, useClass: JwtAuthGuard }]",
    "health.controller.ts": "@Public()\n@Controller('health')\nclass A {\n  @Get()\n  x() {}\n}\n",
    "info.controller.ts": """
@Public()
@Controller({ path: 'info', version: VERSION_NEUTRAL })
class A {
  @Get()
  x() {}
}
""",
    "new.controller.ts": "@Controller({ path: 'new', version: '2' })\nclass A {\n  @Get('all')\n  x() {}\n}\n",
}
LARAVEL_PROTECTED = {
    "routes/web.php": """<?php
Route::get('/dashboard', function () {
    return view('dashboard');
})->middleware(['auth', 'verified'])->name('dashboard');
Route::prefix('shop')->group(function () {
    Route::get('items', [X::class, 'index']);
});
Route::middleware('auth')->group(function () {
    Route::get('/invoices', [X::class, 'edit']);
});
Route::group(['prefix' => 'team', 'middleware' => ['auth:sanctum']], function () {
    Route::get('plans', [X::class, 'plans']);
});
Route::get('/after', [X::class, 'y']);
""",
}
SPRING_SECURED = {
    "src/main/resources/application.yml": "server:\n  servlet:\n    context-path: /shop\n",
    "src/main/java/a/Security.java": """
class Security {
  SecurityFilterChain chain(HttpSecurity http) {
    http.authorizeHttpRequests(auth -> auth
      .requestMatchers(HttpMethod.POST, "/items/**").permitAll()
      .requestMatchers("/items/**", "/public/*").permitAll()
      .anyRequest().authenticated());
  }
}
""",
    "src/main/java/a/Items.java": """
@RestController
class Items {
  @GetMapping("/items") List<Item> all(@RequestParam(defaultValue = "1") int page) { return x; }
  @GetMapping("/items/search")
  List<Item> search(@RequestParam String q, @RequestParam(required = false) String sort) { return x; }
  @GetMapping("/public/a/b") String deep() { return x; }
  @GetMapping("/orders") List<Order> orders() { return x; }
}
""",
}
SPRING_DEFAULT = {
    "pom.xml": "<artifactId>spring-boot-starter-security</artifactId>",
    "A.java": '@RestController class A { @GetMapping("/items") String all() { return x; } }',
}
FASTAPI_QUERY = {
    "main.py": """
app = FastAPI()
@app.get("/video")
async def video(url: str = Query(example="x"), minimal: bool = Query(default=False)): ...
@app.get("/search")
def search(q: Annotated[str, Query(min_length=3)], page: int = 1, db: Session = Depends(get)): ...
@app.get("/items/{item_id}")
def item(item_id: int, request: Request): ...
@app.get("/list")
def all(limit: int | None = None, size: Annotated[int, Query()] = 10, user: Annotated[str, Depends(x)] = ""): ...
"""
}
GO_GROUPS = {
    "main.go": """
func main() {
	v1 := r.Group("/api")
	articles.AnonymousRegister(v1.Group("/articles"))
	r.Mount("/todos", todosResource{}.Routes())
	r.Mount("/admin", adminRouter())
	r.Group(func(r chi.Router) {
		r.Use(jwtauth.Verifier(tokenAuth))
		r.Get("/secret", x)
	})
	r.Get("/open", x)
}
func adminRouter() http.Handler {
	r := chi.NewRouter()
	r.Get("/list", x)
	return r
}
""",
    "articles/routers.go": """
func AnonymousRegister(router *gin.RouterGroup) {
	router.GET("", ArticleList)
	router.GET("/:slug", ArticleRetrieve)
}
""",
    "todos.go": """
func (rs todosResource) Routes() chi.Router {
	r := chi.NewRouter()
	r.Get("/", rs.List)
	return r
}
""",
}
RAILS_CONTROLLERS = {
    "config/routes.rb": """
Rails.application.routes.draw do
  root "pages#home"
  resources :posts, only: [:index, :show] do
    get :popular, on: :collection
  end
  namespace :api do
    resources :orders, only: :index
    resources :tags, only: :index
  end
  resource :session
  resources :rooms
  get "/about", to: "pages#about"
  get "/pricing", to: "plans#index"
end
""",
    "app/controllers/application_controller.rb": """
class ApplicationController < ActionController::Base
  before_action :authenticate_user!
end
""",
    "app/controllers/pages_controller.rb": """
class PagesController < ApplicationController
  skip_before_action :authenticate_user!, only: [:home]
end
""",
    "app/controllers/posts_controller.rb": """
class PostsController < ApplicationController
  skip_before_action :authenticate_user!, except: %i[popular]
  def index = 1
  def show = 2
end
""",
    "app/controllers/concerns/authentication.rb": """
module Authentication
  included do
    before_action :remember_something
    before_action :require_authentication
    before_action :authenticate_softly
  end
  def require_authentication
    resume_session || request_authentication
  end
  def authenticate_softly
    @user = find_user
  end
  class_methods do
    def allow_unauthenticated_access(**options)
      skip_before_action :require_authentication, **options
    end
  end
end
""",
    "app/controllers/sessions_controller.rb": """
class SessionsController < ActionController::Base
  def new
  end
end
""",
    "app/controllers/rooms_controller.rb": """
class RoomsController < ActionController::Base
  include AllowBrowser, Authentication
  allow_unauthenticated_access only: :index
end
""",
    "app/views/rooms/index.html.erb": "",
    "app/views/rooms/show.html.erb": "",
    "app/controllers/api/base_controller.rb": """
class Api::BaseController < ActionController::API
  before_action :authenticate, only: %i[index]
  def index
  end
end
""",
    "app/controllers/api/orders_controller.rb": "class Api::OrdersController < Api::BaseController\nend\n",
    "app/controllers/api/tags_controller.rb": """
class Api::TagsController < Api::BaseController
  skip_before_action :authenticate
end
""",
    "app/controllers/plans_controller.rb": """
class PlansController < ActionController::Base
  include Authentication
  allow_unauthenticated_access
end
""",
}
DJANGO_REST = {
    "shop/settings.py": """
ROOT_URLCONF = "shop.urls"
REST_FRAMEWORK = {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"]}
""",
    "shop/urls.py": """
router = DefaultRouter()
router.register("tags", TagViewSet)
router.register("items", views.ItemViewSet)
urlpatterns = [
    path("", views.index), path("api/", include(router.urls)), path("status/", views.Status.as_view()),
    path("open/", views.opened), path("closed/", views.closed), path("old/", RedirectView.as_view(url="/")),
]
""",
    "shop/views.py": """
class TagViewSet(ModelViewSet):
    queryset = x
class ItemViewSet(ModelViewSet):
    permission_classes = [IsAuthenticatedOrReadOnly]
class Status(APIView):
    permission_classes = (permissions.AllowAny,)
def index(request):
    if request.user:
        return redirect("a")
    return HttpResponseRedirect("b")
@api_view(["GET"])
@permission_classes([AllowAny])
def opened(request): ...
@api_view(["GET"])
def closed(request): ...
""",
}
FASTAPI_GUARDED = {
    "main.py": """
app = FastAPI()
app.include_router(reports, prefix="/reports", dependencies=[Depends(get_current_user)])
products = APIRouter(prefix="/products", dependencies=[Depends(get_current_user)])
reports = APIRouter()
app.include_router(products)
@products.get("/")
def all(): ...
@reports.get("/low")
def low(): ...
@app.get("/open")
def opened(): ...
"""
}
NEST_QUERY = {
    "main.ts": "",
    "app.module.ts": "{ provide: APP_GUARD, useClass: AuthGuard }",
    "x.controller.ts": """
@IsPublic()
@Controller('favorite')
class A {
  @Get('search')
  search(@Query('query') query: string) {}
  @Get('page')
  page(@Query('page') page?: number, @Query('size', new DefaultValuePipe(5)) size: number) {}
}
""",
}
DOTNET = {
    "Api/Controllers/DishController.cs": """
[ApiController]
[Route("api/[controller]")]
public class DishController : ControllerBase
{
    [HttpGet]
    public async Task<ActionResult<IEnumerable<Dish>>> GetAll() { }
    [HttpGet("{id:int}")]
    [ProducesResponseType(200)]
    public IActionResult Get(int id) { }
    [HttpGet("search")]
    public IActionResult Search([FromQuery] string q, [FromQuery] int? page) { }
    [HttpPost]
    public IActionResult Add(Dish dish) { }
    [Authorize(Roles = "Admin")]
    [HttpGet, Route("all")]
    public IActionResult All() { }
}
[Authorize]
[Route("orders")]
public class OrdersController : ControllerBase
{
    [HttpGet("mine")]
    public IActionResult Mine() { }
    [AllowAnonymous]
    [HttpGet("/status-page")]
    public IActionResult Status() { }
}
""",
    "Api/Program.cs": """
var group = app.MapGroup("/v2");
var inner = group.MapGroup("/todos").RequireAuthorization();
app.MapGet("/hello", () => "x");
group.MapGet("/tags", () => "x");
inner.MapGet("/", () => "x");
app.MapGet("/secret", () => "x").RequireAuthorization();
""",
}
EXPRESS_HANDLERS = {
    "server.js": "const todosRoutes = require('./todos');\napp.use('/todos', todosRoutes);\n",
    "todos.js": """
const userRoute = express.Router();
module.exports = userRoute;
userRoute.get('/', (req, res) => res.send('Auth route, protected'));
userRoute.get('/maybe', auth.optional, list);
userRoute.get('/loose', handle(auth.jwtLoosePage), handle(list));
userRoute.get('/authors', listAuthors);
userRoute.get('/me-too', userAuth, list);
userRoute.get('/by-token', validateToken, (req, res) => res.json({}));
""",
}
FLASK_CLASSES = {
    "app.py": """
class Items(Resource):
    def get(self): ...
class Login(Resource):
    def post(self): ...
class Mine(Resource):
    @jwt_required()
    def get(self): ...
api.add_resource(Items, "/items")
api.add_resource(Login, "/login-now")
api.add_resource(Mine, "/mine")
@blp.route("/shop")
class Shop(MethodView):
    def post(self): ...
@app.get("/services")
def services(x: Service = Depends(get_user_service)): ...
@app.get("/search")
def search(q: Optional[str] = None, user=Depends(get_current_user)): ...
@app.get("/token")
@token_required
def token(): ...
"""
}
DJANGO_CREATE = {
    "shop/urls.py": """
from .routers import router
urlpatterns = [
    path("api/", include(router.urls)), path("token/", TokenObtainPairView.as_view()),
    path("register-now/", views.Join.as_view()), path("post/", views.Post.as_view()),
    path("both/", views.Both.as_view()),
]
""",
    "shop/routers.py": 'router = DefaultRouter()\nrouter.register("tags", TagViewSet)\n',
    "shop/views.py": """
class Join(generics.CreateAPIView): ...
class Post(APIView):
    def post(self, request): ...
class Both(APIView):
    def get(self, request): ...
    def post(self, request): ...
""",
}
GO_AFTER = {
    "main.go": """
func main() {
	e.GET("/mine", h.List, authMiddleware)
	app.Get("/users", middleware.Protected(), h.Users)
	e.GET("/authors", h.Authors)
	e.GET("/by-author", cached, h.ByAuthor)
}
"""
}
SPRING_CONSTANTS = {
    "src/main/java/a/Paths.java": 'class Paths { static final String POSTS = "/posts"; }',
    "src/main/java/a/Posts.java": """
@RestController
@RequestMapping(path = Paths.POSTS)
class Posts {
  @GetMapping String all() { return x; }
  @GetMapping(UNKNOWN_PATH) String other() { return x; }
}
""",
}
DOTNET_BASE = {
    "Base.cs": """
[ApiController]
[Route("api/[controller]")]
public abstract class BaseApiController : ControllerBase { }
""",
    "Products.cs": """
public class ProductsController : BaseApiController
{
    [HttpGet]
    public IActionResult All() { }
}
""",
}
RUST = {
    "src/main.rs": """
fn app() -> Router {
    let api = Router::new()
        .route("/tags", get(tags))
        .route("/items", post(add).get(list));
    Router::new().route("/", get(home)).route("/orders", post(order)).nest("/api", api).nest("/users", users::router())
}
""",
    "src/users.rs": 'pub fn router() -> Router {\n    Router::new().route("/all", get(all))\n}\n',
}
ACTIX = {
    "src/main.rs": """
#[get("/items/{id}")]
async fn item() {}
#[post("/items")]
async fn add() {}
fn main() { web::scope("/v1").service(item); }
"""
}
CASES: dict[str, tuple[Finder, dict[str, str], list[str]]] = {
    "django": (
        find_django_routes,
        DJANGO,
        [
            "/",
            "/api/orders/",
            "/legal/terms/",
            "/shop/items/",
            "/api/orders/{id}/",
            "/shop/items/{pk}/",
            "/year/{year}/",
        ],
    ),
    "flask": (find_decorated_routes, FLASK, ["/", "/about", "/api/items", "/api/items/{item_id}"]),
    "fastapi": (find_decorated_routes, FASTAPI, ["/health", "/api/v1/items/", "/api/v1/items/{item_id}"]),
    "rails": (
        find_rails_routes,
        RAILS,
        [
            *("/", "/up", "/tags", "/labels", "/api/v1/articles", "/api/v1/articles/{slug}"),
            *("/api/v1/articles/{article_slug}/stats", "/api/v1/articles/{article_slug}/comments"),
        ],
    ),
    "sinatra": (find_sinatra_routes, {"app.rb": "get '/items' do\n  x\nend\npost '/x' do\nend"}, ["/items"]),
    "express": (find_node_routes, EXPRESS, ["/", "/api/items/", "/api/items/{id}"]),
    "express, from a list": (find_node_routes, EXPRESS_LIST, ["/v1/users/"]),
    "fastify": (find_node_routes, FASTIFY, ["/ping", "/items/all", "/items/some"]),
    "nest": (find_node_routes, NEST, ["/api/cats", "/api/cats/{id}"]),
    "next": (
        find_node_routes,
        {"next.config.js": "", "app/page.tsx": "", "app/(shop)/items/[id]/page.tsx": "", "pages/api/x.ts": ""},
        ["/", "/api/x", "/items/{id}"],
    ),
    "spring": (find_spring_routes, SPRING, ["/", "/home", "/owners", "/report", "/owners/{id}"]),
    "go": (
        find_go_routes,
        GO,
        ["/mux", "/livez", "/std/", "/v1/books", "/v2/passed", "/v2/items/{id}", "/v1/books/{id}"],
    ),
    "laravel": (
        find_php_routes,
        LARAVEL,
        ["/", "/up", "/shop/items", "/shop/photos", "/shop/photos/{id}", "/api/v1/tags/{tag}"],
    ),
    "django, with permissions": (
        find_django_routes,
        DJANGO_REST,
        ["/open/", "/status/", "/api/items/", "/api/items/{id}/"],
    ),
    "express, protected": (
        find_node_routes,
        EXPRESS_PROTECTED,
        ["/open", "/api/goals/public", "/api/goals/login-page"],
    ),
    "express, by exports": (
        find_node_routes,
        EXPRESS_EXPORTS,
        ["/terms", "/api/v2/health/", "/api/v2/teams/all", "/{mounted}/somewhere"],
    ),
    "clients of a server": (find_node_routes, CLIENTS, ["/"]),
    "next, with a client": (find_node_routes, NEXT_ONLY, ["/"]),
    "nest, with versions": (find_node_routes, NEST_VERSIONS, ["/info", "/api/v1/health"]),
    "laravel, protected": (find_php_routes, LARAVEL_PROTECTED, ["/after", "/shop/items"]),
    "spring, secured": (find_spring_routes, SPRING_SECURED, ["/shop/items", "/shop/items/search?q={q}"]),
    "spring, secured by default": (find_spring_routes, SPRING_DEFAULT, []),
    "fastapi, with a query": (
        find_decorated_routes,
        FASTAPI_QUERY,
        ["/list", "/items/{item_id}", "/search?q={q}", "/video?url={url}"],
    ),
    "express, by handlers": (
        find_node_routes,
        EXPRESS_HANDLERS,
        ["/todos/", "/todos/maybe", "/todos/loose", "/todos/authors"],
    ),
    "flask, by classes": (find_decorated_routes, FLASK_CLASSES, ["/items", "/services"]),
    "django, without get": (find_django_routes, DJANGO_CREATE, ["/both/", "/api/tags/", "/api/tags/{id}/"]),
    "go, guarded after the handler": (find_go_routes, GO_AFTER, ["/authors", "/by-author"]),
    "spring, by constants": (find_spring_routes, SPRING_CONSTANTS, ["/posts", "/posts/{UNKNOWN_PATH}"]),
    "asp.net, by a base class": (find_dotnet_routes, DOTNET_BASE, ["/api/Products"]),
    "rust": (find_rust_routes, RUST, ["/", "/api/tags", "/api/items", "/users/all"]),
    "actix": (find_rust_routes, ACTIX, ["/v1/items/{id}"]),
    "fastapi, guarded": (find_decorated_routes, FASTAPI_GUARDED, ["/open"]),
    "nest, with a query": (find_node_routes, NEST_QUERY, ["/favorite/page", "/favorite/search?query={query}"]),
    "asp.net": (
        find_dotnet_routes,
        DOTNET,
        ["/hello", "/v2/tags", "/api/Dish", "/api/Dish/{id}", "/api/Dish/search?q={q}", "/status-page"],
    ),
    "spring, in com.example": (
        find_spring_routes,
        {"src/main/java/com/example/docs/A.java": '@RestController class A { @GetMapping("/items") String x() { } }'},
        ["/items"],
    ),
    "go, mounted": (
        find_go_routes,
        GO_GROUPS,
        ["/open", "/todos/", "/admin/list", "/api/articles", "/api/articles/{slug}"],
    ),
    "rails, by controllers": (
        find_rails_routes,
        RAILS_CONTROLLERS,
        ["/", "/posts", "/rooms", "/posts/{id}", "/pricing", "/api/tags"],
    ),
}
GUARDED = {
    "django": ["/cart/"],
    "flask": ["/auth/who"],
    "fastapi": ["/api/v1/users/list"],
    "rails": ["/private", "/api/v1/profile", "/api/v1/articles/feed"],
    "express": ["/admin/stats", "/api/items/recent"],
    "go": ["/v2/users/list"],
    "django, with permissions": ["/closed/", "/api/tags/", "/api/tags/{id}/"],
    "express, protected": ["/api/goals/", "/api/goals/mine", "/api/goals/after", "/api/private/all"],
    "express, by exports": ["/stats"],
    "nest, with versions": ["/api/v2/new/all"],
    "laravel, protected": ["/dashboard", "/invoices", "/team/plans"],
    "spring, secured": ["/shop/orders", "/shop/public/a/b"],
    "spring, secured by default": ["/items"],
    "go, mounted": ["/secret"],
    "fastapi, guarded": ["/products/", "/reports/low"],
    "express, by handlers": ["/todos/me-too", "/todos/by-token"],
    "flask, by classes": ["/mine", "/search", "/token"],
    "go, guarded after the handler": ["/mine", "/users"],
    "asp.net": ["/secret", "/api/Dish/all", "/orders/mine", "/v2/todos/"],
    "rails, by controllers": ["/about", "/api/orders", "/posts/popular", "/rooms/{id}"],
}


@pytest.fixture
def repository(tmp_path: Path) -> Callable[[dict[str, str]], Sources]:
    """Writes files and lists them."""

    def write(files: dict[str, str]) -> Sources:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return Sources.from_folder(tmp_path)

    return write


@pytest.mark.parametrize("name", CASES)
def test_routes__of_a_framework(repository: Callable[[dict[str, str]], Sources], name: str) -> None:
    find, files, expected = CASES[name]
    routes = sort_routes(find(repository(files)))
    assert sorted(route.path for route in routes if not route.needs_login) == sorted(expected)
    assert sorted(route.path for route in routes if route.needs_login) == sorted(GUARDED.get(name, []))


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_routes__of_damaged_sources_raise_nothing(tmp_path: Path, name: str, data: st.DataObject) -> None:
    find, files, _ = CASES[name]
    damaged = {}
    for file, text in files.items():
        start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        damaged[file] = (
            text[:start] + data.draw(st.text(alphabet="(){}[]'\"`/:<>,@ \n\\#*?x", max_size=12)) + text[end:]
        )
    sources = Sources(tmp_path, tuple(damaged), damaged)
    for route in sort_routes(find(sources)):
        assert route.path.startswith("/")


@given(text=st.text())
def test_make_path__begins_with_one_slash(text: str) -> None:
    path = make_path("", text)
    assert path.startswith("/")
    assert not path.startswith("//")


@pytest.mark.parametrize(
    ("path", "health", "page"),
    [
        ("/health", True, False),
        ("/api/healthz/", True, False),
        ("/up/databases", False, False),
        ("/supper", False, True),
        ("/items", False, True),
        ("/accounts/login/", False, False),
        ("/contact.vcf", False, False),
        ("/vets.html", False, True),
    ],
)
def test_route__what_is_worth_measuring(path: str, health: bool, page: bool) -> None:
    assert (Route(path).is_health, Route(path).is_page) == (health, page)
