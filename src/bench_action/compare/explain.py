"""Find what else changed: exact differences, and likely causes of a loss. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench_action.compare.counting import count_metric, count_no_calls, count_statements, select_counts
from bench_action.config.gates import EXACT
from bench_action.config.schema import ExpectedWork
from bench_action.model.metric import METRICS
from bench_action.model.result import Finding, Trial
from bench_action.model.wording import percent, plural
from bench_action.plan.blocks import LOADED_PHASES, Cell, Pair

_MANY = 10  # so many more queries per request mean a query in a loop
_ERRORS = 0.001
_UNEXPECTED = "most replies have a status that is not expected, and base's do not"
_LONGEST = 160  # characters of a statement
_MOST_BAD = 10
CHANCE = 0.005  # of a false alarm by errors that occur by chance: five bad blocks of head and none of base suffice
_WORK = {"queries": "queries_per_request", "rows": "rows_per_request", "cache_commands": "cache_commands_per_request"}


def find_changes(
    trials: Sequence[Trial], pairs: Sequence[Pair], work: Mapping[str, ExpectedWork]
) -> tuple[Finding, ...]:
    """Find deviations from declared work, changes of counted work with their statements, and new errors."""
    found: list[Finding] = []
    counted = dict.fromkeys((t.variant, t.profile) for t in trials if t.phase == "count" and t.revision == "head")
    for variant, profile in counted:
        found += _find_deviations(select_counts(trials, variant, "head", profile), work.get(profile))
    for pair in pairs:
        for each in pair.split(trials):
            base, head = (
                select_counts(trials, cell.variant, cell.revision, cell.profile) for cell in (each.base, each.head)
            )
            if base and head and pair.kind == "revision":
                found += _find_changed_work(base, head)
                found += _find_statements(base, head)
        if pair.kind == "revision":
            found += find_errors(trials, pair)
    return tuple(found)


def _find_deviations(counts: Sequence[Trial], declared: ExpectedWork | None) -> Iterator[Finding]:
    for name, metric in _WORK.items():
        wanted, count = getattr(declared, name, None), count_metric(counts, metric)
        if wanted is not None and count is not None and count.deviates(wanted):
            got = count.per_request
            text = f"{METRICS[metric].title} {_format(got)} instead of the declared {_format(wanted)}"
            yield Finding(code="work-deviates", message=text, cell=counts[0].cell, before=wanted, after=got, fails=True)


def _find_changed_work(base: Sequence[Trial], head: Sequence[Trial]) -> Iterator[Finding]:
    for metric in EXACT:
        before, after = count_metric(base, metric), count_metric(head, metric)
        if before is None or after is None or not after.change_from(before):
            continue
        loop = metric == "queries_per_request" and after.per_request - before.per_request >= _MANY
        text = f"{METRICS[metric].title} {_format(before.per_request)} → {_format(after.per_request)}"
        text += " (N+1: one query per row?)" if loop else ""
        yield Finding(
            code="n-plus-one" if loop else "work-changed",
            message=text,
            cell=head[0].cell,
            before=before.per_request,
            after=after.per_request,
        )


def _find_statements(base: Sequence[Trial], head: Sequence[Trial]) -> Iterator[Finding]:
    """Find queries that are new or more frequent, by their normalised text: ids differ between databases."""
    known = count_statements(base)
    for text, count in count_statements(head).items():
        before = known.get(text, count_no_calls(base))
        if count.change_from(before) > 0:
            kind = "new" if text not in known else "more frequent"
            shown = (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}…").replace("`", "'")
            times = f"{_format(before.per_request)} → {_format(count.per_request)} per request"
            yield Finding(
                code="statement",
                message=f"{kind} query: `{shown}`, {times}",
                cell=head[0].cell,
                before=before.per_request,
                after=count.per_request,
            )


class LoadErrors(NamedTuple):
    """What a cell answered under load in one block, in all of its tracks. `wrong`: most replies, as samples show."""

    requests: int
    errors: int
    wrong: bool

    @property
    def is_bad(self) -> bool:
        """Whether it had more than a few errors."""
        return self.wrong or self.errors > _ERRORS * self.requests


def _list_loads(trials: Sequence[Trial], cell: Cell, pair: Pair) -> list[LoadErrors]:
    """List what a cell of a pair answered under load, alone and in the pair, block by block.

    Late replies are no errors. Other pairs, in which the pair's other side is not, may load the cell harder.
    """
    blocks: dict[tuple[int, str, int], list[Trial]] = {}
    for trial in trials:
        loaded = trial.phase in (*LOADED_PHASES, "rate") and trial.pair in {"", str(pair)}
        if trial.cell == str(cell) and loaded:
            blocks.setdefault((trial.shard, trial.phase, trial.block), []).append(trial)
    return [
        LoadErrors(
            sum(trial.requests for trial in own),
            sum(trial.errors.total - trial.errors.timeout for trial in own),
            any(trial.answers_wrongly for trial in own),
        )
        for own in blocks.values()
    ]


def find_errors(trials: Sequence[Trial], pair: Pair) -> Iterator[Finding]:
    """Find errors under load that base does not have: a change that fails requests may well be fast.

    Such a finding fails the run only if chance hardly ever gives head so many more blocks with errors than base: an
    application that fails now and then does so in any block. wrk counts no status below 400; that most replies have
    one that is not expected, such as redirects, is known from samples.
    """
    base, head = (_list_loads(trials, cell, pair) for cell in (pair.base, pair.head))
    before, after = (sum(one.errors for one in own) / max(1, sum(one.requests for one in own)) for own in (base, head))
    counted = after > _ERRORS and after > 2 * before
    if counted or (any(one.wrong for one in head) and not any(one.wrong for one in base)):
        bad = [sum(one.is_bad for one in own) for own in (base, head)]
        fails = compute_chance(bad[0], len(base), bad[1], len(head)) <= CHANCE
        text = f"errors: {percent(before)} → {percent(after)} of all requests" if counted else _UNEXPECTED
        text += "" if fails else f", in {bad[1]} of {plural(len(head), 'block')}: this may be chance"
        yield Finding(code="errors", message=text, cell=str(pair.head), before=before, after=after, fails=fails)


def errs_enough(trials: Sequence[Trial], pair: Pair) -> bool:
    """Whether head has so many more blocks with errors than base that chance is hardly the cause.

    Ten such blocks are enough, even if base has them, too.
    """
    base, head = (_list_loads(trials, cell, pair) for cell in (pair.base, pair.head))
    bad = [sum(one.is_bad for one in own) for own in (base, head)]
    return bad[1] >= _MOST_BAD or (bad[1] > 0 and compute_chance(bad[0], len(base), bad[1], len(head)) <= CHANCE)


def compute_chance(base_bad: int, base_all: int, head_bad: int, head_all: int) -> float:
    """Compute how likely chance gives head at least so many of the bad blocks (Fisher's exact test, one-sided)."""
    bad, both = base_bad + head_bad, base_all + head_all
    ways = [math.comb(head_all, k) * math.comb(base_all, bad - k) for k in range(head_bad, min(bad, head_all) + 1)]
    return sum(ways) / math.comb(both, bad)


def _format(value: float) -> str:
    return f"{value:g}" if value == round(value, 2) else f"{value:.2f}"
