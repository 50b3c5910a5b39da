"""Several load generators as one: each has a part of the connections, and what they saw is added up."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from bench_action.engine.protocol import Engine, Handle
from bench_action.load.generator import Agent, Load
from bench_action.load.messages import WrkAnswer
from bench_action.load.wrk import SENTINEL, ReportLine, read_line

_SUMMED = ("requests", "bytes", "connect", "read", "write", "status", "timeout")
_SHARES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999}


class _Timed(NamedTuple):
    """The answers of one generator, and when they were there, by our own clock."""

    answers: list[WrkAnswer]
    at_s: float


class Agents(Agent):
    """The agents of several load generators. What is not a load (probes, counts, warm-ups, k6) is the first one's."""

    def __init__(self, engine: Engine, handles: Sequence[Handle]) -> None:
        """Start an agent in each of these load containers, of which the first reads counters."""
        super().__init__(engine, handles[0])
        self._others = [Agent(engine, handle) for handle in handles[1:]]
        self._count = len(handles)

    def wrk(self, load: Load, while_running: Callable[[], None], every_s: float) -> WrkAnswer:
        """Run wrk on every generator at the same time, each with a part of the connections. Returns their sum."""
        return self.duet([load], while_running, every_s)[0]

    def close_others(self) -> None:
        """Give up what the others are doing."""
        for agent in self._others:
            agent.close()

    def duet(self, loads: Sequence[Load], while_running: Callable[[], None], every_s: float) -> list[WrkAnswer]:
        """Run wrk for each load on every generator, all at the same time. Returns the sum for each load."""
        divided = [load.divide(self._count) for load in loads]
        shares = [[parts[number] for parts in divided if number < len(parts)] for number in range(self._count)]
        for agent, own in zip(self._others, shares[1:], strict=True):
            for load in own:
                agent.keep(load.tape)  # the first one has it since the warm-up, and all shall begin together
        pool = ThreadPoolExecutor(max_workers=self._count)
        try:
            others = [
                pool.submit(_run, agent, own, lambda: None, 60.0)
                for agent, own in zip(self._others, shares[1:], strict=True)
                if own
            ]
            first = super().duet(shares[0], while_running, every_s)
            timed = [_Timed(first, time.monotonic()), *(other.result() for other in others)]
        except BaseException:  # an interrupt must not wait for the others
            self.close_others()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [
            add_up(
                [each.answers[number] for each in timed if number < len(each.answers)],
                [each.at_s for each in timed if number < len(each.answers)],
                [part.threads for part in parts],
            )
            for number, parts in enumerate(divided)
        ]


def _run(agent: Agent, loads: Sequence[Load], while_running: Callable[[], None], every_s: float) -> _Timed:
    answers = agent.duet(loads, while_running, every_s)
    return _Timed(answers, time.monotonic())


def add_up(answers: Sequence[WrkAnswer], ended_s: Sequence[float], threads: Sequence[int]) -> WrkAnswer:
    """Add up what several generators saw of one server.

    `ended_s`: when each had finished, by one clock. `threads`: how many each had.

    Requests, errors and bytes are summed; the rate is the sum of their rates; percentiles are those of all requests.
    Clocks of the generators are not compared: each says how long it took, and all end before our clock.
    """
    first = answers[0]
    if len(answers) == 1:
        return first
    began_s = [at - answer["wall_s"] for at, answer in zip(ended_s, answers, strict=False)]
    machines = {
        f"load{number + 1}" if number else name: shares
        for number, answer in enumerate(answers)
        for name, shares in answer["machines"].items()
    }
    failed = [answer for answer in answers if answer["status"] or SENTINEL not in answer["output"]]
    if failed:
        return failed[0]
    lines = [read_line(answer["output"]) for answer in answers]
    total = _add_lines(lines, [answer["histogram"] for answer in answers])
    return {
        **first,
        "output": SENTINEL + json.dumps(total),
        "cpu_s": sum(answer["cpu_s"] for answer in answers),
        "wall_s": max(answer["wall_s"] for answer in answers),
        "clock_step_s": max((answer["clock_step_s"] for answer in answers), key=abs),
        "live": sum(answer["live"] for answer in answers),
        "open": sum(answer["open"] for answer in answers),
        "early": sum(answer["early"] for answer in answers),
        "sampled": [row for answer in answers for row in answer["sampled"]],
        "steal_percent": max(answer["steal_percent"] for answer in answers),
        "marks": [],  # bytes that the others received are not in them
        "machines": machines,
        "histogram": [],
        "lateness_s": max(began_s) - min(began_s),
        "busy": max(
            answer["cpu_s"] / (line["duration_us"] / 1e6 * min(own, answer["cores"])) if line["duration_us"] else 1.0
            for answer, line, own in zip(answers, lines, threads, strict=True)
        ),
    }


def _add_lines(lines: Sequence[ReportLine], histograms: Sequence[Sequence[Sequence[int]]]) -> Mapping[str, object]:
    """Add up wrk's reports; latencies are computed from all of them."""
    figures: Sequence[Mapping[str, Any]] = lines
    sums = {name: sum(each[name] for each in figures) for name in _SUMMED}
    rate = sum(line["requests"] / line["duration_us"] for line in lines if line["duration_us"])
    duration_us = round(sums["requests"] / rate) if rate else max(line["duration_us"] for line in lines)
    return {**sums, "duration_us": duration_us, **summarise_histogram(histograms), "sent": []}


def summarise_histogram(histograms: Sequence[Sequence[Sequence[int]]]) -> dict[str, float]:
    """Summarise the latencies of several generators, in µs, as wrk does for one; all 0 without any."""
    counts: Counter[int] = Counter()
    for histogram in histograms:
        for value, count in histogram:
            counts[value] += count
    total = sum(counts.values())
    if not total:
        return dict.fromkeys(("mean_us", "stdev_us", "min_us", "max_us", *_SHARES), 0)
    values = sorted(counts)
    mean = sum(value * counts[value] for value in values) / total
    spread = sum(counts[value] * (value - mean) ** 2 for value in values)
    found: dict[str, float] = {
        "mean_us": mean,
        "stdev_us": math.sqrt(spread / (total - 1)) if total > 1 else 0.0,
        "min_us": values[0],
        "max_us": values[-1],
    }
    for name, share in _SHARES.items():
        rank, passed = math.floor(share * total + 0.5), 0  # wrk's own rank
        for value in values:
            passed += counts[value]
            if passed >= rank:
                found[name] = value
                break
    return found
