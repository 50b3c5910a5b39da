"""Files that a step leaves are given to the owner of the workspace."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_action.action.workspace import Traces

pytestmark = pytest.mark.unit

OWNER = (12345, 54321)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[Traces], set[str]]:
    """Gives files to OWNER, and returns their paths in the workspace. `chown` is replaced, as it needs root."""
    names: set[str] = set()
    root = Path()

    def chown(name: str, uid: int, gid: int, *, dir_fd: int, follow_symlinks: bool) -> None:
        assert (uid, gid, follow_symlinks) == (*OWNER, False)
        names.add(str((Path(f"/proc/self/fd/{dir_fd}").readlink() / name).relative_to(root)))

    def give(traces: Traces) -> set[str]:
        nonlocal root
        root = traces.root
        names.clear()
        traces.give_to(*OWNER)
        return set(names)

    monkeypatch.setattr(os, "chown", chown)
    return give


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A checkout, older than the step."""
    folder = tmp_path / "workspace"
    for name in (".git/objects/old", "app/.git/refs", "app/code.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old", encoding="utf-8")
    time.sleep(0.15)
    return folder


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new", encoding="utf-8")


def test_traces__only_what_the_step_made_is_given(workspace: Path, given: Callable[[Traces], set[str]]) -> None:
    traces = Traces.begin(workspace, None, Path("out/results"))
    write(workspace / "out/results/trend/index.json")
    write(workspace / ".git/objects/pack/new")
    write(workspace / "elsewhere/new")
    assert given(traces) == {
        "out",
        "out/results",
        "out/results/trend",
        "out/results/trend/index.json",
        ".git/objects",
        ".git/objects/pack",
        ".git/objects/pack/new",
    }


def test_traces__the_repository_of_the_configuration_is_handed_over_too(
    workspace: Path, given: Callable[[Traces], set[str]]
) -> None:
    traces = Traces.begin(workspace, Path("app/bench/bench.yml"), Path("results"))
    write(workspace / "app/.git/FETCH_HEAD")
    write(workspace / ".git/FETCH_HEAD")
    assert given(traces) >= {"app/.git/FETCH_HEAD", ".git/FETCH_HEAD"}


def test_traces__links_are_given_but_never_followed(workspace: Path, given: Callable[[Traces], set[str]]) -> None:
    outside = workspace.parent / "outside"
    traces = Traces.begin(workspace, None, Path("results"))
    write(outside / "passwd")
    (workspace / "results").mkdir()
    (workspace / "results" / "link").symlink_to(outside)
    (workspace / "results" / "file").symlink_to(outside / "passwd")
    assert given(traces) == {"results", "results/link", "results/file"}


@pytest.mark.parametrize("output", ["link", "link/results", "app/../link"])
def test_traces__stop_at_a_link_in_the_path_of_the_output(
    workspace: Path, given: Callable[[Traces], set[str]], output: str
) -> None:
    outside = workspace.parent / "outside"
    traces = Traces.begin(workspace, None, Path(output))
    write(outside / "results" / "passwd")
    (workspace / "link").symlink_to(outside)
    assert given(traces) == {"link"}


@pytest.mark.parametrize("output", ["..", "../outside", "/outside"])
def test_traces__nothing_outside_the_workspace_is_given(
    workspace: Path, given: Callable[[Traces], set[str]], output: str
) -> None:
    traces = Traces.begin(workspace, Path("../bench.yml"), Path(output))
    write(workspace.parent / "outside" / "file")
    assert given(traces) == set()


def test_traces__a_file_with_a_second_hard_link_is_not_given(
    workspace: Path, given: Callable[[Traces], set[str]]
) -> None:
    """It may be another user's, as a new link changes its time."""
    traces = Traces.begin(workspace, None, Path("results"))
    (workspace / "results").mkdir()
    (workspace / "results" / "name").hardlink_to(workspace / "app" / "code.py")
    assert given(traces) == {"results"}


def test_traces__can_be_passed_to_a_later_process(workspace: Path, given: Callable[[Traces], set[str]]) -> None:
    text = str(Traces.begin(workspace, None, Path("results")))
    assert "\n" not in text
    write(workspace / "results" / "result.json")
    assert given(Traces.parse(workspace, text)) == {"results", "results/result.json"}


def test_traces__nothing_is_given_if_the_workspace_is_ours(
    workspace: Path, given: Callable[[Traces], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = Traces.begin(workspace, None, Path("results"))
    write(workspace / "results" / "result.json")
    monkeypatch.setattr(Traces, "give_to", lambda *_: pytest.fail("all of it is ours"))
    with traces.hand_over_at_end():
        pass
