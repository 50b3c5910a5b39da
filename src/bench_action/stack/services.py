"""Start the services of every slot in parallel, and wait until all are ready; databases are made once and copied."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench_action.config.environment import fill_in
from bench_action.config.schema import Config, Service
from bench_action.engine.protocol import COPIED, Engine, Handle, ServiceSpec
from bench_action.load.generator import Agent
from bench_action.stack.companions import find_dependents, find_waves, is_companion
from bench_action.stack.container import make_container_form
from bench_action.stack.images import Images
from bench_action.stack.parallel import run_in_parallel
from bench_action.stack.postgres import Login, Postgres
from bench_action.stack.probes import make_check
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.redis import Redis
from bench_action.stack.slots import Slot

_PORTS = {"postgres": 5432, "redis": 6379}
_PASSWORD = frozenset({"POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE"})


def start_generator(engine: Engine, config: Config, images: Images) -> tuple[Handle, Agent]:
    """Start the load generator, which reaches every slot. Returns its container, and the agent in it."""
    handle = engine.start(ServiceSpec("load", "bench-action-load", images.load.id, ulimits=config.load.ulimits))
    return handle, Agent(engine, handle)


@dataclass(frozen=True, slots=True)
class SlotServices:
    """The services of the slots: the same in each of them, with the same accounts.

    `aliases`: names that the base revision has for services → their names.
    """

    engine: Engine
    config: Config
    folder: Path
    images: Images
    agent: Agent
    aliases: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    _password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def start(self, names: Sequence[str]) -> tuple[Slot, ...]:
        """Start the services of all slots; in slots after the first, only those that need no copy of a database.

        Returns once those of the first slot are ready. Raises StackError.
        """
        slots = tuple(Slot(self.engine, name) for name in names)
        copied = {name for name in self._shared if self._is_copied(name)}
        early = set(self._shared) - copied - find_dependents(self._shared, copied)
        for wave in find_waves(self._shared):
            self._start([(slot, name) for slot in slots for name in wave if slot is slots[0] or name in early])
            self._wait(slots[0], wave)
            for client in (slots[0].postgres.get(name) or slots[0].redis.get(name) for name in wave):
                if client is not None:
                    client.open()
        return slots

    def copy(self, slots: Sequence[Slot]) -> None:
        """Start the databases of the other slots with copies of the first one's data; wait until all are ready."""
        first, *others = slots
        for name in filter(self._is_copied, self._shared if others else ()):
            origin = first.postgres[name]
            origin.close()
            handles = self.engine.clone(origin.handle, [self._make_spec(slot, name) for slot in others])
            for slot, handle in zip(others, handles, strict=True):
                slot.add_postgres(name, origin.copied_to(handle))
        for wave in find_waves(self._shared) if others else ():
            self._start([(slot, name) for slot in others for name in wave if name not in slot.handles])
            for slot in slots:
                self._wait(slot, wave)
        for redis in (redis for slot in others for redis in slot.redis.values()):
            redis.open()

    @property
    def _shared(self) -> dict[str, Service]:
        """The services of a slot, without those that belong to a subject."""
        return {name: service for name, service in self.config.services.items() if not is_companion(service)}

    def _start(self, wanted: Sequence[tuple[Slot, str]]) -> None:
        handles = run_in_parallel(lambda each: self.engine.start(self._make_spec(*each)), wanted)
        for (slot, name), handle in zip(wanted, handles, strict=True):
            self._connect(slot, name, handle)

    def _is_copied(self, name: str) -> bool:
        return self.config.services[name].kind in COPIED

    def _connect(self, slot: Slot, name: str, handle: Handle) -> None:
        service = self.config.services[name]
        match service.kind:
            case "postgres":
                slot.add_postgres(
                    name, Postgres(self.engine, handle, Login.from_environment(self._fill_in_account(service)))
                )
            case "redis":
                slot.add_redis(name, Redis(self.engine, handle, str(service.settings.get("requirepass", ""))))
            case _:
                slot.handles[name] = handle

    def _wait(self, slot: Slot, names: Sequence[str]) -> None:
        wait_until_ready(self.engine, [self._make_check(slot, name) for name in names])

    def _make_check(self, slot: Slot, name: str) -> ReadinessCheck:
        service, handle = self.config.services[name], slot.handles[name]
        client = slot.postgres.get(name) or slot.redis.get(name)
        probe = client.probe if client is not None else None
        return make_check(self.engine, self.agent, handle, service, client=probe)

    def _make_spec(self, slot: Slot, name: str) -> ServiceSpec:
        service = self.config.services[name]
        form = make_container_form(service, self.folder, partial(fill_in, services={}, secrets=self.secrets))
        return ServiceSpec(
            kind=service.kind,
            name=name,
            image=self.images.services[name].id,
            settings={key: _format_setting(value) for key, value in service.settings.items()},
            env=self._fill_in_account(service),
            command=service.command,
            port=service.port or _PORTS.get(service.kind, 0),
            slot=slot.name,
            container=replace(
                form, aliases=[*form.aliases, *(a for a, known in self.aliases.items() if known == name)]
            ),
        )

    def _fill_in_account(self, service: Service) -> dict[str, str]:
        """Add what a PostgreSQL image needs and the configuration leaves open: a user, and a random password."""
        env = {name: fill_in(text, {}, self.secrets) for name, text in service.env.items()}
        if service.kind == "postgres":
            env.setdefault("POSTGRES_USER", "postgres")
            if not _PASSWORD & set(env):
                env["POSTGRES_PASSWORD"] = self._password
        return env


def _format_setting(value: str | float | bool) -> str:
    """Write a setting as text. YAML reads `on` and `off` as booleans, so a boolean is written back as one of these."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
