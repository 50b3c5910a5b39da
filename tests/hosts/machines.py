"""Several machines on one: each with its own namespaces, Docker engine, SSH server and address.

A machine is a set of namespaces (network, mounts, processes, host name). Its first process reaps the others, and ends
when this process does; the kernel then ends everything in the machine. A switch, which is a bridge in one more network
namespace, joins them with the machine that the tests run on. As root.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

NETWORK = "10.213.0"
_CABLE = "bahosts"  # the interface of the machine that the tests run on
_START_S = 60.0
_CGROUPS = Path("/sys/fs/cgroup")
_PARENT = "bench-action-hosts"
# The first process of a machine: it says that it is there, then waits for the end of its input and of its children.
_FIRST = """
hostname "$1"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd /run/lock
ip link set lo up
echo there
while :; do read -r -t 3600 _ || (($? > 128)) || exit 0; done
"""


class MachineError(Exception):
    """A machine that could not be brought up."""


@dataclass(slots=True)
class Machine:
    """One machine: `pid` is its first process, as this machine sees it. `cpus`: those that its containers may use.

    `disk`: the size of its engine's disk, such as `1g`, which then is in memory.
    """

    name: str
    address: str
    folder: Path
    cpus: str = ""
    mtu: int = 1500
    disk: str = ""
    pid: int = 0
    _first: "subprocess.Popen[str] | None" = None
    _engine: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where the tool reaches it."""
        return f"ssh://root@{self.address}"

    @property
    def socket(self) -> Path:
        """Its engine's socket, as this machine sees it."""
        return Path("/proc", str(self.pid), "root", "run", "docker.sock")

    @property
    def log(self) -> Path:
        """What its engine has printed."""
        return self.folder / "dockerd.log"

    @property
    def _groups(self) -> str:
        return f"{_PARENT}-{self.folder.parent.name}-{self.name}"

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        done = subprocess.run(self._enter(*argv), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise MachineError(f"{self.name}: {' '.join(argv)} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def docker(self, *argv: str) -> str:
        """Run a command of Docker's client on its engine, and return its output."""
        command = ["docker", "--host", f"unix://{self.socket}", *argv]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise MachineError(f"{self.name}: docker {' '.join(argv)} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def list_left(self) -> str:
        """List what runs of the tool have left on its engine: containers, networks and volumes; empty if nothing."""
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        found = (self.docker(*kind, "--quiet", "--filter", "label=bench-action") for kind in kinds)
        return " ".join(text.replace("\n", " ") for text in found if text)

    def boot(self) -> None:
        """Start its first process, plug its cable in, and start SSH."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unshare = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with (self.folder / "first.log").open("ab") as log:
            self._first = subprocess.Popen(
                [*unshare, "--propagation", "private", "bash", "-c", _FIRST, "bash", self.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        if self._first.stdout is None or self._first.stdout.readline().strip() != "there":
            raise MachineError(f"{self.name} does not start: {(self.folder / 'first.log').read_text()}")
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text(encoding="ascii")
        self.pid = int(children.split()[0])

    def start_sshd(self, folder: Path) -> None:
        """Start an SSH server with the host key of this machine, which lets root in with the key in `folder`."""
        key = self.folder / "ssh_host_key"
        if not key.exists():
            make_key(key)
        options = {
            "HostKey": key,
            "AuthorizedKeysFile": folder / "key.pub",
            "PidFile": "/run/sshd.pid",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self.run("/usr/sbin/sshd", "-f", "/dev/null", *words)

    def stop_sshd(self) -> None:
        """Stop its SSH server, and end its connections."""
        self.run("pkill", "-x", "sshd", check=False)

    def start_engine(self, *options: str) -> None:
        """Start its Docker engine."""
        self._limit_cpus()
        data = self.folder / "docker"
        data.mkdir(exist_ok=True)
        if self.disk and self.run("mountpoint", "--quiet", str(data), check=False).returncode:
            self.run("mount", "-t", "tmpfs", "-o", f"size={self.disk}", "tmpfs", str(data))
        with self.log.open("ab") as log:
            self._engine = subprocess.Popen(
                self._enter(
                    "dockerd",
                    f"--data-root={data}",
                    f"--cgroup-parent=/{self._groups}",
                    "--host=unix:///run/docker.sock",
                    *options,
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(MachineError):
                self.docker("version")
                return
            if self._engine.poll() is not None or time.monotonic() > deadline:
                raise MachineError(f"{self.name}: the engine does not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop_engine(self) -> None:
        """Stop its engine, which stops its containers."""
        self.run("pkill", "-x", "dockerd", check=False)
        if self._engine is not None:
            self._engine.wait(_START_S)
        self._engine = None

    def kill(self) -> None:
        """Cut its power: everything in it ends immediately, and its disk is kept."""
        if self._first is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._first.wait()
            for pipe in (self._first.stdin, self._first.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._first = None
        if self._engine is not None:
            self._engine.wait()
            self._engine = None
        remove_groups(self._groups)

    def cut(self) -> None:
        """Unplug its cable."""
        self.run("ip", "link", "set", "eth0", "down")

    def plug_in(self) -> None:
        """Plug its cable in again."""
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "replace", "default", "via", f"{NETWORK}.1")

    def _limit_cpus(self) -> None:
        """Let its containers use its CPUs only. Cpusets of version 1 need their memory nodes as well."""
        folder = _CGROUPS / "cpuset" / self._groups
        if folder.parent.is_dir():
            folder.mkdir(exist_ok=True)
            for name, value in (("cpuset.cpus", self.cpus), ("cpuset.mems", "")):
                text = value or (folder.parent / name).read_text(encoding="ascii").strip()
                (folder / name).write_text(text, encoding="ascii")

    def _enter(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", "--uts", "--pid", "--", *argv]


@dataclass(slots=True)
class Machines:
    """Machines with their switch; `folder` has the key that opens all of them, and the host keys that are known."""

    folder: Path
    by_name: dict[str, Machine] = field(default_factory=dict)
    _switch: "subprocess.Popen[str] | None" = None

    def __getitem__(self, name: str) -> Machine:
        """Return a machine by its name."""
        return self.by_name[name]

    @property
    def key(self) -> Path:
        """The private key that every machine lets in."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        """The host keys of the machines, for OpenSSH."""
        return self.folder / "known_hosts"

    def boot(self, cpus: Mapping[str, str], disks: Mapping[str, str], *, mtu: int = 1500) -> None:
        """Bring up machines (name → their CPUs), with an engine each, in one Swarm. `disks`: name → size."""
        self._start_switch(mtu)
        make_key(self.key)
        for number, (name, own) in enumerate(cpus.items()):
            machine = Machine(name, f"{NETWORK}.{11 + number}", self.folder / name, own, mtu, disks.get(name, ""))
            self.by_name[name] = machine
            self.start(machine)
        self.write_known_hosts()
        self.join()

    def start(self, machine: Machine) -> None:
        """Start a machine: its namespaces, its cable, SSH and its engine."""
        machine.boot()
        self._plug_in(machine)
        machine.start_sshd(self.folder)
        machine.start_engine()

    def join(self) -> None:
        """Make the first machine the manager of a Swarm, and let the others join it."""
        first, *others = self.by_name.values()
        first.docker("swarm", "init", "--advertise-addr", first.address)
        for machine in others:
            self.join_one(machine)

    def join_one(self, machine: Machine) -> None:
        """Let a machine join the Swarm of the first one."""
        first = next(iter(self.by_name.values()))
        token = first.docker("swarm", "join-token", "--quiet", "worker")
        machine.docker("swarm", "join", "--token", token, f"{first.address}:2377")

    def write_known_hosts(self) -> None:
        """Write down the host keys of all machines."""
        lines = [
            f"{machine.address} {(machine.folder / 'ssh_host_key.pub').read_text(encoding='ascii')}"
            for machine in self.by_name.values()
        ]
        self.known_hosts.write_text("".join(lines), encoding="ascii")

    def copy_images(self, names: Sequence[str], targets: Sequence[str] = ()) -> None:
        """Copy images of this machine's engine to the engines of machines, of all if none are named."""
        with tempfile.TemporaryDirectory() as folder:
            archive = f"{folder}/images.tar"
            subprocess.run(["docker", "save", "--output", archive, *names], check=True)
            for name in targets or self.by_name:
                self[name].docker("load", "--quiet", "--input", archive)

    def remove(self) -> None:
        """Take everything away, and the disks too."""
        for machine in self.by_name.values():
            machine.kill()
        if self._switch is not None:
            self._switch.kill()
            self._switch.communicate()
        run_here("ip", "link", "delete", _CABLE, check=False)
        for rule in _list_rules():
            run_here("iptables", *rule[0], "-D", *rule[1:], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_switch(self, mtu: int) -> None:
        self._switch = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo there; read -r _"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._switch.stdout is None or self._switch.stdout.readline().strip() != "there":
            raise MachineError("the switch does not start")
        self._run_in_switch("ip", "link", "add", "switch", "mtu", str(mtu), "type", "bridge")
        self._run_in_switch("ip", "link", "set", "switch", "up")
        self._add_cable(_CABLE, os.getpid(), "here", mtu)
        run_here("ip", "address", "add", f"{NETWORK}.1/24", "dev", _CABLE)
        run_here("ip", "link", "set", _CABLE, "up")
        # builds in the machines need package indexes
        for rule in _list_rules():
            run_here("iptables", *rule[0], "-I", *rule[1:])
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")

    def _plug_in(self, machine: Machine) -> None:
        self._add_cable("eth0", machine.pid, machine.name, machine.mtu)
        machine.run("ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
        machine.plug_in()

    def _add_cable(self, interface: str, pid: int, port: str, mtu: int) -> None:
        """Join the switch and the network namespace of a process; the port of the switch is named."""
        self._run_in_switch("ip", "link", "delete", f"p-{port}", check=False)
        peer = ["peer", "name", interface, "mtu", str(mtu), "netns", str(pid)]
        self._run_in_switch("ip", "link", "add", f"p-{port}", "mtu", str(mtu), "type", "veth", *peer)
        self._run_in_switch("ip", "link", "set", f"p-{port}", "master", "switch", "up")

    def _run_in_switch(self, *argv: str, check: bool = True) -> None:
        if self._switch is not None:
            run_here("nsenter", "--target", str(self._switch.pid), "--net", "--", *argv, check=check)


def _list_rules() -> list[tuple[tuple[str, ...], *tuple[str, ...]]]:
    """List the rules that let the machines reach other networks: options of iptables, then chain and rule."""
    network = f"{NETWORK}.0/24"
    return [
        (("-t", "nat"), "POSTROUTING", "-s", network, "!", "-d", network, "-j", "MASQUERADE"),
        ((), "FORWARD", "-s", network, "-j", "ACCEPT"),
        ((), "FORWARD", "-d", network, "-j", "ACCEPT"),
    ]


def run_here(*argv: str, check: bool = True) -> None:
    """Run a command on this machine."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise MachineError(f"{' '.join(argv)} failed: {done.stderr.strip()}")


def make_key(path: Path) -> None:
    """Make a key pair without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def remove_groups(name: str) -> None:
    """Remove the control groups of a machine, whose processes have ended."""
    for controller in _CGROUPS.iterdir():
        for folder, _, _ in os.walk(controller / name, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


@contextmanager
def bring_up(
    cpus: Mapping[str, str], disks: Mapping[str, str] = MappingProxyType({}), *, mtu: int = 1500
) -> Iterator[Machines]:
    """Bring up machines, and take them away again; see `Machines.boot`."""
    machines = Machines(Path(tempfile.mkdtemp(prefix="bench-action-hosts-")))
    try:
        machines.boot(cpus, disks, mtu=mtu)
        yield machines
    finally:
        machines.remove()
