"""The examples: what each repository says is valid, and the slowdowns of two of them are found and named."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from scripts.examples import EXAMPLES, FOLDER, OWN_FILES, PATCH, ROOT, Example, correct, make_repository
from tests.e2e.conftest import COMMAND, Tool
from tests.git import git

from bench_action.config.load import load_project

pytestmark = pytest.mark.e2e

_BUILD = ROOT / "tests" / "images" / "build.sh"
_SHORT = ("--preset", "ci", "--max-minutes", "0.1")


@pytest.fixture(scope="session")
def compose() -> Mapping[str, str]:
    """The environment in which docker has compose."""
    done = subprocess.run([ROOT / "scripts" / "compose.sh"], capture_output=True, text=True, check=True)
    return {"DOCKER_CONFIG": done.stdout.strip()}


@pytest.fixture(params=list(EXAMPLES))
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


def clone(example: Example, folder: Path) -> Path:
    """A clone of the example's repository: its slowdown on top of itself."""
    make_repository(example, folder / "origin")
    git(folder, "clone", "--quiet", "origin", "clone")
    return folder / "clone"


def shorten(folder: Path) -> None:
    """Load it for a second at a time, in both commits of its clone."""
    git(folder, "checkout", "--quiet", "--detach", "main~1")
    file = folder / "bench.yml"
    text = file.read_text(encoding="utf-8")
    assert text.count("duration: 2s") == 1
    file.write_text(text.replace("duration: 2s", "duration: 1s, warmup: 1s"), encoding="utf-8")
    git(folder, "commit", "--quiet", "--all", "--message", "shorter")
    git(folder, "cherry-pick", "main")


def list_files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def list_base_images(folder: Path) -> set[str]:
    """The images that are pulled for its Dockerfile and its compose file."""
    (file,) = list_files(folder, "*compose.y*ml")
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"].values()
    lines = (folder / "Dockerfile").read_text(encoding="utf-8").splitlines()
    stages = [line.split()[1] for line in lines if line.startswith("FROM ")]
    return ({service["image"] for service in services if "image" in service} | set(stages)) - {"scratch"}


def list_obtainable_images(names: tuple[str, ...]) -> set[str]:
    """The images that tests/images/build.sh gets for these names, and without a name."""
    text = _BUILD.read_text(encoding="utf-8")
    plain = re.search(r"^readonly images=\((.*)\)$", text, re.MULTILINE)
    optional = {name: images.strip('"') for name, images in re.findall(r'\[(\w+)\]=("[^"]+"|[^\s")]+)', text)}
    assert plain is not None
    return {*plain[1].split(), *(image for name in names for image in optional[name].split())}


def test_examples__are_all_folders_with_a_slowdown() -> None:
    assert {path.parent.name for path in FOLDER.glob(f"*/{PATCH}")} == set(EXAMPLES)
    assert {path.parent.name for path in FOLDER.glob("*/*compose.y*ml")} == set(EXAMPLES)


def test_example__is_read_before_and_after_its_slowdown(
    example: Example, tmp_path: Path, compose: Mapping[str, str]
) -> None:
    folder = clone(example, tmp_path)
    readings = []
    for revision in ("HEAD~1", "HEAD"):
        git(folder, "checkout", "--quiet", revision)
        readings.append(load_project(folder / "bench.yml", "ci", environ={**os.environ, **compose}))
    base, head = (reading.config for reading in readings)
    assert base == head, "a slowdown is in the application, not in what is measured"
    (variant,) = base.variants.values()
    assert variant.build is not None
    assert {service.kind for service in base.services.values()} >= {"postgres"}
    assert len(base.profiles) == 1
    assert not list(folder.glob("bench-results"))


def test_example__is_measured_with_what_init_writes_for_it(
    example: Example, tmp_path: Path, compose: Mapping[str, str]
) -> None:
    folder = tmp_path / "origin"
    make_repository(example, folder, unwanted=OWN_FILES)
    subprocess.run([*COMMAND, "init"], cwd=folder, check=True, capture_output=True)
    correct(example, folder / "bench.yml")
    (own, written) = (
        load_project(each / "bench.yml", "ci", environ={**os.environ, **compose}).config
        for each in (example.folder, folder)
    )
    assert written.variants.keys() == own.variants.keys()
    assert [one.path for one in own.profiles.values()] == [one.path for one in written.profiles.values()]


def test_example__is_measured_by_the_workflow_that_the_others_have(example: Example) -> None:
    file = example.folder / ".github" / "workflows" / "benchmark.yml"
    (steps,) = (job["steps"] for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values())
    assert [step["uses"].partition("@")[0] for step in steps] == [
        "actions/checkout",
        "org/bench-action",
        "actions/upload-artifact",
    ]
    long = "        with:\n          max-minutes: 9 # the JVM needs a long warm-up in each block\n"
    text = file.read_text(encoding="utf-8")
    assert (long in text) == (example.name == "jvm")
    first = next(iter(EXAMPLES.values())).folder / ".github" / "workflows" / "benchmark.yml"
    assert text.replace(long, "") == first.read_text(encoding="utf-8")


def test_example__is_based_on_images_that_the_tests_can_get(example: Example) -> None:
    images = list_base_images(example.folder) - {"nginx:1.26"}  # not measured: it is in front of the application
    assert images <= list_obtainable_images(example.images)
    assert "nginx:1.26" in list_obtainable_images(("nginx",))


def test_example__is_small_and_says_what_it_shows(example: Example) -> None:
    readme = (example.folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert len([line for line in readme if line]) == 2
    assert PATCH in readme[-1]
    code = [path for suffix in ("py", "js", "go", "rb", "php", "java") for path in example.folder.rglob(f"*.{suffix}")]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in code) <= 250


@pytest.mark.parametrize("name", ["django", "express"])
def test_example__has_its_slowdown_found_and_named(name: str, tool: Tool, compose: Mapping[str, str]) -> None:
    example = EXAMPLES[name]
    if example.images:
        subprocess.run([_BUILD, *example.images], check=True)
    folder = clone(example, tool.folder)
    shorten(folder)
    finished = replace(tool, folder=folder).run(*_SHORT, "--baseline", "HEAD~1", **compose)
    assert finished.status == 1, finished.stderr
    assert finished.result.verdict == "regressed"
    assert re.search(example.cause, finished.report)
