"""Compare replies under load with those that were counted, and head's replies with base's. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from bench_action.config.schema import Check, ExpectedReply, Profile
from bench_action.load.replies import compute_size_gap, find_unexpected, is_larger, merge_counts
from bench_action.model.result import Finding, Replies, Trial
from bench_action.plan.blocks import LOADED_PHASES, Pair

# replies may contain host names, which differ by a few letters between phases and revisions
_SHARE, _BYTES = 0.02, 32
_QUERIES_SHARE, _QUERIES = 0.10, 0.1


def compare_replies(
    trials: Sequence[Trial], pairs: Sequence[Pair], profiles: Mapping[str, Profile], checks: Sequence[Check] = ()
) -> tuple[Finding, ...]:
    """Find replies and work under load that differ from the counts, and replies of head that differ from base's."""
    found: list[Finding] = []
    for cell in dict.fromkeys(trial.cell for trial in trials):
        own = [trial for trial in trials if trial.cell == cell]
        profile, counted = profiles.get(own[0].profile), collect_counted_replies(own)
        if profile is None or counted is None:
            continue
        loaded = [trial for trial in own if trial.phase in LOADED_PHASES and trial.requests]
        found += [*_compare_sizes(loaded, profile, counted), *_find_statuses(own, profile.expect), *_compare_work(own)]
        if _is_constant(profile, checks):
            found += _compare_bodies(loaded, counted)
    for pair in pairs:
        for each in pair.split(trials):
            if pair.kind == "revision" and each.head.profile in profiles:
                found += _compare_revisions(trials, each, profiles[each.head.profile].expect)
    return tuple(found)


def collect_counted_replies(trials: Sequence[Trial]) -> Replies | None:
    """Merge the replies of all counts among a cell's trials; None if it has no count."""
    return merge_counts([trial.replies for trial in trials if trial.phase == "count" and trial.replies is not None])


def _compare_sizes(loaded: Sequence[Trial], profile: Profile, counted: Replies) -> Iterator[Finding]:
    if not loaded:
        return
    gap = fmean(compute_size_gap(trial, profile, counted) for trial in loaded)
    if is_larger(gap, counted, share=_SHARE, least=_BYTES):
        after = sum(trial.bytes_read for trial in loaded) / sum(trial.requests for trial in loaded)
        text = f"a reply has {after:,.0f} bytes under load, but had {counted.bytes_mean:,.0f} when counted"
        yield _finding("replies-differ", text, loaded[0].cell, counted.bytes_mean, after)


def _find_statuses(own: Sequence[Trial], expected: ExpectedReply) -> Iterator[Finding]:
    seen = [trial.replies for trial in own if trial.replies is not None and trial.phase != "count"]
    unexpected = sum((Counter(find_unexpected(replies, expected)) for replies in seen), Counter[str]())
    total = sum(replies.total for replies in seen)
    for status, count in unexpected.items():
        location = next((replies.location for replies in seen if replies.location), "")
        where = f" to {location}" if status.startswith("3") and location else ""
        text = f"{count:,} of {total:,} sampled replies had status {status}{where}, not {expected.statuses}"
        yield _finding("unexpected-status", text, own[0].cell, 0.0, count / total)


def _compare_bodies(loaded: Sequence[Trial], counted: Replies) -> Iterator[Finding]:
    sampled = [trial for trial in loaded if trial.replies is not None and trial.replies.total]
    other = [trial for trial in sampled if trial.replies is not None and trial.replies.digest != counted.digest]
    if counted.digest and other:
        text = f"in {len(other)} of {len(sampled)} trials under load, a reply had different content than when counted"
        yield _finding("content-differs", text, loaded[0].cell, 0.0, len(other) / len(sampled))


def _compare_work(own: Sequence[Trial]) -> Iterator[Finding]:
    """Compare queries under load with those counted, both without idle work, of which the least and the most is known.

    Requests that were still running at the end may have made theirs or not.
    """
    known = [trial for trial in own if trial.requests and trial.work_known and trial.valid]
    counts = [trial for trial in known if trial.phase == "count"]
    loaded = [trial for trial in known if trial.phase == "capacity"]
    if not loaded or not counts:
        return
    resting = [trial for trial in counts if trial.idle is not None and trial.idle_s > 0]
    idle = [trial.idle.queries / trial.idle_s for trial in resting if trial.idle is not None] or [0.0]
    fewest = min((trial.work.queries - max(idle) * trial.wall_s) / trial.requests for trial in counts)
    highest = max((trial.work.queries - min(idle) * trial.wall_s) / trial.requests for trial in counts)
    queries, requests = sum(trial.work.queries for trial in loaded), sum(trial.requests for trial in loaded)
    loaded_s = sum(trial.wall_s for trial in loaded)
    sampled = sum(trial.sampled for trial in loaded)
    running = sum(trial.connections_live for trial in loaded)
    most = (queries - min(idle) * loaded_s) / requests
    least = (queries - max(idle) * loaded_s) / (requests + sampled + running)
    gap = max(fewest - most, least - highest)
    if gap > max(_QUERIES, _QUERIES_SHARE * highest):
        counted = fmean([max(0.0, fewest), highest])
        noun = "query" if f"{most:.3g}" == "1" else "queries"
        text = f"a request makes {max(0.0, most):.3g} {noun} under load, but made {counted:.3g} when counted"
        yield _finding("work-differs", text, own[0].cell, counted, max(0.0, most))


def _compare_revisions(trials: Sequence[Trial], pair: Pair, expected: ExpectedReply) -> Iterator[Finding]:
    base, head = (
        collect_counted_replies([t for t in trials if t.cell == str(cell)]) for cell in (pair.base, pair.head)
    )
    if base is None or head is None:
        return
    gap = max(base.bytes_min - head.bytes_max, head.bytes_min - base.bytes_max)
    if expected.size != "varies" and is_larger(gap, base, share=_SHARE, least=_BYTES):
        text = f"a reply has {head.bytes_mean:,.0f} bytes, base's had {base.bytes_mean:,.0f}"
        yield _finding("replies-changed", text, str(pair.head), base.bytes_mean, head.bytes_mean)
    statuses = [max(replies.statuses, key=replies.statuses.__getitem__) for replies in (base, head)]
    if statuses[0] != statuses[1]:
        text = f"replies have status {statuses[1]}, base's had {statuses[0]}"
        yield _finding("status-changed", text, str(pair.head), float(statuses[0]), float(statuses[1]))


def _is_constant(profile: Profile, checks: Sequence[Check]) -> bool:
    """Whether a check declares the whole body of a profile's request, or that it is the same for all variants."""
    return not profile.varies and any(
        (profile.path, profile.method, profile.headers, profile.body)
        == (check.request.path, check.request.method, check.request.headers, check.request.body)
        and (check.expect.body is not None or check.expect.same is not None)
        for check in checks
    )


def _finding(code: str, message: str, cell: str, before: float, after: float) -> Finding:
    return Finding(code=code, message=message, cell=cell, before=before, after=after)
