"""The control of a run: a variant that stays as it is, whose speed tells what machine this was."""

import hashlib
from pathlib import Path

from bench_action.config.load import Loaded
from bench_action.config.schema import Variant
from bench_action.model.result import SubjectInfo

_IGNORED = frozenset({"__pycache__", ".git"})
_SMALL = 1024  # bytes


def control_of(loaded: Loaded, subjects: tuple[SubjectInfo, ...]) -> dict[str, str]:
    """`variant` and `id` for `result.json`; empty where the configuration names none, or it was not measured.

    The id is that of its sources and settings, not of its image, which every build makes anew: ratios to controls of
    different ids are never joined.
    """
    name = loaded.config.control
    measured = {subject.variant: subject for subject in subjects if subject.revision == "head" and subject.verified}
    if name is None or name not in measured:
        return {}
    digest = hashlib.sha256(loaded.config.variants[name].model_dump_json().encode())
    digest.update(_sources(loaded.config.variants[name], loaded.of(name).folder, measured[name].image_id))
    return {"variant": name, "id": digest.hexdigest()[:12]}


def _sources(variant: Variant, folder: Path, image_id: str) -> bytes:
    """A hash of what it is built from; an image that is not built here is its own."""
    if variant.build is None:
        return image_id.encode()
    context = folder / variant.build.context
    digest = hashlib.sha256()
    aside = _aside(context)
    for path in sorted(context.rglob("*")):
        relative = path.relative_to(context)
        if _IGNORED & set(relative.parts) or any(path.is_relative_to(other) for other in aside):
            continue
        if path.is_symlink():  # never followed: it may lead anywhere
            digest.update(f"{relative}\0-> {path.readlink()}\0".encode())
        elif path.is_file():
            digest.update(f"{relative}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _aside(context: Path) -> list[Path]:
    """Folders that ignore themselves, such as our own results and virtual environments: they are no sources."""
    found = []
    for path in context.rglob(".gitignore"):
        small = not path.is_symlink() and path.is_file() and path.stat().st_size <= _SMALL and path.parent != context
        if small and path.read_text(encoding="utf-8", errors="replace").strip() == "*":
            found.append(path.parent)
    return found
