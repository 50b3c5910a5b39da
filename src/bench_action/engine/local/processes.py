"""Processes of a run: each starts in its own session, and is killed together with its descendants."""

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock

import psutil

from bench_action.engine.local.accounts import Account, run_as
from bench_action.model.errors import StackError

MARK = "BENCH_ACTION_RUN"  # a variable in the environment of every process that a run starts
_ROUNDS = 3


class Starts:
    """Starts the processes of a run. After `end`, a list of those that run is a list of all to kill."""

    def __init__(self) -> None:
        self._one_at_a_time = Lock()
        self._ended = False

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path,
        account: Account | None,
        open_files: int,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        cpus: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a process that writes its errors where it writes its output. Raises StackError, also after `end`.

        `cpus`: which ones it may use; empty for all. Each process gets its own session, so that the kernel gives it as
        much of a CPU as any other, however many threads each has (sched(7), autogroup).
        """
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = open_files if hard == resource.RLIM_INFINITY else min(open_files, hard)
        # the shell sets the limit and becomes the program: a preexec_fn is not safe in a program with threads
        command = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(limit), *argv]
        try:
            with self._one_at_a_time, _restrict_thread(cpus):
                self.require_open(argv[0])
                return subprocess.Popen(  # noqa: S603
                    command,
                    env=dict(env),
                    cwd=folder,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    umask=0o077,
                    **run_as(account),
                )
        except OSError as error:
            raise StackError(f"could not start {argv[0]}", cause=str(error)) from error

    def require_open(self, what: str) -> None:
        """Raise StackError after `end`."""
        if self._ended:
            raise StackError(f"refused to start {what}: the run is being removed")

    def end(self) -> None:
        """Refuse to start any more."""
        with self._one_at_a_time:
            self._ended = True


@contextlib.contextmanager
def _restrict_thread(cpus: Sequence[int]) -> Iterator[None]:
    """Restrict this thread, and so any process that it starts, to these CPUs."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(processes: Sequence[psutil.Process], cpus: Sequence[int]) -> None:
    """Move every thread of some processes to these CPUs; new threads inherit them."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for thread in process.threads():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cpus)


def find_family(pid: int, started: float | None = None) -> list[psutil.Process]:
    """Find a process and its descendants; none if it has exited, or if `started` shows that the number was reused."""
    try:
        root = psutil.Process(pid)
        if started is not None and abs(root.create_time() - started) > 1:
            return []
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def find_marked(run_id: str) -> list[psutil.Process]:
    """Find processes whose environment names the run; one whose environment we may not read is not found."""
    return _find_processes(lambda process: process.environ().get(MARK) == run_id)


def find_working_in(folder: Path) -> list[psutil.Process]:
    """Find processes by working directory, as PostgreSQL's processes overwrite their environment."""
    return _find_processes(lambda process: Path(process.cwd()).is_relative_to(folder))


def _find_processes(matches: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and matches(process):
                processes.append(process)
    return processes


def kill_all(find: Callable[[], Sequence[psutil.Process]], wait_s: float) -> Sequence[psutil.Process]:
    """Kill what `find` returns, then what that started in the meantime; return those still running after `wait_s`."""
    left: Sequence[psutil.Process] = []
    for _ in range(_ROUNDS):
        processes = find()
        if not processes:
            return []
        left = kill(processes, wait_s)
    return left


def kill(processes: Sequence[psutil.Process], wait_s: float) -> list[psutil.Process]:
    """Kill processes, and return those still running after `wait_s` seconds.

    PostgreSQL gets SIGQUIT first (its "immediate shutdown"), as it would leave shared memory behind if killed.
    """
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGQUIT if process.name() == "postgres" else signal.SIGKILL)
    _, alive = psutil.wait_procs(list(processes), timeout=wait_s / 2)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return list(psutil.wait_procs(alive, timeout=wait_s / 2)[1])


def stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ask a process to exit, then kill it and its descendants after `grace_s` seconds."""
    family = find_family(process.pid)
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    kill([*family, *find_family(process.pid)], wait_s=5.0)
    process.wait()
