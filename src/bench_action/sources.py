"""What is measured, where it is under git."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench_action.model.result import Source

# no @ in it: `https://token@host/repo` is no owner and repository, and the token is nobody's business
_REPOSITORY = re.compile(r"[/:]([^/:@]+/[^/@]+?)(?:\.git)?/?$")


def read_source(folder: Path, environ: Mapping[str, str]) -> Source:
    """Facts of the working tree that holds `folder`; empty where it is none, or git is not installed.

    GitHub's own variables win over what git says: in a pull request, HEAD is a merge commit on no branch.
    """
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    remote = _REPOSITORY.search(_git(folder, "remote", "get-url", "origin"))
    return Source(
        repository=environ.get("GITHUB_REPOSITORY") or (remote[1] if remote else ""),
        head_sha=_git(folder, "rev-parse", "HEAD"),
        ref=environ.get("GITHUB_REF") or _git(folder, "symbolic-ref", "--quiet", "HEAD"),
        event=environ.get("GITHUB_EVENT_NAME", ""),
        dirty=bool(status),
    )


def _git(folder: Path, *arguments: str) -> str:
    # in a container action the workspace belongs to another user, which git calls dubious ownership
    command = ["git", "-c", "safe.directory=*", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
