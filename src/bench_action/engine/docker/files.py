"""Copy files into and from a container that has not started, as nothing of the workspace is ever mounted."""

import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import docker
from docker.errors import NotFound

from bench_action.engine.docker.client import translate_errors
from bench_action.engine.protocol import FileCopy
from bench_action.model.errors import StackError
from bench_action.model.files import NEVER_COPIED

_LARGEST = 512 * 2**20  # bytes, all files of a container together
_LARGEST_TEXT = 2**20  # bytes
_READABLE = 0o444


def put_files(
    client: docker.DockerClient, container_id: str, files: Sequence[FileCopy], volumes: Sequence[str] = ()
) -> None:
    """Copy files and folders into a container that was created and has not started. Raises StackError.

    The engine creates folders that are missing; those that the image has keep their owner and mode, so that its user
    may write there as before. Into those that are `volumes`, anybody may. Links stay links, so that nothing outside of
    the repository is read. Files belong to root, and anybody may read them unless a mode says otherwise.
    """
    if not files:
        return
    with tempfile.TemporaryFile() as archive:
        write_archive(files, archive, volumes)
        archive.seek(0)
        with translate_errors("could not copy files into a container"):
            client.api.put_archive(container_id, "/", archive)


def read_text(client: docker.DockerClient, container_id: str, path: str) -> str | None:
    """Read a small text file of a container, running or not; None if there is no such file. Raises StackError."""
    with translate_errors(f"could not read {path} of an image"):
        try:
            chunks, status = client.api.get_archive(container_id, path)
        except NotFound:
            return None
        if int(status["size"]) > _LARGEST_TEXT:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            member = tar.next()
            content = tar.extractfile(member) if member is not None and member.isreg() else None
            return content.read().decode(errors="replace") if content is not None else None


def write_archive(files: Sequence[FileCopy], archive: IO[bytes], volumes: Sequence[str] = ()) -> None:
    """Write a tar archive of these files, relative to the root folder. Raises StackError if one cannot be read."""
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in {file.target.rstrip("/") for file in files} & {path.rstrip("/") for path in volumes}:
            folder = tarfile.TarInfo(str(PurePosixPath(os.path.normpath(path)).relative_to("/")))
            folder.type, folder.mode = tarfile.DIRTYPE, 0o777  # it is not copied from the image, so root owns it
            tar.addfile(folder)
        # folders before what is copied into them
        for file in sorted(files, key=lambda item: PurePosixPath(item.target).parts):
            target = PurePosixPath(os.path.normpath(file.target)).relative_to("/")
            if file.source is None:
                _add_content(tar, target, file)
            else:
                _add_source(tar, target, file, file.source)
            if archive.tell() > _LARGEST:
                raise StackError(
                    f"the files for {file.target} are larger than {_LARGEST // 2**20} MiB",
                    advice="copy them in the Dockerfile instead, or mount a smaller folder",
                )


def _add_content(tar: tarfile.TarFile, target: PurePosixPath, file: FileCopy) -> None:
    content = file.content.encode()
    member = tarfile.TarInfo(str(target))
    member.size, member.mode = len(content), 0o644 if file.mode is None else file.mode
    tar.addfile(member, io.BytesIO(content))


def _add_source(tar: tarfile.TarFile, target: PurePosixPath, file: FileCopy, source: Path) -> None:
    try:
        source = source.resolve(strict=True)  # the configuration was checked: it leads to no place outside
        for path in _list_paths(source):
            member = tar.gettarinfo(path, str(target / path.relative_to(source)))
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            if not member.isreg():
                tar.addfile(member)
                continue
            member.mode = file.mode if file.mode is not None else member.mode | _READABLE
            with path.open("rb") as content:
                tar.addfile(member, content)
    except OSError as error:
        raise StackError(f"could not read {file.source} for {file.target}: {error.strerror or error}") from error


def _list_paths(source: Path) -> Iterator[Path]:
    """List a file, or all files and links in a folder, except for what belongs to this machine."""
    if not source.is_dir():
        yield source
        return
    for entry in sorted(os.scandir(source), key=lambda item: item.name):
        if entry.name in NEVER_COPIED:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _list_paths(Path(entry.path))
        elif stat.S_ISREG(mode := entry.stat(follow_symlinks=False).st_mode) or stat.S_ISLNK(mode):
            yield Path(entry.path)
