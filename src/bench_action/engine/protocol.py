"""What every engine offers. Nothing above this layer knows which engine it talks to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from bench_action.model.machine import Machine

Kind = Literal["postgres", "redis", "other", "load", "subject"]


@dataclass(frozen=True, slots=True)
class LocalForm:
    """How a subject runs without a container: its command with `{port}`, the requirements of its environment."""

    command: Sequence[str]
    folder: Path
    requirements: Path | None = None


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What to run. How a `kind` is run (command line, data directory, limits) is the engine's own recipe.

    `name` is also the host name that others reach it by, unless `host` is another one, which two may share of which
    only one runs at a time. `image` is a name or an id, `settings` are the service's own (`max_connections: 500`).
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


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """What to build: a context folder of this machine, sent as a whole, or an environment for its local form.

    `results`: the folder of our own results, which is left out of the context.
    `limit_s`: after how many seconds a build is given up, None for never.
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


@dataclass(frozen=True, slots=True)
class Handle:
    """Something that was started."""

    id: str
    name: str
    kind: Kind
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Exit:
    """How something that should run ended. Its `str` is for a sentence: `exited with status 3`."""

    handle: Handle
    exit_code: int
    out_of_memory: bool

    def __str__(self) -> str:
        return "was killed for lack of memory" if self.out_of_memory else f"exited with status {self.exit_code}"


class Session(Protocol):
    """A long-lived conversation, line by line, with a program started beside a service."""

    def send(self, text: str, patience_s: float = 30.0) -> None:
        """Write `text` to its standard input, and read what it answers at the same time.

        Raises StackError when the program is gone, or when nothing has moved for `patience_s` seconds.
        """

    def read_line(self, timeout_s: float) -> str | None:
        """The next line of its standard output, None when none came in time. Raises StackError at its end."""

    def close(self) -> None:
        """End the conversation; never raises."""


class Engine(Protocol):
    """Builds, starts and removes. Every method raises StackError when the engine refuses."""

    name: str

    def machine(self) -> Machine:
        """The machine that things run on."""

    def describe(self, kinds: Sequence[str]) -> dict[str, str]:
        """For the preflight: programs that serve these kinds, with versions. Raises StackError for a missing one."""

    def sweep(self, job: str = "") -> list[str]:
        """Remove what runs that are gone have left, and all of this job's; the names of what was removed."""

    def open(self) -> None:
        """Make what the run's parts share (a network)."""

    def tool_image(self) -> str | None:
        """The image that this very process runs in, where that is the action's, which has wrk; else None."""

    def has_image(self, name: str) -> bool:
        """Whether an image is here already."""

    def image(self, name: str, kind: Kind) -> str:
        """The id of an image, pulled where it is not here yet; the local engine's programs for this kind."""

    def build(self, spec: BuildSpec) -> str:
        """Build an image; its id, which no other run can change the meaning of."""

    def start(self, spec: ServiceSpec) -> Handle:
        """Start a service or a subject; does not wait until it is ready."""

    def run_once(self, spec: ServiceSpec, timeout_s: float) -> None:
        """Run a container to its end. Raises StackError with its log unless it ended with status 0."""

    def stop(self, handle: Handle, grace_s: int = 1) -> None:
        """Ask it to end, and end it after `grace_s` seconds; `restart` starts it again."""

    def restart(self, handle: Handle) -> None:
        """Start again what was stopped."""

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """From now on, also after a restart, it may use these CPUs only; so may what is started beside it later."""

    def session(self, handle: Handle, argv: Sequence[str]) -> Session:
        """Start a program beside a service and talk to it."""

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a short program beside a service: its status and output."""

    def ended(self) -> list[Exit]:
        """Those parts of the run that should run and no longer do."""

    def logs(self, handle: Handle, lines: int = 15) -> list[str]:
        """Last lines of its output."""

    def remove(self) -> None:
        """Remove everything that this run made. Raises StackError naming what is left."""
