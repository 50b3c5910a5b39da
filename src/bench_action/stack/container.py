"""Make an engine's form of a container from its configuration."""

from collections.abc import Callable
from pathlib import Path

from bench_action.config.schema import Container
from bench_action.engine.protocol import ContainerForm, FileCopy


def make_container_form(container: Container, folder: Path, fill: Callable[[str], str]) -> ContainerForm:
    """Make the form of a service or a variant.

    `folder`: that the sources of its files are relative to. `fill`: fills in placeholders and secrets of its texts.
    """
    files = [
        FileCopy(target, folder / file.source if file.source is not None else None, fill(file.content or ""), file.mode)
        for target, file in container.files.items()
    ]
    return ContainerForm(
        entrypoint=container.entrypoint,
        files=files,
        volumes=container.volumes,
        tmpfs=[memory for memory in container.tmpfs if not _hides_files(memory, container)],
        user=container.user,
        working_dir=container.working_dir,
        stop_signal=container.stop_signal,
        shm_size=container.shm_size,
        init=container.init,
        aliases=container.aliases,
        platform=container.platform or "",
        memory=container.memory,
    )


def _hides_files(memory: str, container: Container) -> bool:
    """Whether memory would be mounted over files, which are copied before that."""
    folder = memory.partition(":")[0].rstrip("/")
    return any(target.startswith(f"{folder}/") for target in container.files)
