"""Builds with `docker buildx`. It is given the folder itself, so that every rule about a context is Docker's own."""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import docker
from docker.errors import ImageNotFound

from bench_action.engine.docker.build_log import LOG_LINES, build_failure, readable
from bench_action.engine.docker.client import refusals
from bench_action.engine.docker.labels import MARK
from bench_action.engine.docker.results import ignore_file, results_line
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

# An engine with containerd's image store calls an image by its manifest, one without by its configuration. An engine's
# own builder reports the right one as `digest`; a builder in a container does not know which engine loads its image.
_DIGESTS = ("containerimage.digest", "containerimage.config.digest")
# the last part is what went wrong: `failed to solve: rpc error: code = Unknown desc = … `
_ERROR = re.compile(
    r"ERROR: (?:failed to solve(?: with frontend \S+)?: |rpc error: code = \w+ desc = |"
    r"failed to create LLB definition: )*"
)


def build_with_buildx(client: docker.DockerClient, cli: str, spec: BuildSpec, environ: Mapping[str, str]) -> str:
    """Build `spec`; the image's id. Raises StackError."""
    with tempfile.TemporaryDirectory(prefix="bench-action-build-") as name, tempfile.TemporaryFile() as log:
        folder = Path(name)
        metadata = folder / "metadata.json"
        try:
            status = _run(
                _command(cli, spec, metadata, _dockerfile(spec, folder)),
                _environment(environ, folder),
                log,
                spec.limit_s,
            )
        except subprocess.TimeoutExpired as error:
            raise build_failure(spec, f"it was given up after {spec.limit_s} s", _last_lines(log)) from error
        if status:
            lines = _last_lines(log)
            raise build_failure(spec, _cause(lines, status), lines)
        return _id_of_the_built(client, spec, metadata)


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


def _command(cli: str, spec: BuildSpec, metadata: Path, dockerfile: Path) -> list[str]:
    # absolute: Docker takes a relative context such as `github.com/a/b` for an address
    context = spec.context.absolute()
    command = [cli, "buildx", "build", "--load", "--progress", "plain", "--label", f"{MARK}=", "--tag", spec.name,
               "--metadata-file", str(metadata), "--file", str(dockerfile)]  # fmt: skip
    command += ["--target", spec.target] if spec.target else []
    for name, value in spec.args.items():
        command += ["--build-arg", f"{name}={value}"]
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


def _id_of_the_built(client: docker.DockerClient, spec: BuildSpec, metadata: Path) -> str:
    reported = json.loads(metadata.read_text(encoding="utf-8"))
    with refusals(f"the image {spec.name} was built, and the engine does not say whether it has it"):
        for digest in filter(None, map(reported.get, _DIGESTS)):
            with contextlib.suppress(ImageNotFound):
                return str(client.images.get(digest).id)
    raise StackError(
        f"the image {spec.name} was built, and the Docker engine does not have it",
        cause="the builder that `docker buildx ls` marks as current loads its images elsewhere",
        advice="choose the engine's own builder: `docker buildx use default`, or BUILDX_BUILDER=default",
    )
