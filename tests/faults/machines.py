"""The machine runs out of disk, memory or processes, or somebody sets its clock."""

import itertools
import os
import shlex
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Finished, tiny
from tests.faults.case import Case, Group, Problem, judge_ending
from tests.faults.engines import sweep
from tests.faults.moments import wait_for
from tests.faults.runs import DONE, find_lost, judge_left, judge_run, open_bench
from tests.git import git

_PAIRS = ("--self-test", "--preset", "ci", "--max-minutes", "0.2")
_GROUPS = Path("/sys/fs/cgroup")
_PROCESSES = (20, 24, 28, 32, 40, 50, 60, 80)
_MEMORY_MIB = (60, 90, 120, 160, 200, 300)
_HOUR, _DAY, _YEAR = 3600, 86_400, 365 * 86_400
_SHIFTS = (5, -5, 2 * _HOUR, -2 * _HOUR, 2 * _DAY, -2 * _DAY, 10 * _YEAR, -30 * _YEAR)  # seconds
_MOMENTS = ("", "count", "capacity", "duet")  # empty: before the run begins
_CLOCKS = [*itertools.product(_SHIFTS, _MOMENTS)]
# what a stranger's application does under load; bounded, as an engine may not limit it
_HOG = """
import http.server, os, threading, time
kept, kind, most = [], os.environ["HOG"], threading.Lock()
def hog():
    for n in range(6000):
        if kind == "memory":
            kept.append(bytearray(1 << 20))
        elif kind == "processes":
            if os.fork() == 0:
                time.sleep(600)
        elif kind == "files":
            kept.append(open("/dev/null"))
        elif kind == "log":
            print("x" * (1 << 16), flush=True)
        else:
            open(f"/dev/shm/{n}", "wb").write(bytes(1 << 20))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path != "/health" and most.acquire(blocking=False):
            threading.Thread(target=hog, daemon=True).start()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
_HOGS = ("memory", "processes", "files", "log", "shared memory")


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that is full. `sizes`: folder → its size; folders are the run's, or begin with `/`."""

    name: str
    engine: str
    sizes: Mapping[str, str]
    fills_later: bool = False


_DISKS = (
    *(Disk(f"output of {size}", "local", {"results": size}) for size in ("4k", "16k", "64k", "256k", "1m")),
    *(Disk(f"output of {size}", "docker", {"results": size}) for size in ("16k", "256k")),
    Disk("output", "local", {"results": "8m"}, fills_later=True),
    Disk("output", "docker", {"results": "8m"}, fills_later=True),
    *(Disk(f"TMPDIR of {size}", "local", {"temporary": size}) for size in ("4k", "64k")),
    *(Disk(f"TMPDIR of {size}", "docker", {"temporary": size}) for size in ("4k", "64k")),
    *(Disk(f"memory of {size}", "local", {"/dev/shm": "1m", "temporary": size}) for size in ("4k", "1m", "30m", "60m")),  # noqa: S108
    Disk("cache", "local", {"cache": "4k"}),
    Disk("cache", "docker", {"cache": "4k"}),
)


def examine_disk(case: Case) -> Iterator[Problem]:
    """Run with a full disk somewhere: head and base of a repository, with data in PostgreSQL."""
    disk = _DISKS[case.number % len(_DISKS)]
    with open_bench(case, disk.engine) as bench, _mount(case.folder, disk):
        config = bench.tool.config({"tiny": tiny()}, services=["postgres"])
        _commit(case.folder)
        hidden = {path: size for path, size in disk.sizes.items() if path.startswith("/")}
        command = bench.with_wrapper(*_hide(hidden)) if hidden else bench
        options = ["--baseline", "HEAD", "--preset", "ci", "--max-minutes", "0.2"]
        running = command.start(config, *options, XDG_CACHE_HOME=str(case.folder / "cache"))
        if disk.fills_later and wait_for(running, "capacity"):
            _fill(case.folder / "results")
        finished = running.finish()
        yield from judge_ending(finished.status, finished.stderr, DONE | {2})
        yield from _find_lost(finished)
        yield from judge_left(bench)


def _find_lost(finished: Finished) -> Iterator[Problem]:
    """If the output has no result, it must have been printed; else all trials must be in it."""
    if finished.status != 2:
        yield from find_lost(finished)
    elif finished.trials and "requests/s" not in finished.stdout + finished.stderr:
        yield Problem("lost", f"no result anywhere\n{finished.stderr[-1500:]}", len(finished.trials))


def _commit(folder: Path) -> None:
    (folder / ".gitignore").write_text("*\n!bench.yml\n!tiny-app\n!tiny-app/*\n", encoding="ascii")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")


@contextmanager
def _mount(folder: Path, disk: Disk) -> Iterator[None]:
    """Mount the run's folders that are full, each with its size."""
    mounted = [folder / name for name in disk.sizes if not name.startswith("/")]
    try:
        for place in mounted:
            place.mkdir(exist_ok=True)
            size = disk.sizes[place.name]
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
        yield
    finally:
        for place in mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


def _hide(sizes: Mapping[str, str]) -> Sequence[str]:
    """Return a command that runs another one where these folders are its own, and of these sizes."""
    mounts = [f"mount -t tmpfs -o size={size},mode=1777 tmpfs {shlex.quote(path)}" for path, size in sizes.items()]
    script = " && ".join([*mounts, 'exec "$@"'])
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")


def _fill(folder: Path) -> None:
    """Write until nothing fits any more."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def examine_clock(case: Case) -> Iterator[Problem]:
    """Set the clock of the tool and of wrk. Its own memory and temporary files hide the runs of others from it."""
    shift, moment = _CLOCKS[case.number % len(_CLOCKS)]
    clock, library = case.folder / "clock", case.folder / "clock.so"
    clock.write_text("0" if moment else f"{shift}", encoding="ascii")
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    with open_bench(case, "local") as bench:
        environ = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(clock)}
        hidden = bench.with_wrapper(*_hide({"/dev/shm": "2g"}))  # noqa: S108
        running = hidden.start(bench.tool.config({"tiny": tiny()}, services=["redis"]), *_PAIRS, **environ)
        if moment and wait_for(running, moment):
            clock.write_text(f"{shift}", encoding="ascii")
        finished = running.finish()
        yield from judge_run(bench, finished, {0, 5})
        yield from (Problem("wrong", text) for text in _find_impossible(finished))


def _find_impossible(finished: Finished) -> Iterator[str]:
    """Find durations that no run of seconds has."""
    if (finished.output / "result.json").is_file():
        result = finished.result
        durations = [result.run.duration_s, *result.timings.values()]
        durations += [trial.wall_s for trial in result.trials if trial.valid]
        yield from (f"a duration of {value} s" for value in durations if not 0 <= value < 600)


def examine_limit(case: Case) -> Iterator[Problem]:
    """Run in a control group with too few processes, or too little memory."""
    limits: list[tuple[str, Any]] = [*(("pids", n) for n in _PROCESSES), *(("memory", n << 20) for n in _MEMORY_MIB)]
    controller, limit = limits[case.number % len(limits)]
    with open_bench(case, "local") as bench, _open_group(controller, limit) as group:
        script = f'echo $$ >{group}/cgroup.procs && exec "$@"'
        limited = bench.with_wrapper("sh", "-c", script, "sh")
        config = bench.tool.config({"tiny": tiny()}, services=["postgres", "redis"])
        finished = limited.start(config, *_PAIRS).finish()
        # the kernel may choose the tool itself, whose files the next run then removes
        killed = controller == "memory" and finished.status in {-9, 137}
        yield from judge_ending(finished.status, finished.stderr, {finished.status} if killed else DONE)
        yield from find_lost(finished)
        if killed:
            yield from sweep(bench)
        yield from judge_left(bench)


@contextmanager
def _open_group(controller: str, limit: int) -> Iterator[Path]:
    """Make a control group with a limit, of either version."""
    top = _GROUPS / controller if (_GROUPS / controller).is_dir() else _GROUPS
    group = top / f"faults-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    try:
        old = controller == "memory" and top != _GROUPS
        file = "memory.limit_in_bytes" if old else f"{controller}.max"
        (group / file).write_text(str(limit), encoding="ascii")
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text(encoding="ascii").split():
            with suppress(OSError):
                os.kill(int(pid), 9)
        with suppress(OSError):
            group.rmdir()


def examine_hog(case: Case) -> Iterator[Problem]:
    """Measure an application that takes what it can get as soon as it is loaded."""
    hog = _HOGS[case.number % len(_HOGS)]
    variant = {
        "image": "python:3.13-slim",
        "command": ["python", "-u", "-c", _HOG],
        "env": {"HOG": hog},
        "ready": {"path": "/health"},
    }
    with open_bench(case, "docker") as bench:
        config = bench.tool.config({"hog": variant, "tiny": tiny()})
        finished = bench.start(config, "--preset", "quick").finish()
        yield from judge_run(bench, finished, DONE)


GROUPS = (
    Group("disk", "full disks", len(_DISKS), examine_disk, workers=2),
    Group("clock", "the clock is set", len(_CLOCKS), examine_clock, workers=3),
    Group("limit", "too few processes, too little memory", 14, examine_limit, workers=2),
    Group("hog", "applications that take all they can get", len(_HOGS), examine_hog, workers=1),
)
