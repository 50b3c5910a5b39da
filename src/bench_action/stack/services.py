"""Start the services of every slot in parallel, and wait until all are ready; databases are made once and copied."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench_action.config.environment import fill_in
from bench_action.config.kinds import find_port
from bench_action.config.schema import Config, Service
from bench_action.engine.protocol import COPIED, Engine, Handle, ServiceSpec
from bench_action.load.generator import Agent
from bench_action.stack.companions import find_dependents, find_waves, is_companion
from bench_action.stack.container import make_container_form
from bench_action.stack.images import Images
from bench_action.stack.kinds import SERVERS, write_settings
from bench_action.stack.parallel import run_in_parallel
from bench_action.stack.probes import make_check
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.server import Setup
from bench_action.stack.slots import Reset, Slot


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
            for server in (slots[0].servers[name] for name in wave if name in slots[0].servers):
                server.open()
        return slots

    def copy(self, slots: Sequence[Slot]) -> None:
        """Start the databases of the other slots with copies of the first one's data; wait until all are ready."""
        first, *others = slots
        for name in filter(self._is_copied, self._shared if others else ()):
            origin = first.databases[name]
            origin.close()
            handles = self.engine.clone(origin.handle, [self._make_spec(slot, name) for slot in others])
            for slot, handle in zip(others, handles, strict=True):
                slot.add(name, origin.copied_to(handle))
        for wave in find_waves(self._shared) if others else ():
            self._start([(slot, name) for slot in others for name in wave if name not in slot.handles])
            for slot in slots:
                self._wait(slot, wave)
        for cache in (cache for slot in others for cache in slot.caches.values()):
            cache.open()

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
        if service.kind in SERVERS:
            settings = write_settings(service.kind, service.settings)
            setup = Setup(self._complete_environment(service), settings, service.command)
            slot.add(name, SERVERS[service.kind].connect(self.engine, handle, setup))
            return
        slot.handles[name] = handle
        if service.reset != "keep":
            command = [] if service.reset == "restart" else service.reset
            slot.resets[name] = Reset(self._make_check(slot, name), command)

    def _wait(self, slot: Slot, names: Sequence[str]) -> None:
        wait_until_ready(self.engine, [self._make_check(slot, name) for name in names])

    def _make_check(self, slot: Slot, name: str) -> ReadinessCheck:
        service, handle = self.config.services[name], slot.handles[name]
        server = slot.servers.get(name)
        client = server.probe if server is not None else None
        return make_check(self.engine, self.agent, handle, service, client=client)

    def _make_spec(self, slot: Slot, name: str) -> ServiceSpec:
        service = self.config.services[name]
        form = make_container_form(service, self.folder, partial(fill_in, services={}, secrets=self.secrets))
        return ServiceSpec(
            kind=service.kind,
            name=name,
            image=self.images.services[name].id,
            settings=write_settings(service.kind, service.settings),
            env=self._complete_environment(service),
            command=service.command,
            port=service.port or find_port(service.kind, service.image or ""),
            slot=slot.name,
            container=replace(
                form, aliases=[*form.aliases, *(a for a, known in self.aliases.items() if known == name)]
            ),
        )

    def _complete_environment(self, service: Service) -> dict[str, str]:
        """Fill in secrets, and add what the kind of service needs: an account, with a random password."""
        env = {name: fill_in(text, {}, self.secrets) for name, text in service.env.items()}
        return SERVERS[service.kind].complete(env, self._password) if service.kind in SERVERS else env
