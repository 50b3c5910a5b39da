"""How much each variant serves at most, of runs at several numbers of connections."""

from typing import Any

from tests.unit.factories import make_result, make_trial

from bench_action.compare.summary import summarise
from bench_action.model.result import HostInfo, Result
from bench_action.report.capacity import describe_best
from bench_action.report.headline import choose_headline
from bench_action.report.tables import tabulate_capacity, tabulate_hosts

LEVELS = {16: 900.0, 64: 1200.0, 256: 1100.0}
HOSTS = ("application", "services", "wrk")


def make_levels() -> Result:
    """Three levels over three hosts, measured in no order; the application is busy at the second one."""
    trials = []
    for level in (256, 16, 64):
        busy = {name: 0.96 if name == "application" and level == 64 else 0.4 for name in HOSTS}
        for block in (1, 2, 3):
            fields: dict[str, Any] = {"profile": f"home-at-{level}", "host_busy": busy, "connections_asked": level}
            trials.append(make_trial(block=block, speed=LEVELS[level] + 10 * block, **fields))
    result = make_result(trials)
    info = result.profiles[0]
    profiles = tuple(info.model_copy(update={"name": f"home-at-{level}", "connections": level}) for level in LEVELS)
    hosts = tuple(HostInfo(roles=name, cpu_model="EPYC", cores=4, architecture="x86_64") for name in HOSTS)
    environment = result.environment.model_copy(update={"hosts": hosts})
    summaries = summarise(trials, result.subjects, environment=environment)
    update = {"profiles": profiles, "environment": environment, "summaries": summaries, "comparisons": ()}
    return result.model_copy(update=update)


def test_best__is_the_level_at_which_it_served_most_and_is_the_headline() -> None:
    result = make_levels()
    (best,) = describe_best(result)
    assert best.startswith("aiohttp serves at most 1,220 requests/s of home (spread 1.6 %), with 64 connections")
    assert best.endswith("limited by the application")
    assert choose_headline(result).text == best


def test_tables__have_the_levels_in_their_order() -> None:
    result = make_levels()
    headings = [row[0] for row in tabulate_capacity(result).rows if len(row) == 1]
    assert [heading.partition(",")[0] for heading in headings] == ["home-at-16", "home-at-64", "home-at-256"]
    hosts = tabulate_hosts(result)
    assert hosts.headings == ("Variant", "CPU of application", "CPU of services", "CPU of wrk", "Limited by")
    assert [row[1:] for row in hosts.rows if len(row) > 1][1] == ("96 %", "40 %", "40 %", "application")


def test_best__of_other_profiles_is_not_described() -> None:
    assert describe_best(make_result([make_trial()])) == ()
