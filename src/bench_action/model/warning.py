"""Warnings: a closed set of codes, each with its advice, so that no message is invented at the place of use."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Code(StrEnum):
    """What can be wrong with a trial or a run. `advice` says what to do; `invalidates` whether figures still count."""

    CONNECT_ERRORS = "connect-errors"
    FEWER_CONNECTIONS = "fewer-connections"
    GENERATOR_SATURATED = "generator-saturated"
    NOTHING_SERVED = "nothing-served"
    CLOCK_STEP = "clock-step"
    THROTTLED = "throttled"
    APPLICATION_ERRORS = "application-errors"
    FEW_REPLIES = "few-replies"
    STEAL = "steal"
    WIDE_SPREAD = "wide-spread"
    VARIANT_FAILED = "variant-failed"
    STOPPED_EARLY = "stopped-early"
    NO_COUNTERS = "no-counters"
    BASE_ABSENT = "base-absent"
    IDENTICAL = "identical-revisions"
    UNEQUAL_SHARES = "unequal-shares"
    SLICES_DIFFER = "slices-differ"
    NOT_SATURATED = "not-saturated"
    SERVICES_SATURATED = "services-saturated"
    OTHERS_ON_CPU = "others-on-cpu"
    NO_DUET = "no-duet"
    PINNING_IGNORED = "pinning-ignored"
    UNSOUND = "instrument-unsound"
    BLOCK_DROPPED = "block-dropped"
    BLOCKS_DROPPED = "blocks-dropped"
    COUNTS_VARY = "counts-vary"
    COUNTERS_LOST = "counters-lost"
    NO_REPLY = "no-reply"
    REDIRECTS = "redirects"
    MOSTLY_ERRORS = "mostly-errors"
    REPLIES_DIFFER = "replies-differ"

    @property
    def invalidates(self) -> bool:
        """Whether a trial with this warning measured something else than was asked."""
        return self in _INVALIDATING

    @property
    def grave(self) -> bool:
        """Whether something is missing or wrong, not only doubtful."""
        return self.invalidates or self in {Code.VARIANT_FAILED, Code.BASE_ABSENT}

    @property
    def advice(self) -> str:
        """What to set or do about it."""
        return _ADVICE[self]


_INVALIDATING = frozenset(
    {
        Code.CONNECT_ERRORS,
        Code.FEWER_CONNECTIONS,
        Code.GENERATOR_SATURATED,
        Code.NOTHING_SERVED,
        Code.CLOCK_STEP,
        Code.THROTTLED,
        Code.STOPPED_EARLY,
        Code.BLOCKS_DROPPED,
        Code.UNSOUND,
        Code.COUNTERS_LOST,
        Code.NO_REPLY,
        Code.REDIRECTS,
        Code.MOSTLY_ERRORS,
        Code.REPLIES_DIFFER,
    }
)

_ADVICE = {
    Code.CONNECT_ERRORS: "Raise `load: {ulimits: {nofile: …}}` above `connections`, or lower `connections`.",
    Code.FEWER_CONNECTIONS: "Raise the server's backlog and its `ulimits: {nofile: …}`, or lower `connections`.",
    Code.GENERATOR_SATURATED: "Give wrk more `threads` (up to the machine's cores), or lower `connections`.",
    Code.NOTHING_SERVED: "Read the application's log; lower `connections` or raise `duration` and `timeout`.",
    Code.CLOCK_STEP: "Run again when the machine's clock is not being set; wrk times itself with the wall clock.",
    Code.THROTTLED: "Remove the CPU limit of the container, or of the runner that everything runs in.",
    Code.APPLICATION_ERRORS: "Error replies are not in requests/s, late ones are. The application's log may say more.",
    Code.FEW_REPLIES: "Raise `duration`: some connections got no answer, so percentiles describe only those that did.",
    Code.STEAL: "Other guests of this physical machine took CPU time; run again, or on another machine.",
    Code.WIDE_SPREAD: "The runs of one cell differ widely; close other programs, or use more and longer blocks.",
    Code.VARIANT_FAILED: "Mend the variant; it was not measured.",
    Code.STOPPED_EARLY: "What was measured until then is kept; run again once the cause is gone.",
    Code.BASE_ABSENT: "Head was measured alone: its figures are below, and nothing tells whether they changed.",
    Code.IDENTICAL: "Any difference is noise. `--self-test` shows whether measurements are reliable here.",
    Code.UNEQUAL_SHARES: "Unequal numbers of workers or pool sizes cause this, as does a wait that blocks a worker: "
    "see the latency with one connection.",
    Code.SLICES_DIFFER: "Close other programs, or run again.",
    Code.NOT_SATURATED: "Something other than the application's CPU limits throughput. More `connections` may fill it.",
    Code.SERVICES_SATURATED: "A service or the load generator limits throughput: see the CPU/request of each part.",
    Code.OTHERS_ON_CPU: "Other programs or other guests of this machine used the rest. That affected both equally.",
    Code.NO_DUET: "With a single CPU the two are measured in turns, which detects about 10 % in two minutes at best.",
    Code.PINNING_IGNORED: "Base and head are measured in turns, which detects about 10 % in two minutes at best. Use "
    "an engine with the cpuset controller; rootless Docker needs it delegated to the user.",
    Code.UNSOUND: "Do not rely on verdicts from this machine. Run `bench-action check`, then --self-test again.",
    Code.BLOCK_DROPPED: "Its application's log may tell why it ended; the other blocks count.",
    Code.BLOCKS_DROPPED: "Mend what ends the application under load; too few blocks are left to compare.",
    Code.COUNTS_VARY: "Only what lies outside of this range counts as a change. Work in the background, expiring "
    "caches and pool pings do this; turn them off to gate exactly.",
    Code.COUNTERS_LOST: "Its work cannot be compared. An application must not reset statistics (CONFIG RESETSTAT, "
    "pg_stat_statements_reset); raise `pg_stat_statements.max` where statements have very many texts.",
    Code.NO_REPLY: "Measure a path whose replies end, within 10 s: wrk waits for the end of each.",
    Code.REDIRECTS: "Set the profile's `path` to the page itself, or declare `expect: {status: …}`.",
    Code.MOSTLY_ERRORS: "Correct the profile's request, or declare `expect: {status: …}`.",
    Code.REPLIES_DIFFER: "Find out why the application answers differently under load (its log, a cache, a limit); "
    "if its replies vary in size by nature, declare `expect: {size: varies}` in the profile.",
    Code.NO_COUNTERS: "CPU and memory of the containers are left out; requests/s and latencies are not affected.",
}


class RunWarning(BaseModel):
    """One warning of a run. `cell` names the subject and profile, empty where it is about the whole run."""

    model_config = ConfigDict(frozen=True)

    code: Code
    message: str
    advice: str
    cell: str = ""
