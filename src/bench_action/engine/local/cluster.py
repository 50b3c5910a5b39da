"""PostgreSQL's data directory, fresh for each run."""

import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench_action.engine.commands import make_postgres_command
from bench_action.engine.local.accounts import Account, run_as
from bench_action.engine.local.cache import make_once
from bench_action.engine.local.servers import Servers
from bench_action.engine.protocol import ServiceSpec
from bench_action.model.errors import StackError

_AUTHENTICATION = ("--auth-local=scram-sha-256", "--auth-host=scram-sha-256")
_BELOW_DATA = ("-c", "dynamic_shared_memory_type=mmap")  # so that it is removed with the data
_ADVICE = {
    "No space left": "the disk is full: set TMPDIR to a folder with more space",
    "user does not exist": "run as a user listed in /etc/passwd; in a container, as root",
}


def init_cluster(
    servers: Servers, data: Path, spec: ServiceSpec, env: Mapping[str, str], *, account: Account | None, cache: Path
) -> None:
    """Create a data directory by copying a cached one, as `initdb` takes most of a second. Raises StackError.

    `account`: whom it belongs to in the end. Until then it belongs to one of /etc/passwd, as `initdb` requires.
    """
    listed = Account.find_listed()
    template = cache / f"cluster-{_compute_fingerprint(servers['initdb'], env, listed)}"
    make_once(template, lambda: _init_template(servers["initdb"], template, spec, env, listed))
    copy_cluster(template / "data", data)
    # no server is running yet: one in single-user mode reads a statement per line from standard input
    single_user = [servers["postgres"], "--single", "-D", str(data), "-c", "fsync=off", *_BELOW_DATA, "postgres"]
    password = env["POSTGRES_PASSWORD"].replace("'", "''")
    statement = f"ALTER ROLE \"{env['POSTGRES_USER']}\" PASSWORD '{password}'\n"
    _run(spec, single_user, env, data, account=listed, text=statement)
    if account is not None:
        account.own(data)


def copy_cluster(source: Path, target: Path) -> None:
    """Copy a data directory that no server uses, with its owner. Raises StackError."""
    command = ["cp", "--archive", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise _make_error(target.name.removesuffix("-data"), "cp", done.returncode, done.stderr)


def _compute_fingerprint(initdb: str, env: Mapping[str, str], account: Account | None) -> str:
    """Hash everything that a cluster depends on: program, superuser, owner, and the machine's time zone."""
    program = Path(initdb).stat()
    zone = (env.get("TZ", ""), str(Path("/etc/localtime").resolve()))
    parts = (initdb, program.st_mtime_ns, program.st_size, env["POSTGRES_USER"], account, *_AUTHENTICATION, *zone)
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def _init_template(
    initdb: str, template: Path, spec: ServiceSpec, env: Mapping[str, str], account: Account | None
) -> None:
    """Run `initdb` as the official image does: passwords over TCP, UTF-8. Each copy gets a different password."""
    shutil.rmtree(template, ignore_errors=True)
    template.mkdir(mode=0o700)
    password = template / "password"
    password.write_text(secrets.token_hex(16) + "\n", encoding="ascii")
    if account is not None:
        os.chown(template, account.uid, account.gid)
        os.chown(password, account.uid, account.gid)
    command = [initdb, "--pgdata", str(template / "data"), "--username", env["POSTGRES_USER"], f"--pwfile={password}"]
    command += [*_AUTHENTICATION, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    _run(spec, command, env, template, account=account)
    password.unlink()


def _run(
    spec: ServiceSpec,
    command: list[str],
    env: Mapping[str, str],
    folder: Path,
    *,
    account: Account | None = None,
    text: str = "",
) -> None:
    done = subprocess.run(  # noqa: S603
        command, env=dict(env), cwd=folder, capture_output=True, text=True, input=text, check=False, **run_as(account)
    )
    if done.returncode:
        raise _make_error(spec.name, Path(command[0]).name, done.returncode, done.stdout + done.stderr)


def _make_error(name: str, program: str, status: int, output: str) -> StackError:
    return StackError(
        f"could not create the database cluster of {name}",
        cause=f"{program} exited with status {status}",
        advice=next((advice for sign, advice in _ADVICE.items() if sign in output), ""),
        log=output.splitlines()[-10:],
    )


def make_postgres_argv(servers: Servers, data: Path, spec: ServiceSpec, port: int) -> list[str]:
    """Make the server's command line. As on a container's tmpfs, its data need not survive a crash of the machine.

    It listens on TCP only, where it wants a password.
    """
    program, *rest = make_postgres_command(spec)
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    local = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [servers[program], "-D", str(data), *_BELOW_DATA, *local, *rest]
