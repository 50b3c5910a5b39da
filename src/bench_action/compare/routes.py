"""Sum up what was measured of each request of a mix. Pure."""

from collections.abc import Iterator, Sequence
from statistics import median

from bench_action.compare.counting import count_metric, select_counts
from bench_action.compare.summary import trial_values
from bench_action.config.gates import ALONE, EXACT
from bench_action.model.result import RouteAtRate, RouteFigures, Trial, split_route

_FIGURES = (*ALONE, "latency_p99_us", "cpu_ms_per_request")  # of trials with one connection


def sum_up_routes(trials: Sequence[Trial]) -> tuple[RouteFigures, ...]:
    """Sum up each request of each mix and subject, in the order of measuring."""
    cells = dict.fromkeys((trial.variant, trial.revision, trial.profile) for trial in trials if trial.route)
    return tuple(_sum_up(trials, *cell) for cell in cells)


def _sum_up(trials: Sequence[Trial], variant: str, revision: str, profile: str) -> RouteFigures:
    own = [t for t in trials if (t.variant, t.revision, t.profile) == (variant, revision, profile)]
    mix, title = split_route(profile)
    whole = [t for t in trials if (t.variant, t.revision, t.profile) == (variant, revision, mix)]
    turns = [
        trial.at_rate.routes[title]
        for trial in whole
        if trial.phase == "rate" and trial.valid and trial.at_rate and title in trial.at_rate.routes
    ]
    answered = sum(trial.requests for trial in own) + sum(turn.requests for turn in turns)
    failed = sum(trial.errors.total for trial in own) + sum(turn.failed for turn in turns)
    return RouteFigures(
        variant=variant,
        revision=revision,
        profile=mix,
        route=title,
        sent=sum(trial.sent.get(title, 0) for trial in whole),
        error_rate=failed / max(1, answered + sum(trial.errors.read for trial in own)),
        metrics=dict(_list_metrics(own, turns, select_counts(trials, variant, revision, profile))),
    )


def _list_metrics(
    own: Sequence[Trial], turns: Sequence[RouteAtRate], counts: Sequence[Trial]
) -> Iterator[tuple[str, float]]:
    alone = [trial_values(trial) for trial in own if trial.phase == "latency" and trial.valid]
    for name in _FIGURES:
        if values := [each[name] for each in alone if name in each]:
            yield name, median(values)
    for share in ("p50", "p99") if turns else ():
        yield f"latency_{share}_at_rate_us", median(getattr(turn, f"{share}_us") for turn in turns)
    for name in EXACT:
        if (count := count_metric(counts, name)) is not None:
            yield name, count.per_request
