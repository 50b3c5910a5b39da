"""Images that runs have built: kept while their run needs them, and gone once nobody does.

Each has two names. Its own, such as `bench-action/api`, is what the next build finds its cache by; another run may take
it at any time, and engines then forget the image, or let anybody prune it. The other, of one run alone, keeps it until
that run is over.
"""

import contextlib
import re
import time
from collections.abc import Callable, Collection

import docker
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

from bench_action.engine.docker.client import refusals
from bench_action.engine.docker.labels import MARK
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

_UNUSED_S = 3600.0  # of an image without a name: the run that replaced it was killed
_OF_A_RUN = re.compile(r":run-(?P<expires>\d+)-(?P<run>.+)-\d+")


class BuiltImages:
    """Those of one run, and what is done about those of others."""

    def __init__(self, client: docker.DockerClient, owner: Ownership) -> None:
        self._client = client
        self._owner = owner
        self._names: list[str] = []
        self._replaced: set[str] = set()

    def build(self, spec: BuildSpec, build: Callable[[str], None]) -> str:
        """The id of what `build` makes under the name that it is given, which no other run uses."""
        name = f"{spec.name.partition(':')[0]}:run-{self._owner.expires_at}-{self._owner.run_id}-{len(self._names)}"
        before = self._id_of(spec.name)
        self._names.append(name)
        build(name)
        built = self._id_of(name)
        if not built:
            raise StackError(
                f"the image {spec.name} was built, and the Docker engine does not have it",
                cause="the builder that `docker buildx ls` marks as current loads its images elsewhere",
                advice="choose the engine's own builder: `docker buildx use default`, or BUILDX_BUILDER=default",
            )
        self._replaced |= {before} - {built, ""}
        return built

    def release(self) -> None:
        """The run is over: remove its images that have lost their own name, and those whose names they took."""
        for name in self._names:
            self._remove(name)
        self._remove_nameless(lambda image, _: image in self._replaced)

    def sweep(self, dead: Collection[str]) -> None:
        """Remove the second names of these runs, and of those whose time is over; and what has had no name for long."""
        now = time.time()
        with contextlib.suppress(DockerException, RequestException):
            for image in self._client.api.images(filters={"label": MARK}):
                for name in image["RepoTags"] or ():
                    found = _OF_A_RUN.search(name)
                    if found and (found["run"] in dead or int(found["expires"]) < now):
                        self._remove(name)
        self._remove_nameless(lambda _, created: created < now - _UNUSED_S)

    def _id_of(self, name: str) -> str:
        with refusals(f"the engine does not say whether it has the image {name}"), contextlib.suppress(ImageNotFound):
            return str(self._client.images.get(name).id)
        return ""

    def _remove_nameless(self, wanted: Callable[[str, int], bool]) -> None:
        """`wanted` is asked with id and time of making; the engine keeps those that a container is made of."""
        with contextlib.suppress(DockerException, RequestException):
            for image in self._client.api.images(filters={"label": MARK, "dangling": True}):
                if wanted(image["Id"], int(image["Created"])):
                    self._remove(image["Id"])

    def _remove(self, name: str) -> None:
        """A name, and the image if it was the last; nothing where it is in use, or gone."""
        with contextlib.suppress(DockerException, RequestException):
            self._client.api.remove_image(name)
