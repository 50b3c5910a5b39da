"""Several machines on this one, each with its own engine and SSH server: real containers, a real overlay, real wrk."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.hosts.machines import Machine, Machines, bring_up, make_key

# three engines and a Swarm, whose members must hear of each other within seconds, are enough for one machine
pytestmark = [pytest.mark.docker, pytest.mark.alone]

LIMIT_S = 150
# an application that asks Redis for each reply, with nothing but Python
APPLICATION = """\
import os, socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
local = threading.local()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if not hasattr(local, "cache"):
            local.cache = socket.create_connection((os.environ["CACHE"], 6379))
        local.cache.sendall(b"GET a\\r\\n")
        local.cache.recv(100)
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass

ThreadingHTTPServer.request_queue_size = 100
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
CONFIG = f"""\
services: {{redis: {{image: "redis:8"}}}}
profiles: {{home: {{path: /, connections: 8, threads: 2, duration: 1s}}}}
variants:
  app:
    image: python:3.13-slim
    command: ["python3", "-u", "-c", {json.dumps(APPLICATION)}]
    port: 8000
    env: {{CACHE: "{{redis.host}}"}}
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Three machines: the application has a CPU, the services and wrk have the other one."""
    with bring_up({"app": "0", "services": "1", "load": "1"}, disks={"services": "1g"}) as machines:
        machines.copy_images(["python:3.13-slim"], ["app", "load"])
        machines.copy_images(["redis:8"], ["services"])
        strangers = {name: add_strangers(machine) for name, machine in machines.by_name.items() if name != "app"}
        yield machines
        # one more command removes what lost hosts have kept, and nothing is ever touched that is not ours
        folder = tmp_path_factory.mktemp("last")
        (folder / "bench.yml").write_text(CONFIG, encoding="utf-8")
        done = call(make_command(machines, "check", "--hosts"), folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert list_left(machines) == {}
        assert {name: list_strangers(machines[name]) for name in strangers} == strangers


def add_strangers(machine: Machine) -> list[str]:
    """Let somebody else have a container, a network and a volume on a machine, with names like ours."""
    image = machine.docker("image", "ls", "--quiet").split()[0]
    machine.docker("create", "--name", "bench-action-stranger", image)
    machine.docker("network", "create", "bench-action-stranger")
    machine.docker("volume", "create", "bench-action-stranger")
    return list_strangers(machine)


def list_strangers(machine: Machine) -> list[str]:
    kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    return [machine.docker(*kind, "--quiet", "--filter", "name=bench-action-stranger") for kind in kinds]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "bench.yml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def make_command(machines: Machines, *words: str, **changed: str) -> list[str]:
    """Make a command of the tool on the machines; `changed`: other files or hosts than theirs."""
    roles = {role: changed.get(role, machines[role].url) for role in ("app", "services", "load")}
    hosts = [word for role, url in roles.items() for word in ("--host", f"{role}={url}")]
    files = ["--ssh-key", changed.get("key", str(machines.key))]
    files += ["--known-hosts", changed.get("known_hosts", str(machines.known_hosts))]
    return [sys.executable, "-m", "bench_action", *words, *hosts, *files]


def call(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S)


def list_left(machines: Machines) -> dict[str, str]:
    return {name: left for name, machine in machines.by_name.items() if (left := machine.list_left())}


def read_result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bench-results/result.json").read_text(encoding="utf-8"))
    return found


def start_run(machines: Machines, project: Path, until: str = "count") -> "subprocess.Popen[str]":
    """Start a run that goes on for long, and return once it is in a phase. Its output is in the file `log`."""
    log = project / "log"
    with log.open("w", encoding="utf-8") as file:
        command = make_command(machines, "run", "--preset", "ci", "--self-test")
        run = subprocess.Popen(command, cwd=project, stdout=file, stderr=file, text=True)
    wait_for_trials(run, project, log, until)
    return run


def wait_for_trials(run: "subprocess.Popen[Any]", project: Path, log: Path, phase: str = "count") -> None:
    """Wait until a run has finished two trials of a phase."""
    trials = project / "bench-results/trials.jsonl"
    deadline = time.monotonic() + LIMIT_S
    while not trials.exists() or trials.read_text(encoding="utf-8").count(f'"phase":"{phase}"') < 2:
        if run.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the run does not measure: {log.read_text(encoding='utf-8')}")
        time.sleep(0.1)


def end_run(run: "subprocess.Popen[str]", project: Path) -> str:
    run.wait(LIMIT_S)
    return (project / "log").read_text(encoding="utf-8")


def test_run__each_part_on_its_own_host_and_nothing_is_left_after_an_interrupt(
    machines: Machines, project: Path
) -> None:
    run = start_run(machines, project, until="duet")
    run.send_signal(signal.SIGINT)
    text = end_run(run, project)
    assert run.returncode == 130, text
    assert list_left(machines) == {}
    result = read_result(project)
    assert [host["roles"] for host in result["environment"]["hosts"]] == ["application", "wrk", "services"]
    assert result["environment"]["network_bytes_per_s"] > 1e6
    assert "application on CPU 0, services on CPU 1 and wrk on CPU 1, of their hosts" in str(result["placement"])
    trials = result["trials"]
    assert all({"application", "cache"} <= set(trial["cpu_ms"]) for trial in trials)
    assert {trial["work"]["cache_commands"] for trial in trials if trial["phase"] == "count"} == {50}
    loaded = [trial for trial in trials if trial["phase"] in {"capacity", "duet"}]
    assert all(set(trial["host_busy"]) == {"application", "services", "wrk"} for trial in loaded)
    duets = [trial for trial in trials if trial["phase"] == "duet"]
    assert duets
    assert all(trial["application_idle"] is not None and trial["marks"] and trial["warm_up"] for trial in duets)
    assert machines["app"].address not in (project / "bench-results/result.json").read_text(encoding="utf-8")


def test_run__of_two_load_generators_adds_up(machines: Machines, project: Path) -> None:
    """The second one is on the services' host."""
    command = make_command(machines, "run", "--preset", "quick", "--max-minutes", "0.1")
    done = call([*command, "--host", f"load={machines['services'].url}"], project)
    assert done.returncode == 0, done.stderr
    (host,) = [host for host in read_result(project)["environment"]["hosts"] if "wrk" in host["roles"][:3]]
    assert host["roles"] == "wrk"
    loaded = [trial for trial in read_result(project)["trials"] if trial["phase"] == "capacity"]
    assert loaded
    for trial in loaded:
        assert (trial["connections_live"], trial["connections_asked"]) == (8, 8)
        assert set(trial["host_busy"]) == {"application", "wrk", "services and wrk"}
        assert trial["requests"] > 100
        assert trial["latency"]["min_us"] <= trial["latency"]["p50_us"] <= trial["latency"]["max_us"]
        assert not trial["warnings"]
    assert "CPU of application" in done.stdout
    assert list_left(machines) == {}


def test_check__proves_the_network(machines: Machines, project: Path) -> None:
    done = call(make_command(machines, "check", "--hosts"), project)
    assert done.returncode == 0, done.stderr
    assert re.search(r"ok +Swarm +3 hosts, managed by app", done.stdout)
    assert "all reach each other" in done.stdout
    assert list_left(machines) == {}


def test_key__that_is_refused(machines: Machines, project: Path) -> None:
    make_key(project / "stranger")
    done = call(make_command(machines, "run", key=str(project / "stranger")), project)
    assert done.returncode == 3
    assert "it rejects the SSH key" in done.stderr
    assert f"ssh-copy-id root@{machines['app'].address}" in done.stderr


def test_host_key__that_is_another(machines: Machines, project: Path) -> None:
    make_key(project / "other")
    wrong = (project / "other.pub").read_text(encoding="ascii")
    lines = machines.known_hosts.read_text(encoding="ascii").splitlines(keepends=True)
    (project / "known").write_text("".join([f"{machines['app'].address} {wrong}", *lines[1:]]), encoding="ascii")
    done = call(make_command(machines, "run", known_hosts=str(project / "known")), project)
    assert done.returncode == 3
    assert "its host key has changed" in done.stderr
    (project / "known").write_text("".join(lines[1:]), encoding="ascii")
    done = call(make_command(machines, "check", known_hosts=str(project / "known")), project)
    assert done.returncode == 3
    assert "its host key is not known" in done.stdout


def test_host__that_is_not_there(machines: Machines, project: Path) -> None:
    nowhere = f"ssh://root@{machines['app'].address}:2022"
    done = call(make_command(machines, "check", app=nowhere), project)
    assert done.returncode == 3
    assert "nothing answers at its SSH port" in done.stdout
    done = call(make_command(machines, "check", app=f"{machines['app'].url}/run/nothing.sock"), project)
    assert done.returncode == 3
    assert "no Docker engine answers at /run/nothing.sock" in done.stdout


def test_engine__that_is_stopped_in_mid_trial(machines: Machines, project: Path) -> None:
    run = start_run(machines, project)
    machines["services"].stop_engine()
    text = end_run(run, project)
    machines["services"].start_engine()
    wait_for_swarm(machines)
    assert run.returncode == 3, text
    assert "services (root@" in text
    assert re.search(r"kept: +\d+ finished trials", text)
    assert read_result(project)["trials"]


def test_host__that_loses_its_power_in_mid_trial(machines: Machines, project: Path) -> None:
    run = start_run(machines, project)
    machines["app"].kill()
    text = end_run(run, project)
    machines.start(machines["app"])
    wait_for_swarm(machines)
    assert run.returncode == 3, text
    assert "app (root@" in text
    assert re.search(r"kept: +\d+ finished trials", text)


def test_link__that_is_cut_in_mid_trial(machines: Machines, project: Path) -> None:
    run = start_run(machines, project)
    machines["app"].cut()
    text = end_run(run, project)
    machines["app"].plug_in()
    wait_for_swarm(machines)
    assert run.returncode == 3, text
    assert "the connection to app (root@" in text
    assert "could not clean app" in text
    assert re.search(r"kept: +\d+ finished trials", text)


def test_step__that_is_killed_is_cleaned_up_after_by_its_post_step(machines: Machines, project: Path) -> None:
    hosts = "\n".join(f"{role}={machines[role].url}" for role in ("app", "services", "load"))
    state, log = project / "state", project / "log"
    state.touch()
    inputs = {"HOSTS": hosts, "SSH-KEY": machines.key.read_text(encoding="ascii"), "PRESET": "quick"}
    inputs |= {"KNOWN-HOSTS": machines.known_hosts.read_text(encoding="ascii")}
    event = project / "event.json"
    event.write_text('{"repository": {"default_branch": "main"}}', encoding="utf-8")
    job = {"GITHUB_REPOSITORY": "org/shop", "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(event)}
    job |= {"GITHUB_RUN_ID": "1", "GITHUB_JOB": "bench", "GITHUB_WORKSPACE": str(project), "GITHUB_STATE": str(state)}
    environ = {**os.environ, **job, **{f"INPUT_{name}": value for name, value in inputs.items()}}
    command = [sys.executable, "-m", "bench_action", "action"]
    with log.open("w", encoding="utf-8") as file:
        run = subprocess.Popen(command, cwd=project, env=environ, stdout=file, stderr=file)
    wait_for_trials(run, project, log)
    ssh = find_children(run.pid)
    assert ssh
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_until_gone(ssh)
    assert list_left(machines)
    saved = (line.split("=", 1) for line in state.read_text(encoding="utf-8").splitlines())
    environ |= {f"STATE_{name}": value for name, value in saved}
    done = subprocess.run([*command, "--sweep"], cwd=project, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "removed what an earlier run left behind" in done.stdout
    assert list_left(machines) == {}
    shown = [line for line in log.read_text(encoding="utf-8").splitlines() if not line.startswith("::")]
    for secret in (machines.key.read_text(encoding="ascii").splitlines()[1], machines["app"].address):
        assert secret not in "\n".join([*shown, done.stdout])


def test_network__whose_packets_are_smaller(machines: Machines, project: Path) -> None:
    with SmallerPackets(machines["services"], 1000):
        done = call(make_command(machines, "check", "--hosts"), project)
    assert done.returncode == 3, done.stdout
    assert "large packets are lost between" in done.stderr
    assert "set `mtu` in `hosts`" in done.stderr
    assert list_left(machines) == {}


def test_network__whose_ports_are_closed(machines: Machines, project: Path) -> None:
    rule = ("INPUT", "-p", "udp", "--dport", "4789", "-j", "DROP")
    machines["services"].run("iptables", "-I", *rule)
    try:
        done = call(make_command(machines, "check", "--hosts"), project)
    finally:
        machines["services"].run("iptables", "-D", *rule)
    assert done.returncode == 3, done.stdout
    assert "cannot reach" in done.stderr
    assert "4789/udp" in done.stderr
    assert list_left(machines) == {}


def test_swarm__that_a_host_is_not_in(machines: Machines, project: Path) -> None:
    machines["load"].docker("swarm", "leave", "--force")
    done = call(make_command(machines, "run"), project)
    machines.join_one(machines["load"])
    assert done.returncode == 3
    assert re.search(r"load \(root@.*\) is in no Swarm", done.stderr)
    assert "docker swarm join-token worker" in done.stderr


def test_disk__that_is_full(machines: Machines, project: Path) -> None:
    fill_disk(machines["services"], left_kb=100)
    done = call(make_command(machines, "run"), project)
    free_disk(machines["services"])
    assert done.returncode == 3
    assert "no space left on device" in done.stderr
    assert "on services (root@" in done.stderr
    assert list_left(machines) == {}


def fill_disk(machine: Machine, left_kb: int) -> None:
    data = machine.folder / "docker"
    free_kb = int(machine.run("df", "--output=avail", "-k", str(data)).stdout.split()[-1])
    machine.run("fallocate", "--length", f"{free_kb - left_kb}K", str(data / "fill"))


def free_disk(machine: Machine) -> None:
    machine.run("rm", str(machine.folder / "docker/fill"))


def wait_for_swarm(machines: Machines) -> None:
    deadline = time.monotonic() + LIMIT_S
    while set(machines["app"].docker("node", "ls", "--format", "{{.Status}}").split()) != {"Ready"}:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def find_children(pid: int) -> list[int]:
    """Find the processes that a process has started, and those that they have."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in found] + [each for child in found for each in find_children(int(child))]


def wait_until_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and not is_zombie(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_zombie(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return True


class SmallerPackets:
    """While it is entered, the link of a machine takes smaller packets, and drops larger ones that arrive."""

    def __init__(self, machine: Machine, mtu: int) -> None:
        self._machine, self._mtu = machine, mtu
        size = ["-m", "length", "--length", f"{mtu + 1}:65535"]
        self._rules = [(chain, "-p", "udp", "--dport", "4789", *size, "-j", "DROP") for chain in ("INPUT", "OUTPUT")]

    def __enter__(self) -> None:
        for rule in self._rules:
            self._machine.run("iptables", "-I", *rule)

    def __exit__(self, *_: object) -> None:
        for rule in self._rules:
            self._machine.run("iptables", "-D", *rule)
