"""PostgreSQL's data directory, new for each run."""

import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench_action.engine.commands import postgres_command
from bench_action.engine.local.cache import made_once
from bench_action.engine.local.processes import Account
from bench_action.engine.local.servers import Servers
from bench_action.engine.protocol import ServiceSpec
from bench_action.model.errors import StackError

_BELOW_DATA = ("-c", "dynamic_shared_memory_type=mmap")  # so that it goes with the data
_ADVICE = {
    "No space left": "the disk is full: TMPDIR names another place",
    "user does not exist": "run as a user that /etc/passwd knows; in a container, as root",
}


def init_cluster(
    servers: Servers, data: Path, spec: ServiceSpec, env: Mapping[str, str], *, account: Account | None, cache: Path
) -> None:
    """A new data directory: a copy of one that `initdb` made once, which takes most of a second. Raises StackError."""
    template = cache / f"cluster-{_fingerprint(servers['initdb'], env, account)}"
    made_once(template, lambda: _init(servers["initdb"], template, spec, env, account))
    _run(spec, ["cp", "--archive", str(template / "data"), str(data)], env, data.parent)
    # no server runs yet: a single-user one takes a statement a line from standard input
    alone = [servers["postgres"], "--single", "-D", str(data), "-c", "fsync=off", *_BELOW_DATA, "postgres"]
    password = env["POSTGRES_PASSWORD"].replace("'", "''")
    statement = f"ALTER ROLE \"{env['POSTGRES_USER']}\" PASSWORD '{password}'\n"
    _run(spec, alone, env, data.parent, account=account, text=statement)


def _fingerprint(initdb: str, env: Mapping[str, str], account: Account | None) -> str:
    """Whatever a cluster takes from where it is made: program, superuser, owner, the machine's time zone."""
    program = Path(initdb).stat()
    zone = (env.get("TZ", ""), str(Path("/etc/localtime").resolve()))
    parts = (initdb, program.st_mtime_ns, program.st_size, env["POSTGRES_USER"], account, *zone)
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def _init(initdb: str, template: Path, spec: ServiceSpec, env: Mapping[str, str], account: Account | None) -> None:
    """As the official image does it: passwords over TCP, UTF-8. The superuser's is another in each copy."""
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
        env["POSTGRES_USER"],
        f"--pwfile={password}",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
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
        command,
        env=dict(env),
        cwd=folder,
        capture_output=True,
        text=True,
        input=text,
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        output = done.stdout + done.stderr
        raise StackError(
            f"{spec.name}: its database cluster cannot be made",
            cause=f"{Path(command[0]).name} ended with status {done.returncode}",
            advice=next((advice for sign, advice in _ADVICE.items() if sign in output), ""),
            log=output.splitlines()[-10:],
        )


def postgres_argv(servers: Servers, data: Path, spec: ServiceSpec, port: int) -> list[str]:
    """The server's command line. Its data need not survive a crash of the machine, as on a container's tmpfs."""
    program, *rest = postgres_command(spec)
    places = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": data.parent, "fsync": "off"}
    own = [word for name, value in places.items() for word in ("-c", f"{name}={value}")]
    return [servers[program], "-D", str(data), *_BELOW_DATA, *own, *rest]
