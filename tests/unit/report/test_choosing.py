"""A report explains how to choose profiles if a configuration names none, and only then."""

import pytest
from tests.unit.factories import make_result

from bench_action.model.result import ProfileInfo, Result
from bench_action.report.choosing import suggest_profiles
from bench_action.report.view import make_view

pytestmark = pytest.mark.unit


def make_measured(config: str, *names: str) -> Result:
    profiles = tuple(
        ProfileInfo(name=name, path="/", method="GET", connections=8, threads=2, duration_s=1, timeout_s=2)
        for name in names
    )
    result = make_result()
    run = result.run.model_copy(update={"config": config, "preset": "ci"})
    return result.model_copy(update={"run": run, "profiles": profiles})


def test_suggestion__for_the_profiles_of_a_preset() -> None:
    assert suggest_profiles(make_measured("compose.yml", "ci-64")) == (
        "Only `/` is measured, as compose.yml names no profiles. "
        "`bench-action init --stdout` lists the routes to choose from."
    )


@pytest.mark.parametrize(
    ("config", "names"), [("built-in", ["ci-64"]), ("", ["ci-64"]), ("bench.yml", ["list", "ci-64"]), ("bench.yml", [])]
)
def test_suggestion__for_nobody_else(config: str, names: list[str]) -> None:
    assert suggest_profiles(make_measured(config, *names)) == ""


def test_suggestion__is_in_the_view() -> None:
    result = make_result()
    run = result.run.model_copy(update={"config": "compose.yml", "preset": "article"})
    assert make_view(result.model_copy(update={"run": run})).hint.startswith("Only `/` is measured")
