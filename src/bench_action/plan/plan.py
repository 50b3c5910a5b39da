"""The plan of a run: which subjects are measured with which settings, in which order, and on which CPUs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench_action.config.baseline import Lack
from bench_action.config.load import Project
from bench_action.config.options import Options
from bench_action.model.result import SubjectInfo
from bench_action.plan.blocks import Cell
from bench_action.plan.design import Counts, Design, make_design
from bench_action.plan.placement import Placement
from bench_action.plan.shares import Share


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided before measuring begins.

    `project`: head, with the profiles to measure. `subjects`: all that came up, also those that broke a rule.
    `places`: the placements between which the blocks of pairs alternate; empty if there are too few CPUs. `lacks`:
    cells of head without a counterpart in base. `unpinned`: why containers cannot be pinned to CPUs; empty if they can,
    or if no pair needs it. `to_the_end`: no pair is decided early. `share`: the part of a run that is measured here;
    None: all of it.
    """

    project: Project
    subjects: tuple[SubjectInfo, ...]
    design: Design
    places: tuple[Placement, ...] = ()
    lacks: Mapping[Cell, Lack] = field(default_factory=dict)
    unpinned: str = ""
    to_the_end: bool = False
    share: Share | None = None

    @property
    def failed(self) -> Mapping[str, str]:
        """Name of each subject that broke a rule → the rule."""
        return {subject.name: subject.failure for subject in self.subjects if not subject.verified}

    @property
    def needs_pinning(self) -> bool:
        """Whether pairs are to share a CPU."""
        return bool(self.design.pairs and self.places)

    @property
    def counts(self) -> Counts:
        """How many comparisons the whole run makes, also on other runners."""
        return self.share.counts if self.share is not None else self.design.count(self.project)

    def measures(self, cell: Cell) -> bool:
        """Whether a cell of head is measured here, and not by another shard."""
        return self.share is None or cell in self.share.cells

    def without_pinning(self, reason: str) -> "Plan":
        """Measure pairs in turn instead of at the same time, because containers cannot be pinned to CPUs."""
        return replace(self, design=replace(self.design, duets=False), places=(), unpinned=reason)

    def describe_places(self) -> str:
        """Where pairs are measured, for the log."""
        if self.places:
            return f"in turn: {'; '.join(map(str, self.places))}"
        return f"none, because {self.unpinned or 'there is one CPU only'}: subjects are measured in turn"


def make_plan(
    project: Project,
    subjects: Sequence[SubjectInfo],
    lacks: Mapping[Cell, Lack],
    places: Collection[Placement],
    options: Options,
    *,
    in_turns: bool = False,
    share: Share | None = None,
) -> Plan:
    """Plan a run of the subjects that came up.

    A base that broke a rule stays: `lacks` says which cells it cannot be compared in. `in_turns`: variants share slots,
    as memory is too short for all of them. `share`: the part of a run that is measured here. What several shards
    measure is not decided early: their blocks are judged together.
    """
    measured = [subject for subject in subjects if subject.revision == "base" or subject.verified]
    design = make_design(
        [(subject.variant, subject.revision) for subject in measured],
        list(project.profiles),
        options.compare,
        duets=bool(places),
        seed=options.seed,
        without=lacks,
        boot_s=max(subject.startup_s for subject in subjects),
        renewal_s=max(subject.renewal_s for subject in subjects),
        in_turns=in_turns,
        only=_list_measured(project, share) if share is not None else None,
    )
    to_the_end = options.self_test or (share is not None and share.repeated)
    return Plan(project, tuple(subjects), design, tuple(places), lacks, to_the_end=to_the_end, share=share)


def _list_measured(project: Project, share: Share) -> set[Cell]:
    """List the cells of head that a shard measures, and those of the built-in control."""
    own = project.own_variants
    control = [name for name in project.config.variants if name not in own]
    return {*share.cells, *(Cell(name, "head", profile) for name in control for profile in project.profiles)}
