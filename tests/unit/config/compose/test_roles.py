"""What each service of a compose file is for."""

from pathlib import Path

import pytest
import yaml
from tests.unit.config.compose.project import add_context, configure, read

from bench_action.config.compose.parse import parse_service
from bench_action.config.compose.roles import NothingBuiltError, find_port, is_proxy
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

NGINX = "FROM node:22 AS build\nRUN make\nFROM nginx:1.27\nEXPOSE 80\n"


def test_the_article__is_measured_behind_its_nginx(tmp_path: Path) -> None:
    web, nginx = add_context(tmp_path, "web"), add_context(tmp_path, "nginx", NGINX)
    services = f"""
      web: {{build: {{context: {web}}}, expose: ["8000"], links: ["postgres:postgres", "redis:redis"],
             command: [gunicorn, -b, ":8000"], environment: {{DB_SERVICE: postgres}}}}
      nginx: {{build: {{context: {nginx}}}, ports: [{{target: 80}}], links: ["web:web"]}}
      postgres: {{image: "postgres:latest", ports: [{{target: 5432}}]}}
      redis: {{image: "redis:latest"}}
    """
    config = configure(tmp_path, services)

    assert list(config.variants) == ["web"]
    assert config.variants["web"].port == 8000
    assert config.variants["web"].depends_on == {"postgres": "service_started", "redis": "service_started"}
    assert {name: service.kind for name, service in config.services.items()} == {
        "postgres": "postgres",
        "redis": "redis",
    }
    assert any("left out: nginx, as it is in front of web" in note for note in read(tmp_path, services).notes)


def test_a_proxy__is_measured_if_chosen(tmp_path: Path) -> None:
    web = add_context(tmp_path, "web")
    services = f"""
      web: {{build: {{context: {web}}}, expose: ["8000"]}}
      nginx: {{image: nginx, ports: ["80:80"], depends_on: {{web: {{condition: service_started}}}}}}
    """
    config = configure(tmp_path, services, "variants: {nginx: {service: nginx}}")

    assert config.variants["nginx"].image == "nginx"
    assert config.variants["nginx"].depends_on == {"web": "service_started"}
    assert config.services["web"].build is not None
    assert not config.services["web"].worker


def test_port__is_found_in_the_configuration_of_a_proxy(tmp_path: Path) -> None:
    backend = add_context(tmp_path, "backend")
    conf = tmp_path / "nginx.conf"
    conf.write_text("server { location / { proxy_pass http://backend:8123; } }", encoding="utf-8")
    services = f"""
      backend: {{build: {{context: {backend}}}}}
      proxy: {{image: "nginx:alpine", ports: ["80:80"], depends_on: [backend],
               volumes: [{{type: bind, source: {conf}, target: /etc/nginx/conf.d/default.conf, read_only: true}}]}}
    """
    assert configure(tmp_path, services).variants["backend"].port == 8123


@pytest.mark.parametrize(
    ("body", "port"),
    [
        ("command: [uvicorn, 'app:app', --port, '8081']", 8081),
        ("command: [gunicorn, app, --bind, '0.0.0.0:8082']", 8082),
        ("command: [python, manage.py, runserver, '0.0.0.0:8083']", 8083),
        ("environment: {PORT: '8084'}", 8084),
        ("environment: {ASPNETCORE_URLS: 'http://+:8085'}", 8085),
        ("healthcheck: {test: [CMD, curl, 'http://localhost:8086/up']}", 8086),
        ("labels: {traefik.http.services.x.loadbalancer.server.port: '8087'}", 8087),
        ("{}", 8088),
    ],
)
def test_port__is_guessed_if_none_is_declared(tmp_path: Path, body: str, port: int) -> None:
    context = add_context(tmp_path, "app", "FROM python\nARG P=8088\nEXPOSE $P\n")
    services = f"app:\n  build: {{context: {context}}}\n" + ("" if body == "{}" else f"  {body}\n")

    assert configure(tmp_path, services).variants["app"].port == port


def test_jobs_and_workers__share_the_applications_build(tmp_path: Path) -> None:
    app = add_context(tmp_path, "app", "FROM python\nEXPOSE 8000\n")
    services = f"""
      web: {{build: {{context: {app}}}, image: shop, ports: ["8000:8000"], depends_on: [db]}}
      worker: {{image: shop, command: [celery, -A, shop, worker], depends_on: [db]}}
      flower: {{image: shop, command: [celery, flower], ports: ["5555:5555"]}}
      migrate: {{image: shop, command: [python, manage.py, migrate], depends_on: [db]}}
      tests: {{image: shop, command: [pytest]}}
      pgadmin: {{image: dpage/pgadmin4, ports: ["80:80"]}}
      db: {{image: "postgres:17"}}
    """
    config = configure(tmp_path, services)

    assert set(config.services) == {"db", "worker", "migrate"}
    assert config.services["worker"].worker
    assert config.services["worker"].build == config.variants["web"].build
    assert config.services["migrate"].once
    assert config.variants["web"].depends_on == {"migrate": "service_completed_successfully", "db": "service_started"}


def test_services__may_be_kept_and_left_out(tmp_path: Path) -> None:
    app = add_context(tmp_path)
    services = f"""
      web: {{build: {{context: {app}}}, ports: ["8000:8000"], depends_on: [mail]}}
      adminer: {{image: adminer}}
      mail: {{image: mailhog/mailhog}}
    """
    config = configure(tmp_path, services, "services: {adminer: {}, mail: null}")

    assert list(config.services) == ["adminer"]
    assert config.variants["web"].depends_on == {}


def test_two_applications__are_refused_by_name(tmp_path: Path) -> None:
    one, two = add_context(tmp_path, "one"), add_context(tmp_path, "two")
    services = f"""
      api: {{build: {{context: {one}}}, ports: ["8000:8000"]}}
      shop: {{build: {{context: {two}}}, ports: ["8001:8001"]}}
    """
    with pytest.raises(InputError) as caught:
        read(tmp_path, services)

    assert "api and shop are built and have a port" in str(caught.value)
    assert "variants: {api: {service: api}}" in caught.value.advice
    assert configure(tmp_path, services, "variants: {shop: {service: shop}}").variants["shop"].port == 8001


def test_nothing_built__is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(NothingBuiltError):
        read(tmp_path, "db: {image: postgres}")


def test_unknown_service__is_refused_by_name(tmp_path: Path) -> None:
    app = add_context(tmp_path)
    with pytest.raises(InputError, match="has no service shop") as caught:
        read(tmp_path, f"web: {{build: {{context: {app}}}, expose: [80]}}", "variants: {one: {service: shop}}")
    assert caught.value.advice.startswith("choose one of: web, such as `variants: {one: {service: web}}`")
    assert caught.value.cause == ""


def test_a_variant_of_another_name__shows_the_services(tmp_path: Path) -> None:
    services = f"db: {{image: postgres}}\nweb: {{build: {{context: {add_context(tmp_path)}}}, expose: [80]}}"
    with pytest.raises(InputError) as caught:
        read(tmp_path, services, "variants: {shop: {env: {DEBUG: 1}}}")
    assert caught.value.where == "variant shop"
    assert "is the service of its name" in caught.value.cause
    assert "choose one of: db, web, such as `variants: {shop: {service: web}}`" in caught.value.advice


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("privileged: true", "is `privileged`"),
        ("network_mode: host", "has `network_mode: host`"),
        ("devices: [{source: /dev/kvm, target: /dev/kvm}]", "uses `devices`"),
        ("volumes: [{type: bind, source: /var/run/docker.sock, target: /var/run/docker.sock}]", "mounts the engine's"),
        ("runtime: nvidia", "needs the runtime nvidia"),
        ("build: {context: /etc}", "is outside of"),
        ("build: {context: 'https://github.com/a/b.git'}", "is not in this repository"),
    ],
)
def test_dangerous_services__are_refused_if_needed_and_else_left_out(tmp_path: Path, body: str, why: str) -> None:
    app = add_context(tmp_path)
    image = "" if body.startswith("build") else "image: tool, "
    services = f"""
      web: {{build: {{context: {app}}}, ports: ["8000:8000"]}}
      agent: {{{image}{body}}}
    """
    (note,) = [note for note in read(tmp_path, services).notes if "left out" in note]
    assert note.startswith("left out: agent, as it")
    assert why in note

    with pytest.raises(InputError) as caught:
        read(tmp_path, services.replace('"8000:8000"]', '"8000:8000"], depends_on: [agent]'))
    assert "agent cannot be run" in str(caught.value)
    assert why in str(caught.value)
    assert "services: {agent: null}" in caught.value.advice


@pytest.mark.parametrize(
    ("base", "args", "role"),
    [
        ("nginx", "{}", "proxy"),
        ("node", "{BASE: nginx}", "proxy"),
        ("node", "[BASE=nginx]", "proxy"),
        ("nginx", "{BASE: node}", "application"),
    ],
)
def test_build_arguments__say_what_an_image_is(tmp_path: Path, base: str, args: str, role: str) -> None:
    web = add_context(tmp_path, "web", f"ARG BASE={base}\nFROM $BASE\nENV PORT=8080\nEXPOSE $PORT\n")
    service = parse_service("web", {"build": {"context": web, "args": yaml.safe_load(args)}})

    assert is_proxy(service) == (role == "proxy")
    assert find_port(service, {"web": service}) == 8080


def test_a_worker__is_one_also_if_another_worker_waits_for_it_or_a_port_is_in_a_shared_file(tmp_path: Path) -> None:
    web = add_context(tmp_path, "web")
    services = f"""
      web: {{build: {{context: {web}}}, command: [gunicorn, -b, ":8000"],
             depends_on: {{prices: {{condition: service_started}}}}}}
      celery: {{build: {{context: {web}}}, command: [celery, -A, shop, worker], environment: {{PORT: "8000"}}}}
      beat: {{build: {{context: {web}}}, command: [celery, -A, shop, beat],
              depends_on: {{celery: {{condition: service_started}}}}}}
      prices: {{build: {{context: {web}}}, command: [python, prices.py],
                depends_on: {{feeds: {{condition: service_started}}}}}}
      feeds: {{build: {{context: {web}}}, command: [python, feeds.py]}}
      indexer: {{build: {{context: {web}}}, command: [python, index.py]}}
    """
    found = configure(tmp_path, services).services
    assert {name for name, service in found.items() if service.worker} == {"celery", "beat", "indexer"}
    assert not found["prices"].worker


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("buckets", "image: minio/mc, entrypoint: [sh, -c, 'mc mb local/shop; exit 0']"),
        ("createbuckets", "image: minio/mc, entrypoint: [sh, -c, mc mb local/shop]"),
        ("kafka-init", "image: kafka, command: [kafka-topics, --create]"),
    ],
)
def test_a_service__that_only_sets_something_up_runs_once(tmp_path: Path, name: str, body: str) -> None:
    web = add_context(tmp_path, "web")
    services = f"""
      web: {{build: {{context: {web}}}, ports: ["8000:8000"]}}
      {name}: {{{body}}}
    """
    assert configure(tmp_path, services).services[name].once
    serving = services.replace("{image: ", "{ports: ['9000:9000'], image: ")
    assert not configure(tmp_path, serving).services[name].once


def test_a_service__without_replicas_is_left_out(tmp_path: Path) -> None:
    web = add_context(tmp_path, "web")
    services = f"""
      web: {{build: {{context: {web}}}, ports: ["8000:8000"]}}
      spare: {{image: spare, deploy: {{replicas: 0}}}}
      other: {{image: other, scale: 0}}
    """
    assert not configure(tmp_path, services).services


def test_a_database__that_is_built_is_not_measured(tmp_path: Path) -> None:
    """As in dockersamples/atsea-sample-shop-app, where it stands before the application."""
    database = add_context(tmp_path, "database", "FROM postgres:12\nEXPOSE 5432\n")
    services = f"""
      database: {{build: {{context: {database}}}, ports: ["5432:5432"]}}
      appserver: {{build: {{context: {add_context(tmp_path, "app")}}}, ports: ["8080:8080"],
                   depends_on: {{database: {{condition: service_started}}}}}}
    """
    assert list(configure(tmp_path, services).variants) == ["appserver"]


@pytest.mark.parametrize("services", ["db: {image: postgres}", "db: {build: {context: DB}, ports: ['5432:5432']}"])
def test_a_variant_with_a_build__uses_the_services_of_a_file_that_builds_no_application(
    tmp_path: Path, services: str
) -> None:
    services = services.replace("DB", add_context(tmp_path, "db", "FROM postgres:17\n"))
    config = configure(tmp_path, services, "variants: {web: {build: .}}")
    assert (list(config.variants), list(config.services)) == (["web"], ["db"])


@pytest.mark.parametrize(
    ("dockerfile", "passes", "measured"),
    [
        ("FROM php:8.4-fpm-alpine\n", "fastcgi_pass app:9000;", "nginx"),
        ("FROM php:8.4-fpm\nEXPOSE 9000\n", "include fastcgi.conf;", "nginx"),
        ("FROM python:3\nEXPOSE 8000\n", "uwsgi_pass app:8000;", "nginx"),
        ("FROM php:8.4-fpm\nEXPOSE 80\n", "proxy_pass http://app:80;", "app"),
    ],
)
def test_an_application__that_speaks_no_http_is_measured_through_its_web_server(
    tmp_path: Path, dockerfile: str, passes: str, measured: str
) -> None:
    app = add_context(tmp_path, "app", dockerfile)
    (tmp_path / "nginx").mkdir()
    (tmp_path / "nginx" / "site.conf").write_text(f"location / {{ {passes} }}", encoding="utf-8")
    port = 80 if dockerfile.endswith(" 80\n") else 9000
    services = f"""
      app: {{build: {{context: {app}}}, expose: ["{port}"]}}
      nginx: {{image: nginx, ports: [{{target: 80, published: "8080", protocol: tcp}}],
               depends_on: {{app: {{condition: service_started}}}},
               volumes: [{{type: bind, source: {tmp_path}/nginx, target: /etc/nginx/conf.d}}]}}
    """
    config = configure(tmp_path, services)
    assert list(config.variants) == [measured]
    assert ("app" in config.services) == (measured == "nginx")
    assert measured == "app" or not config.services["app"].worker


@pytest.mark.parametrize(
    ("service", "dockerfile", "port"),
    [
        ('ports: ["3000:3000", "4000:4000"]', "FROM x\nEXPOSE 4000\n", 4000),  # papercups
        ('ports: ["3000:3000", "9229:9229"]', "FROM x\nEXPOSE 9229\n", 3000),
        ('ports: ["80:80", "443:443"]', "FROM x\nEXPOSE 443\n", 80),
        ('ports: ["3000:3000", "4000:4000"], environment: {PORT: "3000"}', "FROM x\nEXPOSE 4000\n", 3000),
        ('ports: ["3000:3000", "4000:4000"]', "FROM x\nEXPOSE 3000 4000\n", 3000),
    ],
)
def test_port__of_several_is_the_one_that_the_dockerfile_exposes(
    tmp_path: Path, service: str, dockerfile: str, port: int
) -> None:
    services = f"web: {{build: {{context: {add_context(tmp_path, 'web', dockerfile)}}}, {service}}}"
    assert configure(tmp_path, services).variants["web"].port == port


@pytest.mark.parametrize(("text", "port"), [("8080", 8080), ("²", None), ("1" * 5000, None)])
def test_port__may_be_a_variable(text: str, port: int | None) -> None:
    service = parse_service("web", {"image": "x", "environment": {"PORT": text}})
    assert find_port(service, {"web": service}) == port


def test_a_database_that_is_built__is_measured_only_if_it_is_all_there_is(tmp_path: Path) -> None:
    database = add_context(tmp_path, "db", "FROM elasticsearch:9\n")
    alone = f"search: {{build: {{context: {database}}}, ports: ['9200:9200']}}"
    assert list(configure(tmp_path, alone).variants) == ["search"]
    with pytest.raises(InputError, match="does not say what to measure"):
        configure(tmp_path, f"{alone}\napp: {{image: team/app, ports: ['80:80']}}")


def test_a_service__called_like_a_tool_is_measured_if_there_is_no_other(tmp_path: Path) -> None:
    mail = f"mailpit: {{build: {{context: {add_context(tmp_path, 'mail')}}}, ports: ['8025:8025']}}"
    assert list(configure(tmp_path, mail).variants) == ["mailpit"]
    web = f"web: {{build: {{context: {add_context(tmp_path, 'web')}}}, ports: ['80:80']}}"
    assert list(configure(tmp_path, f"{mail}\n{web}").variants) == ["web"]
