"""Group the warnings of a run: one line for each kind, with the advice that its warnings share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.compare.evidence import FAULTS
from bench_action.model.result import Result
from bench_action.model.warning import Code, RunWarning
from bench_action.model.wording import plural
from bench_action.report.change import list_comparisons

# the larger the first number of the message, the worse
_GROWING = {Code.STEAL, Code.WIDE_SPREAD, Code.THROTTLED, Code.CONNECT_ERRORS, Code.GENERATOR_SATURATED}
_MOST_CELLS = 3
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Concern:
    """All warnings of one kind: `text` is one line on them, `advice` what they share."""

    grave: bool
    text: str
    advice: str
    warnings: tuple[RunWarning, ...]


def group_warnings(result: Result) -> tuple[Concern, ...]:
    """Group warnings by kind and advice: grave ones first, then in the order in which they arose.

    A warning that is given as the reason why requests/s was not compared is left out, so that each reason is said once.
    """
    reasons = {c.cell for c in list_comparisons(result) if c.metric == "requests_per_second" and c.reason}
    warnings = [warning for warning in result.warnings if warning.code not in FAULTS or warning.cell not in reasons]
    kinds: dict[tuple[Code, str], list[RunWarning]] = {}
    for warning in warnings:
        kinds.setdefault((warning.code, warning.advice), []).append(warning)
    return tuple(
        Concern(code.grave, _summarise(group, result), advice, tuple(group))
        for (code, advice), group in sorted(kinds.items(), key=lambda kind: not kind[0][0].grave)
    )


def _summarise(group: Sequence[RunWarning], result: Result) -> str:
    """Put warnings of one kind into one line: where, how often, and the worst or the first message."""
    code, advice = group[0].code, group[0].advice
    trials = [
        warning
        for trial in result.trials
        for warning in trial.warnings
        if (warning.code, warning.advice) == (code, advice)
    ]
    messages = [warning.message for warning in (trials if len(trials) > 1 else group)]
    where = _list_cells(group)
    if len(messages) == 1:
        return f"{where}: {messages[0]}." if where else f"{messages[0]}."
    if code is Code.STEAL:
        where = "Noisy machine"
    often = f"{len(trials)} of {plural(len(result.trials), 'trial')}, " if len(trials) > 1 else ""
    return f"{where or 'This run'}: {often}{_choose_message(code, messages)}."


def _list_cells(group: Sequence[RunWarning]) -> str:
    cells = list(dict.fromkeys(warning.cell for warning in group if warning.cell))
    more = [f"{len(cells) - _MOST_CELLS} more"] if len(cells) > _MOST_CELLS else []
    return ", ".join([*cells[:_MOST_CELLS], *more])


def _choose_message(code: Code, messages: Sequence[str]) -> str:
    if len(set(messages)) == 1:
        return messages[0]
    if code in _GROWING:
        worst = max(messages, key=lambda text: float((_NUMBER.findall(text) or ["0"])[0].replace(",", "")))
        return _NUMBER.sub(r"up to \g<0>", worst, count=1)
    return f"for example {messages[0]}"
