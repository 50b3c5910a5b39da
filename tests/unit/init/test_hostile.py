"""What is odd, hostile or huge in a repository ends `bench-action init` with nothing but an InputError."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from tests.unit.init.drafts import Make, write_compose

from bench_action.init.render import render_configuration
from bench_action.init.routes.decorated import find_decorated_routes
from bench_action.init.routes.django import find_django_routes
from bench_action.init.routes.node import find_node_routes
from bench_action.init.routes.php import find_php_routes
from bench_action.init.routes.route import Route
from bench_action.init.sources import Sources
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

Finder = Callable[[Sources], Iterator[Route]]


@pytest.mark.parametrize(
    "service",
    [
        "labels: 5",
        "ports: [80], env_file: /",
        f"ports: [80], env_file: {'x' * 300}",
        "ports: [80], volumes: ['./loop:/x']",
        f"ports: [80], volumes: ['./{'y' * 300}:/x']",
        "ports: [80], volumes: ['../../../../etc:/x']",
        "environment: 3, ports: 4",
    ],
)
def test_compose__with_odd_values_raises_nothing_else(draft: Make, tmp_path: Path, service: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    compose = f"services: {{web: {{build: ., {service}}}, nginx: {{image: nginx, {service}}}}}"
    with suppress(InputError):
        assert render_configuration(draft({"compose.yml": compose, "Dockerfile": "FROM php:8-fpm"}))


@pytest.mark.parametrize("name", ["x\u2028    setup: [evil]\u2028    #", "\ud800", "x\x85    setup: [evil]"])
def test_comments__contain_no_line_of_a_repository(draft: Make, name: str) -> None:
    made = draft({"Dockerfile": f"FROM x\nCOPY [{json.dumps(name)}, '.']\n".replace("'", '"')})
    text = render_configuration(made)
    assert made.build is not None
    assert made.build.missing
    assert text.encode()
    assert "setup" not in yaml.safe_load(text)["variants"]["web"]


def test_files__outside_of_the_repository_are_not_read(draft: Make, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "env").write_text("ALLOWED_HOSTS=secret.example", encoding="utf-8")
    (outside / "ci.yml").write_text("    image: postgres:9-secret\n", encoding="utf-8")
    (tmp_path / ".env").symlink_to(outside / "env")
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "workflows").symlink_to(outside)
    files = {
        "manage.py": 'setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")',
        "shop/settings.py": 'ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split()',
        "requirements.txt": "django\npsycopg\n",
        "Dockerfile": "FROM python\nCOPY . .",
    }
    assert "secret" not in render_configuration(draft(files)).replace("not a secret", "")
    compose = write_compose(web={"build": ".", "ports": [80], "env_file": ".env"})
    assert "secret" not in render_configuration(draft({**files, "compose.yml": compose}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Dockerfile", "FROM x\nENV A=xxxxxxxxxx\n" + "ENV A=$A$A\n" * 60),
        ("Dockerfile", "FROM x\nCOPY */*/*/*/*/*/*/*/*/*/x .\n"),
        ("a/Security.java", 'SecurityFilterChain requestMatchers("' + "/**" * 40 + '/z").permitAll()'),
        ("a/Security.java", 'SecurityFilterChain requestMatchers("' + "/**/a" * 40 + '/z").permitAll()'),
        ("docker-entrypoint.sh", 'case "$1" in\n' * 4000),
        ("app/controllers/application_controller.rb", "\n" * 60_000),
        (".github/workflows/ci.yml", "\n" * 60_000),
        ("schema.prisma", "datasource " * 20_000),
        ("routes/web.php", "<?php\n" + "Route::get('/x', [X::class, 'y'])\n" * 4000),
    ],
)
def test_files__that_would_take_long_do_not(draft: Make, tmp_path: Path, name: str, text: str) -> None:
    """Each took minutes, or all memory. The suite limits the time of each test."""
    for number in range(12):
        (tmp_path / f"link{number}").symlink_to(".")
    files = {
        "Dockerfile": 'FROM x\nENTRYPOINT ["/docker-entrypoint.sh"]\nCOPY . .',
        "pom.xml": "spring-boot",
        "A.java": '@GetMapping("/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a") String x() {}',
        "config/routes.rb": "resources :items\n",
    }
    assert render_configuration(draft({**files, name: text}))


@pytest.mark.parametrize(
    ("find", "name", "text"),
    [
        (find_php_routes, "web.php", r"Route \"" + r"\"" * 200_000),
        (find_php_routes, "web.php", r"Route '" + r"\'" * 200_000 + "\\\n"),
        (find_node_routes, "server.js", ".get(`" + r"\`" * 200_000),
        (find_node_routes, "server.js", "app.get(" + "a$" * 200_000),
        (find_node_routes, "server.js", "app.get<" * 50_000),
        (find_node_routes, "server.js", "app.use('/a', b)\n" * 20_000),
        (find_node_routes, "x.controller.ts", "@Controller(" * 10_000),
        (find_django_routes, "urls.py", f"a = []\nurlpatterns = [{'*a, ' * 50_000}]"),
    ],
)
def test_routes__of_files_that_would_take_long_do_not(find: Finder, name: str, text: str) -> None:
    """Each took minutes. The suite limits the time of each test."""
    assert not list(find(Sources(Path(), (name,), {name: text})))


@pytest.mark.parametrize(
    ("find", "text"),
    [
        (find_decorated_routes, "@app.get('/x')\ndef x(a: {0} = {0}): ...\n"),
        (find_decorated_routes, "@app.route('/x', methods={0})\n@needs({0})\ndef x(): ...\n"),
        (find_decorated_routes, "app = FastAPI(dependencies={0})\napp.include_router(x, dependencies={0})\n"),
        (find_decorated_routes, "Route('/', x, methods={0})\n"),
        (find_django_routes, "@redirect({0})\ndef x(): ...\n"),
        (find_django_routes, "class X(APIView, {0}):\n    permission_classes = {0}\n"),
    ],
)
@pytest.mark.parametrize("deep", ["+".join("a" * 2000), "[" + "0x" + "f" * 5000 + "]"])
def test_python__with_what_cannot_be_written_again_is_read(find: Finder, text: str, deep: str) -> None:
    for route in find(Sources(Path(), ("app.py",), {"app.py": text.format(deep)})):
        assert route.path in {"/", "/x"}
