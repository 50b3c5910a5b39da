"""Fetch the result of another run from its artifact, which a stranger's code made: nothing in it is trusted."""

import asyncio
import io
import re
import struct
import zipfile
import zlib
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from gidgethub import RedirectionException
from yarl import URL

from bench_action.github.client import Access, Client, compute_backoff_s, open_client
from bench_action.model.errors import InputError, PublishError

_LIST = "/repos/{+repository}/actions/runs/{run}/artifacts?per_page=100"
_ZIP = "/repos/{+repository}/actions/artifacts/{id}/zip"
_LARGEST_ZIP = 32 * 1024 * 1024
LARGEST_RESULT = 32 * 1024 * 1024
_LARGEST_RESULTS = 4 * LARGEST_RESULT  # of all shards together
RESULT = "result.json"
_CHUNK = 1 << 16
_ENTRY = b"PK\x01\x02"  # begins each entry of a zip file's directory
_MOST_ENTRIES = 10_000
# what GitHub's upload writes; the others of Python's zipfile unpack a piece of any size in one go
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
# what zipfile raises for a damaged or encrypted file
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, OverflowError),
)
MOST = 256  # artifacts of one result: as many jobs as a matrix may have
_ATTEMPTS = 4
_FINAL = frozenset({404, 410})  # the artifact has expired or was deleted


class MissingArtifactError(PublishError):
    """A run has no artifact of the name that is wanted."""


def fetch_results(access: Access, run: int, name: str, folder: Path) -> None:
    """Write the `result.json` of each of a run's artifacts of this name, and no other file, to folders in `folder`.

    `name`: with `*` for any characters, as shards have one artifact each. Raises PublishError, InputError.
    """
    asyncio.run(_fetch(access, run, name, folder))


async def _fetch(access: Access, run: int, name: str, folder: Path) -> None:
    """Download and unpack one after the other, so that no more than one is in memory."""
    async with open_client(access) as client:
        size = 0
        for number, artifact in enumerate(await _find_artifacts(client, access, run, name)):
            result = unpack_result(await _download_artifact(client, access, artifact))
            size += len(result)
            if size > _LARGEST_RESULTS:
                raise InputError(f"the artifacts {name!r} have more than {_LARGEST_RESULTS:,} bytes of results")
            place = folder / str(number)
            place.mkdir()
            (place / RESULT).write_bytes(result)


async def _find_artifacts(client: Client, access: Access, run: int, name: str) -> list[str]:
    """Find the newest artifact of each name, by their ids; a repeated run has several of one name."""
    wanted = re.compile(".*".join(map(re.escape, name.split("*"))), re.DOTALL)
    newest: dict[str, dict[str, Any]] = {}
    where = {"repository": access.repository, "run": str(run)}
    async for artifact in client.getiter(_LIST, where, iterable_key="artifacts"):
        known = newest.get(artifact["name"])
        if not artifact["expired"] and wanted.fullmatch(artifact["name"]):
            newest[artifact["name"]] = max(known or artifact, artifact, key=lambda one: str(one["created_at"]))
    if not newest:
        raise MissingArtifactError(
            f"run {run} has no artifact {name!r}",
            cause="the job that measures failed before it had a result, or does not upload it",
            advice="see that run's log; the job must upload the output folder under this name, also if it fails",
        )
    if len(newest) > MOST:
        raise InputError(f"run {run} has {len(newest):,} artifacts {name!r}: {MOST} shards are the most")
    return [str(newest[each]["id"]) for each in sorted(newest)]


async def _download_artifact(client: Client, access: Access, artifact: str) -> bytes:
    """Download an artifact, in several attempts, each from a new address, as one expires within a minute."""
    attempt = 1
    while True:
        address = await _find_blob(client, access, artifact)
        try:
            return await _download_blob(address)
        except PublishError as error:
            if attempt == _ATTEMPTS or error.status in _FINAL:
                raise
        await client.sleep(compute_backoff_s(attempt))
        attempt += 1


async def _find_blob(client: Client, access: Access, artifact: str) -> str:
    try:
        await client.getitem(_ZIP, {"repository": access.repository, "id": artifact})
    except RedirectionException as redirection:
        return str(redirection.headers["location"])
    raise PublishError("could not download the artifact: GitHub gave no address for it")


async def _download_blob(url: str) -> bytes:
    """Download without the token, as the blob store is not the API."""
    timeout = aiohttp.ClientTimeout(total=300)
    try:
        address = URL(url, encoded=True)  # encoding it again would break its signature
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session, session.get(address) as response:
            if response.status != HTTPStatus.OK:
                raise PublishError(f"could not download the artifact: status {response.status}", status=response.status)
            content = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                content += chunk
                if len(content) > _LARGEST_ZIP:
                    raise InputError(f"the artifact is larger than {_LARGEST_ZIP:,} bytes")
            return bytes(content)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise PublishError(f"could not download the artifact: {error or type(error).__name__}") from error


def unpack_result(archive: bytes) -> bytes:
    """Unpack `result.json` from a zip file, in pieces. Raises InputError if that is not possible within the limits."""
    if archive.count(_ENTRY) > _MOST_ENTRIES:
        raise InputError(f"the artifact has more than {_MOST_ENTRIES:,} files", advice="upload the output folder only")
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            entry = opened.getinfo(RESULT)
            if entry.compress_type not in _METHODS:
                raise InputError(
                    f"the artifact's {RESULT} is packed by a method that is not accepted ({entry.compress_type})",
                    cause="actions/upload-artifact did not write it",
                    advice="upload the output folder with actions/upload-artifact",
                )
            return _read(opened, entry)
    except KeyError as error:
        raise InputError(f"the artifact has no {RESULT}", advice="upload the whole output folder") from error
    except _UNREADABLE as error:
        raise InputError(f"could not read the artifact as a zip file: {str(error)[:200]}") from error


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read an entry up to the largest size; the size that a zip file declares may be false."""
    content = bytearray()
    with archive.open(entry) as file:
        while piece := file.read(_CHUNK):
            content += piece
            if len(content) > LARGEST_RESULT:
                raise InputError(f"the artifact's {RESULT} is larger than {LARGEST_RESULT:,} bytes")
    return bytes(content)
