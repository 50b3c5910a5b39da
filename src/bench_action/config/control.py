"""The control of a run: the unchanging variant that trends are normalised against, the user's or the built-in one."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_action.config.load import Project, find_builtin_file, load_project
from bench_action.config.schema import BUILT_IN, ExpectedReply, Service, Variant
from bench_action.model.errors import InputError
from bench_action.model.result import SubjectInfo

AUTO = "auto"
BUILT_IN_VARIANT = "bench-action-control"
_SOURCE = "aiohttp"
_PREFIX = "bench-action"  # of the names of services for it alone, which no other service can have
_IGNORED = frozenset({"__pycache__", ".git"})
_SMALL = 1024  # bytes
# what the control is sent in the place of the user's requests
_REQUEST: dict[str, Any] = {
    "path": "/",
    "method": "GET",
    "headers": {},
    "body": "",
    "expect": ExpectedReply(),
    "requests": [],
    "urls": None,
    "session": None,
}


def add_control(project: Project, requested: str | None) -> Project:
    """Add the control to a project.

    `requested`: a variant, `built-in`, `none`, `auto` (the configuration's, else the built-in one), or None (the
    configuration's, if any). Raises InputError if there is no such variant.
    """
    if requested == "none":
        return _set_control(project, None)
    name = project.config.control if requested in {None, AUTO} else requested
    if name is None:
        return _add_built_in(project) if requested == AUTO else project
    if name == BUILT_IN and name not in project.config.variants:
        return _add_built_in(project)
    if requested == name and name not in project.config.variants:
        known = ", ".join((*project.config.variants, BUILT_IN))
        raise InputError(f"unknown control: {name}", advice=f"use one of: {known}")
    return _set_control(project, name)


def identify_control(project: Project, subjects: tuple[SubjectInfo, ...]) -> dict[str, str]:
    """Identify the control by `variant` and `id`, for `result.json`.

    Empty if the configuration names no control, or it was not measured. The id is a hash of its sources and settings,
    not of its image, which differs from build to build. Ratios to controls with different ids are never joined.
    """
    name = project.config.control
    measured = {subject.variant: subject for subject in subjects if subject.revision == "head" and subject.verified}
    if name is None or name not in measured:
        return {}
    digest = hashlib.sha256(project.config.variants[name].model_dump_json().encode())
    digest.update(
        _hash_sources(project.config.variants[name], project.find_owner(name).folder, measured[name].image_id)
    )
    return {"variant": name, "id": digest.hexdigest()[:12]}


def _add_built_in(project: Project) -> Project:
    """Add the built-in control: with its own seed, checks and request, under the user's load and on their services.

    It needs PostgreSQL and Redis, and gets nothing else: the first of each kind that the user's configuration has, or
    the built-in one, which is for it alone.
    """
    own = load_project(find_builtin_file(), project.preset, variants=[_SOURCE])
    services = dict(_choose_service(project, name, service) for name, service in own.config.services.items())
    variants = {BUILT_IN_VARIANT: own.config.variants[_SOURCE]}
    profiles = {
        name: profile.model_copy(update=_REQUEST | {"k6": None, "rate": None, "slo": None})
        for name, profile in project.profiles.items()
    }
    control = own.config.model_copy(update={"services": services, "variants": variants, "profiles": profiles})
    both = {
        "services": {**project.config.services, **services},
        "variants": {**project.config.variants, **variants},
        "control": BUILT_IN_VARIANT,
    }
    return replace(
        project,
        config=project.config.model_copy(update=both),
        control_project=replace(own, config=control, policy=project.policy, origin="the built-in control"),
    )


def _choose_service(project: Project, name: str, built_in: Service) -> tuple[str, Service]:
    """Choose the service that the control uses in the place of a built-in one, with its name."""
    for their_name, theirs in project.config.services.items():
        if theirs.kind == built_in.kind and not theirs.is_companion:
            return their_name, theirs
    return f"{_PREFIX}-{name}", built_in


def _set_control(project: Project, name: str | None) -> Project:
    return replace(project, config=project.config.model_copy(update={"control": name}))


def _hash_sources(variant: Variant, folder: Path, image_id: str) -> bytes:
    """Hash a variant's build context. If its image is not built here, return the image's id."""
    if variant.build is None:
        return image_id.encode()
    context = folder / variant.build.context
    digest = hashlib.sha256()
    ignored = _find_ignored_folders(context)
    for path in sorted(context.rglob("*")):
        relative = path.relative_to(context)
        if _IGNORED & set(relative.parts) or any(path.is_relative_to(other) for other in ignored):
            continue
        if path.is_symlink():  # never followed: it may lead anywhere
            digest.update(f"{relative}\0-> {path.readlink()}\0".encode())
        elif path.is_file():
            with path.open("rb") as file:
                digest.update(f"{relative}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.digest()


def _find_ignored_folders(context: Path) -> list[Path]:
    """List folders whose own `.gitignore` ignores all of them, such as our results and virtual environments."""
    folders = []
    for path in context.rglob(".gitignore"):
        small = not path.is_symlink() and path.is_file() and path.stat().st_size <= _SMALL and path.parent != context
        if small and path.read_text(encoding="utf-8", errors="replace").strip() == "*":
            folders.append(path.parent)
    return folders
