"""Images that runs build: kept while their run needs them, and removed once nobody does.

Each has two names. The next build finds its cache by the first, such as `bench-action/api`; but another run may take
that name at any time, and an engine then forgets the image, or lets anyone prune it. The second name belongs to one run
alone, and keeps the image until that run is over.
"""

import contextlib
import re
import time
from collections.abc import Callable, Collection

import docker
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

from bench_action.engine.docker.client import translate_errors
from bench_action.engine.docker.labels import MARK
from bench_action.engine.docker.registry import require_platform
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import BuildSpec
from bench_action.model.errors import StackError

_UNUSED_S = 3600.0  # age of a nameless image from which on the run that replaced it must have been killed
_RUN_TAG = re.compile(r":run-(?P<expires>\d+)-(?P<run>.+)-\d+")


def is_run_tag(name: str) -> bool:
    """Return whether an image has this name only until a run is over."""
    return _RUN_TAG.search(name) is not None


class RunImages:
    """The images that one run builds, and the cleaning up after other runs."""

    def __init__(self, client: docker.DockerClient, owner: Ownership) -> None:
        self._client = client
        self._owner = owner
        self._names: list[str] = []
        self._replaced: set[str] = set()
        self._built: set[str] = set()

    def build(self, spec: BuildSpec, build: Callable[[str], None]) -> str:
        """Call `build` with a name that no other run uses, and return the id of the image that it creates."""
        name = f"{spec.name.partition(':')[0]}:run-{self._owner.expires_at}-{self._owner.run_id}-{len(self._names)}"
        previous = self._find_id(spec.name)
        self._names.append(name)
        build(name)
        image = self._find_id(name)
        if not image:
            raise StackError(
                f"image {spec.name} was built, but the Docker engine does not have it",
                cause="the builder that `docker buildx ls` marks as current loads its images into another engine",
                advice="use the engine's own builder: `docker buildx use default`, or set BUILDX_BUILDER=default",
            )
        self._replaced |= {previous} - {image, ""}
        self._built.add(image)
        return require_platform(self._client, name, spec.name)

    def require_usable(self, name: str) -> None:
        """Raise StackError if an image that a configuration names is what another run has built.

        It may be of another repository, whose code its name would give away.
        """
        with translate_errors(f"could not look up image {name}"), contextlib.suppress(ImageNotFound):
            image = self._client.images.get(name)
            if MARK in image.labels and str(image.id) not in self._built:
                raise StackError(
                    f"image {name} was built by another run of bench-action",
                    cause="it may contain the code of another repository that uses this engine",
                    advice="set `build` to build it here, or name an image of a registry",
                )

    def release(self) -> None:
        """At the end of the run, remove its images that have lost their first name, and the images they replaced."""
        for name in self._names:
            self._remove(name)
        self._remove_nameless(lambda image, _: image in self._replaced)

    def sweep(self, dead: Collection[str], alive: Collection[str]) -> None:
        """Remove the second names of dead runs, and images that have long had no name.

        A run is dead if it is one of `dead`, or if its time is over and it is none of `alive`: it may last longer.
        """
        now = time.time()
        with contextlib.suppress(DockerException, RequestException):
            for image in self._client.api.images(filters={"label": MARK}):
                for name in image["RepoTags"] or ():
                    tag = _RUN_TAG.search(name)
                    if tag and (tag["run"] in dead or (int(tag["expires"]) < now and tag["run"] not in alive)):
                        self._remove(name)
        self._remove_nameless(lambda _, created: created < now - _UNUSED_S)

    def _find_id(self, name: str) -> str:
        with translate_errors(f"could not look up image {name}"), contextlib.suppress(ImageNotFound):
            return str(self._client.images.get(name).id)
        return ""

    def _remove_nameless(self, is_unwanted: Callable[[str, int], bool]) -> None:
        """Remove nameless images that `is_unwanted(id, created)` selects; the engine keeps any that are in use."""
        with contextlib.suppress(DockerException, RequestException):
            for image in self._client.api.images(filters={"label": MARK, "dangling": True}):
                if is_unwanted(image["Id"], int(image["Created"])):
                    self._remove(image["Id"])

    def _remove(self, name: str) -> None:
        """Remove a name, and the image with its last name; do nothing if it is in use or does not exist."""
        with contextlib.suppress(DockerException, RequestException):
            self._client.api.remove_image(name)
