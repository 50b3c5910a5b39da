"""Publish a result: in the job's summary, annotations and outputs, and in one comment on the pull request."""

import json
import re
import stat
from collections.abc import Callable, Mapping, Sized
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench_action.github.artifacts import LARGEST_RESULT, RESULT
from bench_action.github.client import Access
from bench_action.github.commands import Commands, Level
from bench_action.github.comments import upsert_comment
from bench_action.github.texts import UNKNOWN, Origin
from bench_action.model.errors import BenchError, InputError, PublishError
from bench_action.model.result import Result, RunInfo
from bench_action.model.visible import remove_invisible
from bench_action.report.change import list_comparisons, list_losses
from bench_action.report.comment import Links, render_comment, render_failure
from bench_action.report.folder import explain_contradictions
from bench_action.report.markdown import render_markdown
from bench_action.report.sentences import describe_loss
from bench_action.report.view import make_view

_LONGEST_STRING = 4000
_LARGEST_NUMBER = 2**53  # up to which a float is exact
# more than any run has: 20,000 trials of a second take 6 h. Rendering takes time for each pair of some of them
_MOST = {"trials": 20_000, "profiles": 200, "subjects": 200, "summaries": 2_000, "compared": 2_000, "routes": 2_000}
_MOST_OTHERS = 5_000
_ANY_RUN = "bench-action run"
_WORD = re.compile(r"[A-Za-z0-9@%_.,:=/+][A-Za-z0-9@%_.,:=/+-]*")
# what `Options.command` writes, without `--secrets`, as forks have none
_OPTIONS = frozenset(
    ["preset", "variant", "profile", "compare", "baseline", "rules", "self-test", "max-minutes", "shard", "seed"]
)
_SAME_VERSION = "use the same version of bench-action in both jobs"
_READ_ONLY = (
    "this job's token is read-only, as on a pull request from a fork: let a `workflow_run` job publish the result "
    "(examples/fork-safe-publish.yml)"
)


@dataclass(frozen=True, slots=True)
class Texts:
    """Everything that is published of one result. `annotations`: level, title, message; `outputs`: of the step."""

    comment: str
    summary: str
    annotations: list[tuple[Level, str, str]]
    outputs: dict[str, str]


@dataclass(frozen=True, slots=True)
class Publisher:
    """Where to publish. `pull`: the pull request, None for no comment. `access`: None without a token.

    `origin`: identifies this step to the comment's next writer.
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
        """Publish a result. `folder`: where its files are, None if they are not kept.

        Raises PublishError once everything else has been published, and InputError, before anything is published, for
        another job's result that cannot be shown.
        """
        self._publish(self._render(result, folder))

    def publish_failure(self, error: BenchError, *, only_replace: bool = False) -> None:
        """Publish why there is no result. `only_replace`: begin no comment for it. Raises PublishError."""
        text = render_failure(error, self.links)
        outputs = {"verdict": "invalid", "compared": "0"}
        self._publish(Texts(text, text, [("error", "bench-action", str(error))], outputs), only_replace=only_replace)

    def _publish(self, texts: Texts, *, only_replace: bool = False) -> None:
        """Publish each text; a part that fails takes no other with it. Raises the first PublishError at the end."""
        for level, title, message in texts.annotations:
            self.commands.annotate(level, title, message)
        failures = []
        for publish in (
            partial(self.commands.write_summary, texts.summary, texts.comment) if self.summary else None,
            partial(self.commands.set_outputs, texts.outputs),
            partial(self._write_comment, texts.comment, only_replace=only_replace),
        ):
            try:
                if publish is not None:
                    publish()
            except PublishError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _render(self, result: Result, folder: Path | None) -> Texts:
        """Render everything. What another job measured may contradict itself in any way."""
        explained = explain_contradictions("could not show the other job's result", _SAME_VERSION)
        with explained if self.links.foreign else nullcontext():
            return Texts(
                render_comment(result, self.links),
                render_markdown(make_view(result), pictures=False),
                list_annotations(result),
                make_outputs(result, folder),
            )

    def _write_comment(self, text: str, *, only_replace: bool = False) -> None:
        if self.pull is None or self.access is None:
            return
        try:
            posted = upsert_comment(self.access, self.pull, self.key, text, self.origin, only_replace=only_replace)
        except PublishError as error:
            if error.status == 403 and "not accessible" in error.what:
                self.say(f"no comment: {_READ_ONLY}")
                self.commands.annotate("notice", "bench-action", f"No comment: {_READ_ONLY}.")
                return
            raise
        if not posted.url:
            self.say("no comment: nothing to replace")
            return
        self.say(f"comment: {posted.url}")
        self.commands.set_outputs({"comment-url": posted.url})
        if posted.replaced:
            warning = f"the comment replaces that of {posted.replaced}: give each benchmark its own `comment-key`"
            self.say(warning)
            self.commands.annotate("warning", "bench-action", warning.replace("`", ""))


def list_annotations(result: Result) -> list[tuple[Level, str, str]]:
    """List level, title and message of each annotation, the gravest first, as the runner shows ten of each level."""
    annotations: list[tuple[Level, str, str]] = []
    for c in list_losses(result):
        level: Level = "error" if c.verdict == "regressed" and c.level == "fail" else "warning"
        annotations.append((level, c.cell, describe_loss(c).replace("`", "")))
    annotations += [("error", finding.cell, finding.message) for finding in result.findings if finding.fails]
    for code in sorted({warning.code for warning in result.warnings}, key=lambda code: not code.grave):
        first, *others = [warning for warning in result.warnings if warning.code is code]
        more = f" (and {len(others)} more like this)" if others else ""
        level = "error" if code.invalidates else "warning"
        annotations.append((level, first.cell or "bench-action", f"{first.message}{more}. {first.advice}"))
    return list(dict.fromkeys(annotations))


def make_outputs(result: Result, folder: Path | None) -> dict[str, str]:
    """Make the step's outputs; lists and mappings are JSON, which a workflow reads with `fromJSON`."""
    lost = [c for c in list_comparisons(result) if c.verdict == "regressed" and c.level == "fail"]
    regressions = [{"cell": f"{c.variant} · {c.profile}", "metric": c.metric, "ratio": c.ratio} for c in lost]
    speeds = {
        s.cell: round(s.metrics["requests_per_second"].mean, 3)
        for s in result.summaries
        if "requests_per_second" in s.metrics
    }
    detectable = [
        c.smallest_detectable for c in list_comparisons(result) if c.gate is not None and c.smallest_detectable
    ]
    return {
        "verdict": result.verdict,
        "result": str(folder / RESULT) if folder else "",
        "report": str(folder / "report.md") if folder else "",
        "compared": str(len(result.compared)),
        "regressions": json.dumps(regressions, ensure_ascii=False),
        "smallest-detectable": f"{max(detectable):.4f}" if detectable else "",
        "requests-per-second": json.dumps(speeds, ensure_ascii=False),
    }


def read_foreign_result(folder: Path) -> Result:
    """Read a result that another job made, which is not trusted.

    Its size, its numbers and the length of its lists are limited, it must match the schema, and characters that are
    invisible or could end markup are removed. Raises InputError.
    """
    path = folder / RESULT
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_RESULT:
            raise InputError(f"the other job's {RESULT} is not a regular file, or has over {LARGEST_RESULT:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        result = Result.model_validate(_clean(Result.model_validate(content).model_dump()))
        # our own advice, not the other job's
        warnings = tuple(warning.model_copy(update={"advice": warning.code.advice}) for warning in result.warnings)
        return result.model_copy(update={"warnings": warnings, "run": _make_plain(result.run)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:200]
        what = f"the other job's {RESULT} is not a result of this version of bench-action"
        raise InputError(what, cause=f"{where}: {first['msg'][:200]}", advice=_SAME_VERSION) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"could not read the other job's {RESULT}: {str(error)[:200]}") from error


def _make_plain(run: RunInfo) -> RunInfo:
    """Replace a command that is more than options of `bench-action run`, as people are advised to run it."""
    words = run.command.split(" ")
    plain = all(
        word.removeprefix("--") in _OPTIONS if word.startswith("-") else _WORD.fullmatch(word) for word in words
    )
    return run if plain and words[:2] == ["bench-action", "run"] else run.model_copy(update={"command": _ANY_RUN})


def require_usual_size(result: Result) -> None:
    """Require that what was merged is no larger than what one run may have. Raises InputError."""
    for name, most in _MOST.items():
        if name != "compared" and len(getattr(result, name)) > most:
            raise InputError(f"the other jobs' results have more than {most:,} {name} together")


def _refuse_constant(text: str) -> float:
    raise ValueError(f"a result must not contain {text}")


def _clean(value: Any) -> Any:
    """Shorten every string, and remove invisible characters, and backticks, which would end a code span.

    Raises ValueError for a number that is too large, and for a collection that is too long.
    """
    if isinstance(value, str):
        return remove_invisible(value).replace("`", "'")[:_LONGEST_STRING]
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(item, Sized) and not isinstance(item, str) and len(item) > _MOST.get(name, _MOST_OTHERS):
                raise ValueError(f"`{_clean(name)[:80]}` has {len(item):,} entries, more than any run has")
        return {_clean(name): _clean(item) for name, item in value.items()}
    if isinstance(value, tuple):
        if len(value) > _MOST_OTHERS and not isinstance(value[0], Mapping):
            raise ValueError(f"a list has {len(value):,} entries, more than any run has")
        return [_clean(item) for item in value]
    if isinstance(value, float | int) and abs(value) > _LARGEST_NUMBER:
        raise ValueError("it has a number that no run measures")
    return value
