"""A virtual environment for each set of requirements, cached by their hash."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from bench_action.engine.local.cache import make_once
from bench_action.model.errors import StackError


def make_environment(requirements: Path | None, cache: Path, environ: Mapping[str, str]) -> Path:
    """Return the Python of an environment with these requirements, creating it if necessary. Raises StackError."""
    if requirements is None:
        return Path(sys.executable)
    digest = hashlib.sha256(f"{sys.version}\0{sys.executable}\0".encode())
    digest.update(requirements.read_bytes())
    folder = cache / f"venv-{digest.hexdigest()[:16]}"
    make_once(folder, lambda: _install(folder, requirements, environ))
    return folder / "bin" / "python"


def _install(folder: Path, requirements: Path, environ: Mapping[str, str]) -> None:
    venv, python = [sys.executable, "-m", "venv", "--clear"], str(folder / "bin" / "python")
    if find_spec("pip") is None:  # uv's environments have none
        _run([*venv, str(folder)], requirements, environ)
        pip = [python, "-m", "pip"]
    else:  # giving each environment its own pip takes as long as installing the requirements
        _run([*venv, "--without-pip", str(folder)], requirements, environ)
        pip = [sys.executable, "-m", "pip", "--python", python]
    options = ["--quiet", "--disable-pip-version-check", "--requirement", str(requirements)]
    _run([*pip, "install", *options], requirements, environ)


def _run(command: list[str], requirements: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603
        command, env=dict(environ), cwd=requirements.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(
            f"could not install the requirements {requirements.name}",
            where=f"{requirements.parent.name}/{requirements.name}",
            cause=f"{' '.join(command[1:4])} exited with status {done.returncode}",
            log=(done.stdout + done.stderr).splitlines()[-15:],
        )
