"""Divide a run among runners: whole pairs, balanced by the time that they are expected to take. Pure.

Every runner divides the same configuration in the same way, by nothing that differs between runners.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench_action.config.baseline import Baseline
from bench_action.config.levels import find_profile
from bench_action.config.load import Project
from bench_action.config.shard import Shard
from bench_action.model.errors import InputError
from bench_action.plan.blocks import Cell
from bench_action.plan.design import Counts, Design, make_design


@dataclass(frozen=True, slots=True)
class Unit:
    """What is measured on one machine, as it is compared: the cells of these variants with these profiles.

    They are the levels of one profile, of which the best is looked for, or one profile.
    """

    variants: tuple[str, ...]
    profiles: tuple[str, ...]
    seconds: float

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Its cells of head."""
        return tuple(Cell(variant, "head", profile) for profile in self.profiles for variant in self.variants)


@dataclass(frozen=True, slots=True)
class Share:
    """What one shard measures, and what all of them do.

    `shares`: the names of head's cells for each shard, in order. `cells`: this shard's cells of head. `counts`: how
    many comparisons the whole run makes, which share its error. `repeated`: another shard measures a cell of it as
    well. `together`: the variants that are started although others measure them, as a check compares their replies.
    `digest`: of everything that decides what is measured and how; equal for all shards of a run.
    """

    shard: Shard
    shares: tuple[tuple[str, ...], ...]
    cells: tuple[Cell, ...]
    counts: Counts
    repeated: bool
    together: tuple[str, ...]
    digest: str

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that are started for it."""
        return tuple(dict.fromkeys((*(cell.variant for cell in self.cells), *self.together)))

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles of its cells."""
        return tuple(dict.fromkeys(cell.profile for cell in self.cells))

    def narrow(self, project: Project) -> Project:
        """Leave out what other shards measure. A built-in control stays; names that a project lacks are no fault."""
        control = project.control_project
        config = project.config
        kept = {
            "variants": {
                name: variant
                for name, variant in config.variants.items()
                if name in self.variants or project.find_owner(name) is not project
            },
            "compare": [pair for pair in config.compare if set(pair) <= {*self.variants}],
            "profiles": {name: profile for name, profile in project.profiles.items() if name in self.profiles},
        }
        return replace(
            project,
            config=config.model_copy(update=kept),
            control_project=self.narrow_control(control) if control is not None else None,
        )

    def narrow_control(self, control: Project) -> Project:
        """Leave out the profiles of the built-in control that are not measured here."""
        profiles = {name: profile for name, profile in control.profiles.items() if name in self.profiles}
        return replace(control, config=control.config.model_copy(update={"profiles": profiles}))

    def narrow_base(self, base: Baseline) -> Baseline:
        """Leave out what other shards measure of base."""
        profiles = {name: profile for name, profile in base.profiles.items() if name in self.profiles}
        lacks = {name: lack for name, lack in base.lacks.items() if name in self.variants}
        return replace(base, project=self.narrow(base.project), profiles=profiles, lacks=lacks)


def divide(
    shard: Shard,
    head: Project,
    base: Baseline | None,
    compare: Sequence[tuple[str, str]] = (),
    *,
    facts: Mapping[str, object],
) -> Share:
    """Find what one shard measures. `compare`: pairs of variants. `facts`: what else all shards must agree on."""
    units = list_units(head, base, compare)
    if not units:
        raise InputError("there is nothing to divide into shards", advice="name variants and profiles")
    chosen = allocate(units, shard.count)
    shares = tuple(tuple(str(cell) for number in numbers for cell in units[number].cells) for numbers in chosen)
    own = chosen[shard.number - 1]
    repeated = any(number in other for other in chosen if other is not own for number in own)
    cells = tuple(cell for number in own for cell in units[number].cells)
    counts = _design(base, compare, head.own_variants, tuple(head.profiles)).count(head)
    digest = _make_digest(head, base, shares, facts)
    compared = any(check.expect.same is not None for check in head.config.checks)
    return Share(shard, shares, cells, counts, repeated, head.own_variants if compared else (), digest)


def list_units(head: Project, base: Baseline | None, compare: Sequence[tuple[str, str]] = ()) -> list[Unit]:
    """List what different machines may measure, in the order of the configuration.

    With a base, variants are compared with their own base only, unless they are to be compared with each other; without
    one, and with a control, all variants of a profile are.
    """
    levels: dict[str, tuple[str, ...]] = {}
    for name, profile in head.profiles.items():
        whole = find_profile(name, profile.connections)
        levels[whole] = (*levels.get(whole, ()), name)
    return [
        Unit(group, profiles, _design(base, compare, group, profiles).estimate_unlimited_s(head))
        for profiles in levels.values()
        for group in _group(head, base, compare)
    ]


def allocate(units: Sequence[Unit], count: int) -> list[list[int]]:
    """Give each of `count` shards the numbers of its units.

    The longest unit goes to the shard that has least to do so far (Graham 1969, "Bounds on Multiprocessing Timing
    Anomalies": at most a third longer than the best division). If there are more shards than units, each has one, and
    the longest units are measured by several.
    """
    by_length = sorted(range(len(units)), key=lambda number: (-units[number].seconds, number))
    if count <= len(units):
        shares: list[list[int]] = [[] for _ in range(count)]
        load_s = [0.0] * count
        for number in by_length:
            least = min(range(count), key=lambda shard: (load_s[shard], shard))
            shares[least].append(number)
            load_s[least] += units[number].seconds
        return [sorted(share) for share in shares]
    copies = [1] * len(units)
    for _ in range(count - len(units)):
        longest = max(range(len(units)), key=lambda number: (units[number].seconds / copies[number], -number))
        copies[longest] += 1
    return [[number] for number, often in enumerate(copies) for _ in range(often)]


def _group(head: Project, base: Baseline | None, compare: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Group the variants that are compared with each other."""
    variants = head.own_variants
    pairs = [*head.config.compare, *compare]
    paired = base is not None and not {*variants}.isdisjoint(base.project.config.variants)
    if (not paired and not pairs) or head.config.control is not None:
        return [variants]
    groups = {name: {name} for name in variants}
    for first, second in pairs:
        if first in groups and second in groups:
            both = groups[first] | groups[second]
            groups |= dict.fromkeys(both, both)
    found = [tuple(name for name in variants if name in groups[variant]) for variant in variants]
    return list(dict.fromkeys(found))


def _design(
    base: Baseline | None,
    compare: Sequence[tuple[str, str]],
    variants: Sequence[str],
    profiles: Sequence[str],
) -> Design:
    """Lay out what would be measured if every subject came up."""
    names = [(name, "head") for name in variants]
    bases = base.project.config.variants if base is not None else {}
    names += [(name, "base") for name in variants if name in bases]
    without = list(_list_new(base, variants, profiles)) if base is not None else []
    return make_design(names, profiles, compare, duets=True, seed=0, without=without)


def _list_new(base: Baseline, variants: Sequence[str], profiles: Sequence[str]) -> Iterator[Cell]:
    for profile in profiles if base.judges else ():
        if profile not in base.profiles:
            yield from (Cell(variant, "head", profile) for variant in variants)


def _make_digest(
    head: Project, base: Baseline | None, shares: Sequence[Sequence[str]], facts: Mapping[str, object]
) -> str:
    """Make a digest of what decides how a run is measured."""
    sides = [head, *([base.project] if base is not None else [])]
    content = {
        "shares": shares,
        "configurations": [side.config.model_dump(mode="json") for side in sides],
        "data": [profile.digest for side in sides for profile in side.profiles.values()],
        "policy": head.policy.model_dump(mode="json"),
        "facts": facts,
    }
    text = json.dumps(content, sort_keys=True, default=str)
    for side in sides:  # where a runner has its checkouts decides nothing
        for folder in map(str, (side.folder, side.root)):
            text = text.replace(f"{folder}/", "") if len(folder) > 1 else text
    return hashlib.sha256(text.encode()).hexdigest()[:16]
