"""Read the configuration that an image of PostgreSQL gives to each new server, without starting it."""

from collections.abc import Mapping

import docker

from bench_action.engine.docker.files import read_text

_FOLDERS = ("/usr/share/postgresql", "/usr/local/share/postgresql")  # of images on Debian and on Alpine
_FILE = "postgresql.conf.sample"


class Samples:
    """The `postgresql.conf.sample` of images, each read once."""

    def __init__(self, client: docker.DockerClient, labels: Mapping[str, str]) -> None:
        self._client = client
        self._labels = labels
        self._known: dict[str, str] = {}  # by image

    def read(self, image: str, name: str) -> str:
        """Read the file of an image; empty if it has none. `name`: of a container that is created for it, and removed.

        Raises DockerException, StackError.
        """
        if image not in self._known:
            container = self._client.containers.create(
                image, ["true"], name=name, labels=dict(self._labels), network_mode="none", use_config_proxy=False
            )
            try:
                variables = dict(entry.partition("=")[::2] for entry in container.attrs["Config"].get("Env") or ())
                folders = [*_FOLDERS, f"{_FOLDERS[0]}/{variables.get('PG_MAJOR', '')}"]
                texts = (read_text(self._client, str(container.id), f"{path}/{_FILE}") for path in folders)
                self._known[image] = next((text for text in texts if text is not None), "")
            finally:
                container.remove(v=True, force=True)
        return self._known[image]
