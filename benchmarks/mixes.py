"""Measure what a mix costs wrk: `.venv/bin/python benchmarks/mixes.py [--rounds 10]` (docs/architecture.md shows it).

One nginx on one CPU serves an empty page; wrk, on another, sends one request or a mix of three with data in them. Both
in each round, in random order: requests/s, and wrk's CPU time for a request.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_action.config.mixes import read_mixes
from bench_action.config.schema import Config, Profile
from bench_action.engine.protocol import Handle
from bench_action.load import agent
from bench_action.load.tape import build_tape
from bench_action.load.wrk import Report, build_order, parse_report

_PORT = 18_480
_SECONDS = 3
_NGINX = """\
daemon off;
worker_processes 1;
worker_cpu_affinity 0001;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""
_LOAD = {"connections": 64, "threads": 1, "duration": _SECONDS}
_PROFILES = {
    "one request": {"path": "/items/12345?page=2", **_LOAD},
    "a mix with data": {
        "requests": [
            {"path": "/items/{random: 10000..50000}?page=2", "weight": 6},
            {"path": "/search?q={random: 1..999}", "weight": 3},
            {"path": "/orders/{random: 1..999}"},
        ],
        **_LOAD,
    },
    "a mix with serial numbers": {"requests": [{"path": "/items/{seq}"}, {"path": "/orders/{seq}"}], **_LOAD},
}


def main() -> None:
    """Measure, and print the medians and the ratio to one request within each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    config = Config.model_validate({"variants": {"nginx": {"build": "."}}, "profiles": name_keys(_PROFILES)})
    profiles = dict(zip(_PROFILES, read_mixes(config, Path(), Path("/")).profiles.values(), strict=True))
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in profiles}
    with serving():
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        for _ in range(rounds):
            for name in random.sample(list(profiles), len(profiles)):
                report = measure(profiles[name])
                seen[name].append((report.requests / report.duration_s, 1e6 * report.generator_cpu_s / report.requests))
    print(f"{'':>26} {'requests/s':>11} {'ratio':>7} {'wrk µs/request':>15}")
    first = seen["one request"]
    for name, values in seen.items():
        ratio = statistics.median(own[0] / other[0] for own, other in zip(values, first, strict=True))
        rate, cost = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:>26} {rate:>11,.0f} {ratio:>7.3f} {cost:>15.2f}")


def name_keys(profiles: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Name profiles as a configuration may."""
    return {name.replace(" ", "-"): profile for name, profile in profiles.items()}


def measure(profile: Profile) -> Report:
    """One run of wrk."""
    tape = build_tape(Handle("", "nginx", "subject", "127.0.0.1", _PORT), profile, str, 1)
    messages = [message.order for message in tape.messages]
    agent.obey({"op": "keep", "tape": tape.name, "forget": [], "messages": messages})
    load = build_order(profile, tape, duration_s=_SECONDS, parts={}, limit_s=60.0)
    return parse_report(agent.wrk(load.order), "nginx")


@contextmanager
def serving() -> Iterator[None]:
    """Run nginx, with its files in a folder that is removed."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(nginx).exists():
        raise SystemExit("there is no nginx: install it (Debian: `scripts/packages.sh nginx-light`)")
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(_NGINX.format(port=_PORT))
        with subprocess.Popen([nginx, "-p", folder, "-c", str(configuration), "-e", "error.log"]) as server:
            try:
                wait()
                yield
            finally:
                server.terminate()


def wait() -> None:
    """Wait until it answers."""
    for _ in range(50):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/"):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise SystemExit("nginx does not answer")


if __name__ == "__main__":
    main()
