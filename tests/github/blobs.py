"""The blob store that GitHub redirects to for an artifact: another origin, which must not see the token."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from tests.github.exchange import Answer, Request
from tests.github.state import Artifact

PREFIX = "/blobs/"

# the answers of Azure's store, in which GitHub keeps artifacts
_BAD_TOKEN = b"<Error><Code>InvalidAuthenticationInfo</Code></Error>"
_BAD_SIGNATURE = b"<Error><Code>AuthenticationFailed</Code></Error>"


@dataclass(frozen=True)
class Download:
    """A download. `authorized`: whether the request had an Authorization header, which is a mistake."""

    artifact_id: int
    authorized: bool
    status: int


class BlobStore:
    """Serves an artifact to anyone who has its signed address."""

    def __init__(self, origin: Callable[[], str]) -> None:
        self.downloads: list[Download] = []
        self._origin = origin
        self._signed: dict[str, Artifact] = {}

    def sign(self, artifact: Artifact) -> str:
        """Make an address that must be used unchanged: its signature is quoted, and quoting it again changes it."""
        signature = base64.b64encode(b"\xfb\xff" + secrets.token_bytes(30)).decode()  # begins with +/
        self._signed[signature] = artifact
        return f"{self._origin()}{PREFIX}{artifact.id}.zip?se=2030-01-01T00%3A00%3A00Z&sig={quote(signature, safe='')}"

    def answer(self, request: Request) -> Answer:
        """Answer with the content, unless the request has a token or lacks the signature."""
        artifact = self._signed.get(request.query.get("sig", ""))
        if artifact is None or f"{PREFIX}{artifact.id}.zip" != request.path:
            return Answer(403, {"content-type": "application/xml"}, _BAD_SIGNATURE)
        authorized = "authorization" in request.headers
        status = 400 if authorized else 200
        self.downloads.append(Download(artifact.id, authorized, status))
        if authorized:
            return Answer(status, {"content-type": "application/xml"}, _BAD_TOKEN)
        return Answer(status, {"content-type": "application/zip"}, artifact.content)
