"""The action's step around a run with a given result: comment, history and issue at a double of GitHub; exit status."""

import base64
import io
import json
import signal
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest
from tests.git import git
from tests.github.double import GitHubDouble
from tests.github.exchange import READ, Answer, Fault, Token
from tests.github.state import Pull
from tests.unit.factories import make_comparison, make_result, make_trial, warn
from tests.unit.history.places import make_record

from bench_action.action import revisions
from bench_action.action import step as action
from bench_action.cli import app as cli
from bench_action.config.options import Options
from bench_action.github import client
from bench_action.github.client import Access
from bench_action.history import DEFAULT_BRANCH
from bench_action.history.changes import append
from bench_action.history.github import open_github_history
from bench_action.history.layout import INDEX, parse_index
from bench_action.history.record import Record, parse_line
from bench_action.history.recording import make_records
from bench_action.model.errors import InputError, StackError
from bench_action.model.hosts import Hosts
from bench_action.model.result import Result, Source
from bench_action.model.warning import Code
from bench_action.pipeline import Outcome, Ports
from bench_action.publish.history import render_issue
from bench_action.trend.change_points import find_all_change_points
from bench_action.trend.series import make_series

pytestmark = pytest.mark.integration

REF = f"refs/heads/{DEFAULT_BRANCH}"
TODAY = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0)
INVALID = make_result([], warnings=(warn(Code.NOTHING_SERVED),), verdict="invalid")
LOST = make_comparison(verdict="regressed", gate=0.01, level="fail", ratio=0.9)
REGRESSED = make_result(comparisons=(LOST,), verdict="regressed")


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with GitHubDouble() as double:
        double.state.pull()
        yield double
        assert double.violations == []


@dataclass
class Step:
    """One step of a job. The result of its run is given, everything else is as on a runner."""

    github: GitHubDouble
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    log: str = ""
    error: str = ""
    options: list[Options] = field(default_factory=list)

    def run(
        self, result: Result, event: str = "push", *, environ: Mapping[str, str] | None = None, **inputs: str
    ) -> int:
        """Run the step on the default branch, or on pull request 1, and return its exit status."""
        payload: dict[str, Any] = {"repository": {"default_branch": "main"}}
        if event == "pull_request":
            commits = {"head": {"sha": git(self.workspace, "rev-parse", "HEAD")}, "base": {"sha": "b" * 40}}
            payload = {"number": 1, "pull_request": {"number": 1, **commits}}
        (self.folder / "event.json").write_text(json.dumps(payload), encoding="utf-8")
        given = {"github_token": "token", "baseline": "none", "output": str(self.folder / "out"), **inputs}
        variables = {
            "GITHUB_REPOSITORY": "org/shop",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
            "GITHUB_API_URL": self.github.url,
            "GITHUB_RUN_ID": "7",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_WORKFLOW": "trend",
            "GITHUB_JOB": "benchmark",
            "GITHUB_OUTPUT": str(self.folder / "outputs"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            **{f"INPUT_{name.upper().replace('_', '-')}": value for name, value in given.items()},
            **(environ or {}),
        }
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr("sys.argv", ["bench-action", "action"])
        self.monkeypatch.setattr(action, "run", self._make_run(result))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        self.log, _ = self.capture.readouterr()
        self.error = self.log[self.log.find("\nerror: ") :] if "\nerror: " in self.log else ""
        return int(ended.value.code or 0)

    @property
    def workspace(self) -> Path:
        """The checkout."""
        folder = self.folder / "workspace"
        if not folder.exists():
            folder.mkdir()
            git(folder, "init", "--quiet", "--initial-branch", "main")
            git(folder, "commit", "--quiet", "--allow-empty", "--message", "head")
        return folder

    def _make_run(self, result: Result) -> Callable[..., Outcome]:
        """Make a run that has this result."""

        def run(options: Options, _: object) -> Outcome:
            self.options.append(options)
            names = {"config": str(options.config or ""), "key": options.key, "job": options.workflow_job}
            return Outcome(result.model_copy(update={"run": result.run.model_copy(update=names)}), [])

        return run


@pytest.fixture
def step(
    github: GitHubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Step]:
    monkeypatch.setattr(client, "_BETWEEN_WRITES_S", 0.0)
    monkeypatch.setattr(client, "compute_backoff_s", lambda _: 0.0)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield Step(github, tmp_path, monkeypatch, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def night(day: int, speed: float, *, commit: int | None = None, **run: str) -> Result:
    """Make a run of the default branch, `day` nights after the first of a hundred, on one kind of machine, with little
    noise.
    """
    commit = day if commit is None else commit
    trials = [make_trial("shop", block, speed * (1 + 0.004 * ((day * 7 + block) % 5 - 2))) for block in range(1, 6)]
    result = make_result(trials)
    at = TODAY - timedelta(days=100 - day)
    info = result.run.model_copy(update={"id": f"run-{day}", "started_at": at.isoformat(), **run})
    committed = (TODAY - timedelta(days=100 - commit, hours=1)).isoformat()
    source = result.source.model_copy(update={"head_sha": f"{commit:040x}", "committed_at": committed})
    return result.model_copy(update={"run": info, "source": source})


def kept(github: GitHubDouble) -> list[Record]:
    files = github.state.git.files(DEFAULT_BRANCH)
    shards = sorted(name for name in files if name.startswith("records/"))
    return [parse_line(line) for name in shards for line in files[name].splitlines()]


def store(github: GitHubDouble) -> Any:
    return open_github_history(Access(github.url, "token", "org/shop"))


def test_step__of_the_default_branch_appends_its_run(step: Step, github: GitHubDouble) -> None:
    assert step.run(night(1, 200), config="apps/bench.yml", comment_key="apps") == 0
    (record,) = kept(github)
    assert (record.config, record.key, record.job) == ("apps/bench.yml", "apps", "trend/benchmark")
    assert (step.folder / "out" / "trend" / "index.html").is_file()


@pytest.mark.parametrize(
    ("result", "fail_on", "status"),
    [
        (INVALID, "regression", 5),
        (INVALID, "invalid", 5),
        (INVALID, "never", 0),
        (REGRESSED, "regression", 1),
        (REGRESSED, "never", 0),
        (night(1, 200), "regression", 0),
    ],
    ids=["invalid", "invalid, fail-on invalid", "invalid, fail-on never", "regressed", "regressed, never", "measured"],
)
def test_step__exits_by_its_verdict_even_without_anything_for_the_history(
    step: Step, github: GitHubDouble, result: Result, fail_on: str, status: int
) -> None:
    assert step.run(result, fail_on=fail_on) == status
    assert "Traceback" not in step.error
    if result is INVALID:
        assert "has nothing for the history" in step.log
        assert "::notice title=trend::run" in step.log
        assert REF not in github.state.git.refs


def test_step__without_anything_for_the_history_still_draws_the_page(step: Step) -> None:
    assert step.run(night(1, 200)) == 0
    page = step.folder / "out" / "trend" / "index.html"
    page.unlink()
    assert step.run(INVALID) == 5
    assert page.is_file()


def test_step__of_unchanged_code_is_in_the_ledger_even_if_it_is_invalid(step: Step, github: GitHubDouble) -> None:
    trial = make_trial("shop", 1, warnings=(warn(Code.NOTHING_SERVED),))
    same = Source(head_sha="a" * 40, base_sha="a" * 40)
    assert step.run(make_result([trial], source=same), "schedule", fail_on="never", baseline="a" * 40) == 0, step.log
    (record,) = kept(github)
    assert record.unchanged is not None
    assert record.unchanged.verdict == "invalid"
    page = step.folder / "out" / "trend" / "ledger" / "index.html"
    assert "0 false alarms in 1 run" in page.read_text(encoding="utf-8")


TREES = r"/git/trees"
HISTORY_FAULTS = [
    Fault("GET", "/git/ref/", drop=True, times=99),
    Fault("POST", TREES, Answer(422, {}, {"message": "no"}), times=99),
    Fault("GET", "/git/ref/", Answer(401, {}, {"message": "Bad credentials"}), times=99),
]


@pytest.mark.parametrize("fault", HISTORY_FAULTS, ids=["lost", "protected", "token"])
@pytest.mark.parametrize(
    ("result", "status"), [(REGRESSED, 1), (night(1, 200), 6)], ids=["regressed", "nothing else to say"]
)
def test_step__whose_history_fails_reports_it_and_exits_by_its_verdict_first(
    step: Step, github: GitHubDouble, fault: Fault, result: Result, status: int
) -> None:
    github.faults.append(replace(fault))
    assert step.run(result) == status
    assert "::error title=history::" in step.log
    assert "error: " in step.error
    assert ("also:" in step.error) == (status == 1)


def test_step__whose_branch_is_protected_reports_it_and_exits_by_its_verdict_first(
    step: Step, github: GitHubDouble
) -> None:
    """GitHub answers 403 if rights are missing, which is a notice; any other refusal fails the step at its end."""
    github.tokens["read"] = Token(rights={**READ, "issues": "write", "pull-requests": "write"})
    assert step.run(night(1, 200), github_token="read") == 0
    assert "contents: write" in step.log
    assert step.run(REGRESSED, github_token="read") == 1


def test_step__whose_history_branch_holds_something_else_exits_by_its_verdict_first(
    step: Step, github: GitHubDouble
) -> None:
    assert step.run(REGRESSED, history_branch="main") == 1
    assert "also:   branch main of " in step.error
    assert "has files that are not a history" in step.error
    assert step.run(night(1, 200), history_branch="main") == 2


def test_step__without_a_configuration_measures_nothing_else_as_a_pull_request(
    step: Step, github: GitHubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(step.folder)
    assert step.run(make_result(), "pull_request") == 0  # a repository without one sees the built-in comparison
    (step.workspace / "bench.yml").write_text("variants: {web: {build: .}}", encoding="utf-8")
    git(step.workspace, "add", ".")
    git(step.workspace, "commit", "--quiet", "--message", "measure")
    base = git(step.workspace, "rev-parse", "HEAD")
    git(step.workspace, "rm", "--quiet", "bench.yml")
    git(step.workspace, "commit", "--quiet", "--message", "no more")
    assert step.run(make_result(), "pull_request", baseline=base) == 2
    assert "no bench.yml found, and" in step.error
    services, built = "services: {db: {image: postgres}}", "services: {web: {build: .}}"
    for before, after, status in ((built, services, 2), (services, "", 0), (built, "", 2), (services, services, 0)):
        (step.workspace / "compose.yml").write_text(before, encoding="utf-8")
        git(step.workspace, "add", ".")
        git(step.workspace, "commit", "--quiet", "--allow-empty", "--message", before)
        base = git(step.workspace, "rev-parse", "HEAD")
        (step.workspace / "compose.yml").write_text(after, encoding="utf-8")
        if not after:
            git(step.workspace, "rm", "--quiet", "--force", "compose.yml")
        git(step.workspace, "commit", "--quiet", "--all", "--allow-empty", "--message", f"{before} {after}")
        assert step.run(make_result(), "pull_request", baseline=base) == status, (before, after)
    nothing = {"GITHUB_WORKSPACE": str(step.folder)}
    assert step.run(make_result(), "pull_request", environ=nothing) == 2
    assert "could not check that HEAD is pull request #1" in step.error
    assert "actions/checkout" in step.error
    assert len(github.state.comments[1]) == 1


@pytest.mark.parametrize("event", ["pull_request", "merge_group", "workflow_run"])
def test_step__a_pull_request_does_not_choose_its_hosts(
    step: Step, github: GitHubDouble, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    """On `workflow_run`, HEAD is a branch of this repository that is not merged yet."""
    hosts = Hosts.read(["app=ssh://root@evil.example", "load=ssh://root@other.example"])

    def run(_options: Options, ports: Ports) -> Outcome:
        config = SimpleNamespace(hosts=hosts)
        ports.make_engine(cast(Any, None), cast(Any, SimpleNamespace(config=config, folder=step.workspace)))
        raise AssertionError

    monkeypatch.setattr(Step, "_make_run", lambda *_: run)
    monkeypatch.chdir(step.workspace)
    environ = {}
    if event == "workflow_run":
        payload = {"workflow_run": {"id": 5, "head_repository": {"owner": {"login": "org"}}}}
        (step.folder / "own.json").write_text(json.dumps(payload), encoding="utf-8")
        environ = {"GITHUB_EVENT_PATH": str(step.folder / "own.json"), "GITHUB_SHA": "d" * 40}
    assert step.run(make_result(), event, environ=environ) == 2
    assert "a pull request does not choose the hosts that it is measured on" in step.error
    assert "evil.example" not in step.log


def test_step__of_a_commit_that_is_not_on_the_default_branch_appends_nothing(
    step: Step, github: GitHubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, branch = night(1, 200), night(2, 100)
    job = {"GITHUB_SHA": f"{3:040x}"}
    branches: list[str] = []

    def fetch(_access: object, branch: str, _head: str) -> str:
        branches.append(branch)
        return older.source.head_sha

    monkeypatch.setattr(revisions, "fetch_merge_base", fetch)
    assert step.run(older, "workflow_dispatch", environ=job) == 0
    assert step.run(branch, "workflow_dispatch", environ=job) == 0
    assert {record.sha for record in kept(github)} == {older.source.head_sha}
    assert "is not a commit of main" in step.log
    assert branches == ["main", "main"]


def test_step__that_cannot_comment_exits_by_its_verdict_first(step: Step, github: GitHubDouble) -> None:
    for result, status in ((REGRESSED, 1), (make_result(), 6)):
        github.faults[:] = [Fault("POST", "/comments", Answer(500, {}, {"message": "no"}), times=99)]
        assert step.run(result, "pull_request") == status
        assert "could not write the comment in 3 attempts" in step.error


def test_step__whose_results_could_not_be_written_comments_and_exits_by_its_verdict_first(
    step: Step, github: GitHubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = InputError("could not write result.json: the disk is full")
    for result, status in ((REGRESSED, 1), (make_result(), 2)):
        unwritten = Outcome(result, [], (full,))
        monkeypatch.setattr(Step, "_make_run", lambda *_, found=unwritten: lambda *_: found)
        assert step.run(result, "pull_request") == status
        assert "the disk is full" in step.error
    assert len(github.state.comments[1]) == 1


def test_step__that_fails_shows_no_secret(step: Step, github: GitHubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    value, password = 'sk_test "4eC39HqLyjW"', "hunter2-hunter2"
    forms = [value, base64.b64encode(value.encode()).decode("ascii"), quote(value), json.dumps(value)[1:-1], password]

    def fail(*_: object) -> None:
        raise StackError("web exited", where=value, cause=f"the key is {value}", log=forms)

    monkeypatch.setattr(Step, "_make_run", lambda *_: fail)
    given = {"secrets": "KEY", "registries": f"ghcr.io me {password}"}
    assert step.run(make_result(), "pull_request", environ={"KEY": value}, **given) == 3
    (comment,) = github.state.comments[1]
    log = [line for line in step.log.splitlines() if not line.startswith("::add-mask::")]
    for shown in ("\n".join(log), comment.body, (step.folder / "summary").read_text(encoding="utf-8")):
        assert "web exited" in shown
        assert "the key is ***" in shown.replace("\\", "")
        assert not [form for form in forms if form in shown]


def test_two_configurations_with_one_key__have_two_trends_two_issues_and_a_note_on_the_pull_request(
    step: Step, github: GitHubDouble
) -> None:
    """They share variant, profile, key and history; only one of them gets slower."""
    configs = {"front/bench.yml": (200.0, 200.0), "back/bench.yml": (120.0, 100.0)}
    for config, (before, _) in configs.items():
        store(github).append(_records(config, range(40), before))
    for day in range(40, 46):
        for config, (_, after) in configs.items():
            result = night(day, after, id=f"{config}-{day}")
            assert step.run(result, config=config, trend_issue="true") == 0
            assert "worse" not in step.log or config == "back/bench.yml"
    issues = [one for one in github.state.issues.values() if one.login == "github-actions[bot]"]
    assert len(issues) == 1
    assert "back/bench.yml" in str(issues[0].body)
    for config, attempt in (("front/bench.yml", ""), ("back/bench.yml", "front/bench.yml")):
        assert step.run(make_result(), "pull_request", config=config) == 0
        (comment,) = github.state.comments[1]
        assert (f"replaces that of the benchmark of `{attempt}`" in comment.body) == bool(attempt)
    assert "::warning title=bench-action::the comment replaces that of the benchmark of front/bench.yml" in step.log


def _records(config: str, days: range, speed: float) -> list[Record]:
    """Make the records that these nights' steps would have appended."""
    names: dict[str, Any] = {"config": config, "key": "bench-action", "job": "trend/benchmark"}
    return [record for day in days for record in make_records(night(day, speed, id=f"{config}-{day}", **names))]


def test_two_benchmarks_that_get_worse__open_an_issue_each(step: Step, github: GitHubDouble) -> None:
    for config in ("front/bench.yml", "back/bench.yml"):
        store(github).append(_records(config, range(40), 200))
        for day in range(40, 46):
            step.run(night(day, 150, id=f"{config}-{day}"), config=config, trend_issue="true")
    issues = [one for one in github.state.issues.values() if one.login == "github-actions[bot]"]
    assert len(issues) == 2
    assert {name for name in ("front/", "back/") for one in issues if name in str(one.body)} == {"front/", "back/"}


def test_step__that_could_not_announce_a_change_does_so_next_time(
    step: Step, github: GitHubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(github).append(_records("bench.yml", range(40), 200.0))
    statuses = []
    for day in range(40, 48):
        if "worse, since" not in step.log:
            github.faults[:] = [
                Fault(method, "/issues", Answer(500, {}, {"message": "no"}), times=99) for method in ("GET", "POST")
            ]
            statuses.append(step.run(night(day, 150.0), config="bench.yml", trend_issue="true"))
    assert statuses[-1] == 6
    github.faults.clear()
    assert step.run(night(50, 150.0), config="bench.yml", trend_issue="true") == 0
    (issue,) = [one for one in github.state.issues.values() if one.login == "github-actions[bot]"]
    assert "worse" in str(issue.body)


def test_render_issue__keeps_what_an_open_issue_has_said() -> None:
    """Another cell got worse before, and nobody has closed the issue."""
    records = [record for day in range(60) for record in make_records(night(day, 200.0 if day < 40 else 150.0))]
    worse = [point for point in find_all_change_points(make_series(records)) if point.direction == "worse"]
    title, body = render_issue(worse, "Benchmark: x\n\n- `web · list`: worse, since Monday\n\nFalse alarms: few")
    lines = [line for line in body.splitlines() if line.startswith("- ")]
    assert lines[-1] == "- `web · list`: worse, since Monday"
    assert title == f"The trend has {len(lines)} change points for the worse"
    assert render_issue(worse, body) == (title, body)


def test_render_issue__of_many_changes_fits_into_an_issue() -> None:
    records = [record for day in range(60) for record in make_records(night(day, 200.0 if day < 40 else 150.0))]
    point = find_all_change_points(make_series(records))[0]
    many = [replace(point, first_after=f"{number:040}") for number in range(900)]
    title, body = render_issue(many)
    assert title == "The trend has 900 change points for the worse"
    assert "\n800 more are on the trend's page." in body
    assert len(body) < 65_536


def test_schedule__whose_old_job_runs_again_reports_nothing_twice(step: Step, github: GitHubDouble) -> None:
    store(github).append(_records("bench.yml", range(40), 200))
    reports = 0
    for day in range(40, 47):
        assert step.run(night(day, 150), "schedule", config="bench.yml") == 0
        reports += "worse, since" in step.log
    assert reports == 1
    for n in range(3):  # the job of a night before the change
        assert step.run(night(50 + n, 200, commit=20, id=f"again-{n}"), "schedule", config="bench.yml") == 0
        assert "no new change point" in step.log
    assert len(kept(github)) == 50
    assert step.run(night(60, 150, commit=60), "schedule", config="bench.yml") == 0
    assert "no new change point" in step.log


def test_record_of_2099__is_ignored_and_refused(step: Step, github: GitHubDouble) -> None:
    records = _records("bench.yml", range(44), 200)
    store(github).append([one if n < 40 else one.model_copy(update=_slower(one)) for n, one in enumerate(records)])
    _add(github, make_record("ahead", "2099-01-01T00:00:00Z", "shop"))
    reported = []
    for day in range(44, 50):
        assert step.run(night(day, 150), config="bench.yml") == 0
        assert "ignored 1 record from the future, up to 2099-01-01T00:00:00Z" in step.log
        reported.append("worse, since" in step.log)
    assert any(reported)
    ahead = night(50, 150, started_at="2099-06-01T00:00:00+00:00")
    assert step.run(ahead, config="bench.yml") == 0
    assert "::notice title=trend::1 record not appended: the run of 2099-06-01T00:00:00Z is from the future" in step.log
    assert len(kept(github)) == 51


def _slower(record: Record) -> dict[str, Any]:
    return {"metrics": {**record.metrics, "requests_per_second": (150.0, 149.0, 151.0)}}


def _add(github: GitHubDouble, record: Record) -> None:
    """Append a record as a version without a check of the date would have."""
    files = github.state.git.files(DEFAULT_BRANCH)
    change = append(parse_index(files[INDEX], ""), {}, [record], set(files))
    assert change is not None
    github.state.git.commit({**files, **change.files}, DEFAULT_BRANCH)


def test_history_branch_that_was_force_pushed__is_appended_to_or_named_and_never_hides_the_verdict(
    step: Step, github: GitHubDouble
) -> None:
    """Every step sees the branch for the first time: an older commit of it is a valid history, an edited one is not."""
    store(github).append(_records("bench.yml", range(3), 200))
    old = github.state.git.refs[REF]
    assert step.run(night(5, 200), config="bench.yml") == 0
    github.state.git.refs[REF] = old
    assert step.run(night(6, 200), config="bench.yml") == 0
    assert [record.run_id for record in kept(github)][-1] == "run-6"
    files = github.state.git.files(DEFAULT_BRANCH)
    shard = max(name for name in files if name.startswith("records/"))
    github.state.git.commit({**files, shard: b"".join(files[shard].splitlines(keepends=True)[:-1])}, DEFAULT_BRANCH)
    before = github.state.git.refs[REF]
    assert step.run(night(7, 200), config="bench.yml") == 6
    assert "somebody edited it, or merged or force-pushed the branch" in step.error
    assert step.run(REGRESSED, config="bench.yml") == 1
    assert github.state.git.refs[REF] == before


BOMB = io.BytesIO()
with zipfile.ZipFile(BOMB, "w", zipfile.ZIP_BZIP2) as archive:
    archive.writestr("result.json", b" " * (40 << 20))
CONTRADICTION = make_result(verdict="regressed").model_copy(update={"profiles": ()}).model_dump_json().encode()


def publish_run(step: Step, github: GitHubDouble, pulls: Sequence[Pull], result: Result, **inputs: str) -> int:
    """Publish what a run for a fork's branch has measured."""
    run = github.state.run(pulls[0])
    event = {"id": run.id, "head_sha": run.head_sha, "head_branch": run.head_branch, "conclusion": "success"}
    event["head_repository"] = {"owner": {"login": "stranger"}}
    (step.folder / "workflow_run.json").write_text(json.dumps({"workflow_run": event}), encoding="utf-8")
    environ = {"GITHUB_EVENT_PATH": str(step.folder / "workflow_run.json")}
    github.state.artifact(run, "bench-results", {"result.json": result.model_dump_json()})
    return step.run(result, "workflow_run", environ=environ, publish="bench-results", **inputs)


@pytest.mark.parametrize("measured", [0, 1, None])
def test_step__that_publishes_for_two_pull_requests_of_one_branch_comments_on_the_measured_one(
    step: Step, github: GitHubDouble, measured: int | None
) -> None:
    pulls = [github.state.pull(branch="x|y", repo="stranger/shop") for _ in range(2)]
    pulls[1].head = pulls[0].head
    ref = "refs/heads/x" if measured is None else f"refs/pull/{pulls[measured].number}/merge"
    result = make_result(source=make_result().source.model_copy(update={"ref": ref}))
    assert publish_run(step, github, pulls, result) == 0, step.log
    commented = [number for number, pull in enumerate(pulls) if github.state.comments.get(pull.number)]
    assert commented == ([] if measured is None else [measured])
    assert ("the result does not say which of them was measured" in step.log) == (measured is None)


def test_step__that_publishes_without_a_comment_writes_none(step: Step, github: GitHubDouble) -> None:
    pull = github.state.pull(branch="x|y", repo="stranger/shop")
    assert publish_run(step, github, [pull], make_result(), comment="never") == 0, step.log
    assert not github.state.comments.get(pull.number)


@pytest.mark.parametrize(
    "artifact",
    [b"no zip", BOMB.getvalue(), {"result.json": b"{}"}, {"result.json": CONTRADICTION}, {"other.json": b"{}"}, None],
    ids=["no zip", "bomb", "another schema", "contradiction", "no result", "no artifact"],
)
def test_step__that_publishes_an_unusable_artifact_replaces_the_old_comment_and_is_bad_input(
    step: Step, github: GitHubDouble, artifact: Any
) -> None:
    pull = github.state.pull(branch="x|y", repo="stranger/shop")
    run = github.state.run(pull)
    event = {
        "workflow_run": {
            "id": run.id,
            "head_sha": run.head_sha,
            "head_branch": run.head_branch,
            "conclusion": "failure",
            "head_repository": {"owner": {"login": "stranger"}},
        }
    }
    (step.folder / "workflow_run.json").write_text(json.dumps(event), encoding="utf-8")
    environ = {"GITHUB_EVENT_PATH": str(step.folder / "workflow_run.json")}

    def publish(content: Any) -> int:
        stored = github.state.artifact(run, "bench-results", content)
        status = step.run(make_result(), "workflow_run", environ=environ, publish="bench-results")
        github.state.artifacts.pop(stored.id)
        return status

    assert publish({"result.json": make_result().model_dump_json()}) == 0, step.log
    if artifact is None:  # the fork's next run failed before it had a result
        assert step.run(make_result(), "workflow_run", environ=environ, publish="bench-results") == 6
    else:
        assert publish(artifact) == 2, step.log
    assert "Traceback" not in step.log
    (comment,) = github.state.comments[pull.number]
    assert comment.body.splitlines()[1].startswith("### ⚪ bench-action could not use the fork's result: ")
    assert "No verdict on this change." in comment.body
