"""A container action as GitHub's own runner starts it: its mounts, its variables, and the default bridge without names.

What the runner passes is in its source (`ContainerActionHandler`, `DockerCommandManager`).
"""

import contextlib
import json
import os
import re
import subprocess
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.workflow import Checkout
from tests.git import git
from tests.github.double import GitHubDouble
from tests.runner import RunnerLog

_RUNNERS_USER = 1001  # the workspace is never root's
_KILLED = 137
_WAIT_S = 300.0


@dataclass(frozen=True)
class Step:
    """How a step ended: status, log, the commands in it, outputs, and the job's summary."""

    status: int
    log: str
    outputs: Mapping[str, str]
    summary: str

    @property
    def commands(self) -> list[str]:
        return RunnerLog().read(self.log).obeyed


@dataclass(frozen=True)
class ContainerAction:
    """One step of a job whose workspace is `place`."""

    image: str
    place: Checkout
    github: GitHubDouble
    folder: Path
    run_id: str = field(default_factory=lambda: str(uuid.uuid4().int % 10**10))

    def run(self, event: str, payload: Mapping[str, Any], *, token: str = "token", **inputs: str) -> Step:
        """From start to end."""
        return self.finish(self.start(event, payload, token=token, **inputs))

    def start(self, event: str, payload: Mapping[str, Any], *, token: str = "token", **inputs: str) -> str:
        """Begin; the container's id. Its log is kept until `finish`."""
        for name in ("file_commands", "workflow", "home"):
            (self.folder / name).mkdir(exist_ok=True)
        for name in ("output", "summary", "state"):
            (self.folder / "file_commands" / name).write_text("")
        (self.folder / "workflow" / "event.json").write_text(json.dumps(payload), encoding="utf-8")
        home = self.folder / "home"
        for path in (home, *home.rglob("*"), self.place.folder, *self.place.folder.rglob("*")):
            os.chown(path, _RUNNERS_USER, _RUNNERS_USER, follow_symlinks=False)
        return self._docker("run", "--detach", *self._options(event, token, inputs), self.image).strip()

    def post(self) -> Step:
        """The step's `post-entrypoint`, in a separate container."""
        state = (self.folder / "file_commands" / "state").read_text(encoding="utf-8").splitlines()
        options = self._options("pull_request", "token", {})
        options += [word for line in state for word in ("--env", f"STATE_{line}")]
        container = self._docker("run", "--detach", *options, "--entrypoint", "/post-entrypoint.sh", self.image).strip()
        return self.finish(container)

    def finish(self, container: str) -> Step:
        """Wait for its end; removes it. However it ended, no traceback is in its log.

        Unless it was killed, and has a post step to come, everything in the workspace and the home is the runner's.
        """
        status = int(self._docker("wait", container, timeout=_WAIT_S))
        log = subprocess.run(
            ["docker", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        ).stdout
        self._docker("rm", "--force", container)
        assert not re.search("Traceback|Exception ignored", log), log
        assert status == _KILLED or self._not_the_runners() == []
        return Step(status, log, self._outputs(), (self.folder / "file_commands" / "summary").read_text("utf-8"))

    def wait_for(self, container: str, text: str) -> None:
        """Until a line of the log has it."""
        command = ["docker", "logs", "--follow", container]
        log = ""
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as following:
            assert following.stdout is not None
            limit = threading.Timer(_WAIT_S, following.kill)
            limit.start()
            for line in following.stdout:
                log += line
                if text in line:
                    break
            limit.cancel()
            following.kill()
        assert text in log, log

    def signal(self, container: str, name: str) -> None:
        """To the process with number 1, as the runner does when a job is cancelled."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._docker("kill", "--signal", name, container)

    def _options(self, event: str, token: str, inputs: Mapping[str, str]) -> list[str]:
        given = {name.replace("_", "-").upper(): value for name, value in inputs.items()}
        variables = {
            "HOME": "/github/home",
            "GITHUB_ACTIONS": "true",
            "CI": "true",
            "GITHUB_REPOSITORY": self.github.state.repository,
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_SHA": git(self.place.folder, "-c", "safe.directory=*", "rev-parse", "HEAD"),
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": "/github/workflow/event.json",
            "GITHUB_WORKSPACE": "/github/workspace",
            "GITHUB_API_URL": self.github.url,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_RUN_ID": self.run_id,
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_JOB": "benchmark",
            "RUNNER_NAME": "runner-1",
            "ACTIONS_RUNTIME_TOKEN": "of-the-runner",
            "GITHUB_OUTPUT": "/github/file_commands/output",
            "GITHUB_STATE": "/github/file_commands/state",
            "GITHUB_STEP_SUMMARY": "/github/file_commands/summary",
            "INPUT_GITHUB-TOKEN": token,
            **{f"INPUT_{name}": value for name, value in given.items()},
        }
        mounts = {
            "/var/run/docker.sock": "/var/run/docker.sock",
            str(self.place.folder): "/github/workspace",
            **{str(self.folder / name): f"/github/{name}" for name in ("file_commands", "workflow", "home")},
        }
        options = ["--workdir", "/github/workspace"]
        for name, value in variables.items():
            options += ["--env", f"{name}={value}"]
        for here, there in mounts.items():
            options += ["--volume", f"{here}:{there}"]
        return options

    def _not_the_runners(self) -> list[Path]:
        """What a runner that is not root cannot remove."""
        places = (self.place.folder, self.folder / "home")
        found = [path for place in places for path in (place, *place.rglob("*"))]
        return [path for path in found if path.lstat().st_uid != _RUNNERS_USER]

    def _outputs(self) -> dict[str, str]:
        found: dict[str, str] = {}
        lines = iter((self.folder / "file_commands" / "output").read_text(encoding="utf-8").split("\n"))
        for line in lines:
            if "<<" in line:
                name, _, delimiter = line.partition("<<")
                found[name] = "\n".join(iter(lambda: next(lines), delimiter))
        return found

    def _docker(self, *arguments: str, timeout: float | None = None) -> str:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=timeout)
        return done.stdout
