"""The view model: what every format shows, already in words, from a Result. No I/O."""

import re
from dataclasses import dataclass

from bench_action.compare.verdict import is_loss
from bench_action.config.schema import BUILT_IN
from bench_action.model.result import Comparison, Result, split_route
from bench_action.model.wording import percent, plural
from bench_action.report import numbers, tables
from bench_action.report.cells import collect_logs, describe_rule_changes, describe_uncompared
from bench_action.report.change import fails_gate, list_comparisons
from bench_action.report.change_table import tabulate_changes
from bench_action.report.choosing import suggest_profiles
from bench_action.report.concerns import Concern, group_warnings
from bench_action.report.headline import choose_headline
from bench_action.report.method import describe_method
from bench_action.report.routes import tabulate_routes
from bench_action.report.sentences import capitalise, list_causes, list_certainties
from bench_action.report.table import Table
from bench_action.report.undecided import list_explanations
from bench_action.report.waits import Waits, list_waits
from bench_action.stats.interval import LEAST_BLOCKS

_UNSAFE = re.compile(r"[^A-Za-z0-9-]")


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
        """The name of its picture, in the report's folder, with nothing that markdown or a path would interpret."""
        return f"requests-per-second-{_UNSAFE.sub('_', self.profile)}.svg"


@dataclass(frozen=True, slots=True)
class Log:
    """The last lines that base wrote before it failed, and the cells that they concern."""

    cells: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a report shows, in the order in which it is read."""

    trusted: bool
    verdict: str
    mark: str
    headline: str
    rules: str
    causes: tuple[str, ...]
    findings: tuple[str, ...]
    certainties: tuple[str, ...]
    explanations: tuple[str, ...]
    leads: tuple[str, ...]
    changes: Table
    uncompared: tuple[str, ...]
    logs: tuple[Log, ...]
    concerns: tuple[Concern, ...]
    next_step: str
    hint: str
    results: Table
    hosts: Table
    charts: tuple[Chart, ...]
    routes: Table
    waits: tuple[Waits, ...]
    work: Table
    footprint: Table
    comparisons: Table
    trials: Table
    method: tuple[str, ...]
    environment: Table
    command: str


def make_view(result: Result) -> View:
    """Put everything into words."""
    headline = choose_headline(result)
    trusted = result.verdict != "invalid"
    speeds = [c for c in result.comparisons if c.metric == "requests_per_second" and c.kind == "variant"]
    return View(
        trusted=trusted,
        verdict=result.verdict,
        mark=headline.mark,
        headline=headline.text,
        rules=describe_rule_changes(result),
        causes=list_causes(result),
        findings=_list_findings(result),
        certainties=list_certainties(result),
        explanations=list_explanations(result),
        leads=tuple(map(_describe_variant_pair, speeds)) if trusted else (),
        changes=tabulate_changes(result),
        uncompared=describe_uncompared(result),
        logs=tuple(Log(cells, lines) for lines, cells in collect_logs(result).items()),
        concerns=group_warnings(result),
        next_step=_advise(result),
        hint=suggest_profiles(result),
        results=tables.tabulate_capacity(result),
        hosts=tables.tabulate_hosts(result),
        charts=tuple(_make_chart(result, profile.name) for profile in result.profiles),
        routes=tabulate_routes(result),
        waits=list_waits(result),
        work=tables.tabulate_work(result.summaries),
        footprint=tables.tabulate_footprint(result.summaries),
        comparisons=tables.tabulate_variants(result.comparisons),
        trials=tables.tabulate_trials(result.trials),
        method=describe_method(result),
        environment=tables.tabulate_environment(result),
        command=result.run.command,
    )


def _list_findings(result: Result) -> tuple[str, ...]:
    """List the exact findings that no cause contains, such as new statements. Empty for an invalid measurement."""
    if result.verdict == "invalid":
        return ()
    lost = {c.cell for c in list_comparisons(result) if is_loss(c)}
    findings = [finding for finding in result.findings if finding.code == "statement" or finding.cell not in lost]
    return tuple(f"{finding.cell}: {finding.message}" for finding in findings)


def _describe_variant_pair(c: Comparison) -> str:
    """Say in one sentence by how much one variant is ahead of another, and how sure that is."""
    lead = capitalise(tables.describe_lead(c))
    if c.ci_low is None or c.ci_high is None or c.blocks < LEAST_BLOCKS:
        return f"{lead} ({plural(c.blocks, 'block')}: too few for an interval)."
    low, high = (c.ci_low, c.ci_high) if (c.ratio or 1.0) >= 1 else (1 / c.ci_high, 1 / c.ci_low)
    bounds = f"{numbers.factor(low)} to {numbers.factor(high)}"
    unsure = ", which includes no difference" if low <= 1 <= high else "" if c.significant else ", which may be chance"
    together = ", both at the same time on one CPU" if c.method == "duet" else ""
    return f"{lead}: {percent(c.confidence)} interval {bounds}{unsure}, from {c.blocks} blocks{together}."


def _advise(result: Result) -> str:
    """Say what to do about a regression: the command that measures its cell again, on any machine.

    A cost may be accepted; errors, and what else is no matter of a gate, may not.
    """
    if result.verdict != "regressed":
        return ""
    command = result.run.command
    if failing := [c for c in list_comparisons(result) if fails_gate(c)]:
        command = re.sub(r" --(variant|profile) \S+", "", command)
        command += f" --variant {failing[0].variant} --profile {split_route(failing[0].profile)[0]}"
    command = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28}\b", r"\1", command).replace("`", "'")
    config = "the configuration" if result.run.config in {"", BUILT_IN} else f"`{result.run.config}`"
    later = "; until that is merged, base's gate judges" if result.rules == "base" else ""
    accept = f" If you accept the cost, raise the gate in {config}{later}."
    if not failing or any(finding.fails for finding in result.findings):
        accept = ""
    return f"reproduce it with `{command}`.{accept}"


def _make_chart(result: Result, profile: str) -> Chart:
    bars = tuple(
        Bar(tables.name_subject(summary), estimate.mean, estimate.ci_low, estimate.ci_high)
        for summary in result.summaries
        if summary.profile == profile and (estimate := summary.metrics.get("requests_per_second"))
    )
    return Chart(profile, f"requests/s, {profile}", bars)
