"""Compose files as the real compose reads them: v2, and the classic one where only that is installed."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel

from bench_action.config.baseline import load_base
from bench_action.config.load import Project, find_configuration, load_project
from bench_action.config.secrets import Secrets
from bench_action.model.errors import InputError

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).parents[2] / "scripts" / "compose.sh"
COMPOSE = """
x-common: &common
  build: ./web
  image: shop
  env_file: web.env
  environment: {DATABASE_URL: "postgres://shop:${DB_PASSWORD:-secret}@db/shop", RELEASE: "${RELEASE}", PRICE: "5$$"}
  depends_on:
    db: {condition: service_healthy}
    migrate: {condition: service_completed_successfully}
services:
  web:
    <<: *common
    command: gunicorn shop.wsgi --bind 0.0.0.0:8000
    ports: ["80:8000"]
    volumes: ["./web:/code", "media:/media"]
    healthcheck: {test: curl -f http://localhost:8000/health/, interval: 5s, timeout: 2s, retries: 10}
    networks: {default: {aliases: [shop.test]}}
  worker: {<<: *common, command: celery -A shop worker}
  migrate:
    build: ./web
    image: shop
    command: python manage.py migrate
    restart: "no"
    depends_on: {db: {condition: service_healthy}}
  debugger: {image: debugger, profiles: [debug]}
  db:
    image: postgres:17
    command: postgres -c max_connections=300
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: "${DB_PASSWORD:-secret}"}
    healthcheck: {test: [CMD-SHELL, pg_isready -U $$POSTGRES_USER], interval: 1s}
    volumes: [data:/var/lib/postgresql/data]
volumes: {data: {}, media: {}}
"""


@pytest.fixture(scope="session")
def v2() -> Mapping[str, str]:
    """An environment in which `docker compose` answers, with variables that no compose file may see."""
    done = subprocess.run([SCRIPT], stdout=subprocess.PIPE, text=True, check=True)
    return {**os.environ, "DOCKER_CONFIG": done.stdout.strip(), "RELEASE": "of the runner", "TOKEN": "of the runner"}


@pytest.fixture(scope="session")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment in which only the classic `docker-compose` is installed."""
    done = subprocess.run([SCRIPT, "classic"], stdout=subprocess.PIPE, text=True, check=True)
    return {"PATH": f"{done.stdout.strip()}:{make_tools(tmp_path_factory.mktemp('tools'))}"}


def make_tools(folder: Path) -> Path:
    """Make a folder of programs without docker, which may be next to them."""
    for name in ("sh", "python3", "env"):
        (folder / name).symlink_to(shutil.which(name) or "")
    return folder


@pytest.fixture(params=["v2", "classic"])
def environ(request: pytest.FixtureRequest) -> Mapping[str, str]:
    found: Mapping[str, str] = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / ".git" / "objects").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main", encoding="utf-8")
    return write(folder)


def write(folder: Path, **files: str) -> Path:
    """Write the shop, and other files or other versions of its files (`__` is a slash, `_` a dot)."""
    (folder / "web").mkdir(parents=True, exist_ok=True)
    own = {"compose_yaml": COMPOSE, "web_env": "DEBUG=0\n", "web__Dockerfile": "FROM python:3.13-slim\n", **files}
    for name, text in own.items():
        (folder / name.replace("__", "/").replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def load(folder: Path, environ: Mapping[str, str], file: str = "compose.yaml", allowed: Sequence[str] = ()) -> Project:
    return load_project(folder / file, "quick", environ=environ, secrets=Secrets.allow(allowed, environ))


def dump(model: BaseModel) -> dict[str, object]:
    return model.model_dump(exclude_defaults=True)


def test_compose_file__is_a_whole_configuration(repository: Path, environ: Mapping[str, str]) -> None:
    project = load(repository, environ)

    assert dump(project.config.variants["web"]) == {
        "service": "web",
        "build": {"context": "web"},
        "command": ["gunicorn", "shop.wsgi", "--bind", "0.0.0.0:8000"],
        "env": {"DATABASE_URL": "postgres://shop:secret@db/shop", "DEBUG": "0", "PRICE": "5$", "RELEASE": ""},
        "ready": {"command": "curl -f http://localhost:8000/health/", "timeout": 60.0},
        "files": {"/code": {"source": "web"}},
        "volumes": ["/media"],
        "aliases": ["shop.test"],
        "depends_on": {"db": "service_healthy", "migrate": "service_completed_successfully"},
    }
    assert set(project.config.services) == {"worker", "migrate", "db"}
    assert project.config.services["worker"].worker
    assert project.config.services["migrate"].once
    assert dump(project.config.services["db"]) == {
        "kind": "postgres",
        "image": "postgres:17",
        "port": 5432,
        "settings": {"max_connections": "300"},
        "env": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "secret"},
        "ready": {"command": "pg_isready -U $POSTGRES_USER", "timeout": 60.0},
    }
    assert {profile.path for profile in project.profiles.values()} == {"/health/"}
    notes = "\n".join(project.notes)
    assert "RELEASE" in notes
    assert "the load is GET /health/, as the configuration has no `profiles`: choose requests in bench.yml" in notes


def test_bench_yml__overrides_and_allows_variables(repository: Path, environ: Mapping[str, str]) -> None:
    bench = """
compose: {profiles: [debug], env: [RELEASE]}
secrets: [DB_PASSWORD]
variants: {web: {env: {DEBUG: 1}}}
services: {db: {settings: {max_connections: 500}}}
profiles: {list: {path: /items, connections: 8, threads: 2, duration: 1s}}
"""
    write(repository, bench_yml=bench)
    variables = {**environ, "RELEASE": "of the runner", "DB_PASSWORD": "hunter2"}
    with pytest.raises(InputError, match="asks for secrets that are not allowed: RELEASE"):
        load(repository, variables, "bench.yml", ["DB_PASSWORD"])
    config = load(repository, variables, "bench.yml", ["RELEASE", "DB_PASSWORD"]).config

    assert config.variants["web"].env["DEBUG"] == "1"
    assert config.variants["web"].env["RELEASE"] == "of the runner"
    assert config.variants["web"].env["DATABASE_URL"] == "postgres://shop:${DB_PASSWORD}@db/shop"
    assert config.services["db"].settings["max_connections"] == 500
    assert "debugger" in config.services
    assert "hunter2" not in config.model_dump_json()
    assert list(config.profiles) == ["list"]


def test_bench_yml__without_compose_is_on_its_own(repository: Path) -> None:
    write(repository, bench_yml="variants: {one: {image: one}}")

    assert set(load(repository, {}, "bench.yml").config.services) == {"postgres", "redis"}


def test_files_and_folders__may_have_other_names(repository: Path, environ: Mapping[str, str]) -> None:
    (repository / "deploy").mkdir()
    shutil.move(repository / "compose.yaml", repository / "deploy" / "shop.yaml")
    text = (repository / "deploy" / "shop.yaml").read_text(encoding="utf-8")
    text = text.replace("./web", "../web").replace("web.env", "../web.env")
    (repository / "deploy" / "shop.yaml").write_text(text, encoding="utf-8")
    write(repository, compose_yaml="services: {}", bench_yml="compose: deploy/shop.yaml")

    web = load(repository, environ, "bench.yml").config.variants["web"]
    assert web.build is not None
    assert web.build.context == "web"


def test_project_directory__is_what_paths_are_relative_to(repository: Path, environ: Mapping[str, str]) -> None:
    (repository / "deploy").mkdir()
    shutil.move(repository / "compose.yaml", repository / "deploy" / "shop.yaml")
    write(repository, compose_yaml="", bench_yml="compose: {file: deploy/shop.yaml, project_directory: .}")
    build = load(repository, environ, "bench.yml").config.variants["web"].build
    assert build is not None
    assert build.context == "web"

    write(repository, compose_yaml="", bench_yml="compose: {file: deploy/shop.yaml, project_directory: ..}")
    with pytest.raises(InputError, match=r"project_directory \.\. is outside of"):
        load(repository, environ, "bench.yml")


REFUSED = {
    "what compose refuses": ({"compose_yaml": "services: {web: {imag: x}}"}, "imag"),
    "a missing env_file": ({"compose_yaml": COMPOSE.replace("web.env", "none.env")}, "none.env"),
    "a circle": (
        {
            "compose_yaml": "services:\n  a: {image: a, depends_on: [b]}\n"
            "  b: {build: web, ports: ['80:80'], depends_on: [a]}\n"
        },
        "compose.yaml",
    ),
    "an error in bench.yml": (
        {"bench_yml": "compose: true\nvariants:\n  web: {port: 0}\n"},
        "bench.yml:3: variants.web.port",
    ),
    "a missing file": ({"bench_yml": "compose: none.yaml"}, "none.yaml does not exist"),
}


@pytest.mark.parametrize(("files", "problem"), REFUSED.values(), ids=REFUSED)
def test_bad_input__is_explained(
    repository: Path, environ: Mapping[str, str], files: dict[str, str], problem: str
) -> None:
    write(repository, **{"bench_yml": "compose: true", **files})

    with pytest.raises(InputError) as caught:
        load(repository, environ, "bench.yml")
    assert problem in str(caught.value)


def test_without_compose__the_error_says_how_to_install_it(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither `docker compose` nor `docker-compose` is installed") as caught:
        load(repository, {"PATH": str(tmp_path)})
    assert "apt-get install" in caught.value.advice


def test_paths_by_variables__are_checked_before_they_are_read(repository: Path, environ: Mapping[str, str]) -> None:
    (repository.parent / "outside.env").write_text("STOLEN=1", encoding="utf-8")
    text = COMPOSE.replace("web.env", "${UP:-..}/outside.env")
    write(repository, compose_yaml=text)

    with pytest.raises(InputError, match=r"may not use \.\./outside\.env"):
        load(repository, environ)


def test_base__has_its_own_compose_file(repository: Path, v2: Mapping[str, str], tmp_path: Path) -> None:
    base = write(
        tmp_path / "base",
        compose_yaml=COMPOSE.replace("gunicorn", "waitress").replace("max_connections=300", "fsync=off"),
    )
    (base / "web.env").unlink()
    loaded = load_base(load(repository, v2), base, "1a2b3c4", environ=v2)

    assert loaded.valid
    assert loaded.project.folder == base
    assert loaded.project.config.variants["web"].command[0] == "waitress"
    assert loaded.project.config.services["db"].settings == {"fsync": "off"}
    assert loaded.project.config.variants["web"].env["DEBUG"] == "0"  # head's file, as base has none


def test_base__without_bench_yml_is_read_with_heads(repository: Path, v2: Mapping[str, str], tmp_path: Path) -> None:
    write(repository, bench_yml="compose: true\nvariants: {web: {env: {DEBUG: 1}}}")
    base = write(tmp_path / "base", compose_yaml=COMPOSE.replace("gunicorn", "waitress"))
    loaded = load_base(load(repository, v2, "bench.yml"), base, "1a2b3c4", environ=v2)

    assert not loaded.valid
    assert loaded.lacks == {}
    assert loaded.project.config.variants["web"].command[0] == "waitress"
    assert loaded.project.config.variants["web"].env["DEBUG"] == "1"


@pytest.mark.parametrize("tracked", [True, False])
def test_base__gets_heads_files_only_if_they_are_not_under_git(
    repository: Path, v2: Mapping[str, str], tmp_path: Path, tracked: bool
) -> None:
    """A file that a pull request adds is not base's, although base's compose file reads one of that name."""
    text = COMPOSE.replace("volumes: {data", "secrets: {key: {file: ./key.txt}}\nvolumes: {data")
    text = text.replace("gunicorn shop", "gunicorn -w ${WORKERS:-4} shop").replace(
        "networks:", "secrets: [key]\n    networks:"
    )
    base = write(tmp_path / "base", compose_yaml=text)
    write(repository, compose_yaml=text)
    (repository / ".env").write_text("WORKERS=1\n", encoding="utf-8")
    (repository / "key.txt").write_text("of a test", encoding="utf-8")
    (base / "web.env").write_text("DEBUG=1\n", encoding="utf-8")
    head = load(repository, v2)
    assert head.config.variants["web"].command[2] == "1"
    loaded = load_base(head, base, "1a2b3c4", environ=v2, tracked=[".env", "key.txt"] if tracked else [])

    assert loaded.valid is not tracked  # its compose file needs a secret that it does not have
    assert (base / ".env").is_file() is not tracked
    assert (base / "key.txt").is_file() is not tracked


def test_base__without_profiles_is_loaded_by_its_own_healthcheck(
    repository: Path, v2: Mapping[str, str], tmp_path: Path
) -> None:
    base = write(tmp_path / "base")
    write(repository, compose_yaml=COMPOSE.replace("/health/", "/ping"))
    loaded = load_base(load(repository, v2), base, "1a2b3c4", environ=v2)
    assert {profile.path for profile in loaded.profiles.values()} == {"/health/"}


def test_compose_file__whose_application_has_any_name(repository: Path, v2: Mapping[str, str]) -> None:
    write(repository, compose_yaml=COMPOSE.replace("\n  web:\n", "\n  My_Web.app:\n"))
    project = load(repository, v2)
    assert list(project.config.variants) == ["my-web-app"]
    assert "My_Web.app" in project.config.variants["my-web-app"].aliases


@pytest.mark.parametrize("base_compose", ["services: {web: {imag: x}}", None])
def test_base__that_cannot_be_read_is_measured_as_head_says(
    repository: Path, v2: Mapping[str, str], tmp_path: Path, base_compose: str | None
) -> None:
    base = write(tmp_path / "base")
    if base_compose is None:
        (base / "compose.yaml").unlink()
    else:
        (base / "compose.yaml").write_text(base_compose, encoding="utf-8")
    loaded = load_base(load(repository, v2), base, "1a2b3c4", environ=v2)

    assert not loaded.valid
    if base_compose is None:
        assert loaded.lacks["web"].reason == "base `1a2b3c4` has no `compose.yaml`"
    else:
        assert loaded.project.config.variants["web"].command[0] == "gunicorn"


def test_zero_configuration__needs_no_path(
    repository: Path, v2: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    assert find_configuration(v2) == Path("compose.yaml")
    assert list(load_project(None, "quick", environ=v2).config.variants) == ["web"]

    (repository / "compose.yaml").write_text("services: {db: {image: postgres}}", encoding="utf-8")
    assert find_configuration(v2) is None
    built_in = load_project(None, "quick", environ=v2)
    assert "django" in built_in.config.variants
    assert built_in.notes == ("compose.yaml builds no service: the built-in applications are measured",)


@pytest.mark.parametrize(
    "bench",
    [
        "profiles: {list: {path: /items, connections: 8, threads: 2, duration: 1s}}",
        "variants: {web: {env: {DEBUG: 1}}}",
        "variants: {web: }",
    ],
)
def test_bench_yml__needs_not_say_what_the_compose_file_says(
    repository: Path, v2: Mapping[str, str], bench: str
) -> None:
    write(repository, bench_yml=bench)
    variant = load(repository, v2, "bench.yml").config.variants["web"]
    assert (variant.service, variant.port) == ("web", 8000)


def test_bench_yml__in_another_folder__shows_where_the_compose_file_is(repository: Path, v2: Mapping[str, str]) -> None:
    (repository / "bench").mkdir()
    text = "profiles: {list: {path: /items, connections: 8, threads: 2, duration: 1s}}"
    (repository / "bench" / "bench.yml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="no compose file next to it") as caught:
        load(repository, v2, "bench/bench.yml")
    assert caught.value.advice.endswith("`compose: ../compose.yaml`")
    (repository / "bench" / "bench.yml").write_text(f"compose: ../compose.yaml\n{text}", encoding="utf-8")
    assert list(load(repository, v2, "bench/bench.yml").config.variants) == ["web"]
