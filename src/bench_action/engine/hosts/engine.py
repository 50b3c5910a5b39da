"""Docker engines on several hosts as one engine: the application on one, its services and the load on others."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from bench_action.engine.docker import DockerEngine
from bench_action.engine.docker.networks import BRIDGE, make_overlay
from bench_action.engine.hosts.conditions import check_host, check_swarm
from bench_action.engine.hosts.tunnel import Tunnel, make_connection_error
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import (
    COMMON_SLOT,
    BuildSpec,
    Exit,
    Handle,
    Kind,
    MachineRoles,
    Program,
    ServiceSpec,
    Session,
)
from bench_action.model.errors import BenchError, LostHostError, StackError
from bench_action.model.hosts import ROLES, Host, Hosts, Role, SshFiles
from bench_action.model.machine import Condition, Machine

_USABLE = 0.8  # of a host's memory: what else runs there is not known
# variables that would lead Docker's clients to another engine
_OTHER_ENGINES = frozenset({"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "BUILDX_BUILDER"})
_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Place:
    """One host: how it is reached, its engine once it was, and why not if it was not. `manages`: the Swarm."""

    roles: MachineRoles
    tunnel: Tunnel
    engine: DockerEngine | None = None
    fault: StackError | None = None
    manages: bool = False

    @property
    def name(self) -> str:
        """What handles call it."""
        return self.roles.name

    @contextmanager
    def use(self) -> Iterator[DockerEngine]:
        """Use its engine; what goes wrong names the host."""
        if self.engine is None:
            raise self.fault or StackError(f"{self.roles.title} is not connected")
        try:
            yield self.engine
        except StackError as error:
            raise self._complete(error) from error

    def _complete(self, error: StackError) -> StackError | LostHostError:
        where = ", ".join(filter(None, (error.where, f"on {self.roles.title}")))
        if not self.tunnel.has_just_closed():
            return StackError(error.what, where=where, cause=error.cause, advice=error.advice, log=error.log)
        return LostHostError(
            f"the connection to {self.roles.title} was lost",
            where=error.what,
            cause=self.tunnel.explain() or error.cause,
            advice="check that the host runs and that its network is up",
        )


class _HostSession:
    """A conversation with a program on a host; what goes wrong names the host."""

    def __init__(self, session: Session, place: _Place) -> None:
        self._session, self._place = session, place

    def send(self, text: str, patience_s: float = 30.0, waiting: Callable[[], None] = lambda: None) -> None:
        """Write to the program's input."""
        with self._place.use():
            self._session.send(text, patience_s, waiting)

    def read_line(self, timeout_s: float) -> str | None:
        """Return the next line of its output, or None."""
        with self._place.use():
            return self._session.read_line(timeout_s)

    def close(self) -> None:
        """End the conversation."""
        self._session.close()


class HostsEngine:
    """Runs each kind of container on its host: plain containers, in overlay networks if there are several hosts.

    Connecting raises nothing: `check_machines` says which hosts cannot be used, and everything else needs all of them.
    """

    name = "docker"
    tls_folder = DockerEngine.tls_folder

    def __init__(self, owner: Ownership, environ: Mapping[str, str], hosts: Hosts, files: SshFiles) -> None:
        self._hosts = hosts
        by_role = hosts.by_role
        self._load = by_role["load"][0]
        rest = (host for host in hosts.all if host != self._load)
        self._places = {
            host: _Place(_describe_roles(host, by_role), Tunnel(host, files, environ)) for host in (self._load, *rest)
        }
        self._copying = threading.Lock()
        self._by_name = {place.name: place for place in self._places.values()}
        _in_parallel(lambda place: _connect(place, owner, environ), list(self._places.values()))

    @property
    def machines(self) -> Sequence[MachineRoles]:
        """The hosts, the first load generator's first; none if it is only one."""
        found = [place.roles for place in self._places.values()]
        return found if len(found) > 1 else ()

    def check_machines(self) -> list[Condition]:
        """Check that each host can be reached and used, and that all are in one Swarm."""
        found: list[Condition] = []
        swarms, processors = {}, {}
        for place in self._places.values():
            title = place.roles.title
            if place.engine is None:
                fault = place.fault or StackError("it is not connected")
                what = ": ".join(filter(None, (fault.what, fault.cause)))
                found.append(Condition(title, "fatal", what, fault.advice))
                continue
            with place.use() as engine:
                found += check_host(engine, title, time.time)
                swarms[title] = engine.read_swarm()
                processors[engine.read_processor()] = title
        if len(processors) > 1:
            which = " and ".join(f"{kind} ({title})" for kind, title in processors.items())
            found.append(Condition("processors", "fatal", which, "use hosts of one kind, as they share images"))
        roles = self._hosts.by_role
        if len(roles["load"]) > 1 and roles["app"][0] in roles["load"]:
            what = "the application's host is one of several that run wrk"
            found.append(Condition("load", "fatal", what, "let other hosts run wrk, or only this one"))
        return found + (check_swarm(swarms) if len(self._places) > 1 and len(swarms) == len(self._places) else [])

    def measure_memory(self) -> int | None:
        """Measure the memory of the smaller of the hosts of application and services, in MiB."""
        roles = self._hosts.by_role
        found = []
        for host in dict.fromkeys((*roles["app"], *roles["services"])):
            with self._places[host].use() as engine:
                found.append(engine.machine().memory_mib)
        return int(_USABLE * min(found))

    def machine(self) -> Machine:
        """Describe the application's host."""
        with self._find("subject").use() as engine:
            return engine.machine()

    def describe(self, kinds: Sequence[str]) -> dict[str, str]:  # noqa: ARG002 (images contain their programs)
        """Say where wrk comes from; `check_machines` describes the engines."""
        return {"wrk": "in a separate image"}

    def sweep(self, job: str = "") -> list[str]:
        """Remove what dead runs left behind on every host that can be reached."""
        reached = [place for place in self._in_order() if place.engine is not None]
        swept: list[str] = []
        faults: list[BenchError] = []
        for place in reached:
            try:
                with place.use() as engine:
                    swept += [f"{name} (on {place.roles.title})" for name in engine.sweep(job)]
            except (StackError, LostHostError) as error:
                faults.append(error)
        if faults:
            raise faults[0]
        return swept

    def open(self, slots: Sequence[str]) -> None:
        """Create the networks, on the Swarm's manager if there are several hosts."""
        if len(self._places) == 1:
            with self._find("load").use() as engine:
                engine.open(slots, BRIDGE)
            return
        manager = self._find_manager()
        for place in sorted(self._places.values(), key=lambda place: place is not manager):
            with place.use() as engine:
                engine.open([*slots, COMMON_SLOT], make_overlay(self._hosts.mtu, made_here=place is manager))

    def tool_image(self) -> str | None:
        """Return None: this process runs on no host, as far as we know."""
        return None

    def has_image(self, name: str, kind: Kind) -> bool:
        """Return whether the host of this kind has an image."""
        with self._find(kind).use() as engine:
            return engine.has_image(name)

    def image(self, name: str, kind: Kind, platform: str = "") -> str:
        """Pull an image on the host of this kind, if it is missing there."""
        with self._find(kind).use() as engine:
            return engine.image(name, kind, platform)

    def build(self, spec: BuildSpec) -> str:
        """Build an image on the host of its kind."""
        with self._find(spec.kind).use() as engine:
            return engine.build(spec)

    def start(self, spec: ServiceSpec) -> Handle:
        """Start a container on its host, to which its image is copied if another host has made it."""
        place = self._find(spec.kind) if spec.machine is None else self._by_name[spec.machine]
        if spec.kind == "load" and self.machines:
            self._hold_places(spec.image)
        self._bring_image(spec.image, place)
        with place.use() as engine:
            return engine.start(spec)

    def clone(self, origin: Handle, specs: Sequence[ServiceSpec]) -> list[Handle]:
        """Start containers with a copy of the data of `origin`, on its host."""
        with self._by_name[origin.machine].use() as engine:
            return engine.clone(origin, specs)

    def run_once(self, spec: ServiceSpec, timeout_s: float) -> None:
        """Run a container on its host until it exits."""
        place = self._find(spec.kind)
        self._bring_image(spec.image, place)
        with place.use() as engine:
            engine.run_once(spec, timeout_s)

    def stop(self, handle: Handle, grace_s: int = 1) -> None:
        """Ask a container to exit, and kill it after `grace_s` seconds."""
        with self._by_name[handle.machine].use() as engine:
            engine.stop(handle, grace_s)

    def restart(self, handle: Handle) -> None:
        """Start a stopped container."""
        with self._by_name[handle.machine].use() as engine:
            engine.restart(handle)

    def replace(self, handle: Handle, spec: ServiceSpec) -> Handle:
        """Start another container in the place of a stopped one."""
        with self._by_name[handle.machine].use() as engine:
            return engine.replace(handle, spec)

    def describe_program(self, handle: Handle) -> Program:
        """Describe what a container runs."""
        with self._by_name[handle.machine].use() as engine:
            return engine.describe_program(handle)

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """Move a container to these CPUs of its host."""
        with self._by_name[handle.machine].use() as engine:
            engine.pin(handle, cpus)

    def session(self, handle: Handle, argv: Sequence[str]) -> Session:
        """Start a program in a container, for a conversation."""
        place = self._by_name[handle.machine]
        with place.use() as engine:
            return _HostSession(engine.session(handle, argv), place)

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a short program in a container, and return its status and output."""
        with self._by_name[handle.machine].use() as engine:
            return engine.exec(handle, argv)

    def exec_inside(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a program of a container, and return its status and output."""
        return self.exec(handle, argv)

    def find_healthcheck(self, handle: Handle) -> Sequence[str] | None:
        """Return the command of the HEALTHCHECK of a container's image."""
        with self._by_name[handle.machine].use() as engine:
            return engine.find_healthcheck(handle)

    def read_output(self, handle: Handle) -> list[str]:
        """Return the lines that a container has printed since it was last started."""
        with self._by_name[handle.machine].use() as engine:
            return engine.read_output(handle)

    def ended(self) -> list[Exit]:
        """List the containers that should be running but have exited, on all hosts."""
        found: list[Exit] = []
        for place in self._places.values():
            with place.use() as engine:
                found += engine.ended()
        return found

    def logs(self, handle: Handle, lines: int = 15) -> list[str]:
        """Return the last lines that a container has printed."""
        engine = self._by_name[handle.machine].engine
        return engine.logs(handle, lines) if engine is not None else []

    def remove(self) -> list[str]:
        """Remove everything on every host, and close the connections. Raises StackError naming each host that fails."""
        outcomes: list[list[str] | StackError] = []
        # a network goes once no other host has a container in it
        for _, group in groupby(self._in_order(), lambda place: place.manages):
            outcomes += _in_parallel(_remove, [place for place in group if place.engine is not None])
        self.close()
        faults = [outcome for outcome in outcomes if isinstance(outcome, StackError)]
        if faults:
            first, *others = faults
            for other in others:
                first.add_note(f"  also:   {other}")
            raise first
        return [name for outcome in outcomes if not isinstance(outcome, StackError) for name in outcome]

    def require_connected(self) -> None:
        """Raise StackError if a host could not be reached."""
        for place in self._places.values():
            with place.use():
                pass

    def close(self) -> None:
        """Close the connections, and remove nothing."""
        for place in self._places.values():
            place.tunnel.close()

    def _find(self, kind: Kind) -> _Place:
        """Find the host of a kind; of several load generators, the first."""
        role: Role = "app" if kind == "subject" else "load" if kind == "load" else "services"
        return self._places[self._hosts.by_role[role][0]]

    def _in_order(self) -> list[_Place]:
        """List the hosts, those that manage the Swarm last."""
        return sorted(self._places.values(), key=lambda place: place.manages)

    def _find_manager(self) -> _Place:
        for place in self._places.values():
            if place.manages:
                return place
        raise StackError("none of the hosts manages a Swarm", advice="run `bench-action check --hosts`")

    def _hold_places(self, image: str) -> None:
        """Let every host hold places in the networks with the load generator's image, which is there anyway."""
        for place in self._places.values():
            self._bring_image(image, place)
            with place.use() as engine:
                engine.sandbox_image = image

    def _bring_image(self, image: str, place: _Place) -> None:
        """Copy an image to a host from one that has it, as each host builds and pulls only what belongs there."""
        with self._copying, place.use() as target:
            if target.has_image(image):
                return
            for other in self._places.values():
                if other is place:
                    continue
                with other.use() as source:
                    if not source.has_image(image):
                        continue
                    stream = source.export_image(image)
                target.import_image(stream)
                if not target.has_image(image):
                    raise StackError(
                        f"the image copied from {other.roles.title} has a different id on {place.roles.title}",
                        cause="their engines store images in different ways",
                        advice="let both use the same image store: `docker info` shows it as Storage Driver",
                    )
                return


def sweep_hosts(owner: Ownership, environ: Mapping[str, str], hosts: Hosts, files: SshFiles) -> list[str]:
    """Remove what the runs of the owner's workflow job left on hosts; raises StackError if one cannot be reached."""
    engine = HostsEngine(owner, environ, hosts, files)
    try:
        swept = engine.sweep(owner.job)
        engine.require_connected()
        return swept
    finally:
        engine.close()


def _describe_roles(host: Host, by_role: Mapping[Role, Sequence[Host]]) -> MachineRoles:
    """Describe what a host does, and name it by its first role, or as one of several load generators."""
    roles = [role for role in ROLES if host in by_role[role]]
    number = by_role["load"].index(host) + 1 if roles == ["load"] else 1
    own = f"{roles[0]}{number if number > 1 else ''}"
    name, title = "" if host == by_role["load"][0] else own, f"{own} ({host.destination or host.url})"
    return MachineRoles(name, title, "app" in roles, "services" in roles, "load" in roles, number)


def _connect(place: _Place, owner: Ownership, environ: Mapping[str, str]) -> None:
    """Connect to a host, or keep why that is not possible."""
    own = {name: value for name, value in environ.items() if name not in _OTHER_ENGINES}
    try:
        place.tunnel.open()
        engine = DockerEngine(owner, {**own, "DOCKER_HOST": place.tunnel.address}, place.name, here=False)
        place.manages = engine.read_swarm().manages
        place.engine = engine
    except StackError as error:
        place.fault = error if place.tunnel.has_just_closed() else _explain_engine(place, error)
        place.tunnel.close()


def _explain_engine(place: _Place, error: StackError) -> StackError:
    """Explain that a host was reached, but not its Docker engine."""
    host, said = place.tunnel.host, place.tunnel.explain()
    if "prohibited" in said:
        return make_connection_error(host, said)
    user = host.user or "USER"
    cure = f"install and start Docker there; if it runs, let {user} use it: `sudo usermod -aG docker {user}`"
    return StackError(
        f"no Docker engine answers at {host.socket} of {host.url}",
        cause=said or error.cause,
        advice=cure,
        log=error.log,
    )


def _remove(place: _Place) -> list[str] | StackError:
    """Remove what a run has on a host, after connecting again if the connection was, or is being, lost."""
    try:
        return _connect_and_remove(place)
    except (StackError, LostHostError) as error:
        return StackError(
            f"could not clean {place.roles.title}",
            cause=": ".join(filter(None, (error.what, error.cause))),
            advice="once it can be reached, run `bench-action check --hosts` here, which removes what is left; "
            "other machines do so after six hours",
        )


def _connect_and_remove(place: _Place) -> list[str]:
    place.tunnel.open()
    try:
        with place.use() as engine:
            return engine.remove()
    except LostHostError:
        place.tunnel.open()
        with place.use() as engine:
            return engine.remove()


def _in_parallel(act: Callable[[_Place], _Result], places: Sequence[_Place]) -> list[_Result]:
    with ThreadPoolExecutor(max_workers=max(1, len(places))) as pool:
        return list(pool.map(act, places))
