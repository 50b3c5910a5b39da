"""Say how a run was measured, and what its numbers mean."""

from collections.abc import Sequence
from statistics import median

from bench_action.config.control import BUILT_IN_VARIANT
from bench_action.config.gates import ALONE
from bench_action.model.result import Comparison, NoiseSource, Result, Trial
from bench_action.model.warning import Code
from bench_action.model.wording import format_change, percent, plural
from bench_action.plan.blocks import LOADED_PHASES
from bench_action.report.change import list_comparisons
from bench_action.report.sentences import format_gate, name_metric
from bench_action.stats.steady import LONG_WARM_UP_S

_MISSING = frozenset({Code.SHARD_MISSING, Code.FEWER_RUNNERS})
_CONTROL = (
    f"{BUILT_IN_VARIANT} is the built-in aiohttp application, loaded at / with the same connections. Trends are ratios"
    " to it, so that they agree between different machines."
)
_METHOD = (
    "The block is the sample: intervals are Student's t over blocks, never over requests.",
    "Requests, Timeouts, Req/sec and Errors are averages over the runs of a cell.",
    "Timeouts are late replies, which count as Requests too; Errors are failed reads and writes, and status above 399.",
    "Req/sec counts successful replies only. p50 and p99 are medians over the runs.",
    "Spread is the fastest run minus the slowest, as a share of the median.",
)
_CLOSED = (
    "Latencies are closed-loop and corrected by wrk for coordinated omission; replies after the timeout are missing."
)
_ALONE = (
    "Variants were measured alone, one after the other: that shows large differences, and does not prove a small one."
)
_SWAPPED = "restarted for each block, in slots that they swapped at random"
_IN_TURNS = f"Base and head were loaded in short turns, {_SWAPPED}."
_LATENCY = "Latency was measured with one connection to each of the two, in turns of five requests."
_PAIRED = (
    "Each slot has its own services: databases are copied from a template, and Redis is emptied.",
    "Interim analyses were planned before the first result. All of them, all metrics and all cells share a 1 % error.",
)
_UNSEEN = "A duet cannot see what concurrency hides (a profile's `rate` does), nor slow leaks: docs/how-it-decides.md."


def describe_method(result: Result) -> tuple[str, ...]:
    """Describe the order of trials, what each column means, and how sharp each gate is."""
    blocks = max((trial.block for trial in result.trials if trial.phase == "capacity"), default=0)
    order = f"Each cell was loaded alone, once in each of {plural(blocks, 'block')}, each block in its own random order"
    seed = f"(seed {result.run.seed})"
    variants = any(c.kind == "variant" and c.method == "solo" for c in result.comparisons)
    built_in = result.control.get("variant") == BUILT_IN_VARIANT
    turns = [trial for trial in result.trials if trial.phase == "rate"]
    return (
        f"{order} {seed}." if blocks else f"The order of trials was drawn by lot {seed}.",
        *_describe_shards(result),
        *_describe_warm_ups(result),
        *((_CONTROL,) if built_in else ()),
        *_METHOD,
        *((_CLOSED,) if any(trial.phase in LOADED_PHASES for trial in result.trials) else ()),
        *_describe_connections(result),
        *((_ALONE,) if variants else ()),
        *_describe_pairs([trial for trial in result.trials if trial.pair]),
        *(_describe_rates(turns) if turns else ()),
        *map(_describe_noise, result.noise),
        *_describe_gates(result),
    )


def _describe_pairs(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Say how the two of a pair were loaded, in each way in which they were."""
    phases = {trial.phase for trial in trials}
    where = "on one CPU for each duet" if any(trial.track for trial in trials) else "on one CPU"
    duets = f"Base and head ran at the same time {where}, {_SWAPPED}."
    return (
        *((duets,) if "duet" in phases else ()),
        *((_IN_TURNS,) if "interleaved" in phases else ()),
        *((_LATENCY,) if "latency" in phases else ()),
        *(_PAIRED if trials else ()),
        *((_UNSEEN,) if "duet" in phases else ()),
    )


def _describe_shards(result: Result) -> tuple[str, ...]:
    """Say that several runners measured it, what they differ by, and what each of several saw of one cell."""
    if not result.shards:
        return ()
    first, kinds = result.shards[0], {shard.environment.fingerprint for shard in result.shards}
    text = f"This is shard {first.number} of {first.count}."
    if len(result.shards) > 1 or any(warning.code in _MISSING for warning in result.warnings):
        numbers = ", ".join(str(shard.number) for shard in result.shards)
        text = f"Shards {numbers} of {first.count} are in it: runners that shared the run's pairs."
    text += " The run's 1 % of false alarms is divided among all of its pairs."
    if len(kinds) > 1:
        models = dict.fromkeys(f"{s.environment.cpu_model}, {s.environment.cores} cores" for s in result.shards)
        text += f" Runners were of {len(kinds)} kinds ({'; '.join(models)}): only ratios may be compared between them."
    return (text, *(_describe_strata(c) for c in list_comparisons(result) if c.by_shard and c.gate is not None))


def _describe_strata(c: Comparison) -> str:
    """Say what each of several runners saw of one cell."""
    sizes = ", ".join(f"{format_change(ratio - 1)} on shard {number}" for number, ratio in c.by_shard.items())
    return (
        f"{name_metric(c)} of `{c.cell}` was measured by several runners, whose blocks were judged together, each with "
        f"its own mean: {sizes}."
    )


def _describe_rates(turns: Sequence[Trial]) -> tuple[str, ...]:
    """Say how requests were sent at a fixed rate, and what that cost."""
    busy = percent(max(trial.generator_busy for trial in turns))
    cost = median(trial.cpu_ms.get("generator", 0.0) / max(1, _count_sent(trial)) for trial in turns)
    rated = any(trial.at_rate is not None and trial.at_rate.rate is not None for trial in turns)
    paired = any(trial.pair for trial in turns)
    return (
        *(
            ("At a fixed rate, requests began at their time, whether or not earlier ones had been answered.",)
            if rated
            else ()
        ),
        *(("With k6, the two of a pair took turns in random order, restarted for each block.",) if paired else ()),
        "Percentiles of k6 are exact, of every request.",
        f"k6 used {cost:.2f} ms of CPU for each request, and at most {busy} of the CPU time that it could.",
    )


def _count_sent(trial: Trial) -> int:
    return trial.at_rate.all_requests if trial.at_rate is not None else trial.requests


def _describe_connections(result: Result) -> tuple[str, ...]:
    """Say whose servers close connections after a reply, and whether that was configured or found out."""
    closing = [subject for subject in result.subjects if not all(subject.keep_alive.values())]
    groups = {
        "as was found out": [subject.name for subject in closing if subject.keep_alive_configured is None],
        "as configured": [subject.name for subject in closing if subject.keep_alive_configured is not None],
    }
    return tuple(
        f"Connections were closed after each reply by {', '.join(names)}, {how}: wrk opened a new one for each request."
        for how, names in groups.items()
        if names
    )


def _describe_warm_ups(result: Result) -> tuple[str, ...]:
    """Say how long subjects were warmed up, if that was longer than usual."""
    warm_ups = [trial.warm_up for trial in result.trials if trial.warm_up is not None]
    seconds = sorted(each.duration_s for each in warm_ups)
    if not seconds or median(seconds) <= LONG_WARM_UP_S:
        return ()
    shortest, longest = round(seconds[0]), round(seconds[-1])
    lasted = f"{shortest} s" if shortest == longest else f"{shortest} to {longest} s"
    cold = sum(each.steady is False for each in warm_ups)
    often = f" In {cold} of {plural(len(warm_ups), 'warm-up')} it had not when the longest was over." if cold else ""
    return (f"After each restart, subjects were warmed up until CPU/request had levelled off: for {lasted}.{often}",)


def _describe_noise(noise: NoiseSource) -> str:
    """Say how the duets of a pair were divided into restarts and slices, and where their noise comes from."""
    slices = f"a slice of {noise.slice_s} s"
    later = noise.blocks - noise.first_blocks
    if later and noise.slice_s != noise.first_slice_s:
        slices = (
            f"a slice of {noise.first_slice_s} s in the first {noise.first_blocks} and {noise.slice_s} s in the others"
        )
    if noise.tracks > 1:
        slices += f", of {noise.tracks} duets at the same time, whose mean counts"
    explain = "explain" if noise.measured else "usually explain"
    return (
        f"`{noise.pair}`: {plural(noise.blocks, 'restart')}, each followed by {slices}. A block took "
        f"{noise.cost_s:.1f} s in addition, and restarts {explain} {percent(noise.restart_share)} of the noise."
    )


def _describe_gates(result: Result) -> tuple[str, ...]:
    """Say how sharp each gate on throughput and CPU is: an estimate has an error, so no gate is a cliff."""
    gated = [c for c in list_comparisons(result) if c.fires and c.gate and c.metric not in ALONE]
    return tuple(
        f"The gate of {format_gate(c)} on {name_metric(c)} of `{c.cell}` fires in "
        f"{', '.join(f'{share * 100:.0f}' for share in c.fires or ())} of 100 such runs for true losses of 0.8, 0.9 "
        "and 1.0 times the gate."
        for c in gated
    )
