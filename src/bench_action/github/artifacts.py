"""The result of another run, out of its artifact: made by a stranger's code, so nothing of it is believed."""

import asyncio
import io
import zipfile
from http import HTTPStatus
from pathlib import Path

import aiohttp
from gidgethub import RedirectionException
from yarl import URL

from bench_action.github.client import Access, Client, connected
from bench_action.model.errors import InputError, PublishError

_LIST = "/repos/{+repository}/actions/runs/{run}/artifacts?per_page=100"
_ZIP = "/repos/{+repository}/actions/artifacts/{id}/zip"
_LARGEST_ZIP = 32 * 1024 * 1024
LARGEST_RESULT = 32 * 1024 * 1024
RESULT = "result.json"
_CHUNK = 1 << 16


def fetch_result(access: Access, run: int, name: str, folder: Path) -> None:
    """Put the `result.json` of a run's artifact into a folder, and nothing else. Raises PublishError, InputError."""
    archive = asyncio.run(_download(access, run, name))
    (folder / RESULT).write_bytes(unpack(archive))


async def _download(access: Access, run: int, name: str) -> bytes:
    async with connected(access) as client:
        where = {"repository": access.repository, "run": str(run)}
        found = [
            artifact
            async for artifact in client.getiter(_LIST, where, iterable_key="artifacts")
            if artifact["name"] == name and not artifact["expired"]
        ]
        if not found:
            raise PublishError(
                f"run {run} has no artifact {name!r}",
                advice="let the job that measured upload its output folder under this name, also where it fails",
            )
        newest = max(found, key=lambda artifact: str(artifact["created_at"]))  # a run that was repeated has several
        return await _blob(await _place(client, access, str(newest["id"])))


async def _place(client: Client, access: Access, identity: str) -> str:
    try:
        await client.getitem(_ZIP, {"repository": access.repository, "id": identity})
    except RedirectionException as redirection:
        return str(redirection.headers["location"])
    raise PublishError("GitHub did not say where the artifact lies")


async def _blob(url: str) -> bytes:
    """Without the token: the store is not the API."""
    timeout = aiohttp.ClientTimeout(total=300)
    try:
        address = URL(url, encoded=True)  # its signature counts as it is
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session, session.get(address) as response:
            if response.status != HTTPStatus.OK:
                raise PublishError(f"the artifact cannot be had: status {response.status}", status=response.status)
            content = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                content += chunk
                if len(content) > _LARGEST_ZIP:
                    raise InputError(f"the artifact is larger than {_LARGEST_ZIP:,} bytes")
            return bytes(content)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise PublishError(f"the artifact cannot be had: {error or type(error).__name__}") from error


def unpack(archive: bytes) -> bytes:
    """`result.json` out of a zip, by its name alone and no larger than it may be. Raises InputError."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened, opened.open(RESULT) as file:
            content = file.read(LARGEST_RESULT + 1)  # what the zip says of its size is its own word
    except KeyError as error:
        raise InputError(f"the artifact has no {RESULT}", advice="upload the whole output folder") from error
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise InputError(f"the artifact is no zip file that can be read: {error}") from error
    if len(content) > LARGEST_RESULT:
        raise InputError(f"the artifact's {RESULT} is larger than {LARGEST_RESULT:,} bytes")
    return content
