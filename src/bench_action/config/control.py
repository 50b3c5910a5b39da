"""The control of a run: the unchanging variant that trends are normalised against, the user's or the built-in one."""

import hashlib
from dataclasses import replace
from pathlib import Path

from bench_action.config.load import Project, builtin_file, load
from bench_action.config.schema import BUILT_IN, Variant
from bench_action.model.errors import InputError
from bench_action.model.result import SubjectInfo

AUTO = "auto"
BUILT_IN_VARIANT = "bench-action-control"
_SOURCE = "aiohttp"
_IGNORED = frozenset({"__pycache__", ".git"})
_SMALL = 1024  # bytes
_REQUEST = {"path": "/", "method": "GET", "headers": {}, "body": ""}


def add_control(project: Project, asked: str | None) -> Project:
    """With the control that is asked for: a variant, `built-in`, `none`, `auto` (as configured, else the built-in one),
    None (as configured). Raises InputError where there is no such variant.
    """
    if asked == "none":
        return _named(project, None)
    name = project.config.control if asked in {None, AUTO} else asked
    if name is None:
        return _with_built_in(project) if asked == AUTO else project
    if name == BUILT_IN and name not in project.config.variants:
        return _with_built_in(project)
    if asked == name and name not in project.config.variants:
        known = ", ".join((*project.config.variants, BUILT_IN))
        raise InputError(f"there is no variant {name} for a control", advice=f"one of: {known}")
    return _named(project, name)


def identify_control(project: Project, subjects: tuple[SubjectInfo, ...]) -> dict[str, str]:
    """`variant` and `id` for `result.json`; empty where the configuration names none, or it was not measured.

    The id is that of its sources and settings, not of its image, which every build makes anew: ratios to controls of
    different ids are never joined.
    """
    name = project.config.control
    measured = {subject.variant: subject for subject in subjects if subject.revision == "head" and subject.verified}
    if name is None or name not in measured:
        return {}
    digest = hashlib.sha256(project.config.variants[name].model_dump_json().encode())
    digest.update(_sources(project.config.variants[name], project.of(name).folder, measured[name].image_id))
    return {"variant": name, "id": digest.hexdigest()[:12]}


def _with_built_in(project: Project) -> Project:
    """One more variant, by our own configuration: its seed, checks and request; the user's load and services.

    It needs PostgreSQL and Redis; where one of them is lacking, ours is started.
    """
    own = load(builtin_file(), project.preset, variants=[_SOURCE])
    kinds = {service.kind for service in project.config.services.values()}
    lacking = {name: service for name, service in own.config.services.items() if service.kind not in kinds}
    services = {**project.config.services, **lacking}
    variants = {BUILT_IN_VARIANT: own.config.variants[_SOURCE]}
    profiles = {name: profile.model_copy(update=_REQUEST) for name, profile in project.profiles.items()}
    beside = own.config.model_copy(update={"services": services, "variants": variants, "profiles": profiles})
    both = {"services": services, "variants": {**project.config.variants, **variants}, "control": BUILT_IN_VARIANT}
    return replace(
        project,
        config=project.config.model_copy(update=both),
        beside=replace(own, config=beside, policy=project.policy, origin="the built-in control"),
    )


def _named(project: Project, name: str | None) -> Project:
    return replace(project, config=project.config.model_copy(update={"control": name}))


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
