"""Accounts without rights, under which everything runs that is not ours, if we are root."""

import contextlib
import os
import pwd
import random
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench_action.engine.local.reservation import reserve

_KNOWN = ("postgres", "nobody")
# numbers for accounts that exist only while something runs (systemd, "Users, Groups, UIDs and GIDs on systemd systems")
_FIRST, _LAST = 61_184, 65_519
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group that a process runs as. PostgreSQL refuses to run as root.

    `exclusive`: nobody else on this machine has it.
    """

    uid: int
    gid: int
    exclusive: bool = False

    @classmethod
    def find_listed(cls) -> "Account | None":
        """Find an account without rights in /etc/passwd, which `initdb` needs, if we are root, else None."""
        if os.geteuid() != 0:
            return None
        for name in _KNOWN:
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid)
        return cls(65534, 65534)

    def can_run(self, program: Path) -> bool:
        """Return whether this account may run a program by this path; it may not run one, or a link, in root's home."""
        return self._test("-x", program.absolute())

    def can_read(self, path: Path) -> bool:
        """Return whether this account may read a file, or list a folder."""
        return self._test("-r", path)

    def own(self, path: Path) -> None:
        """Give a folder and everything in it to this account: links themselves, never what they lead to."""
        give(path, self.uid, self.gid)

    def find_processes(self) -> list[psutil.Process]:
        """Find every process of this account, if it is exclusive: also one that hides where it came from."""
        processes = []
        for process in psutil.process_iter() if self.exclusive else ():
            with contextlib.suppress(psutil.Error):
                if process.uids().real == self.uid and process.status() != psutil.STATUS_ZOMBIE:
                    processes.append(process)
        return processes

    def _test(self, option: str, path: Path) -> bool:
        command = ["test", option, str(path)]
        return subprocess.run(command, check=False, **run_as(self)).returncode == 0  # noqa: S603


class RunAccount:
    """An account that only one run has, reserved until `release` or until this process exits.

    It needs no entry in /etc/passwd: files and processes have numbers.
    """

    def __init__(self) -> None:
        self._reservation: socket.socket | None = None

    def reserve(self) -> Account | None:
        """Reserve an account if we are root, else None; one of /etc/passwd if this machine maps no other numbers."""
        if os.geteuid() != 0:
            return None
        used = {process.info["uids"].real for process in psutil.process_iter(["uids"]) if process.info["uids"]}
        used |= {entry.pw_uid for entry in pwd.getpwall()}
        for number in random.SystemRandom().sample(range(_FIRST, _LAST + 1), _TRIES):
            if number not in used and _is_mapped(number) and self._try_reserve(number):
                return Account(number, number, exclusive=True)
        return Account.find_listed()

    def release(self) -> None:
        """Let other runs have it."""
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def _try_reserve(self, number: int) -> bool:
        self._reservation = reserve(f"account-{number}")
        return self._reservation is not None


def find_left(uid: int) -> list[psutil.Process]:
    """Find what a dead run has left under its account; nothing if that was not exclusive, or another run has it now."""
    reservation = reserve(f"account-{uid}") if _FIRST <= uid <= _LAST else None
    if reservation is None:
        return []
    with reservation:
        return Account(uid, uid, exclusive=True).find_processes()


def run_as(account: Account | None) -> dict[str, Any]:
    """Make the arguments of `subprocess` that start a process under an account; none to keep our own."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def give(path: Path, uid: int, gid: int) -> None:
    """Give a folder and everything in it to a user: links themselves, never what they lead to."""
    for folder, folders, files in os.walk(path):
        os.chown(folder, uid, gid, follow_symlinks=False)
        for name in (*folders, *files):
            os.chown(Path(folder) / name, uid, gid, follow_symlinks=False)


def _is_mapped(number: int) -> bool:
    """Tell whether a number exists in our user namespace (user_namespaces(7))."""
    for name in ("uid_map", "gid_map"):
        rows = [line.split() for line in Path("/proc/self", name).read_text(encoding="ascii").splitlines()]
        if not any(int(first) <= number < int(first) + int(count) for first, _, count in rows):
            return False
    return True
