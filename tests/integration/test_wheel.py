"""The wheel: everything that the package reads at run time is in it, PyPI accepts it, and `uvx` runs it."""

import json
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def run_uvx(wheel: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the wheel as `uvx` would, with the locked versions, in an environment that uv makes for it."""
    command = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "--constraints", "requirements/runtime.txt"]
    command = [part if part != "requirements/runtime.txt" else str(ROOT / part) for part in command]
    command += ["--from", str(wheel), "bench-action", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def test_wheel__has_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    source = ROOT / "src"
    files = [
        path for path in (source / "bench_action").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    expected = {path.relative_to(source).as_posix(): path.read_bytes() for path in files}
    assert {name: packed.get(name) for name in expected} == expected
    assert {Path(name).suffix for name in expected} >= {".py", ".j2", ".css", ".js"}


def test_wheel__is_accepted_by_pypi_and_its_description_needs_no_repository(wheel: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    assert {label.partition(",")[0] for label in metadata.get_all("Project-URL", [])} >= {"Homepage", "Changelog"}
    targets = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


def test_wheel__runs_with_uvx_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    version = run_uvx(wheel, tmp_path, "--version")
    assert version.returncode == 0, version.stderr
    assert version.stdout.split()[-1] in wheel.name
    schema = run_uvx(wheel, tmp_path, "schema")
    assert "properties" in json.loads(schema.stdout)
