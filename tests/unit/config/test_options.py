"""The command that repeats a run."""

import shlex
from pathlib import Path

import pytest

from bench_action.config.options import Options
from bench_action.config.secrets import Secrets

pytestmark = pytest.mark.unit


def test_command__names_everything_that_the_plan_depends_on() -> None:
    options = Options(
        Path("my bench.yml"),
        "ci",
        ("web",),
        ("list", "new"),
        seed=7,
        baseline="origin/main",
        rules="head",
        compare=(("a", "b"),),
        max_minutes=1.5,
        secrets=Secrets.allow(["KEY", "OTHER_KEY"], {"KEY": "s3cret"}),
    )
    assert shlex.split(options.command) == [
        *("bench-action", "run", "my bench.yml", "--preset", "ci", "--variant", "web", "--profile", "list"),
        *("--profile", "new", "--compare", "a", "b", "--baseline", "origin/main", "--rules", "head"),
        *("--secrets", "KEY,OTHER_KEY", "--max-minutes", "1.5", "--seed", "7"),
    ]


def test_command__of_the_defaults_is_short() -> None:
    assert Options().command == "bench-action run --preset quick --seed 0"
    assert Options(self_test=True).command == "bench-action run --preset quick --self-test --seed 0"
    assert "--rules" not in Options(baseline="main").command  # base's are the default
    assert "--rules" not in Options(rules="head").command  # without a base there is nothing to judge


def test_options__do_not_show_the_environment_of_git() -> None:
    assert "secret" not in repr(Options(git={"TOKEN": "secret"}))
