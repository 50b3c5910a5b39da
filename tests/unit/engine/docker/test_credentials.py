"""Logging in to registries in a configuration that only one run uses."""

import base64
import json
from pathlib import Path

import pytest

from bench_action.engine.docker.credentials import Login, add_logins
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

LOGIN = Login("ghcr.io", "someone", "pass word:1")


def encode(login: Login) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{login.user}:{login.password}".encode()).decode()}


def test_add_logins__writes_a_folder_for_the_run_and_removes_it(tmp_path: Path) -> None:
    with add_logins([LOGIN], {"HOME": str(tmp_path), "PATH": "p"}) as environ:
        folder = Path(environ["DOCKER_CONFIG"])
        assert folder.stat().st_mode & 0o777 == 0o700
        assert json.loads((folder / "config.json").read_text(encoding="utf-8")) == {"auths": {"ghcr.io": encode(LOGIN)}}
    assert environ["PATH"] == "p"
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_add_logins__changes_nothing_without_logins() -> None:
    environ = {"HOME": "/x"}
    with add_logins([], environ) as changed:
        assert changed is environ


def test_add_logins__keeps_what_the_users_configuration_has(tmp_path: Path) -> None:
    """A program that keeps passwords would be asked instead of the configuration: it must not be, for ours."""
    (tmp_path / "cli-plugins").mkdir()
    present = {
        "auths": {"other.io": {"auth": "eDp5"}, "ghcr.io": {"auth": "b2xk"}},
        "proxies": {"default": {}},
        "credsStore": "desktop",
        "credHelpers": {"ghcr.io": "old", "gcr.io": "gcloud"},
    }
    (tmp_path / "config.json").write_text(json.dumps(present), encoding="utf-8")
    with add_logins([LOGIN], {"DOCKER_CONFIG": str(tmp_path)}) as environ:
        folder = Path(environ["DOCKER_CONFIG"])
        assert (folder / "cli-plugins").resolve() == tmp_path / "cli-plugins"
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config == {
        "auths": {"other.io": {"auth": "eDp5"}, "ghcr.io": encode(LOGIN)},
        "proxies": {"default": {}},
        "credHelpers": {"gcr.io": "gcloud"},
    }
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == present
    assert (tmp_path / "cli-plugins").is_dir()


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_add_logins__knows_the_names_of_dockers_own_registry(tmp_path: Path, name: str) -> None:
    with add_logins([Login(name, "a", "b")], {"HOME": str(tmp_path)}) as environ:
        config = json.loads((Path(environ["DOCKER_CONFIG"]) / "config.json").read_text(encoding="utf-8"))
    assert list(config["auths"]) == ["https://index.docker.io/v1/"]


def test_add_logins__names_a_configuration_that_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"could not read Docker's configuration .*config\.json"):  # noqa: SIM117
        with add_logins([LOGIN], {"DOCKER_CONFIG": str(tmp_path)}):
            pass


def test_login__does_not_show_its_password() -> None:
    assert "pass" not in repr(LOGIN)
