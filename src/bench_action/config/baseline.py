"""The base revision: its variants, built from its own sources, and what head has that it lacks."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench_action.config.compose.find import Spare
from bench_action.config.levels import find_profile, spread_levels
from bench_action.config.load import (
    ConfigPlace,
    Project,
    fill_in_commit,
    find_counterpart_root,
    list_missing_files,
    list_seed_files,
    read_config,
    request_path,
)
from bench_action.config.paths import PathProblem, find_problem
from bench_action.config.schema import USUAL_FILES, Profile, Service
from bench_action.config.secrets import NONE_ALLOWED, Secrets
from bench_action.model.errors import InputError

Replaced = Literal["absent", "invalid"]  # what base's own configuration is

_SHORT = 7


@dataclass(frozen=True, slots=True)
class Lack:
    """Why base has no counterpart of a variant or a cell. Its fields are those of `NotCompared`."""

    status: Literal["new", "base-failed"]
    reason: str
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """The part of the base revision that can be compared with head.

    `project`: its variants, built from its own sources, with its checks. `valid`: whether its own configuration
    exists, is valid, and can judge head; otherwise head's replaces it. `profiles`: those of its configuration, narrowed
    like head's. `lacks`: variant → why there is nothing to compare it with. `aliases`: base's names of PostgreSQL and
    Redis → the names of the servers that run, if they differ. `judges`: whether its rules judge head. `removed`:
    variants that head no longer has. `incomplete`: what its sources lack, such as files of LFS. `replaced`: why head's
    configuration describes its sources, if it does. `own_data`: databases that begin with other data than head's, as
    base's files for their first start differ: name of the server that runs → base's own service. `tracked`: head's
    files under git, relative to its root; empty if they are not known.
    """

    project: Project
    commit: str = ""
    valid: bool = False
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    lacks: Mapping[str, Lack] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    judges: bool = False
    removed: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    replaced: Replaced | None = None
    own_data: Mapping[str, Service] = field(default_factory=dict)
    tracked: Collection[str] = ()

    @property
    def name(self) -> str:
        """The name that messages use."""
        return name_base(self.commit)

    def leave_out(self, lacks: Mapping[str, Lack]) -> "Baseline":
        """Remove more variants, each with its reason."""
        variants = {name: variant for name, variant in self.project.config.variants.items() if name not in lacks}
        project = replace(self.project, config=self.project.config.model_copy(update={"variants": variants}))
        return replace(self, project=project, lacks={**self.lacks, **lacks})


def name_base(commit: str) -> str:
    """Name base in messages: "base `1a2b3c4`", or "base" if its commit is unknown."""
    return f"base `{commit[:_SHORT]}`" if commit else "base"


def require_own_choice(head: Project, folder: Path, commit: str = "", *, moved_from: str = "") -> None:
    """Require that base has no other configuration that would be chosen before head's if none is named.

    Otherwise who removes bench.yml from a project with a compose file replaces base's rules by none. The parameters are
    those of `load_base`. Raises InputError.
    """
    before = USUAL_FILES[: USUAL_FILES.index(head.file)] if head.file in USUAL_FILES else ()
    missed = (name for name in before if name != moved_from and not (head.folder / name).is_file())
    if (name := next((name for name in missed if (folder / name).is_file()), None)) is not None:
        raise InputError(
            f"no {name} found, and {name_base(commit)} has one".replace("`", ""),
            cause=f"it was removed or moved, and {head.file} would take its place",
            advice="set `config:` (--config) to the file that describes the benchmark",
        )


def load_base(
    head: Project,
    folder: Path,
    commit: str = "",
    *,
    moved_from: str = "",
    variants: Sequence[str] = (),
    profiles: Sequence[str] = (),
    environ: Mapping[str, str] = {},
    secrets: Secrets = NONE_ALLOWED,
    adopts: bool = False,
    tracked: Collection[str] = (),
) -> Baseline:
    """Load base from its sources. Never raise: a fault of base only excludes the variants that it affects.

    `folder`: the counterpart of head's folder in base's sources. `moved_from`: the path of base's configuration
    relative to it, if head has moved the file. `variants`, `profiles`: the names that head was narrowed to. `environ`,
    `secrets`: what base's compose file is read with. `tracked`: head's files under git, relative to its root. If base
    has no configuration, nothing is compared, as head introduces the benchmark, unless base's own compose file
    describes what head measures, or base `adopts` head's. If base's is invalid, head's replaces it, so that the change
    that fixes it can be measured.
    """
    file = Path(os.path.normpath(folder / (moved_from or head.file)))
    root, spare = find_counterpart_root(head, folder), Spare(head.root, tracked)
    place = ConfigPlace(folder, root, spare)
    adopted = replace(head, folder=folder, root=root)
    if not file.is_file():
        own = _read_with_own_compose_file(head, place, environ, secrets) or (adopted if adopts else None)
        if own is None:
            return _without_configuration(head, folder, commit)
        return _replace_configuration(own, head, commit, "absent")
    try:
        reading = read_config(file, root, environ, secrets, ConfigPlace(file.parent, root, spare))
    except InputError:
        own = _read_with_own_compose_file(head, place, environ, secrets) or adopted
        return _replace_configuration(own, head, commit, "invalid")
    own = replace(head, config=reading.config, folder=file.parent, file=file.name, control_project=None, root=root)
    policy, notes = request_path(head.policy, reading.health_path), tuple(reading.notes)
    own = replace(own, origin=f"base's {file.name}", compose=reading.compose, policy=policy, notes=notes)
    base = _narrow(own, head, commit, variants, profiles)
    return _without_missing(base, head, "base-failed")


def _narrow(own: Project, head: Project, commit: str, variants: Sequence[str], profiles: Sequence[str]) -> Baseline:
    """Keep base's variants that head has, and the profiles that head was narrowed to."""
    config = own.config
    kept_profiles = {
        name: profile
        for name, profile in own.profiles.items()
        if not profiles or {name, find_profile(name, profile.connections)} & set(profiles)
    }
    kept = {name: variant for name, variant in config.variants.items() if name in head.config.variants}
    own = spread_levels(replace(own, config=config.model_copy(update={"variants": kept, "profiles": kept_profiles})))
    new = [name for name in head.own_variants if name not in kept]
    lacks = {name: Lack("new", f"{name_base(commit)} has no variant `{name}`") for name in new}
    removed = tuple(name for name in config.variants if name not in kept and not variants)
    return Baseline(own, commit, valid=True, profiles=own.config.profiles, lacks=lacks, removed=removed)


def _read_with_own_compose_file(
    head: Project, place: ConfigPlace, environ: Mapping[str, str], secrets: Secrets
) -> Project | None:
    """Read head's configuration with base's compose file; None if head uses none, or base has none that fits."""
    if not head.compose:
        return None
    try:
        reading = read_config(head.folder / head.file, head.root, environ, secrets, place)
    except InputError:
        return None
    kept = {name: variant for name, variant in reading.config.variants.items() if name in head.config.variants}
    config = reading.config.model_copy(update={"variants": kept, "profiles": head.config.profiles})
    return replace(head, config=config, folder=place.folder, root=place.root, control_project=None)


def _replace_configuration(own: Project, head: Project, commit: str, why: Replaced) -> Baseline:
    """Make a base that head's configuration describes."""
    own = replace(own, origin="head's configuration on base's sources")
    return _without_missing(Baseline(own, commit, replaced=why), head, "new")


def fill_in_base_commit(base: Baseline) -> Baseline:
    """Replace `{revision}` in the names of base's images."""
    return replace(base, project=fill_in_commit(base.project, base.commit))


def make_unreadable_base(head: Project, commit: str, error: InputError) -> Baseline:
    """Make a base that nothing can be compared with, as its sources could not be read from git."""
    why = f"could not read {name_base(commit)}: {'; '.join(filter(None, (error.cause, error.advice)))}"
    nothing = replace(head, config=head.config.model_copy(update={"variants": {}}))
    return Baseline(nothing, commit, lacks={name: Lack("base-failed", why, error.log) for name in head.own_variants})


def _without_configuration(head: Project, folder: Path, commit: str) -> Baseline:
    seed = [step.file for step in head.config.seed if step.file is not None and not (folder / step.file).exists()]
    nothing = replace(head, folder=folder, config=head.config.model_copy(update={"variants": {}}))
    lacks = {}
    root = find_counterpart_root(head, folder)
    for name in head.own_variants:
        files = [head.file, *seed, *list_missing_files(head.config.variants[name], folder, root)]
        lacks[name] = Lack("new", f"{name_base(commit)} has no {_join_names(files)}")
    return Baseline(nothing, commit, lacks=lacks)


def _without_missing(base: Baseline, head: Project, status: Literal["new", "base-failed"]) -> Baseline:
    """Remove the variants whose files are missing in base's sources. If base has no seed, use head's."""
    config, folder, root = base.project.config, base.project.folder, base.project.root
    lacks = {}
    shared = [file for service in config.services.values() for file in list_missing_files(service, folder, root)]
    for name, variant in config.variants.items():
        if head.find_owner(name) is head and (files := [*list_missing_files(variant, folder, root), *shared]):
            lacks[name] = Lack(status, f"{base.name} has no {_join_names(files)}")
    problems = _find_seed_problems(base.project)
    if head.config.seed and (not config.seed or (problems and all(problem.absent for problem in problems.values()))):
        config, problems = config.model_copy(update=_borrow_seed(head)), {}
    for file, problem in problems.items():
        why = "" if problem.absent else f" ({problem.text})"
        lacks = {name: Lack(status, f"{base.name} has no `{file}`{why}") for name in config.variants}
    return replace(base, project=replace(base.project, config=config)).leave_out(lacks)


def _find_seed_problems(project: Project) -> dict[str, PathProblem]:
    found = {name: find_problem(project.folder / name, project.root, "seed") for name in list_seed_files(project)}
    return {name: problem for name, problem in found.items() if problem is not None}


def _borrow_seed(head: Project) -> dict[str, Any]:
    """Return what of head's configuration makes its seed, with the paths of its files."""
    steps = [
        step if step.file is None else step.model_copy(update={"file": str(head.folder / step.file)})
        for step in head.config.seed
    ]
    return {"seed": steps, "extensions": head.config.extensions}


def _join_names(files: Sequence[str]) -> str:
    *others, last = [f"`{file}`" for file in dict.fromkeys(files)]
    return f"{', '.join(others)} or {last}" if others else last
