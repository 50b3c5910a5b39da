"""Volumes for the data of databases: in memory, and copied from one slot to the others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from posixpath import normpath

import docker
from docker.models.containers import Container

from bench_action.engine.docker.client import translate_errors
from bench_action.engine.docker.creations import Creations
from bench_action.engine.docker.limits import Limits
from bench_action.engine.docker.session import run_program
from bench_action.engine.protocol import COPIED, Handle, ServiceSpec
from bench_action.model.errors import StackError

_IN_MEMORY = {"type": "tmpfs", "device": "tmpfs"}
_FROM, _TO = "/from", "/to"
_COPY_S = 600.0
_PROBLEM = "could not copy a database to another slot"
_ADVICE = "give the machine more memory, or use a smaller seed: each slot has its own copy"

Binds = dict[str, dict[str, str]]  # volume → where it is mounted, as the SDK takes it


def list_declared(client: docker.DockerClient, image: str) -> list[str]:
    """List the paths of the volumes that an image declares, in the same order each time."""
    return sorted(client.images.get(image).attrs["Config"].get("Volumes") or {})


class DataVolumes:
    """The named volumes of a run. Each exists until the run is removed, its content while a container uses it."""

    def __init__(
        self, client: docker.DockerClient, creations: Creations, prefix: str, labels: Mapping[str, str]
    ) -> None:
        self._client = client
        self._creations = creations
        self._prefix = prefix
        self._labels = labels

    def make(self, spec: ServiceSpec, paths: Sequence[str], limits: Limits) -> Binds:
        """Create a volume for each path that an image declares, if data of this kind are copied."""
        names = self._name(spec, len(paths)) if spec.kind in COPIED else []
        options = {**_IN_MEMORY, "o": limits.size_folder("")}
        for name in names:
            create = partial(self._client.volumes.create, name, driver_opts=options, labels=dict(self._labels))
            self._creations.make(create)
        return {name: {"bind": path, "mode": "rw"} for name, path in zip(names, paths, strict=False)}

    @contextmanager
    def copying(self, origin: Handle, specs: Sequence[ServiceSpec], limits: Limits) -> Iterator[Callable[[], None]]:
        """Keep the volumes of `origin` and of these services in memory, and yield what copies the one to the others.

        `limits`: those of one service; the copies count as memory of the container that makes all of them.
        A volume in memory is empty once no container uses it, so a container of the same image, which does nothing,
        uses all of them until the services run.
        """
        container = self._client.containers.get(origin.id)
        # the engine lists mounts in any order, and with volumes that the image does not declare
        volumes = {
            mount["Destination"]: mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"
        }
        paths = list_declared(self._client, container.attrs["Image"])
        sources = {at: volumes[normpath(path)] for at, path in enumerate(paths) if normpath(path) in volumes}
        binds = {name: {"bind": f"{_FROM}/{at}", "mode": "ro"} for at, name in sources.items()}
        for number, spec in enumerate(specs):
            copies = self.make(spec, paths, limits.lower_to(spec.container.memory))
            binds |= {name: {"bind": f"{_TO}/{number}/{at}", "mode": "rw"} for at, name in enumerate(copies)}
        all_copies = limits.times(len(specs))
        keeper = self._creations.make(partial(self._start_keeper, origin, container.attrs["Image"], binds, all_copies))
        try:
            yield lambda: self._copy(keeper, list(sources), len(specs))
        finally:
            with translate_errors("could not remove the container that copies data"):
                keeper.remove(force=True, v=True)

    def _name(self, spec: ServiceSpec, count: int) -> list[str]:
        return [f"{self._prefix}-{spec.slot}-{spec.name}-{at}" for at in range(count)]

    def _start_keeper(self, origin: Handle, image: str, binds: Binds, limits: Limits) -> Container:
        keeper = self._client.containers.create(
            image,
            name=f"{self._prefix}-copy-{origin.name}",
            entrypoint=["sleep"],
            command=["infinity"],
            user="0:0",
            network_mode="none",
            labels=dict(self._labels),
            volumes=binds,
            use_config_proxy=False,
            **limits.make_options(["CHOWN", "DAC_OVERRIDE", "FOWNER"]),
        )
        keeper.start()
        return keeper

    def _copy(self, keeper: Container, places: Sequence[int], targets: int) -> None:
        for number in range(targets):
            for at in places:
                copy = ["cp", "--archive", f"{_FROM}/{at}/.", f"{_TO}/{number}/{at}"]
                with translate_errors(_PROBLEM):
                    try:
                        status, output = run_program(self._client.api, str(keeper.id), copy, "of a database", _COPY_S)
                    except StackError as error:
                        raise StackError(_PROBLEM, cause=error.what, advice=_ADVICE) from error
                if status:
                    cause = output.strip() or f"cp exited with status {status}"
                    raise StackError(_PROBLEM, cause=cause, advice=_ADVICE)
