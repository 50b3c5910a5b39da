"""The command as a user runs it, in its own folder, with configurations made for one test."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docker.footprint import Footprint
from tests.e2e.browser import Page, chromium
from tests.e2e.presets import shorten_presets
from tests.e2e.sites import DockerSite, LocalSite

from bench_action.model.result import Result, Trial

TINY_APP = Path(__file__).parents[1] / "docker" / "app"
BUILTIN_APPS = Path(__file__).parents[2] / "apps"
COMMAND = (sys.executable, "-m", "bench_action")
WAIT_S = 600.0
PORTS = (8000, 5432, 6379)
_TINY = "tiny-app"
_UNWANTED = shutil.ignore_patterns("__pycache__")
SHORT = {"path": "/", "connections": 8, "threads": 2, "duration": "1s", "timeout": "1s", "warmup": "1s"}


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it wrote."""

    status: int
    stdout: str
    stderr: str
    output: Path

    @property
    def trials(self) -> list[Trial]:
        """What is in `trials.jsonl`, none where there is no such file."""
        return trials_in(self.output)

    @property
    def result(self) -> Result:
        return Result.model_validate_json((self.output / "result.json").read_text(encoding="utf-8"))

    @property
    def report(self) -> str:
        return (self.output / "report.md").read_text(encoding="utf-8")

    def assert_failed(self, status: int, *parts: str) -> None:
        """The exit status, and every part of its message."""
        assert self.status == status, self.stderr
        message = self.stderr[self.stderr.index("error: ") :]
        for part in parts:
            assert part in message, f"{part!r} is not in:\n{message}"


@dataclass(frozen=True)
class Running:
    """A command under way. Standard error goes to a file, so that it can be read meanwhile."""

    process: "subprocess.Popen[str]"
    log: Path
    output: Path

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once the condition holds; fail when the command ends before, or it does not hold in time."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert self.process.poll() is None, f"it ended before {what}:\n{self._stderr()}"
            assert time.monotonic() < deadline, f"no {what} within {WAIT_S:g} s:\n{self._stderr()}"
            time.sleep(0.02)

    def wait_for_text(self, text: str) -> None:
        self.wait_until(lambda: text in self._stderr(), f"{text!r} on standard error")

    def wait_for_trials(self, count: int) -> None:
        self.wait_until(lambda: len(trials_in(self.output)) >= count, f"{count} trials")

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self) -> Finished:
        """Wait for its end."""
        try:
            stdout, _ = self.process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end within {WAIT_S:g} s:\n{self._stderr()}")
        return Finished(self.process.returncode, stdout, self._stderr(), self.output)

    def _stderr(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class Tool:
    """Starts commands in `folder`."""

    folder: Path
    repository: str
    local: LocalSite
    engine: str = "docker"
    wrapper: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    started: list[Running] = field(default_factory=list)

    def config(
        self,
        variants: Mapping[str, Any],
        *,
        services: Sequence[str] | Mapping[str, Any] = (),
        profile: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Path:
        """A configuration with one short profile, and none but the services that are named or described."""
        path = self.folder / "bench.yml"
        shutil.copytree(TINY_APP, self.folder / _TINY, ignore=_UNWANTED, dirs_exist_ok=True)
        images = {"postgres": {"image": "postgres:17"}, "redis": {"image": "redis:8"}}
        described = services if isinstance(services, Mapping) else {name: images[name] for name in services}
        body = {
            "services": dict(described),
            "variants": dict(variants),
            "profiles": {"short": {**SHORT, **(profile or {})}},
            **more,
        }
        path.write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
        return path

    def start(self, *arguments: object, output: str = "results", **environment: str) -> Running:
        """Begin `bench-action run` with these arguments; the last `--engine` among them counts."""
        log, results = self.folder / f"{output}.log", self.folder / output
        command = [
            *self.wrapper,
            *COMMAND,
            "run",
            "--engine",
            self.engine,
            *map(str, arguments),
            "--output",
            str(results),
        ]
        with log.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [*command, "--output", str(results)],
                cwd=self.folder,
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        running = Running(process, log, results)
        self.started.append(running)
        return running

    def environment(self, **changes: str) -> dict[str, str]:
        """Ours, with the marks by which the run's parts are found."""
        merged = {**os.environ, **self.variables, "GITHUB_REPOSITORY": self.repository, **changes}
        return {**merged, "PATH": self.local.path(merged["PATH"])}

    def run(self, *arguments: object, output: str = "results", **environment: str) -> Finished:
        """`bench-action run` with these arguments, to its end."""
        return self.start(*arguments, output=output, **environment).finish()

    def check(self, *arguments: object, **environment: str) -> Finished:
        """`bench-action check` with these arguments."""
        done = subprocess.run(
            [*self.wrapper, *COMMAND, "check", "--engine", self.engine, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        return Finished(done.returncode, done.stdout, done.stderr, self.folder)

    def close(self) -> None:
        """End what a failed test has left running."""
        for running in self.started:
            running.process.kill()  # of no effect where it has ended
            running.process.communicate()


def trials_in(output: Path) -> list[Trial]:
    """The finished lines of `trials.jsonl`."""
    file = output / "trials.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.is_file() else []
    return [Trial.model_validate_json(line) for line in lines if line.endswith("\n")]


def tiny(**environment: str) -> dict[str, Any]:
    """The application that misbehaves as its environment asks for."""
    ready = {"path": "/health", "timeout": "30s"}
    return {
        "build": _TINY,
        "local": {"command": ["python", "-u", "app.py"]},
        "env": environment,
        "ready": ready,
    }


@pytest.fixture(scope="session")
def footprint() -> Iterator[Footprint]:
    """What this session's runs have on the engine; at its end, nothing."""
    with Footprint.track_session() as footprint:
        yield footprint


@pytest.fixture(scope="session")
def local_site(footprint: Footprint) -> Iterator[LocalSite]:
    """What this session's runs have on this machine; at its end, nothing."""
    site = LocalSite(footprint.repository)
    yield site
    left = site.left()
    site.remove()
    assert left == []


@pytest.fixture
def tool(
    tmp_path: Path, footprint: Footprint, local_site: LocalSite, short_presets: Mapping[str, str]
) -> Iterator[Tool]:
    """The command; afterwards nothing of its run is left on either engine, even if it failed."""
    tool = Tool(tmp_path, footprint.repository, local_site, variables=short_presets)
    yield tool
    tool.close()
    left = footprint.left() + local_site.left()
    footprint.remove()
    local_site.remove()
    assert left == []


@pytest.fixture(scope="session")
def short_presets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Variables with which a command measures for seconds: our package, with the presets shortened."""
    folder = tmp_path_factory.mktemp("short")
    shutil.copytree(BUILTIN_APPS.parent / "src", folder / "src")
    shorten_presets(folder)
    return {"PYTHONPATH": str(folder / "src")}


@pytest.fixture(scope="session")
def docker_site(footprint: Footprint) -> DockerSite:
    """The Docker engine, as seen from outside."""
    return DockerSite(footprint)


@pytest.fixture(scope="session")
def builtin_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in applications under a short load."""
    config = tmp_path_factory.mktemp("builtin") / "bench.yml"
    shutil.copytree(BUILTIN_APPS, config.parent, ignore=_UNWANTED, dirs_exist_ok=True)
    body = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump(body | {"profiles": {"short": SHORT}}, sort_keys=False), encoding="utf-8")
    return config


@pytest.fixture(scope="session")
def builtin(
    builtin_config: Path, footprint: Footprint, local_site: LocalSite, short_presets: Mapping[str, str]
) -> Iterator[Finished]:
    """The built-in applications in containers, while others listen on all ports of theirs on this machine."""
    tool = Tool(builtin_config.parent, footprint.repository, local_site, variables=short_presets)
    with ExitStack() as stack:
        for port in PORTS:
            listener = stack.enter_context(socket.socket())
            with suppress(OSError):  # somebody else has it: take it anyway
                listener.bind(("127.0.0.1", port))
                listener.listen()
        stack.callback(tool.close)
        finished = tool.run(builtin_config)
    yield finished
    assert footprint.left() == []


@pytest.fixture(scope="session")
def builtin_local(
    builtin_config: Path, footprint: Footprint, local_site: LocalSite, short_presets: Mapping[str, str]
) -> Iterator[Finished]:
    """Two of the built-in applications as processes."""
    tool = Tool(builtin_config.parent, footprint.repository, local_site, engine="local", variables=short_presets)
    with ExitStack() as stack:
        stack.callback(tool.close)
        variants = ("--variant", "django", "--variant", "aiohttp")
        finished = tool.run(builtin_config, *variants, output="local")
    yield finished
    assert local_site.left() == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """A browser, of which nothing is left in the folder for temporary files."""
    # not in `tmp_path`: Chromium makes sockets there, whose paths may have 107 bytes
    with tempfile.TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        monkeypatch.setenv("TMPDIR", temporary)
        with chromium() as page:
            yield page
        assert list(Path(temporary).iterdir()) == []


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """A tab in which nothing may go wrong."""
    browser.errors.clear()
    yield browser
    assert browser.errors == []
