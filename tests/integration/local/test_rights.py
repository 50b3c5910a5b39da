"""What code of a pull request can do on this machine without Docker, and which packages it gets."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.local.test_local_engine import make_engine, make_subject

from bench_action.engine.local import LocalEngine
from bench_action.engine.local import environments as environments_module
from bench_action.engine.local.accounts import Account, RunAccount, run_as
from bench_action.engine.local.cluster import init_cluster
from bench_action.engine.local.environments import Environments, list_files
from bench_action.engine.local.servers import Servers
from bench_action.engine.protocol import BuildSpec, LocalForm, ServiceSpec
from bench_action.model.errors import InputError, StackError

pytestmark = pytest.mark.integration

# Builds a wheel of one module, which says as whom and with which variables it was built.
BACKEND = """
import os, pathlib, zipfile
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "vendored-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        built = (os.getuid(), sorted(os.environ), pathlib.Path('value').read_text())
        wheel.writestr("vendored.py", f"BUILT = {built!r}")
        wheel.writestr("vendored-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: vendored\\nVersion: 1\\n")
        facts = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("vendored-1.dist-info/WHEEL", facts)
        wheel.writestr("vendored-1.dist-info/RECORD", "")
    return name
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
HIDES = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        os.execve("/bin/sleep", ["sleep", "600"], {})
    os._exit(0)
time.sleep(600)
"""
ESCAPES = """
import os, pathlib, sys
def attempt(what, action):
    try:
        print(what, repr(action()), flush=True)
    except OSError as error:
        print(what, "refused", flush=True)
home = pathlib.Path(os.environ["HOME"])
print("uid", os.getuid())
attempt("secret", lambda: pathlib.Path("secret").read_text())
attempt("log", lambda: home.with_name("app.log").unlink())
attempt("list", lambda: os.listdir(home.parent))
attempt("plant", lambda: home.with_name("x-data").mkdir())
attempt("environment", lambda: pathlib.Path("/proc", str(os.getppid()), "environ").read_bytes())
"""


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    engine = make_engine("rights")
    engine.open([])
    yield engine
    engine.remove()


@pytest.fixture
def account() -> Iterator[Account | None]:
    reserved = RunAccount()
    yield reserved.reserve()
    reserved.release()


@pytest.fixture
def python(account: Account | None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Python that the account may run: the tests' own may be in root's home."""
    for python in (sys.executable, "/usr/bin/python3"):
        command = [python, "-m", "pip", "--version"]
        try:
            done = subprocess.run(command, check=False, capture_output=True, cwd="/", env={}, **run_as(account))
        except OSError:
            continue
        if done.returncode == 0:
            monkeypatch.setattr(sys, "executable", python)
            return python
    pytest.fail("no Python found that another account may run, with pip (Debian: python3-pip)")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """An application with a separate package next to it."""
    folder = tmp_path / "sources"
    (folder / "vendored").mkdir(parents=True)
    (folder / "vendored" / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (folder / "vendored" / "backend.py").write_text(BACKEND, encoding="utf-8")
    (folder / "vendored" / "value").write_text("first", encoding="utf-8")
    (folder / "requirements.txt").write_text("-r common.txt\n", encoding="utf-8")
    (folder / "common.txt").write_text("./vendored  # ours\n", encoding="utf-8")
    for module in ("pip", "venv", "json"):  # which must not be taken for these modules
        (folder / f"{module}.py").write_text("raise SystemExit('this is not the module')\n", encoding="utf-8")
    return folder


def make(sources: Path, folder: Path, account: Account | None) -> Path:
    for name in ("cache", "run"):
        (folder / name).mkdir(exist_ok=True)
    folder.chmod(0o755)
    environ = {**os.environ, "GITHUB_TOKEN": "x"}
    environments = Environments("run", folder / "cache", folder / "run", account, environ)
    return environments.make(LocalForm([], sources, sources / "requirements.txt", sources))


def read_package(python: Path) -> str:
    (module,) = python.parent.parent.glob("lib/*/site-packages/vendored.py")
    return module.read_text(encoding="utf-8")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other accounts may enter; pytest's are closed to them."""
    with tempfile.TemporaryDirectory(prefix="bench-action-test-environments-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_environment__has_what_its_requirements_refer_to_and_was_built_without_rights(
    sources: Path, open_folder: Path, account: Account | None, python: str
) -> None:
    assert python == sys.executable
    folder = open_folder
    first = make(sources, folder, account)
    built = read_package(first)
    assert "GITHUB_TOKEN" not in built
    assert "'first'" in built
    assert account is None or f"BUILT = ({account.uid}," in built
    assert first.stat(follow_symlinks=False).st_uid == os.geteuid()
    place = first.parent.parent
    assert not [path for path in place.rglob("*") if path.lstat().st_uid != os.geteuid()]
    assert not place.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    assert make(sources, folder, account) == first
    (sources / "vendored" / "value").write_text("second", encoding="utf-8")
    second = make(sources, folder, account)
    assert second != first, "the same text, but another package"
    assert "'second'" in read_package(second)


def test_environment__of_an_editable_package_is_of_this_run_only(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report: list[dict[str, Any]] = [
        {
            "download_info": {"url": sources.as_uri(), "dir_info": {"editable": True}},
            "metadata": {"name": "vendored", "version": "1"},
        }
    ]
    monkeypatch.setattr(Environments, "_resolve", lambda *_: report)
    monkeypatch.setattr(Environments, "_install", lambda _, place, __, **___: place.mkdir())
    assert make(sources, tmp_path, None).is_relative_to(tmp_path / "run")
    (sources / "common.txt").write_text("a==1 --hash=sha256:0\n", encoding="utf-8")
    monkeypatch.setattr(Environments, "_resolve", lambda *_: pytest.fail("hashes already say what is installed"))
    hashed = make(sources, tmp_path, None)
    assert hashed.is_relative_to(tmp_path / "cache")
    (sources / "common.txt").write_text("a==1 --hash=sha256:1\n", encoding="utf-8")
    assert make(sources, tmp_path, None) != hashed


def test_requirements__that_are_no_files_of_the_repository_are_not_read(sources: Path, tmp_path: Path) -> None:
    requirements = sources / "requirements.txt"
    assert [path.name for path in list_files(requirements, sources)] == ["requirements.txt", "common.txt"]
    (tmp_path / "secret.txt").write_text("a", encoding="ascii")
    (sources / "link.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(sources / "pipe")
    (sources / "long.txt").write_bytes(b"#" * (environments_module._LARGEST + 1))
    for name in ("link.txt", "../secret.txt", "/etc/passwd", "pipe", "long.txt", "absent.txt"):
        (sources / "common.txt").write_text(f"-r {name}\n", encoding="utf-8")
        with pytest.raises(InputError, match="could not read the requirements"):
            list_files(requirements, sources)


def test_build__explains_sources_that_it_could_not_copy(engine: LocalEngine, sources: Path, python: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has an account that may not read the sources")
    assert python == sys.executable
    os.mkfifo(sources / "pipe")
    local = LocalForm([], sources, sources / "requirements.txt", sources)
    with pytest.raises(StackError, match="could not read the sources of app"):
        engine.build(BuildSpec("subject", "app", sources, local=local))


def test_subject__has_no_rights_over_its_run(engine: LocalEngine, tmp_path: Path, python: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has rights to give up")
    (tmp_path / "secret").write_text("of the user", encoding="utf-8")
    (tmp_path / "secret").chmod(0o600)
    spec = make_subject(engine, tmp_path / "app", ESCAPES)
    engine._pythons[spec.image] = Path(python)
    (tmp_path / "app" / "secret").symlink_to(tmp_path / "secret")
    handle = engine.start(spec)
    engine._running[handle.id].wait(30)
    printed = dict(line.split(" ", 1) for line in engine.logs(handle))
    assert printed.pop("uid") not in {"0", str(engine_account_of_postgres())}
    assert set(printed.values()) == {"refused"}, printed
    assert (tmp_path / "secret").stat().st_uid == 0


def test_remove__finds_a_process_that_has_hidden_where_it_came_from(engine: LocalEngine, python: str) -> None:
    account = engine._account
    if account is None or not account.exclusive:
        pytest.skip("only root has accounts to give away")
    with tempfile.TemporaryDirectory() as folder:
        spec = make_subject(engine, Path(folder), HIDES)
        engine._pythons[spec.image] = Path(python)
        engine.start(spec)
        deadline = time.monotonic() + 30
        while not any(process.name() == "sleep" for process in account.find_processes()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        engine.remove()
    assert account.find_processes() == []


@pytest.mark.parametrize(
    "env",
    [
        {"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": "a\nCOPY (SELECT 1) TO PROGRAM 'touch {}/planted'"},
        {"POSTGRES_USER": "a\nCOPY (SELECT 1) TO PROGRAM 'touch {}/planted'", "POSTGRES_PASSWORD": "a"},
        {"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD_FILE": "/run/secrets/password"},
    ],
)
def test_cluster__runs_nothing_of_the_configuration(
    engine: LocalEngine, open_folder: Path, env: dict[str, str]
) -> None:
    open_folder.chmod(0o777)
    env = {name: value.format(open_folder) for name, value in env.items()}
    with pytest.raises(StackError, match="could not create the database cluster"):
        engine.start(ServiceSpec("postgres", "postgres", "postgres:17", env=env))
    assert not list(open_folder.iterdir())


def test_subject__is_not_run_as_root_for_what_is_in_its_environment(
    engine: LocalEngine, open_folder: Path, python: str
) -> None:
    """Requirements run code when they are installed, which may put anything in the place of Python."""
    if os.geteuid() != 0:
        pytest.skip("only root has rights to give up")
    assert python == sys.executable
    spec = make_subject(engine, open_folder / "app", "")
    planted = open_folder / "python"
    planted.write_text("#!/bin/sh\nid -u\n", encoding="ascii")
    planted.chmod(0o700)
    engine._pythons[spec.image] = planted
    handle = engine.start(spec)
    engine._running[handle.id].wait(30)
    assert engine.logs(handle) != ["0"]


def test_cluster__is_made_without_the_environment_of_the_service(open_folder: Path) -> None:
    """As one of /etc/passwd, which may own the machine's databases, and for a cache that later runs use."""
    listed = Account.find_listed()
    if listed is None:
        pytest.skip("only root has accounts to give away")
    traces, cache = open_folder / "traces", open_folder / "cache"
    for folder in (traces, cache):
        folder.mkdir(mode=0o755)
    traces.chmod(0o777)
    env = {"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": "it's", "LD_DEBUG": "files"}
    spec = ServiceSpec("postgres", "postgres", "", env={**env, "LD_DEBUG_OUTPUT": f"{traces}/trace"})
    own = {"PATH": os.environ["PATH"]}
    init_cluster(Servers(own["PATH"]), open_folder / "data", spec, own, account=None, cache=cache)
    assert not list(traces.iterdir())
    (template,) = cache.glob("cluster-*/data")
    assert {path.lstat().st_uid for path in (template, *template.rglob("*"))} == {os.geteuid()}
    assert (open_folder / "data").stat().st_uid == listed.uid


def engine_account_of_postgres() -> int:
    listed = Account.find_listed()
    return listed.uid if listed else 0


def test_clients__have_neither_our_environment_nor_our_rights(engine: LocalEngine) -> None:
    handle = engine.start(ServiceSpec("load", "load", ""))
    status, output = engine.exec(handle, ["sh", "-c", "id -u; env"])
    assert status == 0
    assert "SECRET_OF_OURS" not in output
    assert os.geteuid() != 0 or output.splitlines()[0] != "0"


def test_accounts__of_two_runs_differ() -> None:
    first, second = RunAccount(), RunAccount()
    accounts = [first.reserve(), second.reserve()]
    assert accounts == [None, None] or accounts[0] != accounts[1]
    first.release()
    second.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")
def test_can_run__a_link_in_a_folder_that_is_closed_leads_nowhere() -> None:
    """As a virtual environment in root's home does, whose `python` is a link to /usr/bin/python3."""
    for mode, found in ((0o755, True), (0o700, False)):
        folder = Path(tempfile.mkdtemp())
        try:
            (folder / "python").symlink_to("/bin/true")
            folder.chmod(mode)
            assert Account(65534, 65534).can_run(folder / "python") is found
        finally:
            shutil.rmtree(folder)
