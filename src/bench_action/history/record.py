"""A record: one cell of one run, compact, and the line of JSON that it is stored as.

In Python every name is written out; on a line they are short, so that a cell of a run stays under 1 KB. `README.md` in
the history (`layout.py`) says what is short for what.
"""

import functools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from bench_action.model.benchmark import Benchmark
from bench_action.model.errors import InputError
from bench_action.model.result import Frozen

RECORD_VERSION: Final = 1
LONGEST_LINE: Final = 1024  # bytes of a usual record; a longer one is stored all the same

SHORT: Final = {
    "requests_per_second": "rps",
    "latency_p50_us": "p50",
    "latency_p90_us": "p90",
    "latency_p99_us": "p99",
    "latency_p999_us": "p999",
    "error_rate": "err",
    "cpu_ms_per_request": "cpu",
    "db_cpu_ms_per_request": "dbcpu",
    "cache_cpu_ms_per_request": "cachecpu",
    "db_connections_peak": "conns",
    "memory_peak_mib": "mib",
    "startup_s": "start",
}
_LONG = {short: name for name, short in SHORT.items()}
_LEFT_OUT = ("ct", "cfg", "key", "job")  # where they are empty, as in every record that was written before they existed

Migration = Callable[[dict[str, Any]], dict[str, Any]]
# from version n, as its line was written, to n + 1
MIGRATIONS: Final[Mapping[int, Migration]] = {}


@functools.lru_cache(maxsize=1024)  # the cells of a run have one beginning
def utc(text: str) -> str:
    """A time in ISO 8601 with an offset → UTC to the second, so that text sorts as time. Raises ValueError."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("should say its offset from UTC")
        at = at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is no time of this calendar") from error
    if at.year < 1970:
        raise ValueError("is before there were such clocks")
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _utc_or_empty(text: str) -> str:
    return utc(text) if text else ""


def rounded(value: float, digits: int = 6) -> float:
    """To so many significant digits."""
    return float(f"{value:.{digits}g}")


Bounded = tuple[float, float | None, float | None]  # a value and the bounds of its interval, null without one


def _long_names(value: dict[str, Bounded]) -> dict[str, Bounded]:
    return {_LONG.get(name, name): one for name, one in value.items()}


Bounds = Annotated[dict[str, Bounded], AfterValidator(_long_names)]


class WorkPerRequest(Frozen):
    """Exact, from phase `count`."""

    queries: float
    rows: float
    cache_commands: float


class Record(Frozen):
    """One cell of one run. `metrics`: mean and interval over the blocks; `control`: the same ÷ the control's."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    schema_version: Literal[1] = RECORD_VERSION
    run_id: str = Field(alias="run", min_length=1)
    at: Annotated[str, AfterValidator(utc)] = Field(description="when the run began: UTC, to the second")
    sha: str
    committed_at: Annotated[str, AfterValidator(_utc_or_empty)] = Field(
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
    metrics: Bounds = Field(alias="m")
    control: Bounds = Field(alias="c", description="ratio to the control's of the same profile in the same run")
    control_id: str = Field(alias="cid", description="identifies the control; empty without one")
    work: WorkPerRequest | None

    @property
    def cell(self) -> str:
        """Name of the cell, as people read it."""
        return f"{self.variant} · {self.profile}"

    @property
    def benchmark(self) -> Benchmark:
        """Which benchmark's trend it belongs to; that of a record without names is the unnamed one."""
        return Benchmark(self.config, self.key, self.job, self.preset, self.engine)

    @property
    def counts(self) -> tuple[float, ...] | None:
        """`work` as a row: queries, rows, cache commands."""
        work = self.work
        return None if work is None else (work.queries, work.rows, work.cache_commands)


def line_of(record: Record) -> str:
    """One line of JSON, without its end."""
    fields = record.model_dump(by_alias=True)
    for name in _LEFT_OUT:
        if not fields[name]:
            del fields[name]
    for name in ("m", "c"):
        fields[name] = {SHORT.get(metric, metric): list(map(_short, one)) for metric, one in fields[name].items()}
    if record.work is not None:
        fields["work"] = {name: _short(value) for name, value in fields["work"].items()}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def parse_line(text: str | bytes, where: str = "", migrations: Mapping[int, Migration] = MIGRATIONS) -> Record:
    """A record from its line, brought to this version. Raises InputError that says where and why."""
    try:
        return Record.model_validate_json(text)
    except ValidationError:
        return _parse_slowly(text, where, migrations)


def _parse_slowly(text: str | bytes, where: str, migrations: Mapping[int, Migration]) -> Record:
    """What is not of this version, or is wrong: with the reason."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise _broken(where, f"it is no JSON: {error}") from error
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise _broken(where, "it has no `schema_version`")
    if version > RECORD_VERSION:
        raise InputError(
            f"a record has schema version {version}, and this bench-action knows {RECORD_VERSION} and older ones",
            where=where,
            cause="a newer bench-action wrote it",
            advice="update bench-action",
        )
    while version < RECORD_VERSION:
        if version not in migrations:
            raise _broken(where, f"no bench-action has written schema version {version}")
        fields = migrations[version](fields)
        version += 1
    try:
        return Record.model_validate({**fields, "schema_version": RECORD_VERSION})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise _broken(where, f"`{name}`: {first['msg']}") from error


def _broken(where: str, cause: str) -> InputError:
    return InputError(
        "a record of the history is broken",
        where=where,
        cause=cause,
        advice="nothing was changed; take the line back from an earlier commit, or delete it and `index.json`, which "
        "the next append makes anew",
    )


def _short(value: float | None) -> float | int | None:
    """A whole number without `.0`."""
    return int(value) if value is not None and value == int(value) else value
