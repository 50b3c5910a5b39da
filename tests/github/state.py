"""The contents of a repository at GitHub, which tests seed and read."""

import io
import itertools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.github.git import Git, now


@dataclass(kw_only=True)
class Comment:
    id: int
    body: str
    login: str
    type: str
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)


@dataclass(kw_only=True)
class Issue:
    """An issue; a pull request is one, too."""

    number: int
    title: str
    body: str | None = ""
    state: str = "open"
    state_reason: str | None = None
    labels: list[str] = field(default_factory=list)
    login: str = "octocat"
    type: str = "User"
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)


@dataclass(frozen=True)
class End:
    """Where a pull request comes from or goes to: `repo` is owner/name."""

    ref: str
    sha: str
    repo: str

    @property
    def owner(self) -> str:
        return self.repo.partition("/")[0]

    @property
    def label(self) -> str:
        return f"{self.owner}:{self.ref}"


@dataclass(kw_only=True)
class Pull(Issue):
    head: End
    base: End


@dataclass(kw_only=True)
class Run:
    """A run of a workflow; `pull_requests` is empty for one of a fork, as at GitHub."""

    id: int
    head_sha: str
    head_branch: str
    head_repo: str
    event: str = "pull_request"
    status: str = "completed"
    conclusion: str | None = "success"
    attempt: int = 1
    name: str = "Benchmark"
    path: str = ".github/workflows/benchmark.yml"
    pull_requests: list[int] = field(default_factory=list)


@dataclass(kw_only=True)
class Artifact:
    """An artifact. `content` is what is downloaded: a ZIP file, unless a test sets something else."""

    id: int
    run: Run
    name: str
    content: bytes
    expired: bool = False
    created_at: str = field(default_factory=now)


class State:
    """One repository, which begins with a commit on its default branch."""

    def __init__(self, repository: str, private: bool = False) -> None:
        self.repository = repository
        self.repository_id = 1296269
        self.private = private
        self.default_branch = "main"
        self.git = Git()
        self.issues: dict[int, Issue] = {}
        self.comments: dict[int, list[Comment]] = {}
        self.runs: dict[int, Run] = {}
        self.artifacts: dict[int, Artifact] = {}
        self._ids = itertools.count(1001)
        self.git.commit({"README.md": "# Shop\n"}, self.default_branch)

    @property
    def pulls(self) -> dict[int, Pull]:
        return {number: issue for number, issue in self.issues.items() if isinstance(issue, Pull)}

    def issue(self, title: str = "An issue", labels: tuple[str, ...] = (), login: str = "octocat") -> Issue:
        """Seed an open issue, and return it for further changes."""
        kind = "Bot" if login.endswith("[bot]") else "User"
        issue = Issue(number=self._next_number(), title=title, labels=list(labels), login=login, type=kind)
        self.issues[issue.number] = issue
        return issue

    def pull(self, branch: str = "feature", repo: str = "", number: int = 0, sha: str = "", base: str = "main") -> Pull:
        """Seed an open pull request, which is a fork's if `repo` is another repository.

        Its commit is `sha`, else the branch's, else a new one on top of the base. Its base is the base branch's commit.
        """
        repo, number = repo or self.repository, number or self._next_number()
        target = self.git.require(base)
        tip = sha or self.git.refs.get(f"refs/heads/{branch}" if repo == self.repository else "") or ""
        if not tip:
            self.git.refs[f"refs/pull/{number}/head"] = target
            files = {**self.git.files(target), f"change-{number}.txt": b"changed\n"}
            tip = self._commit_to_pull(files, number, branch, repo)
        self.git.refs[f"refs/pull/{number}/head"] = tip
        head, goal = End(branch, tip, repo), End(base, target, self.repository)
        pull = Pull(number=number, title=f"Change {number}", head=head, base=goal)
        self.issues[number] = pull
        return pull

    def push(self, pull: Pull, files: Mapping[str, str | bytes]) -> str:
        """Seed: add a commit of exactly these files to a pull request."""
        sha = self._commit_to_pull(files, pull.number, pull.head.ref, pull.head.repo)
        pull.head = replace(pull.head, sha=sha)
        return sha

    def comment(self, number: int, body: str, login: str = "octocat", kind: str = "") -> Comment:
        """Seed a comment; a login that ends with [bot] is a bot's."""
        kind = kind or ("Bot" if login.endswith("[bot]") else "User")
        comment = Comment(id=next(self._ids), body=body, login=login, type=kind)
        self.comments.setdefault(number, []).append(comment)
        return comment

    def run(self, pull: Pull, event: str = "pull_request") -> Run:
        """Seed a finished run of a pull request's commit, and return it for further changes."""
        head = pull.head
        numbers = [pull.number] if head.repo == self.repository else []
        run = Run(
            id=next(self._ids),
            head_sha=head.sha,
            head_branch=head.ref,
            head_repo=head.repo,
            event=event,
            pull_requests=numbers,
        )
        self.runs[run.id] = run
        return run

    def artifact(self, run: Run, name: str, files: Mapping[str, str | bytes] | bytes) -> Artifact:
        """Seed an artifact of these files, or of raw bytes."""
        content = files if isinstance(files, bytes) else make_zip(files)
        artifact = Artifact(id=next(self._ids), run=run, name=name, content=content)
        self.artifacts[artifact.id] = artifact
        return artifact

    def find_comment(self, identity: int) -> tuple[int, Comment] | None:
        """Find the number of the issue, and the comment."""
        found = (
            (number, comment)
            for number, comments in self.comments.items()
            for comment in comments
            if comment.id == identity
        )
        return next(found, None)

    def _commit_to_pull(self, files: Mapping[str, str | bytes], number: int, branch: str, repo: str) -> str:
        """Commit to the pull request's own reference and, unless it is a fork's, to its branch."""
        reference = f"refs/pull/{number}/head"
        sha = self.git.commit_at(reference, files, f"change {number}")
        if repo == self.repository:
            self.git.refs[f"refs/heads/{branch}"] = sha
        return sha

    def _next_number(self) -> int:
        return max(self.issues, default=0) + 1


def make_zip(files: Mapping[str, str | bytes]) -> bytes:
    """Make a ZIP file of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
