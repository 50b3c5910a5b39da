"""A record: one cell of one run, and the line of JSON that stores it.

Names are long in Python and short on the line, so that a record stays under 1 KB. The history's `README.md`
(`layout.py`) explains the short names.
"""

import functools
import json
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from bench_action.model.benchmark import Benchmark
from bench_action.model.errors import InputError
from bench_action.model.result import Frozen, Verdict, cell_name

RECORD_VERSION: Final = 1
LONGEST_LINE: Final = 1200  # bytes of a usual record; a longer one is stored anyway

SHORT: Final = {
    "requests_per_second": "rps",
    "latency_p50_us": "p50",
    "latency_p90_us": "p90",
    "latency_p99_us": "p99",
    "latency_p999_us": "p999",
    "latency_p50_at_rate_us": "rp50",
    "latency_p99_at_rate_us": "rp99",
    "cpu_ms_per_request_at_rate": "rcpu",
    "slo_rate": "slo",
    "error_rate": "err",
    "cpu_ms_per_request": "cpu",
    "db_cpu_ms_per_request": "dbcpu",
    "cache_cpu_ms_per_request": "cachecpu",
    "db_connections_peak": "conns",
    "memory_peak_mib": "mib",
    "startup_s": "start",
}
# the index knows which changes were reported; a check looks back as far as `stats.shift.WINDOW`
REBUILT: Final = "the next append rebuilds it, and changes of the last 200 records will be reported again"
_LONG = {short: name for name, short in SHORT.items()}
_LEFT_OUT = ("ct", "cfg", "key", "job", "same")  # if empty, as in every record that was written before they existed


@functools.lru_cache(maxsize=1024)  # all cells of a run share one start
def normalize_time(text: str) -> str:
    """Convert a time in ISO 8601 with an offset to UTC seconds, so that text sorts as time. Raises ValueError."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("has no offset from UTC")
        at = at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside the calendar") from error
    if at.year < 1970:
        raise ValueError("is before 1970")
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def round_digits(value: float, digits: int = 6) -> float:
    """Round to a number of significant digits."""
    return float(f"{value:.{digits}g}")


Estimate = tuple[float, float | None, float | None]  # a value and the bounds of its interval, null without one


def _expand_names(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    return {_LONG.get(name, name): estimate for name, estimate in estimates.items()}


Estimates = Annotated[dict[str, Estimate], AfterValidator(_expand_names)]


class WorkPerRequest(Frozen):
    """Exact counts of one request, from phase `count`."""

    queries: float
    rows: float
    cache_commands: float


class UnchangedCode(Frozen):
    """What a run of unchanged code found in one cell, and where: every change in it is a false alarm.

    Runner, architecture and cores are those of a result's environment.
    """

    verdict: Verdict = Field(description="of the whole run")
    alarms: dict[str, Verdict] = Field({}, description="metric → `regressed` or `improved`")
    detectable: dict[str, float] = Field({}, description="gated metric → smallest detectable change, as a fraction")
    runner: str = ""
    architecture: str = ""
    cores: int = 0


class Record(Frozen):
    """One cell of one run. `metrics`: mean and interval over the blocks; `control`: the same ÷ the control's."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    schema_version: Literal[1] = RECORD_VERSION
    run_id: str = Field(alias="run", min_length=1)
    at: Annotated[str, AfterValidator(normalize_time)] = Field(description="when the run began: UTC, to the second")
    sha: str
    committed_at: Annotated[str, AfterValidator(lambda text: text and normalize_time(text))] = Field(
        "", alias="ct", description="when `sha` was committed: UTC, to the second; empty if unknown"
    )
    ref: str
    config: str = Field("", alias="cfg", description="path of the configuration from the top of its repository")
    key: str = Field("", description="the comment's key")
    job: str = Field("", description="workflow, job and matrix leg")
    preset: str
    engine: str
    tool_version: str = Field(alias="tool")
    fingerprint: str = Field(alias="machine", description="same fingerprint: absolute values may be compared")
    cpu_model: str = Field(alias="cpu")
    variant: str
    profile: str
    blocks: int
    metrics: Estimates = Field(alias="m")
    control: Estimates = Field(alias="c", description="ratio to the control's of the same profile in the same run")
    control_id: str = Field(alias="cid", description="identifies the control; empty without one")
    work: WorkPerRequest | None
    unchanged: UnchangedCode | None = Field(
        None, alias="same", description="what a run that compared head with itself found in this cell; else null"
    )

    @property
    def cell(self) -> str:
        """Name of the cell."""
        return cell_name(self.variant, "head", self.profile)

    @property
    def benchmark(self) -> Benchmark:
        """Benchmark whose trend the record belongs to; unnamed if the record has no names."""
        return Benchmark(self.config, self.key, self.job, self.preset, self.engine)

    @property
    def counts(self) -> tuple[float, ...] | None:
        """`work` as a tuple: queries, rows, cache commands."""
        work = self.work
        return None if work is None else (work.queries, work.rows, work.cache_commands)


def render_line(record: Record) -> str:
    """Render a record as one line of JSON, without a newline."""
    fields = record.model_dump(by_alias=True)
    for name in _LEFT_OUT:
        if not fields[name]:
            del fields[name]
    for name in ("m", "c"):
        fields[name] = {
            SHORT.get(metric, metric): [_drop_point(value) for value in estimate]
            for metric, estimate in fields[name].items()
        }
    if record.work is not None:
        fields["work"] = {name: _drop_point(value) for name, value in fields["work"].items()}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def parse_line(text: str | bytes, where: str = "") -> Record:
    """Parse a record from its line. Raises InputError with the place and the reason."""
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        raise _explain_line(text, where, error) from error


def _explain_line(text: str | bytes, where: str, invalid: ValidationError) -> InputError:
    """Explain why a line is not a record of this version."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _broken_line_error(where, f"it is not valid JSON: {error}")
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        return _broken_line_error(where, "it has no `schema_version`")
    if version > RECORD_VERSION:
        return InputError(
            f"a record has schema version {version}, but this bench-action supports only {RECORD_VERSION} and older",
            where=where,
            cause="a newer bench-action wrote it",
            advice="update bench-action",
        )
    if version < RECORD_VERSION:
        return _broken_line_error(where, f"no bench-action has written schema version {version}")
    first = invalid.errors()[0]
    return _broken_line_error(where, f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}")


def _broken_line_error(where: str, cause: str) -> InputError:
    return InputError(
        "a record of the history is broken",
        where=where,
        cause=cause,
        advice="nothing was changed; restore the line from an earlier commit, or delete it and `index.json`: "
        f"{REBUILT}",
    )


def _drop_point(value: float | None) -> float | int | None:
    """Make a whole number an int, which JSON writes without `.0`."""
    return int(value) if value is not None and value == int(value) else value
