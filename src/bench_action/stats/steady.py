"""Decide when a warm-up may end: once a request has stopped becoming cheaper. Pure.

Caches fill and compilers work while an application is loaded, so the CPU time of a request falls, fast at first and
then ever more slowly. Two spans at the end of a warm-up are compared, each a third of it: steady is an application
whose requests cost in the last span about as much as in the one before. The spans grow with the warm-up, so one rule
fits all. A process that is steady after a second is judged by thirds of a second. One that compiles for half a minute
is judged by seconds, over which noise averages out and a slow fall shows. After a sudden change, the warm-up lasts
until the change is no longer in the two spans. Spans longer than five seconds would only add time: a slice, for which
the cost should not change, is about as long. docs/how-it-decides.md has the evidence.

Twice in such a span the load connects again, as it does between a warm-up and what is measured. A compiler leaves out
what a program has not done yet: if connections closed for the first time at the end of a warm-up, it would have to
compile again while the program is measured.

A compiler that gets little CPU leaves the cost level for long, although requests will cost a fraction of it. So if
requests have become far cheaper, an application is warm only if it also rests when no request is under way, each time
that the load connects again in the two spans. In these pauses, a compiler has the CPU for itself, and ends sooner.

Part of the agent, which is sent to the load container as text: standard library only, Python 3.9.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW_S = 1 / 6  # between two readings: four of them are in the later two thirds of a second
LONG_WARM_UP_S = 3.0  # a warm-up that takes longer is worth a word
_LONGEST_SPAN_S = 5.0
CONNECTED_S = 2.4  # how long a load keeps its connections
# for how long it is not judged after it has connected again, so that it shows what has become dearer
UNJUDGED_S = CONNECTED_S / 3
_TOLERANCE, _TOLERANCE_S = 0.05, 3.0
_ROUND_TOLERANCE = 0.1
_FIRST_S = 0.5
_FAR_CHEAPER = 2.0  # at the end than at first: more than noise does, and what a compiler does


class Reading(NamedTuple):
    """What a subject had used and answered `at_s` seconds after its load began: CPU time in ms, and requests."""

    at_s: float
    cpu_ms: float
    requests: int


class Trend(NamedTuple):
    """The CPU time of a request in ms, in the last span of a warm-up and in the one before; each lasts `span_s`."""

    before: float
    last: float
    span_s: float

    @property
    def change(self) -> float:
        """The change from one span to the next, as a logarithm: below 0 if requests became cheaper."""
        return math.log(self.last / self.before)

    @property
    def change_per_s(self) -> float:
        """The same as a fraction per second."""
        return math.expm1(self.change / self.span_s)

    @property
    def steady(self) -> bool:
        """Whether the cost of a request has levelled off.

        Over a span longer than three seconds it may change by as much each second as over one of three. A rise is no
        level either: a compiler that works in the background makes requests dearer before cheaper. Over a span below a
        second it may be larger, as is the noise, because to miss a rise so early costs little.
        """
        tolerance = _TOLERANCE * max(1.0, self.span_s / _TOLERANCE_S)
        return -tolerance <= self.change <= tolerance / math.sqrt(min(self.span_s, 1.0))


def measure_span_s(duration_s: float) -> float:
    """Measure how long the spans at the end of a warm-up are that are compared, in seconds."""
    return min(duration_s / 3, _LONGEST_SPAN_S)


def find_trend(readings: Sequence[Reading]) -> Trend | None:
    """Compare the last two spans of a warm-up, whose first reading was taken at its start.

    None if there are too few readings, or if no request was sent or no CPU time was used in one of the spans.
    """
    if len(readings) < 4:
        return None
    end = readings[-1]
    span_s = measure_span_s(end.at_s)
    first, middle = (_find_nearest(readings, end.at_s - spans * span_s) for spans in (2, 1))
    return _compare_spans(first, middle, end, span_s)


def is_steady(readings: Sequence[Reading]) -> bool:
    """Tell whether the cost of a request has levelled off."""
    trend = find_trend(readings)
    return trend is not None and trend.steady


def measure_reply_s(readings: Sequence[Reading], connections: int) -> float:
    """Measure how long a reply took in the last span, in seconds; 0.0 without one.

    By Little's law, it is the number of connections ÷ the rate of replies, as each connection always waits for one.
    """
    if not readings:
        return 0.0
    end = readings[-1]
    begin = _find_nearest(readings, end.at_s - measure_span_s(end.at_s))
    replies = end.requests - begin.requests
    return connections * (end.at_s - begin.at_s) / replies if replies else 0.0


def has_fallen_far(readings: Sequence[Reading]) -> bool:
    """Tell whether requests cost a fraction of what they cost at first, as they do if a compiler works."""
    trend = find_trend(readings)
    return trend is not None and is_far_cheaper(measure_first_cost(readings), trend.last)


def is_far_cheaper(first_ms: float | None, last_ms: float | None) -> bool:
    """Tell whether requests cost at most half of what they cost at first; False if one of both is not known."""
    return first_ms is not None and last_ms is not None and first_ms >= _FAR_CHEAPER * last_ms


def find_rounds(rounds: Sequence[Reading]) -> Trend | None:
    """Compare the last third of a warm-up's rounds with the third before; None if there are too few, or no costs.

    For rounds of a script, which are short and differ in what they send. The first reading was taken at the start.
    """
    number = len(rounds) - 1
    count = max(1, number // 3)
    if number < 2 * count:
        return None
    first, middle, end = rounds[-2 * count - 1], rounds[-count - 1], rounds[-1]
    return _compare_spans(first, middle, end, _measure_rounds_s(end.at_s, number))


def _compare_spans(first: Reading, middle: Reading, end: Reading, span_s: float) -> Trend | None:
    """Compare what a request cost in two spans that follow each other; None if one of them has no cost."""
    before, last = measure_cost(first, middle), measure_cost(middle, end)
    return Trend(before, last, span_s) if before and last else None


def _measure_rounds_s(duration_s: float, rounds: int) -> float:
    """Measure how long a third of a warm-up's rounds took, in seconds, at least one."""
    return duration_s * max(1, rounds // 3) / rounds


def is_level(rounds: Sequence[Reading]) -> bool:
    """Tell whether an iteration of a script has stopped becoming cheaper: by at most 10 %, or dearer."""
    trend = find_rounds(rounds)
    return trend is not None and trend.change >= -_ROUND_TOLERANCE


def measure_first_cost(readings: Sequence[Reading]) -> float | None:
    """Measure the CPU time of a request in ms over the first half second, or until the first one is answered."""
    answered = [reading for reading in readings if reading.requests > readings[0].requests]
    return measure_cost(readings[0], _find_nearest(answered, _FIRST_S)) if answered else None


def measure_cost(early: Reading, late: Reading) -> float | None:
    """Measure the CPU time of a request in ms between two readings; None without requests or CPU time."""
    requests, cpu_ms = late.requests - early.requests, late.cpu_ms - early.cpu_ms
    return cpu_ms / requests if requests > 0 and cpu_ms > 0 else None


def _find_nearest(readings: Sequence[Reading], at_s: float) -> Reading:
    return min(readings, key=lambda reading: abs(reading.at_s - at_s))
