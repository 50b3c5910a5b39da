"""Gates: from which size on a change of a metric counts. Which direction is worse is the metric's, not the gate's."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bench_action.model.metric import METRICS

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def parse_share(value: object) -> object:
    """Parse text such as "5%" into 0.05; leave anything else to pydantic. Raises ValueError for other text."""
    if not isinstance(value, str):
        return value
    match = _PERCENT.fullmatch(value.strip())
    if match is None:
        raise ValueError("expected a share such as 5% or 0.05")
    return float(match[1]) / 100


Share = Annotated[float, BeforeValidator(parse_share, json_schema_input_type=str | float), Field(ge=0, le=10)]


class Gate(BaseModel):
    """From which size on a change for the worse counts: a relative limit and, if given, an absolute one as well."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_loss: Share | None = Field(None, description="if more is better: from which loss on a change counts")
    max_gain: Share | None = Field(None, description="if less is better: from which gain on a change counts")
    absolute: float = Field(0.0, ge=0, description="and by at least this much, in the metric's unit")
    level: Literal["fail", "warn"] = "fail"

    @property
    def size(self) -> float:
        """The relative limit, as a fraction."""
        return next((size for size in (self.max_loss, self.max_gain) if size is not None), 0.0)

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.max_loss is None) == (self.max_gain is None):
            raise ValueError("set exactly one of `max_loss` and `max_gain`")
        return self


RATE, COST = "requests_per_second", "cpu_ms_per_request"
# counted over a fixed number of requests: the same code gives the same number, so any change counts
EXACT = ("queries_per_request", "rows_per_request", "cache_commands_per_request")
# the cost of services → how often requests use them
SERVICES = {"db_cpu_ms_per_request": "queries_per_request", "cache_cpu_ms_per_request": "cache_commands_per_request"}
# measured while both subjects share a CPU, each with its own services
PAIRED = (
    RATE,
    COST,
    "total_cpu_ms_per_request",
    *SERVICES,
    "latency_p99_us",
    "memory_mib",
    "memory_peak_mib",
)
# measured on one connection, as concurrency would hide them
ALONE = ("latency_p50_us", "latency_p90_us")

# measured in turns at a fixed rate, as waiting shows only below saturation
AT_RATE = (
    "latency_p50_at_rate_us",
    "latency_p90_at_rate_us",
    "latency_p99_at_rate_us",
    "latency_p999_at_rate_us",
    "cpu_ms_per_request_at_rate",
)
# varies so much between restarts that its gate, if it is configured, is decided with no fewer blocks
TAIL, TAIL_BLOCKS = "latency_p99_at_rate_us", 10

# the highest rate that holds a profile's objective
OBJECTIVE = ("slo_rate",)

Gates = dict[str, Gate]


def default_gates() -> Gates:
    """Return the gates of metrics that a configuration does not mention (evidence: docs/how-it-decides.md)."""
    return {
        "requests_per_second": Gate(max_loss=0.01),
        "cpu_ms_per_request": Gate(max_gain=0.01),
        "total_cpu_ms_per_request": Gate(max_gain=0.03),
        "latency_p50_us": Gate(max_gain=0.10, absolute=200),
        "db_cpu_ms_per_request": Gate(max_gain=0.15),
        "queries_per_request": Gate(max_gain=0),
        "cache_commands_per_request": Gate(max_gain=0),
        "latency_p50_at_rate_us": Gate(max_gain=0.10, absolute=200),
        "latency_p90_at_rate_us": Gate(max_gain=0.25, absolute=500),
        "cpu_ms_per_request_at_rate": Gate(max_gain=0.15),
        "slo_rate": Gate(max_loss=0.10),
    }


# from which size on a change matters to a reader, even if no gate forbids it
RELEVANT: Gates = {
    **default_gates(),
    TAIL: Gate(max_gain=0.50, absolute=2000),
    "latency_p999_at_rate_us": Gate(max_gain=0.50, absolute=5000),
    "latency_p90_us": Gate(max_gain=0.10, absolute=200),
    "latency_p99_us": Gate(max_gain=0.25, absolute=1000),
    "cache_cpu_ms_per_request": Gate(max_gain=0.15),
    "memory_mib": Gate(max_gain=0.10, absolute=5),
    "memory_peak_mib": Gate(max_gain=0.10, absolute=5),
    "rows_per_request": Gate(max_gain=0),
}


def lacks_blocks(metric: str, blocks: int) -> bool:
    """Tell whether a gate on a metric cannot be decided by so few blocks, however sure they are."""
    return metric == TAIL and blocks < TAIL_BLOCKS


def check_gates(gates: Mapping[str, Gate | None]) -> None:
    """Raise ValueError for an unknown metric, one that cannot be gated, or a limit in its better direction."""
    known = (*PAIRED, *ALONE, *AT_RATE, *OBJECTIVE, *EXACT)
    for name, gate in gates.items():
        if name not in METRICS:
            raise ValueError(f"`gates` names an unknown metric, {name!r}; use one of {', '.join(known)}")
        if name not in known:
            raise ValueError(f"{name} cannot be gated; use one of {', '.join(known)}")
        wrong, right = ("max_gain", "max_loss") if METRICS[name].better == "higher" else ("max_loss", "max_gain")
        if gate is not None and getattr(gate, wrong) is not None:
            raise ValueError(f"{name}: more is {'better' if wrong == 'max_gain' else 'worse'}, so use `{right}`")
