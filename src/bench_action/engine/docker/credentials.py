"""Logging in to registries for one run, in a separate Docker configuration: the user's is only read."""

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_action.model.errors import InputError

_CONFIG = "config.json"
# the key of Docker's own registry in a configuration, and its other names
_HUB = "https://index.docker.io/v1/"
_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"}


@dataclass(frozen=True, slots=True)
class Login:
    """A registry (host, and port if any), and who logs in there."""

    registry: str
    user: str
    password: str = field(repr=False)


@contextmanager
def add_logins(logins: Sequence[Login], environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yield the environment in which Docker's programs are logged in to these registries, too.

    Its DOCKER_CONFIG is a folder for this user only, which is removed afterwards; it has everything that the present
    one has. Raises InputError if the present configuration cannot be read.
    """
    if not logins:
        yield environ
        return
    present = find_config_folder(environ)
    with tempfile.TemporaryDirectory(prefix="bench-action-docker-") as name:
        folder = Path(name)
        for entry in sorted(present.iterdir()) if present.is_dir() else ():
            if entry.name != _CONFIG:
                (folder / entry.name).symlink_to(entry.absolute())
        config = _merge(_read(present / _CONFIG), logins)
        (folder / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
        yield {**environ, "DOCKER_CONFIG": name}


def find_config_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of Docker's configuration, which need not exist."""
    if folder := environ.get("DOCKER_CONFIG"):
        return Path(folder)
    return Path(environ.get("HOME") or "~").expanduser() / ".docker"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"could not read Docker's configuration {path}", cause=str(error)) from error
    return config if isinstance(config, dict) else {}


def _merge(config: Mapping[str, Any], logins: Sequence[Login]) -> dict[str, Any]:
    """Add logins to a configuration, without the program that keeps passwords: Docker would ask that one instead."""
    names = {login: _HUB if login.registry in _HUB_NAMES else login.registry for login in logins}
    added = {
        name: {"auth": base64.b64encode(f"{login.user}:{login.password}".encode()).decode()}
        for login, name in names.items()
    }
    helpers = {name: program for name, program in config.get("credHelpers", {}).items() if name not in added}
    kept = {name: value for name, value in config.items() if name not in {"credsStore", "credHelpers"}}
    return {**kept, "auths": {**config.get("auths", {}), **added}, **({"credHelpers": helpers} if helpers else {})}
