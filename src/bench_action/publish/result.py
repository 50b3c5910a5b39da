"""A result, told where people look: the job's summary, annotations and outputs, and one comment on the pull request."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench_action.github.artifacts import LARGEST_RESULT, RESULT
from bench_action.github.client import Access
from bench_action.github.commands import Commands, Level
from bench_action.github.comments import upsert_comment
from bench_action.github.texts import UNKNOWN, Origin
from bench_action.model.errors import BenchError, InputError, PublishError
from bench_action.model.result import Result
from bench_action.report.change import list_comparisons, list_losses
from bench_action.report.comment import Links, render_comment, render_failure
from bench_action.report.markdown import render_markdown
from bench_action.report.sentences import describe_loss
from bench_action.report.view import make_view

_LONGEST_STRING = 4000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_FORK = "this job's token may only read, as a fork's does: a `workflow_run` job can publish the result (README, Forks)"


@dataclass(frozen=True, slots=True)
class Publisher:
    """Where to tell it. `pull`: the pull request, None for no comment; `access`: None without a token.
    `origin`: who we are to the comment's next writer.
    """

    commands: Commands
    links: Links
    pull: int | None = None
    access: Access | None = None
    key: str = "bench-action"
    summary: bool = True
    say: Callable[[str], None] = print
    origin: Origin = UNKNOWN

    def publish(self, result: Result, folder: Path | None) -> None:
        """Everything that a result gives. `folder`: where its files are, None where they do not stay.

        Raises PublishError after all that could be told has been.
        """
        comment = render_comment(result, self.links)
        if self.summary:
            self.commands.summary(render_markdown(make_view(result)), comment)
        for level, title, message in annotations(result):
            self.commands.annotate(level, title, message)
        self.commands.outputs(outputs(result, folder))
        self._comment(comment)

    def publish_failure(self, error: BenchError) -> None:
        """What is told where there is no result. Raises PublishError."""
        text = render_failure(error, self.links)
        if self.summary:
            self.commands.summary(text, text)
        self.commands.annotate("error", "bench-action", str(error))
        self.commands.outputs({"verdict": "invalid", "compared": "0"})
        self._comment(text)

    def _comment(self, text: str) -> None:
        if self.pull is None or self.access is None:
            return
        try:
            posted = upsert_comment(self.access, self.pull, self.key, text, self.origin)
        except PublishError as error:
            if error.status == 403 and "not accessible" in error.what:
                self.say(f"no comment: {_FORK}")
                self.commands.annotate("notice", "bench-action", f"No comment: {_FORK}.")
                return
            raise
        self.say(f"comment: {posted.url}")
        self.commands.outputs({"comment-url": posted.url})
        if posted.replaced:
            notice = f"the comment replaces that of {posted.replaced}: give each benchmark its own `comment-key`"
            self.say(notice)
            self.commands.annotate("warning", "bench-action", notice.replace("`", ""))


def annotations(result: Result) -> list[tuple[Level, str, str]]:
    """Level, title and message of each; the runner takes ten of each level, so that the gravest come first."""
    found: list[tuple[Level, str, str]] = []
    for c in list_losses(result):
        level: Level = "error" if c.verdict == "regressed" and c.level == "fail" else "warning"
        found.append((level, f"{c.variant} · {c.profile}", describe_loss(c).replace("`", "")))
    found += [("error", one.cell, one.message) for one in result.findings if one.fails]
    for code in sorted({warned.code for warned in result.warnings}, key=lambda code: not code.grave):
        own = [warned for warned in result.warnings if warned.code is code]
        more = f" (and {len(own) - 1} more like this)" if len(own) > 1 else ""
        level = "error" if code.invalidates else "warning"
        found.append((level, own[0].cell or "bench-action", f"{own[0].message}{more}. {own[0].advice}"))
    return list(dict.fromkeys(found))


def outputs(result: Result, folder: Path | None) -> dict[str, str]:
    """The step's outputs; lists and mappings are JSON, which a workflow reads with `fromJSON`."""
    lost = [c for c in list_comparisons(result) if c.verdict == "regressed" and c.level == "fail"]
    regressions = [{"cell": f"{c.variant} · {c.profile}", "metric": c.metric, "ratio": c.ratio} for c in lost]
    speeds = {
        s.cell: round(s.metrics["requests_per_second"].mean, 3)
        for s in result.summaries
        if "requests_per_second" in s.metrics
    }
    seen = [c.smallest_detectable for c in list_comparisons(result) if c.gate is not None and c.smallest_detectable]
    return {
        "verdict": result.verdict,
        "result": str(folder / RESULT) if folder else "",
        "report": str(folder / "report.md") if folder else "",
        "compared": str(len(result.compared)),
        "regressions": json.dumps(regressions, ensure_ascii=False),
        "smallest-detectable": f"{max(seen):.4f}" if seen else "",
        "requests-per-second": json.dumps(speeds, ensure_ascii=False),
    }


def read_foreign_result(folder: Path) -> Result:
    """A result that another job made, as data: size, schema, finite numbers, and no character that hides another.

    Raises InputError.
    """
    path = folder / RESULT
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST_RESULT:
            raise InputError(f"{path} is no plain file of at most {LARGEST_RESULT:,} bytes")
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_finite)
        result = Result.model_validate(_cleaned(found))
        # our own advice, not what the other job says that it is
        warnings = tuple(one.model_copy(update={"advice": one.code.advice}) for one in result.warnings)
        return result.model_copy(update={"warnings": warnings})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:200]
        raise InputError(f"{path} is no result of bench-action: {where}: {first['msg'][:200]}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a result: {str(error)[:200]}") from error


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is no number that a result may hold")


def _cleaned(value: Any) -> Any:
    """The same with every string short, and without control characters and backticks, which would end a code span."""
    if isinstance(value, str):
        return _CONTROL.sub(" ", value).replace("`", "'")[:_LONGEST_STRING]
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    if isinstance(value, Mapping):
        return {_cleaned(name): _cleaned(one) for name, one in value.items()}
    return value
