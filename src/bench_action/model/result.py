"""The contents of `result.json`. Field names are a contract: docs/result.schema.json is generated from here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bench_action.model.benchmark import Benchmark
from bench_action.model.metric import Better
from bench_action.model.warning import WRONG_REPLIES, RunWarning

SCHEMA_VERSION: Final = 1

Revision = Literal["base", "head"]
Verdict = Literal["improved", "unchanged", "regressed", "inconclusive", "invalid", "measured"]
PhaseName = Literal["count", "capacity", "latency", "duet", "interleaved", "rate", "slo"]
# of the latencies at a fixed rate, as shares of the requests
QUANTILES: Final = (*(percent / 100 for percent in (1, 5, *range(10, 90, 10), 90, 95, 98, 99)), 0.995, 0.999)


def _check_time(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("has no offset from UTC")
    return text


Time = Annotated[str, AfterValidator(_check_time)]  # in ISO 8601, with an offset


class Frozen(BaseModel):
    """Base of all stored models: immutable, and without fields that the schema does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Errors(Frozen):
    """wrk's error counters. `timeout` counts replies that arrived late, not those that never arrived.

    `read` leaves out what wrk counts after each complete reply that only the end of its connection ends.

    `status` counts replies whose status was not expected; under load, wrk distinguishes only those above 399.
    """

    connect: int = 0
    read: int = 0
    write: int = 0
    status: int = 0
    timeout: int = 0

    @property
    def total(self) -> int:
        """The sum of all counters."""
        return self.connect + self.read + self.write + self.status + self.timeout

    def __add__(self, other: "Errors") -> "Errors":
        """Add counter by counter."""
        pairs = zip(self.model_dump().items(), other.model_dump().values(), strict=True)
        return Errors(**{name: left + right for (name, left), right in pairs})


class Latency(Frozen):
    """wrk's latencies in µs: closed-loop, after wrk's own correction, without replies later than the timeout."""

    mean_us: float
    stdev_us: float
    min_us: float
    max_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float


class Work(Frozen):
    """The work of the database and the cache, as the glossary defines it."""

    queries: int
    rows: int
    cache_commands: int


class Statement(Frozen):
    """A query as pg_stat_statements normalises it, how often a subject ran it, and the rows that it returned."""

    text: str
    calls: int
    rows: int


class Replies(Frozen):
    """The replies to a trial's requests: all of them in `count` and `latency`, a sample under load.

    Bytes are those of headers and body as sent, 0 without a reply.
    """

    statuses: dict[str, int] = Field({}, description="status → how many replies had it")
    bytes_min: int = 0
    bytes_mean: float = 0.0
    bytes_max: int = 0
    location: str = Field("", description="target of a redirect")
    digest: str = Field("", description="of the body, if all were the same; otherwise empty")
    until_close: int = Field(0, description="replies without a length, which only the end of their connection ended")
    problem: str = Field("", description="why the first request without a reply got none")

    @property
    def total(self) -> int:
        """The number of replies."""
        return sum(self.statuses.values())


class WarmUp(Frozen):
    """How a subject was loaded after a restart, before it was measured: until a request had stopped becoming cheaper.

    Its CPU/request is that of the application, in ms; if a k6 script ran in rounds, that of an iteration.
    """

    duration_s: float
    requests: int | None = Field(None, description="how many requests wrk sent; null if a k6 script ran")
    rounds: int | None = Field(None, description="how often a k6 script ran; null without one")
    limit_s: float = Field(description="the longest that it may last: the profile's `warmup`")
    steady: bool | None = Field(
        description="whether CPU/request had levelled off and compilers had finished; null if its CPU is not known, or "
        "wrk could not connect again to one of those that were warmed up together"
    )
    cpu_ms_first: float | None = Field(description="CPU/request over the first half second")
    cpu_ms_last: float | None = Field(description="CPU/request over the last third, five seconds at most")
    change_per_s: float | None = Field(
        description="its change per second at the end, as a fraction: below 0 if it fell"
    )
    rested: bool | None = Field(
        None,
        description="whether the application used no CPU in the pauses of the last two spans, once no request was "
        "under way; null if it was not looked at, as CPU/request had not fallen to half of what it was at first",
    )


class Mark(Frozen):
    """What was read while wrk ran: both counters count from an arbitrary point, so only differences mean something."""

    s: float = Field(description="seconds since wrk began")
    bytes_read: int = Field(description="received from the subject's network")
    cpu_ms: float = Field(description="CPU time of the application")
    memory_mib: float | None = Field(None, description="memory of the application; not a counter")


class RouteAtRate(Frozen):
    """The latencies of one request of a mix at a fixed rate. `failed`: unexpected replies, and those without any."""

    requests: int
    p50_us: float
    p90_us: float
    p99_us: float
    failed: int = 0


class AtRate(Frozen):
    """What k6 reported of one turn in phase `rate`. What was measured came after a warm-up at the same rate."""

    rate: float | None = Field(description="iterations to begin each second; null: as the script itself says")
    iterations: int = Field(description="how many ended in time; of a profile's own requests, each is one request")
    iteration_us: float = Field(description="how long they took, on average")
    early_us: float = Field(0.0, description="the same of those begun in the first half; 0 without a rate")
    late_us: float = Field(0.0, description="the same of those begun in the second half")
    dropped: int = Field(description="iterations that were not begun, as all users still waited for a reply")
    all_requests: int = Field(description="with those of the warm-up, to which CPU times belong as well")
    over_http2: int = Field(0, description="how many of the measured requests were sent over HTTP/2")
    timed: str = Field(
        description="what latencies are of: k6's http_req_duration, grpc_req_duration or iteration_duration"
    )
    quantiles_us: tuple[float, ...] = Field(
        (), description="latency of 1, 5, 10, 20, …, 90, 95, 98, 99, 99.5 and 99.9 % of the requests at most"
    )
    checks: int = Field(0, description="how often a check of the script was made")
    checks_failed: int = 0
    failed_checks: tuple[str, ...] = Field((), description="their names")
    thresholds: tuple[str, ...] = Field((), description="those of the script that were crossed")
    exceptions: int = Field(0, description="how often the script raised one, which ends its iteration")
    ended: str = Field("", description="why the script ended early; empty if it did not")
    routes: dict[str, RouteAtRate] = Field({}, description="each request of a mix")


class Trial(Frozen):
    """One measured run of one cell in one phase; a line of `trials.jsonl`."""

    phase: PhaseName
    block: int = Field(description="its number in its phase: trials of a pair with the same one are compared")
    track: int = Field(0, description="which of the duets that ran at the same time")
    shard: int = Field(0, description="the number of the shard that measured it; 0: the run was not divided")
    position: int
    variant: str
    revision: Revision
    profile: str
    started_at: Time
    duration_s: float = Field(
        description="by the program that sent the requests (wrk, k6, the agent), never the requested one"
    )
    wall_s: float = Field(description="the whole trial, including reading the meters, by the monotonic clock")
    requests: int = Field(description="all replies, including error statuses; under load, without the agent's samples")
    bytes_read: int
    errors: Errors
    latency: Latency | None = Field(description="null if nothing was answered, and in phase `count`")
    connections_asked: int
    connections_live: int = Field(
        description="most connections seen open at the same time: as many requests are under way when wrk ends"
    )
    generator_busy: float = Field(description="wrk's CPU ÷ (duration × the smaller of threads and its cores)")
    cpu_ms: dict[str, float] = Field(
        description="CPU time by part, from before the load until after it: `application` with its companions, the "
        "services (such as `db`, `cache`), and `generator` with wrk or k6"
    )
    work: Work
    work_known: bool = Field(True, description="false if it is zero because it could not be counted")
    db_connections_peak: int
    memory_peak_mib: float | None = Field(description="of the subject; null if the host does not show it")
    service_memory_mib: dict[str, float] = Field({}, description="memory at its end by part: services and workers")
    steal_percent: float
    pair: str = Field("", description="the pair that it was measured in; empty if it was loaded alone")
    side: Literal["", "base", "head"] = Field("", description="which side of that pair it is")
    slot: str = Field("", description="its slot, in the phases of pairs")
    application_idle: float | None = Field(None, description="share of the application's CPUs that was idle")
    services_idle: float | None = Field(None, description="the same for the services' CPUs")
    host_busy: dict[str, float] = Field(
        {},
        description="share of its CPUs' time that each machine was busy, by what it does; empty if there is only one",
    )
    statements: tuple[Statement, ...] = Field((), description="its queries, in phase `count`")
    idle: Work | None = Field(None, description="work without requests, measured after this count; null: not measured")
    idle_s: float = Field(0.0, description="for how long idle work was measured")
    idle_statements: tuple[Statement, ...] = Field((), description="the queries of idle work")
    replies: Replies | None = Field(
        None, description="what was replied to all requests in `count` and `latency`, under load to the agent's samples"
    )
    warm_up: WarmUp | None = Field(None, description="the warm-up after the restart before it; null without one")
    marks: tuple[Mark, ...] = Field((), description="about every second, in phase `duet`")
    at_rate: AtRate | None = Field(None, description="in phases `rate` and `slo`, and in counts of a script")
    sent: dict[str, int] = Field({}, description="how often wrk sent each request of a mix")
    warnings: tuple[RunWarning, ...] = ()

    @property
    def cell(self) -> str:
        """The name of the cell, for people."""
        return cell_name(self.variant, self.revision, self.profile)

    @property
    def route(self) -> str:
        """The request of a mix that it measured alone; empty if it is about a whole profile."""
        return split_route(self.profile)[1]

    @property
    def whole_cell(self) -> str:
        """The name of the cell of the whole profile."""
        return cell_name(self.variant, self.revision, split_route(self.profile)[0])

    @property
    def answers_wrongly(self) -> bool:
        """Whether most replies were errors or redirects that are not expected."""
        return any(warning.code in WRONG_REPLIES for warning in self.warnings)

    @property
    def successful(self) -> int:
        """The number of replies that count as speed."""
        return self.requests - self.errors.status

    @property
    def sampled(self) -> int:
        """The number of replies that the agent looked at."""
        return self.replies.total if self.replies is not None else 0

    @property
    def place(self) -> str:
        """Where it was in the plan, for people."""
        return f"{self.phase} {self.block}{f', track {self.track}' if self.track else ''}"

    @property
    def requests_per_second(self) -> float:
        """The rate of successful replies."""
        return self.successful / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def valid(self) -> bool:
        """Whether the trial measured what was requested."""
        return not any(warning.code.invalidates for warning in self.warnings)


_ROUTE = " · "  # no name of a profile contains it


def name_route(profile: str, title: str) -> str:
    """Name one request of a mix as results do: `shop · GET /items`."""
    return f"{profile}{_ROUTE}{title}"


def split_route(profile: str) -> tuple[str, str]:
    """Split the name of a profile in results into that of the configuration and the request of a mix, if it is one."""
    mix, _, title = profile.partition(_ROUTE)
    return mix, title


def cell_name(variant: str, revision: str, profile: str) -> str:
    """Name a cell: `aiohttp · article-500`, `aiohttp@base · article-500`; head, the normal case, is not named."""
    subject = variant if revision == "head" else f"{variant}@{revision}"
    return f"{subject} · {profile}"


def find_routes(trials: Sequence[Trial], profile: str) -> list[str]:
    """Find the requests of a mix that trials measured separately; none if the profile is no mix."""
    titles = (trial.route for trial in trials if trial.route and split_route(trial.profile)[0] == profile)
    return list(dict.fromkeys(titles))


class RunInfo(Frozen):
    """One execution of the tool."""

    id: str
    started_at: Time
    duration_s: float
    seed: int
    engine: str
    preset: str
    tool_version: str
    command: str = Field(description="repeats this run: same plan, same order")
    self_test: bool = Field(False, description="base is head itself, so any difference is an error of measurement")
    config: str = Field("", description="path of the configuration from the top of its repository, or `built-in`")
    key: str = Field("", description="the comment's key; empty outside of GitHub Actions")
    job: str = Field("", description="workflow, job and matrix leg; empty outside of GitHub Actions")

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark whose trend the run belongs to."""
        return Benchmark(self.config, self.key, self.job, self.preset, self.engine)


class GateInfo(Frozen):
    """A gate, as `gates` of the configuration has it."""

    size: float
    absolute: float
    level: Literal["fail", "warn"]


class HostInfo(Frozen):
    """One machine of a run on several."""

    roles: str = Field(description="what it does: `application`, `services`, `wrk`, or several of them")
    cpu_model: str
    cores: int = Field(description="CPUs that the run may use there")
    architecture: str


class Environment(Frozen):
    """The machine that the engine runs on; of several, that of the application."""

    cpu_model: str
    cores: int
    memory_mib: int
    kernel: str
    docker: str
    fingerprint: str = Field(description="the same for machines of one kind; only their figures may be compared")
    images: dict[str, str]
    steal_percent: float
    architecture: str = Field("", description="as the kernel names it, such as x86_64 or aarch64")
    runner: str = Field("", description="`github-hosted` or `self-hosted`; empty outside of GitHub Actions")
    hosts: tuple[HostInfo, ...] = Field((), description="the machines, if there are several")
    network_bytes_per_s: float | None = Field(
        None, description="how much arrived at wrk's machine from the application's, with nothing else on the network"
    )


class ShardInfo(Frozen):
    """The part of a run that one runner has measured."""

    number: int
    count: int = Field(description="how many parts the run has")
    cells: tuple[str, ...] = Field(description="cells of head that were measured there")
    shares: tuple[tuple[str, ...], ...] = Field(description="the same of each part; equal in all of them")
    digest: str = Field(description="of what decides how the run is measured; equal in all parts")
    gates: dict[str, GateInfo] = Field(description="by metric: what parts that measured the same are judged by")
    run_id: str
    duration_s: float
    environment: Environment


class Source(Frozen):
    """The commits that were measured; strings are empty if unknown, or without git."""

    repository: str = ""
    head_sha: str = ""
    base_sha: str = ""
    ref: str = ""
    event: str = ""
    dirty: bool = False
    committed_at: str = Field("", description="when head's commit was committed (ISO 8601); empty if unknown")

    @property
    def is_same_commit(self) -> bool:
        """Whether base and head are one commit, without changes to it."""
        return bool(self.base_sha) and self.base_sha == self.head_sha and not self.dirty


class RouteInfo(Frozen):
    """One request of a mix. `path`: with its placeholders; empty if a file has several."""

    name: str
    method: str
    path: str
    weight: int


class ProfileInfo(Frozen):
    """A named wrk load; `path` and `method` are empty if it is a mix."""

    name: str
    path: str
    method: str
    connections: int
    threads: int
    duration_s: float
    timeout_s: float
    preset_connections: int | None = Field(
        None, description="what the preset asks for, if a server holds fewer connections; null if it holds them"
    )
    routes: tuple[RouteInfo, ...] = Field((), description="the requests of a mix; none if it has one request")
    data: str = Field(
        "", description="digest of the files with URLs, values and scripts that it names; empty without any"
    )
    rate: str = Field("", description="the rate at which base and head are compared as well; empty without one")
    slo: str = Field("", description="the objective whose highest rate is compared; empty without one")
    script: str = Field("", description="the k6 script that is its load; empty if wrk loads it")


class SubjectInfo(Frozen):
    """A variant at a revision, as it was started."""

    variant: str
    revision: Revision
    image: str
    image_id: str
    startup_s: float
    verified: bool
    failure: str = ""
    renewal_s: float = Field(0.0, description="how long it took to make its slot's data new before it was started")
    keep_alive: dict[str, bool] = Field(
        {}, description="profile → whether its server was seen to keep a connection open after a reply"
    )
    keep_alive_configured: bool | None = Field(None, description="the variant's `keep_alive`; null: it was found out")

    @property
    def name(self) -> str:
        """The subject's name in messages: base is marked, head is the normal case."""
        return self.variant if self.revision == "head" else f"{self.variant}@{self.revision}"


class Estimate(Frozen):
    """A metric of a cell over its blocks, with the 99 % interval of its typical value."""

    median: float
    mean: float
    ci_low: float | None = Field(description="null with fewer than four blocks, unless all have the same value")
    ci_high: float | None
    unit: str
    better: Better


class ServiceUse(Frozen):
    """What a service or a worker used while a subject was loaded alone: medians over trials."""

    cpu_ms_per_request: float | None = Field(description="null if the host does not show it")
    memory_mib: float | None = Field(description="at the end of a trial; null if the host does not show it")


class Summary(Frozen):
    """The metrics of a cell over its valid trials, and the mean of `requests` and sum of `errors` over all of them."""

    variant: str
    revision: Revision
    profile: str
    trials: int
    invalid_trials: int
    requests: float
    errors: Errors
    spread: float | None = Field(description="(highest − lowest) ÷ median of requests/s; null for one trial")
    metrics: dict[str, Estimate]
    services: dict[str, ServiceUse] = Field({}, description="of its services and workers, over its valid trials")
    host_busy: dict[str, float] = Field({}, description="medians of `host_busy` of its trials")
    bottleneck: str = Field("", description="what limited it; empty if that is not known, or nothing was busy")

    @property
    def cell(self) -> str:
        """The name of the cell, for people."""
        return cell_name(self.variant, self.revision, self.profile)


class RouteFigures(Frozen):
    """What was measured of one request of a mix and one subject."""

    variant: str
    revision: Revision
    profile: str = Field(description="the mix, as the configuration calls it")
    route: str
    sent: int = Field(description="how often wrk sent it, over all trials")
    error_rate: float = Field(description="unexpected or missing replies ÷ requests, counted and with one connection")
    metrics: dict[str, float] = Field(description="counts, and medians over the blocks with one connection")


class SequentialTest(Frozen):
    """How a pair's blocks were tested for a change in one metric (docs/how-it-decides.md, "One verdict by hand")."""

    alpha: float = Field(
        description="of all looks, for a loss; a gain has as much. In duets, requests/s and CPU/request share it"
    )
    planned_blocks: int = Field(
        description="the most blocks that were planned; those measured, if there was a single look"
    )
    last: bool = Field(
        description="whether this was the last look: all planned blocks are measured, or no more would come"
    )
    sd: float = Field(
        description="standard deviation of a block's loss, a logarithm: the larger of that of the blocks and that of "
        "the noise within slices"
    )
    level: float = Field(description="the one-sided p-value that must not be exceeded at this look, at most 0.005")
    level_at_end: float | None = Field(
        None, description="the same at the last look, from which `smallest_detectable` follows; null in old results"
    )
    p_worse: float = Field(description="one-sided p-value of a loss")
    p_better: float = Field(description="one-sided p-value of a gain")


class Comparison(Frozen):
    """A metric of a cell against the same metric of another cell."""

    kind: Literal["revision", "variant"]
    method: Literal["duet", "interleaved", "solo", "count", "rate", "slo"] = Field(
        description="how the two were measured; duet: under load at the same time on one CPU; interleaved: in turn, "
        "under load or with one connection; solo: each loaded alone; count: requests whose work was counted; rate: at "
        "a fixed rate; slo: at the highest rate that holds an objective"
    )
    metric: str
    profile: str
    variant: str
    revision: Revision
    base: str = Field(description="the reference cell, such as `web@base · list`; of two variants, its name")
    head: str = Field(description="the cell that is compared, such as `web · list`; of two variants, its name")
    base_value: float = Field(description="in the metric's unit; of blocks, the geometric mean of all that count")
    head_value: float
    ratio: float | None = Field(
        description="head ÷ base; of blocks, the geometric mean over the first `blocks`; null if unknown or base is 0"
    )
    difference: float = Field(description="`head_value` − `base_value`")
    ci_low: float | None = Field(
        description="bounds of head ÷ base with this `confidence`; both are the ratio for an exact count; null if "
        "unknown, as with fewer than four blocks, or if base is 0"
    )
    ci_high: float | None
    confidence: float = Field(description="0.99; 1 if every count agreed; if counts vary, the bounds are their range")
    smallest_detectable: float | None = Field(
        description="the loss, as a fraction, that 95 of 100 such runs would find with all planned blocks, or with "
        "those measured if no more would come; of counts, the rise that a verdict needs; null if unknown"
    )
    blocks: int = Field(description="how many were judged; of counts, how many counts of each side")
    blocks_wanted: int | None = Field(None, description="how many would decide it, if inconclusive")
    fires: tuple[float, ...] | None = Field(
        None, description="how often the gate fires for true changes of 0.8, 0.9, 1.0 times the gate"
    )
    gate: float | None = Field(description="the change, as a fraction of base, that breaks it; null without a gate")
    gate_absolute: float = Field(0.0, description="what a change must reach as well, in the metric's unit")
    level: Literal["fail", "warn"] | None = Field(None, description="what the gate does; null without a gate")
    significant: bool = Field(description="whether the difference is more than noise, with any gate or none")
    relevant: bool = Field(description="whether it is, and also large enough to matter")
    test: SequentialTest | None = Field(None, description="null if no blocks were tested")
    by_shard: dict[str, float] = Field({}, description="shard → its own ratio, if several have measured it")
    verdict: Verdict
    reason: str = Field(
        "",
        description="why it was not compared, why there is no verdict, or why the gate lets it pass; empty if only "
        "more blocks would decide it (`blocks_wanted`)",
    )

    @property
    def cell(self) -> str:
        """Name of head's cell, as people read it."""
        return cell_name(self.variant, "head", self.profile)

    @property
    def route(self) -> str:
        """The request of a mix that it is about; empty if it is about a whole profile."""
        return split_route(self.profile)[1]

    @property
    def whole_cell(self) -> str:
        """The name of head's cell of the whole profile."""
        return cell_name(self.variant, "head", split_route(self.profile)[0])

    @property
    def exact(self) -> bool:
        """Whether it was counted and every count agreed, so that its interval has no width."""
        return self.method == "count" and self.confidence == 1.0


class NoiseSource(Frozen):
    """Where the noise of a pair's duets comes from: what a restart adds, and what measuring adds.

    Standard deviations are those of the logarithm of head ÷ base.
    """

    pair: str
    blocks: int = Field(description="how many were measured; each has one restart and one slice")
    tracks: int = Field(1, description="how many duets ran at the same time in each block; their mean is its value")
    first_blocks: int = Field(description="those measured before the length of the others was chosen")
    first_slice_s: int = Field(description="the length of their slices, as requested")
    slice_s: int = Field(description="the length of the other blocks' slices")
    cost_s: float = Field(description="what a block took beyond its slice: restart, warm-up and reading counters")
    restart_sd: float = Field(description="what a restart adds")
    second_sd: float = Field(description="what one second of measuring adds")
    restart_share: float = Field(description="the restart's share of the variance of a block with `slice_s`")
    measured: bool = Field(description="whether the two were measured in this run, or are the usual ones")


class NotCompared(Frozen):
    """A cell of head that was not compared with base, and why."""

    cell: str
    status: Literal["new", "base-failed", "head-failed", "not-measured"] = Field(
        description="new: base does not have it; base-failed: base has it, but could not be built, started or verified"
    )
    reason: str = Field(description="one sentence")
    log: tuple[str, ...] = Field((), description="last lines of base's build or of its container")


INITIAL_DATA_OF = "initial data of"  # what a RuleChange about a database's first start is about, before its name


class RuleChange(Frozen):
    """A rule of the configuration that head changes."""

    what: str = Field(description="such as `gate on requests/s`, `check home`, `profile list`")
    before: str = Field(description="as base has it; empty if it has none")
    after: str = Field(description="as head has it; empty if it has none")


class Finding(Frozen):
    """Something exact, without noise, that changed or deviates."""

    code: str
    message: str
    cell: str
    before: float | None
    after: float | None
    fails: bool = Field(False, description="whether it alone makes the run `regressed`")


class Result(Frozen):
    """Everything that a run found."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: RunInfo
    timings: dict[str, float]
    environment: Environment
    placement: dict[str, str]
    source: Source
    profiles: tuple[ProfileInfo, ...]
    subjects: tuple[SubjectInfo, ...]
    trials: tuple[Trial, ...]
    summaries: tuple[Summary, ...]
    routes: tuple[RouteFigures, ...] = Field((), description="each request of each mix")
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[RunWarning, ...]
    noise: tuple[NoiseSource, ...] = Field((), description="of the duets of each pair")
    control: dict[str, str]
    shards: tuple[ShardInfo, ...] = Field((), description="the parts of a run that several runners share; else none")
    verdict: Verdict
    compared: tuple[str, ...] = Field(
        (), description="cells of head of which at least one block was compared with base's"
    )
    not_compared: tuple[NotCompared, ...] = Field((), description="the other cells of head, if a base was requested")
    rules: Literal["head", "base"] = Field("head", description="whose gates, checks, work and profiles were applied")
    rule_changes: tuple[RuleChange, ...] = ()
    verdict_by_head_rules: Verdict | None = Field(None, description="by head's own rules, if they differ from base's")

    def find_environment(self, cell: str) -> Environment:
        """Find the machine on which a cell of head was measured; of several kinds, what they have in common."""
        machines = [shard.environment for shard in self.shards if cell in shard.cells]
        return machines[0] if len({machine.fingerprint for machine in machines}) == 1 else self.environment

    @property
    def is_unchanged_code(self) -> bool:
        """Whether head was compared with itself, so that any difference is an error of measurement."""
        return self.run.self_test or self.source.is_same_commit
