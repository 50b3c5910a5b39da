"""Which revisions an event compares, and that HEAD belongs to the event."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.git import git

from bench_action.action import revisions
from bench_action.action.revisions import BaselineChoice, choose_revisions, is_foreign
from bench_action.github.client import Access
from bench_action.github.event import Event, WorkflowRun
from bench_action.model.errors import InputError, PublishError

pytestmark = pytest.mark.unit

ACCESS = Access("https://api.example", "token", "org/shop")
PULL_EVENTS = ["pull_request", "pull_request_review", "pull_request_review_comment", "issue_comment"]


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """HEAD is a merge commit, as in a pull request: `main^1` is its base, `feature` its head."""
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "base")
    git(folder, "switch", "--quiet", "--create", "feature")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "head")
    git(folder, "switch", "--quiet", "main")
    git(folder, "merge", "--quiet", "--no-ff", "--message", "merge", "feature")
    return folder


@pytest.fixture(autouse=True)
def github(monkeypatch: pytest.MonkeyPatch, merged: Path) -> None:
    """GitHub's answers about the pull request."""
    base, head = git(merged, "rev-parse", "main^1"), git(merged, "rev-parse", "feature")
    monkeypatch.setattr(revisions, "fetch_pull_commits", lambda *_: ("main", base, head))
    monkeypatch.setattr(revisions, "fetch_merge_base", lambda *_: base)


def pull(folder: Path, name: str = "pull_request") -> Event:
    """The event of a pull request, for its merge commit; a comment's names no commit, and is for the default branch."""
    merge, base, head = (git(folder, "rev-parse", name) for name in ("main", "main^1", "feature"))
    event = Event(name, "org/shop", pull=5, ref="refs/pull/5/merge", base_branch="main")
    if name == "issue_comment":
        return replace(event, base_branch="", sha=base)
    return replace(event, head_sha=head, base_sha=base, sha=base if name == "pull_request_target" else merge)


def read_refusal(event: Event, folder: Path, access: Access | None = ACCESS, baseline: str = "auto") -> str:
    with pytest.raises(InputError) as caught:
        choose_revisions(baseline, event, access, folder)
    return str(caught.value)


def test_merge_commit_is_compared_with_its_first_parent(merged: Path) -> None:
    base = git(merged, "rev-parse", "main^1")
    choice = choose_revisions("auto", pull(merged), None, merged)
    assert choice.baseline == base
    head = git(merged, "rev-parse", "HEAD")
    assert choice.why == f"pull request #5 at {head[:7]}: compared with {base[:7]}, which it would be merged into"


def test_merge_commit_of_a_shallow_clone_is_read_from_the_commit_itself(merged: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{merged}", str(shallow))
    with pytest.raises(subprocess.CalledProcessError):
        git(shallow, "rev-parse", "--verify", "HEAD^1")
    choice = choose_revisions("auto", pull(merged), None, shallow)
    assert choice.baseline == git(merged, "rev-parse", "main^1")


@pytest.mark.parametrize("name", PULL_EVENTS)
@pytest.mark.parametrize("revision", ["main", "feature"])
def test_merge_commit_and_head_are_the_pull_request(merged: Path, name: str, revision: str) -> None:
    git(merged, "switch", "--quiet", "--detach", revision)
    choice = choose_revisions("auto", pull(merged, name), ACCESS, merged)
    assert choice.baseline == git(merged, "rev-parse", "main^1")


def merge_into(folder: Path, branch: str) -> str:
    """Merge the pull request's head into another commit of this name, on top of its base, and return that."""
    git(folder, "switch", "--quiet", "--create", branch, "main^1")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", branch)
    git(folder, "merge", "--quiet", "--no-ff", "--message", "another merge", "feature")
    return git(folder, "rev-parse", "HEAD^1")


@pytest.mark.parametrize("name", ["pull_request", "issue_comment"])
def test_newer_merge_commit_is_compared_with_its_first_parent(
    merged: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base branch has moved on since the event, as GitHub confirms."""
    event, newer = pull(merged, name), merge_into(merged, "newer")
    asked: list[tuple[str, str]] = []

    def fetch(_: Access, base: str, head: str) -> str:
        asked.append((base, head))
        return head

    monkeypatch.setattr(revisions, "fetch_merge_base", fetch)
    assert choose_revisions("auto", event, ACCESS, merged).baseline == newer
    assert asked == [("main", newer)]


@pytest.mark.parametrize("known", [True, False])
def test_merge_with_a_commit_of_the_author_s_choice_is_compared_with_the_merge_base(
    merged: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """A newer commit of the pull request, whose second parent is the commit that the event names."""
    event, slow = pull(merged), merge_into(merged, "slow")
    base = git(merged, "rev-parse", "main^1")

    def fetch(_: Access, __: str, head: str) -> str:
        if head == slow and not known:
            raise PublishError("GitHub refused", status=404)
        return base

    monkeypatch.setattr(revisions, "fetch_merge_base", fetch)
    assert choose_revisions("auto", event, ACCESS, merged).baseline == base
    assert "needs a token" in read_refusal(event, merged, None)


def test_commit_that_the_workflow_made_on_top_is_the_pull_request(merged: Path) -> None:
    git(merged, "switch", "--quiet", "feature")
    git(merged, "commit", "--quiet", "--allow-empty", "--message", "generated files")
    assert choose_revisions("auto", replace(pull(merged), base_sha="b" * 40), ACCESS, merged).baseline


@pytest.mark.parametrize("name", PULL_EVENTS)
@pytest.mark.parametrize("baseline", ["auto", "none", "v1.0"])
@pytest.mark.parametrize("revision", ["main^1", "newer"])
def test_any_other_commit_is_refused_with_the_lines_to_add(
    merged: Path, name: str, baseline: str, revision: str
) -> None:
    git(merged, "switch", "--quiet", "--detach", "main^1")
    if revision == "newer":  # the default branch has moved on
        git(merged, "commit", "--quiet", "--allow-empty", "--message", "newer")
    event = replace(pull(merged, name), sha=git(merged, "rev-parse", "HEAD"))
    text = read_refusal(event, merged, baseline=baseline)
    assert "HEAD is not pull request #5" in text
    assert git(merged, "rev-parse", "HEAD")[:7] in text
    assert git(merged, "rev-parse", "feature")[:7] in text
    number = "issue" if name == "issue_comment" else "pull_request"
    assert f"            with:\n              ref: refs/pull/${{{{ github.event.{number}.number }}}}/merge" in text
    assert ("check first who comments" in text) == (name == "issue_comment")
    assert ("default branch" in text) == (name == "issue_comment")


def test_comment_without_a_token_cannot_be_checked(merged: Path) -> None:
    text = read_refusal(pull(merged, "issue_comment"), merged, None, "main")
    assert "a token is needed" in text


def test_head_of_a_pull_request_without_a_token_has_no_base(merged: Path) -> None:
    git(merged, "switch", "--quiet", "feature")
    assert "needs a token" in read_refusal(pull(merged), merged, None)


@pytest.mark.parametrize(
    ("revision", "message"),
    [("main", "refused to run code"), ("feature", "refused to run code"), ("main^1", "HEAD is not pull request #5")],
)
def test_pull_request_target_is_always_refused(merged: Path, revision: str, message: str) -> None:
    """With the pull request's code it is a security hole, and without it the base branch would be measured."""
    git(merged, "switch", "--quiet", "--detach", revision)
    text = read_refusal(pull(merged, "pull_request_target"), merged)
    assert message in text
    assert "trigger the workflow by `pull_request`" in text


def test_checkout_is_the_repository_of_the_configuration(merged: Path, tmp_path: Path) -> None:
    """Another repository, around this one, is at another commit."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "other")
    (merged / "bench").mkdir()
    assert choose_revisions("auto", pull(merged), None, merged / "bench").baseline
    assert "HEAD is not pull request #5" in read_refusal(pull(merged), tmp_path)


def test_without_a_checkout_the_step_is_named(merged: Path, tmp_path: Path) -> None:
    assert "actions/checkout" in read_refusal(pull(merged), tmp_path)


def group(folder: Path) -> Event:
    head, base = git(folder, "rev-parse", "main"), git(folder, "rev-parse", "main^1")
    ref = "refs/heads/gh-readonly-queue/main/pr-5"
    return Event("merge_group", "org/shop", ref=ref, head_sha=head, base_sha=base)


def test_merge_group_is_compared_with_its_base(merged: Path) -> None:
    choice = choose_revisions("auto", group(merged), None, merged)
    assert choice.baseline == git(merged, "rev-parse", "main^1")
    assert "merge group at" in choice.why
    assert choose_revisions("none", group(merged), None, merged).baseline is None


def test_merge_group_whose_commit_is_not_checked_out_is_refused(merged: Path) -> None:
    text = read_refusal(replace(group(merged), head_sha="c" * 40), merged)
    assert "HEAD is not the merge queue's commit" in text
    assert "ref: ${{ github.event.merge_group.head_sha }}" in text


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        (Event("push", "org/shop", ref="refs/heads/feature/x"), "push to feature/x at "),
        (Event("push", "org/shop", ref="refs/tags/v1"), "push to tags/v1 at "),
        (Event("workflow_dispatch", "org/shop", ref="refs/heads/x"), "workflow_dispatch on x at "),
        (Event("schedule", "org/shop", ref="refs/heads/main", on_default_branch=True), "schedule on main at "),
        (Event("something_new", "org/shop"), "something_new at "),
        (Event("", "org/shop"), "unknown event at "),
        (Event("merge_group", "org/shop"), "merge group at "),
    ],
)
def test_other_events_say_in_one_line_why_nothing_is_compared(merged: Path, event: Event, subject: str) -> None:
    choice = choose_revisions("auto", event, None, merged)
    assert choice.baseline is None
    assert choice.why.startswith(subject)
    assert "measured alone; set `baseline:` to compare" in choice.why
    assert "\n" not in choice.why


def test_commit_that_is_not_the_event_s_is_named(merged: Path) -> None:
    event = Event("workflow_dispatch", "org/shop", ref="refs/heads/main", sha="d" * 40)
    assert "(not ddddddd, which the job runs for)" in choose_revisions("auto", event, None, merged).why


@pytest.mark.parametrize(("baseline", "expected"), [("none", None), ("v1.0", "v1.0")])
def test_baseline_that_is_set_is_used(merged: Path, baseline: str, expected: str | None) -> None:
    choice = choose_revisions(baseline, pull(merged), None, merged)
    assert choice.baseline == expected
    assert "as requested by `baseline`" in choice.why


def test_names_of_branches_are_only_text(merged: Path) -> None:
    event = Event("push", "org/shop", ref="refs/heads/x\n::error::y@octocat<img>")
    choice = choose_revisions("auto", event, None, merged)
    assert isinstance(choice, BaselineChoice)
    assert not set("\n@<>:") & set(choice.why.partition(" at ")[0])


@pytest.mark.parametrize(
    ("revision", "owner", "refused"),
    [
        ("feature", "stranger", True),
        ("main", "stranger", True),
        ("newer", "stranger", True),
        ("feature", "", True),
        ("main^1", "stranger", False),
        ("feature", "Org", False),
    ],
)
def test_workflow_run_never_runs_a_forks_code(merged: Path, revision: str, owner: str, refused: bool) -> None:
    """Its token can write, like that of `pull_request_target`; a merge of the fork's commit is its code too.

    The fork may have pushed newer commits since, or may have been deleted.
    """
    git(merged, "switch", "--quiet", "--detach", "feature" if revision == "newer" else revision)
    for message in ("newer", "newest") if revision == "newer" else ():
        git(merged, "commit", "--quiet", "--allow-empty", "--message", message)
    base, head = git(merged, "rev-parse", "main^1"), git(merged, "rev-parse", "feature")
    run = WorkflowRun(7, head, "feature", owner)
    event = Event("workflow_run", "org/shop", ref="refs/heads/main", sha=base, workflow_run=run)
    assert is_foreign(event, merged) == (revision != "main^1")
    if refused:
        name = owner or "a deleted repository"
        assert f"refused to run code of {name}'s fork on `workflow_run`" in read_refusal(event, merged)
    else:
        assert choose_revisions("auto", event, None, merged).baseline is None


@pytest.mark.parametrize("owner", ["stranger", "", "org"])
def test_workflow_run_measures_no_forks_code_without_git(merged: Path, tmp_path: Path, owner: str) -> None:
    """It may be a fork's, from an archive; what a branch of this repository brings is measured."""
    run = WorkflowRun(7, git(merged, "rev-parse", "feature"), "feature", owner)
    event = Event("workflow_run", "org/shop", sha=git(merged, "rev-parse", "main^1"), workflow_run=run)
    assert is_foreign(event, tmp_path)
    if owner == "org":
        assert choose_revisions("auto", event, None, tmp_path).baseline is None
    else:
        text = read_refusal(event, tmp_path)
        assert "could not check whose code this is" in text
        assert "is in no git repository" in text


def test_is_foreign__of_other_events_is_what_is_not_merged(merged: Path) -> None:
    assert is_foreign(pull(merged), merged)
    assert is_foreign(group(merged), merged)
    assert not is_foreign(Event("push", "org/shop", sha="d" * 40), merged)
