"""What is done with a history, from results to alarms, on a plain folder."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.factories import make_result, make_trial
from typer.testing import CliRunner

from bench_action.cli import app
from bench_action.history.opening import opened
from bench_action.model.errors import InputError, RegressionError
from bench_action.model.result import Result
from bench_action.trends import Trends, refuse_worse

pytestmark = pytest.mark.unit

BEGIN = datetime(2026, 1, 1, 3, tzinfo=UTC)


def result_of(day: int, speed: float) -> Result:
    """A night's run: on one of three kinds of machine, of which each is as fast as it is; aiohttp is the control."""
    lottery = random.Random(day)
    machine = lottery.choice([1.0, 1.15, 1.4])
    trials = []
    for block in range(1, 6):
        noise = lottery.gauss(1, 0.01)
        trials.append(make_trial("aiohttp", block, 1000 * machine * noise))
        trials.append(make_trial("django", block, speed * machine * noise * lottery.gauss(1, 0.01)))
    result = make_result(trials)
    at = (BEGIN + timedelta(days=day)).isoformat()
    run = result.run.model_copy(update={"id": f"run-{day}", "started_at": at})
    environment = result.environment.model_copy(update={"fingerprint": f"machine-{machine}"})
    source = result.source.model_copy(update={"head_sha": f"{day:040x}"})
    control = {"variant": "aiohttp", "id": "frozen"}
    return result.model_copy(update={"run": run, "environment": environment, "source": source, "control": control})


def trends(folder: Path, said: list[str]) -> Trends:
    with opened(str(folder)) as store:
        return Trends(store, said.append)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty nights; from the fortieth on django is 8 % slower."""
    folder = tmp_path_factory.mktemp("history")
    trends(folder, []).append([result_of(day, 200 if day < 40 else 184) for day in range(60)])
    return folder


def test_append__writes_a_run_once(tmp_path: Path) -> None:
    said: list[str] = []
    keeper = trends(tmp_path, said)
    assert keeper.append([result_of(0, 200), result_of(1, 200)]) == 4
    assert keeper.append([result_of(1, 200)]) == 0
    assert said[-1] == "0 new records, 2 there already"
    with pytest.raises(InputError, match="nothing for a history"):
        keeper.append([make_result([])])


def test_check__tells_a_change_once_with_its_commits_and_whatever_machine_it_was(history: Path) -> None:
    said: list[str] = []
    found = trends(history, said).check()
    assert [point.series.relative for point in found if point.series.metric == "requests_per_second"] == [True]
    text = "\n".join(said)
    assert f"{39:040x}"[:10] in text
    assert "worse" in text
    with pytest.raises(RegressionError, match="django"):
        refuse_worse(found)
    again = trends(history, said).check()
    assert again == ()
    refuse_worse(again)


def test_render__draws_a_site(history: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["trend", "render", "--store", str(history), "--output", str(tmp_path / "site")])
    assert done.exit_code == 0, done.output
    assert {"index.html", "badge.svg", "badge.json", "plotly.min.js"} <= {p.name for p in (tmp_path / "site").iterdir()}


def test_backtest__says_what_gates_would_have_done(history: Path) -> None:
    done = CliRunner().invoke(app, ["trend", "backtest", "--store", str(history), "--gate", "5%", "--gate", "0.5"])
    assert done.exit_code == 0, done.output
    assert "Undone" in done.output


@pytest.mark.parametrize("gate", ["5 percent", "0%", "150%", "-1%", "nan"])
def test_backtest__refuses_what_is_no_gate(history: Path, gate: str) -> None:
    done = CliRunner().invoke(app, ["trend", "backtest", "--store", str(history), f"--gate={gate}"])
    assert isinstance(done.exception, InputError)


def test_render__of_nothing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the history is empty"):
        CliRunner().invoke(
            app, ["trend", "render", "--store", str(tmp_path / "none"), "--output", str(tmp_path)],
            catch_exceptions=False,
        )  # fmt: skip
