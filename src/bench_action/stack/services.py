"""Start PostgreSQL, Redis, the user's own services and the load generator in parallel, and wait until all are ready."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from bench_action.config.schema import Config, Service
from bench_action.engine.protocol import Engine, Handle, ServiceSpec
from bench_action.load.generator import Agent
from bench_action.stack.images import Images
from bench_action.stack.postgres import SUPERUSER, Postgres
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.redis import Redis

_REFUSALS = frozenset({400, 403, 421})  # what frameworks answer to a host name that they do not know
_PORTS = {"postgres": 5432, "redis": 6379}
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Services:
    """What subjects depend on, and the load generator: `load` is wrk's container, `agent` runs in it."""

    handles: Mapping[str, Handle]
    load: Handle
    postgres: Postgres | None
    redis: Redis | None
    agent: Agent


def start_services(engine: Engine, config: Config, images: Images, caches: int) -> Services:
    """Start all services, and wait until each answers its own client.

    `caches`: how many Redis database numbers are needed. Raises StackError.
    """
    password = secrets.token_hex(16)  # the superuser's; no subject learns it
    specs = [ServiceSpec("load", "bench-action-load", images.load.id, ulimits=config.load.ulimits)]
    specs += [
        _make_spec(name, service, caches, password, images.services[name].id)
        for name, service in config.services.items()
    ]
    load, *handles = run_in_parallel(engine.start, specs)
    kinds = {handle.kind: handle for handle in handles}
    services = Services(
        handles={handle.name: handle for handle in handles},
        load=load,
        postgres=Postgres(engine, kinds["postgres"], password) if "postgres" in kinds else None,
        redis=Redis(engine, kinds["redis"]) if "redis" in kinds else None,
        agent=Agent(engine, load),
    )
    wait_until_ready(engine, [_make_check(services, name, service) for name, service in config.services.items()])
    for client in (services.postgres, services.redis):
        if client is not None:
            client.open()
    return services


def run_in_parallel(action: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Run short engine actions in parallel; return results in order, or raise the first failure once all have ended."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(action, items))


def make_http_probe(agent: Agent, handle: Handle, path: str, hosts: Sequence[str] = ()) -> Callable[[], str]:
    """Make a readiness probe: it returns an empty text once `path` answers 200, else what is wrong.

    `hosts`: all host names by which the program will be reached.
    """

    def probe() -> str:
        status, problem = agent.get(handle.host, handle.port, path, timeout_s=2.0)
        if status == 200:
            return ""
        if not status:
            return f"GET {path}: {problem}"
        hint = _hint_at_hosts(handle.host, hosts) if status in _REFUSALS else ""
        return f"GET {path}: answered {status}, expected 200{hint}"

    return probe


def _hint_at_hosts(host: str, hosts: Sequence[str]) -> str:
    if host not in hosts:
        return ""
    *others, last = hosts
    return (
        f"; if it refuses the host name {host}, allow every name by which it is reached: {', '.join(others)} "
        f"and {last} (Django: ALLOWED_HOSTS, Rails: config.hosts)"
    )


def _make_check(services: Services, name: str, service: Service) -> ReadinessCheck:
    handle = services.handles[name]
    probe = make_http_probe(services.agent, handle, service.ready.path)
    if service.kind == "postgres" and services.postgres is not None:
        probe = services.postgres.probe
    if service.kind == "redis" and services.redis is not None:
        probe = services.redis.probe
    return ReadinessCheck(handle, service.ready.timeout, probe)


def _make_spec(name: str, service: Service, caches: int, password: str, image: str) -> ServiceSpec:
    settings = {key: _format_setting(value) for key, value in service.settings.items()}
    env = dict(service.env)
    if service.kind == "postgres":
        env |= {"POSTGRES_USER": SUPERUSER, "POSTGRES_PASSWORD": password}
    if service.kind == "redis":
        settings.setdefault("databases", str(max(16, caches + 1)))  # number 0 is left to the user's own tools
    port = service.port or _PORTS[service.kind]
    return ServiceSpec(service.kind, name, image, settings, env, service.command, port)


def _format_setting(value: str | float | bool) -> str:
    """Write a setting as text. YAML reads `on` and `off` as booleans, so a boolean is written back as one of these."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
