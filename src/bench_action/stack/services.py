"""Start the services of every slot in parallel, and wait until all are ready; databases are made once and copied."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench_action.config.baseline import Baseline
from bench_action.config.environment import fill_in, fill_in_addresses
from bench_action.config.kinds import find_port, is_initial
from bench_action.config.schema import Config, File, Service
from bench_action.engine.protocol import COPIED, ContainerForm, Engine, Handle, ServiceSpec
from bench_action.load.generator import Agent
from bench_action.load.several import Agents
from bench_action.model.result import Revision
from bench_action.stack.companions import find_dependents, find_late, find_waves
from bench_action.stack.container import make_container_form
from bench_action.stack.images import Image, Images
from bench_action.stack.kinds import SERVERS, write_settings
from bench_action.stack.parallel import run_in_parallel
from bench_action.stack.probes import make_check
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready
from bench_action.stack.server import Server, Setup
from bench_action.stack.slots import LateService, Reset, Slot


def start_generator(engine: Engine, config: Config, image: Image) -> tuple[Handle, Agent]:
    """Start the load generators, which reach every slot. Returns the container of the first, and the agent in it."""
    spec = ServiceSpec("load", "bench-action-load", image.id, ulimits=config.load.ulimits)
    handle = engine.start(spec)
    more = [roles.name for roles in engine.machines if roles.load and roles.name]
    others = [engine.start(replace(spec, name=f"{spec.name}-{name}", machine=name)) for name in more]
    return handle, Agents(engine, [handle, *others]) if others else Agent(engine, handle)


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
    _checks: dict[tuple[str, str], ReadinessCheck] = field(default_factory=dict)  # by slot and service

    def start(self, names: Sequence[str]) -> tuple[Slot, ...]:
        """Start the services of all slots; in slots after the first, only those that need no copy of a database.

        Returns once those of the first slot are ready. Services that depend on a database start with the subjects'
        data. Raises StackError.
        """
        slots = tuple(Slot(self.engine, name) for name in names)
        late = find_late(self.config)
        copied = {name for name in self._shared if self._is_copied(name)}
        early = set(self._shared) - copied - find_dependents(self._shared, copied)
        for wave in find_waves(self._shared):
            now = [name for name in wave if name not in late]
            self._start([(slot, name) for slot in slots for name in now if slot is slots[0] or name in early])
            self._wait(slots[:1], now)
            for server in (slots[0].servers[name] for name in now if name in slots[0].servers):
                server.open()
        for slot in slots:
            slot.late = {
                name: LateService(self.engine, self.config.services[name], partial(self._begin, slot, name))
                for name in late
            }
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
                self._checks[slot.name, name] = self._make_check(slot, name)
        for wave in find_waves(self._shared) if others else ():
            now = [name for name in wave if name not in first.late]
            self._start([(slot, name) for slot in others for name in now if name not in slot.handles])
            self._wait(slots, now)
        for cache in (cache for slot in others for cache in slot.caches.values()):
            cache.open()

    def load_own_data(self, slot: Slot, base: Baseline) -> None:
        """Let the subjects of a revision begin with what its own files for the first start make, if base's differ.

        Those of each revision are run by a separate server, as they may make roles or run programs. Head's are, too:
        a copy has denser indexes than a database that statements have filled. Raises StackError; head then has its own.
        """
        for name, service in base.own_data.items():
            self._load(slot, name, "base", service.initial_files, base.project.folder)
            self._load(slot, name, "head", self.config.services[name].initial_files, self.folder)

    def _load(self, slot: Slot, name: str, revision: Revision, initial: Mapping[str, File], folder: Path) -> None:
        service, spec = self.config.services[name], self._make_spec(slot, name)
        own = self._make_form(slot, service.model_copy(update={"files": initial}), folder).files
        files = [*(copy for copy in spec.container.files if not is_initial(copy.target)), *own]
        form = replace(spec.container, files=files, aliases=[])
        handle = self.engine.start(replace(spec, name=f"bench-action-{name}-{revision}", container=form))
        try:
            probe = self._make_server(slot, service, handle).probe
            wait_until_ready(self.engine, [make_check(self.engine, self.agent, handle, service, client=probe)])
            slot.databases[name].adopt(handle, revision)
        finally:
            self.engine.stop(handle)

    @property
    def _shared(self) -> dict[str, Service]:
        """The services of a slot, without those that belong to a subject."""
        return {name: service for name, service in self.config.services.items() if not service.is_companion}

    def _start(self, wanted: Sequence[tuple[Slot, str]]) -> None:
        handles = run_in_parallel(lambda each: self.engine.start(self._make_spec(*each)), wanted)
        for (slot, name), handle in zip(wanted, handles, strict=True):
            self._connect(slot, name, handle)

    def _begin(self, slot: Slot, name: str) -> ReadinessCheck:
        """Start a service that depends on a database for the first time."""
        slot.handles[name] = self.engine.start(self._make_spec(slot, name))
        return self._make_check(slot, name)

    def _is_copied(self, name: str) -> bool:
        return self.config.services[name].kind in COPIED

    def _connect(self, slot: Slot, name: str, handle: Handle) -> None:
        service = self.config.services[name]
        slot.handles[name] = handle
        if service.kind in SERVERS:
            slot.add(name, self._make_server(slot, service, handle))
        check = self._checks[slot.name, name] = self._make_check(slot, name)
        if service.kind not in SERVERS and service.reset != "keep":
            slot.resets[name] = Reset(check, [] if service.reset == "restart" else service.reset)

    def _make_server(self, slot: Slot, service: Service, handle: Handle) -> Server:
        """Make the client of a service of a kind that we know."""
        settings = write_settings(service.kind, service.settings)
        setup = Setup(self._complete_environment(slot, service), settings, service.command)
        return SERVERS[service.kind].connect(self.engine, handle, setup)

    def _wait(self, slots: Sequence[Slot], names: Sequence[str]) -> None:
        wait_until_ready(self.engine, [self._checks[slot.name, name] for slot in slots for name in names])

    def _make_check(self, slot: Slot, name: str) -> ReadinessCheck:
        service, handle = self.config.services[name], slot.handles[name]
        server = slot.servers.get(name)
        client = server.probe if server is not None else None
        return make_check(self.engine, self.agent, handle, service, client=client)

    def _make_spec(self, slot: Slot, name: str) -> ServiceSpec:
        service, addresses = self.config.services[name], slot.addresses
        form = self._make_form(slot, service, self.folder)
        return ServiceSpec(
            kind=service.kind,
            name=name,
            image=self.images.services[name].id,
            settings=write_settings(service.kind, service.settings),
            env=self._complete_environment(slot, service),
            command=[fill_in_addresses(word, addresses) for word in service.command],
            port=service.port or find_port(service.kind, service.image or ""),
            slot=slot.name,
            container=replace(
                form, aliases=[*form.aliases, *(a for a, known in self.aliases.items() if known == name)]
            ),
        )

    def _make_form(self, slot: Slot, service: Service, folder: Path) -> ContainerForm:
        return make_container_form(service, folder, partial(fill_in, services=slot.addresses, secrets=self.secrets))

    def _complete_environment(self, slot: Slot, service: Service) -> dict[str, str]:
        """Fill in placeholders and secrets, and add what the kind needs: an account, with a random password."""
        env = {name: fill_in(text, slot.addresses, self.secrets) for name, text in service.env.items()}
        return SERVERS[service.kind].complete(env, self._password) if service.kind in SERVERS else env
