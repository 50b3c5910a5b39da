"""Configurations and compose files of strangers: mutated from valid ones, and generated from the schema."""

import functools
import json
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from tests.faults.case import Case, Group, Problem
from tests.faults.generated import Generator
from tests.faults.mutations import mutate_bytes, mutate_lines, mutate_tree

from bench_action.cli.engines import explain_not_local, list_images
from bench_action.config.baseline import Baseline, load_base
from bench_action.config.environment import check_environment
from bench_action.config.load import Project, load_project
from bench_action.config.rules import apply_rules
from bench_action.config.schema import Config
from bench_action.model.errors import BenchError, InputError

_ROOT = Path(__file__).parents[2]
_SCRIPT = _ROOT / "scripts" / "compose.sh"
_FILES = {
    "Dockerfile": b"FROM scratch\n",
    "web/Dockerfile": b"FROM python:3.13-slim\nCOPY . .\n",
    "seed.sql": b"CREATE TABLE item (id int);\n",
    "requirements.txt": b"aiohttp\n",
    "web.env": b"NAME=value\n",
    ".env": b"TAG=1\n",
    "nginx.conf": b"events {}\n",
    **{f"{name}/Dockerfile": b"FROM scratch\n" for name in ("aiohttp", "django", "flask", "starlette")},
}
# every key of the configuration that a mutation may meet
_FULL = """
x-note: &limits {nofile: 4096, nproc: 256}
services:
  postgres: {image: "postgres:17", settings: {max_connections: 300, work_mem: 8MB}, env: {TZ: UTC}}
  cache: {image: "redis:8", kind: redis, port: 6380, ready: {tcp: true}}
  search:
    image: opensearch:2
    env: [discovery.type=single-node]
    port: 9200
    ready: {path: /_cluster/health, status: [200, 2xx], host: search.example, headers: {X-A: b}, timeout: 90s}
    reset: curl -XDELETE localhost:9200/_all
    tmpfs: ["/data:size=64m"]
    ulimits: *limits
  migrate: {build: web, command: python migrate.py, once: true, depends_on: {postgres: service_healthy}}
  worker: {build: {context: web, target: worker, args: {A: 1}}, worker: true, depends_on: [postgres, cache]}
seed: [seed.sql, {run: [python, seed.py], after: ready}]
extensions: [pg_trgm]
secrets: [API_KEY]
variants:
  web:
    build: {context: web, dockerfile: Dockerfile, secrets: [API_KEY], cache_from: ["type=gha,scope=web"]}
    command: gunicorn shop.wsgi --bind 0.0.0.0:8000
    env: {API_KEY: "${API_KEY}", DATABASE: "{postgres.host}", DEBUG: false}
    setup: [python, manage.py, migrate]
    ready: {log: "started in \\\\d+ s"}
    local: {command: [python, -m, http.server, "{port}"], requirements: requirements.txt}
    depends_on: {migrate: {condition: service_completed_successfully}, search: service_started}
    files: {/etc/web.env: web.env, /etc/mode: {content: "a", mode: 256}}
    volumes: [/media]
    shm_size: 67108864
    init: true
    user: "1000"
    working_dir: /code
    stop_signal: SIGQUIT
    aliases: [shop.test]
    keep_alive: false
  other: {image: "org/shop:{revision}", port: 3000, platform: linux/amd64, entrypoint: []}
control: other
compare: [[web, other]]
checks:
  - name: home
    rule: R1
    request: {path: /, headers: {Accept: text/html}}
    repeat: 2
    before_sql: SELECT 1
    expect: {status: 200, contains: [a], excludes: [b], headers: {X: y}, work: {queries: 1}, same: all-variants}
  - name: write
    request: {path: /items, method: POST, body: "{}"}
    expect: {json_sql: {id: SELECT max(id) FROM item}, changes: {sql: {SELECT count(*) FROM item: 1}}}
profiles:
  list: {path: /, connections: 16, threads: 2, duration: 2s, timeout: 2s, expect: {status: 2xx, size: varies}}
  items: {path: /items, method: POST, body: "{}", connections: 8, threads: 1, duration: 1s}
work: {list: {queries: 1, rows: 20, cache_commands: 0}}
gates: {requests_per_second: {max_loss: 5%}, latency_p50_us: {max_gain: 0.1, level: warn}, db_cpu_ms_per_request: null}
load: {image: "org/wrk:1", ulimits: {nofile: 10000}}
"""
_LINES = (
    "<<: [*limits, *limits]",
    "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]",
    "m: &m {k1: 1}\nn: &n {<<: [*m, *m, *m, *m]}\no: {<<: [*n, *n, *n, *n]}",
    "variants: {again: {image: x}}",
    "gates: {requests_per_second: null}",
    "key: !!python/object/apply:os.system [id]",
    "key: !!binary aGVsbG8=",
    "key: !!set {a, b}",
    "? [complex, key]\n: value",
    "? {a: b}\n: value",
    "%YAML 1.1",
    "%TAG ! tag:evil.example,2000:",
    "---",
    "...",
    "[" * 400,
    "{a: " * 200,
    "- " * 300 + "a",
    "\t- tab",
    "key: |\n  text\n folded",
    "key: 2017-13-45",
    "key: 2001-12-14t21:59:43.10-05:00",
    "key: 0o777777777777777777777",
    "key: 190:20:30",
    "key: " + "9" * 5000,
    "key: .inf",
    "key: .nan",
    "key: 1e999",
    "key: ~",
    "key: *unknown",
    "&anchor",
    'key: "\\ud800"',
    'key: "\\0"',
    'key: "\\x1b]0;title\\a"',
    "key: '",
    "null: null",
    "true: 1",
    "1: 2",
    "\ufeffkey: value",
    "seed: ../../etc/passwd",
    "seed: /proc/self/environ",
    "seed: /dev/zero",
    'seed: "a\\0b"',
    "compose: compose.yaml",
    "compose: {file: [a.yml, b.yml], env: {A: null}}",
)
_COMPOSE = """
x-common: &common
  build: ./web
  env_file: web.env
  environment: {DATABASE_URL: "postgres://shop:${DB_PASSWORD:-secret}@db/shop", PRICE: "5$$"}
  depends_on:
    db: {condition: service_healthy}
services:
  web:
    <<: *common
    command: gunicorn shop.wsgi --bind 0.0.0.0:8000
    ports: ["80:8000"]
    volumes: ["./web:/code", "media:/media", "./nginx.conf:/etc/nginx.conf:ro"]
    healthcheck: {test: curl -f http://localhost:8000/health/, interval: 5s, timeout: 2s, retries: 10}
    networks: {default: {aliases: [shop.test]}}
    ulimits: {nofile: {soft: 2000, hard: 4000}}
  worker: {<<: *common, command: celery -A shop worker, profiles: [work]}
  migrate: {<<: *common, command: python manage.py migrate, restart: "no"}
  db:
    image: postgres:17
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: "${DB_PASSWORD:-secret}"}
    healthcheck: {test: [CMD-SHELL, pg_isready -U $$POSTGRES_USER], interval: 1s}
    tmpfs: [/var/lib/postgresql/data]
  cache: {image: redis:8, command: redis-server --appendonly no, shm_size: 64mb}
volumes: {data: {}, media: {}}
configs: {a: {content: "text"}}
secrets: {key: {environment: API_KEY}}
"""
_COMPOSE_KEYS = """
build args cap_add command configs container_name cpus depends_on deploy devices entrypoint env_file environment
    expose extends extra_hosts healthcheck image include init labels links mem_limit network_mode networks pid ports
    privileged profiles restart secrets security_opt shm_size stop_signal tmpfs ulimits user volumes volumes_from
    working_dir context dockerfile target condition test interval service file source external additional_contexts
"""
_COMPOSE_LINES = (
    "    privileged: true",
    "    network_mode: host",
    "    volumes: [/var/run/docker.sock:/var/run/docker.sock]",
    "    volumes: [../../etc:/etc]",
    "    env_file: [/proc/self/environ]",
    "    env_file: {path: missing.env, required: false}",
    "    extends: {file: ../../compose.yaml, service: web}",
    "    extends: {service: web}",
    "    build: {context: https://evil.example/repository.git}",
    "    build: {context: /, dockerfile_inline: 'FROM scratch'}",
    "    ports: [{target: 80, published: '1-65535'}]",
    "    ports: ['99999:8000']",
    "    image: ${TAG:?must be set}",
    "    command: ${A${B}}",
    "    command: $$$$${",
    "    deploy: {replicas: 1000000}",
    "    healthcheck: {disable: true}",
    "    healthcheck: {test: [], interval: -1s}",
    "include: [../../other.yaml]",
    "name: '@octocat'",
    *_LINES[:20],
)


def examine_configuration(case: Case) -> Iterator[Problem]:
    """Load a configuration as head and as base, and take from it what a run takes before it starts anything."""
    content = _make_configuration(case.chance)
    yield from _load(case, {"bench.yml": content}, "bench.yml")


def examine_compose(case: Case) -> Iterator[Problem]:
    """Load a compose file in the same way, named by itself or by a configuration."""
    chance = case.chance
    bases = [_COMPOSE, *_list_texts("compose")]
    content = _mutate_yaml(chance.choice(bases), chance, _COMPOSE_LINES, _COMPOSE_KEYS.split())
    files = {"compose.yaml": content}
    if chance.random() < 0.7:
        yield from _load(case, files, "compose.yaml")
    else:
        short = "compose: compose.yaml\nvariants: {web: {service: web}}\n"
        mutated = chance.random() < 0.5
        files["bench.yml"] = _mutate_yaml(short, chance, _LINES, _list_words()) if mutated else short.encode()
        yield from _load(case, files, "bench.yml")


def _make_configuration(chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        noise = chance.choice((0.0, 0.0, 0.01, 0.05))
        return _dump(Generator(_read_schema()["$defs"], chance, noise).make(_read_schema()))
    return _mutate_yaml(chance.choice([_FULL, _FULL, *_list_texts("bench")]), chance, _LINES, _list_words())


def _mutate_yaml(text: str, chance: random.Random, lines: Sequence[str], words: Sequence[str]) -> bytes:
    match chance.randint(0, 9):
        case 0:
            return mutate_bytes(text.encode(), chance)
        case 1 | 2 | 3:
            return mutate_lines(text, chance, lines).encode(errors="replace")
        case _:
            return _dump(mutate_tree(yaml.safe_load(text), chance, most=chance.choice((1, 1, 1, 4)), words=words))


def _dump(tree: Any) -> bytes:
    """Write YAML, with escapes for what YAML cannot hold."""
    try:
        text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=False)
    except (yaml.YAMLError, ValueError, TypeError):  # such as a key that is a list
        return json.dumps(tree, default=str).encode()
    return text.encode(errors="replace")


def _load(case: Case, files: Mapping[str, bytes], name: str) -> Iterator[Problem]:
    folder = case.folder / "repository"
    _write_files(folder, files)
    environ = {**_find_compose(), "API_KEY": "secret-of-the-runner"}
    try:
        project = load_project(folder / name, "quick", environ=environ)
    except InputError as error:
        yield from _judge_message(error)
    else:
        yield from _use(project, environ)
    head = replace(_load_valid(), folder=folder, root=folder, file=name)
    load_base(head, folder, "b" * 40, environ=environ)  # never raises


def _use(project: Project, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Take from a valid configuration what comes before anything is started."""
    list(list_images(project))
    explain_not_local(project)
    base = _load_valid()
    apply_rules(project, Baseline(base, valid=True, profiles=base.profiles), "base")
    apply_rules(base, Baseline(project, valid=True, profiles=project.profiles), "base")
    try:
        check_environment(project.config, environ)
    except BenchError as error:
        yield from _judge_message(error)


def _judge_message(error: BenchError) -> Iterator[Problem]:
    """Judge an error: short enough to be read, and without a secret."""
    text = str(error)
    if "secret-of-the-runner" in text:
        yield Problem("wrong", f"the message has a secret\n{text}")
    if len(text) > 20_000:
        yield Problem("wrong", f"the message has {len(text)} characters\n{text[:2000]}")


@functools.cache
def _read_schema() -> Mapping[str, Any]:
    return Config.model_json_schema()


@functools.cache
def _list_words() -> tuple[str, ...]:
    parts = [_read_schema(), *_read_schema()["$defs"].values()]
    return tuple(dict.fromkeys(name for part in parts for name in part.get("properties", {})))


@functools.cache
def _list_texts(kind: str) -> Sequence[str]:
    """List the configurations (`bench`) or compose files of the examples."""
    pattern = "*/bench.yml" if kind == "bench" else "*/*compose.y*ml"
    files = [*sorted((_ROOT / "examples").glob(pattern)), *([_ROOT / "apps" / "bench.yml"] if kind == "bench" else [])]
    texts = [file.read_text(encoding="utf-8") for file in files]
    # those that name a compose file would all fail for the lack of it
    return [text for text in texts if kind != "bench" or "compose:" not in text]


@functools.cache
def _load_valid() -> Project:
    """Load the configuration that the others are compared with."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        _write_files(folder, {"bench.yml": _FULL.encode()})
        return load_project(folder / "bench.yml", "quick")


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in {**_FILES, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@functools.cache
def _find_compose() -> Mapping[str, str]:
    """Return an environment in which compose answers."""
    done = subprocess.run([_SCRIPT], stdout=subprocess.PIPE, text=True, check=True)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "DOCKER_CONFIG": done.stdout.strip()}


GROUPS = (
    Group("configurations", "configurations, mutated and generated", 8500, examine_configuration, cpu_s=30),
    Group("compose", "compose files, mutated", 1500, examine_compose, cpu_s=30),
)
