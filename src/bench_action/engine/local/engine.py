"""The local engine: PostgreSQL, Redis and the variants as processes of this machine, in the run's own folder."""

import contextlib
import errno
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import psutil

from bench_action.engine.commands import make_redis_options
from bench_action.engine.local import cache_client
from bench_action.engine.local.accounts import Account, RunAccount
from bench_action.engine.local.cache import find_cache_folder
from bench_action.engine.local.cluster import copy_cluster, init_cluster, make_postgres_argv
from bench_action.engine.local.environments import Environments
from bench_action.engine.local.folder import RunFolder, sweep_folders
from bench_action.engine.local.ports import Ports
from bench_action.engine.local.processes import (
    MARK,
    Starts,
    find_family,
    find_marked,
    find_working_in,
    kill_all,
    move,
    stop,
)
from bench_action.engine.local.servers import Servers
from bench_action.engine.local.session import LocalSession
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec, Certificate, Exit, Handle, Kind, OneMachine, Program, ServiceSpec
from bench_action.model.errors import StackError
from bench_action.model.machine import OPEN_FILES, Machine

_HOST = "127.0.0.1"
_SAVING_S = 60  # for a database to write down its data
_NOT_THERE = 127  # what shells return for a program that cannot be run
_DEATH_S = 10.0  # the pipes of a dead process close shortly before its status can be read
# the only variables that a process gets from our environment, as in a container
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ")


class LocalEngine(OneMachine):
    """Runs services as processes that carry the run's id in their environment, with every file in the run's folder."""

    name = "local"

    def __init__(self, owner: Ownership, environ: Mapping[str, str], servers: Servers | None = None) -> None:
        self._owner = owner
        self._environ = environ
        self._run_account = RunAccount()
        self._account = self._run_account.reserve()
        self._ports = Ports()
        self.servers = servers or Servers(environ.get("PATH", os.defpath))
        self._folder = RunFolder(owner)
        self._starts = Starts()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions: list[tuple[str, LocalSession]] = []
        self._pythons: dict[str, Path] = {}
        self._specs: dict[str, ServiceSpec] = {}
        self._handles: dict[str, Handle] = {}
        self._cpus: dict[str, Sequence[int]] = {}
        self._log_starts: dict[str, int] = {}

    @property
    def run_id(self) -> str:
        """The id of the run that this engine works for."""
        return self._owner.run_id

    @property
    def tls_folder(self) -> str:
        """Where a process finds the files of its certificate."""
        return str(self.folder / "tls")

    @property
    def folder(self) -> Path:
        """The folder that contains everything of the run."""
        return self._folder.path

    def machine(self) -> Machine:
        """Describe this machine."""
        return Machine(
            cores=len(os.sched_getaffinity(0)),
            memory_mib=psutil.virtual_memory().total // 1024**2,
            kernel=os.uname().release,
            engine_version="none: processes of this machine",
        )

    def describe(self, kinds: Sequence[str]) -> dict[str, str]:
        """Return the versions of wrk and of the servers of these kinds."""
        programs = {"postgres": "postgres", "redis": "redis-server"}
        needed = ["wrk", *(programs[kind] for kind in kinds if kind in programs)]
        return {name: self.servers.version(name) for name in needed}

    def sweep(self, job: str = "") -> list[str]:  # noqa: ARG002 (we can see which processes are dead)
        """Kill and remove what dead runs left behind."""
        return sweep_folders()

    def open(self, slots: Sequence[str]) -> None:  # noqa: ARG002 (all share the loopback network)
        """Create the run's folder."""
        self._folder.make(self._account)

    def tool_image(self) -> str | None:
        """Return None, as there are no images."""
        return None

    def has_image(self, name: str, kind: Kind) -> bool:  # noqa: ARG002
        """Return True, as nothing ever needs to be pulled."""
        return True

    def image(self, name: str, kind: Kind, platform: str = "") -> str:  # noqa: ARG002 (programs are this machine's)
        """Return the version of the program for this kind."""
        match kind:
            case "postgres":
                return self.servers.version("postgres")
            case "redis":
                return self.servers.version("redis-server")
            case _:
                raise StackError(
                    f"the local engine cannot run the image {name}",
                    cause="it runs only PostgreSQL, Redis and variants with `local:`",
                    advice="use --engine docker",
                )

    def build(self, spec: BuildSpec) -> str:
        """Make an environment with the variant's requirements and return its name; for `load`, those of wrk and k6."""
        if spec.kind == "load":
            programs = ["wrk", *(["k6"] if spec.target == "wrk-and-k6" else [])]
            return ", ".join(self.servers.version(name) for name in programs)
        if spec.local is None:
            raise StackError(
                f"{spec.name} cannot run without Docker",
                cause="its variant has no `local:` in the configuration",
                advice="add `local: {command: […], requirements: …}`, or use --engine docker",
            )
        cache = find_cache_folder(self._environ)
        environments = Environments(self.run_id, cache, self.folder, self._account, self._environ)
        with _translate_errors(f"could not read the sources of {spec.name}"):
            python = environments.make(spec.local)
        name = python.parent.parent.name
        self._pythons[name] = python
        return name

    def start(self, spec: ServiceSpec) -> Handle:
        """Start a service or a subject as a process; the load generator has one only during a session."""
        self._starts.require_open(spec.name)
        handle = self._register(spec)
        with _translate_errors(f"could not start {spec.name}"):
            if spec.kind == "postgres":
                env = {**self._inherit(), "HOME": str(self._folder.home), MARK: self.run_id}
                data, cache = self._locate_data(spec), find_cache_folder(self._environ)
                init_cluster(self.servers, data, spec, env, account=self._account, cache=cache)
            if spec.certificate is not None:
                self._write_certificate(spec.certificate)
            if spec.kind != "load":
                self.restart(handle)
        return handle

    def _write_certificate(self, certificate: Certificate) -> None:
        """Write the files of a certificate, whole or not at all, unless they are there: all processes share them."""
        folder = Path(self.tls_folder)
        if folder.is_dir():
            return
        new = Path(tempfile.mkdtemp(prefix="tls-", dir=self.folder))
        for name, text in certificate.files.items():
            (new / name).write_text(text, encoding="ascii")
        self._folder.give(new)
        with contextlib.suppress(OSError):  # another slot was faster
            new.rename(folder)

    def clone(self, origin: Handle, specs: Sequence[ServiceSpec]) -> list[Handle]:
        """Start services with a copy of the data of `origin`, which is stopped for it and started again."""
        self.stop(origin, _SAVING_S)
        handles = [self._register(spec) for spec in specs]
        with _translate_errors(f"could not copy the data of {origin.name}"):
            for spec in specs:
                copy_cluster(self._locate_data(self._specs[origin.id]), self._locate_data(spec))
            for handle in (origin, *handles):
                self.restart(handle)
        return handles

    def run_once(self, spec: ServiceSpec, timeout_s: float) -> None:
        """Run a command until it exits."""
        handle = self.start(spec)
        process = self._running[handle.id]
        try:
            status = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise StackError(f"{spec.name} did not finish within {timeout_s:g} s", log=self.logs(handle)) from None
        finally:
            self.stop(handle)
        if status:
            command = " ".join(spec.command)
            raise StackError(
                f"{spec.name} exited with status {status}", where=f"command: {command}", log=self.logs(handle)
            )

    def stop(self, handle: Handle, grace_s: int = 1) -> None:
        """Ask a process to exit, and kill it and its descendants after `grace_s` seconds."""
        process = self._running.pop(handle.id, None)
        if process is not None:
            stop(process, grace_s=grace_s)

    def restart(self, handle: Handle) -> None:
        """Start a process that is not running, on the port of its handle."""
        spec = self._specs[handle.id]
        self._starts.require_open(spec.name)
        with self._locate_log(handle).open("ab") as log:
            self._log_starts[handle.id] = log.tell()
            process = self._starts.start(
                self._make_argv(spec, handle),
                env=self._make_environment(spec, handle),
                folder=self._choose_folder(spec),
                account=self._choose_account(spec),
                open_files=spec.ulimits.get("nofile", OPEN_FILES),
                stdout=log.fileno(),
                cpus=self._cpus.get(handle.id, ()),
            )
        self._running[handle.id] = process
        self._folder.record(_make_key(spec), process.pid)

    def replace(self, handle: Handle, spec: ServiceSpec) -> Handle:
        """Start a process that is not running with other variables, on the port of its handle."""
        self._specs[handle.id] = spec
        self.restart(handle)
        return handle

    def describe_program(self, handle: Handle) -> Program:
        """Describe what a process runs."""
        spec = self._specs[handle.id]
        return Program(self._make_argv(spec, handle), self._make_environment(spec, handle).keys())

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """Move a process, its descendants, and our sessions next to it to these CPUs."""
        self._cpus[handle.id] = tuple(cpus)
        roots = [self._running[handle.id].pid] if handle.id in self._running else []
        roots += [session.pid for owner, session in self._sessions if owner == handle.id]
        move([member for root in roots for member in find_family(root)], cpus)

    def session(self, handle: Handle, argv: Sequence[str]) -> LocalSession:
        """Start a program, for a conversation."""
        process = self._starts.start(
            command := self._make_client_argv(argv),
            env=self._make_client_environment(),
            folder=Path("/"),
            account=self._choose_client_account(command),
            open_files=self._specs[handle.id].ulimits.get("nofile", OPEN_FILES),
            stdin=subprocess.PIPE,
            cpus=self._cpus.get(handle.id, ()),
        )
        self._folder.record(f"session-{process.pid}", process.pid)
        session = LocalSession(process, f"{argv[0]} for {handle.name}", partial(self._explain_exit, handle))
        self._sessions.append((handle.id, session))
        return session

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:  # noqa: ARG002 (no container to enter)
        """Run a short program, and return its status and output."""
        process = self._starts.start(
            command := self._make_client_argv(argv),
            env=self._make_client_environment(),
            folder=Path("/"),
            account=self._choose_client_account(command),
            open_files=OPEN_FILES,
        )
        output, _ = process.communicate()
        return process.returncode, output.decode(errors="replace")

    def exec_inside(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:
        """Run a program with the environment, in the folder and as the account of a service or a subject."""
        spec = self._specs[handle.id]
        try:
            process = self._starts.start(
                list(argv),
                env=self._make_environment(spec, handle),
                folder=self._choose_folder(spec),
                account=self._choose_account(spec),
                open_files=OPEN_FILES,
            )
        except OSError as error:
            return _NOT_THERE, f"{argv[0]}: {error.strerror}"
        output, _ = process.communicate()
        return _to_status(process.returncode), output.decode(errors="replace")

    def find_healthcheck(self, handle: Handle) -> Sequence[str] | None:  # noqa: ARG002 (there is no image)
        """Return None."""
        return None

    def read_output(self, handle: Handle) -> list[str]:
        """Return the lines that a process has printed since it was last started."""
        with (
            _translate_errors(f"could not read the output of {handle.name}"),
            self._locate_log(handle).open("rb") as log,
        ):
            log.seek(self._log_starts.get(handle.id, 0))
            return log.read().decode(errors="replace").splitlines()

    def ended(self) -> list[Exit]:
        """List the processes that should be running but have exited."""
        running = dict(self._running)  # other slots start and stop theirs at the same time
        codes = [(handle_id, process.poll()) for handle_id, process in running.items()]
        return [
            Exit(self._handles[handle_id], _to_status(code), False) for handle_id, code in codes if code is not None
        ]

    def logs(self, handle: Handle, lines: int = 15) -> list[str]:
        """Return the last lines of its output."""
        with contextlib.suppress(OSError):
            return self._locate_log(handle).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        return []

    def remove(self) -> list[str]:
        """Kill every process of the run and remove its folder. Raises StackError naming any process that is left."""
        self._starts.end()
        left = kill_all(self._find_processes, wait_s=5.0)
        for process in list(self._running.values()):  # a thread that was interrupted may still add one
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1.0)
        for _, session in self._sessions:
            session.close()
        self._running.clear()
        self._ports.release()
        self._run_account.release()
        self._folder.remove()
        if left:
            pids = " ".join(str(process.pid) for process in left)
            raise StackError(f"could not kill every process of this run: {pids}", advice=f"kill -9 {pids}")
        return []

    def _register(self, spec: ServiceSpec) -> Handle:
        """Reserve a port for a service, and remember what it is."""
        pidfile = self.folder / f"{_make_key(spec)}.pid"
        tls = spec.certificate is not None
        handle = Handle(f"pidfile:{pidfile}", spec.name, spec.kind, _HOST, self._ports.reserve(), _HOST, tls=tls)
        self._specs[handle.id], self._handles[handle.id] = spec, handle
        return handle

    def _explain_exit(self, handle: Handle) -> StackError | None:
        """Make the error for a service that exited under a session; None if it is still running or has no process."""
        process = self._running.get(handle.id)
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            end = Exit(handle, _to_status(process.wait(timeout=_DEATH_S)), out_of_memory=False)
            cause = "it exited on its own, or was killed from outside; its log may say why"
            return StackError(f"{handle.name} {end}", cause=cause, log=self.logs(handle))
        return None

    def _find_processes(self) -> list[psutil.Process]:
        families = [member for process in list(self._running.values()) for member in find_family(process.pid)]
        hidden = self._account.find_processes() if self._account is not None else []
        return [*families, *find_marked(self.run_id), *find_working_in(self.folder), *hidden]

    def _make_argv(self, spec: ServiceSpec, handle: Handle) -> list[str]:
        match spec.kind:
            case "postgres":
                return make_postgres_argv(self.servers, self._locate_data(spec), spec, handle.port)
            case "redis":
                local = ["--bind", _HOST, "--port", str(handle.port), "--dir", str(self._folder.home)]
                return [self.servers["redis-server"], *local, *make_redis_options(spec)]
            case _:
                command = spec.local.command if spec.local else spec.command
                words = [word.replace("{port}", str(handle.port)) for word in command]
                # `python`, `python3` and so on all mean the environment's own interpreter
                if Path(words[0]).name.startswith("python"):
                    words[0] = str(self._pythons[spec.image])
                return words

    def _make_environment(self, spec: ServiceSpec, handle: Handle) -> dict[str, str]:
        inherited = self._inherit()
        own = dict(spec.env)
        if spec.kind == "subject":
            own["PORT"] = str(handle.port)
            inherited["PATH"] = f"{self._pythons[spec.image].parent}:{inherited.get('PATH', os.defpath)}"
        home = str(self._folder.home)  # it is removed with everything in it, also if a process is killed
        return {**inherited, "HOME": home, "TMPDIR": home, "PYTHONDONTWRITEBYTECODE": "1", **own, MARK: self.run_id}

    def _make_client_environment(self) -> dict[str, str]:
        """Return what a client needs of our environment, with this Python and the servers' clients first in PATH."""
        folders = [Path(sys.executable).parent]
        folders += [Path(self.servers["psql"]).parent] if self.servers.has("psql") else []
        path = ":".join([*map(str, folders), self._environ.get("PATH", os.defpath)])
        return {**self._inherit(), "HOME": str(self._folder.home), "PATH": path, MARK: self.run_id}

    def _inherit(self) -> dict[str, str]:
        return {name: self._environ[name] for name in _INHERITED if name in self._environ}

    def _make_client_argv(self, argv: Sequence[str]) -> list[str]:
        """Find a client by its name in the containers; without redis-cli, our stand-in takes its place."""
        if "redis-cli" not in argv:
            return list(argv)
        client = [sys.executable, "-c", inspect.getsource(cache_client)]
        if self.servers.has("redis-cli"):
            client = [self.servers["redis-cli"]]
        at = list(argv).index("redis-cli")
        return [*argv[:at], *client, *argv[at + 1 :]]

    def _choose_client_account(self, argv: Sequence[str]) -> Account | None:
        """Choose the unprivileged account for a client too, as it reads what others have written, unless it may not."""
        program = shutil.which(argv[0], path=self._make_client_environment()["PATH"]) or argv[0]
        programs = {program, sys.executable} if sys.executable in argv else {program}
        if self._account is None or all(self._account.can_run(Path(name)) for name in programs):
            return self._account
        return None

    def _choose_account(self, spec: ServiceSpec) -> Account | None:
        """Choose the unprivileged account, unless it may not run this Python, on which every environment rests.

        What is in an environment has no say: what its requirements ran has written it.
        """
        if spec.kind != "subject" or self._account is None or self._account.can_run(Path(sys.executable)):
            return self._account
        return None

    def _choose_folder(self, spec: ServiceSpec) -> Path:
        """Choose a subject's sources, or a copy of them if the account that it runs as may not be able to read them."""
        if spec.kind != "subject" or spec.local is None:
            return self._folder.home
        if self._choose_account(spec) is None:
            return spec.local.folder
        # as long for base as for head, as a program keeps the paths of its files
        copy = self.folder / f"sources-{sha256(_make_key(spec).encode()).hexdigest()[:8]}"
        if not copy.exists():
            # links stay links: what they lead to may be nothing that the account may read
            unused = shutil.ignore_patterns(".git", "__pycache__")
            shutil.copytree(spec.local.folder, copy, symlinks=True, ignore=unused)
            self._folder.give(copy)
        return copy

    def _locate_data(self, spec: ServiceSpec) -> Path:
        return self.folder / f"{_make_key(spec)}-data"

    def _locate_log(self, handle: Handle) -> Path:
        return self.folder / f"{_make_key(self._specs[handle.id])}.log"


def _make_key(spec: ServiceSpec) -> str:
    """Make the name of a service's files, which is its own in every slot."""
    return "-".join(filter(None, (spec.slot, spec.name)))


@contextlib.contextmanager
def _translate_errors(problem: str) -> Iterator[None]:
    """Turn the machine's errors into StackErrors."""
    try:
        yield
    except OSError as error:
        raise StackError(problem, cause=str(error), advice=_find_advice(error)) from error


def _to_status(code: int) -> int:
    """Convert a return code to a shell's status: 128 + n for signal n."""
    return 128 - code if code < 0 else code


def _find_advice(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "it does not run as root: keep programs and sources where every account can read them"
    return "set TMPDIR to a folder with more space" if error.errno == errno.ENOSPC else ""
