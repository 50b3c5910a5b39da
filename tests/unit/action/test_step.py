"""The action's control, its name of the job, and its summary of times."""

import pytest
from tests.unit.factories import make_result

from bench_action.action.inputs import Inputs
from bench_action.action.step import choose_control, format_times, identify_job, name_workflow_job, require_baseline
from bench_action.github.event import Event
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

REPOSITORY = "org/shop"


@pytest.mark.parametrize(
    ("inputs", "main", "expected"),
    [
        ({"github-token": "t"}, True, "auto"),
        ({"github-token": "t"}, False, None),
        ({"github-token": "t", "history-branch": "none"}, True, None),
        ({}, True, None),
        ({"control": "built-in"}, False, "built-in"),
    ],
)
def test_choose_control__auto_applies_only_if_a_history_is_kept(
    inputs: dict[str, str], main: bool, expected: str | None
) -> None:
    event = Event("push", REPOSITORY, on_default_branch=main)
    assert choose_control(Inputs.model_validate(inputs), event) == expected


def test_identify_job__differs_by_runner() -> None:
    environ = {"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_RUN_ID": "1", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_JOB": "b"}
    one, two = (environ | {"RUNNER_NAME": name} for name in ("r1", "r2"))
    assert identify_job(one, "a") != identify_job(two, "a")
    assert identify_job(one, "a") == identify_job(one, "")  # also if the step could not save its state
    assert identify_job({}, "a") == ""


def test_identify_job__differs_by_step_on_runners_without_a_name() -> None:
    """Else the step that ends first would remove what the other legs of its matrix are measuring."""
    environ = {"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_RUN_ID": "1", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_JOB": "b"}
    assert identify_job(environ, "a") != identify_job(environ, "b")
    assert identify_job(environ, "") == ""


def test_format_times__adds_up_to_the_run() -> None:
    result = make_result()
    assert format_times(result) == "time: measure 134.2 s; stack 12.3 s, verify 4.5 s, the rest 0.0 s"


def test_require_baseline__a_schedule_has_nothing_to_compare_with() -> None:
    required = Inputs.read({"INPUT_REQUIRE-COMPARISON": "true"})
    with pytest.raises(InputError, match="nothing to compare with: the event is `schedule`") as caught:
        require_baseline(required, Event("schedule", REPOSITORY), None)
    assert caught.value.exit_status == 2
    require_baseline(required, Event("schedule", REPOSITORY), "v1.0")
    require_baseline(Inputs(), Event("schedule", REPOSITORY), None)


@pytest.mark.parametrize(
    ("environ", "matrix", "expected"),
    [
        ({"GITHUB_JOB": "bench", "GITHUB_WORKFLOW": "CI"}, "null", "CI/bench"),
        ({"GITHUB_JOB": "bench", "GITHUB_WORKFLOW": "CI"}, "", "CI/bench"),
        (
            {
                "GITHUB_JOB": "bench",
                "GITHUB_WORKFLOW": "CI",
                "GITHUB_WORKFLOW_REF": "o/r/.github/workflows/trend.yml@refs/heads/a@b/c",
            },
            "null",
            "trend/bench",
        ),
        ({"GITHUB_JOB": "bench"}, '{"python": "3.13", "arm": true, "n": 4}', "/bench (3.13, true, 4)"),
        ({"GITHUB_JOB": "bench"}, '{"service": {"path": "a"}}', '/bench ({"path": "a"})'),
        ({"GITHUB_JOB": "bench"}, "no JSON", "/bench"),
        ({"GITHUB_JOB": "bench"}, "[1]", "/bench"),
        ({}, '{"python": "3.13"}', ""),
    ],
)
def test_name_workflow_job__includes_the_leg_of_a_matrix(environ: dict[str, str], matrix: str, expected: str) -> None:
    assert name_workflow_job(environ, matrix) == expected
