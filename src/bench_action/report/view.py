"""The view model: what every format shows, already in words, from a Result. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.config.control import BUILT_IN_VARIANT
from bench_action.model.result import Comparison, Result
from bench_action.model.warning import Warned
from bench_action.report import change, numbers, tables
from bench_action.report.table import Table

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
    "Looks were planned before the first result, and share an error of 1 % among them, all metrics and all cells.",
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
    warnings: tuple[Warned, ...]
    advice: str


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
    charts: tuple[Chart, ...]
    work: Table
    comparisons: Table
    trials: Table
    method: tuple[str, ...]
    environment: Table
    command: str


def make_view(result: Result) -> View:
    """Everything in words."""
    revisions = _is_judged(result)
    trusted = result.verdict != "invalid"
    speeds = [c for c in result.comparisons if c.metric == "requests_per_second" and c.kind == "variant"]
    return View(
        trusted=trusted,
        verdict=result.verdict,
        mark=change.mark(result.verdict) if revisions or not trusted else "",
        headline=_headline(result),
        changes=change.table(result),
        findings=tuple(f"{one.cell}: {one.message}" for one in result.findings),
        statements=(*(change.sentences(result) if revisions else ()), *map(_statement, speeds)),
        concerns=_concerns(result.warnings),
        results=tables.capacity(result),
        charts=tuple(_chart(result, profile.name) for profile in result.profiles),
        work=tables.resources(result.summaries),
        comparisons=tables.against_each_other(result.comparisons),
        trials=tables.single_runs(result.trials),
        method=_method(result),
        environment=tables.environment(result),
        command=result.run.command,
    )


def _is_judged(result: Result) -> bool:
    """Whether something was held against a gate: base against head, or declared work."""
    return bool(change.compared(result)) or any(finding.fails for finding in result.findings)


def _concerns(warnings: Sequence[Warned]) -> tuple[Concern, ...]:
    """Grave ones first, then in the order in which they were found."""
    codes = sorted(dict.fromkeys(warned.code for warned in warnings), key=lambda code: not code.grave)
    return tuple(Concern(code.grave, tuple(w for w in warnings if w.code is code), code.advice) for code in codes)


def _headline(result: Result) -> str:
    if result.verdict == "invalid":
        causes = [warned.message for warned in result.warnings if warned.code.invalidates]
        return "this measurement cannot be trusted" + (f": {causes[0]}" if causes else "")
    if failed := [one.variant for one in result.subjects if one.failure and one.revision == "head"]:
        return f"{', '.join(failed)} does not do the same work and was not measured"
    if _is_judged(result):
        return change.headline(result)
    if ahead := [_ahead(c) for c in result.comparisons if c.metric == "requests_per_second"]:
        return "; ".join(dict.fromkeys(ahead[:2]))
    return ", ".join(f"{tables.subject(s)} {tables.speed(s)} requests/s" for s in result.summaries)


def _ahead(c: Comparison) -> str:
    """Which of a pair is faster, and how many times."""
    ratio = c.ratio or 1.0
    ahead, behind, times = (c.head, c.base, ratio) if ratio >= 1 else (c.base, c.head, 1 / ratio)
    return f"on {c.profile}, {ahead} serves {numbers.factor(times)} × the requests/s of {behind}"


def _statement(c: Comparison) -> str:
    """One sentence on a pair: by how much, how sure."""
    ahead = _ahead(c)
    if c.ci_low is None or c.ci_high is None:
        return f"{ahead[0].upper()}{ahead[1:]} (one block, so there is no interval)."
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
        f"{order} (seed {result.run.seed}).", *((_CONTROL,) if built_in else ()), *_METHOD,
        *((_ALONE,) if variants else ()), *(_PAIRED if paired else ()),
        *change.gates(result),
    )  # fmt: skip
