"""Add a run of the default branch to the history, and report new change points by annotations and in an issue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench_action.github.client import Access
from bench_action.github.commands import Commands
from bench_action.github.issues import upsert_issue
from bench_action.history.github import open_github_history
from bench_action.history.recording import make_records
from bench_action.model.benchmark import Benchmark
from bench_action.model.errors import PublishError
from bench_action.model.result import Result
from bench_action.model.wording import make_line, plural
from bench_action.report.templating import escape_text
from bench_action.trend.change_points import ChangePoint
from bench_action.trend.check import describe_change, describe_false_alarms
from bench_action.trend.trends import Trends, explain_nothing_to_append

_NO_HISTORY = (
    "the token may not write to the repository: give the job `permissions: contents: write`, or set "
    "`history-branch: none`"
)
_MOST_LINES = 100  # of an issue, which GitHub limits to 65,536 characters
_NO_ISSUE = (
    "the token may not write issues, or the repository has none: give the job `permissions: issues: write`, or set "
    "`trend-issue: false`"
)


@dataclass(frozen=True, slots=True)
class HistoryPublisher:
    """Publishes to a history. `issue`: whether a change for the worse opens or updates the benchmark's issue.

    `repository`: the address of the repository's page.
    """

    commands: Commands
    access: Access
    branch: str
    issue: bool
    repository: str
    say: Callable[[str], None] = print

    def publish(self, result: Result, site: Path) -> None:
        """Append a result, check the trend, and render the page into `site`.

        If the token may not write, or the run has nothing to append, a notice is shown. Raises PublishError,
        InputError.
        """
        history = open_github_history(self.access, self.branch, warn=self._notice)
        trends = Trends(history, lambda text: self.say(make_line(text)))
        new: Sequence[ChangePoint] = ()
        try:
            if make_records(result):
                trends.append([result])
                new = trends.check(result.run.benchmark)
            else:
                self._notice(explain_nothing_to_append(result))
            trends.render(site, self.repository)
        except PublishError as error:
            if error.status != 403:
                raise
            self._notice(f"no history: {_NO_HISTORY}")
            return
        self._announce(new, result.run.benchmark)
        trends.mark(new)  # only now, so that the next run announces what this one could not

    def _announce(self, new: Sequence[ChangePoint], benchmark: Benchmark) -> None:
        worse = [point for point in new if point.direction == "worse"]
        for point in new:
            self.commands.annotate("warning" if point in worse else "notice", "trend", describe_change(point))
        if not worse or not self.issue:
            return
        try:
            address = upsert_issue(self.access, f"trend {benchmark.id}", partial(render_issue, worse))
            self.say(f"issue: {address}")
        except PublishError as error:
            if error.status not in {403, 410}:  # 410: the repository has no issues
                raise
            self._notice(f"no issue: {_NO_ISSUE}")

    def _notice(self, text: str) -> None:
        self.say(text)
        self.commands.annotate("notice", "trend", text)


def render_issue(worse: Sequence[ChangePoint], former: str = "") -> tuple[str, str]:
    """Render the title and the markdown of an issue about change points of one benchmark.

    `former`: the issue's present text; its change points stay, as it is still open.
    """
    new = [f"- {escape_text(describe_change(point))}" for point in worse]
    known = [line for line in former.splitlines() if line.startswith("- ") and line not in new]
    lost = len(new) + len(known)
    title = f"The trend has {plural(lost, 'change point')} for the worse"
    benchmark = worse[0].series.benchmark
    parts = (benchmark.config, benchmark.job, benchmark.key)
    name = escape_text(" · ".join(part for part in parts if part))
    lines = [f"Benchmark: {name}", ""] if name else []
    lines += [*new, *known][:_MOST_LINES]
    if lost > _MOST_LINES:
        lines.append(f"\n{lost - _MOST_LINES} more are on the trend's page.")
    return title, "\n".join([*lines, "", escape_text(describe_false_alarms())])
