"""PostgreSQL's data directory, fresh for each run."""

import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench_action.engine.commands import make_postgres_command
from bench_action.engine.local.accounts import Account, give, run_as
from bench_action.engine.local.cache import make_once
from bench_action.engine.local.servers import Servers
from bench_action.engine.protocol import ServiceSpec
from bench_action.model.errors import StackError

_AUTHENTICATION = ("--auth-local=scram-sha-256", "--auth-host=scram-sha-256")
_BELOW_DATA = ("-c", "dynamic_shared_memory_type=mmap")  # so that it is removed with the data
_NAME, _TEXT = '"', "'"  # how SQL quotes them
_ADVICE = {
    "No space left": "the disk is full: set TMPDIR to a folder with more space",
    "user does not exist": "run as a user listed in /etc/passwd; in a container, as root",
}


def init_cluster(
    servers: Servers, data: Path, spec: ServiceSpec, env: Mapping[str, str], *, account: Account | None, cache: Path
) -> None:
    """Create a data directory by copying a cached one, as `initdb` takes most of a second. Raises StackError.

    `env`: without any variable of the service, as what runs here keeps the cached one, and runs as an account of
    /etc/passwd, as `initdb` requires. `account`: whom the directory belongs to in the end.
    """
    listed, user, password = Account.find_listed(), spec.env["POSTGRES_USER"], _find_password(spec)
    template = cache / f"cluster-{_compute_fingerprint(servers['initdb'], user, env)}"
    make_once(template, lambda: _init_template(servers["initdb"], template, spec, env, listed))
    copy_cluster(template / "data", data)
    if listed is not None:
        listed.own(data)
    # no server is running yet: one in single-user mode reads a statement per line from standard input
    single_user = [servers["postgres"], "--single", "-D", str(data), "-c", "fsync=off", *_BELOW_DATA, "postgres"]
    statement = f"ALTER ROLE {_quote(user, _NAME)} PASSWORD {_quote(password, _TEXT)}\n"
    _run(spec, single_user, env, data, account=listed, text=statement)
    if account is not None:
        account.own(data)


def _find_password(spec: ServiceSpec) -> str:
    """Find the password of the superuser. Raises StackError if it is in a file, or on several lines."""
    password = spec.env.get("POSTGRES_PASSWORD", "")
    if not password or len((password + spec.env["POSTGRES_USER"]).splitlines()) > 1:
        raise StackError(
            f"could not create the database cluster of {spec.name}",
            cause="without containers, the password is not read from a file, and user and password are of one line",
            advice="set POSTGRES_PASSWORD to a text of one line, or leave it out",
        )
    return password


def _quote(text: str, mark: str) -> str:
    return f"{mark}{text.replace(mark, 2 * mark)}{mark}"


def copy_cluster(source: Path, target: Path) -> None:
    """Copy a data directory that no server uses, with its owner. Raises StackError."""
    command = ["cp", "--archive", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise _make_error(target.name.removesuffix("-data"), "cp", done.returncode, done.stderr)


def _compute_fingerprint(initdb: str, user: str, env: Mapping[str, str]) -> str:
    """Hash everything that a cluster depends on: program, superuser, and the machine's time zone."""
    program = Path(initdb).stat()
    zone = (env.get("TZ", ""), str(Path("/etc/localtime").resolve()))
    parts = (initdb, program.st_mtime_ns, program.st_size, user, *_AUTHENTICATION, *zone)
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
    command = [
        initdb,
        "--pgdata",
        str(template / "data"),
        "--username",
        spec.env["POSTGRES_USER"],
        f"--pwfile={password}",
    ]
    command += [*_AUTHENTICATION, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    _run(spec, command, env, template, account=account)
    password.unlink()
    give(template, os.geteuid(), os.getegid())  # nothing else that runs as this account may change what is copied


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
