"""PostgreSQL, Redis, the user's own services and the load generator: started together, ready together."""

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
from bench_action.stack.subject import redis_databases

_REFUSALS = frozenset({400, 403, 421})  # what frameworks answer to a host name that they do not know
_PORTS = {"postgres": 5432, "redis": 6379}
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Services:
    """What subjects depend on, and who loads them: `load` is the container of wrk, `agent` what we ask in it."""

    handles: Mapping[str, Handle]
    load: Handle
    postgres: Postgres | None
    redis: Redis | None
    agent: Agent


def start_services(engine: Engine, config: Config, images: Images, caches: int) -> Services:
    """Start all, wait until each answers its own client. `caches`: Redis numbers needed. Raises StackError."""
    password = secrets.token_hex(16)  # of the superuser; subjects never learn it
    specs = [ServiceSpec("load", "bench-action-load", images.load.id, ulimits=config.load.ulimits)]
    specs += [
        _service_spec(name, service, caches, password, images.services[name].id)
        for name, service in config.services.items()
    ]
    load, *handles = side_by_side(engine.start, specs)
    kinds = {handle.kind: handle for handle in handles}
    services = Services(
        handles={handle.name: handle for handle in handles},
        load=load,
        postgres=Postgres(engine, kinds["postgres"], password) if "postgres" in kinds else None,
        redis=Redis(engine, kinds["redis"]) if "redis" in kinds else None,
        agent=Agent(engine, load),
    )
    wait_until_ready(engine, [_awaited(services, name, service) for name, service in config.services.items()])
    for client in (services.postgres, services.redis):
        if client is not None:
            client.open()
    return services


def side_by_side(action: Callable[[_Item], _Made], items: Iterable[_Item]) -> list[_Made]:
    """Short actions of the engine at once, results in order; the first failure is raised after all have ended."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(action, items))


def http_probe(agent: Agent, handle: Handle, path: str, hosts: Sequence[str] = ()) -> Callable[[], str]:
    """For readiness: empty once `path` answers 200. `hosts`: all names by which the program will be reached."""

    def probe() -> str:
        status, problem = agent.get(handle.host, handle.port, path, timeout_s=2.0)
        if status == 200:
            return ""
        if not status:
            return f"GET {path}: {problem}"
        refused = _refused_host(handle.host, hosts) if status in _REFUSALS else ""
        return f"GET {path}: answered {status}, expected 200{refused}"

    return probe


def _refused_host(host: str, hosts: Sequence[str]) -> str:
    if host not in hosts:
        return ""
    *others, last = hosts
    return (
        f"; if it refuses the host name {host}, have it allow all names that it is reached by: {', '.join(others)} "
        f"and {last} (Django: ALLOWED_HOSTS, Rails: config.hosts)"
    )


def _awaited(services: Services, name: str, service: Service) -> ReadinessCheck:
    handle = services.handles[name]
    probe = http_probe(services.agent, handle, service.ready.path)
    if service.kind == "postgres" and services.postgres is not None:
        probe = services.postgres.probe
    if service.kind == "redis" and services.redis is not None:
        probe = services.redis.probe
    return ReadinessCheck(handle, service.ready.timeout, probe)


def _service_spec(name: str, service: Service, caches: int, password: str, image: str) -> ServiceSpec:
    settings = {key: _text(value) for key, value in service.settings.items()}
    env = dict(service.env)
    if service.kind == "postgres":
        env |= {"POSTGRES_USER": SUPERUSER, "POSTGRES_PASSWORD": password}
    if service.kind == "redis":
        settings.setdefault("databases", str(redis_databases(caches)))
    port = service.port or _PORTS[service.kind]
    return ServiceSpec(service.kind, name, image, settings, env, service.command, port)


def _text(value: str | float | bool) -> str:
    """`on` and `off` are what PostgreSQL and Redis call true and false in the settings that YAML turns into them."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
