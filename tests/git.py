"""git, for tests that make repositories."""

import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """What it says. Raises CalledProcessError."""
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
