"""Building images, with stand-ins for the docker command and for the engine's stream."""

import io
import json
import os
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
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
import json, os, pathlib, subprocess, sys
here = pathlib.Path(__file__).parent
if sys.argv[1:] == ["buildx", "version"]:
    sys.exit(0 if (here / "has-buildx").exists() else 1)
(here / "argv.json").write_text(json.dumps(sys.argv[1:]))
(here / "environ.json").write_text(json.dumps(dict(os.environ)))
ignore = pathlib.Path(sys.argv[sys.argv.index("--file") + 1] + ".dockerignore")
(here / "ignore").write_text(ignore.read_text() if ignore.exists() else "")
if (here / "fails").exists():
    for number in range(100):
        print("step", number, file=sys.stderr if number % 2 else sys.stdout, flush=True)
    print((here / "fails").read_text(), end="")
    sys.exit(17)
if (here / "lasts").exists():
    plugin = subprocess.Popen(["/bin/sleep", "600"])
    (here / "pids").write_text(f"{{os.getpid()}} {{plugin.pid}}\\n")
    plugin.wait()
"""
ENGINE = {"Os": "linux", "Arch": "arm64"}


class Machine:
    """A folder on PATH with a `docker` that records its arguments and environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        command = folder / "docker"
        command.write_text(FAKE_DOCKER, encoding="utf-8")
        command.chmod(0o755)
        self.environ = {"PATH": str(folder), "HOME": str(folder / "home"), "BUILDKIT_COLORS": "x"}

    def add_file(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    @property
    def argv(self) -> list[str]:
        return cast(list[str], json.loads((self.folder / "argv.json").read_text(encoding="utf-8")))

    @property
    def received_environ(self) -> dict[str, str]:
        return cast(dict[str, str], json.loads((self.folder / "environ.json").read_text(encoding="utf-8")))


def read_files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


class Engine:
    """A stand-in for the SDK's client, as far as the classic builder needs it."""

    def __init__(self, *events: dict[str, Any], refuses: Exception | None = None) -> None:
        self.api = SimpleNamespace(build=self._build)
        self.images = SimpleNamespace(
            get=lambda name: SimpleNamespace(tag=lambda other: self.tagged.append((name, other)))
        )
        self.options: dict[str, Any] = {}
        self.context: dict[str, bytes] = {}
        self.tagged: list[tuple[str, str]] = []
        self._events = events
        self._refuses = refuses

    def version(self) -> dict[str, str]:
        return ENGINE

    def _build(self, **options: Any) -> Iterator[dict[str, str]]:
        self.context = read_files(options.pop("fileobj").read())
        self.options = options
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
        "Dockerfile": "FROM x",
        "app.py": "app",
        "secrets/key": "key",
        "secrets/README": "kept",
        "notes.md": "notes",
        ".dockerignore": "# not to be sent\n\n*.md\nsecrets\n!secrets/README\nDockerfile\n",
    }.items():
        (context / name).write_text(text, encoding="utf-8")
    return BuildSpec("subject", "bench-action/app", context, args={"A": "1", "B": "x y"}, target="final")


def build(machine: Machine, spec: BuildSpec, client: Engine | None = None) -> None:
    build_image(cast(DockerClient, client or Engine()), spec, RUNS_NAME, machine.environ, MEMORY)


BUILT = {"stream": "Successfully built"}
RUNS_NAME = "bench-action/app:run-1-x-0"
MEMORY = 2**30


def test_build_image__passes_the_folder_to_buildx(machine: Machine, spec: BuildSpec) -> None:
    machine.add_file("has-buildx")
    build(machine, spec)
    argv = machine.argv
    assert argv[:3] == ["buildx", "build", "--load"]
    assert argv[-1] == str(spec.context)
    words = " ".join(argv)
    for expected in (
        "--label bench-action=",
        f"--tag bench-action/app --tag {RUNS_NAME}",
        "--target final",
    ):
        assert expected in words
    assert [argv[i + 1] for i, word in enumerate(argv) if word == "--build-arg"] == ["A=1", "B=x y"]
    assert argv[argv.index("--file") + 1].endswith("/Dockerfile")
    rules = (machine.folder / "ignore").read_text(encoding="utf-8").splitlines()
    assert rules[2:4] == ["*.md", "secrets"]
    assert rules[-3:] == ["**/.git/config", "**/.git/config.worktree", "**/.git/modules/**/config"]


def test_build_image__sets_the_namespace_of_mounted_caches(machine: Machine, spec: BuildSpec) -> None:
    """After the configuration's own arguments, as the last one of a name counts."""
    machine.add_file("has-buildx")
    build(machine, replace(spec, args={"BUILDKIT_CACHE_MOUNT_NS": "base"}, cache_namespace="head"))
    argv = machine.argv
    given = [argv[i + 1] for i, word in enumerate(argv) if word == "--build-arg"]
    assert given == ["BUILDKIT_CACHE_MOUNT_NS=base", "BUILDKIT_CACHE_MOUNT_NS=head"]


def test_build_image__passes_secrets_in_the_environment_only(machine: Machine, spec: BuildSpec) -> None:
    machine.add_file("has-buildx")
    values = {"token": "s3cret", "pip.conf": "[global]\nindex-url = https://u:p@x/\n"}
    build(machine, replace(spec, secrets=values, cache_from=("org/app:main", "type=gha,scope=x")))
    argv = machine.argv
    given = [argv[i + 1] for i, word in enumerate(argv) if word == "--secret"]
    variables = {part.split(",")[0]: part.split(",env=")[1] for part in given}
    assert {key: machine.received_environ[name] for key, name in variables.items()} == {
        "id=token": "s3cret",
        "id=pip.conf": values["pip.conf"],
    }
    assert not any("s3cret" in word or "index-url" in word for word in argv)
    assert [argv[i + 1] for i, word in enumerate(argv) if word == "--cache-from"] == [
        "org/app:main",
        "type=gha,scope=x",
    ]
    assert "s3cret" not in repr(replace(spec, secrets=values))


@pytest.mark.parametrize(
    "error", ["parse error line 51: Unknown flag: start-interval", "parse error on line 9: unknown instruction: apk"]
)
def test_build_image__reports_what_this_buildkit_is_too_old_for(machine: Machine, spec: BuildSpec, error: str) -> None:
    machine.add_file("has-buildx")
    machine.add_file("fails", f"ERROR: failed to solve: failed to create LLB definition: dockerfile {error}\n")
    with pytest.raises(StackError) as caught:
        build(machine, spec)
    assert "too old" in caught.value.advice
    assert "`# syntax=docker/dockerfile:1`" in caught.value.advice
    assert "install buildx" not in caught.value.advice


def test_build_image__classic_refuses_secrets(machine: Machine, spec: BuildSpec) -> None:
    client = Engine(BUILT)
    with pytest.raises(StackError) as caught:
        build(machine, replace(spec, secrets={"token": "s3cret"}), client)
    assert "needs BuildKit" in caught.value.advice
    assert client.options == {}


def test_build_image__refuses_another_platform(machine: Machine, spec: BuildSpec) -> None:
    machine.add_file("has-buildx")
    with pytest.raises(StackError, match="`platform: linux/amd64`, and this Docker engine runs linux/arm64"):
        build(machine, replace(spec, platform="linux/amd64"))
    build(machine, replace(spec, platform="linux/arm64/v8"))


@pytest.mark.parametrize(
    ("log", "part"),
    [
        ("ERROR: failed to solve: x/y:1: failed to resolve source metadata for x/y:1: pull access denied", "log in"),
        ("ERROR: failed to solve: rpc error: code = Unknown desc = status code [manifests 1]: 401 x\n", "log in"),
        ("ERROR: failed to build: failed to solve: python:nosuch: not found", "name and tag"),
        ('ERROR: failed to solve: failed to compute cache key: "/nosuch": not found', "fix the Dockerfile"),
        ('ERROR: failed to solve: process "/bin/sh -c curl https://x: 403 unauthorized" failed', "fix the Dockerfile"),
        (
            'ERROR: failed to solve: failed to do request: Head "https://r/v2/docker/dockerfile/manifests/1": dial tcp',
            "`# syntax=docker/dockerfile:1` makes BuildKit pull that image",
        ),
        ("#5 exec /bin/sh: exec format error\nERROR: failed to solve: process failed", "platform"),
    ],
)
def test_build_image__advises_by_what_could_not_be_pulled(
    machine: Machine, spec: BuildSpec, log: str, part: str
) -> None:
    machine.add_file("has-buildx")
    machine.add_file("fails", log)
    (spec.context / "Dockerfile").write_text("# syntax=docker/dockerfile:1\nFROM x", encoding="utf-8")
    with pytest.raises(StackError) as caught:
        build(machine, spec)
    assert part in caught.value.advice


def test_build_image__passes_buildx_no_folder_that_looks_like_an_address(
    machine: Machine, spec: BuildSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add_file("has-buildx")
    monkeypatch.chdir(spec.context.parent)
    build(machine, replace(spec, context=Path("github.com/someone/app"), dockerfile="../Dockerfile"))
    assert machine.argv[-1] == str(spec.context.parent / "github.com/someone/app")
    assert machine.argv[machine.argv.index("--file") + 1] == f"{machine.argv[-1]}/../Dockerfile"


def test_build_image__uses_only_the_callers_environment(machine: Machine, spec: BuildSpec) -> None:
    machine.add_file("has-buildx")
    build(machine, spec)
    assert machine.received_environ["BUILDKIT_COLORS"] == "x"
    assert machine.received_environ["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
    assert machine.received_environ["BUILDX_GIT_INFO"] == "false"
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PYTEST_CURRENT_TEST" not in machine.received_environ
    assert "BUILDX_CONFIG" not in machine.received_environ


@pytest.mark.parametrize("variable", ["HOME", "DOCKER_CONFIG", "BUILDX_CONFIG"])
def test_build_image__moves_buildxs_state_if_its_folder_is_not_writable(
    machine: Machine, spec: BuildSpec, variable: str
) -> None:
    machine.add_file("has-buildx")
    machine.add_file("a-file")
    machine.environ[variable] = str(machine.folder / "a-file")
    build(machine, spec)
    spare = Path(machine.received_environ["BUILDX_CONFIG"])
    assert spare.parent == Path(tempfile.gettempdir())
    assert not spare.exists()


def test_build_image__reports_the_last_lines_of_a_failed_build(machine: Machine, spec: BuildSpec) -> None:
    machine.add_file("has-buildx")
    machine.add_file("fails")
    with pytest.raises(StackError, match="could not build image bench-action/app") as caught:
        build(machine, spec)
    assert caught.value.log == tuple(f"step {number}" for number in range(80, 100))
    assert "status 17" in caught.value.cause
    assert caught.value.where == "app/Dockerfile"


def test_build_image__reports_the_cause_in_buildxs_words(machine: Machine, spec: BuildSpec) -> None:
    machine.add_file("has-buildx")
    machine.add_file(
        "fails", 'ERROR: failed to solve: process "/bin/sh -c false" did not complete\n\nView details: x\n'
    )
    with pytest.raises(StackError) as caught:
        build(machine, spec)
    assert caught.value.cause == 'process "/bin/sh -c false" did not complete'
    assert "fix the Dockerfile" in caught.value.advice


@pytest.mark.parametrize("with_command", [True, False])
def test_build_image__uses_the_classic_builder_without_buildx(
    machine: Machine, spec: BuildSpec, with_command: bool
) -> None:
    if not with_command:
        (machine.folder / "docker").unlink()
    client = Engine({"stream": "Step 1/1 : FROM x\n"}, {"aux": {"ID": "sha256:built"}}, BUILT)
    build(machine, spec, client)
    assert client.options["container_limits"] == {"memory": MEMORY, "memswap": MEMORY}
    assert client.options["tag"] == RUNS_NAME
    assert client.tagged == [(RUNS_NAME, "bench-action/app")]
    assert client.options["buildargs"] == {"A": "1", "B": "x y"}
    assert client.options["target"] == "final"
    assert client.options["labels"] == {"bench-action": ""}
    assert client.options["custom_context"] is True
    assert client.context.keys() == {"Dockerfile", "app.py", "secrets/README", ".dockerignore"}


def test_build_image__leaves_out_the_credentials_of_a_checkout(machine: Machine, spec: BuildSpec) -> None:
    (spec.context / ".dockerignore").write_text("!.git/config\n", encoding="utf-8")
    for name in (".git/HEAD", ".git/config", ".git/modules/lib/config", "lib/.git/config", "lib/config"):
        (spec.context / name).parent.mkdir(parents=True, exist_ok=True)
        (spec.context / name).write_text("AUTHORIZATION: basic x", encoding="utf-8")
    client = Engine(BUILT)
    build(machine, spec, client)
    assert {name for name in client.context if "git" in name or "config" in name} == {
        ".git/HEAD",
        "lib/config",
    }


def test_build_image__classic_prefers_the_ignore_file_next_to_the_dockerfile(machine: Machine, spec: BuildSpec) -> None:
    (spec.context / "Dockerfile.dockerignore").write_text("app.py\n*.dockerignore\n", encoding="utf-8")
    client = Engine(BUILT)
    build(machine, spec, client)
    assert client.context.keys() == {"Dockerfile", "notes.md", "secrets/key", "secrets/README"}


def test_build_image__classic_reads_no_excluded_folder_for_an_excluded_dockerfile(
    machine: Machine, spec: BuildSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec.context / "docker").mkdir()
    (spec.context / "Dockerfile").rename(spec.context / "docker" / "Dockerfile")
    (spec.context / "link").symlink_to("docker")
    (spec.context / ".dockerignore").write_text("docker\nlink\nsecrets\n*.md\n", encoding="utf-8")
    scandir = os.scandir

    def refuse(path: Path) -> Any:
        if path.name in {"docker", "secrets"}:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for dockerfile in ("docker/Dockerfile", "./docker/../link/Dockerfile"):
        client = Engine(BUILT)
        build(machine, replace(spec, dockerfile=dockerfile), client)
        assert client.context == {
            ".dockerignore": b"docker\nlink\nsecrets\n*.md\n",
            "app.py": b"app",
            "docker/Dockerfile": b"FROM x",
        }
        assert client.options["dockerfile"] == "docker/Dockerfile"


def test_build_image__classic_accepts_a_dockerfile_outside_the_context(machine: Machine, spec: BuildSpec) -> None:
    (spec.context.parent / "Dockerfile").write_text("FROM outside", encoding="utf-8")
    client = Engine(BUILT)
    build(machine, replace(spec, dockerfile="../Dockerfile"), client)
    assert client.context[client.options["dockerfile"]] == b"FROM outside"
    assert "../Dockerfile" not in client.context


def test_build_image__classic_gets_the_platform_arguments_that_buildkit_sets(machine: Machine, spec: BuildSpec) -> None:
    text = "ARG BUILDPLATFORM\nFROM x\nARG TARGETARCH A\nARG TARGETOS=plan9\nARG TARGETVARIANT\n"
    (spec.context / "Dockerfile").write_text(text, encoding="utf-8")
    client = Engine(BUILT)
    build(machine, replace(spec, args={"A": "1", "TARGETVARIANT": "v8"}), client)
    expected = {"A": "1", "TARGETARCH": "arm64", "BUILDPLATFORM": "linux/arm64", "TARGETVARIANT": "v8"}
    assert client.options["buildargs"] == expected


def test_build_image__classic_reports_its_error_and_last_lines(machine: Machine, spec: BuildSpec) -> None:
    stream = [{"stream": f"line {number}\n\n"} for number in range(50)]
    client = Engine(*stream, {"error": "pip returned 1\n"}, {"stream": "never seen"})
    with pytest.raises(StackError) as caught:
        build(machine, spec, client)
    assert caught.value.cause == "pip returned 1"
    assert caught.value.log == tuple(f"line {number}" for number in range(30, 50))
    assert "fix the Dockerfile" in caught.value.advice


@pytest.mark.parametrize(
    "error",
    [
        "the --mount option requires BuildKit",
        "Unknown flag: mount",
        "dockerfile parse error: unknown flag: chmod",
        'failed to parse platform : "" is an invalid component of ""',
    ],
)
def test_build_image__reports_what_needs_buildkit(machine: Machine, spec: BuildSpec, error: str) -> None:
    for client in (Engine({"error": error}), Engine(refuses=APIError("400", explanation=error))):
        with pytest.raises(StackError) as caught:
            build(machine, spec, client)
        assert "needs BuildKit" in caught.value.advice
        assert "`image:" in caught.value.advice
        assert caught.value.cause == error


def test_build_image__classic_never_gets_a_heredoc(machine: Machine, spec: BuildSpec) -> None:
    """Engines from 23 on would build it, but with an empty file."""
    (spec.context / "Dockerfile").write_text("FROM x\nRUN cat <<EOF >/settings\nONE = 1\nEOF\n", encoding="utf-8")
    client = Engine(BUILT)
    with pytest.raises(StackError, match="could not build") as caught:
        build(machine, spec, client)
    assert client.options == {}
    assert "`<<EOF`" in caught.value.cause
    assert "needs BuildKit" in caught.value.advice


def test_build_image__classic_refuses_what_it_would_ignore(machine: Machine, spec: BuildSpec) -> None:
    (spec.context / "Dockerfile").write_text("FROM x\nCOPY --exclude=secrets . /app\n", encoding="utf-8")
    client = Engine(BUILT)
    with pytest.raises(StackError) as caught:
        build(machine, spec, client)
    assert client.options == {}
    assert "`COPY --exclude`" in caught.value.cause
    assert "needs BuildKit" in caught.value.advice


def test_build_image__reports_an_unreadable_context(machine: Machine, spec: BuildSpec) -> None:
    (spec.context / ".dockerignore").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchError, match="could not read the build context"):
        build(machine, spec)
    (spec.context / ".dockerignore").unlink()
    with pytest.raises(BenchError, match="could not read the build context"):
        build(machine, BuildSpec("subject", "x", spec.context / "gone"))


def test_build_image__leaves_no_process_if_interrupted(machine: Machine, spec: BuildSpec) -> None:
    """Neither the command nor its plugin, which would continue to build."""
    machine.add_file("has-buildx")
    machine.add_file("lasts")
    pids = machine.folder / "pids"

    def interrupt(_number: int, _frame: object) -> None:
        if pids.exists() and pids.read_text(encoding="utf-8").endswith("\n"):
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, 0.02)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            build(machine, spec)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    deadline = time.monotonic() + 30
    while running := [pid for pid in pids.read_text(encoding="utf-8").split() if is_running(pid)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.02)


def is_running(pid: str) -> bool:
    """Neither dead nor a zombie, whose parent has not read its status yet."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
