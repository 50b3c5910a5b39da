"""Judge the replies of one trial: against what the profile expects, and against those that were counted. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from bench_action.config.schema import ExpectedReply, Profile
from bench_action.load.generator import Sight
from bench_action.load.wrk import Report
from bench_action.model.result import Replies, Trial
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import percent, plural

# of a size that was not counted: beyond both, a trial measured another page
_OTHER_SIZE = 0.10
_OTHER_BYTES = 32
_FEW_ERRORS = 0.01
_ADVICE = {
    "401": "Give the profile `headers` with credentials",
    "403": "Give the profile the `headers` that the application requires",
    "404": "Correct the profile's `path`",
    "405": "Correct the profile's `method`",
    "429": "Switch the rate limiter off, by the variant's `env`",
}


def summarise_replies(seen: Sequence[Sight], problem: str = "") -> Replies:
    """What replies have in common, and the range of their sizes."""
    sizes, digests = [sight.size for sight in seen], {sight.digest for sight in seen}
    return Replies(
        statuses={str(status): count for status, count in sorted(Counter(sight.status for sight in seen).items())},
        bytes_min=min(sizes, default=0),
        bytes_mean=sum(sizes) / max(1, len(sizes)),
        bytes_max=max(sizes, default=0),
        location=next((sight.location for sight in seen if sight.location), ""),
        digest=digests.pop() if len(digests) == 1 else "",
        problem=problem,
    )


def merge_counts(counts: Sequence[Replies]) -> Replies | None:
    """Several counts of one cell as one; None where there is none with a reply."""
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
        }
    )


def unexpected_in(replies: Replies, expected: ExpectedReply) -> dict[str, int]:
    """Statuses that were not expected → how many replies had them."""
    return {status: count for status, count in replies.statuses.items() if not expected.accepts(int(status))}


def with_expected(report: Report, expected: ExpectedReply) -> Report:
    """The report, its `errors.status` counting replies whose status was not expected, as far as wrk knows.

    It counts those above 399. Where some on both sides of 399 are expected, its counter says nothing about them.
    """
    if not any(expected.accepts(status) for status in range(400, 600)):
        return report
    successes = any(expected.accepts(status) for status in range(100, 400))
    unexpected = 0 if successes else report.requests - report.errors.status
    return replace(report, errors=report.errors.model_copy(update={"status": unexpected}))


def judge_each(replies: Replies, profile: Profile, cell: str) -> tuple[RunWarning, ...]:
    """What is wrong with replies of which every one is known: those of `count` and of `latency`."""
    if not replies.total:
        return (Code.NO_REPLY.warn(f"no request was answered: {replies.problem or 'nothing was read'}", cell),)
    unexpected = unexpected_in(replies, profile.expect)
    many = sum(unexpected.values())
    if not many:
        return ()
    text = f"{_share(many, replies.total)} {plural(replies.total, 'reply')} had the status "
    text += f"{_statuses(unexpected, replies.location)}, not {profile.expect.statuses}"
    if 2 * many <= replies.total:
        return (Code.APPLICATION_ERRORS.warn(text, cell),)
    return (_mostly(unexpected, text, profile, replies.location, cell),)


def judge_loaded(
    report: Report, profile: Profile, sampled: Replies, counted: Replies | None, cell: str
) -> tuple[RunWarning, ...]:
    """What is wrong with replies under load, by wrk's counters and by those that were sampled.

    `report`: as `with_expected` made it.
    """
    if not report.requests and counted is not None and "304" in counted.statuses:
        text = "wrk read no reply to its end: it waits for the body that a 304 with a Content-Length announces"
        advice = "Measure the request without its conditional headers (such as If-None-Match)."
        return (Code.NO_REPLY.warn(text, cell, advice),)
    unexpected = unexpected_in(sampled, profile.expect)
    refused, share = report.errors.status, report.errors.status / max(1, report.requests)
    if share > 0.5:
        names = _statuses(unexpected, sampled.location) or "above 399"
        text = f"{_share(refused, report.requests)} {report.requests:,} replies under load had an unexpected status "
        text += f"({names}, not {profile.expect.statuses})"
        return (_mostly(unexpected or {"400": refused}, text, profile, sampled.location, cell),)
    many = sum(unexpected.values())
    if many > 1 and 2 * many > sampled.total:
        text = f"{many} of {sampled.total} replies sampled under load had the status "
        text += f"{_statuses(unexpected, sampled.location)}, not {profile.expect.statuses}"
        return (_mostly(unexpected, text, profile, sampled.location, cell),)
    if counted is not None and (gap := size_gap(report, profile, counted)):
        mean = report.bytes_read / report.requests
        if is_larger(gap, counted, share=_OTHER_SIZE, least=_OTHER_BYTES):
            text = f"under load a reply has {_bytes(mean)} on average, when counted it had {_range(counted)}"
            return (Code.REPLIES_DIFFER.warn(text, cell),)
    return ()


def is_larger(gap: float, counted: Replies, *, share: float, least: float) -> bool:
    """Whether a difference in bytes is above both limits; `share` is one of the replies that were counted."""
    return gap > max(least, share * counted.bytes_mean)


def size_gap(report: Report | Trial, profile: Profile, counted: Replies) -> float:
    """By how many bytes the mean reply under load is outside of what was counted; 0 where its size may vary.

    Replies under way when wrk stops have been read in part, at most one a connection. Error pages
    may be short, and where they are more than a few they may be long.
    """
    if profile.expect.size == "varies" or not report.requests:
        return 0.0
    mean, errors = report.bytes_read / report.requests, report.errors.status / report.requests
    shortest = counted.bytes_min * (1 - errors)
    longest = counted.bytes_max * (1 + report.connections_live / report.requests)
    return max(0.0, shortest - mean, mean - longest if errors < _FEW_ERRORS else 0.0)


def describe_statuses(sampled: Replies, expected: ExpectedReply) -> str:
    """The unexpected statuses among the sampled replies, for a message; empty where there is none."""
    if not (unexpected := unexpected_in(sampled, expected)):
        return ""
    return f"{_statuses(unexpected, sampled.location)} in {sum(unexpected.values())} of {sampled.total} sampled"


def _mostly(unexpected: Mapping[str, int], text: str, profile: Profile, location: str, cell: str) -> RunWarning:
    most = max(unexpected, key=lambda status: unexpected[status])
    if most.startswith("3"):
        return Code.REDIRECTS.warn(text, cell, _redirect_advice(profile, location, most))
    if most == "409" and profile.writes:
        advice = (
            "Every request of a profile has the same body, so a value that must be unique is refused from the second "
            "request on: let the route accept it again, measure another one, or declare `expect: {status: [2xx, 409]}`."
        )
        return Code.MOSTLY_ERRORS.warn(text, cell, advice)
    return Code.MOSTLY_ERRORS.warn(text, cell, _error_advice(most))


def _redirect_advice(profile: Profile, location: str, status: str) -> str:
    declare = f"or declare `expect: {{status: {status}}}` in the profile"
    parts = urlsplit(location)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if path == profile.path and parts.scheme == "https":
        return f"The application sends HTTP to HTTPS: switch that off by its `env`, {declare}."
    if path.startswith("/") and path != profile.path:
        return f"Set `path: {path}` in the profile, {declare}."
    return f"Measure the page that it redirects to, {declare}."


def _error_advice(status: str) -> str:
    hint = _ADVICE.get(status, "Read the application's log")
    return f"{hint}, or declare `expect: {{status: {status}}}` in the profile if that is what you want to measure."


def _statuses(statuses: Mapping[str, int], location: str) -> str:
    ordered = sorted(statuses, key=lambda status: -statuses[status])
    names = [f"{one} (a redirect to {location})" if one.startswith("3") and location else one for one in ordered]
    return ", ".join(names)


def _share(part: int, whole: int) -> str:
    return "all" if part == whole else f"{percent(part / whole)} of"


def _range(counted: Replies) -> str:
    if counted.bytes_min == counted.bytes_max:
        return _bytes(counted.bytes_max)
    return f"{counted.bytes_min:,} to {_bytes(counted.bytes_max)}"


def _bytes(value: float) -> str:
    return f"{value:,.0f} byte" + ("" if round(value) == 1 else "s")
