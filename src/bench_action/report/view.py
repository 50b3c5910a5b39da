"""The view model: what every format shows, already in words, from a Result. No I/O."""

from dataclasses import dataclass

from bench_action.compare.evidence import FAULTS
from bench_action.config.control import BUILT_IN_VARIANT
from bench_action.model.result import Comparison, Result
from bench_action.model.warning import RunWarning
from bench_action.model.wording import plural
from bench_action.report import cells, change, numbers, tables
from bench_action.report.headline import headline
from bench_action.report.table import Table
from bench_action.stats.interval import LEAST_BLOCKS

_CONTROL = (
    f"{BUILT_IN_VARIANT} is the built-in aiohttp application, loaded at / with the same connections: trends are ratios"
    " to it, and say the same on unlike machines."
)
_METHOD = (
    "The block is the sample: intervals are Student's t over blocks, never over requests.",
    "Requests, Timeouts, Req/sec and Errors are averages over the runs of a cell.",
    "Timeouts are late replies, which are among Requests; Errors are failed reads and writes, and replies above 399.",
    "Req/sec counts successful replies only. p50 and p99 are medians over the runs.",
    "Spread is the fastest run minus the slowest, as a share of the median.",
    "Latencies are closed-loop and corrected by wrk for coordinated omission; replies after the timeout are missing.",
)
_ALONE = "Variants are compared each alone, one after the other: that is no test for a small change of one of them."
_PAIRED = (
    "Base and head ran at once on one CPU, restarted for each block, in slots that they swapped at random.",
    "Latency and the services' CPU come from one connection to each of the two, in turns of five requests.",
    "Interim analyses were planned before the first result. All of them, all metrics and all cells share a 1 % error.",
    "A duet is blind to what concurrency hides (waits, locks, small pools) and to slow leaks: docs/how-it-decides.md.",
)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: requests/s with its interval."""

    label: str
    value: float
    low: float | None
    high: float | None

    @property
    def text(self) -> str:
        """The value, as people read it."""
        return numbers.count(self.value)


@dataclass(frozen=True, slots=True)
class Chart:
    """Requests/s of all variants with one profile."""

    profile: str
    title: str
    bars: tuple[Bar, ...]

    @property
    def file_name(self) -> str:
        """Where its picture lies, beside the report."""
        return f"requests-per-second-{self.profile}.svg"


@dataclass(frozen=True, slots=True)
class Concern:
    """All warnings of one code, with the advice that they share."""

    grave: bool
    warnings: tuple[RunWarning, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class Log:
    """The last lines that base wrote before it failed, and the cells which that concerns."""

    cells: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a report shows, in its order."""

    trusted: bool
    verdict: str
    mark: str
    headline: str
    changes: Table
    findings: tuple[str, ...]
    statements: tuple[str, ...]
    concerns: tuple[Concern, ...]
    results: Table
    rules: str
    uncompared: tuple[str, ...]
    logs: tuple[Log, ...]
    charts: tuple[Chart, ...]
    work: Table
    comparisons: Table
    trials: Table
    method: tuple[str, ...]
    environment: Table
    command: str


def make_view(result: Result) -> View:
    """Everything in words."""
    trusted, chosen = result.verdict != "invalid", headline(result)
    speeds = [c for c in result.comparisons if c.metric == "requests_per_second" and c.kind == "variant"]
    return View(
        trusted=trusted,
        verdict=result.verdict,
        mark=chosen.mark,
        headline=chosen.text,
        changes=change.table(result),
        findings=tuple(f"{one.cell}: {one.message}" for one in result.findings),
        statements=(
            *change.certainties(result),
            *change.causes(result),
            *change.explanations(result),
            *map(_statement, speeds),
        ),
        concerns=_concerns(result),
        rules=cells.rules_changed(result),
        uncompared=cells.uncompared(result),
        logs=tuple(Log(names, lines) for lines, names in cells.logs(result).items()),
        results=tables.capacity(result),
        charts=tuple(_chart(result, profile.name) for profile in result.profiles),
        work=tables.resources(result.summaries),
        comparisons=tables.against_each_other(result.comparisons),
        trials=tables.single_runs(result.trials),
        method=_method(result),
        environment=tables.environment(result),
        command=result.run.command,
    )


def _concerns(result: Result) -> tuple[Concern, ...]:
    """Warnings of one kind with one advice together; grave ones first, then in the order in which they were found.

    Without those that are given as the reason why requests/s was not compared: each reason is said once.
    """
    rates = [c for c in change.compared(result) if c.metric == "requests_per_second" and c.reason]
    said = {f"{c.variant} · {c.profile}" for c in rates}
    warnings = [warned for warned in result.warnings if warned.code not in FAULTS or warned.cell not in said]
    kinds = dict.fromkeys((warned.code, warned.advice) for warned in warnings)
    return tuple(
        Concern(code.grave, tuple(w for w in warnings if (w.code, w.advice) == (code, advice)), advice)
        for code, advice in sorted(kinds, key=lambda kind: not kind[0].grave)
    )


def _statement(c: Comparison) -> str:
    """One sentence on a pair: by how much, how sure."""
    ahead = tables.ahead(c)
    if c.ci_low is None or c.ci_high is None or c.blocks < LEAST_BLOCKS:
        return f"{ahead[0].upper()}{ahead[1:]} ({plural(c.blocks, 'block')}: too few for an interval)."
    low, high = (c.ci_low, c.ci_high) if (c.ratio or 1.0) >= 1 else (1 / c.ci_high, 1 / c.ci_low)
    bounds = f"{numbers.factor(low)} to {numbers.factor(high)}"
    sure = "" if c.significant else "; it includes no difference"
    together = ", both at once on one CPU" if c.method == "duet" else ""
    interval = f"the {numbers.percent(c.confidence)} interval is {bounds}{sure}"
    return f"{ahead[0].upper()}{ahead[1:]}: {interval}, from {c.blocks} blocks{together}."


def _chart(result: Result, profile: str) -> Chart:
    own = [s for s in result.summaries if s.profile == profile and "requests_per_second" in s.metrics]
    bars = []
    for summary in own:
        estimate = summary.metrics["requests_per_second"]
        bars.append(Bar(tables.subject(summary), estimate.mean, estimate.ci_low, estimate.ci_high))
    return Chart(profile, f"requests/s, {profile}", tuple(bars))


def _method(result: Result) -> tuple[str, ...]:
    blocks = max((trial.block for trial in result.trials if trial.phase == "capacity"), default=0)
    order = f"Each cell was loaded alone, once in each of {blocks} blocks, each block in its own random order"
    variants = any(one.kind == "variant" and one.method == "solo" for one in result.comparisons)
    paired = any(trial.pair for trial in result.trials)
    built_in = result.control.get("variant") == BUILT_IN_VARIANT
    return (
        f"{order} (seed {result.run.seed}).",
        *((_CONTROL,) if built_in else ()),
        *_METHOD,
        *((_ALONE,) if variants else ()),
        *(_PAIRED if paired else ()),
        *change.gates(result),
    )
