"""A workflow run by a real runner, `act`, in a repository as a pull request leaves it, against a double of GitHub."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.git import git
from tests.github.double import GitHubDouble
from tests.github.state import Pull

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop"
RUNNER = "bench-action-test-runner"
_ACT = Path(sys.executable).parent / "act"
# of `uses: ./`, and of `uses: org/bench-action@v1`: act would build an image for each
_ACTS_IMAGES = ("act-dockeraction:latest", "act-org-bench-action-v1-dockeraction:latest")
_WAIT_S = 900.0
# what a job's container of a runner has, as far as our workflows use it; in place of actions that are had from GitHub
_RUNNER_DOCKERFILE = """\
FROM python:3.13-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
"""
_STAND_IN = """\
name: stands in for an action that is had from GitHub
inputs: {name: {default: artifact}, path: {default: .}, pattern: {default: none}}
runs:
  using: composite
  steps: [{run: "%s", shell: bash}]
"""
# artifacts are in a folder that all jobs of a test share
_STAND_INS = {
    "upload-artifact": "mkdir -p '/artifacts/${{ inputs.name }}' && "
    "cp -r '${{ inputs.path }}/.' '/artifacts/${{ inputs.name }}'",
    "download-artifact": "mkdir -p '${{ inputs.path }}' && cp -r /artifacts/${{ inputs.pattern }} '${{ inputs.path }}'",
    "upload-pages-artifact": "ls ${{ inputs.path }}",
    "deploy-pages": "ls ${{ inputs.path }}",
}
_STOOD_IN_FOR = re.compile(rf"actions/(?:{'|'.join(_STAND_INS)})@\w+")


def gateway() -> str:
    """The host as seen from the default bridge, on which a runner's containers are."""
    found = "{{(index .IPAM.Config 0).Gateway}}"
    done = subprocess.run(
        ["docker", "network", "inspect", "bridge", "--format", found], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() or "172.17.0.1"


@dataclass(frozen=True)
class Checkout:
    """A work tree whose HEAD is what GitHub would merge: parents are `base` and `head`."""

    folder: Path
    base: str
    head: str


def checkout(folder: Path, repository: str, changes: Mapping[str, tuple[str, str]], *, without: str = "") -> Checkout:
    """Copy the shop, loaded for a second at a time, with the README's workflow; and a pull request on it.

    `changes`: the text that the pull request replaces in the shop's files, path → (old, new). `without`: what is left
    out of its configuration.
    """
    shutil.copytree(SHOP, folder)
    config = folder / "bench.yml"
    text = config.read_text(encoding="utf-8").replace("duration: 2s", "duration: 1s, warmup: 1s")
    assert without in text
    config.write_text(text.replace(without, "") if without else text, encoding="utf-8")
    workflow = folder / ".github" / "workflows" / "benchmark.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(readme_workflow(), encoding="utf-8")
    base = _published(folder, repository)
    git(folder, "switch", "--quiet", "--create", "feature")
    for name, (old, new) in changes.items():
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    head = _commit(folder)
    git(folder, "switch", "--quiet", "--detach", base)
    git(folder, "merge", "--quiet", "--no-ff", "--message", "merge", head)
    return Checkout(folder, base, head)


def own_checkout(folder: Path, action: Path, repository: str) -> Checkout:
    """Our own repository at its default branch, with its own workflows: those files of which the action's image is."""
    shutil.copytree(action, folder)
    commit = _published(folder, repository)
    return Checkout(folder, commit, commit)


def leave_out_variants(folder: Path, kept: Collection[str]) -> None:
    """Leave out the other variants of the built-in comparison, for images that are built and measured in less time."""
    file = folder / "apps" / "bench.yml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["variants"] = {name: config["variants"][name] for name in kept}
    config["compare"] = [pair for pair in config["compare"] if set(pair) <= set(kept)]
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def readme_workflow() -> str:
    """What users copy from the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n# \.github/workflows/benchmark\.yml\n(.*?)```", readme, re.DOTALL)
    assert found
    return found[1]


def exported(folder: Path) -> Path:
    """The action as a release would have it: what is under git, as it is in the work tree."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@dataclass(frozen=True)
class Ran:
    """How a workflow ended, and what its log says."""

    status: int
    log: str


@dataclass(frozen=True)
class Runner:
    """`act` with a separate folder for its state. `action`: where `org/bench-action@v1` is."""

    folder: Path
    action: Path
    github: GitHubDouble

    @property
    def artifacts(self) -> Path:
        """Where jobs keep their artifacts, each in a folder of its name."""
        return self.folder / "artifacts"

    def _stand_in(self, folder: Path) -> list[str]:
        """The options that let ours stand in for actions that are had from GitHub."""
        names = {ref: ref.partition("/")[2].partition("@")[0] for ref in _stood_in_for(folder)}
        pairs = (("--local-repository", f"{ref}={self.folder / 'stand-in' / name}") for ref, name in names.items())
        return [word for pair in pairs for word in pair]

    def run(
        self,
        place: Checkout,
        event: str,
        payload: Mapping[str, Any],
        *,
        token: str = "token",
        env: Sequence[str] = (),
        workflow: str = "",
    ) -> Ran:
        """The workflow for an event, by its file's name where there are several."""
        event_file = self.folder / "event.json"
        event_file.write_text(json.dumps(payload), encoding="utf-8")
        self.artifacts.mkdir(exist_ok=True)
        for name, script in _STAND_INS.items():
            (self.folder / "stand-in" / name).mkdir(parents=True, exist_ok=True)
            (self.folder / "stand-in" / name / "action.yml").write_text(_STAND_IN % script, encoding="utf-8")
        command = [
            str(_ACT),
            event,
            "--eventpath",
            str(event_file),
            "--platform",
            f"ubuntu-24.04={RUNNER}",
            "--pull=false",
            "--rebuild=false",  # `build_action` has done it
            "--workflows",
            f".github/workflows/{workflow}",
            "--rm",
            "--network",
            "bridge",
            "--env",
            f"GITHUB_API_URL={self.github.url}",
            "--secret",
            f"GITHUB_TOKEN={token}",
            "--local-repository",
            f"org/bench-action@v1={self.action}",
            "--container-options",
            f"--volume {self.artifacts}:/artifacts",
            *self._stand_in(place.folder),
            *(word for one in env for word in ("--env", one)),
        ]
        own = {"HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        done = subprocess.run(
            command,
            cwd=place.folder,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_WAIT_S,
        )
        return Ran(done.returncode, done.stdout)


def _stood_in_for(folder: Path) -> set[str]:
    """Each way in which the workflows name such actions."""
    text = "".join(path.read_text(encoding="utf-8") for path in (folder / ".github" / "workflows").glob("*.yml"))
    return set(_STOOD_IN_FOR.findall(text))


def pull_request(place: Checkout, pull: Pull) -> dict[str, Any]:
    """The payload of a `pull_request` event, as far as anybody reads it."""
    ends = {
        name: {"sha": sha, "ref": end.ref, "repo": {"full_name": end.repo}}
        for name, sha, end in (("head", place.head, pull.head), ("base", place.base, pull.base))
    }
    return {"action": "synchronize", "number": pull.number, "pull_request": {"number": pull.number, **ends}}


def build_action(folder: Path, name: str) -> None:
    """Build the image that `action.yml` describes, also under the names by which act looks for it."""
    image = yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8"))["runs"]["image"]
    tags = [word for tag in (name, *_ACTS_IMAGES) for word in ("--tag", tag)]
    command = ["docker", "build", "--quiet", "--file", str(folder / image), *tags, str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def build_runner() -> None:
    """Have the image in which a job's steps run."""
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", RUNNER, "-"],
        input=_RUNNER_DOCKERFILE,
        text=True,
        check=True,
        capture_output=True,
    )


def _published(folder: Path, repository: str) -> str:
    """A repository of what is in the folder, with its one commit on main."""
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "remote", "add", "origin", f"https://github.com/{repository}")
    return _commit(folder)


def _commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "more")
    return git(folder, "rev-parse", "HEAD")
