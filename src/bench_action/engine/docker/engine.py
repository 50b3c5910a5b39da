"""The Docker engine: builds images, starts containers on a network of the run's own, and removes them again."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException

from bench_action.engine.docker.build import build_image
from bench_action.engine.docker.built import BuiltImages
from bench_action.engine.docker.client import connect, refusals
from bench_action.engine.docker.creations import Creations
from bench_action.engine.docker.itself import tool_image
from bench_action.engine.docker.labels import MARK, RUN, abandoned, labels_of
from bench_action.engine.docker.recipes import container_options
from bench_action.engine.docker.session import DockerSession
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec, Exit, Handle, Kind, ServiceSpec
from bench_action.model.errors import StackError
from bench_action.model.machine import Machine

_REMOVAL_S = 6.0  # a cancelled job is killed after 7.5 + 2.5 s (facts: actions, cancellation)
_NOT_RUNNING = ("exited", "dead")
_CUT_OFF = 137  # as a shell tells SIGKILL
_DEATH_S = 2.0  # what a container's processes have open is closed a little before the engine says that it ended


class DockerEngine:
    """Everything that it makes carries the run's labels; nothing is published on the host, nothing is mounted."""

    name = "docker"

    def __init__(self, owner: Ownership, environ: Mapping[str, str]) -> None:
        """Connects. Raises StackError where no engine answers."""
        self._owner = owner
        self._environ = environ
        self._client = connect(environ)
        self._labels = labels_of(owner)
        self._network = f"bench-action-{owner.run_id}"
        self._creations = Creations()
        self._sessions: list[DockerSession] = []
        self._expected: dict[str, Handle] = {}  # containers that should be running, by id
        self._built = BuiltImages(self._client, owner)

    def machine(self) -> Machine:
        """The machine of the engine."""
        with refusals("the Docker engine does not describe its machine"):
            info = self._client.info()
        return Machine(
            cores=info["NCPU"],
            memory_mib=info["MemTotal"] // 1024**2,
            kernel=info["KernelVersion"],
            engine_version=f"{info['ServerVersion']} (cgroup v{info.get('CgroupVersion', 1)})",
        )

    def describe(self, kinds: Sequence[str]) -> dict[str, str]:  # noqa: ARG002 (images bring their programs)
        """The engine, and where wrk comes from."""
        return {"Docker": self.machine().engine_version, "wrk": "in an image of its own"}

    def sweep(self, job: str = "") -> list[str]:
        """Remove containers and networks of runs that are gone, and all of this job's; and images nobody uses."""
        now = time.time()
        containers, networks = self._list({"label": MARK})
        old = [item for item in containers if abandoned(item["Labels"], now=now, job=job)]
        nets = [item for item in networks if abandoned(item.get("Labels") or {}, now=now, job=job)]
        self._remove_all(old, nets)
        self._built.sweep({item["Labels"].get(RUN, "") for item in (*old, *nets)})
        return _names(old, nets)

    def open(self) -> None:
        """Make the run's network."""
        with refusals("the run's network cannot be made"):
            create = self._client.networks.create
            self._creations.make(lambda: create(self._network, driver="bridge", labels=self._labels))

    def tool_image(self) -> str | None:
        """The action's own, where we run in it."""
        return tool_image(self._client)

    def has_image(self, name: str) -> bool:
        """Whether an image is here already."""
        with refusals(f"the engine does not say whether it has the image {name}"):
            try:
                self._client.images.get(name)
            except ImageNotFound:
                return False
            return True

    def image(self, name: str, kind: Kind) -> str:  # noqa: ARG002 (an image is an image)
        """The id of an image, pulled where it is not here."""
        if not self.has_image(name):
            self._pull(name)
        with refusals(f"the image {name} cannot be read"):
            return str(self._client.images.get(name).id)

    def build(self, spec: BuildSpec) -> str:
        """Build an image; its id. It is there until `remove`, also if another run builds the same name."""
        return self._built.build(spec, lambda name: build_image(self._client, spec, name, self._environ))

    def start(self, spec: ServiceSpec) -> Handle:
        """Create and start a container."""
        self.image(spec.image, spec.kind)
        with refusals(f"{spec.name} cannot be started", where=f"its container, as {spec.kind}"):
            image = self._client.images.get(spec.image)
            options = container_options(spec, list(image.attrs["Config"].get("Volumes") or {}))
            host = spec.host or spec.name
            endpoint = self._client.api.create_endpoint_config(aliases=[host])
            create = partial(
                self._client.containers.create,
                spec.image,
                name=f"{self._network}-{spec.name}",
                hostname=host,
                labels=self._labels,
                detach=True,
                network=self._network,
                use_config_proxy=False,  # a proxy's password is no variant's business, and no request here needs one
                networking_config={self._network: endpoint},
                **options,
            )
            container = self._creations.make(create)
            container.start()
        handle = Handle(id=str(container.id), name=spec.name, kind=spec.kind, host=host, port=spec.port)
        self._expected[handle.id] = handle
        return handle

    def run_once(self, spec: ServiceSpec, timeout_s: float) -> None:
        """Run a container to its end."""
        handle = self.start(spec)
        self._expected.pop(handle.id)
        try:
            with refusals(f"{spec.name} does not end", where=f"within {timeout_s:g} s"):
                status = self._client.containers.get(handle.id).wait(timeout=timeout_s)["StatusCode"]
        except StackError as error:
            error.log = tuple(self.logs(handle))
            raise
        log = self.logs(handle) if status else []
        with refusals(f"{spec.name} cannot be removed"):
            self._client.api.remove_container(handle.id, v=True, force=True)
        if status:
            command = " ".join(spec.command)
            raise StackError(f"{spec.name} ended with status {status}", where=f"command: {command}", log=log)

    def stop(self, handle: Handle, grace_s: int = 1) -> None:
        """Ask a container to end, and end it after `grace_s` seconds."""
        self._expected.pop(handle.id, None)
        with refusals(f"{handle.name} cannot be stopped"):
            self._client.api.stop(handle.id, timeout=grace_s)

    def restart(self, handle: Handle) -> None:
        """Start again what was stopped."""
        with refusals(f"{handle.name} cannot be started again"):
            self._client.api.start(handle.id)
        self._expected[handle.id] = handle

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """Move a container, running or not, to these CPUs."""
        with refusals(f"{handle.name} cannot be given CPUs of its own", where=f"CPUs {_listed(cpus)}"):
            answer = self._client.api.update_container(handle.id, cpuset_cpus=_listed(cpus))
        for warning in answer.get("Warnings") or ():
            if "cpuset" in warning:  # the engine goes on without one
                raise StackError(f"{handle.name} cannot be given CPUs of its own", cause=warning)

    def session(self, handle: Handle, argv: Sequence[str]) -> DockerSession:
        """Start a program in the container and talk to it."""
        with refusals(f"{argv[0]} cannot be started", where=f"inside the container of {handle.name}"):
            started = self._client.api.exec_create(handle.id, list(argv), stdin=True)
            connection = self._client.api.exec_start(started["Id"], socket=True)
        where = f"{argv[0]} in the container of {handle.name}"
        session = DockerSession(connection, where, lambda: self._death(handle))
        self._sessions.append(session)
        return session

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a short program in the container: its status and output."""
        with refusals(f"{argv[0]} cannot be run", where=f"inside the container of {handle.name}"):
            status, output = self._client.containers.get(handle.id).exec_run(list(argv))
        # the engine knows no status of what a dying container took with it: that is no success
        return _CUT_OFF if status is None else int(status), cast(bytes, output or b"").decode(errors="replace")

    def ended(self) -> list[Exit]:
        """Containers that should run and do not, with how they ended."""
        with refusals("the engine does not list the run's containers"):
            filters = {"label": f"{RUN}={self._owner.run_id}", "status": list(_NOT_RUNNING)}
            found = self._client.api.containers(all=True, filters=filters)
            gone = [item["Id"] for item in found if item["Id"] in self._expected]
            return [self._exit(container_id) for container_id in gone]

    def logs(self, handle: Handle, lines: int = 15) -> list[str]:
        """Last lines of its output; empty where there are none, or the container is gone."""
        with contextlib.suppress(DockerException, RequestException, OSError):
            text = self._client.api.logs(handle.id, tail=lines)
            return text.decode(errors="replace").splitlines()
        return []

    def remove(self) -> None:
        """Remove the run's containers, its network, also one still being created, and images that lost their name."""
        self._expected.clear()
        deadline = time.monotonic() + _REMOVAL_S
        self._creations.end(_REMOVAL_S / 2)
        label = {"label": f"{RUN}={self._owner.run_id}"}
        while any(left := self._list(label)):
            self._remove_all(*left)
            if time.monotonic() > deadline:
                raise StackError(
                    f"not everything of this run could be removed: {', '.join(_names(*left))}",
                    advice=f"docker ps -aq --filter label={RUN}={self._owner.run_id} | xargs docker rm -fv",
                )
        self._built.release()
        for session in self._sessions:
            session.close()
        self._client.close()

    def _exit(self, container_id: str) -> Exit:
        state = self._client.api.inspect_container(container_id)["State"]
        return Exit(self._expected[container_id], int(state["ExitCode"]), bool(state["OOMKilled"]))

    def _death(self, handle: Handle) -> StackError | None:
        """How a container ended that a session has lost; None where it still runs."""
        deadline = time.monotonic() + _DEATH_S
        while time.monotonic() < deadline:
            for end in (one for one in self.ended() if one.handle.id == handle.id):
                cause = "it ended by itself, or was killed from outside; its log may tell why"
                return StackError(f"{handle.name} {end}", cause=cause, log=self.logs(handle))
            time.sleep(_DEATH_S / 20)
        return None

    def _pull(self, name: str) -> None:
        repository, _, tag = name.partition("@") if "@" in name else name.rpartition(":")
        if "/" in tag or not repository:  # no tag at all, or the colon of a registry's port
            repository, tag = name, "latest"
        with refusals(f"the image {name} can't be had"):
            try:
                for event in self._client.api.pull(repository, tag=tag, stream=True, decode=True):
                    if "error" in event:
                        raise StackError(f"the image {name} can't be had", cause=event["error"])
            except APIError as error:
                raise StackError(
                    f"the image {name} can't be had",
                    cause=str(error.explanation or error),
                    advice="check its name, the registry and `docker login`; `docker pull` shows the same",
                ) from error

    def _list(self, filters: Mapping[str, str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        with refusals("the engine does not list what we made"):
            containers = self._client.api.containers(all=True, filters=dict(filters))
            return containers, self._client.api.networks(filters=dict(filters))

    def _remove_all(self, containers: Sequence[Mapping[str, Any]], networks: Sequence[Mapping[str, Any]]) -> None:
        # side by side: ten containers one after the other would take longer than a cancelled job is given
        with ThreadPoolExecutor(max_workers=8) as pool:
            remove = self._client.api.remove_container
            list(pool.map(lambda item: _gently(lambda: remove(item["Id"], v=True, force=True)), containers))
            list(pool.map(lambda item: _gently(lambda: self._client.api.remove_network(item["Id"])), networks))


def _names(containers: Sequence[Mapping[str, Any]], networks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [item["Names"][0].lstrip("/") for item in containers] + [item["Name"] for item in networks]


def _listed(cpus: Sequence[int]) -> str:
    return ",".join(map(str, sorted(cpus)))


def _gently(action: Callable[[], object]) -> None:
    """What is gone already, or is being removed by somebody else, is listed again by our caller."""
    with contextlib.suppress(APIError, RequestException):
        action()
