"""Bring three machines up on this one, measure the built-in applications over them, and take everything away again.

    python -m tests.hosts.demo [OPTION OF bench-action run…]

The application has CPU 0, the services and wrk share CPU 1. As root; needs OpenSSH's server, and an engine that has the
base images.
"""

import subprocess
import sys
import time
from pathlib import Path

from tests.hosts.machines import Machines, bring_up

CPUS = {"app": "0", "services": "1", "load": "1"}
IMAGES = {"app": ["python:3.13-slim"], "services": ["postgres:17", "redis:8"], "load": ["python:3.13-slim"]}


def make_options(machines: Machines) -> list[str]:
    """Make the options that let the tool use machines that are called as their roles."""
    hosts = [word for role in ("app", "services", "load") for word in ("--host", f"{role}={machines[role].url}")]
    return [*hosts, "--ssh-key", str(machines.key), "--known-hosts", str(machines.known_hosts)]


def copy_images(machines: Machines) -> None:
    """Give each machine the base images that belong there, from this machine's engine."""
    for name, images in IMAGES.items():
        machines.copy_images(images, [name])


def main() -> int:
    """Run the demonstration; return the tool's exit status, or 1 if something was left on a machine."""
    arguments = sys.argv[1:] or ["--preset", "quick"]
    with bring_up(CPUS) as machines:
        _say("three machines are up, in one Swarm; copying images to them")
        copy_images(machines)
        command = [sys.executable, "-m", "bench_action", "run", *make_options(machines), *arguments]
        status = subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode
        left = [f"{machine.name}: {found}" for machine in machines.by_name.values() if (found := machine.list_left())]
    _say("\n".join(["left on the machines:", *left]) if left else "nothing was left on the machines, and they are gone")
    return status or int(bool(left))


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
