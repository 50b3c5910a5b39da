"""Results of shards, made by the code that a run uses."""

from typing import Any

from tests.unit.factories import PROFILE, make_compared, make_paired

from bench_action.model.result import Comparison, GateInfo, Result, ShardInfo

GATES = {
    "requests_per_second": GateInfo(size=0.01, absolute=0.0, level="fail"),
    "cpu_ms_per_request": GateInfo(size=0.01, absolute=0.0, level="fail"),
}


def make_shard(number: int, shares: tuple[tuple[str, ...], ...], head: float = 1000.0, **changes: Any) -> Result:
    """Build the result of a shard that has measured pairs of aiohttp: base at 1000 requests/s, and head.

    `shares`: the cells of each shard, such as `aiohttp · list`.
    """
    found = make_compared(make_paired(head))
    names = [cell.partition(" · ")[2] for cell in shares[number - 1]]
    parts: dict[str, Any] = {
        "trials": tuple(
            trial.model_copy(update={"profile": name, "pair": trial.pair.replace(PROFILE, name)})
            for name in names
            for trial in found.trials
        ),
        "comparisons": tuple(_rename(c, name) for name in names for c in found.comparisons),
        "summaries": tuple(s.model_copy(update={"profile": name}) for name in names for s in found.summaries),
        "profiles": tuple(p.model_copy(update={"name": name}) for name in names for p in found.profiles),
        "compared": shares[number - 1],
        "shards": (
            ShardInfo(
                number=number,
                count=len(shares),
                cells=shares[number - 1],
                shares=shares,
                digest="d",
                gates=GATES,
                run_id=f"run-{number}",
                duration_s=100.0 + number,
                environment=found.environment,
            ),
        ),
        "run": found.run.model_copy(
            update={"id": f"run-{number}", "command": f"bench-action run --shard {number}/{len(shares)} --seed 0"}
        ),
    }
    return found.model_copy(update=parts | changes)


def _rename(c: Comparison, name: str) -> Comparison:
    fields = {field: getattr(c, field).replace(PROFILE, name) for field in ("profile", "base", "head")}
    return c.model_copy(update=fields)
