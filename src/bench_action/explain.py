"""What else changed: exact findings, and what a loss may come from. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence

from bench_action.config.gates import EXACT
from bench_action.config.schema import ExpectedWork
from bench_action.model.metric import METRICS
from bench_action.model.result import Finding, Trial
from bench_action.plan import Pair
from bench_action.summary import trial_values

_MANY = 10  # so many more of one statement for each request are a query in a loop
_ERRORS = 0.001
_CHANCE = 0.005  # of errors that only chance gives to head: five trials of it with and five of base without are enough
_WORK = {"queries": "queries_per_request", "rows": "rows_per_request", "cache_commands": "cache_commands_per_request"}


def findings_of(
    trials: Sequence[Trial], pairs: Sequence[Pair], work: Mapping[str, ExpectedWork]
) -> tuple[Finding, ...]:
    """Deviations from declared work, changes of counted work with their statements, errors that are new."""
    found: list[Finding] = []
    for trial in trials:
        if trial.phase == "count" and trial.revision == "head":
            found += _deviations(trial, work.get(trial.profile))
    for pair in pairs:
        counts = [_count_of(trials, cell.variant, cell.revision, cell.profile) for cell in (pair.base, pair.head)]
        if counts[0] is not None and counts[1] is not None and pair.kind == "revision":
            found += _changes(counts[0], counts[1])
            found += _statements(counts[0], counts[1])
        if pair.kind == "revision":
            found += _errors(trials, pair)
    return tuple(found)


def _count_of(trials: Sequence[Trial], variant: str, revision: str, profile: str) -> Trial | None:
    key = ("count", variant, revision, profile)
    return next((t for t in trials if (t.phase, t.variant, t.revision, t.profile) == key and t.requests), None)


def _deviations(count: Trial, declared: ExpectedWork | None) -> Iterator[Finding]:
    values = trial_values(count)
    for name, metric in _WORK.items():
        wanted = getattr(declared, name, None)
        if wanted is not None and values[metric] != wanted:
            text = f"{METRICS[metric].title} {_number(values[metric])} instead of the declared {_number(wanted)}"
            yield Finding(
                code="work-deviates", message=text, cell=count.cell, before=wanted, after=values[metric], fails=True
            )


def _changes(base: Trial, head: Trial) -> Iterator[Finding]:
    before, after = trial_values(base), trial_values(head)
    for metric in EXACT:
        if before[metric] == after[metric]:
            continue
        loop = metric == "queries_per_request" and after[metric] - before[metric] >= _MANY
        text = f"{METRICS[metric].title} {_number(before[metric])} → {_number(after[metric])}"
        text += " (N+1: a query for each row?)" if loop else ""
        yield Finding(
            code="n-plus-one" if loop else "work-changed", message=text, cell=head.cell, before=before[metric],
            after=after[metric],
        )  # fmt: skip


def _statements(base: Trial, head: Trial) -> Iterator[Finding]:
    """Statements that are new or more frequent, by their normalised text: ids differ between databases."""
    before, after = ({one.text: one.calls / trial.requests for one in trial.statements} for trial in (base, head))
    for text, calls in after.items():
        if calls > before.get(text, 0.0):
            kind = "new" if text not in before else "more frequent"
            times = f"{_number(before.get(text, 0.0))} → {_number(calls)} for each request"
            yield Finding(
                code="statement", message=f"{kind}: `{_short(text)}` {times}", cell=head.cell,
                before=before.get(text, 0.0), after=calls,
            )  # fmt: skip


def _errors(trials: Sequence[Trial], pair: Pair) -> Iterator[Finding]:
    """Errors under load that base does not have: a change that fails requests may well be a fast one.

    It fails the run only where so many more trials of head than of base have errors as chance hardly ever gives:
    an application that fails now and then does so in any trial.
    """
    sides = []
    for side in (pair.base, pair.head):
        own = [t for t in trials if t.cell == str(side) and t.phase in {"capacity", "duet", "interleaved"}]
        sides.append([(t.errors.total - t.errors.timeout, t.requests) for t in own])
    before, after = (sum(e for e, _ in own) / max(1, sum(n for _, n in own)) for own in sides)
    if after > _ERRORS and after > 2 * before:
        bad = [sum(1 for errors, requests in own if errors > _ERRORS * requests) for own in sides]
        fails = _by_chance(bad[0], len(sides[0]), bad[1], len(sides[1])) <= _CHANCE
        text = f"errors {before * 100:.2g} % → {after * 100:.2g} % of all requests"
        text += "" if fails else f", in {bad[1]} of {len(sides[1])} trials: too few to blame the change"
        yield Finding(code="errors", message=text, cell=str(pair.head), before=before, after=after, fails=fails)


def _by_chance(base_bad: int, base_all: int, head_bad: int, head_all: int) -> float:
    """How likely chance gives head at least so many of the bad trials (Fisher's exact test)."""
    bad, both = base_bad + head_bad, base_all + head_all
    ways = [math.comb(head_all, k) * math.comb(base_all, bad - k) for k in range(head_bad, min(bad, head_all) + 1)]
    return sum(ways) / math.comb(both, bad)


def _number(value: float) -> str:
    return f"{value:g}" if value == round(value, 2) else f"{value:.2f}"


def _short(text: str) -> str:
    clean = text.replace("`", "'")
    return clean if len(clean) <= 160 else f"{clean[:157]}…"
