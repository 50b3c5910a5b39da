"""Processes of a run: started in a session of their own, ended with everything that came of them."""

import contextlib
import os
import pwd
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench_action.model.errors import StackError

MARK = "BENCH_ACTION_RUN"  # in the environment of everything that a run starts
_ROUNDS = 3
_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """Who a process runs as. PostgreSQL refuses to be root."""

    uid: int
    gid: int

    @classmethod
    def unprivileged(cls) -> "Account | None":
        """The account to give root's rights up for; None where we are not root."""
        if os.geteuid() != 0:
            return None
        for name in _UNPRIVILEGED:
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid)
        return cls(65534, 65534)

    def can_run(self, program: Path) -> bool:
        """Whether this account may run a program (an interpreter in root's home it may not)."""
        tried = subprocess.run(  # noqa: S603
            ["test", "-x", str(program.resolve())],  # noqa: S607
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            check=False,
        )
        return tried.returncode == 0


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    account: Account | None,
    open_files: int,
    cpus: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output in `log`. Raises StackError where it cannot be started."""
    with log.open("ab") as output:
        return start(
            argv, env=env, folder=folder, account=account, open_files=open_files, stdout=output.fileno(), cpus=cpus
        )


def start(
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
    """As `spawn`, with its input and output where the caller wants them; errors go where output goes.

    `cpus`: which it may use, none for all. It is in a session of its own, so that the kernel gives it as much of a CPU
    as any other, however many threads each has (sched(7), autogroup).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = open_files if hard == resource.RLIM_INFINITY else min(open_files, hard)
    # the shell sets the limit and becomes the program: a preexec_fn is not safe where there are threads
    command = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(limit), *argv]
    try:
        with _on(cpus):
            return subprocess.Popen(  # noqa: S603
                command,
                env=dict(env),
                cwd=folder,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
            )
    except OSError as error:
        raise StackError(f"{argv[0]} cannot be started", cause=str(error)) from error


@contextlib.contextmanager
def _on(cpus: Sequence[int]) -> Iterator[None]:
    """This thread, and so what it starts, on some CPUs only."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(processes: Sequence[psutil.Process], cpus: Sequence[int]) -> None:
    """Every thread of some processes to these CPUs; threads to come inherit that."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for thread in process.threads():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cpus)


def family(pid: int, started: float | None = None) -> list[psutil.Process]:
    """A process and all that came of it; none where it is gone, or `started` says that it is another by now."""
    try:
        root = psutil.Process(pid)
        if started is not None and abs(root.create_time() - started) > 1:
            return []
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def marked(run_id: str) -> list[psutil.Process]:
    """Processes whose environment names the run, as far as we may read it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == run_id:
                found.append(process)
    return found


def working_in(folder: Path) -> list[psutil.Process]:
    """Processes whose working directory is in a folder: PostgreSQL's own write over their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def end_all(find: Callable[[], Sequence[psutil.Process]], wait_s: float) -> Sequence[psutil.Process]:
    """End what is found, and what it started meanwhile; those that are still there after `wait_s` each time."""
    left: Sequence[psutil.Process] = []
    for _ in range(_ROUNDS):
        found = find()
        if not found:
            return []
        left = kill(found, wait_s)
    return left


def kill(processes: Sequence[psutil.Process], wait_s: float) -> list[psutil.Process]:
    """End them at once; those that are still there after `wait_s`.

    PostgreSQL is asked by SIGQUIT first (its "immediate shutdown"): killed, it would leave shared memory behind.
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
    """Ask a process to end, then end it and all that came of it."""
    members = family(process.pid)
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    kill([*members, *family(process.pid)], wait_s=5.0)
    process.wait()
