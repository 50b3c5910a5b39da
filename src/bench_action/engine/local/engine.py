"""The local engine: PostgreSQL, Redis and the variants as processes of this machine, in a folder of the run's own."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import psutil

from bench_action.engine.commands import redis_command
from bench_action.engine.local.cache import cache_folder
from bench_action.engine.local.cluster import init_cluster, postgres_argv
from bench_action.engine.local.environments import make_environment
from bench_action.engine.local.folder import RunFolder, sweep_folders
from bench_action.engine.local.ports import Ports
from bench_action.engine.local.processes import (
    MARK,
    Account,
    end_all,
    family,
    marked,
    move,
    spawn,
    start,
    stop,
    working_in,
)
from bench_action.engine.local.servers import Servers
from bench_action.engine.local.session import LocalSession
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec, Exit, Handle, Kind, ServiceSpec
from bench_action.model.errors import StackError
from bench_action.model.machine import Machine

_HOST = "127.0.0.1"
_OPEN_FILES = 16384
_DEATH_S = 2.0  # what a process has open is closed a little before it can be waited for
# what of our environment a process gets; a variant sees nothing else of it, as in a container
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")


class LocalEngine:
    """Everything that it starts carries the run's mark in its environment; everything lies in the run's folder."""

    name = "local"

    def __init__(self, owner: Ownership, environ: Mapping[str, str], servers: Servers | None = None) -> None:
        self._owner = owner
        self._environ = environ
        self._account = Account.unprivileged()
        self._ports = Ports()
        self.servers = servers or Servers(environ.get("PATH", os.defpath))
        self._folder = RunFolder(owner)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions: list[tuple[str, LocalSession]] = []
        self._pythons: dict[str, Path] = {}
        self._specs: dict[str, ServiceSpec] = {}
        self._handles: dict[str, Handle] = {}
        self._cpus: dict[str, Sequence[int]] = {}

    @property
    def run_id(self) -> str:
        """Of the run that this engine serves."""
        return self._owner.run_id

    @property
    def folder(self) -> Path:
        """Where everything of the run lies."""
        return self._folder.path

    def machine(self) -> Machine:
        """This machine."""
        return Machine(
            cores=len(os.sched_getaffinity(0)),
            memory_mib=psutil.virtual_memory().total // 1024**2,
            kernel=os.uname().release,
            engine_version="none: processes of this machine",
        )

    def describe(self, kinds: Sequence[str]) -> dict[str, str]:
        """wrk, and the servers of these kinds."""
        programs = {"postgres": "postgres", "redis": "redis-server"}
        needed = ["wrk", *(programs[kind] for kind in kinds if kind in programs)]
        return {name: self.servers.version(name) for name in needed}

    def sweep(self, job: str = "") -> list[str]:  # noqa: ARG002 (processes of this machine tell when they are gone)
        """End and remove what runs that are gone have left."""
        return sweep_folders()

    def open(self) -> None:
        """Make the run's folder."""
        self._folder.make(self._account)

    def tool_image(self) -> str | None:
        """There are no images."""
        return None

    def has_image(self, name: str) -> bool:
        """Programs are here, or are missing: there is nothing to wait for."""
        del name
        return True

    def image(self, name: str, kind: Kind) -> str:
        """The version of the program that serves this kind."""
        match kind:
            case "postgres":
                return self.servers.version("postgres")
            case "redis":
                return self.servers.version("redis-server")
            case _:
                raise StackError(
                    f"the local engine cannot run the image {name}",
                    cause="it runs PostgreSQL, Redis and variants that have `local:`",
                    advice="use --engine docker",
                )

    def build(self, spec: BuildSpec) -> str:
        """An environment with the variant's requirements, and its name; for `load`, the version of wrk."""
        if spec.kind == "load":
            return self.servers.version("wrk")
        if spec.local is None:
            raise StackError(
                f"{spec.name} cannot be run without Docker",
                cause="its variant has no `local:` in the configuration",
                advice="add `local: {command: […], requirements: …}`, or use --engine docker",
            )
        python = make_environment(spec.local.requirements, cache_folder(self._environ), self._environ)
        name = python.parent.parent.name
        self._pythons[name] = python
        return name

    def start(self, spec: ServiceSpec) -> Handle:
        """Start a service or a subject as a process; the load generator is one only while it is talked to."""
        pidfile = self.folder / f"{spec.name}.pid"
        handle = Handle(f"pidfile:{pidfile}", spec.name, spec.kind, _HOST, self._ports.reserve())
        self._specs[handle.id], self._handles[handle.id] = spec, handle
        try:
            if spec.kind == "postgres":
                environment, cache = self._environment(spec, handle), cache_folder(self._environ)
                init_cluster(self.servers, self._data(spec), spec, environment, account=self._account, cache=cache)
            if spec.kind != "load":
                self.restart(handle)
        except OSError as error:
            raise StackError(f"{spec.name} cannot be started", cause=str(error), advice=_advice(error)) from error
        return handle

    def run_once(self, spec: ServiceSpec, timeout_s: float) -> None:
        """Run a command to its end."""
        handle = self.start(spec)
        process = self._running[handle.id]
        try:
            status = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise StackError(f"{spec.name} did not end within {timeout_s:g} s", log=self.logs(handle)) from None
        finally:
            self.stop(handle)
        if status:
            command = " ".join(spec.command)
            raise StackError(f"{spec.name} ended with status {status}", where=command, log=self.logs(handle))

    def stop(self, handle: Handle, grace_s: int = 1) -> None:
        """Ask a process to end, and end it and all that came of it after `grace_s` seconds."""
        process = self._running.pop(handle.id, None)
        if process is not None:
            stop(process, grace_s=grace_s)

    def restart(self, handle: Handle) -> None:
        """Start (again) what was stopped, on the same port."""
        spec = self._specs[handle.id]
        process = spawn(
            self._argv(spec, handle),
            env=self._environment(spec, handle),
            folder=self._cwd(spec),
            log=self._log(handle),
            account=self._account_of(spec),
            open_files=spec.ulimits.get("nofile", _OPEN_FILES),
            cpus=self._cpus.get(handle.id, ()),
        )
        self._running[handle.id] = process
        self._folder.note(handle.name, process.pid)

    def pin(self, handle: Handle, cpus: Sequence[int]) -> None:
        """Move a process and all that came of it, and our sessions beside it, to these CPUs."""
        self._cpus[handle.id] = tuple(cpus)
        roots = [self._running[handle.id].pid] if handle.id in self._running else []
        roots += [session.pid for owner, session in self._sessions if owner == handle.id]
        move([member for root in roots for member in family(root)], cpus)

    def session(self, handle: Handle, argv: Sequence[str]) -> LocalSession:
        """Start a program and talk to it."""
        process = start(
            self._client(argv),
            env=self._client_environment(),
            folder=Path("/"),
            account=None,
            open_files=self._specs[handle.id].ulimits.get("nofile", _OPEN_FILES),
            stdin=subprocess.PIPE,
            cpus=self._cpus.get(handle.id, ()),
        )
        self._folder.note(f"session-{process.pid}", process.pid)
        session = LocalSession(process, f"{argv[0]} for {handle.name}", partial(self._death, handle))
        self._sessions.append((handle.id, session))
        return session

    def exec(self, handle: Handle, argv: Sequence[str]) -> tuple[int, str]:  # noqa: ARG002 (no place to enter)
        """Run a short program: its status and output."""
        process = start(
            self._client(argv), env=self._client_environment(), folder=Path("/"), account=None, open_files=_OPEN_FILES
        )
        output, _ = process.communicate()
        return process.returncode, output.decode(errors="replace")

    def ended(self) -> list[Exit]:
        """Processes that should run and do not."""
        gone = [(key, process.poll()) for key, process in self._running.items()]
        return [Exit(self._handles[key], _status(code), False) for key, code in gone if code is not None]

    def logs(self, handle: Handle, lines: int = 15) -> list[str]:
        """Last lines of its output."""
        with contextlib.suppress(OSError):
            return self._log(handle).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        return []

    def remove(self) -> None:
        """End everything and remove the run's folder."""
        left = end_all(self._processes, wait_s=5.0)
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1.0)
        for _, session in self._sessions:
            session.close()
        self._running.clear()
        self._ports.release()
        self._folder.remove()
        if left:
            pids = " ".join(str(process.pid) for process in left)
            raise StackError(f"not every process of this run could be ended: {pids}", advice=f"kill -9 {pids}")

    def _death(self, handle: Handle) -> StackError | None:
        """How a service ended that a session has lost; None where it still runs, or is no process."""
        process = self._running.get(handle.id)
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            end = Exit(handle, _status(process.wait(timeout=_DEATH_S)), out_of_memory=False)
            cause = "it ended by itself, or was killed from outside; its log may tell why"
            return StackError(f"{handle.name} {end}", cause=cause, log=self.logs(handle))
        return None

    def _processes(self) -> list[psutil.Process]:
        members = [member for process in self._running.values() for member in family(process.pid)]
        return [*members, *marked(self.run_id), *working_in(self.folder)]

    def _argv(self, spec: ServiceSpec, handle: Handle) -> list[str]:
        match spec.kind:
            case "postgres":
                return postgres_argv(self.servers, self._data(spec), spec, handle.port)
            case "redis":
                program, *rest = redis_command(spec)
                return [
                    self.servers[program],
                    "--bind",
                    _HOST,
                    "--port",
                    str(handle.port),
                    "--dir",
                    str(self.folder),
                    *rest,
                ]
            case _:
                command = spec.local.command if spec.local else spec.command
                words = [word.replace("{port}", str(handle.port)) for word in command]
                # the environment's Python, whatever the command calls it
                python = Path(words[0]).name.startswith("python")
                return [str(self._pythons[spec.image]), *words[1:]] if python else words

    def _environment(self, spec: ServiceSpec, handle: Handle) -> dict[str, str]:
        kept = {name: self._environ[name] for name in _KEPT if name in self._environ}
        own = dict(spec.env) | ({"PORT": str(handle.port)} if spec.kind == "subject" else {})
        if spec.kind == "subject":
            kept["PATH"] = f"{self._pythons[spec.image].parent}:{kept.get('PATH', os.defpath)}"
        return {**kept, "HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **own, MARK: self.run_id}

    def _client_environment(self) -> dict[str, str]:
        """Ours, with this Python and the servers' own clients first in PATH."""
        folders = [Path(sys.executable).parent]
        folders += [Path(self.servers["psql"]).parent] if self.servers.has("psql") else []
        path = ":".join([*map(str, folders), self._environ.get("PATH", os.defpath)])
        return {**self._environ, "PATH": path, MARK: self.run_id}

    def _client(self, argv: Sequence[str]) -> list[str]:
        """Clients by their names in the containers; for redis-cli our stand-in, where there is none."""
        program, *rest = argv
        if program != "redis-cli":
            return [program, *rest]
        if self.servers.has("redis-cli"):
            return [self.servers["redis-cli"], *rest]
        return [sys.executable, "-m", "bench_action.engine.local.cache_client", *rest]

    def _account_of(self, spec: ServiceSpec) -> Account | None:
        """Subjects give root's rights up where their Python lies where others may run it."""
        if spec.kind != "subject" or self._account is None or self._account.can_run(self._pythons[spec.image]):
            return self._account
        return None

    def _cwd(self, spec: ServiceSpec) -> Path:
        """A subject runs in its sources; a copy, where they may be hidden from who it runs as."""
        if spec.kind != "subject" or spec.local is None:
            return self.folder
        if self._account_of(spec) is None:
            return spec.local.folder
        copy = self.folder / f"{spec.name}-sources"
        if not copy.exists():
            shutil.copytree(spec.local.folder, copy, ignore=shutil.ignore_patterns(".git", "__pycache__"))
            self._folder.give(copy)
        return copy

    def _data(self, spec: ServiceSpec) -> Path:
        return self.folder / f"{spec.name}-data"

    def _log(self, handle: Handle) -> Path:
        return self.folder / f"{handle.name}.log"


def _status(code: int) -> int:
    """As a shell tells it: 128 + n for signal n."""
    return 128 - code if code < 0 else code


def _advice(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "root's rights are given up for it: keep programs and sources where every account may read them"
    return "TMPDIR names another place, where this one is full" if error.errno == errno.ENOSPC else ""
