"""Work with a history in a plain folder, from results to alarms."""

import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.factories import make_result, make_trial
from tests.unit.shards import make_shard
from typer.testing import CliRunner

from bench_action.cli.app import app
from bench_action.compare.merge import merge
from bench_action.history.folder import Folder
from bench_action.history.history import History
from bench_action.history.opening import open_history
from bench_action.history.record import parse_line
from bench_action.model.benchmark import Benchmark
from bench_action.model.errors import InputError, PublishError, RegressionError
from bench_action.model.result import Result
from bench_action.trend.change_points import ChangePoint
from bench_action.trend.trends import Trends, require_nothing_worse

pytestmark = pytest.mark.unit

BEGIN = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0) - timedelta(days=100)


def make_night(
    day: int, speed: float, *, commit: int | None = None, run: str = "", kernel: float = 1.0, **of_run: str
) -> Result:
    """Build a night's run on a machine with one of three speeds; aiohttp is the control.

    `commit`: the day of the commit, the same day if left out; `kernel`: how fast it makes all machines; `of_run`: more
    fields of `run`.
    """
    commit = day if commit is None else commit
    lottery = random.Random(f"{day}{run}{sorted(of_run.items())}")
    machine = lottery.choice([1.0, 1.15, 1.4])
    trials = []
    for block in range(1, 6):
        noise = kernel * lottery.gauss(1, 0.01)
        trials.append(make_trial("aiohttp", block, 1000 * machine * noise))
        trials.append(make_trial("django", block, speed * machine * noise * lottery.gauss(1, 0.01)))
    result = make_result(trials)
    at = (BEGIN + timedelta(days=day)).isoformat()
    info = result.run.model_copy(update={"id": run or f"run-{day}", "started_at": at, **of_run})
    environment = result.environment.model_copy(update={"fingerprint": f"machine-{machine}"})
    committed_at = (BEGIN + timedelta(days=commit, hours=-2)).isoformat()
    source = result.source.model_copy(update={"head_sha": f"{commit:040x}", "committed_at": committed_at})
    control = {"variant": "aiohttp", "id": "frozen"}
    return result.model_copy(update={"run": info, "environment": environment, "source": source, "control": control})


def open_trends(folder: Path, said: list[str]) -> Trends:
    with open_history(str(folder), warn=said.append) as store:
        return Trends(store, said.append)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty nights; since the fortieth, django is 8 % slower."""
    folder = tmp_path_factory.mktemp("history")
    open_trends(folder, []).append([make_night(day, 200 if day < 40 else 184) for day in range(60)])
    return folder


def check(trends: Trends, benchmark: Benchmark | None = None) -> tuple[ChangePoint, ...]:
    """Check, and keep that what was found was reported."""
    found = trends.check(benchmark)
    trends.mark(found)
    return found


def test_append__writes_a_run_once(tmp_path: Path) -> None:
    said: list[str] = []
    trends = open_trends(tmp_path, said)
    assert trends.append([make_night(0, 200), make_night(1, 200)]) == 4
    assert trends.append([make_night(1, 200)]) == 0
    assert said[-1] == "0 new records, 2 already there"


def test_append__reports_a_run_without_records_and_keeps_the_others(tmp_path: Path) -> None:
    said: list[str] = []
    trends = open_trends(tmp_path, said)
    assert trends.append([make_result([]), make_night(1, 200)]) == 2
    assert "has nothing for the history" in said[0]
    assert f"(verdict: {make_result([]).verdict})" in said[0]
    assert trends.append([make_result([])]) == 0
    assert said[-1] == "0 new records, 0 already there"


def test_append__of_a_run_without_all_shards_waits_for_the_others(tmp_path: Path) -> None:
    said: list[str] = []
    trends = open_trends(tmp_path, said)
    shards = [make_shard(number, (("aiohttp · list",), ("aiohttp · detail",))) for number in (1, 2)]
    assert trends.append([merge(shards[:1])]) == trends.append(shards[1:]) == 0
    assert said[0] == (
        "run run-1 was not appended to the history: only 1 of 2 shards have a result, so aiohttp · detail would be "
        "missing for good. Run the failed jobs again, and append the result of all shards"
    )
    assert trends.append([merge(shards)]) == 2
    shared = [make_shard(1, (("aiohttp · list",),) * 2)]  # others have measured the missing shard's cells
    alone = merge(shared)
    assert trends.append([alone.model_copy(update={"run": alone.run.model_copy(update={"id": "another"})})]) == 1


def test_check__reports_a_change_once_with_its_commits_on_any_machine(history: Path) -> None:
    said: list[str] = []
    found = check(open_trends(history, said))
    assert [point.series.relative for point in found if point.series.metric == "requests_per_second"] == [True]
    text = "\n".join(said)
    assert f"{39:040x}"[:10] in text
    assert "worse" in text
    with pytest.raises(RegressionError, match="django"):
        require_nothing_worse(found)
    again = check(open_trends(history, said))
    assert again == ()
    require_nothing_worse(again)


def test_check__a_new_kernel_that_slows_all_machines_is_no_change_of_the_control(tmp_path: Path) -> None:
    trends = open_trends(tmp_path, [])
    trends.append([make_night(day, 200, kernel=1.0 if day < 40 else 0.8) for day in range(95)])
    found = check(trends)
    assert {(point.series.variant, point.series.relative, point.control_changed) for point in found} == {
        ("django", False, True)
    }
    assert trends.render(tmp_path / "site", "")
    assert "aiohttp" in (tmp_path / "site" / "article-500-requests-per-second-plain.html").read_text(encoding="utf-8")
    assert "aiohttp" not in {row[0].partition(" ")[0] for row in trends.backtest([0.05]).rows}


def test_check__of_a_store_without_a_history_is_bad_input(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["trend", "check", "--store", str(tmp_path / "no such folder")])
    assert isinstance(done.exception, InputError)
    assert "there is no history" in str(done.exception)


def test_check__that_may_not_write_still_fails_by_what_it_found(tmp_path: Path, monkeypatch: Any) -> None:
    said: list[str] = []
    trends = open_trends(tmp_path, said)
    trends.append([make_night(day, 200 if day < 40 else 184) for day in range(60)])

    def refuse(*_: object) -> None:
        raise PublishError("the folder is read-only")

    monkeypatch.setattr(History, "mark", refuse)
    with pytest.raises(RegressionError, match="django"):
        trends.require_nothing_worse()
    assert said[-1] == "could not keep that this was reported: the folder is read-only"


def test_render__draws_a_site(history: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["trend", "render", "--store", str(history), "--output", str(tmp_path / "site")])
    assert done.exit_code == 0, done.output
    assert {"index.html", "badge.svg", "badge.json", "plotly.min.js"} <= {p.name for p in (tmp_path / "site").iterdir()}


def test_backtest__replays_gates(history: Path) -> None:
    done = CliRunner().invoke(app, ["trend", "backtest", "--store", str(history), "--gate", "5%", "--gate", "0.5"])
    assert done.exit_code == 0, done.output
    assert "Undone" in done.output


def test_render__writes_through_no_link_of_the_repository(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, site = tmp_path / "theirs", tmp_path / "checkout" / "results" / "trend"
    site.mkdir(parents=True)
    theirs.write_text("theirs", encoding="utf-8")
    (site / "index.html").symlink_to(theirs)
    monkeypatch.chdir(tmp_path / "checkout")
    open_trends(history, []).render(site, "")
    assert theirs.read_text(encoding="utf-8") == "theirs"
    assert "<html" in (site / "index.html").read_text(encoding="utf-8")
    site.rename(tmp_path / "elsewhere")
    site.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is behind a link"):
        open_trends(history, []).render(site, "")


@pytest.mark.parametrize("gate", ["5 percent", "0%", "150%", "-1%", "nan"])
def test_backtest__refuses_what_is_not_a_gate(history: Path, gate: str) -> None:
    done = CliRunner().invoke(app, ["trend", "backtest", "--store", str(history), f"--gate={gate}"])
    assert isinstance(done.exception, InputError)


def test_render__of_an_empty_history_advises_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the history is empty"):
        CliRunner().invoke(
            app,
            ["trend", "render", "--store", str(tmp_path / "none"), "--output", str(tmp_path)],
            catch_exceptions=False,
        )


FRONT: dict[str, Any] = {"config": "front/bench.yml", "key": "k"}
BACK: dict[str, Any] = {"config": "back/bench.yml", "key": "k"}


def open_trends_at(folder: Path, said: list[str], now: datetime) -> Trends:
    """Open trends with another clock."""
    return Trends(History(Folder(folder), warn=said.append, now=lambda: now), said.append, lambda: now)


def test_check__two_configurations_with_one_key_are_two_trends(tmp_path: Path) -> None:
    """Their variants and profiles have the same names; one is always 40 % slower, and then gets even slower."""
    said: list[str] = []
    trends = open_trends(tmp_path, said)
    for nights, slower in ((range(40), 120), (range(40, 60), 105)):
        assert check(trends) == ()
        front = [make_night(day, 200, run=f"front-{day}", **FRONT) for day in nights]
        trends.append([*front, *(make_night(day, slower, run=f"back-{day}", **BACK) for day in nights)])
    assert check(trends, front[0].run.benchmark) == ()
    found = check(trends)
    assert {point.series.benchmark.config for point in found} == {"back/bench.yml"}
    assert any(line.startswith("- back/bench.yml, django · article-500: ") for line in said)
    assert check(trends) == ()


def test_check__legs_of_a_matrix_are_separate_trends(tmp_path: Path) -> None:
    trends = open_trends(tmp_path, [])
    for leg, speed in (("3.11", 200.0), ("3.13", 240.0)):
        names: dict[str, Any] = {"config": "bench.yml", "job": f"trend/bench ({leg})"}
        trends.append([make_night(day, speed, run=f"{leg}-{day}", **names) for day in range(40)])
    assert check(trends) == ()


def test_check__an_old_job_that_runs_again_reports_nothing_new(tmp_path: Path) -> None:
    said: list[str] = []
    trends = open_trends(tmp_path, said)
    trends.append([make_night(day, 200 if day < 40 else 184) for day in range(60)])
    assert len(check(trends)) >= 1
    for few in (range(2), range(2, 20)):  # fast commits from before the change, all run again after it
        trends.append([make_night(60 + n, 200, commit=20 + n, run=f"again-{n}") for n in few])
        assert check(trends) == ()
    trends.append([make_night(81 + n, 184, commit=61 + n) for n in range(9)])
    assert check(trends) == ()


def test_check__a_run_with_a_wrong_clock_hides_no_change(tmp_path: Path) -> None:
    said: list[str] = []
    wrong = datetime(2099, 1, 1, 3, tzinfo=UTC)
    ahead = make_night(1, 900, run="ahead", started_at=wrong.isoformat())
    open_trends_at(tmp_path, said, wrong).append([ahead])
    trends = open_trends(tmp_path, said)
    assert trends.append([make_night(2, 900, run="refused", started_at=wrong.isoformat())]) == 0
    assert "is from the future" in said[-2]
    trends.append([make_night(day, 200 if day < 40 else 184) for day in range(60)])
    found = check(trends)
    assert {point.direction for point in found} == {"worse"}
    ignored = [line for line in said if line.startswith("ignored 2 records from the future, up to 2099")]
    assert len(ignored) == 1
    trends.render(tmp_path / "site", "")
    assert "2099" not in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_records_without_names__form_a_separate_trend(history: Path, tmp_path: Path) -> None:
    """Records from before benchmarks had names and records had the commits' dates."""
    old = []
    for line in (history / "records").glob("*.jsonl"):
        for text in line.read_text(encoding="utf-8").splitlines():
            fields = json.loads(text)
            assert not {"cfg", "key", "job"} & fields.keys()
            del fields["ct"]
            old.append(parse_line(json.dumps(fields)))
    with open_history(str(tmp_path)) as store:
        store.append(old)
    trends = open_trends(tmp_path, [])
    assert {point.direction for point in check(trends)} == {"worse"}
    trends.append([make_night(day, 300, config="bench.yml") for day in range(61, 75)])
    assert check(trends) == ()


def test_render__shows_each_benchmark_with_its_name(tmp_path: Path) -> None:
    trends = open_trends(tmp_path / "history", [])
    for day in range(3):
        trends.append([make_night(day, 200, run=f"{names['config']}-{day}", **names) for names in (FRONT, BACK)])
    assert trends.render(tmp_path / "site", "")
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<h2 class="benchmark">(.*?)</h2>', index) == ["back/bench.yml", "front/bench.yml"]
    pages = {page.name: page.read_text(encoding="utf-8") for page in (tmp_path / "site").glob("*requests-per*.html")}
    assert {name.partition("-bench-yml-")[0] for name in pages} == {"front", "back"}
    for name, text in pages.items():
        assert f"({name.partition('-')[0]}/bench.yml)</h1>" in text


def test_render__does_not_name_a_single_benchmark(tmp_path: Path) -> None:
    trends = open_trends(tmp_path / "history", [])
    trends.append([make_night(day, 200, **FRONT) for day in range(3)])
    trends.render(tmp_path / "site", "")
    assert "front" not in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
