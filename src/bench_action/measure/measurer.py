"""Measure what a plan says, and store each trial the moment it ends."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench_action.compare.alphas import split_alpha
from bench_action.compare.assemble import Measured
from bench_action.compare.stopping import Decider
from bench_action.compare.warmth import describe_cold
from bench_action.config.schema import Profile
from bench_action.engine.protocol import Exit
from bench_action.load.k6 import LONGEST_S, Turn, TurnError
from bench_action.load.replies import merge_counts
from bench_action.measure.limits import LimitError
from bench_action.measure.objectives import plan_search
from bench_action.measure.openings import Openings
from bench_action.measure.rates import (
    find_capacity,
    find_longest_s,
    find_rate,
    limit_rate,
    run_script_count,
    run_turn,
)
from bench_action.measure.tracks import count_tracks
from bench_action.measure.trials import (
    TrialPlan,
    run_capacity_trial,
    run_count_trials,
    run_duet_trials,
    run_latency_trials,
)
from bench_action.measure.warming import Experience, warm_up, warm_up_by_script
from bench_action.model.errors import BenchError, InputError, StackError, explain_exhaustion
from bench_action.model.progress import Progress
from bench_action.model.result import Replies, Trial, WarmUp
from bench_action.model.warning import WRONG_REPLIES, Code, RunWarning
from bench_action.model.wording import plural
from bench_action.plan.blocks import PAIRED_PHASES, Block, Cell, ElapsedTime, Pair, Step
from bench_action.plan.placement import Placement
from bench_action.plan.plan import Plan
from bench_action.stack.exits import make_exit_error
from bench_action.stack.readiness import require_alive
from bench_action.stack.session import SessionError
from bench_action.stack.stack import Stack
from bench_action.stack.subject import Subject

_SETTLE_S = 20.0
_RESTLESS_S = 2.0  # for a subject that did not come to rest in that time before
# these do not go away: if one is in a block, it will be in the next
_HOPELESS = frozenset({Code.CONNECT_ERRORS, Code.FEWER_CONNECTIONS})
# the same, of what a cell answers: the others are measured
_CELL_HOPELESS = WRONG_REPLIES | {Code.NOTHING_SERVED, Code.NO_REPLY, Code.REPLIES_DIFFER}
_MOST_DROPPED = 3


# Whether a block is not needed any more, from the trials so far. Measuring itself knows no statistics.
Enough = Callable[[Block, Sequence[Trial], ElapsedTime], bool]
# A block that is needed, with slices of the length that is best for it.
Fit = Callable[[Block], Block]


def measure(
    stack: Stack,
    plan: Plan,
    append: Callable[[Trial], None],
    progress: Progress,
    hold: Callable[[], None] = lambda: None,
) -> Measured:
    """Take every trial that the plan needs, and `append` each as it ends (an InputError of that is a warning).

    `hold` is called once nothing more is measured: an interrupt after it must not lose the result.
    Does not raise if measuring cannot go on (a part of the stack died, a disk is full, an interrupt): `stopped` is the
    error then, and the trials so far count.
    """
    design, project, decider = plan.design, plan.project, _make_decider(plan)
    if design.pairs:
        progress.step(f"placement for {plural(len(design.pairs), 'pair')}, {plan.describe_places()}")

    def store(trial: Trial) -> None:
        try:
            append(trial)
        except InputError as error:
            progress.warn(f"{error.what}. Trials are kept in memory from now on")

    if starts := design.describe_starts(project):
        progress.step(starts)
    progress.expect(*design.estimate(project, plan.places[0].tracks if plan.places else 1))
    cores = stack.agent.machine()["cores"]
    measurer = Measurer(
        stack,
        project.find_profile,
        project.policy.count_requests,
        cores,
        progress,
        store,
        enough=decider.enough,
        fit=decider.fit,
        places=plan.places,
        rate_warmup_s=project.policy.rate.warmup,
        step_warmup_s=project.policy.slo.warmup,
    )
    stopped = _walk(measurer, design.make_blocks(project), hold)
    return Measured(
        tuple(measurer.trials),
        (*measurer.dropped, *measurer.restless.values(), *measurer.openings.list_warnings()),
        measurer.lost,
        measurer.gone,
        measurer.times,
        decider.courses(),
        stopped,
        decider.list_noise(measurer.trials),
    )


def _walk(measurer: "Measurer", blocks: Iterable[Block], hold: Callable[[], None]) -> BenchError | None:
    """Take the blocks, hold signals, and return what ended measuring early, if anything did."""
    try:
        try:
            measurer.walk(blocks)
        finally:
            hold()  # a signal before it takes effect has ended measuring, too
    except BenchError as error:
        return error
    except OSError as error:
        if exhausted := explain_exhaustion(error):
            return exhausted
        raise
    return None


def _make_decider(plan: Plan) -> Decider:
    project, pairs = plan.project, len(plan.design.list_loaded(plan.project))
    gates = project.config.all_gates
    return Decider(
        gates,
        split_alpha(gates, *plan.counts, duets=plan.design.duets),
        max(1, pairs),
        project.policy.duet.seconds,
        project.policy.minutes,
        to_the_end=plan.to_the_end,
        timetable=plan.design.make_timetable(project),
        rate_blocks=project.rate_blocks,
    )


def never(block: Block, trials: Sequence[Trial], spent: ElapsedTime) -> bool:
    """Skip no block: for a plan that is measured to its end."""
    del block, trials, spent
    return False


def keep(block: Block) -> Block:
    """Measure a block as it was planned."""
    return block


@dataclass(frozen=True, slots=True)
class _Restarted:
    """A pair whose subjects have been restarted and warmed up: in each track, by cell. `base`: the first of them."""

    base: Cell
    tracks: Sequence[Mapping[Cell, Subject]]
    profile: Profile
    placement: Placement | None
    warm_ups: Mapping[tuple[int, Cell], WarmUp]


@dataclass(slots=True)
class Measurer:
    """Measures one run. `store` is called with each trial as it ends, `enough` and then `fit` before each block.

    `profile`: a variant's and a profile's name → what it is loaded with.
    `places`: the placements between which the phases of pairs alternate, none where there is only one CPU.
    `rate_warmup_s`, `step_warmup_s`: how long k6 sends requests before those that are measured.
    `dropped`: what became of blocks that a subject did not survive. `lost`: variant → how its base ended when it was
    loaded alone, which leaves it out of the rest. `gone`: the same of head, if others are left to measure. `restless`:
    subject → a warning that it never came to rest. `openings`: whose connections were late. `times`: phase
    and pair → seconds of each block.
    """

    stack: Stack
    profile: Callable[[str, str], Profile]
    count_requests: int
    generator_cores: int
    progress: Progress
    store: Callable[[Trial], None]
    enough: Enough = never
    fit: Fit = keep
    places: Sequence[Placement] = ()
    rate_warmup_s: int = 1
    step_warmup_s: int = 1
    trials: list[Trial] = field(default_factory=list)
    dropped: list[RunWarning] = field(default_factory=list)
    lost: dict[str, StackError] = field(default_factory=dict)
    gone: dict[str, StackError] = field(default_factory=dict)
    restless: dict[str, RunWarning] = field(default_factory=dict)
    openings: Openings = field(default_factory=Openings)
    times: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _experience: Experience = field(default_factory=Experience)
    _warmed_alone_s: float = 0.0
    _cold: set[Cell] = field(default_factory=set)
    _lost: Counter[str] = field(default_factory=Counter)
    _tracks: dict[str, int] = field(default_factory=dict)
    _lowered: set[Cell] = field(default_factory=set)
    _retired: bool = False

    def walk(self, plan: Iterable[Block]) -> tuple[Trial, ...]:
        """Take every block that is needed, until something goes wrong that will not go away.

        Raises StackError when a container dies that all need; the trials so far have been stored. A subject that dies,
        or reaches a limit of its container, costs its block in a phase of pairs, until it has cost three, and the rest
        of its trials in the others.
        """
        began = time.monotonic()
        for block in plan:
            if self._hopeless():
                break
            if self._given_up(block):
                continue
            if block.pair is not None and self._lacks_subject(block.pair):
                continue
            if self._lacks_capacity(block):
                continue
            parts = [part for part in block.parts if not self._is_enough(part, time.monotonic() - began)]
            if parts:
                self._take([self.fit(part) for part in parts])
        return tuple(self.trials)

    def _is_enough(self, block: Block, total_s: float) -> bool:
        pair = str(block.pair)
        loads_s = [seconds for phase in PAIRED_PHASES for seconds in self.times.get((phase, pair), ())]
        blocks_s = self.times.get((block.phase, pair), ())
        return self.enough(block, self.trials, ElapsedTime(total_s, blocks_s, self._warmed_alone_s, loads_s))

    def _add_time(self, block: Block, seconds: float) -> None:
        self.times.setdefault((block.phase, str(block.pair)), []).append(seconds)

    def _hopeless(self) -> bool:
        return any(warning.code in _HOPELESS for trial in self.trials for warning in trial.warnings)

    def _given_up(self, block: Block) -> bool:
        """Whether nothing is left of a block, because of what its cells have answered so far.

        Errors of head alone are a regression, if a few blocks show that they are no chance: `enough` ends these.
        """
        cells = {cell for step in block.steps for cell in step.cells}
        bad = {cell: codes for cell in cells if (codes := self._find_wrong(cell))}
        if block.pair is None:
            return cells == bad.keys()
        shown = block.pair.kind == "revision" and block.phase != "slo"
        of_head = bad.pop(block.pair.head, set()) if shown else set()
        return bool(bad) or not of_head <= WRONG_REPLIES

    def _find_wrong(self, cell: Cell) -> set[Code]:
        """Find what is wrong with a cell's answers, and will be again."""
        own = (trial for trial in self.trials if trial.whole_cell == str(cell))
        return {warning.code for trial in own for warning in trial.warnings} & _CELL_HOPELESS

    def _lacks_subject(self, pair: Pair) -> bool:
        """Whether one of the two is left out of the rest."""
        return any(self._is_left_out(cell) for cell in (pair.base, pair.head))

    def _lacks_capacity(self, block: Block) -> bool:
        """Whether a block needs the capacity of its base, or of its cells, and no valid trial has shown it."""
        cells = (block.pair.base,) if block.pair is not None else tuple(step.cells[0] for step in block.steps)
        if block.phase not in {"rate", "slo"} or all(find_capacity(self.trials, cell) for cell in cells):
            return False
        profile = self.profile(cells[0].variant, cells[0].profile)
        return profile.rate.share is not None if profile.rate is not None else not profile.is_script

    def _is_left_out(self, cell: Cell) -> bool:
        return cell.variant in self.gone or (cell.revision == "base" and cell.variant in self.lost)

    def _counted(self, cell: Cell) -> Replies | None:
        """Merge the counted replies of a cell."""
        own = [trial.replies for trial in self.trials if trial.phase == "count" and trial.cell == str(cell)]
        return merge_counts([replies for replies in own if replies is not None])

    def _take(self, parts: Sequence[Block]) -> None:
        """Take blocks that share a restart: one, unless they are of a pair."""
        block, began = parts[0], time.monotonic()
        if block.pair is not None:
            if self._lost[str(block.pair)] < _MOST_DROPPED:
                self._take_pair(parts, block.pair)
            return
        for step in block.steps:
            if not self._find_wrong(step.cells[0]):
                self._take_alone(block, step)
        self._add_time(block, time.monotonic() - began)

    def _take_alone(self, block: Block, step: Step) -> None:
        (cell,) = step.cells
        if self._is_left_out(cell):
            return
        subject, profile = self.stack.subject(cell.variant, cell.revision), self.profile(cell.variant, cell.profile)
        self.progress.trial_starts(str(cell), block.phase, block.number)
        try:
            if step.renew:
                self.stack.renew(subject)
            subject = self.stack.open_session(subject, cell.profile, profile)
            # what is counted must find the same data in base and in head, so nothing is written before
            warming = profile.reading if block.phase == "count" else profile
            warmed = self._warm_up([(cell, subject)], warming, step.warmup_s, counted=block.phase == "count")
            if not profile.is_script:  # it says how long wrk's warm-ups of pairs will take
                self._warmed_alone_s = max([self._warmed_alone_s, *(each.duration_s for each in warmed)])
            place = TrialPlan(block, step, cell, counted=self._counted(cell), warm_up=warmed[0] if warmed else None)
            for trial in self._measure_alone(place, subject, profile):
                self._keep(trial)
            self._settle(subject)
        except StackError as error:
            error.where = ", ".join(filter(None, (error.where, f"in {block.phase} {block.number} of {cell}")))
            if not self._leave_out(error):
                if (ends := self.stack.engine.ended()) and not isinstance(error, LimitError):
                    raise self._explain(ends[0], error.where) from error
                raise
            self._take_alone(block, step)  # once more, if it was another subject that broke it off

    def _measure_alone(self, place: TrialPlan, subject: Subject, profile: Profile) -> list[Trial]:
        """Take the trials of one step: several if it counts a mix, or looks for a rate."""
        match place.block.phase:
            case "count":
                counted = (
                    [run_script_count(self.stack, place, subject, profile)]
                    if profile.is_script
                    else run_count_trials(self.stack, place, subject, profile, self.count_requests)
                )
                require_alive(self.stack.engine)
                return counted
            case "rate":
                return [self._run_turn(place, subject, profile, place.cell)]
            case "slo":
                return self._search([place], [subject], profile, place.cell)
            case _:
                return [self._load_alone(place, subject, profile)]

    def _load_alone(self, place: TrialPlan, subject: Subject, profile: Profile) -> Trial:
        cores = self.generator_cores
        return run_capacity_trial(self.stack, place, subject, profile, cores, openings=self.openings)

    def _run_turn(self, place: TrialPlan, subject: Subject, profile: Profile, base: Cell) -> Trial:
        """Load a subject for one turn at a fixed rate; a share is one of the capacity of `base`."""
        rate = self._find_rate(profile, base)
        seconds = profile.duration if profile.is_script else place.step.slice_s
        seconds = LONGEST_S if rate is None else seconds
        longest_s = find_longest_s(profile, self.trials, base)
        turn = Turn(
            rate, seconds, self.rate_warmup_s if rate is not None else 0, longest_s=longest_s, seed=subject.seed
        )
        number = 2 * place.block.number + place.step.position
        return run_turn(self.stack, place, subject, profile, turn, cores=self.generator_cores, number=number)

    def _find_rate(self, profile: Profile, base: Cell) -> float | None:
        """Find the rate of a profile; if k6 cannot send as much here, it is lower, with a warning."""
        wanted = find_rate(profile, self.trials, base)
        rate = limit_rate(profile, wanted, self.generator_cores)
        if rate is not None and wanted is not None and rate < wanted and base not in self._lowered:
            self._lowered.add(base)
            message = f"{profile.rate} of its capacity are {wanted:,.0f} requests/s; {rate:,.0f}/s were sent"
            self.dropped.append(Code.RATE_LOWERED.warn(message, str(base)))
            self.progress.warn(f"{base}: {message}")
        return rate

    def _search(
        self, places: Sequence[TrialPlan], subjects: Sequence[Subject], profile: Profile, base: Cell
    ) -> list[Trial]:
        """Find the highest rates at which subjects hold the objective, from what is known of `base` on."""
        objective = profile.slo
        if objective is None:
            return []
        capacity = (
            find_capacity(self.trials, base) or (profile.rate.per_second if profile.rate is not None else None) or 1.0
        )
        sides = [[trial for trial in self.trials if trial.cell == str(place.cell)] for place in places]
        warmup_s, longest_s = self.step_warmup_s, find_longest_s(profile, self.trials, base)
        steps = Counter[int]()

        def step(number: int, rate: float, seconds: int) -> Trial:
            turn = Turn(rate, seconds, warmup_s, longest_s=max(longest_s, 2 * objective.limit_s))
            place, subject = places[number], subjects[number]
            before, cores = steps[number], self.generator_cores  # the data are new in each block
            trial = run_turn(self.stack, place, subject, profile, turn, cores=cores, number=before)
            steps[number] += 1
            self._settle(subject)
            return trial.model_copy(update={"warnings": ()})  # to fail is what some steps are for

        return plan_search(sides, objective, capacity, places[0].block.number).run(step)

    def _leave_out(self, error: StackError) -> bool:
        """Leave out the subjects that have ended or reached a limit. Returns False if then no head is left to measure.

        So it does if a part of the run has ended that is no subject.
        """
        subjects = {handle.id: subject for subject in self.stack.subjects for handle in subject.handles}
        ends = self.stack.engine.ended()
        if any(end.handle.id not in subjects for end in ends):
            return False
        failed: dict[str, tuple[Subject, StackError]] = {}
        if isinstance(error, LimitError):
            failed |= {subject.name: (subject, error) for subject in error.subjects}
        for end in ends:
            subject = subjects[end.handle.id]
            failed.setdefault(subject.name, (subject, self._explain(end, "")))
        heads = {subject.variant for subject in subjects.values() if subject.revision == "head"} - self.gone.keys()
        if not failed or heads <= {subject.variant for subject, _ in failed.values() if subject.revision == "head"}:
            return False
        for subject, reason in failed.values():
            self._lose(subject, reason)
        return True

    def _lose(self, subject: Subject, reason: StackError) -> None:
        """Stop a subject, of which nothing more is measured."""
        for handle in subject.handles:
            self.stack.engine.stop(handle)
        self.progress.warn(f"{subject.name} is not measured any further: {reason.what}")
        if subject.revision == "base":
            self.lost[subject.variant] = reason
            return
        self.gone[subject.variant] = reason
        self.dropped.append(Code.BLOCKS_DROPPED.warn(f"it was not measured any further: {reason.what}", subject.name))

    def _take_pair(self, parts: Sequence[Block], pair: Pair) -> None:
        """Take the blocks of a pair that share a restart, whose time is the first one's.

        If the load adds data, the first one is measured last: the other would find more data where more was served.
        If one of the two subjects dies or reaches a limit, the block is dropped that was being measured, and those
        after it. If another part dies, the run ends.
        """
        began, others_s, block = time.monotonic(), 0.0, parts[0]
        self.progress.trial_starts(str(pair), block.phase, block.number)
        try:
            restarted = self._restart(block, pair)
            for block in parts[::-1] if restarted.profile.adds_data else parts:
                part_began = time.monotonic()
                try:
                    self._measure_pair(block, restarted, warmed_up=block is parts[0])
                finally:  # if it fails, its time is not that of the first one either
                    if block is not parts[0]:
                        part_s = time.monotonic() - part_began
                        self._add_time(block, part_s)
                        others_s += part_s
        except TurnError as error:
            self._drop(block, pair, error, only_base=False)
        except StackError as error:
            self._drop_or_raise(block, pair, error)
        self._add_time(parts[0], time.monotonic() - began - others_s)

    def _drop_or_raise(self, block: Block, pair: Pair, error: StackError) -> None:
        """Drop a block if one of its subjects has ended, reached a limit or refused a log-in; raise the error if not.

        Sessions were opened before, so that a refusal may be a moment's.
        """
        slots, ends = self.stack.pair_of_slots(pair), self.stack.engine.ended()
        ended = {end.handle.id for end in ends}
        if isinstance(error, LimitError):
            ended |= {handle.id for subject in error.subjects for handle in subject.handles}
        if isinstance(error, SessionError) and not ends:
            self._drop(block, pair, error, only_base=False)
            return
        if not slots.hold_any(ended):
            raise error
        reason = error if isinstance(error, LimitError) or not ends else self._explain(ends[0], error.where)
        only_base = pair.kind == "revision" and slots.hold_only_base(ended)
        slots.clear()
        self._drop(block, pair, reason, only_base=only_base)

    def _explain(self, end: Exit, doing: str) -> StackError:
        """Make the error for a subject that exited, even if something else failed first because of it."""
        return make_exit_error(end, self.stack.engine.logs(end.handle), doing)

    def _drop(self, block: Block, pair: Pair, error: StackError | TurnError, *, only_base: bool) -> None:
        """Keep that a block was dropped. The third makes the run invalid, or, if base ended, leaves base out."""
        self._lost[str(pair)] += 1
        last = self._lost[str(pair)] >= _MOST_DROPPED
        if last and only_base and isinstance(error, StackError):
            self.lost[pair.base.variant] = error
        code = Code.BLOCKS_DROPPED if last and not only_base else Code.BLOCK_DROPPED
        message = f"{block.phase} {block.number} was dropped: {error.what}"
        self.dropped.append(code.warn(message, str(pair.head)))
        self.progress.warn(f"{pair}: {message}")

    def _restart(self, block: Block, pair: Pair) -> _Restarted:
        """Restart both subjects of a pair in each track, and warm them up."""
        profile, placement = self.profile(pair.head.variant, pair.head.profile), self._place(block)
        tracks = [
            {
                cell: self._open_session(cell, subject, profile)
                for cell, subject in zip((pair.base, pair.head), both, strict=True)
            }
            for both in self._arrange(block, pair, placement, profile)
        ]
        loaded = [(number, cell, subject) for number, track in enumerate(tracks) for cell, subject in track.items()]
        warmed = self._warm_up([(cell, subject) for _, cell, subject in loaded], profile, block.warmup_s)
        warm_ups = {(number, cell): each for (number, cell, _), each in zip(loaded, warmed, strict=False)}
        return _Restarted(pair.base, tracks, profile, placement, warm_ups)

    def _open_session(self, cell: Cell, subject: Subject, profile: Profile) -> Subject:
        """Open the session of a subject that has been restarted; another track's is on other data."""
        self.stack.forget_sessions(subject)
        return self.stack.open_session(subject, cell.profile, profile)

    def _measure_pair(self, block: Block, pair: _Restarted, *, warmed_up: bool) -> None:
        """Take the trials of a block, and keep them if all succeed. `warmed_up`: the warm-up is stored with them."""
        profile, placement, trials = pair.profile, pair.placement, list[Trial]()
        warm_ups = pair.warm_ups if warmed_up else {}
        for step in block.steps:
            places = [
                TrialPlan(block, step, cell, placement, self._counted(cell), warm_ups.get((track, cell)), track)
                for track in range(len(pair.tracks) if block.phase == "duet" else 1)
                for cell in step.cells[:: -1 if track % 2 else 1]
            ]
            loaded = [pair.tracks[place.track][place.cell] for place in places]
            match block.phase:
                case "duet":
                    cores = self._wrk_cores(placement)
                    trials += run_duet_trials(self.stack, places, loaded, profile, cores, openings=self.openings)
                case "rate":
                    trials.append(self._run_turn(places[0], loaded[0], profile, pair.base))
                case "slo":
                    trials += self._search(places, loaded, profile, pair.base)
                case "latency":
                    trials += run_latency_trials(self.stack, places, loaded, profile)
                case _:
                    trials.append(self._load_alone(places[0], loaded[0], profile))
            self._settle(*loaded)
        for trial in trials:
            self._keep(trial)

    def _warm_up(
        self, loaded: Sequence[tuple[Cell, Subject]], profile: Profile, least_s: float, *, counted: bool = False
    ) -> list[WarmUp]:
        """Warm subjects up for equally long, none if `least_s` or the profile's `warmup` is 0.

        `counted`: what follows must find the same data in all of them.
        """
        if not least_s or not profile.warmup:
            return []
        cells, subjects = [cell for cell, _ in loaded], [subject for _, subject in loaded]
        if profile.is_script:
            warmed = warm_up_by_script(self.stack, subjects, profile, counted=counted)
        else:
            least_s = self._experience.find_least_s(cells, least_s)
            rests = self.restless.keys().isdisjoint(subject.name for subject in subjects)
            warmed = warm_up(self.stack, subjects, profile, least_s, rests=rests)
        firsts: dict[Cell, WarmUp] = {}  # those in other tracks took as long
        for cell, each in zip(cells, warmed, strict=True):
            if firsts.setdefault(cell, each) is each:
                self._experience.add_warm_up(cell, each)
            if each.steady is False and cell not in self._cold:
                self._cold.add(cell)
                self.progress.warn(f"{cell}: {describe_cold(each)}")
        self._settle(*subjects)
        return warmed

    def _arrange(
        self, block: Block, pair: Pair, placement: Placement | None, profile: Profile
    ) -> list[tuple[Subject, Subject]]:
        if not self._retired:
            self.stack.retire()
            self._retired = True
        slots = self.stack.pair_of_slots(pair)
        tracks = slots.arrange(
            swapped=block.swapped,
            head_first=block.head_first,
            fresh_data=profile.adds_data,
            hash_seed=block.hash_seed,
            cpus=placement.boot if placement is not None else (),
            tracks=placement.tracks if placement is not None and block.phase == "duet" else 1,
        )
        self.stack.wait_for(*(subject for both in tracks for subject in both))
        slots.note_ready()
        if placement is not None:
            self.stack.place(placement)  # services that started with the subjects
            slots.pin(placement)  # only now: on one CPU the two would boot one after the other
        return tracks

    def _place(self, block: Block) -> Placement | None:
        if not self.places:
            return None
        placement = self.places[block.side % len(self.places)]
        if block.pair is not None and placement.tracks > 1:
            placement = placement.narrow(self._count_tracks(block.pair, placement))
        if block.phase in {"interleaved", "rate", "slo"}:  # one subject is loaded at a time: with every CPU, as alone
            placement = placement.spread()
        self.stack.place(placement)
        return placement

    def _count_tracks(self, pair: Pair, placement: Placement) -> int:
        """Count the tracks of a pair, once for all of its blocks."""
        name = str(pair)
        if name not in self._tracks:
            self._tracks[name] = count_tracks(self.trials, pair, placement)
            if self._tracks[name] < placement.tracks:
                duets = plural(self._tracks[name], "duet")
                self.progress.step(f"{pair}: {duets} at the same time, as the services need the other CPUs")
        return self._tracks[name]

    def _wrk_cores(self, placement: Placement | None) -> int:
        return len(placement.load) if placement is not None else self.generator_cores

    def _settle(self, *subjects: Subject) -> None:
        """Let subjects finish what wrk no longer waits for, so that the next trial does not pay for it."""
        known = [subject for subject in subjects if subject.name in self.restless]
        others = {subject.handle.part: subject for subject in subjects if subject.name not in self.restless}
        for part in self.stack.agent.settle(list(others), _SETTLE_S):
            name = others[part].name
            if name in self.restless:
                continue  # of another track
            message = f"it used CPU for {_SETTLE_S:g} s after its last request; later trials wait {_RESTLESS_S:g} s"
            self.restless[name] = Code.NEVER_IDLE.warn(message, name)
            self.progress.warn(f"{name}: {message}")
        if known:
            self.stack.agent.settle([subject.handle.part for subject in known], _RESTLESS_S)

    def _keep(self, trial: Trial) -> None:
        if trial.track == 0:
            self._experience.add_trial(Cell(trial.variant, trial.revision, trial.profile), trial)
        self.trials.append(trial)
        self.store(trial)
        self.progress.trial_ended(trial)
