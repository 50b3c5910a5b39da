"""The warnings of a run: a closed set of codes, so that advice is written once and not where a warning is raised."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Code(StrEnum):
    """Something that can be wrong with a trial or a run."""

    CONNECT_ERRORS = "connect-errors"
    FEWER_CONNECTIONS = "fewer-connections"
    GENERATOR_SATURATED = "generator-saturated"
    GENERATORS_APART = "generators-apart"
    NOTHING_SERVED = "nothing-served"
    CLOCK_STEP = "clock-step"
    THROTTLED = "throttled"
    APPLICATION_ERRORS = "application-errors"
    FEW_REPLIES = "few-replies"
    STALLED = "stalled"
    STEAL = "steal"
    WIDE_SPREAD = "wide-spread"
    VARIANT_FAILED = "variant-failed"
    STOPPED_EARLY = "stopped-early"
    NO_COUNTERS = "no-counters"
    BASE_INCOMPLETE = "base-incomplete"
    IDENTICAL = "identical-revisions"
    UNEQUAL_SHARES = "unequal-shares"
    SLICES_DIFFER = "slices-differ"
    NOT_SATURATED = "not-saturated"
    SERVICES_SATURATED = "services-saturated"
    OTHERS_ON_CPU = "others-on-cpu"
    NO_DUET = "no-duet"
    PINNING_IGNORED = "pinning-ignored"
    UNRELIABLE = "instrument-unsound"  # codespell:ignore unsound
    BLOCK_DROPPED = "block-dropped"
    BLOCKS_DROPPED = "blocks-dropped"
    COUNTS_VARY = "counts-vary"
    COUNTERS_LOST = "counters-lost"
    NO_REPLY = "no-reply"
    REDIRECTS = "redirects"
    MOSTLY_ERRORS = "mostly-errors"
    REPLIES_DIFFER = "replies-differ"
    SEED_LOST = "seed-lost"
    NEVER_IDLE = "never-idle"
    IN_TURNS = "variants-in-turn"
    CONNECTIONS_CHOSEN = "connections-chosen"
    CONNECTIONS_LATE = "connections-late"
    COLD = "measured-cold"
    COLD_BLOCKS = "cold-blocks"
    K6_SATURATED = "k6-saturated"
    RATE_MISSED = "rate-missed"
    RATE_LOWERED = "rate-lowered"
    RATE_NOT_REACHED = "rate-not-reached"
    SCRIPT_ENDED = "script-ended"
    SLO_NOT_HELD = "slo-not-held"
    SCRIPT_FAILS = "script-fails"
    SHARD_MISSING = "shard-missing"
    FEWER_RUNNERS = "fewer-runners"
    RUNNERS_DISAGREE = "runners-disagree"

    @property
    def invalidates(self) -> bool:
        """Whether the figures of a trial or run with this warning do not count."""
        return self in _INVALIDATING

    @property
    def grave(self) -> bool:
        """Whether something is missing or wrong, not only doubtful."""
        return self.invalidates or self in {Code.VARIANT_FAILED, Code.BASE_INCOMPLETE, Code.SEED_LOST}

    @property
    def advice(self) -> str:
        """The likely cause, and what to do about it."""
        return _ADVICE[self]

    def warn(self, message: str, cell: str = "", advice: str = "") -> "RunWarning":
        """Build a warning with this code; `advice` replaces the usual one if more is known about the cause."""
        return RunWarning(code=self, message=message, advice=advice or self.advice, cell=cell)


_INVALIDATING = frozenset(
    {
        Code.CONNECT_ERRORS,
        Code.FEWER_CONNECTIONS,
        Code.GENERATOR_SATURATED,
        Code.GENERATORS_APART,
        Code.NOTHING_SERVED,
        Code.CLOCK_STEP,
        Code.THROTTLED,
        Code.STOPPED_EARLY,
        Code.BLOCKS_DROPPED,
        Code.UNRELIABLE,
        Code.COUNTERS_LOST,
        Code.NO_REPLY,
        Code.REDIRECTS,
        Code.MOSTLY_ERRORS,
        Code.REPLIES_DIFFER,
        Code.K6_SATURATED,
        Code.RATE_NOT_REACHED,
        Code.SCRIPT_FAILS,
        Code.SLO_NOT_HELD,
        Code.SHARD_MISSING,
    }
)

# most replies are wrong, and will be in the next trials as well
WRONG_REPLIES = frozenset({Code.REDIRECTS, Code.MOSTLY_ERRORS})

_ADVICE = {
    Code.CONNECT_ERRORS: "wrk probably ran out of file descriptors. Raise `load: {ulimits: {nofile: …}}` above "
    "`connections`, or lower `connections`. With `tls: true`, handshakes that fail count too: check the server's log.",
    Code.FEWER_CONNECTIONS: "The server probably limits how many it accepts. Raise its backlog and its `ulimits: "
    "{nofile: …}`, or lower `connections`.",
    Code.GENERATOR_SATURATED: "wrk was the bottleneck, not the application. Give wrk more `threads` (up to the "
    "machine's cores), or lower `connections`.",
    Code.GENERATORS_APART: "A load generator's host, or the way to it, was busy. Close other programs there, and run "
    "again.",
    Code.NOTHING_SERVED: "Check the application's log. If it was only slow, lower `connections`, or raise `duration` "
    "and `timeout`.",
    Code.CLOCK_STEP: "wrk times itself with the machine's clock. Run again once nobody sets it, such as a time service "
    "that has just started.",
    Code.THROTTLED: "A CPU limit slowed it down. Remove the limit from the container, or from the runner that "
    "everything runs in.",
    Code.APPLICATION_ERRORS: "Error replies do not count towards requests/s; late replies do. Check the application's "
    "log.",
    Code.FEW_REPLIES: "Some connections got no reply, so percentiles describe only those that did. Raise `duration`.",
    Code.STALLED: "It answered some connections late or never, or stopped for a while; percentiles describe only the "
    "replies that came. Check its log, workers, pools and locks.",
    Code.STEAL: "Run again, or use another machine.",
    Code.WIDE_SPREAD: "Something else probably used the machine. Close other programs, or use more and longer blocks.",
    Code.VARIANT_FAILED: "It was not measured. Fix the variant, and run again.",
    Code.STOPPED_EARLY: "Everything measured until then is kept. Run again once the cause is fixed.",
    Code.BASE_INCOMPLETE: "It may do less than head, and seem quicker. Give actions/checkout `lfs: true`, "
    "`submodules: true` and what else fetches them.",
    Code.IDENTICAL: "Any difference is noise. `--self-test` shows whether measurements are reliable here.",
    Code.UNEQUAL_SHARES: "Different numbers of workers or pool sizes cause this, and so does a wait that blocks a "
    "worker. Check the latency with one connection.",
    Code.SLICES_DIFFER: "Something else probably used the machine. Close other programs, or run again.",
    Code.NOT_SATURATED: "Something other than the application's CPU limits throughput. Try more `connections`.",
    Code.SERVICES_SATURATED: "A service or the load generator limits throughput. Check the CPU/request of each part.",
    Code.OTHERS_ON_CPU: "Other programs or other guests of this machine used the rest, which affected both equally.",
    Code.NO_DUET: "On a single CPU, the two are measured in turn, which detects about 10 % in two minutes at best. "
    "Use a machine with at least two CPUs.",
    Code.PINNING_IGNORED: "Base and head are measured in turn, which detects about 10 % in two minutes at best. Use "
    "an engine with the cpuset controller; for rootless Docker, delegate it to the user.",
    Code.UNRELIABLE: "Do not rely on verdicts from this machine. Run `bench-action check`, then `--self-test` again.",
    Code.BLOCK_DROPPED: "The other blocks still count. The application's log may show why.",
    Code.BLOCKS_DROPPED: "Too few blocks are left to compare. Fix what makes the application exit or reach a limit "
    "under load.",
    Code.COUNTS_VARY: "Background work, expiring caches and pool pings cause this, so only a change beyond this range "
    "counts. Turn them off to gate exactly.",
    Code.COUNTERS_LOST: "Its work cannot be compared. The application must not reset statistics or switch them off "
    "(CONFIG RESETSTAT, pg_stat_statements_reset, pg_stat_statements.track). If it sends very many different "
    "statements, raise `pg_stat_statements.max`.",
    Code.NO_REPLY: "wrk waits for the end of each reply. Measure a path whose replies end within 10 s.",
    Code.REDIRECTS: "Set the profile's `path` to the page itself, or declare `expect: {status: …}`.",
    Code.MOSTLY_ERRORS: "Fix the profile's request, or declare `expect: {status: …}`.",
    Code.REPLIES_DIFFER: "Find out why the application answers differently under load (its log, a cache, a limit). If "
    "its replies naturally vary in size, declare `expect: {size: varies}` in the profile.",
    Code.SEED_LOST: "The application's start probably flushes or recreates the database (its entrypoint, a migration). "
    "Turn that off with the variant's `env` or `command`. If only the first start does it, seed with `after: ready`.",
    Code.NEVER_IDLE: "Work in the background is part of every figure, and takes CPU from the other subject of a pair. "
    "Turn it off for the benchmark, or start it as a service with `worker: true`.",
    Code.IN_TURNS: "Each was restarted and warmed up for each trial alone, which takes time. Measure fewer variants at "
    "a time (`--variant`), or use a machine with more memory.",
    Code.CONNECTIONS_CHOSEN: "Development servers, and applications whose requests share one connection to a "
    "database, hold few. Use the server that you deploy, or name `profiles` with the `connections` that you expect.",
    Code.CONNECTIONS_LATE: "Its backlog is probably shorter than `connections`: some connections open a second late, "
    "for real clients too. Raise it, or lower `connections`.",
    Code.NO_COUNTERS: "CPU and memory of the containers are missing, so warm-ups were as short as possible. Requests/s "
    "and latencies are not affected.",
    Code.K6_SATURATED: "k6 was the bottleneck, not the application. Lower `rate`, let the script do less, or use a "
    "machine with more CPUs.",
    Code.RATE_LOWERED: "k6 takes up to 1 ms of CPU for each request. Use a machine with more CPUs, or set a number.",
    Code.RATE_MISSED: "Requests that wait for others are part of the latencies; those that were not begun are missing.",
    Code.RATE_NOT_REACHED: "Above its capacity, a service shows only how long its queue is. Lower `rate`.",
    Code.SCRIPT_ENDED: "The application's log, and the script run by `k6 run`, may show why.",
    Code.SLO_NOT_HELD: "The objective is too strict for this machine, or `timeout` is too short. Allow more latency.",
    Code.SCRIPT_FAILS: "Fix the script or what it expects: head is judged by it only if base passes.",
    Code.SHARD_MISSING: "Its cells did not start or failed a check, or its job was cancelled: the log of that job says "
    "which. Run it again once that is fixed.",
    Code.FEWER_RUNNERS: "There are fewer blocks than planned. The log of its job says why.",
    Code.RUNNERS_DISAGREE: "The change differs between machines, so their mean may be true of none of them. Use "
    "runners of one kind.",
    Code.COLD: "It was measured before its speed was the usual one, so a change may be larger or smaller than shown.",
    Code.COLD_BLOCKS: "Compilers work in bursts. The other blocks decide; more time gives more of them.",
}


class RunWarning(BaseModel):
    """What happened, and what to do about it. `cell` names subject and profile; empty if it concerns the whole run."""

    model_config = ConfigDict(frozen=True)

    code: Code
    message: str
    advice: str
    cell: str = ""
