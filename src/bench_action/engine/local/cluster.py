"""PostgreSQL's data directory, made anew for each run."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench_action.engine.commands import postgres_command
from bench_action.engine.local.processes import Account
from bench_action.engine.local.servers import Servers
from bench_action.engine.protocol import ServiceSpec
from bench_action.model.errors import StackError

_ADVICE = {
    "No space left": "the disk is full: TMPDIR names another place",
    "user does not exist": "run as a user that /etc/passwd knows; in a container, as root",
}


def init_cluster(
    servers: Servers, data: Path, spec: ServiceSpec, env: Mapping[str, str], account: Account | None
) -> None:
    """`initdb` as the official image does it: passwords over TCP, UTF-8. Raises StackError with its output."""
    password = data.with_suffix(".password")
    password.write_text(env["POSTGRES_PASSWORD"] + "\n", encoding="ascii")
    if account is not None:
        os.chown(password, account.uid, account.gid)
    command = [
        servers["initdb"], "--pgdata", str(data), "--username", env["POSTGRES_USER"], f"--pwfile={password}",
        "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603
        command, env=dict(env), cwd=data.parent, capture_output=True, text=True,
        check=False, user=account.uid if account else None, group=account.gid if account else None,
        extra_groups=[] if account else None,
    )  # fmt: skip
    if done.returncode:
        output = done.stdout + done.stderr
        raise StackError(
            f"{spec.name}: its database cluster cannot be made",
            cause=f"initdb ended with status {done.returncode}",
            advice=next((advice for sign, advice in _ADVICE.items() if sign in output), ""),
            log=output.splitlines()[-10:],
        )


def postgres_argv(servers: Servers, data: Path, spec: ServiceSpec, port: int) -> list[str]:
    """The server's command line. Its data need not survive a crash of the machine, as on a container's tmpfs."""
    program, *rest = postgres_command(spec)
    places = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": data.parent, "fsync": "off",
              "dynamic_shared_memory_type": "mmap"}  # below its data, so that it goes with them  # fmt: skip
    own = [word for name, value in places.items() for word in ("-c", f"{name}={value}")]
    return [servers[program], "-D", str(data), *own, *rest]
