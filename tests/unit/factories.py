"""Build trials and results for tests: a test names only the fields that it is about."""

from collections.abc import Sequence
from typing import Any

from bench_action.compare.alphas import split_alpha
from bench_action.compare.explain import find_changes
from bench_action.compare.pairs import Rules, compare_pairs, compare_variants, default_pairs
from bench_action.compare.summary import summarise
from bench_action.compare.verdict import collect_warnings, decide_verdict
from bench_action.config.gates import Gates, default_gates
from bench_action.model.result import (
    Comparison,
    Environment,
    Errors,
    Latency,
    ProfileInfo,
    Result,
    RunInfo,
    Source,
    Statement,
    SubjectInfo,
    Trial,
    Work,
)
from bench_action.model.warning import Code, RunWarning
from bench_action.plan.blocks import Cell, Pair
from bench_action.stats.sequential import Course

LATENCY = Latency(
    mean_us=50_000,
    stdev_us=9_000,
    min_us=900,
    max_us=400_000,
    p50_us=48_000,
    p90_us=70_000,
    p99_us=130_000,
    p999_us=310_000,
)


def make_trial(variant: str = "aiohttp", block: int = 1, speed: float = 1000.0, **changes: Any) -> Trial:
    """Build a valid capacity trial of 10 s; `speed` is in requests/s."""
    fields: dict[str, Any] = {
        "phase": "capacity",
        "block": block,
        "position": 0,
        "variant": variant,
        "revision": "head",
        "profile": "article-500",
        "started_at": "2026-11-23T10:00:00+00:00",
        "duration_s": 10.0,
        "wall_s": 10.2,
        "requests": round(speed * 10),
        "bytes_read": 5_000_000,
        "errors": Errors(),
        "latency": LATENCY,
        "connections_asked": 500,
        "connections_live": 500,
        "generator_busy": 0.05,
        "cpu_ms": {"application": 9000.0, "db": 4000.0, "cache": 500.0, "generator": 800.0},
        "work": Work(queries=10_000, rows=200_000, cache_commands=10_000),
        "db_connections_peak": 10,
        "memory_peak_mib": 64.0,
        "steal_percent": 0.1,
    }
    return Trial(**(fields | changes))


def make_count(variant: str = "aiohttp", queries: int = 10, **changes: Any) -> Trial:
    """Build a count of ten requests."""
    fields: dict[str, Any] = {
        "phase": "count",
        "block": 0,
        "requests": 10,
        "latency": None,
        "memory_peak_mib": None,
        "work": Work(queries=queries, rows=200, cache_commands=10),
    }
    return make_trial(variant, **(fields | changes))


def make_duet(
    block: int,
    *,
    base: float = 1000.0,
    head: float = 1000.0,
    shares: tuple[float, float] = (0.5, 0.5),
    durations: tuple[float, float] = (4.0, 4.0),
    used: float = 0.99,
    **changes: Any,
) -> list[Trial]:
    """Build a duet on one CPU: `used` is the part of it that both used, split by `shares`; rates in requests/s."""
    trials = []
    for side, rate, share, duration_s in zip(("base", "head"), (base, head), shares, durations, strict=True):
        requests = round(rate * duration_s)
        fields: dict[str, Any] = {
            "phase": "duet",
            "revision": side,
            "side": side,
            "pair": "aiohttp · article-500",
            "duration_s": duration_s,
            "requests": requests,
            "cpu_ms": {"application": 1000 * used * duration_s * share},
            "application_idle": 0.002,
            "services_idle": 0.5,
        }
        trials.append(make_trial(block=block, **(fields | changes)))
    return trials


def make_latency(block: int, *, base_us: float = 5000.0, head_us: float = 5000.0, **changes: Any) -> list[Trial]:
    """Build trials of base and head with one connection each; `base_us` and `head_us` are their p50."""
    trials = []
    for side, p50_us in (("base", base_us), ("head", head_us)):
        fields: dict[str, Any] = {
            "phase": "latency",
            "revision": side,
            "side": side,
            "pair": "aiohttp · article-500",
            "duration_s": 3.0,
            "requests": 300,
            "latency": LATENCY.model_copy(update={"p50_us": p50_us, "p90_us": 1.4 * p50_us}),
            "connections_asked": 1,
            "cpu_ms": {"application": 600.0, "db": 150.0, "cache": 30.0},
        }
        trials.append(make_trial(block=block, **(fields | changes)))
    return trials


def make_turns(block: int, *, base: float = 1000.0, head: float = 1000.0, **changes: Any) -> list[Trial]:
    """Build slices in turn: base, head, head, base, each alone on all CPUs; rates in requests/s."""
    trials = []
    for position, side in enumerate(("base", "head", "head", "base")):
        fields: dict[str, Any] = {
            "phase": "interleaved",
            "revision": side,
            "side": side,
            "pair": "aiohttp · article-500",
            "duration_s": 1.0,
            "requests": round(base if side == "base" else head),
            "cpu_ms": {"application": 900.0},
            "position": position,
        }
        trials.append(make_trial(block=block, **(fields | changes)))
    return trials


def warn(code: Code, message: str = "what was seen", cell: str = "aiohttp · article-500") -> RunWarning:
    """Warn about the usual cell."""
    return code.warn(message, cell)


def make_subject(variant: str, **changes: Any) -> SubjectInfo:
    """Build a subject that passed its checks."""
    fields: dict[str, Any] = {
        "variant": variant,
        "revision": "head",
        "image": f"bench-action/{variant}",
        "image_id": "sha256:" + "ab" * 32,
        "startup_s": 1.5,
        "verified": True,
    }
    return SubjectInfo(**(fields | changes))


def two_variants(blocks: int = 5) -> list[Trial]:
    """Build trials of django at about 200 requests/s and aiohttp, five times as fast, with the count of each."""
    trials = [make_count("django", queries=20), make_count("aiohttp")]
    for block in range(1, blocks + 1):
        trials += [make_trial("django", block, 200 + block), make_trial("aiohttp", block, 1000 + 7 * block)]
    return trials


def make_result(trials: Sequence[Trial] | None = None, **changes: Any) -> Result:
    """Build the result of a run with these trials, by the code that a run uses; `changes` replace fields."""
    trials = two_variants() if trials is None else trials
    names = list(dict.fromkeys(trial.variant for trial in trials))
    profiles = list(dict.fromkeys(trial.profile for trial in trials))
    subjects = tuple(make_subject(name) for name in names)
    summaries = summarise(trials, subjects)
    warnings = collect_warnings(trials, summaries)
    fields: dict[str, Any] = {
        "run": RunInfo(
            id="20261123-100000-abcdef",
            started_at="2026-11-23T10:00:00+00:00",
            duration_s=151.0,
            seed=7,
            engine="docker",
            preset="article",
            tool_version="0.1.0",
            command="bench-action run --preset article",
        ),
        "timings": {"stack": 12.3, "verify": 4.5, "measure": 134.2},
        "environment": Environment(
            cpu_model="Some CPU",
            cores=2,
            memory_mib=4096,
            kernel="6.1.0",
            docker="28.0.0 (cgroup v2)",
            fingerprint="0123456789ab",
            images={"redis:8": "sha256:" + "cd" * 32},
            steal_percent=0.1,
        ),
        "placement": {},
        "source": Source(repository="owner/repo", head_sha="a" * 40),
        "control": {},
        "findings": (),
        "profiles": tuple(
            ProfileInfo(name=name, path="/", method="GET", connections=500, threads=10, duration_s=10, timeout_s=2)
            for name in profiles
        ),
        "subjects": subjects,
        "trials": tuple(trials),
        "summaries": summaries,
        "comparisons": compare_variants(trials, default_pairs(names), profiles) if names else (),
        "warnings": warnings,
        "verdict": decide_verdict(trials, warnings),
    }
    return Result(**(fields | changes))


PROFILE = "article-500"
PAIR = Pair("revision", Cell("aiohttp", "base", PROFILE), Cell("aiohttp", "head", PROFILE))


def make_compared(trials: list[Trial], *, gates: Gates | None = None, shortage: str = "", **changes: Any) -> Result:
    """Build the result of a run with these trials of aiohttp's base and head, by these gates or the default ones."""
    gates = default_gates() if gates is None else gates
    rules = Rules(gates, {(str(PAIR), "duet"): Course(8, ended=True)}, split_alpha(gates, 1), shortage)
    comparisons = compare_pairs(trials, [PAIR], rules)
    findings = find_changes(trials, [PAIR], {})
    subjects = (make_subject("aiohttp"), make_subject("aiohttp", revision="base"))
    warnings = collect_warnings(trials, summarise(trials, subjects), [PAIR])
    fields = {
        "subjects": subjects,
        "summaries": summarise(trials, subjects),
        "comparisons": comparisons,
        "findings": findings,
        "warnings": warnings,
        "verdict": decide_verdict(trials, warnings, comparisons, findings),
    }
    return make_result(trials, **(fields | changes))


def make_paired(head: float, queries: int = 10, statements: tuple[Statement, ...] = ()) -> list[Trial]:
    """Build eight blocks of base at 1000 requests/s and head at `head`, with the latency and the count of each."""
    trials = [make_count(revision="base"), make_count(queries=queries, statements=statements)]
    for n in range(1, 9):
        trials += [make_trial(revision=side, block=n, speed=1000) for side in ("base", "head")]
        trials += make_duet(n, base=1000 + 3 * (n % 3), head=head - 3 * (n % 2))
        trials += make_latency(n, base_us=5000 + 20 * (n % 3), head_us=5000 + 20 * (n % 2)) if n <= 5 else []
    return trials


def make_comparison(**changes: Any) -> Comparison:
    """Build a comparison of aiohttp's requests/s, head with base, gated at 1 %."""
    fields: dict[str, Any] = {
        "kind": "revision",
        "method": "duet",
        "metric": "requests_per_second",
        "profile": PROFILE,
        "variant": "aiohttp",
        "revision": "head",
        "base": "base",
        "head": "head",
        "base_value": 1000.0,
        "head_value": 900.0,
        "ratio": 0.9,
        "difference": -100.0,
        "ci_low": 0.89,
        "ci_high": 0.91,
        "confidence": 0.99,
        "smallest_detectable": 0.012,
        "blocks": 8,
        "gate": 0.01,
        "level": "fail",
        "significant": True,
        "relevant": True,
        "verdict": "regressed",
    }
    return Comparison(**(fields | changes))
