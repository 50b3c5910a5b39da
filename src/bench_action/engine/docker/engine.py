"""The Docker engine: builds images, starts containers on the run's own networks, and removes everything again."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container
from requests.exceptions import RequestException

from bench_action.engine.commands import add_preloaded
from bench_action.engine.docker.build import build_image
from bench_action.engine.docker.client import connect, translate_errors
from bench_action.engine.docker.creations import Creations, removing_on_failure
from bench_action.engine.docker.data import DataVolumes, list_declared
from bench_action.engine.docker.files import put_files
from bench_action.engine.docker.health import parse_healthcheck, parse_time, ran_out_of_memory
from bench_action.engine.docker.images import RunImages, is_run_tag
from bench_action.engine.docker.itself import find_tool_image
from bench_action.engine.docker.labels import MARK, RUN, is_left_behind, make_labels
from bench_action.engine.docker.limits import Limits
from bench_action.engine.docker.networks import BRIDGE, NetworkForm, Swarm, read_swarm
from bench_action.engine.docker.recipes import make_container_options
from bench_action.engine.docker.registry import check_requested_platform, pull, require_platform
from bench_action.engine.docker.samples import Samples
from bench_action.engine.docker.sandboxes import Sandboxes, attach
from bench_action.engine.docker.session import DockerSession, run_program
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import (
    COMMON_SLOT,
    BuildSpec,
    Exit,
    FileCopy,
    Handle,
    Kind,
    OneMachine,
    Program,
    ServiceSpec,
)
from bench_action.model.errors import StackError
from bench_action.model.machine import Machine

_PIECE = 2**20  # bytes of an image at a time
_COPY_S = 900
_SAVING_S = 60  # for a database to write down its data
_EXEC_S = 600.0  # as long as a container may take to become ready
_REMOVAL_S = 6.0  # GitHub kills a cancelled job after 7.5 + 2.5 s (docs/architecture.md, "In a workflow")
_REMOTE_REMOVAL_S = 20.0  # networks go once all hosts have left them
_AGAIN_S = 0.2
_SOON_S = 0.05
_NOT_RUNNING = ("exited", "dead")
_DEATH_S = 10.0  # the sockets of a dead container close shortly before the engine reports that it exited


class Leftovers(NamedTuple):
    """Containers, networks and volumes, as the engine lists them."""

    containers: Sequence[Mapping[str, Any]]
    networks: Sequence[Mapping[str, Any]]
    volumes: Sequence[Mapping[str, Any]]

    @property
    def names(self) -> list[str]:
        """Their names, for messages."""
        containers = [item["Names"][0].lstrip("/") for item in self.containers]
        return containers + [item["Name"] for item in (*self.networks, *self.volumes)]

    @property
    def runs(self) -> set[str]:
        """The ids of the runs that made them; a run has a network from its beginning to its end."""
        return {str((item.get("Labels") or {}).get(RUN, "")) for item in (*self.containers, *self.networks)}


class DockerEngine(OneMachine):
    """Runs services in labelled containers, which publish no port on the host and mount nothing of the workspace."""

    name = "docker"
    tls_folder = "/bench-action"

    def __init__(self, owner: Ownership, environ: Mapping[str, str], machine: str = "", *, here: bool = True) -> None:
        """Connect. Raises StackError if no engine answers.

        `machine`: what handles call this engine's machine, if there are several. `here`: it may be this one, whose
        kernel then says how much memory is free. `sandbox_image`, if it is set, is used for containers that hold the
        places of others in networks.
        """
        self._owner, self._machine, self._here = owner, machine, here
        self._environ = environ
        self._client = connect(environ)
        self._labels = make_labels(owner)
        self._prefix = f"bench-action-{owner.run_id}"
        self._slots: Sequence[str] = ()
        self._limits = Limits(0, 0)  # until it is known how many slots share the machine
        self._creations = Creations()
        self._volumes = DataVolumes(self._client, self._creations, self._prefix, self._labels)
        self._sessions: list[DockerSession] = []
        self._expected: dict[str, Handle] = {}  # containers that should be running, by id
        self._images = RunImages(self._client, owner)
        self._sandboxes = Sandboxes(self._client, self._creations, self._labels)
        self._samples = Samples(self._client, self._labels)
        self.sandbox_image = ""
        self._manages_swarm: bool | None = None

    def machine(self) -> Machine:
        """Describe the machine that the engine runs on."""
        with translate_errors("could not read what machine the Docker engine runs on"):
            info = self._client.info()
        return Machine(
            cores=info["NCPU"],
            memory_mib=info["MemTotal"] // 1024**2,
            kernel=info["KernelVersion"],
            engine_version=f"{info['ServerVersion']} (cgroup v{info.get('CgroupVersion', 1)})",
        )

    def describe(self, kinds: Sequence[str]) -> dict[str, str]:  # noqa: ARG002 (images contain their programs)
        """Return the engine's version, and where wrk comes from."""
        return {"Docker": self.machine().engine_version, "wrk": "in a separate image"}

    def sweep(self, job: str = "") -> list[str]:
        """Remove what dead runs and workflow job `job` left behind, and images that nobody uses."""
        now, found = time.time(), self._list({"label": MARK})
        left = Leftovers(
            *([item for item in items if is_left_behind(item.get("Labels") or {}, now=now, job=job)] for items in found)
        )
        self._remove_all(left)
        # other hosts' engines take a moment to leave a network
        deadline = time.monotonic() + (_REMOVAL_S if self._manages_swarm else 0)
        while True:
            self._remove_all(left._replace(containers=()))
            rest = {item["Name"] for item in self._list({"label": MARK}).networks}
            if time.monotonic() >= deadline or not rest & {item["Name"] for item in left.networks}:
                break
            time.sleep(_AGAIN_S)
        self._images.sweep(left.runs, found.runs - left.runs)
        still = set(self._list({"label": MARK}).names) if left.names else set()
        return [name for name in left.names if name not in still]

    def open(self, slots: Sequence[str], networks: NetworkForm = BRIDGE) -> None:
        """Create a network for each slot, and share out the machine among them. `networks`: how they are made."""
        self._slots = tuple(slots)
        with translate_errors("could not read how much memory the Docker engine has"):
            proc = Path("/proc") if self._here else None
            self._limits = Limits.share_out(self._client.info()["MemTotal"], len({*slots} - {COMMON_SLOT}), proc)
        if not networks.made_here:
            return
        with translate_errors("could not create the run's networks"):
            for slot in slots:
                create = partial(self._client.networks.create, self._name_network(slot), **networks.options)
                self._creations.make(partial(create, labels=self._labels))

    def tool_image(self) -> str | None:
        """Return the action's own image if we run in it, else None."""
        return find_tool_image(self._client)

    def has_image(self, name: str, kind: Kind = "other") -> bool:  # noqa: ARG002 (all kinds are images)
        """Return whether the engine has an image already."""
        with translate_errors(f"could not look up image {name}"):
            try:
                self._client.images.get(name)
            except ImageNotFound:
                return False
            return True

    def image(self, name: str, kind: Kind, platform: str = "") -> str:  # noqa: ARG002 (all kinds are images)
        """Pull an image if it is missing, and return its id.

        Raises StackError if it is for another platform, or if another run has built it.
        """
        check_requested_platform(self._client, platform, f"image {name}")
        self._images.require_usable(name)
        return self._pull_missing(name)

    def build(self, spec: BuildSpec) -> str:
        """Build an image and return its id. It is kept until `remove`, even if another run builds the same name."""
        memory = self._limits.times(len(self._slots)).memory  # nothing else of the run needs any yet
        return self._images.build(spec, lambda name: build_image(self._client, spec, name, self._environ, memory))

    def start(self, spec: ServiceSpec) -> Handle:
        """Create and start a container."""
        return self._start(spec)

    def _start(self, spec: ServiceSpec, cpus: str = "") -> Handle:
        """Create and start a container; `cpus`: those that it may use, as the engine writes them."""
        self._pull_missing(spec.image)
        host, limits = spec.host or spec.name, self._limits.lower_to(spec.container.memory)
        address = f"bench-action-{spec.slot}-{host}" if spec.slot else host
        with translate_errors(f"could not start {spec.name}", where=f"its container ({spec.kind})"):
            aliases = [host, address, *spec.container.aliases]
            container = self._creations.make(partial(self._create, spec, host, aliases, limits, cpus))
            with removing_on_failure(container):
                attach(container.start)
        handle = Handle(
            str(container.id),
            spec.name,
            spec.kind,
            host,
            spec.port,
            address,
            limits.memory,
            limits.processes,
            spec.certificate is not None,
            self._machine,
        )
        self._expected[handle.id] = handle
        return handle

    def clone(self, origin: Handle, specs: Sequence[ServiceSpec]) -> list[Handle]:
        """Start containers with a copy of the data volumes of `origin`, which is stopped for it and started again."""
        with self._volumes.copying(origin, specs, self._limits) as copy:
            self.stop(origin, _SAVING_S)
            with translate_errors(f"could not copy the data of {origin.name}"):
                copy()
            with ThreadPoolExecutor(max_workers=8) as pool:
                again = pool.submit(self.restart, origin)
                handles = list(pool.map(self.start, specs))
            again.result()
            return handles

    def run_once(self, spec: ServiceSpec, timeout_s: float) -> None:
        """Run a container until it exits, and remove it."""
        handle = self.start(spec)
        self._expected.pop(handle.id)
        try:
            status = self._wait(handle, timeout_s)
            log = self.logs(handle) if status else []
        except StackError as error:
            error.log = tuple(self.logs(handle))
            raise
        finally:  # also one that has not ended: it would go on next to what is measured
            with translate_errors(f"could not remove {spec.name}"):
                self._client.api.remove_container(handle.id, v=True, force=True)
        if status:
            command = " ".join(spec.command)
            raise StackError(f"{spec.name} exited with status {status}", where=f"command: {command}", log=log)

    def stop(self, handle: Handle, grace_s: int = 1) -> None:
        """Ask a container to exit, and kill it after `grace_s` seconds."""
        self._expected.pop(handle.id, None)
        with translate_errors(f"could not stop {handle.name}"):
            self._client.api.stop(handle.id, timeout=grace_s)

    def restart(self, handle: Handle) -> None:
        """Start a stopped container."""
        with translate_errors(f"could not restart {handle.name}"):
            attach(partial(self._client.api.start, handle.id))
        self._expected[handle.id] = handle

    def replace(self, handle: Handle, spec: ServiceSpec) -> Handle:
        """Start another container in the place of a stopped one, as variables belong to a container."""
        with translate_errors(f"could not replace the container of {handle.name}"):
            cpus = self._client.api.inspect_container(handle.id)["HostConfig"]["CpusetCpus"]
            self._client.api.remove_container(handle.id, v=True, force=True)
        return self._start(spec, cpus)

    def describe_program(self, handle: Handle) -> Program:
        """Describe what a container runs; its image may say all of it."""
        with translate_errors(f"could not read what {handle.name} runs"):
            config = self._client.api.inspect_container(handle.id)["Config"]
        words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
        return Program(words, {entry.partition("=")[0] for entry in config.get("Env") or ()})

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """Move a container, running or not, to these CPUs."""
        problem, numbers = f"could not pin {handle.name} to CPUs", ",".join(map(str, sorted(cpus)))
        with translate_errors(problem, where=f"CPUs {numbers}"):
            answer = self._client.api.update_container(handle.id, cpuset_cpus=numbers)
        for warning in answer.get("Warnings") or ():
            if "cpuset" in warning:  # the engine only warns, and pins nothing
                raise StackError(problem, cause=warning)

    def session(self, handle: Handle, argv: Sequence[str]) -> DockerSession:
        """Start a program in the container, for a conversation."""
        with translate_errors(f"could not start {argv[0]}", where=f"in the container of {handle.name}"):
            started = self._client.api.exec_create(handle.id, list(argv), stdin=True)
            connection = self._client.api.exec_start(started["Id"], socket=True)
        where = f"{argv[0]} in the container of {handle.name}"
        session = DockerSession(connection, where, lambda: self._explain_exit(handle))
        self._sessions.append(session)
        return session

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a short program in the container, and return its status and output."""
        where = f"in the container of {handle.name}"
        with translate_errors(f"could not run {argv[0]}", where=where):
            return run_program(self._client.api, handle.id, argv, where, _EXEC_S)

    def exec_inside(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a program of the container, and return its status and output."""
        return self.exec(handle, argv)

    def find_healthcheck(self, handle: Handle) -> Sequence[str] | None:
        """Return the command of the HEALTHCHECK of a container's image."""
        with translate_errors(f"could not read the HEALTHCHECK of {handle.name}"):
            image = self._client.containers.get(handle.id).image
            return parse_healthcheck((image.attrs["Config"] if image is not None else None) or {})

    def read_output(self, handle: Handle) -> list[str]:
        """Return the lines that a container has printed since it last exited: the engine keeps earlier ones as well."""
        with translate_errors(f"could not read the output of {handle.name}"):
            finished_at = parse_time(self._client.api.inspect_container(handle.id)["State"]["FinishedAt"])
            text = self._client.api.logs(handle.id, since=finished_at)
        return text.decode(errors="replace").splitlines()

    def ended(self) -> list[Exit]:
        """List the containers that should be running but have exited."""
        with translate_errors("could not list the run's containers"):
            filters = {"label": f"{RUN}={self._owner.run_id}", "status": list(_NOT_RUNNING)}
            exited = self._client.api.containers(all=True, filters=filters)
            handles = [self._expected[item["Id"]] for item in exited if item["Id"] in self._expected]
            states = [(handle, self._client.api.inspect_container(handle.id)["State"]) for handle in handles]
            return [
                Exit(handle, int(state["ExitCode"]), ran_out_of_memory(self._client, handle.id, state))
                for handle, state in states
                if not state["Running"]  # the list is older: it may have been started again since
            ]

    def logs(self, handle: Handle, lines: int = 15) -> list[str]:
        """Return the last lines of its output; empty if it printed nothing or does not exist any more."""
        with contextlib.suppress(DockerException, RequestException, OSError):
            text = self._client.api.logs(handle.id, tail=lines)
            return text.decode(errors="replace").splitlines()
        return []

    def remove(self) -> list[str]:
        """Remove all containers, networks and volumes, even those still being created, and images without a name.

        Returns the networks that the engine keeps although nothing is in them: some engines lose count of endpoints.
        """
        self._expected.clear()
        patience_s = _REMOVAL_S if self._here else _REMOTE_REMOVAL_S
        deadline = time.monotonic() + patience_s
        self._creations.end(patience_s / 2)
        try:
            return self._remove_until(deadline)
        finally:
            self._images.release()
            for session in self._sessions:
                session.close()
            self._client.close()

    def _remove_until(self, deadline: float) -> list[str]:
        label = {"label": f"{RUN}={self._owner.run_id}"}
        kept: list[str] = []
        while any(left := self._list_until(label, deadline)) and not kept:
            self._remove_all(left)
            if not left.containers:
                time.sleep(_SOON_S)  # a network may still be in use by another host
            if time.monotonic() > deadline:
                self._remove_all(self._list(label))  # networks, if containers have taken all the time
                kept = self._require_unused(self._list(label))
        return kept

    def _require_unused(self, left: Leftovers) -> list[str]:
        """Return the names of what is left, if that is networks without a container. Raises StackError if not."""
        with translate_errors("could not look up the networks that are left"):
            used = [item for item in left.networks if self._client.api.inspect_network(item["Id"]).get("Containers")]
        if left.containers or left.volumes or used:
            raise StackError(
                f"could not remove everything that this run created: {', '.join(left.names)}",
                advice=f"docker ps -aq --filter label={RUN}={self._owner.run_id} | xargs docker rm -fv",
            )
        return left.names

    def read_swarm(self) -> Swarm:
        """Read which Swarm this engine is in, if it is in one."""
        with translate_errors("could not read which Swarm the Docker engine is in"):
            return read_swarm(self._client)

    def read_clock(self) -> float:
        """Read the clock of the engine's machine, in seconds since 1970."""
        with translate_errors("could not read the clock of the Docker engine's machine"):
            return parse_time(self._client.info()["SystemTime"]) or 0.0

    def read_processor(self) -> str:
        """Read what processor the engine's machine has, as the kernel names it."""
        with translate_errors("could not read what processor the Docker engine's machine has"):
            return str(self._client.info()["Architecture"])

    def export_image(self, image: str) -> Iterator[bytes]:
        """Read an image with one of its names, as another engine imports it."""
        with translate_errors(f"could not read image {image}"):
            names = sorted(self._client.images.get(image).tags, key=is_run_tag)
            with self._patiently():
                yield from self._client.api.get_image(names[0] if names else image, chunk_size=_PIECE)

    def import_image(self, stream: Iterable[bytes]) -> None:
        """Take an image from another engine."""
        with translate_errors("could not copy an image from another host"), self._patiently():
            for line in _load(self._client, stream):
                if "error" in line:
                    raise StackError("could not copy an image from another host", cause=str(line["error"]))

    @contextlib.contextmanager
    def _patiently(self) -> Iterator[None]:
        """Wait longer for answers: an engine says nothing while it packs or unpacks a large image."""
        api: Any = self._client.api
        usual_s, api.timeout = api.timeout, _COPY_S
        try:
            yield
        finally:
            api.timeout = usual_s

    def list_other_runs(self) -> list[str]:
        """List the runs that are under way on this engine, without this one."""
        with translate_errors("could not list the containers of other runs"):
            found = self._client.api.containers(filters={"label": MARK})
        runs = {(item.get("Labels") or {}).get(RUN, "") for item in found}
        return sorted(runs - {self._owner.run_id, ""})

    def _pull_missing(self, name: str) -> str:
        if not self.has_image(name):
            pull(self._client, name)
        return require_platform(self._client, name)

    def _name_network(self, slot: str) -> str:
        return f"{self._prefix}-{slot}"

    def _create(self, spec: ServiceSpec, host: str, aliases: Sequence[str], limits: Limits, cpus: str) -> Container:
        """Create a container in its slot's network, or in those of all slots if it is in none."""
        declared = list_declared(self._client, spec.image)
        data = self._volumes.make(spec, declared, limits)
        name = "-".join(filter(None, (self._prefix, spec.slot, spec.name)))
        if spec.kind == "postgres":
            spec = add_preloaded(spec, self._samples.read(spec.image, f"{name}-sample"))
        options = make_container_options(spec, declared, data, limits)
        networks = [self._name_network(slot) for slot in ([spec.slot] if spec.slot else self._slots)]
        container = self._client.containers.create(
            spec.image,
            name=name,
            labels=self._labels,
            detach=True,
            cpuset_cpus=cpus,
            use_config_proxy=False,  # may contain a password, and no request of a run goes through a proxy
            **self._make_network_options(spec, networks[0], host, aliases, options),
        )
        with removing_on_failure(container):
            for network in networks[1:]:
                known = aliases if network == self._name_network(COMMON_SLOT) else []
                self._client.api.connect_container_to_network(str(container.id), network, aliases=known)
            pem = spec.certificate.files if spec.certificate is not None else {}
            copies = [FileCopy(f"{self.tls_folder}/{name}", content=text) for name, text in pem.items()]
            form = spec.container
            put_files(self._client, str(container.id), [*form.files, *copies], form.volumes)
        return container

    def _make_network_options(
        self, spec: ServiceSpec, network: str, host: str, aliases: Sequence[str], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Add how a container is in a network: itself, or in the place that another one holds, with that one's name."""
        if self.sandbox_image and spec.kind not in {"load", "watch"}:
            sandbox = self._sandboxes.hold(self.sandbox_image, network, host, aliases)
            own = {name: value for name, value in options.items() if name != "sysctls"}
            return {**own, "network_mode": f"container:{sandbox}"}
        endpoint = self._client.api.create_endpoint_config(aliases=list(aliases))
        return {**options, "hostname": host, "network": network, "networking_config": {network: endpoint}}

    def _wait(self, handle: Handle, timeout_s: float) -> int:
        """Wait until a container exits, and return its status."""
        with translate_errors(f"could not wait for {handle.name}"):
            try:
                return int(self._client.containers.get(handle.id).wait(timeout=timeout_s)["StatusCode"])
            except RequestException as error:
                if "timed out" not in str(error):
                    raise
                raise StackError(f"{handle.name} did not finish within {timeout_s:g} s") from error

    def _explain_exit(self, handle: Handle) -> StackError | None:
        """Make the error for a container that exited under a session; None if it still runs, or was to stop."""
        deadline = time.monotonic() + _DEATH_S
        while handle.id in self._expected and time.monotonic() < deadline:
            for end in self.ended():
                if end.handle.id == handle.id:
                    cause = "it exited on its own, or was killed from outside; its log may say why"
                    return StackError(f"{handle.name} {end}", cause=cause, log=self.logs(handle))
            time.sleep(0.1)
        return None

    def _list(self, filters: Mapping[str, str]) -> Leftovers:
        api = self._client.api
        with translate_errors("could not list containers, networks and volumes"):
            return Leftovers(
                api.containers(all=True, filters=dict(filters)),
                # a network of a Swarm is there because a container used it, and only managers can remove it
                [item for item in api.networks(filters=dict(filters)) if self._is_removable(item)],
                api.volumes(filters=dict(filters))["Volumes"] or [],
            )

    def _is_removable(self, network: Mapping[str, Any]) -> bool:
        if network.get("Scope") != "swarm":
            return True
        if self._manages_swarm is None:
            self._manages_swarm = self.read_swarm().manages
        return self._manages_swarm

    def _list_until(self, filters: Mapping[str, str], deadline: float) -> Leftovers:
        """List what there is; if the engine does not answer, try again until the deadline, as it may be restarting."""
        while True:
            try:
                return self._list(filters)
            except StackError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_AGAIN_S)

    def _remove_all(self, left: Leftovers) -> None:
        """Try to remove what is listed: containers, or what they used, once none is left.

        An engine that still takes a container down while its network is removed may lose count of the network's
        endpoints, and never remove it.
        """
        api = self._client.api
        # in parallel: removing ten containers one by one would take longer than a cancelled job has
        with ThreadPoolExecutor(max_workers=8) as pool:
            for item in left.containers:
                pool.submit(_try, partial(api.remove_container, item["Id"], v=True, force=True))
            for item in () if left.containers else left.networks:
                pool.submit(_try, partial(api.remove_network, item["Id"]))
            for item in () if left.containers else left.volumes:
                pool.submit(_try, partial(api.remove_volume, item["Name"]))


def _try(action: Callable[[], object]) -> None:
    """Ignore a failed removal: somebody else may be removing the same, and our caller lists what is left."""
    with contextlib.suppress(APIError, RequestException):
        action()


def _load(client: docker.DockerClient, stream: Iterable[bytes]) -> Iterable[Mapping[str, object]]:
    """Load an image; what the engine says of it."""
    api: Any = client.api  # the SDK has no types for it
    return cast("Iterable[Mapping[str, object]]", api.load_image(stream, quiet=True))
