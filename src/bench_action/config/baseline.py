"""The base revision: its variants on its own sources, and what it lacks of head's."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bench_action.config.load import Project, counterpart_root, fill_in_commit, missing_files, read_config
from bench_action.config.paths import problem_of
from bench_action.config.schema import Profile
from bench_action.model.errors import InputError

_SHORT = 7


@dataclass(frozen=True, slots=True)
class Lack:
    """Why base has no counterpart of a variant or of a cell; the fields are those of `NotCompared`."""

    status: Literal["new", "base-failed"]
    reason: str
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """The base revision, as far as it can be compared with head.

    `loaded`: its variants on its own sources, with its checks. `valid`: whether its configuration is its own and can
    judge; otherwise head's stands in for it. `profiles`: those of its configuration, narrowed like head's. `lacks`:
    variant → why there is nothing to compare it with. `aliases`: what base calls PostgreSQL and Redis, where the
    servers that run have other names. `judges`: whether its rules judge head. `removed`: variants that head no longer
    has.
    """

    project: Project
    commit: str = ""
    valid: bool = False
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    lacks: Mapping[str, Lack] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    judges: bool = False
    removed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What messages call it."""
        return name_of(self.commit)

    def without(self, lacks: Mapping[str, Lack]) -> "Baseline":
        """Leave more variants out."""
        variants = {name: variant for name, variant in self.project.config.variants.items() if name not in lacks}
        project = replace(self.project, config=self.project.config.model_copy(update={"variants": variants}))
        return replace(self, project=project, lacks={**self.lacks, **lacks})


def name_of(commit: str) -> str:
    """`base 1a2b3c4`, quoted the way messages quote names."""
    return f"base `{commit[:_SHORT]}`" if commit else "base"


def load_base(
    head: Project,
    folder: Path,
    commit: str = "",
    *,
    moved_from: str = "",
    variants: Sequence[str] = (),
    profiles: Sequence[str] = (),
) -> Baseline:
    """Load base from its sources. Nothing that base lacks or has wrong raises: it costs the variants it concerns.

    `folder` is the counterpart of head's folder in base's sources, `moved_from` the path of base's configuration
    relative to it, where head has moved the file; `variants` and `profiles` are the names that head was narrowed to.
    Without a configuration base is compared with nothing: this is the first adoption. An invalid one is replaced by
    head's, so that the change that fixes it can be measured.
    """
    file = Path(os.path.normpath(folder / (moved_from or head.file)))
    root = counterpart_root(head, folder)
    if not file.is_file():
        return _without_configuration(head, folder, commit)
    try:
        config = read_config(file, root)
    except InputError:
        own = replace(head, folder=folder, root=root, origin="head's configuration on base's sources")
        return _without_missing(Baseline(own, commit), head, "new")
    own = replace(
        head, config=config, folder=file.parent, origin=f"base's {file.name}", file=file.name, beside=None, root=root
    )
    names = {name: one for name, one in own.profiles.items() if not profiles or name in profiles}
    kept = {name: variant for name, variant in config.variants.items() if name in head.config.variants}
    own = replace(own, config=config.model_copy(update={"variants": kept, "profiles": names}))
    absent = {name: Lack("new", f"{name_of(commit)} has no variant `{name}`") for name in head.own if name not in kept}
    removed = tuple(name for name in config.variants if name not in kept and not variants)
    base = Baseline(own, commit, valid=True, profiles=names, lacks=absent, removed=removed)
    return _without_missing(base, head, "base-failed")


def name_commit(base: Baseline) -> Baseline:
    """Replace `{revision}` in the names of base's images."""
    return replace(base, project=fill_in_commit(base.project, base.commit))


def unreadable_base(head: Project, commit: str, error: InputError) -> Baseline:
    """Base whose sources could not be read from git: nothing of it can be compared."""
    why = f"{name_of(commit)} could not be read: {'; '.join(filter(None, (error.cause, error.advice)))}"
    nothing = replace(head, config=head.config.model_copy(update={"variants": {}}))
    return Baseline(nothing, commit, lacks={name: Lack("base-failed", why, error.log) for name in head.own})


def _without_configuration(head: Project, folder: Path, commit: str) -> Baseline:
    seed = [head.config.seed] if head.config.seed and not (folder / head.config.seed).is_file() else []
    nothing = replace(head, folder=folder, config=head.config.model_copy(update={"variants": {}}))
    lacks = {}
    for name in head.own:
        files = [head.file, *seed, *missing_files(head.config.variants[name], folder, counterpart_root(head, folder))]
        lacks[name] = Lack("new", f"{name_of(commit)} has no {_listed(files)}")
    return Baseline(nothing, commit, lacks=lacks)


def _without_missing(base: Baseline, head: Project, status: Literal["new", "base-failed"]) -> Baseline:
    """Leave out the variants whose files base's sources do not have; a seed that base lacks is head's."""
    config, folder = base.project.config, base.project.folder
    lacks = {}
    for name, variant in config.variants.items():
        if head.of(name) is head and (files := missing_files(variant, folder, base.project.root)):
            lacks[name] = Lack(status, f"{base.name} has no {_listed(files)}")
    seed = config.seed
    problem = problem_of(folder / seed, base.project.root, "seed") if seed else None
    if seed is None or (problem is not None and problem.absent):
        seed, problem = (str(head.folder / head.config.seed), None) if head.config.seed else (seed, problem)
    if problem is not None:
        why = "" if problem.absent else f" ({problem.text})"
        lacks = {name: Lack(status, f"{base.name} has no `{seed}`{why}") for name in config.variants}
    project = replace(base.project, config=config.model_copy(update={"seed": seed}))
    return replace(base, project=project).without(lacks)


def _listed(files: Sequence[str]) -> str:
    *others, last = [f"`{file}`" for file in dict.fromkeys(files)]
    return f"{', '.join(others)} or {last}" if others else last
