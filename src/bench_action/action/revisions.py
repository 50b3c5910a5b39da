"""Which two revisions an event compares: HEAD must be what it is about, and base is what that would be merged into."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from bench_action.git.sources import head_and_parents
from bench_action.github.client import Access
from bench_action.github.event import Event
from bench_action.github.pulls import merge_base, pull_shas
from bench_action.model.errors import InputError

_SHORT = 7
_AUTO, _NONE = "auto", "none"
# characters of a legal branch name that a log may hold as they are; @ and < are not among them
_STRANGE = re.compile(r"[^\w./+#-]")


@dataclass(frozen=True, slots=True)
class Checkout:
    """The work tree that holds the configuration: its folder, HEAD and HEAD's parents (empty if there is none)."""

    folder: Path
    head: str
    parents: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> "Checkout":
        """Read it with git."""
        head, parents = head_and_parents(folder)
        return cls(folder, head, tuple(parents))

    def holds(self, commit: str) -> bool:
        """Whether HEAD is this commit, a merge of it, or made from it by the workflow."""
        return bool(commit) and commit in {self.head, *self.parents}


@dataclass(frozen=True, slots=True)
class Choice:
    """The revision to compare with, None for none, and one line for the log that says what is compared and why."""

    baseline: str | None
    why: str


def choose_revisions(baseline: str, event: Event, access: Access | None, folder: Path) -> Choice:
    """Decide what is compared. `baseline`: the action's input; `folder`: that of the configuration.

    Raises InputError if HEAD is not what the event is about: a verdict on another commit would be reported as the pull
    request's. Raises PublishError if GitHub does not say what the pull request's commits are.
    """
    checkout = Checkout.read(folder)
    if event.pull is not None:
        event = _with_shas(event, access)
        require_pull_request(event, checkout)
    elif event.name == "merge_group":
        require_merge_group(event, checkout)
    if baseline != _AUTO:
        found = None if baseline == _NONE else baseline
        why = f"compared with {_plain(baseline)}" if found else "measured alone"
        return Choice(found, f"{_subject(event, checkout)}: {why}, as `baseline` says")
    if event.pull is not None:
        return _base_of_pull(event, checkout, access)
    if event.name == "merge_group" and event.base_sha:
        return Choice(event.base_sha, f"{_subject(event, checkout)}: compared with its base {event.base_sha[:_SHORT]}")
    return Choice(None, f"{_subject(event, checkout)}: {_why_alone(event)}")


def require_pull_request(event: Event, checkout: Checkout) -> None:
    """Raises InputError unless HEAD is the pull request's head, or its merge commit, and its code may run."""
    if event.name == "pull_request_target" and checkout.head and checkout.head not in {event.base_sha, event.sha}:
        raise InputError(
            f"refused to run code of pull request #{event.pull} on `pull_request_target`",
            cause="this event gives the job secrets and a token that can write, and anyone may open a pull request",
            advice="start the workflow by `pull_request`; for the comment on a fork's, see fork-safe-publish.yml",
        )
    if not checkout.holds(event.head_sha):
        raise _not_the_pull_request(event, checkout)


def require_merge_group(event: Event, checkout: Checkout) -> None:
    """Raises InputError unless HEAD is the merge queue's commit."""
    if event.head_sha and not checkout.holds(event.head_sha):
        raise InputError(
            f"HEAD is not what the merge queue would merge: {_place(checkout)}, and the queue's commit is "
            f"{event.head_sha[:_SHORT]}",
            cause="the checkout names another revision",
            advice=_yaml("${{ github.event.merge_group.head_sha }}"),
        )


def _not_the_pull_request(event: Event, checkout: Checkout) -> InputError:
    number, head = event.pull, event.head_sha[:_SHORT]
    if not checkout.head:
        return InputError(
            f"could not check that HEAD is pull request #{number}: {checkout.folder} is in no git repository",
            cause="no step checks out the pull request, it has another `path:`, or git is not installed",
            advice="add a step `uses: actions/checkout` before this one",
        )
    cause, advice = (
        "the checkout names another revision, or newer commits were pushed",
        _yaml(f"refs/pull/{number}/merge"),
    )
    if event.name == "pull_request_target":
        cause = "`pull_request_target` checks out the branch that the pull request would be merged into"
        advice = "start the workflow by `pull_request`, which checks out the pull request"
    elif event.name == "issue_comment" and checkout.head == (event.sha or checkout.head):
        cause = "`issue_comment` runs on the default branch: actions/checkout takes that, unless `ref` names another"
    return InputError(
        f"HEAD is not pull request #{number}: {_place(checkout)}, and the head of the pull request is {head}",
        cause=cause,
        advice=advice,
    )


def _with_shas(event: Event, access: Access | None) -> Event:
    """Add the pull request's commits, from GitHub if the event does not name them. Raises InputError, PublishError."""
    if event.head_sha or event.pull is None:
        return event
    if access is None:
        raise InputError(
            f"could not check that HEAD is pull request #{event.pull}: it needs a token",
            cause=f"the event `{_plain(event.name)}` does not say which commit is the pull request's",
            advice="leave `github-token` out: the job's own token is the default",
        )
    base, head = pull_shas(access, event.pull)
    return replace(event, base_sha=base, head_sha=head)


def _base_of_pull(event: Event, checkout: Checkout, access: Access | None) -> Choice:
    """A merge commit's first parent is what the merge would change; otherwise, where the two branches parted."""
    subject = _subject(event, checkout)
    if len(checkout.parents) == 2 and checkout.parents[1] == event.head_sha:
        base = checkout.parents[0]
        return Choice(base, f"{subject}: compared with {base[:_SHORT]}, which it would be merged into")
    if access is None:
        raise InputError(
            "`baseline: auto` needs a token where HEAD is no merge commit of the pull request",
            advice="leave `github-token` out, name a baseline, or let actions/checkout take its default",
        )
    base = merge_base(access, event.base_sha, event.head_sha)
    return Choice(base, f"{subject}: compared with {base[:_SHORT]}, where it left its base branch")


def _subject(event: Event, checkout: Checkout) -> str:
    """What is measured: `pull request #5 at 1a2b3c4`, `push to feature/x at 1a2b3c4`."""
    where = f" at {checkout.head[:_SHORT]}" if checkout.head else ""
    if event.pull is None and event.sha and checkout.head and not checkout.holds(event.sha):
        where += f" (not {event.sha[:_SHORT]}, for which the job runs)"
    if event.pull is not None:
        return f"pull request #{event.pull}{where}"
    if event.name == "merge_group":
        return f"merge group{where}"
    ref = _plain(event.ref.removeprefix("refs/heads/").removeprefix("refs/"))
    link = "to" if event.name == "push" else "on"
    return f"{_plain(event.name) or 'unknown event'}{f' {link} {ref}' if ref else ''}{where}"


def _why_alone(event: Event) -> str:
    if event.on_default_branch:
        return "the default branch is measured alone; set `baseline:` to compare"
    return "nothing to compare with, measured alone; set `baseline:` to compare"


def _place(checkout: Checkout) -> str:
    return f"{checkout.folder} is at {checkout.head[:_SHORT] or 'no commit'}"


def _yaml(ref: str) -> str:
    """The two lines for a workflow, below the first line of a message's advice."""
    return f"give the step that checks out the code:\n            with:\n              ref: {ref}"


def _plain(name: str) -> str:
    return _STRANGE.sub("?", name)
