"""The contract of an engine: nothing above this layer knows which engine it talks to."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

from bench_action.model.machine import Condition, Machine, join_roles
from bench_action.model.wording import memory

Kind = Literal["postgres", "redis", "mysql", "other", "load", "watch", "subject"]
KILLED: Final = 137  # as a shell reports SIGKILL
# the network that load generators share with what watches the other machines, and with nothing else
COMMON_SLOT: Final = "hosts"
WATCH_PORT: Final = 7301
# services whose data are made once, in one slot, and copied to the others
COPIED: frozenset[Kind] = frozenset({"postgres", "mysql"})


@dataclass(frozen=True, slots=True)
class LocalForm:
    """How a subject runs without a container.

    `command` contains `{port}`, `folder` holds its sources, and `requirements` lists its Python packages. `root`: the
    repository, in which every file must be that the requirements refer to.
    """

    command: Sequence[str]
    folder: Path
    requirements: Path | None = None
    root: Path = Path("/")


@dataclass(frozen=True, slots=True)
class FileCopy:
    """A file or a folder that is copied to `target` in a container before it starts: `source`, or a text.

    `mode`: its permissions; None: those of `source`, or 0o644.
    """

    target: str
    source: Path | None = None
    content: str = ""
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerForm:
    """How a container runs, except for its command. Empty values are the image's or the engine's own.

    `entrypoint`: an empty list is none at all. `volumes`: folders in separate volumes, which are removed with the
    container. `tmpfs`: folders in memory, such as `/run:size=64m`. `shm_size`: in bytes. `aliases`: more host names.
    `platform`: such as linux/amd64; the engine refuses an image of another. `memory`: in bytes, if it is to have less
    than the engine would give it.
    """

    entrypoint: Sequence[str] | None = None
    files: Sequence[FileCopy] = ()
    volumes: Sequence[str] = ()
    tmpfs: Sequence[str] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    shm_size: int = 0
    init: bool = False
    aliases: Sequence[str] = ()
    platform: str = ""
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, in PEM: two files, `cert.pem` and `key.pem`, in the engine's `tls_folder`."""

    cert: str
    key: str = field(repr=False)

    @property
    def files(self) -> dict[str, str]:
        """The contents of the files, by name. Every account may read them: they are of no use after the run."""
        return {"cert.pem": self.cert, "key.pem": self.key}


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What to run. The engine decides how, by `kind`: command line, data directory, limits.

    `slot`: the slot that it belongs to, which is its network; empty for the load generator, which reaches every slot.
    Others in the slot reach the service as `host`, or as `name` if `host` is empty, and by its form's aliases. Two
    services of a slot may share a host if only one of them runs at a time. `image` is a name or an id; `settings` are
    the service's own (`max_connections: 500`). `certificate`: it serves HTTPS, and may do so with this one. `machine`:
    the one that it runs on, of those that the engine lists; None: where its kind belongs.
    """

    kind: Kind
    name: str
    image: str
    settings: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    port: int = 0
    ulimits: Mapping[str, int] = field(default_factory=dict)
    local: LocalForm | None = None
    host: str = ""
    slot: str = ""
    container: ContainerForm = ContainerForm()
    certificate: Certificate | None = None
    machine: str | None = None


class Program(NamedTuple):
    """What runs: the words of its command, and the names of the variables in its environment."""

    words: Sequence[str]
    variables: Collection[str]


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """What to build: an image from a context folder, or the virtual environment of a local form.

    `results`: the folder of our own results, which is left out of the context.
    `limit_s`: stop the build after so many seconds; None for no limit.
    `secrets`: id → value of what `RUN --mount=type=secret` reads. `cache_from`: where else to look for cached layers.
    `platform`: what it is built for, such as `linux/arm64`; empty for the engine's own.
    `cache_namespace`: builds share the caches that their steps mount only with those of the same namespace.
    """

    kind: Kind
    name: str
    context: Path
    dockerfile: str = "Dockerfile"
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    local: LocalForm | None = None
    results: Path | None = None
    limit_s: int | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    cache_from: Sequence[str] = ()
    platform: str = ""
    cache_namespace: str = ""


@dataclass(frozen=True, slots=True)
class Handle:
    """A service or a subject that was started, and where to reach it.

    `host`: the name by which the others in its slot reach it, the same in every slot. `address`: by which the load
    generator does, which is in every slot. `memory_limit` (bytes) and `process_limit` are those of its container; 0:
    it has none. `tls`: it serves HTTPS. `machine`: the one that it runs on, empty for that of the load generator.
    """

    id: str
    name: str
    kind: Kind
    host: str
    port: int
    address: str = ""
    memory_limit: int = 0
    process_limit: int = 0
    tls: bool = False
    machine: str = ""

    @property
    def part(self) -> str:
        """How the load generator's agent names it: that on its machine reads its counters."""
        return f"peer:{name_watch(self.machine)}:{WATCH_PORT}/{self.id}" if self.machine else self.id


def name_watch(machine: str) -> str:
    """Name the host under which load generators reach the agent on another machine."""
    return f"bench-action-{COMMON_SLOT}-watch-{machine}"


@dataclass(frozen=True, slots=True)
class Exit:
    """How something that should still be running exited. Its `str` fits a sentence: `exited with status 3`."""

    handle: Handle
    exit_code: int
    out_of_memory: bool

    def __str__(self) -> str:
        if not self.out_of_memory:
            return f"exited with status {self.exit_code}"
        limit = f" (limit {memory(self.handle.memory_limit)})" if self.handle.memory_limit else ""
        if self.exit_code == KILLED:
            return f"ran out of memory and was killed{limit}"
        return f"exited with status {self.exit_code}, after processes of it ran out of memory and were killed{limit}"


@dataclass(frozen=True, slots=True)
class MachineRoles:
    """What a machine of several does.

    `name`: that of Handle, so it may be empty. `title`: what a person knows it by. `number`: which of several with the
    same roles it is.
    """

    name: str
    title: str
    application: bool = False
    services: bool = False
    load: bool = False
    number: int = 1

    @property
    def label(self) -> str:
        """Its roles, as results name it."""
        name = join_roles(application=self.application, services=self.services, load=self.load)
        return f"{name} {self.number}" if self.number > 1 else name


class Session(Protocol):
    """A long conversation, line by line, with a program that runs next to a service."""

    def send(self, text: str, patience_s: float = 30.0, waiting: Callable[[], None] = lambda: None) -> None:
        """Write `text` to the program's input while reading its output, so that neither side blocks the other.

        While nothing moves, `waiting` is called about once a second; it may raise. Raises StackError if the program has
        exited, or if nothing moves for `patience_s` seconds.
        """

    def read_line(self, timeout_s: float) -> str | None:
        """Return the next line of output, or None if none arrives in time. Raises StackError if the program exits."""

    def close(self) -> None:
        """End the conversation. Never raises."""


class Engine(Protocol):
    """A place to build, start and remove things.

    Every method raises StackError if the engine refuses, and LostHostError if the connection to a host is lost.
    A run sweeps, opens, builds and starts. While it measures, it talks to sessions, and pins, stops and restarts what
    it has started. Whether it succeeds or fails, it calls `remove` at the end.
    """

    name: str

    @property
    def tls_folder(self) -> str:
        """Where a service finds the files of its certificate."""

    @property
    def machines(self) -> Sequence[MachineRoles]:
        """The machines that the run is on, the first load generator's first; empty if there is only one."""

    def machine(self) -> Machine:
        """Describe the machine that the application runs on."""

    def check_machines(self) -> list[Condition]:
        """Check each machine, if there are several: what it lacks, and the command that cures it."""

    def measure_memory(self) -> int | None:
        """Measure how much memory a run can use, in MiB; None if it is this machine's, whose kernel knows."""

    def describe(self, kinds: Sequence[str]) -> dict[str, str]:
        """Map each program that serves these kinds to its version. Raises StackError if a program is missing."""

    def sweep(self, job: str = "") -> list[str]:
        """Remove what dead runs and all runs of workflow job `job` left behind; return the names of what is removed."""

    def open(self, slots: Sequence[str]) -> None:
        """Create what the parts of this run share, such as a network for each of these slots."""

    def tool_image(self) -> str | None:
        """Return the image that this process runs in if it is the action's own, which contains wrk; else None."""

    def has_image(self, name: str, kind: Kind) -> bool:
        """Return whether an image can be used for this kind without pulling it."""

    def image(self, name: str, kind: Kind, platform: str = "") -> str:
        """Pull an image if it is missing, and return its id; without images, the version of the program for `kind`.

        Raises StackError too if the image is for another platform, or `platform`, such as `linux/arm64`, is another.
        """

    def build(self, spec: BuildSpec) -> str:
        """Build an image, and return its id, which stays valid even if another run builds the same name."""

    def start(self, spec: ServiceSpec) -> Handle:
        """Start a service or a subject, without waiting until it is ready."""

    def clone(self, origin: Handle, specs: Sequence[ServiceSpec]) -> list[Handle]:
        """Start services with a copy of the data of `origin`, which is stopped for it and started again."""

    def run_once(self, spec: ServiceSpec, timeout_s: float) -> None:
        """Start a command and wait until it exits. Raises StackError with its log unless the status is 0."""

    def stop(self, handle: Handle, grace_s: int = 1) -> None:
        """Ask a service or a subject to exit, and kill it after `grace_s` seconds; `restart` starts it again."""

    def restart(self, handle: Handle) -> None:
        """Start what was stopped, at the same address."""

    def replace(self, handle: Handle, spec: ServiceSpec) -> Handle:
        """Start a subject in the place of what was stopped, on its CPUs and at its address, with other variables.

        Returns its handle, which may be another one.
        """

    def describe_program(self, handle: Handle) -> Program:
        """Describe what a service or a subject runs."""

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """Restrict a part of the run to these CPUs, including sessions next to it, and also after a restart."""

    def session(self, handle: Handle, argv: Sequence[str]) -> Session:
        """Start a program next to a service, for a conversation."""

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a short program next to a service, and return its status and output."""

    def exec_inside(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a program of a service or a subject as its own: in its container, with its environment and account.

        Returns its status, 126 or 127 if it cannot be run, and its output.
        """

    def find_healthcheck(self, handle: Handle) -> Sequence[str] | None:
        """Return the command of the HEALTHCHECK of an image, which the engine itself never runs; None without one."""

    def read_output(self, handle: Handle) -> list[str]:
        """Return all lines that a service or a subject has printed since it was last started."""

    def ended(self) -> list[Exit]:
        """List the parts of the run that should be running but have exited."""

    def logs(self, handle: Handle, lines: int = 15) -> list[str]:
        """Return the last lines that a part of the run has printed."""

    def remove(self) -> list[str]:
        """Remove everything that this run created, as far as it can be; return the names of unused things that cannot.

        Raises StackError naming anything else that is left.
        """


class OneMachine:
    """What every engine of a single machine says of its machines."""

    @property
    def machines(self) -> Sequence[MachineRoles]:
        """None: there is only one."""
        return ()

    def check_machines(self) -> list[Condition]:
        """Check nothing: there is only one machine."""
        return []

    def measure_memory(self) -> int | None:
        """Leave it to the caller, who reads this machine's kernel."""
        return None
