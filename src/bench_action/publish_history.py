"""A run of the default branch, added to the history; what is new in the trend, told on the run and in an issue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_action.github.client import Access
from bench_action.github.commands import Commands
from bench_action.github.issues import upsert_issue
from bench_action.history.github import github_store
from bench_action.model.errors import PublishError
from bench_action.model.result import Result
from bench_action.model.wording import plural
from bench_action.report.templating import escape_text
from bench_action.trend.change_points import ChangePoint
from bench_action.trend.check import assurance, sentence
from bench_action.trends import Trends

_REFUSED = (
    "the token may not write to the repository: give the job `permissions: contents: write`, or set "
    "`history-branch: none`"
)


@dataclass(frozen=True, slots=True)
class HistoryPublisher:
    """`issue`: whether a change for the worse opens or updates one, with this `key`; `repository`: its address."""

    commands: Commands
    access: Access
    branch: str
    key: str
    issue: bool
    repository: str
    say: Callable[[str], None] = print

    def publish(self, result: Result, site: Path) -> None:
        """Append, check, and draw the page into `site`; a token that may not write is no failure.

        Raises PublishError, InputError.
        """
        try:
            trends = Trends(github_store(self.access, self.branch, tell=self.say), self.say)
            trends.append([result])
            new = trends.check()
            trends.render(site, self.repository)
        except PublishError as error:
            if error.status != 403:
                raise
            self.say(f"no history: {_REFUSED}")
            self.commands.annotate("notice", "bench-action", f"No history: {_REFUSED}.")
            return
        worse = [point for point in new if point.direction == "worse"]
        for point in new:
            self.commands.annotate("warning" if point in worse else "notice", "trend", sentence(point))
        if worse and self.issue:
            title, body = issue_of(worse)
            self.say(f"issue: {upsert_issue(self.access, f'trend {self.key}', title, body)}")


def issue_of(worse: Sequence[ChangePoint]) -> tuple[str, str]:
    """Title and markdown."""
    title = f"The trend has {plural(len(worse), 'new change point')} for the worse"
    lines = [f"- {escape_text(sentence(point))}" for point in worse]
    return title, "\n".join([*lines, "", escape_text(assurance())])
