"""Apply the steps of a seed, in their order, to the services of a stack."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench_action.config.load import Project, find_seed_service
from bench_action.config.schema import SeedStep
from bench_action.config.seed_files import SeedFile, SeedFileError, find_format, open_seed
from bench_action.engine.protocol import Engine
from bench_action.model.errors import InputError, StackError
from bench_action.model.wording import percent
from bench_action.stack.postgres import Postgres, quote_text
from bench_action.stack.seeding.mysql import Account, run_dump
from bench_action.stack.seeding.psql import APPLICATION, SeedDatabase, restore_archive, restore_folder, run_script
from bench_action.stack.seeding.redis import RedisSeed
from bench_action.stack.server import QueryError

_REPORT_S = 5.0
_PROBE_S = 10.0
_HANG_S = 60.0
_LONGEST_S = {True: 3600.0, False: 600.0}  # without any movement: of PostgreSQL it is known that it works
_LOST = "nothing was measured: what a seed did before it failed is thrown away"
_ACTIVITY = f"""
SELECT CASE
  WHEN cardinality(pg_blocking_pids(pid)) > 0 THEN 'it waits for a lock that another session holds'
  WHEN state <> 'active' OR wait_event_type = 'Client' THEN 'the server waits for its client'
  ELSE '' END
FROM pg_stat_activity WHERE application_name = '{APPLICATION}' AND datname = """

Target = SeedDatabase | RedisSeed | Account


@dataclass(frozen=True, slots=True)
class Seeder:
    """Fills the services of one stack. `targets`: service → where its files go.

    `run` runs a command in the subject's image, with its environment. `say` shows one line to the user.
    """

    engine: Engine
    project: Project
    targets: Mapping[str, Target]
    run: Callable[[Sequence[str]], None]
    say: Callable[[str], None]

    def leave_out_last_files(self) -> "Seeder":
        """Leave out the files after the last command: nothing needs them but what reads the databases."""
        steps = sorted(self.project.config.seed, key=lambda step: step.after == "ready")  # the order in which they run
        count = max((number for number, step in enumerate(steps, 1) if step.run), default=0)
        config = self.project.config.model_copy(update={"seed": steps[:count]})
        return replace(self, project=replace(self.project, config=config))

    def seed(self, after: Literal["setup", "ready"]) -> bool:
        """Apply the steps for this moment; return whether there were any.

        Raises InputError for a file that is wrong, and StackError for a command or a service that fails.
        """
        steps = [step for step in self.project.config.seed if step.after == after]
        for step in steps:
            if step.run:
                self.run(step.run)
            else:
                with _name_step(step):
                    self._apply_file(step, self.project.folder / step.title)
        return bool(steps)

    def _apply_file(self, step: SeedStep, path: Path) -> None:
        target = self.targets[find_seed_service(self.project, step)]
        kind = find_format(path, {SeedDatabase: "postgres", RedisSeed: "redis", Account: "mysql"}[type(target)])
        if kind == "pg_dump folder" and isinstance(target, SeedDatabase):
            monitor = Monitor(step.title, self.say, target)
            self._say_skipped(step, restore_folder(self.engine, target, path, monitor))
            return
        with open_seed(path) as file:
            monitor = Monitor(step.title, self.say, target, file)
            match target:
                case SeedDatabase() if kind == "pg_dump archive":
                    self._say_skipped(step, restore_archive(self.engine, target, file.read_bytes, monitor))
                case SeedDatabase():
                    self._say_skipped(step, run_script(self.engine, target, file.read_text(), monitor))
                case RedisSeed():
                    target.apply(monitor, target.add(kind, file, monitor))
                case Account():
                    self._say_skipped(step, run_dump(self.engine, target, file.read_text(any_bytes=True), monitor))

    def _say_skipped(self, step: SeedStep, skipped: str) -> None:
        if skipped:
            self.say(f"{step.title}: {skipped}")


@contextmanager
def _name_step(step: SeedStep) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        where = ", ".join(filter(None, (f"seed: {step.title}", error.where)))
        raise InputError(
            f"the seed failed: {error.what}", where=where, cause=_LOST, advice=error.advice, log=error.log
        ) from error
    except SeedFileError as error:
        raise InputError(
            f"the seed failed: {error.why}", where=f"seed: {step.title}", cause=_LOST, advice=error.advice
        ) from error


class Monitor:
    """Shows the progress of one file every few seconds, and ends it if it hangs."""

    def __init__(self, title: str, say: Callable[[str], None], target: Target, file: SeedFile | None = None) -> None:
        self._title, self._say, self._target, self._file = title, say, target, file
        now = time.monotonic()
        self._started = self._moved = self._working = self._probed = now
        self._connected = False
        self._report_at = now + _REPORT_S

    def move(self) -> None:
        """Notice that a part of the file was taken."""
        self._moved = self._working = time.monotonic()
        self._report()

    def wait(self) -> None:
        """Notice that nothing moves. Raises StackError if the service does not work on it either."""
        self._report()
        now = time.monotonic()
        longest_s = _LONGEST_S[isinstance(self._target, SeedDatabase)]
        if now - self._moved > longest_s:
            raise self._make_error(f"nothing has moved for {longest_s / 60:g} minutes")
        if now - max(self._moved, self._probed) < _PROBE_S:
            return
        self._probed = now
        problem = self._find_hang()
        if not problem:
            self._working = now
        elif now - self._working > _HANG_S:
            raise self._make_error(problem)

    def _find_hang(self) -> str:
        """Find out why nothing moves; empty if the server works. Of others than PostgreSQL it cannot be found out.

        A program that has not connected yet is still starting: if it cannot connect, it ends.
        """
        if not isinstance(self._target, SeedDatabase):
            return ""
        rows = self._target.server.execute(f"{_ACTIVITY}{quote_text(self._target.name)}")
        if rows:
            self._connected = True
            return rows[0]
        return "its connection to the server is gone" if self._connected else ""

    def _make_error(self, cause: str) -> StackError:
        return StackError("the seed hangs", where=f"seed: {self._title}{self._describe_position()}", cause=cause)

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._report_at:
            elapsed_s = now - self._started
            self._report_at = now + max(_REPORT_S, elapsed_s / 10)
            self._say(f"seeding {self._title}{self._describe_position()}, {elapsed_s:.0f} s")

    def _describe_position(self) -> str:
        if self._file is None or not self._file.size:
            return ""
        position = self._file.position
        size = f"{position / 1e6:,.0f} MB" if position >= 1e6 else f"{position / 1e3:,.0f} kB"
        return f": {percent(round(position / self._file.size, 2), exact=True)} ({size})"


def create_extensions(server: Postgres, extensions: Sequence[str]) -> None:
    """Create extensions in the application's database, with those that they need.

    Raises InputError for one that is not available.
    """
    login = server.login
    for name in extensions:
        try:
            server.execute_as(login.user, login.database, f'CREATE EXTENSION IF NOT EXISTS "{name}" CASCADE')
        except QueryError as error:
            raise InputError(
                f"could not create the extension {name}",
                where=f"extensions: {name}",
                cause=error.what,
                advice=f"use an image for PostgreSQL that contains {name}; `postgis` is in `postgis/postgis`",
            ) from error
