"""Count the errors of the instrument itself: any change that a run of unchanged code reports is a false alarm. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from bench_action.history.record import Record
from bench_action.model.metric import METRICS
from bench_action.model.result import Verdict
from bench_action.model.wording import percent, plural
from bench_action.report import numbers
from bench_action.report.table import Table
from bench_action.stats.interval import Interval, estimate_share
from bench_action.stats.sequential import ALPHA

_ALARMS: Final = ("regressed", "improved")
# the metrics by which a headline gives the detectable change; the second one in place of the first
_RATE, _COST = "requests_per_second", "cpu_ms_per_request"
_TEXTS: Final = ("CPU", "Latest run")
_HEADINGS: Final = (
    *("CPU", "Runs", "False alarms", "99 % interval", "Invalid", "Inconclusive", "Loss noted"),
    *("Detectable", "Range", "Latest run"),
)
OPTIONAL: Final = ("Latest run", "Range", "Loss noted", "99 % interval")  # left out first where there is no room
_NAMES: Final = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's names → those of images and runners


class RunnerKind(NamedTuple):
    """What runs have in common that are counted together. `cpu`: its model, or the fingerprint of an unknown one."""

    runner: str
    architecture: str
    engine: str
    preset: str
    cpu: str
    cores: int

    @property
    def title(self) -> str:
        """The type of runner, and how it measured: "github-hosted, arm64 (docker, ci)"."""
        architecture = _NAMES.get(self.architecture, self.architecture)
        names = ", ".join(filter(None, (self.runner or "outside of GitHub Actions", architecture)))
        return f"{names} ({self.engine}, {self.preset})"


@dataclass(frozen=True, slots=True)
class UnchangedRun:
    """A run that compared code with itself.

    `alarms`: cell, metric and verdict of each gated change that it reported. `detectable`: the smallest change that it
    would have detected in every cell, as a fraction; None if it is unknown.
    """

    run_id: str
    at: str
    sha: str
    verdict: Verdict
    alarms: tuple[tuple[str, str, Verdict], ...]
    detectable: float | None

    @property
    def is_false_alarm(self) -> bool:
        """Whether it reported a change; a self-test that does so has the verdict `invalid`."""
        return bool(self.alarms) or self.verdict in _ALARMS


@dataclass(frozen=True, slots=True)
class Tally:
    """Runs of unchanged code, counted."""

    runs: Sequence[UnchangedRun]

    @property
    def false_alarms(self) -> tuple[UnchangedRun, ...]:
        """The runs that reported a change, the newest first."""
        alarms = (run for run in self.runs if run.is_false_alarm)
        return tuple(sorted(alarms, key=lambda run: (run.at, run.run_id), reverse=True))

    @property
    def interval(self) -> Interval:
        """The 99 % interval of the share of false alarms."""
        return estimate_share(len(self.false_alarms), len(self.runs))

    @property
    def detectable(self) -> tuple[float, float, float] | None:
        """The smallest detectable change of the runs: median, lowest, highest. None if it is unknown for all."""
        sizes = [run.detectable for run in self.runs if run.detectable is not None]
        return (median(sizes), min(sizes), max(sizes)) if sizes else None

    def count(self, verdict: Verdict) -> int:
        """Count the runs with a verdict, without false alarms."""
        return sum(run.verdict == verdict and not run.is_false_alarm for run in self.runs)


@dataclass(frozen=True, slots=True)
class Ledger:
    """All runs of unchanged code in a history, by kind of runner."""

    tallies: Mapping[RunnerKind, Tally] = field(default_factory=dict)

    @property
    def total(self) -> Tally:
        """All runs, the oldest first."""
        runs = [run for tally in self.tallies.values() for run in tally.runs]
        return Tally(sorted(runs, key=lambda run: (run.at, run.run_id)))

    @property
    def keeps_promise(self) -> bool:
        """Whether the false alarms may be chance, if one run in a hundred is allowed to be one."""
        total = self.total
        return not total.runs or total.interval.low <= ALPHA


def make_ledger(records: Iterable[Record]) -> Ledger:
    """Make the ledger from the records of a history; those of other runs are left out."""
    runs: dict[str, list[Record]] = {}
    for record in records:
        if record.unchanged is not None:
            runs.setdefault(record.run_id, []).append(record)
    kinds: dict[RunnerKind, list[UnchangedRun]] = {}
    for own in runs.values():
        kind, run = _read_run(own)
        kinds.setdefault(kind, []).append(run)
    return Ledger({kind: Tally(kinds[kind]) for kind in sorted(kinds)})


def _read_run(records: Sequence[Record]) -> tuple[RunnerKind, UnchangedRun]:
    """Read one run from the records of its cells; runner and verdict are the same in all of them."""
    cells = [(record.cell, record.unchanged) for record in records if record.unchanged is not None]
    first, (_, code) = records[0], cells[0]
    cpu = first.cpu_model or f"unknown ({first.fingerprint})"
    kind = RunnerKind(code.runner, code.architecture, first.engine, first.preset, cpu, code.cores)
    alarms = tuple((cell, metric, verdict) for cell, own in cells for metric, verdict in own.alarms.items())
    sizes = [own.detectable.get(_RATE) or own.detectable.get(_COST) for _, own in cells]
    known = [size for size in sizes if size is not None]
    return kind, UnchangedRun(first.run_id, first.at, first.sha, code.verdict, alarms, max(known, default=None))


def make_ledger_table(ledger: Ledger) -> Table:
    """Make a table with a row for each kind of runner, below the type of runner, and one for all runs."""
    rows: list[tuple[str, ...]] = []
    title = ""
    for kind, tally in ledger.tallies.items():
        if kind.title != title:
            title = kind.title
            rows.append((title,))
        cores = f", {plural(kind.cores, 'core')}" if kind.cores else ""
        rows.append((f"{kind.cpu}{cores}", *_tabulate(tally)))
    if len(ledger.tallies) > 1:
        rows += [("All runs",), ("any", *_tabulate(ledger.total))]
    return Table(_HEADINGS, tuple(heading not in _TEXTS for heading in _HEADINGS), tuple(rows))


def summarize_ledger(ledger: Ledger) -> str:
    """Summarize all runs in a few words, such as "0 false alarms in 60 runs, 1.3 % detectable"."""
    total = ledger.total
    if not total.runs:
        return "no runs"
    found = f"{plural(len(total.false_alarms), 'false alarm')} in {plural(len(total.runs), 'run')}"
    return f"{found}, {_format_size(total.detectable[0])} detectable" if total.detectable else found


def describe_false_alarm(run: UnchangedRun) -> str:
    """Describe a false alarm: "2026-12-06: requests/s of web · list regressed (run 20261206-044112-0a1b2c)"."""
    found = [f"{METRICS[name].title} of {cell} {verdict}" for cell, name, verdict in run.alarms if name in METRICS]
    what = "; ".join(found) or f"the run {run.verdict} by a finding without a gate, such as errors"
    return f"{run.at[:10]}: {what} (run {run.run_id})"


def describe_promise() -> str:
    """Describe how many false alarms the instrument may raise."""
    return f"At most {percent(ALPHA, exact=True)} of these runs should be false alarms."


def _tabulate(tally: Tally) -> tuple[str, ...]:
    runs, interval = len(tally.runs), tally.interval
    shares = (percent(tally.count(verdict) / runs) for verdict in ("invalid", "inconclusive", "measured"))
    return (
        numbers.count(runs),
        numbers.count(len(tally.false_alarms)),
        _format_range(percent(interval.low), percent(interval.high)),
        *shares,
        *_format_detectable(tally),
        max(run.at for run in tally.runs)[:10],
    )


def _format_detectable(tally: Tally) -> tuple[str, str]:
    """Format the median and the range of the detectable change."""
    if tally.detectable is None:
        return numbers.NONE, numbers.NONE
    middle, low, high = map(_format_size, tally.detectable)
    return middle, _format_range(low, high)


def _format_range(low: str, high: str) -> str:
    """Format two percentages: `0.4 to 1.3 %`."""
    return f"{low.removesuffix(' %')} to {high}"


def _format_size(size: float) -> str:
    """Format a detectable change: `1.3 %`, or `over 100 %` for a run with too few blocks."""
    return percent(size) if size <= 1 else "over 100 %"
