"""Judge the replies of a trial by what its profile expects, and by the replies of phase `count`. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench_action.config.schema import ExpectedReply, Profile
from bench_action.config.urls import split_url
from bench_action.load.generator import Sample
from bench_action.load.wrk import Report
from bench_action.model.result import Replies, Trial
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import plural

# a size that differs from the counted ones by more than both means that a trial measured another page
_OTHER_SIZE = 0.10
_OTHER_BYTES = 32
_FEW_ERRORS = 0.01
_ADVICE = {
    "401": "Give the profile `headers` with credentials",
    "403": "Give the profile the `headers` that the application requires",
    "404": "Correct the profile's `path`",
    "405": "Correct the profile's `method`",
    "429": "Switch the rate limiter off in the variant's `env`",
}


def summarise_replies(samples: Sequence[Sample], problem: str = "") -> Replies:
    """Summarise replies: statuses, the range of sizes, the first redirect's target, and the digest if all are equal."""
    sizes, digests = [sample.size for sample in samples], {sample.digest for sample in samples}
    return Replies(
        statuses={str(status): count for status, count in sorted(Counter(sample.status for sample in samples).items())},
        bytes_min=min(sizes, default=0),
        bytes_mean=sum(sizes) / max(1, len(sizes)),
        bytes_max=max(sizes, default=0),
        location=next((sample.location for sample in samples if sample.location), ""),
        digest=digests.pop() if len(digests) == 1 else "",
        until_close=sum(sample.until_close for sample in samples),
        problem=problem,
    )


def merge_counts(counts: Sequence[Replies]) -> Replies | None:
    """Merge several counts of one cell; None if none of them got a reply."""
    counts = [replies for replies in counts if replies.total]
    if not counts:
        return None
    total = sum(replies.total for replies in counts)
    return counts[0].model_copy(
        update={
            "statuses": dict(sum((Counter(replies.statuses) for replies in counts), Counter[str]())),
            "bytes_min": min(replies.bytes_min for replies in counts),
            "bytes_mean": sum(replies.bytes_mean * replies.total for replies in counts) / total,
            "bytes_max": max(replies.bytes_max for replies in counts),
            "digest": counts[0].digest if len({replies.digest for replies in counts}) == 1 else "",
            "until_close": sum(replies.until_close for replies in counts),
        }
    )


def find_unexpected(replies: Replies, expected: ExpectedReply) -> dict[str, int]:
    """Find the statuses that were not expected → how many replies had each."""
    return {status: count for status, count in replies.statuses.items() if not expected.accepts(int(status))}


def recount_errors(report: Report, expected: ExpectedReply) -> Report:
    """Make `errors.status` of a report count the replies whose status was not expected, as far as wrk knows.

    wrk counts statuses above 399. If only such statuses are expected, those that it did not count are unexpected. If
    statuses on both sides of 399 are expected, its counter cannot distinguish them, and the result is 0.
    """
    if not any(expected.accepts(status) for status in range(400, 600)):
        return report
    successes = any(expected.accepts(status) for status in range(100, 400))
    unexpected = 0 if successes else report.requests - report.errors.status
    return replace(report, errors=report.errors.model_copy(update={"status": unexpected}))


def discount_closes(report: Report, sampled: Replies, counted: Replies | None) -> Report:
    """Leave out the read errors that wrk counts after complete replies, if all known replies are `until_close`.

    wrk counts such a reply when its connection ends, opens another connection, and then takes the same end for a read
    error, so that it opens a second one (wg/wrk#462). A reply that was cut before its body is a read error alone.
    """
    known = [replies for replies in (sampled, counted) if replies is not None and replies.total]
    if not known or any(replies.until_close < replies.total for replies in known):
        return report
    left = max(0, report.errors.read - report.requests)
    return replace(report, errors=report.errors.model_copy(update={"read": left}))


def judge_each(replies: Replies, profile: Profile, cell: str) -> tuple[RunWarning, ...]:
    """Warn about replies all of which were recorded: those of `count` and of `latency`."""
    if not replies.total:
        return (Code.NO_REPLY.warn(f"no request was answered: {replies.problem or 'nothing was read'}", cell),)
    unexpected = find_unexpected(replies, profile.expect)
    many = sum(unexpected.values())
    if not many and replies.problem:
        answered = plural(replies.total, "request")
        text = f"{answered} got a reply, and another one did not: {replies.problem}"
        return (Code.APPLICATION_ERRORS.warn(text, cell),)
    if not many:
        return ()
    text = f"{_format_share(many, replies.total)} {plural(replies.total, 'reply')} had the status "
    text += f"{_format_statuses(unexpected, replies.location)}, not {profile.expect.statuses}"
    if 2 * many <= replies.total:
        return (Code.APPLICATION_ERRORS.warn(text, cell),)
    return (_warn_mostly(unexpected, text, profile, replies.location, cell),)


def judge_loaded(
    report: Report, profile: Profile, sampled: Replies, counted: Replies | None, cell: str
) -> tuple[RunWarning, ...]:
    """Warn about replies under load, by wrk's counters and by the replies that were sampled.

    `report`: returned by `recount_errors`. `counted`: the replies of phase `count`, None if it got none.
    """
    if not report.requests and counted is not None and "304" in counted.statuses:
        text = "wrk read no reply to its end: it waits for the body that a 304 with a Content-Length promises"
        advice = "Measure the request without its conditional headers (such as If-None-Match)."
        return (Code.NO_REPLY.warn(text, cell, advice),)
    if not report.requests and report.errors.read and counted is not None and counted.until_close:
        text = "wrk read no reply to its end: over TLS, it does not take the end of a connection for that of a reply"
        advice = "Let the server send `Content-Length`, or `Transfer-Encoding: chunked`."
        return (Code.NO_REPLY.warn(text, cell, advice),)
    unexpected = find_unexpected(sampled, profile.expect)
    refused, share = report.errors.status, report.errors.status / max(1, report.requests)
    if share > 0.5:
        names = _format_statuses(unexpected, sampled.location) or "above 399"
        many = f"{_format_share(refused, report.requests)} {report.requests:,} replies"
        text = f"{many} under load had an unexpected status ({names}, not {profile.expect.statuses})"
        return (_warn_mostly(unexpected or {"400": refused}, text, profile, sampled.location, cell),)
    sampled_errors = sum(unexpected.values())
    if sampled_errors > 1 and 2 * sampled_errors > sampled.total:
        text = f"{sampled_errors} of {sampled.total} replies sampled under load had the status "
        text += f"{_format_statuses(unexpected, sampled.location)}, not {profile.expect.statuses}"
        return (_warn_mostly(unexpected, text, profile, sampled.location, cell),)
    if counted is not None and (gap := compute_size_gap(report, profile, counted)):
        mean = report.bytes_read / report.requests
        if is_larger(gap, counted, share=_OTHER_SIZE, least=_OTHER_BYTES):
            text = f"replies under load have {_format_bytes(mean)} on average"
            text += f"; when they were counted, they had {_format_range(counted)}"
            return (Code.REPLIES_DIFFER.warn(text, cell),)
    return ()


def is_larger(gap: float, counted: Replies, *, share: float, least: float) -> bool:
    """Tell whether a difference in bytes exceeds both limits; `share` is that of the counted replies' mean size."""
    return gap > max(least, share * counted.bytes_mean)


def compute_size_gap(report: Report | Trial, profile: Profile, counted: Replies) -> float:
    """Compute by how many bytes the mean reply under load is outside of the counted sizes; 0 if sizes may vary.

    The range allows for replies in progress when wrk stops, at most one per connection, of which wrk has read a part.
    Error pages may be short, and if they are more than a few, long as well.
    """
    if profile.expect.size == "varies" or not report.requests:
        return 0.0
    mean, errors = report.bytes_read / report.requests, report.errors.status / report.requests
    shortest = counted.bytes_min * (1 - errors)
    longest = counted.bytes_max * (1 + report.connections_live / report.requests)
    return max(0.0, shortest - mean, mean - longest if errors < _FEW_ERRORS else 0.0)


def describe_statuses(sampled: Replies, expected: ExpectedReply) -> str:
    """Describe the unexpected statuses among sampled replies for a message; empty if all were expected."""
    if not (unexpected := find_unexpected(sampled, expected)):
        return ""
    return f"{_format_statuses(unexpected, sampled.location)} in {sum(unexpected.values())} of {sampled.total} sampled"


def _warn_mostly(unexpected: Mapping[str, int], text: str, profile: Profile, location: str, cell: str) -> RunWarning:
    most = max(unexpected, key=lambda status: unexpected[status])
    if most.startswith("3"):
        return Code.REDIRECTS.warn(text, cell, _redirect_advice(profile, location, most))
    if most == "409" and profile.writes:
        advice = (
            "A value that must be unique is refused from the second request on: put `{seq}` there, which is another "
            "number in each request, measure another route, or declare `expect: {status: [2xx, 409]}`."
        )
        return Code.MOSTLY_ERRORS.warn(text, cell, advice)
    hint, declare = _ADVICE.get(most, "Read the application's log"), f"`expect: {{status: {most}}}`"
    advice = f"{hint}, or declare {declare} in the profile if that is what you want to measure."
    return Code.MOSTLY_ERRORS.warn(text, cell, advice)


def _redirect_advice(profile: Profile, location: str, status: str) -> str:
    declare = f"or declare `expect: {{status: {status}}}` in the profile"
    if profile.is_mix:
        return f"Measure the pages that its requests are redirected to, {declare}."
    parts = split_url(location)
    if parts is None:
        return f"The target of its redirect cannot be read: let it redirect to a valid URL, {declare}."
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if path == profile.path and parts.scheme == "https":
        return f"It redirects HTTP to HTTPS: switch that off in its `env`, let it serve HTTPS (`tls: true`), {declare}."
    if path.startswith("/") and path != profile.path:
        return f"Set `path: {path}` in the profile, {declare}."
    return f"Measure the page that it redirects to, {declare}."


def _format_statuses(statuses: Mapping[str, int], location: str) -> str:
    ordered = sorted(statuses, key=lambda status: -statuses[status])
    names = [f"{name} (a redirect to {location})" if name.startswith("3") and location else name for name in ordered]
    return ", ".join(names)


def _format_share(part: int, whole: int) -> str:
    return "all" if part == whole else f"{100 * part / whole:.0f} % of"


def _format_range(counted: Replies) -> str:
    if counted.bytes_min == counted.bytes_max:
        return _format_bytes(counted.bytes_max)
    return f"{counted.bytes_min:,} to {_format_bytes(counted.bytes_max)}"


def _format_bytes(value: float) -> str:
    return f"{value:,.0f} byte" + ("" if round(value) == 1 else "s")
