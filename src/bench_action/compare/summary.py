"""Compute the metrics of a trial, and summarise all trials of a cell. Pure."""

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean, median

from bench_action.compare.bottleneck import average_hosts, name_bottleneck
from bench_action.compare.counting import count_metric
from bench_action.compare.steps import SLO_RATE, list_rates
from bench_action.config.gates import AT_RATE, EXACT
from bench_action.config.schema import Objective
from bench_action.model.metric import METRICS
from bench_action.model.result import Environment, Errors, Estimate, ServiceUse, SubjectInfo, Summary, Trial
from bench_action.plan.blocks import PAIRED_PHASES
from bench_action.stats.interval import estimate_mean

_PARTS = (("", "application"), ("db_", "db"), ("cache_", "cache"))


def summarise(
    trials: Sequence[Trial],
    subjects: Sequence[SubjectInfo],
    objectives: Mapping[str, Objective] = {},
    environment: Environment | None = None,
    workers: Collection[str] = (),
) -> tuple[Summary, ...]:
    """Summarise each cell, by profile in the order of measuring, then in the order of `subjects`.

    `objectives`: profile → its own, if it has one. `environment`, `workers`: the machines, and what runs on that
    of the application, to name bottlenecks.
    """
    profiles = dict.fromkeys(trial.profile for trial in trials if not trial.route)
    startup_s = {(subject.variant, subject.revision): subject.startup_s for subject in subjects}
    cells = [(subject.variant, subject.revision, profile) for profile in profiles for subject in subjects]
    by_cell = {cell: [t for t in trials if (t.variant, t.revision, t.profile) == cell] for cell in cells}
    summaries = (
        _summarise_cell(own, startup_s[cell[:2]], objectives.get(cell[2])) for cell, own in by_cell.items() if own
    )
    return tuple(_add_hosts(each, trials, environment, workers) for each in summaries)


def _add_hosts(
    summary: Summary, trials: Sequence[Trial], environment: Environment | None, workers: Collection[str]
) -> Summary:
    """Add how busy each of several machines was while a cell was loaded alone, and what limited it."""
    if environment is None or not environment.hosts:
        return summary
    own = [trial for trial in trials if trial.phase == "capacity" and trial.cell == summary.cell and trial.valid]
    if not own:
        return summary
    cpus = {host.roles: host.cores for host in environment.hosts}
    found = {
        "host_busy": average_hosts(own),
        "bottleneck": name_bottleneck(own, cpus, environment.network_bytes_per_s, workers),
    }
    return summary.model_copy(update=found)


def trial_values(trial: Trial) -> dict[str, float]:
    """Compute the metrics of one trial, by name; without those that its phase does not measure."""
    if trial.phase in {"rate", "slo"}:
        return _list_values_at_rate(trial)
    return _list_values_under_load(trial)


def _list_values_under_load(trial: Trial) -> dict[str, float]:
    requests = max(1, trial.requests)
    # when wrk stops, each connection has a running request that has already cost CPU; in a duet that is not negligible
    handled = requests if trial.at_rate is None else max(1, trial.at_rate.all_requests)
    handled += trial.connections_live + trial.sampled if trial.phase in PAIRED_PHASES else 0
    values = {
        f"{part}cpu_ms_per_request": trial.cpu_ms[name] / handled for part, name in _PARTS if name in trial.cpu_ms
    }
    if "application" in trial.cpu_ms and (services := set(trial.cpu_ms) - {"application", "generator"}):
        total_ms = trial.cpu_ms["application"] + sum(trial.cpu_ms[name] for name in services)
        values["total_cpu_ms_per_request"] = total_ms / handled
    if trial.phase == "count":
        work = trial.work
        return values | {
            "queries_per_request": work.queries / requests,
            "rows_per_request": work.rows / requests,
            "cache_commands_per_request": work.cache_commands / requests,
        }
    errors = trial.errors
    attempts = trial.requests + errors.connect + errors.read + errors.write
    values |= {
        "requests_per_second": trial.requests_per_second,
        "error_rate": errors.total / max(1, attempts),
        "db_connections_peak": float(trial.db_connections_peak),
    }
    if trial.latency is not None:
        values |= {f"latency_{p}_us": getattr(trial.latency, f"{p}_us") for p in ("p50", "p90", "p99", "p999")}
    if trial.memory_peak_mib is not None:
        values["memory_peak_mib"] = trial.memory_peak_mib
    return values


def _list_values_at_rate(trial: Trial) -> dict[str, float]:
    """List the metrics of a turn at a fixed rate. CPU belongs to the requests of the warm-up as well."""
    values = {"error_rate": trial.errors.total / max(1, trial.requests)}
    if trial.at_rate is not None and "application" in trial.cpu_ms:
        values["cpu_ms_per_request_at_rate"] = trial.cpu_ms["application"] / max(1, trial.at_rate.all_requests)
    if trial.latency is not None:
        values |= {f"latency_{p}_at_rate_us": getattr(trial.latency, f"{p}_us") for p in ("p50", "p90", "p99", "p999")}
    return values


def _summarise_cell(trials: Sequence[Trial], startup_s: float, objective: Objective | None) -> Summary:
    turns = [trial for trial in trials if trial.phase == "rate"]
    # wrk loads no script: its turns stand for it
    capacity = [trial for trial in trials if trial.phase == "capacity"] or turns
    valid = [trial for trial in capacity if trial.valid]
    values: dict[str, list[float]] = {"startup_s": [startup_s]}
    for trial in valid:
        for name, value in _list_values_under_load(trial).items():
            values.setdefault(name, []).append(value)
    if objective is not None and (rates := list_rates(trials, objective)):
        values[SLO_RATE] = list(rates.values())
    for trial in turns:
        for name, value in _list_values_at_rate(trial).items() if trial.valid else ():
            if name in AT_RATE:
                values.setdefault(name, []).append(value)
    counts = [trial for trial in trials if trial.phase == "count" and trial.valid]
    for name in EXACT:
        if (count := count_metric(counts, name)) is not None:
            values[name] = list(count.values)
    speeds = values.get("requests_per_second", [])
    first = trials[0]
    return Summary(
        variant=first.variant,
        revision=first.revision,
        profile=first.profile,
        trials=len(capacity),
        invalid_trials=len(capacity) - len(valid),
        requests=sum(t.requests for t in capacity) / len(capacity) if capacity else 0.0,
        errors=sum((trial.errors for trial in capacity), Errors()),
        spread=(max(speeds) - min(speeds)) / median(speeds) if len(speeds) > 1 and median(speeds) else None,
        metrics={name: _estimate(name, values[name]) for name in METRICS if name in values},
        services=_summarise_services(valid),
    )


def _summarise_services(trials: Sequence[Trial]) -> dict[str, ServiceUse]:
    """Summarise what each service and worker used, in the order in which trials list them."""
    names = dict.fromkeys(name for trial in trials for name in (*trial.cpu_ms, *trial.service_memory_mib))
    return {
        name: ServiceUse(
            cpu_ms_per_request=_find_median([t.cpu_ms[name] / max(1, t.requests) for t in trials if name in t.cpu_ms]),
            memory_mib=_find_median([t.service_memory_mib[name] for t in trials if name in t.service_memory_mib]),
        )
        for name in names
        if name not in {"application", "generator"}
    }


def _find_median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _estimate(name: str, values: Sequence[float]) -> Estimate:
    metric, interval = METRICS[name], estimate_mean(values)
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Estimate(
        median=median(values), mean=fmean(values), ci_low=low, ci_high=high, unit=metric.unit, better=metric.better
    )
