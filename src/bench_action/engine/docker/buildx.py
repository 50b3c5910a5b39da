"""Builds with `docker buildx`. It is given the folder itself, so that every rule about a context is Docker's own."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from bench_action.engine.docker.build_log import LOG_LINES, build_failure, readable
from bench_action.engine.docker.labels import MARK
from bench_action.engine.docker.results import ignore_file, results_line
from bench_action.engine.protocol import BuildSpec

# the last part is what went wrong: `failed to solve: rpc error: code = Unknown desc = … `
_ERROR = re.compile(
    r"ERROR: (?:failed to solve(?: with frontend \S+)?: |rpc error: code = \w+ desc = |"
    r"failed to create LLB definition: )*"
)


def build_with_buildx(cli: str, spec: BuildSpec, name: str, environ: Mapping[str, str]) -> None:
    """Build `spec` under its name and under `name`. Raises StackError."""
    with tempfile.TemporaryDirectory(prefix="bench-action-build-") as made, tempfile.TemporaryFile() as log:
        folder = Path(made)
        command = _command(cli, spec, name, _dockerfile(spec, folder))
        try:
            status = _run(command, _environment(environ, folder), log, spec.limit_s)
        except subprocess.TimeoutExpired as error:
            raise build_failure(spec, f"it was given up after {spec.limit_s} s", _last_lines(log)) from error
        if status:
            lines = _last_lines(log)
            raise build_failure(spec, _cause(lines, status), lines)


def _dockerfile(spec: BuildSpec, spare: Path) -> Path:
    """The Dockerfile; a copy in `spare`, beside an ignore file that leaves our results out, if they are in the context.

    BuildKit reads the ignore file beside the Dockerfile first, wherever that is.
    """
    dockerfile, line = spec.context.absolute() / spec.dockerfile, results_line(spec)
    if not line:
        return dockerfile
    copy, ignore = spare / dockerfile.name, ignore_file(spec)
    try:
        copy.write_bytes(dockerfile.read_bytes())
        rules = ignore.read_bytes() if ignore else b""
        copy.with_name(f"{copy.name}.dockerignore").write_bytes(rules + f"\n{line}\n".encode())
    except OSError:
        return dockerfile  # buildx says what is wrong with it
    return copy


def _command(cli: str, spec: BuildSpec, name: str, dockerfile: Path) -> list[str]:
    # absolute: Docker takes a relative context such as `github.com/a/b` for an address
    context = spec.context.absolute()
    command = [
        cli,
        "buildx",
        "build",
        "--load",
        "--progress",
        "plain",
        "--label",
        f"{MARK}=",
        "--tag",
        spec.name,
        "--tag",
        name,
        "--file",
        str(dockerfile),
    ]
    command += ["--target", spec.target] if spec.target else []
    for key, value in spec.args.items():
        command += ["--build-arg", f"{key}={value}"]
    return [*command, str(context)]


def _environment(environ: Mapping[str, str], spare: Path) -> dict[str, str]:
    """The caller's; buildx keeps its state in `spare` if its own folder cannot be written to, or is another user's.

    Without attestations, which hold the time of the build: the same sources are to give the same image.
    """
    settings = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    own = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME") or "~").expanduser() / ".docker")
    if not _is_ours(Path(environ.get("BUILDX_CONFIG") or Path(own) / "buildx")):
        settings["BUILDX_CONFIG"] = str(spare)
    return {**environ, **settings}


def _is_ours(folder: Path) -> bool:
    """Whether a folder is ours to write to, or to make; as root, files in another's home are that user's trouble."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return nearest.is_dir() and nearest.stat().st_uid == os.geteuid() and os.access(nearest, os.W_OK)


def _run(command: Sequence[str], environ: Mapping[str, str], log: IO[bytes], limit_s: int | None) -> int:
    """Its exit status; raises TimeoutExpired after `limit_s`.

    A process group of its own: ended with it is the plugin, which the command itself starts.
    """
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, process_group=0
    ) as process:
        try:
            return process.wait(limit_s)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def _last_lines(log: IO[bytes]) -> list[str]:
    log.seek(0)
    return readable(b"".join(deque(log, maxlen=LOG_LINES)).decode(errors="replace"))


def _cause(lines: Sequence[str], status: int) -> str:
    """The last error that buildx printed, without what it says of every error."""
    for line in reversed(lines):
        if found := _ERROR.match(line):
            return line[found.end() :]
    return f"docker buildx ended with status {status}"
