"""Building with a real buildx and the classic builder: what the images contain, and that no image is left over."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.docker.conftest import make_owner
from tests.docker.footprint import Footprint

from bench_action.engine.docker import DockerEngine
from bench_action.engine.protocol import BuildSpec, ServiceSpec
from bench_action.model.errors import StackError

pytestmark = pytest.mark.docker

BUILDX = Path(__file__).parents[2] / "scripts" / "buildx.sh"
NAME = "bench-action/test-build"
NEEDS_BUILDKIT = """\
ARG BASE
FROM ${BASE} AS first
WORKDIR /app
COPY --chmod=741 . .
RUN --mount=type=cache,target=/cache echo "$(uname) from a cache" >/cache/it && cp /cache/it made
FROM first AS second
RUN exit 1
"""
# the BuildKit of engines from 23 on supports it; an older one needs `# syntax=` and a registry
HEREDOC = "RUN cat <<EOF >made\nlines of\na heredoc\nEOF\n"
PLAIN = "FROM python:3.13-slim\nWORKDIR /app\nCOPY . .\n"

MakeEngine = Callable[[], DockerEngine]


@pytest.fixture(scope="session")
def with_buildx() -> Mapping[str, str]:
    """An environment in which `docker buildx` answers."""
    done = subprocess.run([BUILDX], stdout=subprocess.PIPE, text=True, check=True)
    return {**os.environ, "DOCKER_CONFIG": done.stdout.strip()}


@pytest.fixture
def make_engine(footprint: Footprint, with_buildx: Mapping[str, str]) -> Iterator[MakeEngine]:
    """Makes engines that build with buildx, and removes their objects at the end."""
    engines: list[DockerEngine] = []

    def make_engine() -> DockerEngine:
        engine = DockerEngine(make_owner(footprint), with_buildx)
        engines.append(engine)
        return engine

    yield make_engine
    for engine in engines:
        engine.remove()


@pytest.fixture(params=["buildx", "classic"])
def either(
    request: pytest.FixtureRequest, footprint: Footprint, with_buildx: Mapping[str, str]
) -> Iterator[DockerEngine]:
    environ = with_buildx if request.param == "buildx" else {**os.environ, "PATH": ""}
    engine = DockerEngine(make_owner(footprint), environ)
    engine.open(["a"])
    yield engine
    engine.remove()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    for name in ("app.py", "notes.md", "secret"):
        (folder / name).write_text(f"{name}\n", encoding="utf-8")
    (folder / "link").symlink_to("app.py")
    (folder / "Dockerfile").write_text(PLAIN, encoding="utf-8")
    (folder / ".dockerignore").write_text("*.md\n", encoding="utf-8")
    return folder


def run_shell(engine: DockerEngine, image: str, command: str) -> list[str]:
    """Run a shell command in a container of an image, and return the lines that it prints."""
    handle = engine.start(ServiceSpec("subject", "built", image, command=("sleep", "600")))
    status, output = engine.exec(handle, ["sh", "-ec", command])
    assert status == 0, output
    return output.splitlines()


def list_images(footprint: Footprint) -> set[str]:
    return {image["Id"] for image in footprint.client.api.images(all=True)}


@pytest.mark.parametrize("ignore", [".dockerignore", "Dockerfile.dockerignore"])
def test_build__excludes_our_results_from_the_context(either: DockerEngine, context: Path, ignore: str) -> None:
    """Even if the context's own rules include them; the other rules still apply."""
    (context / ".dockerignore").rename(context / ignore)
    with (context / ignore).open("a", encoding="utf-8") as file:
        file.write("!results*\n")
    for name in ("results[1]", "results1"):
        (context / name).mkdir()
        (context / name / "result.json").touch()
    run = "RUN test -f app.py -a ! -f notes.md -a -f results1/result.json -a ! -e 'results[1]'\n"
    (context / "Dockerfile").write_text(PLAIN + run, encoding="utf-8")
    assert either.build(BuildSpec("subject", NAME, context, results=context / "results[1]"))
    with pytest.raises(StackError):
        either.build(BuildSpec("subject", NAME, context))


def test_build__leaves_out_the_credentials_of_a_checkout(either: DockerEngine, context: Path) -> None:
    for name in (".git/HEAD", ".git/config", "lib/.git/modules/a/b/config", "lib/config"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("AUTHORIZATION: basic x", encoding="utf-8")
    run = "RUN test -f .git/HEAD -a -f lib/config -a ! -e .git/config -a ! -e lib/.git/modules/a/b/config\n"
    (context / "Dockerfile").write_text(PLAIN + run, encoding="utf-8")
    assert either.build(BuildSpec("subject", NAME, context))


def test_build__supports_everything_that_needs_buildkit(make_engine: MakeEngine, context: Path) -> None:
    (context / "Dockerfile").write_text(NEEDS_BUILDKIT, encoding="utf-8")
    engine = make_engine()
    engine.open(["a"])
    image = engine.build(BuildSpec("subject", NAME, context, target="first", args={"BASE": "python:3.13-slim"}))
    lines = run_shell(engine, image, "cat made; stat --format '%a' secret; readlink link; ls")
    assert lines == ["Linux from a cache", "741", "app.py", "Dockerfile", "app.py", "link", "made", "secret"]


def test_build__caches_that_steps_mount_are_kept_apart_by_namespace(make_engine: MakeEngine, context: Path) -> None:
    engine, name = make_engine(), secrets.token_hex(8)
    engine.open(["a"])

    def build(namespace: str, command: str) -> str:
        step = f"RUN --mount=type=cache,target=/cache {command}\n"
        (context / "Dockerfile").write_text(PLAIN + step, encoding="utf-8")
        args = {"BUILDKIT_CACHE_MOUNT_NS": "base"}  # a configuration does not choose it
        return engine.build(BuildSpec("subject", NAME, context, args=args, cache_namespace=namespace))

    assert build("head", f"touch /cache/{name}")
    assert build("base", f"test ! -e /cache/{name}")
    assert build("head", f"test -e /cache/{name}")


def test_build__supports_heredocs_if_the_engine_does(make_engine: MakeEngine, context: Path) -> None:
    (context / "Dockerfile").write_text(PLAIN + HEREDOC, encoding="utf-8")
    engine = make_engine()
    engine.open(["a"])
    spec = BuildSpec("subject", NAME, context)
    if int(engine.machine().engine_version.partition(".")[0]) >= 23:
        assert run_shell(engine, engine.build(spec), "cat made") == ["lines of", "a heredoc"]
    else:
        with pytest.raises(StackError, match="could not build") as caught:
            engine.build(spec)
        assert caught.value.cause.startswith("dockerfile parse error")


def test_build__reports_what_a_failed_build_printed(make_engine: MakeEngine, context: Path) -> None:
    (context / "Dockerfile").write_text(f"{PLAIN}RUN echo in despair && exit 3\n", encoding="utf-8")
    with pytest.raises(StackError, match="could not build") as caught:
        make_engine().build(BuildSpec("subject", NAME, context))
    assert caught.value.cause.endswith("exit code: 3")
    assert any(line.endswith("in despair") for line in caught.value.log)


def test_build__stops_a_build_that_hangs(either: DockerEngine, context: Path) -> None:
    (context / "Dockerfile").write_text(f"{PLAIN}RUN echo waiting; sleep 300\n", encoding="utf-8")
    with pytest.raises(StackError) as caught:
        either.build(BuildSpec("subject", NAME, context, limit_s=15))
    assert caught.value.cause == "the build was stopped after 15 s"
    assert any("waiting" in line for line in caught.value.log)


def test_build__prefers_the_ignore_file_of_the_dockerfile(either: DockerEngine, context: Path) -> None:
    (context / "Dockerfile.dockerignore").write_text("secret\n*.dockerignore\n", encoding="utf-8")
    image = either.build(BuildSpec("subject", NAME, context))
    assert run_shell(either, image, "ls") == ["Dockerfile", "app.py", "link", "notes.md"]


def test_build__accepts_a_dockerfile_outside_its_context(either: DockerEngine, context: Path) -> None:
    (context / "Dockerfile").rename(context.parent / "Dockerfile.app")
    image = either.build(BuildSpec("subject", NAME, context, dockerfile="../Dockerfile.app"))
    assert run_shell(either, image, "ls") == ["app.py", "link", "secret"]


def test_build__refuses_what_the_classic_builder_would_get_wrong(footprint: Footprint, context: Path) -> None:
    (context / "Dockerfile").write_text(f"{PLAIN}RUN cat <<EOF >settings\none = 1\nEOF\n", encoding="utf-8")
    engine = DockerEngine(make_owner(footprint), {**os.environ, "PATH": ""})
    with pytest.raises(StackError, match="could not build") as caught:
        engine.build(BuildSpec("subject", NAME, context))
    assert "needs BuildKit" in caught.value.advice


def test_build__makes_the_same_image_from_the_same_sources(either: DockerEngine, context: Path) -> None:
    spec = BuildSpec("subject", NAME, context)
    assert either.build(spec) == either.build(replace(spec, name=f"{NAME}:base"))


def test_build__keeps_the_image_of_each_of_two_runs_that_share_a_name(
    make_engine: MakeEngine, context: Path, footprint: Footprint
) -> None:
    ours, others = make_engine(), make_engine()
    spec = BuildSpec("subject", NAME, context)
    (context / "app.py").write_text("first", encoding="utf-8")
    first = ours.build(spec)
    (context / "app.py").write_text("second", encoding="utf-8")
    second = others.build(spec)
    others.remove()
    ours.open(["a"])
    assert run_shell(ours, first, "cat app.py") == ["first"]
    ours.remove()
    assert list_images(footprint) & {first, second} == {second}


def test_remove__removes_an_image_that_lost_its_name_and_keeps_a_named_one(
    make_engine: MakeEngine, context: Path, footprint: Footprint
) -> None:
    spec, ids = BuildSpec("subject", NAME, context), []
    for text in ("one", "two", "two"):
        (context / "app.py").write_text(text, encoding="utf-8")
        engine = make_engine()
        ids.append(engine.build(spec))
        engine.remove()
    assert ids[1] == ids[2] != ids[0]
    assert list_images(footprint) & set(ids) == {ids[2]}


def test_remove__keeps_images_of_others(
    make_engine: MakeEngine, context: Path, footprint: Footprint, engine: DockerEngine
) -> None:
    """Even if they have no name and are unused: the label decides."""
    (context / "app.py").write_text(secrets.token_hex(), encoding="utf-8")
    build = ["docker", "build", "--quiet", str(context)]
    theirs = subprocess.run(
        build, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    ).stdout.strip()
    try:
        (context / "app.py").write_text("ours", encoding="utf-8")
        run = make_engine()
        run.build(BuildSpec("subject", NAME, context))
        run.remove()
        engine.sweep()
        assert theirs in list_images(footprint)
    finally:
        footprint.client.images.remove(theirs)
