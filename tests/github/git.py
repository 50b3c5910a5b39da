"""A git repository as GitHub's API shows it: objects by their real hashes, and references."""

import datetime
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

FILE, FOLDER, SUBMODULE = "100644", "040000", "160000"
_KINDS = {FOLDER: "tree", SUBMODULE: "commit"}

Files = dict[str, tuple[str, str]]  # mode and name of the object by path


@dataclass(frozen=True)
class Entry:
    """One line of a tree."""

    mode: str
    name: str
    sha: str

    @property
    def kind(self) -> str:
        return _KINDS.get(self.mode, "blob")


@dataclass(frozen=True)
class Person:
    """Who wrote a commit, and when: ISO 8601, UTC."""

    name: str
    email: str
    date: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}> {datetime.datetime.fromisoformat(self.date).timestamp():.0f} +0000"


@dataclass(frozen=True)
class Commit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    author: Person
    committer: Person


class Git:
    """Objects are only ever added; references move."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.trees: dict[str, list[Entry]] = {}
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}

    def commit(self, files: Mapping[str, str | bytes], branch: str = "main", message: str = "seeded") -> str:
        """Seed: commit exactly these files to a branch, which is created if it does not exist."""
        return self.commit_at(f"refs/heads/{branch}", files, message)

    def commit_at(self, reference: str, files: Mapping[str, str | bytes], message: str = "seeded") -> str:
        """Seed: commit exactly these files to a reference, given in full."""
        names = {path: (FILE, self.write_blob(_bytes(content))) for path, content in files.items()}
        parents = [self.refs[reference]] if reference in self.refs else []
        person = Person("Seed", "seed@seed.invalid", now())
        self.refs[reference] = sha = self.write_commit(self.write_tree(names), parents, message, person, person)
        return sha

    def branch(self, name: str, at: str = "main") -> str:
        """Seed: create a branch at another branch or a commit."""
        self.refs[f"refs/heads/{name}"] = sha = self.require(at)
        return sha

    def files(self, at: str = "main") -> dict[str, bytes]:
        """Read the files of a branch or commit."""
        tree = self.commits[self.require(at)].tree
        return {path: self.blobs[sha] for path, (_, sha) in self.list_files(tree).items() if sha in self.blobs}

    def history(self, at: str = "main") -> list[str]:
        """Read the commits of a branch, along first parents, newest first."""
        found, parents = [], [self.require(at)]
        while parents:
            found.append(parents[0])
            parents = list(self.commits[parents[0]].parents)
        return found

    def resolve(self, name: str) -> str | None:
        """Resolve the name of a branch or a tag, a full reference, or a hash to a commit."""
        if name in self.commits:
            return name
        found = (self.refs.get(f"{prefix}{name}") for prefix in ("refs/heads/", "refs/tags/", ""))
        return next((sha for sha in found if sha), None)

    def require(self, name: str) -> str:
        if (found := self.resolve(name)) is None:
            raise KeyError(name)
        return found

    def write_blob(self, content: bytes) -> str:
        sha = _name("blob", content)
        self.blobs[sha] = content
        return sha

    def write_tree(self, files: Files) -> str:
        """Write the tree of these files, and the trees of their folders."""
        entries: dict[str, Entry] = {}
        folders: dict[str, Files] = {}
        for path, (mode, sha) in files.items():
            name, _, rest = path.partition("/")
            if rest:
                folders.setdefault(name, {})[rest] = (mode, sha)
            else:
                entries[name] = Entry(mode, name, sha)
        for name, inner in folders.items():
            entries[name] = Entry(FOLDER, name, self.write_tree(inner))
        # git sorts a folder as if its name ended with a slash
        ordered = sorted(entries.values(), key=lambda entry: f"{entry.name}/" if entry.mode == FOLDER else entry.name)
        lines = (f"{e.mode.lstrip('0')} {e.name}\0".encode() + bytes.fromhex(e.sha) for e in ordered)
        sha = _name("tree", b"".join(lines))
        self.trees[sha] = ordered
        return sha

    def write_commit(self, tree: str, parents: list[str], message: str, author: Person, committer: Person) -> str:
        lines = [
            f"tree {tree}",
            *(f"parent {parent}" for parent in parents),
            f"author {author}",
            f"committer {committer}",
        ]
        sha = _name("commit", "\n".join([*lines, "", message]).encode())
        self.commits[sha] = Commit(sha, tree, tuple(parents), message, author, committer)
        return sha

    def walk(self, tree: str, folder: str = "") -> Iterator[tuple[str, Entry]]:
        """Walk all entries below a tree, each folder before its contents."""
        for entry in self.trees[tree]:
            yield f"{folder}{entry.name}", entry
            if entry.mode == FOLDER:
                yield from self.walk(entry.sha, f"{folder}{entry.name}/")

    def list_files(self, tree: str) -> Files:
        return {path: (entry.mode, entry.sha) for path, entry in self.walk(tree) if entry.mode != FOLDER}

    def ancestors(self, sha: str) -> set[str]:
        """Return the ancestors of a commit, including itself."""
        found: set[str] = set()
        wanted = [sha]
        while wanted:
            commit = wanted.pop()
            if commit not in found:
                found.add(commit)
                wanted += self.commits[commit].parents
        return found

    def merge_base(self, one: str, other: str) -> str | None:
        """Find a common ancestor that is not an ancestor of another one."""
        common = self.ancestors(one) & self.ancestors(other)
        older = {sha for each in common for parent in self.commits[each].parents for sha in self.ancestors(parent)}
        return next(iter(sorted(common - older)), None)


def now() -> str:
    """Return the time in GitHub's format: UTC, in seconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _name(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
