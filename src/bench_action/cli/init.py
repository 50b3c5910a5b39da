"""`bench-action init`: write `bench.yml` and a workflow, and never over what is there."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_action.git.worktree import WorkTree
from bench_action.init.application import find_place
from bench_action.init.draft import Draft, make_draft
from bench_action.init.envfiles import exists
from bench_action.init.render import compute_minutes, render_configuration, render_workflow
from bench_action.model.errors import InputError
from bench_action.model.wording import plural

CONFIGURATION = "bench.yml"
_WORKFLOW = Path(".github/workflows/benchmark.yml")


@dataclass(frozen=True, slots=True)
class Initial:
    """What `init` writes: path → text. `top`: of the repository. `draft`: what it was made from."""

    top: Path
    draft: Draft
    files: Mapping[Path, str]

    def list_existing(self) -> list[Path]:
        """List the files that exist."""
        return [path for path in self.files if path.exists() or path.is_symlink()]

    def write(self, *, force: bool) -> list[Path]:
        """Write the files that do not exist, all of them if forced; return them. Raises InputError.

        A link at the place of a file is replaced, and no folder outside of the repository is written to.
        """
        kept = [] if force else self.list_existing()
        written = [path for path in self.files if path not in kept]
        for path in written:
            if not path.parent.resolve().is_relative_to(self.top.resolve()):
                raise InputError(f"could not write {path}: its folder is a link to {path.parent.resolve()}")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.write_text(self.files[path], encoding="utf-8")
            except OSError as error:
                raise InputError(f"could not write {path}: {error.strerror}") from error
        return written

    @property
    def configuration(self) -> Path:
        """The configuration that it writes, or that exists."""
        return self.draft.folder / CONFIGURATION


def prepare(folder: Path) -> Initial:
    """Read the repository that a folder is in, and render what `init` writes. Raises InputError."""
    start = folder.resolve()
    if not start.is_dir():
        raise InputError(f"there is no folder {folder}")
    top, draft = find_place(start), make_draft(start)
    configuration = draft.folder / CONFIGURATION
    files = {
        configuration: render_configuration(draft),
        top / _WORKFLOW: render_workflow(
            configuration.relative_to(top).as_posix(),
            draft,
            _name_env_files(draft, top),
            _name_lost_files(draft, top),
        ),
    }
    return Initial(top, draft, files)


def _name_env_files(draft: Draft, top: Path) -> list[tuple[str, str]]:
    place = draft.folder.relative_to(top)
    return [((place / file).as_posix(), (place / example).as_posix()) for file, example in draft.env_files]


def _name_lost_files(draft: Draft, top: Path) -> list[str]:
    return [(draft.folder.relative_to(top) / file).as_posix() for file, _ in draft.lost_files]


def name(path: Path) -> str:
    """Name a file relative to the working directory, in which the commands that are printed will be run."""
    return Path(os.path.relpath(path)).as_posix()


def describe(initial: Initial, written: Sequence[Path]) -> list[str]:
    """Describe what was written, what was left, and what to do next, one line each."""
    lines = []
    for path in initial.files:
        if path in written:
            summary = f": {_summarise(initial.draft)}" if path == initial.configuration else ""
            lines.append(f"wrote {name(path)}{summary}")
        else:
            lines.append(f"{name(path)} exists and was not changed (--force replaces it)")
    config = name(initial.configuration)
    argument = "" if config == CONFIGURATION else f" {shlex.quote(config)}"
    base = shlex.quote(_find_base(initial.top))
    folder = initial.draft.folder
    return [
        *lines,
        "",
        *(
            f"First: cp {shlex.quote(name(folder / example))} {shlex.quote(name(folder / file))}"
            for file, example in initial.draft.env_files
            if not exists(folder / file)
        ),
        *(
            f"First: create {name(folder / file)}, which is not under git"
            for file, _ in initial.draft.lost_files
            if not exists(folder / file)
        ),
        f"Read {config} and correct what is wrong. Then:",
        f"  bench-action check{argument} --up",
        "      start the stack once, and try each request",
        f"  bench-action run{argument} --baseline {base} --rules head{_limit(initial.draft)}",
        f"      compare your working tree with {base}; without --rules head, once {base} has {config} too",
    ]


def _limit(draft: Draft) -> str:
    """Give a run the time that long warm-ups need; empty for others."""
    minutes = compute_minutes(draft)
    return f" --preset ci --max-minutes {minutes}" if minutes else ""


def _summarise(draft: Draft) -> str:
    """Say in one line what was found."""
    built = (
        f"service {draft.variant} of {draft.compose[0]}"
        if draft.build is None
        else f"the Dockerfile in {draft.build.context}"
    )
    framework = f"{draft.framework}, " if draft.framework != "unknown" else ""
    found = plural(len(draft.profiles), "profile")
    return f"{framework}{built}, {found} ({', '.join(route.path for route in draft.profiles)})"


def _find_base(top: Path) -> str:
    """Find the branch that pull requests are merged into: the remote's default branch, else the one that HEAD is on."""
    tree = WorkTree.find(top)
    if tree is None:
        return "HEAD"
    for arguments in (("symbolic-ref", "--short", "refs/remotes/origin/HEAD"),):
        if found := tree.ask(*arguments):
            return found
    for name in ("origin/main", "origin/master", "main", "master"):
        if tree.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
            return name
    return "HEAD"
