"""Reach a host's Docker engine by SSH: OpenSSH forwards the engine's socket to one on this machine."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench_action.model.errors import StackError
from bench_action.model.hosts import Host, SshFiles

_CONNECT_S = 10
_OPEN_S = 20.0
_ALIVE_S, _ALIVE_COUNT = 5, 3  # ssh gives up a host that has not answered for 15 s
_CLOSE_S = 3.0
_CLOSING_S = 0.5
# The shell ends ssh when its own input does, which is when this process ends, even by SIGKILL.
_UNTIL_WE_END = """
exec 3<&0
"$@" 3<&- </dev/null & ssh=$!
{ read -r _ <&3; kill "$ssh"; } 2>/dev/null & reader=$!
wait "$ssh"
status=$?
kill "$reader" 2>/dev/null
exit "$status"
"""
_OPTIONS = {
    "BatchMode": "yes",
    "ExitOnForwardFailure": "yes",
    "StrictHostKeyChecking": "yes",
    "StreamLocalBindUnlink": "yes",
    "ConnectTimeout": str(_CONNECT_S),
    "ServerAliveInterval": str(_ALIVE_S),
    "ServerAliveCountMax": str(_ALIVE_COUNT),
    "ControlMaster": "no",
    "ControlPath": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "Tunnel": "no",
    "LogLevel": "INFO",
}


class Tunnel:
    """The way to a host's engine. `address` is what Docker clients on this machine connect to."""

    def __init__(self, host: Host, files: SshFiles, environ: Mapping[str, str]) -> None:
        self.host = host
        self._files, self._environ = files, environ
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._ssh: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The address of the socket on this machine."""
        return f"unix://{self._socket}" if self.host.name else self.host.url

    def has_just_closed(self) -> bool:
        """Return whether ssh has ended, after waiting a moment: sockets close shortly before it ends."""
        if self._ssh is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._ssh.wait(_CLOSING_S)
        return not self.is_open

    @property
    def is_open(self) -> bool:
        """Whether ssh still runs."""
        return not self.host.name or (self._ssh is not None and self._ssh.poll() is None)

    def open(self) -> None:
        """Connect, again if the connection was lost. Raises StackError that says why it is not possible."""
        if self.is_open:
            return
        program = shutil.which("ssh", path=self._environ.get("PATH"))
        if program is None:
            raise StackError("ssh not found on this machine", advice="install OpenSSH's client")
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="bench-action-ssh-")
        self._socket.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._ssh = subprocess.Popen(  # noqa: S603 (the configuration can name no option of ssh)
                ["/bin/sh", "-c", _UNTIL_WE_END, "sh", program, *self._make_arguments()],
                env=dict(self._environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: the hosts are still to be cleaned
            )
        self._wait()

    def close(self) -> None:
        """Close the connection. Never raises."""
        self._give_up()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def explain(self) -> str:
        """Return the last line that ssh has printed, which may say why the engine cannot be reached."""
        with contextlib.suppress(OSError):
            return self._read_log().rpartition("\n")[2].strip()
        return ""

    def _read_log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace").strip()

    @property
    def _socket(self) -> Path:
        return self._path / "engine.sock"

    @property
    def _log(self) -> Path:
        return self._path / "ssh.log"

    @property
    def _path(self) -> Path:
        return Path(self._folder.name) if self._folder is not None else Path()

    def _make_arguments(self) -> list[str]:
        host, files = self.host, self._files
        options = dict(_OPTIONS)
        if files.known_hosts:
            options |= {"UserKnownHostsFile": _quote(files.known_hosts), "GlobalKnownHostsFile": "/dev/null"}
        options |= {"IdentitiesOnly": "yes"} if files.key else {}
        words = ["-N", "-T", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
        words += ["-i", files.key] if files.key else []
        words += ["-l", host.user] if host.user else []
        words += ["-p", str(host.port)] if host.port else []
        return [*words, "-L", f"{self._socket}:{host.socket}", "--", host.name]

    def _wait(self) -> None:
        deadline = time.monotonic() + _OPEN_S
        while not is_listening(self._socket):
            if not self.is_open or time.monotonic() > deadline:
                said = self._read_log()
                self._give_up()
                raise make_connection_error(self.host, said or f"no connection within {_OPEN_S:g} s")
            time.sleep(0.01)

    def _give_up(self) -> None:
        if self._ssh is not None:
            self._end(self._ssh)
            self._ssh = None

    @staticmethod
    def _end(ssh: "subprocess.Popen[bytes]") -> None:
        if ssh.stdin is not None:
            with contextlib.suppress(OSError):
                ssh.stdin.close()  # the shell ends ssh
        try:
            ssh.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ssh.pid, 9)
            ssh.wait()


def _quote(path: str) -> str:
    """Write a path as a value of ssh's configuration."""
    return '"' + path.replace("%", "%%") + '"'


# what ssh prints → what is wrong, and how to put it right
_FAULTS: Sequence[tuple[str, str, str]] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key has changed: it was installed again, or somebody intercepts the connection",
        "compare `ssh-keyscan {scan}` with /etc/ssh/ssh_host_*_key.pub there; run `ssh-keygen -R {known}`, and add it",
    ),
    (
        r"Host key verification failed|host key is known|authenticity of host",
        "its host key is not known",
        "compare `ssh-keyscan {scan}` with /etc/ssh/ssh_host_*_key.pub there, and add it to known_hosts",
    ),
    (
        r"invalid format|error in libcrypto|UNPROTECTED PRIVATE KEY|incorrect passphrase",
        "ssh cannot use the key file",
        "give a private key of OpenSSH without a passphrase, which only you may read (`chmod 600`)",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it rejects the SSH key",
        "run `ssh-copy-id {destination}`, or give the key that it knows (`--ssh-key`)",
    ),
    (r"Could not resolve|Name or service not known", "its name is not known", "write its IP address, or fix DNS"),
    (r"Connection refused", "nothing answers at its SSH port", "start sshd there, or give its port: ssh://{name}:PORT"),
    (
        r"timed out|No route to host|Network is unreachable|no connection within",
        "it cannot be reached",
        "check that it runs, and that its SSH port is open for this machine",
    ),
    (
        r"administratively prohibited|forwarding .*disabled",
        "its sshd forwards no sockets",
        "set `AllowStreamLocalForwarding yes` in its sshd_config",
    ),
)


def is_listening(path: Path) -> bool:
    """Whether a program listens at a socket; its file is there a moment earlier, when connections are still refused."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def make_connection_error(host: Host, said: str) -> StackError:
    """Make the error for what ssh has said, with the command that puts it right."""
    port = f"-p {host.port} " if host.port else ""
    names = {
        "name": f"[{host.name}]" if ":" in host.name else host.name,
        "destination": f"{port}{host.destination}",
        "scan": f"-p {host.port} {host.name}" if host.port else host.name,
        "known": f"[{host.name}]:{host.port}" if host.port else host.name,
    }
    for pattern, cause, advice in _FAULTS:
        if re.search(pattern, said, re.IGNORECASE):
            return StackError(
                f"no SSH connection to {host.url}",
                cause=cause,
                advice=advice.format(**names),
                log=said.splitlines()[-5:],
            )
    return StackError(
        f"no SSH connection to {host.url}",
        cause=said.splitlines()[-1] if said else "ssh exited without a message",
        advice=f"try `ssh -v {names['destination']}`",
        log=said.splitlines()[-5:],
    )
