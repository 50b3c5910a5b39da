"""Choose the revisions that an event compares: HEAD, which must belong to it, and what that would be merged into."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench_action.config.schema import USUAL_FILES
from bench_action.git.sources import read_files, read_head_and_parents
from bench_action.github.client import Access
from bench_action.github.event import Event, WorkflowRun
from bench_action.github.pulls import fetch_merge_base, fetch_pull_commits
from bench_action.model.errors import InputError, PublishError

_SHORT = 7
_AUTO, _NONE = "auto", "none"
_BUILDS = re.compile(rb"^\s*(build|include|extends)\s*:|[{,]\s*build\s*:", re.MULTILINE)
# all characters but these are replaced before a log shows the name of a branch; it may legally contain @ and <
_UNSAFE = re.compile(r"[^\w./+#-]")


@dataclass(frozen=True, slots=True)
class Checkout:
    """The work tree that the configuration is in: its folder, HEAD and HEAD's parents, which are empty without git."""

    folder: Path
    head: str
    parents: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> "Checkout":
        """Read HEAD and its parents with git."""
        head, parents = read_head_and_parents(folder)
        return cls(folder, head, tuple(parents))

    def holds(self, commit: str) -> bool:
        """Whether HEAD is this commit, a merge of it, or a commit that the workflow made on top of it."""
        return bool(commit) and commit in {self.head, *self.parents}


@dataclass(frozen=True, slots=True)
class BaselineChoice:
    """The revision to compare with, if any, and a line for the log that says what is compared and why."""

    baseline: str | None
    why: str


def choose_revisions(baseline: str, event: Event, access: Access | None, folder: Path) -> BaselineChoice:
    """Choose what is compared. `baseline`: the action's input. `folder`: the configuration's.

    Raises InputError if HEAD does not belong to the event, as a verdict on another commit would be reported as the pull
    request's. Raises PublishError if GitHub does not name the pull request's commits.
    """
    checkout = Checkout.read(folder)
    if event.pull is not None:
        event = add_commits(event, access)
        require_pull_request(event, checkout)
    elif event.name == "merge_group":
        require_merge_group(event, checkout)
    elif event.workflow_run is not None:
        require_own_code(event, event.workflow_run, checkout)
    if baseline != _AUTO:
        revision = None if baseline == _NONE else baseline
        why = f"compared with {_make_safe(baseline)}" if revision else "measured alone"
        return BaselineChoice(revision, f"{_describe(event, checkout)}: {why}, as requested by `baseline`")
    if event.pull is not None:
        return _choose_pull_base(event, checkout, access)
    if event.name == "merge_group" and event.base_sha:
        return BaselineChoice(
            event.base_sha, f"{_describe(event, checkout)}: compared with its base {event.base_sha[:_SHORT]}"
        )
    why = "the default branch is" if event.on_default_branch else "nothing to compare with,"
    return BaselineChoice(None, f"{_describe(event, checkout)}: {why} measured alone; set `baseline:` to compare")


def require_no_configuration(
    choice: BaselineChoice, event: Event, folder: Path, environ: Mapping[str, str] | None = None
) -> None:
    """Raise InputError if the code that an event brings has no bench.yml, and what it is compared with has one."""
    base = choice.baseline
    if base is None:
        return
    texts = read_files(folder, base, USUAL_FILES, environ)
    missing = next((name for name, text in texts.items() if _is_missed(folder / name, text)), "")
    if not missing:
        return
    raise InputError(
        f"no {missing} found, and base {base[:_SHORT]} has one",
        cause="it was removed or moved, or the checkout has another `path:`" if event.pull else "it was removed",
        advice="set `config:` to where it is; to stop measuring, remove this step",
    )


def _is_missed(file: Path, text: bytes) -> bool:
    """Whether base's file says what is measured, and head's does not: a compose file may only have services."""
    if not text or file.name == "bench.yml":
        return bool(text) and not file.is_file()
    return _BUILDS.search(text) is not None and not (file.is_file() and file.read_bytes() == text)


def explain_stranger(head: str, event: Event, access: Access) -> str:
    """Explain why a commit does not belong in the default branch's history; empty if it does.

    A job for the default branch may check out another commit. One of another repository, or one that this job has made,
    is unknown to GitHub, and is what the workflow wants to measure. Raises PublishError if GitHub does not answer.
    """
    if not head or not event.sha or head == event.sha:
        return ""
    branch = event.ref.removeprefix("refs/heads/")
    if _find_on_branch(access, branch, head) in {"", head}:
        return ""
    return f"nothing was added, as {head[:_SHORT]} is not a commit of {_make_safe(branch)}"


def require_pull_request(event: Event, checkout: Checkout) -> None:
    """Raise InputError unless HEAD is the pull request's head, or its merge commit, and its code may run."""
    if event.name == "pull_request_target" and checkout.head and checkout.head not in {event.base_sha, event.sha}:
        raise InputError(
            f"refused to run code of pull request #{event.pull} on `pull_request_target`",
            cause="this event gives the job secrets and a token that can write, and anyone may open a pull request",
            advice="trigger the workflow by `pull_request`; to comment on a fork's pull request, see "
            "examples/fork-safe-publish.yml",
        )
    if not checkout.holds(event.head_sha):
        raise _explain_wrong_head(event, checkout)


def require_merge_group(event: Event, checkout: Checkout) -> None:
    """Raise InputError unless HEAD is the merge queue's commit."""
    if event.head_sha and not checkout.holds(event.head_sha):
        raise InputError(
            f"HEAD is not the merge queue's commit: {_describe_head(checkout)}, and the queue's commit is "
            f"{event.head_sha[:_SHORT]}",
            cause="the checkout names another revision",
            advice=_suggest_ref("${{ github.event.merge_group.head_sha }}"),
        )


def require_own_code(event: Event, run: WorkflowRun, checkout: Checkout) -> None:
    """Raise InputError if HEAD may be a fork's commit on `workflow_run`, whose token can write.

    Any commit but the job's own may be the fork's: its branch may have been pushed to since.
    """
    if event.is_own(run) or _is_jobs_own(event, checkout):
        return
    if not checkout.head:
        raise InputError(
            f"could not check whose code this is, on `workflow_run`: {checkout.folder} is in no git repository",
            cause="no step checks out this repository, the code was unpacked from an archive, or git is not installed",
            advice="measure in the `pull_request` workflow, and only publish here: see examples/fork-safe-publish.yml",
        )
    raise InputError(
        f"refused to run code of {_make_safe(run.head_owner) or 'a deleted repository'}'s fork on `workflow_run`",
        cause="this event gives the job secrets and a token that can write, and anyone may open a pull request",
        advice="measure in the `pull_request` workflow, and only publish here: see examples/fork-safe-publish.yml",
    )


def is_foreign(event: Event, folder: Path) -> bool:
    """Whether the configuration in a folder may belong to code that is not merged yet."""
    if event.workflow_run is not None:
        return not _is_jobs_own(event, Checkout.read(folder))
    return event.has_own_code


def _is_jobs_own(event: Event, checkout: Checkout) -> bool:
    """Whether HEAD is the job's own commit: on `workflow_run`, one of the default branch."""
    return bool(checkout.head) and checkout.head == event.sha


def _explain_wrong_head(event: Event, checkout: Checkout) -> InputError:
    number, head = event.pull, event.head_sha[:_SHORT]
    if not checkout.head:
        return InputError(
            f"could not check that HEAD is pull request #{number}: {checkout.folder} is in no git repository",
            cause="no step checks out the pull request, it has another `path:`, or git is not installed",
            advice="add a step `uses: actions/checkout` before this one",
        )
    cause = "the checkout names another revision, or newer commits were pushed"
    advice = _suggest_ref("refs/pull/${{ github.event.pull_request.number }}/merge")
    if event.name == "pull_request_target":
        cause = "`pull_request_target` checks out the branch that the pull request would be merged into"
        advice = "trigger the workflow by `pull_request`, which checks out the pull request"
    elif event.name == "issue_comment":
        if checkout.head == (event.sha or checkout.head):
            cause = "`issue_comment` runs on the default branch, which actions/checkout checks out unless `ref` is set"
        advice = _suggest_ref(
            "refs/pull/${{ github.event.issue.number }}/merge",
            "check first who comments, as examples/label-or-comment.yml does; then ",
        )
    return InputError(
        f"HEAD is not pull request #{number}: {_describe_head(checkout)}, and the head of the pull request is {head}",
        cause=cause,
        advice=advice,
    )


def add_commits(event: Event, access: Access | None) -> Event:
    """Add the pull request's commits, from GitHub if the event does not name them. Raises InputError, PublishError."""
    if event.head_sha or event.pull is None:
        return event
    if access is None:
        raise InputError(
            f"could not check that HEAD is pull request #{event.pull}: a token is needed",
            cause=f"the event `{_make_safe(event.name)}` does not name the pull request's commit",
            advice="leave `github-token` out, as the default is the job's own token",
        )
    branch, base, head = fetch_pull_commits(access, event.pull)
    return replace(event, base_branch=branch, base_sha=base, head_sha=head)


def _choose_pull_base(event: Event, checkout: Checkout, access: Access | None) -> BaselineChoice:
    """Choose the first parent of the pull request's merge commit or, if HEAD is not one, the merge base."""
    subject = _describe(event, checkout)
    if _merges_into_base(event, checkout, access):
        base = checkout.parents[0]
        return BaselineChoice(base, f"{subject}: compared with {base[:_SHORT]}, which it would be merged into")
    if access is None:
        raise InputError(
            "`baseline: auto` needs a token if HEAD is not the merge commit of the pull request",
            advice="leave `github-token` out, set `baseline`, or remove `ref` from actions/checkout",
        )
    base = fetch_merge_base(access, event.base_sha, event.head_sha)
    return BaselineChoice(base, f"{subject}: compared with {base[:_SHORT]}, where it left its base branch")


def _merges_into_base(event: Event, checkout: Checkout, access: Access | None) -> bool:
    """Whether HEAD merges the pull request's head into a commit of its base branch.

    A newer commit of the pull request may be a merge of the event's with any other, which its author would choose.
    """
    if len(checkout.parents) != 2 or checkout.parents[1] != event.head_sha:
        return False
    if checkout.head == event.sha:  # GitHub made it
        return True
    into = checkout.parents[0]
    return access is not None and bool(event.base_branch) and _find_on_branch(access, event.base_branch, into) == into


def _find_on_branch(access: Access, branch: str, commit: str) -> str:
    """Find where a commit left a branch as it is now, which may have newer commits than the job's.

    Empty if GitHub does not know the commit, the commit itself if it is on the branch. Raises PublishError.
    """
    try:
        return fetch_merge_base(access, branch, commit)
    except PublishError as error:
        if error.status != 404:
            raise
        return ""


def _describe(event: Event, checkout: Checkout) -> str:
    """Describe what is measured: "pull request #5 at 1a2b3c4", "push to feature/x at 1a2b3c4"."""
    where = f" at {checkout.head[:_SHORT]}" if checkout.head else ""
    if event.pull is None and event.sha and checkout.head and not checkout.holds(event.sha):
        where += f" (not {event.sha[:_SHORT]}, which the job runs for)"
    if event.pull is not None:
        return f"pull request #{event.pull}{where}"
    if event.name == "merge_group":
        return f"merge group{where}"
    ref = _make_safe(event.ref.removeprefix("refs/heads/").removeprefix("refs/"))
    link = "to" if event.name == "push" else "on"
    return f"{_make_safe(event.name) or 'unknown event'}{f' {link} {ref}' if ref else ''}{where}"


def _describe_head(checkout: Checkout) -> str:
    return f"{checkout.folder} is at {checkout.head[:_SHORT] or 'no commit'}"


def _suggest_ref(ref: str, before: str = "") -> str:
    """Suggest two lines for a workflow, which are printed below the first line of the advice."""
    return f"{before}add to the step that checks out the code:\n            with:\n              ref: {ref}"


def _make_safe(name: str) -> str:
    return _UNSAFE.sub("?", name)
