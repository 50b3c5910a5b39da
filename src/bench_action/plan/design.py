"""Decide what a run measures, and in which order: the cells and pairs of the subjects that came up. Pure."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from bench_action.config.load import Project
from bench_action.config.schema import PairPhase, Policy, Profile
from bench_action.model.wording import plural
from bench_action.plan.blocks import (
    COUNTS,
    Block,
    Cell,
    Pace,
    Pair,
    make_duet_blocks,
    make_interleaved_blocks,
    make_latency_blocks,
    make_objective_blocks,
    make_rate_blocks,
    make_solo_blocks,
    make_solo_rate_blocks,
    share_restarts,
)
from bench_action.plan.timetable import LEAST_BLOCKS, OVERHEAD_S, Timetable
from bench_action.stats.nested import USUAL, choose_slice

_SWITCH_S = 1.5  # of a pair's block: stopping and starting its subjects, without the time they take to boot
_SLOW_S = 10.0  # subjects that take longer to start have their cost in the log
_SHARED, _LONGEST_SHARED = 0.25, 3.0  # by how much each more request lengthens the slices of a mix, and the most
_STEPS, _STEP_S = 4, 3  # of a subject in a block of phase `slo`, and how long each usually takes
_SCRIPT_WARMUP_S = 4.0  # of two subjects, two rounds each of a quick script
_K6_S = 0.7  # from starting k6 to its first request, and from its last one to its report
_INTERLEAVED = Pace(warmup_s=1, slice_s=1, turns=2)


class Counts(NamedTuple):
    """How many comparisons of each kind a run makes, among which its error is divided.

    `pairs`: under full load. `routes`: requests of mixes. `rated`: pairs in turns at a fixed rate. `objectives`: pairs
    whose highest rates are found.
    """

    pairs: int
    routes: int = 0
    rated: int = 0
    objectives: int = 0


@dataclass(frozen=True, slots=True)
class Design:
    """The cells that are measured alone, and the pairs that are compared.

    `duets`: whether there are enough CPUs to load the two subjects of a pair at the same time. `boot_s`: how many
    seconds the slowest subject takes to start, `renewal_s`: how many it takes to make the data of a slot new.
    `in_turns`: variants share slots, so that they are restarted for each trial alone.
    """

    cells: tuple[Cell, ...]
    pairs: tuple[Pair, ...]
    duets: bool
    seed: int
    boot_s: float = 1.0
    renewal_s: float = 0.0
    in_turns: bool = False

    def make_blocks(self, project: Project) -> Iterator[Block]:
        """Yield every block, phase by phase: `count`, `capacity`, `rate`, `slo`, `duet` (if possible), `interleaved`.

        wrk cannot load scripts: they are counted, and compared in phase `rate` alone.
        `latency` compares revisions only, and shares the restarts of the phase that comes first of these two.
        `interleaved` follows even if duets are possible, in case the duets of base and head turn out to be unable to
        compare rates. The measurer skips the blocks that are not needed.
        """
        policy = project.policy
        alone = make_solo_blocks(
            self.cells,
            blocks=self._capacity_blocks(project),
            warmup_s=policy.warmup,
            seed=self.seed,
            renew=_writes(project),
            in_turns=self.in_turns,
            without=[cell for cell in self.cells if _is_script(project, cell)],
        )
        alone = chain(alone, self._make_rate_blocks(project))
        pairs = self.list_loaded(project)
        revisions = [pair for pair in pairs if pair.kind == "revision"]
        pace = _pace(_fit_latency(project))
        latency = make_latency_blocks(revisions, blocks=policy.latency.blocks, pace=pace, seed=self.seed)
        turns = revisions if self.duets else pairs
        in_turn = make_interleaved_blocks(turns, blocks=policy.duet.blocks, pace=_INTERLEAVED, seed=self.seed)
        if not self.duets:
            return chain(alone, share_restarts(in_turn, latency))
        duet = self._fit_duet(policy)
        duets = make_duet_blocks(pairs, blocks=duet.blocks, pace=_pace(duet), seed=self.seed)
        return chain(alone, share_restarts(duets, latency), in_turn)

    def list_loaded(self, project: Project) -> list[Pair]:
        """List the pairs that wrk loads: all except those of scripts."""
        return [pair for pair in self.pairs if not _is_script(project, pair.head)]

    def list_rated(self, project: Project) -> list[Pair]:
        """List the pairs that are compared in turns with k6."""
        return [pair for pair in self.pairs if _is_rated(project, pair.head)]

    def list_objectives(self, project: Project) -> list[Pair]:
        """List the pairs whose highest rates are compared that hold an objective."""
        return [pair for pair in self.pairs if _has_objective(project, pair.head)]

    def count(self, project: Project) -> Counts:
        """Count the comparisons in which noise may raise an alarm."""
        compared = [pair.head.profile for pair in self.pairs if pair.kind == "revision"]
        routes = sum(len(project.profiles[name].parts) for name in compared if name in project.profiles)
        loaded, rated, held = self.list_loaded(project), self.list_rated(project), self.list_objectives(project)
        return Counts(len(loaded), routes, len(rated), len(held))

    def estimate_unlimited_s(self, project: Project) -> float:
        """Estimate how long it would take without the preset's limit, to balance shards."""
        policy = project.policy.model_copy(update={"minutes": None})
        return self.estimate(replace(project, policy=policy))[1]

    def _make_rate_blocks(self, project: Project) -> Iterator[Block]:
        """Yield the blocks of phases `rate` and `slo`: of cells in no pair, then of pairs."""
        policy, seed = project.policy, self.seed
        paired = {cell for pair in self.pairs for cell in (pair.base, pair.head)}
        alone = [cell for cell in self.cells if cell not in paired]
        rated = [cell for cell in alone if _is_rated(project, cell)]
        held = [cell for cell in alone if _has_objective(project, cell)]
        pace, solo = Pace(policy.duet.warmup, policy.rate.slice), Pace(policy.warmup, policy.rate.slice)
        return chain(
            make_solo_rate_blocks("rate", rated, blocks=self._capacity_blocks(project), pace=solo, seed=seed),
            make_solo_rate_blocks("slo", held, blocks=self._capacity_blocks(project), pace=solo, seed=seed),
            make_rate_blocks(self.list_rated(project), blocks=project.rate_blocks, pace=pace, seed=seed),
            make_objective_blocks(
                self.list_objectives(project), blocks=policy.slo.blocks, warmup_s=pace.warmup_s, seed=seed
            ),
        )

    def _estimate_objective_s(self, project: Project) -> float:
        """Estimate how long a block of phase `slo` takes."""
        restart_s = _SWITCH_S + self.boot_s + self.renewal_s + project.policy.duet.warmup
        return restart_s + 2 * _STEPS * (_K6_S + project.policy.slo.warmup + _STEP_S)

    def _estimate_rates_s(self, project: Project) -> dict[Cell, float]:
        """Estimate how long a block of phase `rate` takes, for each pair (by its head)."""
        rate = project.policy.rate
        restart_s = _SWITCH_S + self.boot_s + self.renewal_s
        turns_s = 2 * (_K6_S + rate.warmup)
        return {
            pair.head: restart_s + _find_warmup_s(project, pair.head) + turns_s + 2 * _find_turn_s(project, pair.head)
            for pair in self.list_rated(project)
        }

    def estimate(self, project: Project, tracks: int = 1) -> tuple[int, float]:
        """Estimate the number of trials and the seconds that they take, if nothing is decided early.

        `tracks`: how many duets run at the same time.
        """
        policy, times, blocks = project.policy, self.make_timetable(project), self._capacity_blocks(project)
        alone_s = self._estimate_counts_s(project) + blocks * times.capacity_s
        latency_s = times.revisions * policy.latency.blocks * times.latency_s
        loaded = len(self.list_loaded(project))
        held = len(self.list_objectives(project)) * policy.slo.blocks
        rates_s = project.rate_blocks * sum(self._estimate_rates_s(project).values())
        rates_s += held * self._estimate_objective_s(project)
        duet_s = loaded * policy.duet.seconds
        duets = min(policy.duet.blocks, int(policy.duet.seconds / times.duet_s))
        paired = times.revisions * policy.latency.blocks + loaded * duets * tracks
        paired += len(self.list_rated(project)) * project.rate_blocks + held * _STEPS
        trials = len(self.cells) * (COUNTS + blocks) + 2 * paired + self._count_more_trials(project)
        total_s = alone_s + rates_s + latency_s + duet_s
        return trials, min(total_s, times.limit_s) if times.limit_s is not None else total_s

    def _count_more_trials(self, project: Project) -> int:
        """Count the trials that mixes have more: one for each of their requests in counts and with one connection."""
        routes = {name: len(profile.parts) for name, profile in project.profiles.items() if profile.is_mix}
        counts = COUNTS * sum(routes.get(cell.profile, 0) for cell in self.cells)
        pairs = [pair.head.profile for pair in self.pairs if pair.kind == "revision"]
        return counts + 2 * project.policy.latency.blocks * sum(routes[name] - 1 for name in pairs if name in routes)

    def describe_starts(self, project: Project) -> str:
        """Say what restarts leave of the time of pairs under load; empty if they are fast, or wrk loads no pair."""
        times, duet = self.make_timetable(project), project.policy.duet
        if not times.pairs or times.restart_s - _SWITCH_S < _SLOW_S:
            return ""
        seconds = duet.seconds
        if times.limit_s is not None:
            seconds = min(seconds, max(0.0, times.limit_s - times.capacity_s) / times.pairs)
        blocks = min(duet.blocks, int(seconds / times.duet_s))
        more = ", too few to decide: allow more time" if blocks < LEAST_BLOCKS else ""
        text = f"each block restarts its subjects, which take {self.boot_s:.0f} s to start"
        if times.renewal_s >= 1:
            often = {0.5: "every second time ", 1.0: ""}.get(self._find_renewed_share(project), "most times ")
            text += f", and {often}copies their data again, which takes {self.renewal_s:.0f} s"
            more += " or a smaller seed" if more else ""
        return f"{text}: about {plural(blocks, 'block')} for each pair in the time{more}"

    def make_timetable(self, project: Project) -> Timetable:
        """Estimate how long the blocks take, from the profiles and from how long the subjects took to start."""
        policy, alone_s = project.policy, self._renew_alone_s(project) if self._renews(project) else 0.0
        renewal_s = self.renewal_s * self._find_renewed_share(project)
        return Timetable(
            limit_s=policy.minutes * 60 if policy.minutes is not None else None,
            pairs=len(self.list_loaded(project)),
            revisions=sum(1 for pair in self.list_loaded(project) if pair.kind == "revision"),
            restart_s=_SWITCH_S + self.boot_s + renewal_s,
            capacity_s=sum(
                project.profiles[cell.profile].duration + OVERHEAD_S + alone_s
                for cell in self.cells
                if not _is_script(project, cell)
            ),
            rate_s=max(self._estimate_rates_s(project).values(), default=0.0),
            objective_s=self._estimate_objective_s(project),
            latency=_fit_latency(project),
            duet=self._fit_duet(policy),
            renewal_s=renewal_s,
        )

    def _renews(self, project: Project) -> bool:
        """Whether each trial alone begins with new data and a restart."""
        return self.in_turns or _writes(project)

    def _renew_alone_s(self, project: Project) -> float:
        """Estimate how long new data, a restart and a warm-up take before a trial alone."""
        return _SWITCH_S + self.boot_s + self.renewal_s + project.policy.warmup

    def _estimate_counts_s(self, project: Project) -> float:
        """Estimate how long both counts of all cells take: nearly all of it are restarts and warm-ups."""
        subjects = len({(cell.variant, cell.revision) for cell in self.cells})
        restarts = len(self.cells) if self._renews(project) else subjects
        again_s = len(self.cells) * self._renew_alone_s(project) if self.in_turns else 0.0
        restart_s = self._renew_alone_s(project) - project.policy.warmup
        return len(self.cells) * project.policy.warmup + restarts * restart_s + again_s

    def _find_renewed_share(self, project: Project) -> float:
        """Find in which share of a pair's blocks the data are made new: if another subject was in the slot before.

        The two swap slots at random, and pairs of other subjects come in between, in random order.
        """
        if any(profile.adds_data for profile in project.profiles.values()):
            return 1.0
        subjects = {(pair.base.variant, pair.base.revision, pair.head.variant) for pair in self.pairs}
        return 1 - 0.5 / max(1, len(subjects))

    def _fit_duet(self, policy: Policy) -> PairPhase:
        """Fit the slices of the first duets to what starting the subjects takes: rare restarts need long slices."""
        duet, seconds = policy.duet, policy.duet.seconds
        cost_s = _SWITCH_S + self.boot_s + duet.warmup + OVERHEAD_S
        if policy.minutes is not None:
            seconds = min(seconds, policy.minutes * 60 / max(1, len(self.pairs)))
        return duet.model_copy(update={"slice": choose_slice(USUAL, cost_s, duet.lengths, seconds)})

    def _capacity_blocks(self, project: Project) -> int:
        return project.policy.paired_blocks if self.pairs else project.policy.blocks


def make_design(
    names: Sequence[tuple[str, str]],
    profiles: Sequence[str],
    compare: Sequence[tuple[str, str]],
    *,
    duets: bool,
    seed: int,
    without: Collection[Cell] = (),
    boot_s: float = 1.0,
    renewal_s: float = 0.0,
    in_turns: bool = False,
    only: Collection[Cell] | None = None,
) -> Design:
    """Lay out the cells and pairs of a run.

    Cells: each subject under each profile. Pairs: base and head of each variant that has both, then the requested pairs
    of variants, each under each profile.

    `names`: variant and revision of every subject to measure. `compare`: the requested pairs of variants, base first.
    `without`: cells of head without a counterpart in base, which are measured alone. `only`: the cells of head that are
    measured at all, None for every one.
    """
    every = (Cell(name, "base" if revision == "base" else "head", p) for p in profiles for name, revision in names)
    wanted = [cell for cell in every if only is None or replace(cell, revision="head") in only]
    cells = tuple(cell for cell in wanted if cell.revision == "head" or replace(cell, revision="head") not in without)
    known = set(cells)
    pairs: list[Pair] = []
    for cell in cells:
        base = Cell(cell.variant, "base", cell.profile)
        if cell.revision == "head" and base in known:
            pairs.append(Pair("revision", base, cell))
    for base_name, head_name in compare:
        for profile in profiles:
            sides = Cell(base_name, "head", profile), Cell(head_name, "head", profile)
            if known.issuperset(sides):
                pairs.append(Pair("variant", *sides))
    return Design(cells, tuple(pairs), duets, seed, boot_s, renewal_s, in_turns)


def _find_profile(project: Project, cell: Cell) -> Profile | None:
    return project.find_owner(cell.variant).profiles.get(cell.profile)


def _is_script(project: Project, cell: Cell) -> bool:
    profile = _find_profile(project, cell)
    return profile is not None and profile.is_script


def _is_rated(project: Project, cell: Cell) -> bool:
    profile = _find_profile(project, cell)
    return profile is not None and profile.is_rated


def _has_objective(project: Project, cell: Cell) -> bool:
    profile = _find_profile(project, cell)
    return profile is not None and profile.slo is not None


def _find_turn_s(project: Project, cell: Cell) -> int:
    """Find how long a turn lasts in phase `rate`: what a script's profile says, else what the preset does."""
    profile = _find_profile(project, cell)
    return profile.duration if profile is not None and profile.is_script else project.policy.rate.slice


def _find_warmup_s(project: Project, cell: Cell) -> float:
    """Find how long the two of a pair are usually warmed up: the preset's shortest time, or rounds of a script."""
    return _SCRIPT_WARMUP_S if _is_script(project, cell) else project.policy.duet.warmup


def _writes(project: Project) -> bool:
    return any(profile.writes for profile in project.profiles.values())


def _fit_latency(project: Project) -> PairPhase:
    """Fit the slices with one connection to the requests of a mix, which share them."""
    latency = project.policy.latency
    routes = max((len(profile.routes) for profile in project.profiles.values()), default=1)
    longer = min(_LONGEST_SHARED, 1 + (routes - 1) * _SHARED)
    return latency.model_copy(update={"slice": min(60, round(latency.slice * longer))})


def _pace(paced: PairPhase) -> Pace:
    return Pace(paced.warmup, paced.slice)
