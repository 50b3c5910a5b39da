"""Building images, with a stand-in for the docker command and for the engine's stream."""

import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker import DockerClient
from docker.errors import APIError

from bench_action.engine.docker.build import build_image
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import BenchError, StackError

pytestmark = pytest.mark.unit

FAKE_DOCKER = f"""#!{sys.executable}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
if sys.argv[1:] == ["buildx", "version"]:
    sys.exit(0 if (here / "has-buildx").exists() else 1)
(here / "argv.json").write_text(json.dumps(sys.argv[1:]))
(here / "context.tar").write_bytes(sys.stdin.buffer.read())
(here / "environ.json").write_text(json.dumps(dict(os.environ)))
if (here / "fails").exists():
    for number in range(100):
        print("step", number, file=sys.stderr if number % 2 else sys.stdout, flush=True)
    sys.exit(17)
"""


class Machine:
    """A folder on PATH with a `docker` that records what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        command = folder / "docker"
        command.write_text(FAKE_DOCKER, encoding="utf-8")
        command.chmod(0o755)
        self.environ = {"PATH": str(folder), "BUILDKIT_COLORS": "x"}

    def has(self, what: str) -> None:
        (self.folder / what).touch()

    @property
    def argv(self) -> list[str]:
        return cast(list[str], json.loads((self.folder / "argv.json").read_text(encoding="utf-8")))

    @property
    def context(self) -> dict[str, bytes]:
        return files_of((self.folder / "context.tar").read_bytes())


def files_of(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


class Classic:
    """The SDK's client, as far as the classic builder needs it."""

    def __init__(self, *events: dict[str, str], refuses: Exception | None = None) -> None:
        self.api = SimpleNamespace(build=self._build)
        self.images = SimpleNamespace(get=lambda name: SimpleNamespace(id=f"sha256:{name}"))
        self.asked: dict[str, Any] = {}
        self.context: dict[str, bytes] = {}
        self._events = events
        self._refuses = refuses

    def _build(self, **options: Any) -> Iterator[dict[str, str]]:
        self.context = files_of(options.pop("fileobj").read())
        self.asked = options
        if self._refuses is not None:
            raise self._refuses
        return iter(self._events)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "bin")


@pytest.fixture
def spec(tmp_path: Path) -> BuildSpec:
    context = tmp_path / "app"
    (context / "secrets").mkdir(parents=True)
    for name, text in {
        "Dockerfile": "FROM x", "app.py": "app", "secrets/key": "key", "secrets/README": "kept", "notes.md": "notes",
        ".dockerignore": "# what is not sent\n\n*.md\nsecrets\n!secrets/README\nDockerfile\n",
    }.items():  # fmt: skip
        (context / name).write_text(text, encoding="utf-8")
    return BuildSpec("subject", "bench-action/app", context, args={"A": "1", "B": "x y"}, target="final")


def build(machine: Machine, spec: BuildSpec, client: Classic | None = None) -> str:
    return build_image(cast(DockerClient, client or Classic()), spec, machine.environ)


def test_build_image__with_buildx_sends_the_context_on_standard_input(machine: Machine, spec: BuildSpec) -> None:
    machine.has("has-buildx")
    assert build(machine, spec) == "sha256:bench-action/app"
    argv = machine.argv
    assert argv[:3] == ["buildx", "build", "--load"]
    assert argv[-1] == "-"
    words = " ".join(argv)
    for wanted in ("--label bench-action=", "--tag bench-action/app", "--file Dockerfile", "--target final"):
        assert wanted in words
    assert [argv[i + 1] for i, word in enumerate(argv) if word == "--build-arg"] == ["A=1", "B=x y"]
    assert str(spec.context) not in words  # this path means nothing to an engine elsewhere


def test_build_image__leaves_out_what_dockerignore_names_but_never_the_dockerfile(
    machine: Machine, spec: BuildSpec
) -> None:
    machine.has("has-buildx")
    build(machine, spec)
    assert machine.context == {
        "Dockerfile": b"FROM x",
        "app.py": b"app",
        "secrets/README": b"kept",
        ".dockerignore": (spec.context / ".dockerignore").read_bytes(),
    }


def test_build_image__uses_the_callers_environment_only(machine: Machine, spec: BuildSpec) -> None:
    machine.has("has-buildx")
    build(machine, spec)
    seen = json.loads((machine.folder / "environ.json").read_text(encoding="utf-8"))
    assert seen["BUILDKIT_COLORS"] == "x"
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PYTEST_CURRENT_TEST" not in seen


def test_build_image__a_failure_shows_the_last_lines(machine: Machine, spec: BuildSpec) -> None:
    machine.has("has-buildx")
    machine.has("fails")
    with pytest.raises(StackError, match="the image bench-action/app cannot be built") as caught:
        build(machine, spec)
    assert caught.value.log == tuple(f"step {number}" for number in range(80, 100))
    assert "status 17" in caught.value.cause
    assert caught.value.where == "app/Dockerfile"


@pytest.mark.parametrize("with_command", [True, False])
def test_build_image__without_buildx_uses_the_classic_builder(
    machine: Machine, spec: BuildSpec, with_command: bool
) -> None:
    if not with_command:
        (machine.folder / "docker").unlink()
    client = Classic({"stream": "Step 1/1 : FROM x\n"}, {"aux": "sha256:0"})
    assert build(machine, spec, client) == "sha256:bench-action/app"
    assert client.asked["tag"] == "bench-action/app"
    assert client.asked["buildargs"] == {"A": "1", "B": "x y"}
    assert client.asked["target"] == "final"
    assert client.asked["labels"] == {"bench-action": ""}
    assert client.asked["custom_context"] is True
    assert client.context.keys() == {"Dockerfile", "app.py", "secrets/README", ".dockerignore"}


def test_build_image__the_classic_builders_error_comes_with_its_last_lines(machine: Machine, spec: BuildSpec) -> None:
    stream = [{"stream": f"line {number}\n\n"} for number in range(50)]
    client = Classic(*stream, {"error": "pip returned 1\n"}, {"stream": "never seen"})
    with pytest.raises(StackError) as caught:
        build(machine, spec, client)
    assert caught.value.cause == "pip returned 1"
    assert caught.value.log == tuple(f"line {number}" for number in range(30, 50))
    assert "mend the Dockerfile" in caught.value.advice


@pytest.mark.parametrize(
    "error",
    ["the --mount option requires BuildKit", "Unknown flag: mount", "dockerfile parse error: unknown flag: chmod"],
)
def test_build_image__what_needs_buildkit_is_told(machine: Machine, spec: BuildSpec, error: str) -> None:
    for client in (Classic({"error": error}), Classic(refuses=APIError("400", explanation=error))):
        with pytest.raises(StackError) as caught:
            build(machine, spec, client)
        assert "docker-buildx" in caught.value.advice
        assert caught.value.cause == error


@pytest.mark.parametrize("buildx", [True, False])
def test_build_image__a_context_that_cannot_be_read_is_no_bug_of_ours(
    machine: Machine, spec: BuildSpec, buildx: bool
) -> None:
    if buildx:
        machine.has("has-buildx")
    (spec.context / ".dockerignore").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchError, match=r"the build context .* cannot be read"):
        build(machine, spec, Classic())
    (spec.context / ".dockerignore").unlink()
    with pytest.raises(BenchError, match=r"the build context .* cannot be read"):
        build(machine, BuildSpec("subject", "x", spec.context / "gone"), Classic())
