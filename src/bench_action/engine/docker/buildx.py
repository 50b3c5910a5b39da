"""Building with `docker buildx`, which gets the context folder itself, so that Docker's own rules apply to it."""

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

from bench_action.engine.docker.build_log import LOG_LINES, make_build_error, split_log
from bench_action.engine.docker.credentials import find_config_folder
from bench_action.engine.docker.dockerfile import find_frontend
from bench_action.engine.docker.excluded import find_ignore_file, make_own_rules
from bench_action.engine.docker.labels import MARK
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

_LONGEST_NAME = 200  # of a copy of a Dockerfile, as `.dockerignore` is added to it
_VARIABLE = "BENCH_ACTION_SECRET_"  # variables that pass build secrets to buildx
# the cause comes last: `failed to solve: rpc error: code = Unknown desc = …`
_ERROR_PREFIX = re.compile(
    r"ERROR: (?:failed to build: |failed to solve(?: with frontend \S+)?: |rpc error: code = \w+ desc = |"
    r"failed to create LLB definition: )*"
)


def build_with_buildx(cli: str, spec: BuildSpec, name: str, environ: Mapping[str, str]) -> None:
    """Build an image and tag it with the spec's name and with `name`. Raises StackError."""
    with tempfile.TemporaryDirectory(prefix="bench-action-build-") as temporary, tempfile.TemporaryFile() as log:
        spare = Path(temporary)
        command = _make_command(cli, spec, name, _prepare_dockerfile(spec, spare))
        try:
            status = _run(command, _make_environment(environ, spec, spare), log, spec.limit_s)
        except subprocess.TimeoutExpired as error:
            problem = f"the build was stopped after {spec.limit_s} s"
            raise make_build_error(spec, problem, _read_last_lines(log), buildkit=True) from error
        if status:
            lines = _read_last_lines(log)
            cause, frontend = _find_cause(lines, status), _read_frontend(spec)
            raise make_build_error(spec, cause, lines, buildkit=True, frontend=frontend)


def _read_frontend(spec: BuildSpec) -> str:
    with contextlib.suppress(OSError):
        return find_frontend((spec.context / spec.dockerfile).read_text(encoding="utf-8-sig", errors="replace"))
    return ""


def _prepare_dockerfile(spec: BuildSpec, spare: Path) -> Path:
    """Return a copy of the Dockerfile in `spare`.

    Next to it is an ignore file with our own rules; BuildKit prefers that one to the context's.
    """
    dockerfile = spec.context.absolute() / spec.dockerfile
    try:
        content = dockerfile.read_bytes()
    except OSError:
        return dockerfile  # buildx explains what is wrong with it
    copy, ignore = spare / dockerfile.name[-_LONGEST_NAME:], find_ignore_file(spec)
    try:
        copy.write_bytes(content)
        rules = ignore.read_bytes() if ignore else b""
        copy.with_name(f"{copy.name}.dockerignore").write_bytes(rules + f"\n{make_own_rules(spec)}\n".encode())
    except OSError as error:  # without our rules, nothing is built
        raise StackError(
            f"could not prepare the build of {spec.name}: {error.strerror}", where=str(dockerfile)
        ) from error
    return copy


def _make_command(cli: str, spec: BuildSpec, name: str, dockerfile: Path) -> list[str]:
    command = [cli, "buildx", "build", "--load", "--progress", "plain", "--label", f"{MARK}="]
    command += ["--tag", spec.name, "--tag", name, "--file", str(dockerfile)]
    command += ["--target", spec.target] if spec.target else []
    for key, value in spec.args.items():
        command += ["--build-arg", f"{key}={value}"]
    if spec.cache_namespace:  # after the others, as the last value counts
        command += ["--build-arg", f"BUILDKIT_CACHE_MOUNT_NS={spec.cache_namespace}"]
    for source in spec.cache_from:
        command += ["--cache-from", source]
    for number, key in enumerate(spec.secrets):
        command += ["--secret", f"id={key},env={_VARIABLE}{number}"]
    # absolute: Docker would read a relative context such as `github.com/a/b` as an address
    return [*command, str(spec.context.absolute())]


def _make_environment(environ: Mapping[str, str], spec: BuildSpec, spare: Path) -> dict[str, str]:
    """Return the caller's environment, with buildx's state in `spare` if its usual folder is not ours to write to.

    Attestations are off: they contain the time of the build, and the same sources must give the same image. So is git,
    which buildx would run in a folder that we do not trust. Secrets are passed here, as anyone may read a command line,
    and a file would outlive a killed process.
    """
    settings = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "BUILDX_GIT_INFO": "false"}
    settings |= {f"{_VARIABLE}{number}": value for number, value in enumerate(spec.secrets.values())}
    if not _is_ours(Path(environ.get("BUILDX_CONFIG") or find_config_folder(environ) / "buildx")):
        settings["BUILDX_CONFIG"] = str(spare)
    return {**environ, **settings}


def _is_ours(folder: Path) -> bool:
    """Return whether we own a folder, or its nearest existing parent, and may write there.

    Root may write anywhere, but files of root in another user's home would get in that user's way.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return nearest.is_dir() and nearest.stat().st_uid == os.geteuid() and os.access(nearest, os.W_OK)


def _run(command: Sequence[str], environ: Mapping[str, str], log: IO[bytes], limit_s: int | None) -> int:
    """Run a command and return its exit status. Raises TimeoutExpired after `limit_s`.

    It gets its own process group, so that killing it also kills the plugin that it starts.
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


def _read_last_lines(log: IO[bytes]) -> list[str]:
    log.seek(0)
    return split_log(b"".join(deque(log, maxlen=LOG_LINES)).decode(errors="replace"))


def _find_cause(lines: Sequence[str], status: int) -> str:
    """Return the last error that buildx printed, without the prefix that every error has."""
    for line in reversed(lines):
        if prefix := _ERROR_PREFIX.match(line):
            return line[prefix.end() :]
    return f"docker buildx exited with status {status}"
