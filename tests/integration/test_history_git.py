"""The history in folders and in real git repositories, also behind git's own HTTP server."""

import contextlib
import multiprocessing
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.git import git
from tests.unit.history.places import make_history, make_record

from bench_action.action.step import make_git_environ
from bench_action.git.sources import resolve_revision
from bench_action.github.client import Access
from bench_action.github.event import Event
from bench_action.history import DEFAULT_BRANCH
from bench_action.history.folder import Folder
from bench_action.history.history import History
from bench_action.history.layout import INDEX, README
from bench_action.history.opening import is_repository, open_history
from bench_action.history.repository import Remote, Repository
from bench_action.history.store import ConflictError, InconsistencyError
from bench_action.model.errors import InputError, PublishError

pytestmark = pytest.mark.integration

WRITERS = 20
SHARD = "records/2026-11.jsonl"
REF = f"refs/heads/{DEFAULT_BRANCH}"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with a work tree, one commit, and changes that are not committed."""
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "file").write_text("one", encoding="utf-8")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "--message", "one")
    (folder / "file").write_text("two", encoding="utf-8")
    (folder / "staged").write_text("three", encoding="utf-8")
    git(folder, "add", "staged")
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    folder = tmp_path / "bare.git"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare")
    git(folder, "config", "http.receivepack", "true")
    return folder


class Backend(BaseHTTPRequestHandler):
    """`git http-backend` for every request; requests for a path in `denied` get its status."""

    protocol_version = "HTTP/1.1"
    denied: dict[str, int]
    root: Path

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if len(self.headers.get_all("Authorization", [])) > 1:  # GitHub: 400, Duplicate header: "Authorization"
            self.send_response(400)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        for part, status in self.denied.items():
            if part in self.path:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": "somebody",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = subprocess.run(["git", "http-backend"], env=environ, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def served(bare: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """The HTTP address of the bare repository, and the paths that are denied there."""
    denied: dict[str, int] = {}
    handler = type("Handler", (Backend,), {"denied": denied, "root": bare.parent})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{bare.name}", denied
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_step__fetches_base_although_the_checkout_has_kept_its_credentials(
    served: tuple[str, dict[str, int]], shop: Path, bare: Path, tmp_path: Path
) -> None:
    address, _ = served
    git(shop, "push", "--quiet", str(bare), "main")
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "--quiet")
    git(clone, "remote", "add", "origin", address)
    server = address.rpartition("/")[0]
    git(clone, "config", f"http.{server}/.extraheader", "AUTHORIZATION: basic b2xk")  # as actions/checkout does
    event = Event("pull_request", "org/shop", server_url=server)
    environ = make_git_environ(os.environ, event, Access("https://api.example", "token", "org/shop"))
    assert resolve_revision(clone, "main", environ) == git(shop, "rev-parse", "main")


def scratch(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare")
    return folder


def test_is_repository__a_folder_of_a_work_tree_that_looks_bare_is_refused(bare: Path, tmp_path: Path) -> None:
    assert is_repository(bare)
    git(tmp_path, "init", "--quiet")
    assert is_repository(tmp_path)
    with pytest.raises(InputError, match="looks like a bare repository inside the work tree"):
        is_repository(bare)


def runs(history: History) -> list[str]:
    return [record.run_id for record in history.read()]


def append_in_parallel(writer: Callable[[int], History]) -> list[int]:
    """Append with twenty writers that start together, and return how many records were new to each."""
    start = threading.Barrier(WRITERS)

    def write(number: int) -> int:
        history = writer(number)
        start.wait(60)
        return history.append([make_record(f"run-{number:02}")])

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(write, range(WRITERS)))


def real(place: Any) -> History:
    return History(place)


# folders


def test_folder__holds_what_was_appended(tmp_path: Path) -> None:
    history = make_history(Folder(tmp_path / "new" / "history"))
    assert list(history.read()) == []
    assert history.append([make_record()]) == 1
    assert history.append([make_record()]) == 0
    assert history.append([make_record("run-2")]) == 1
    assert runs(history) == ["run-1", "run-2"]
    paths = {str(path.relative_to(tmp_path / "new" / "history")) for path in (tmp_path / "new").rglob("*")}
    assert paths == {".", "records", SHARD, INDEX, README}


def _write_in_folder(folder: Path, number: int) -> None:
    assert History(Folder(folder)).append([make_record(f"run-{number:02}")]) == 1


def test_folder__twenty_threads_append_in_parallel(tmp_path: Path) -> None:
    assert append_in_parallel(lambda _: real(Folder(tmp_path / "history"))) == [1] * WRITERS
    assert sorted(runs(real(Folder(tmp_path / "history")))) == [f"run-{n:02}" for n in range(WRITERS)]


def test_folder__several_processes_append_in_parallel(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with warnings_about_fork():
        writers = [context.Process(target=_write_in_folder, args=(tmp_path / "history", n)) for n in range(8)]
        for writer in writers:
            writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert sorted(runs(real(Folder(tmp_path / "history")))) == [f"run-{n:02}" for n in range(8)]


@contextlib.contextmanager
def warnings_about_fork() -> Iterator[None]:
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


class KilledError(Exception):
    pass


@pytest.mark.parametrize("steps", range(12))
def test_folder__is_consistent_after_a_writer_was_killed(tmp_path: Path, monkeypatch: Any, steps: int) -> None:
    folder = tmp_path / "history"
    real(Folder(folder)).append([make_record()])
    remaining = [steps]
    real_fsync = os.fsync

    def fsync(
        handle: int,
    ) -> None:  # the only way to stop in the middle: no collaborator stands between us and the disk
        if not remaining[0]:
            raise KilledError
        remaining[0] -= 1
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with contextlib.suppress(KilledError):
        real(Folder(folder)).append([make_record("run-2")])
    monkeypatch.undo()
    assert runs(real(Folder(folder))) in (["run-1"], ["run-1", "run-2"])
    real(Folder(folder)).append([make_record("run-2")])
    real(Folder(folder)).append([make_record("run-3")])
    assert runs(real(Folder(folder))) == ["run-1", "run-2", "run-3"]
    assert {path.name for path in folder.iterdir()} == {"records", INDEX, README}


def test_folder__with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="files that are not a history"):
        real(Folder(tmp_path)).append([make_record()])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="is not a folder"):
        Folder(tmp_path / "thesis.tex")


def test_folder__that_cannot_be_created_is_a_publish_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PublishError) as caught:
        real(Folder(tmp_path / "file" / "history")).append([make_record()])
    assert caught.value.advice


def test_folder__that_stays_locked_is_reported(tmp_path: Path) -> None:
    with Folder(tmp_path).lock(), pytest.raises(PublishError, match="another process has locked"):
        real(Folder(tmp_path, lock_s=0.02)).append([make_record()])


def test_folder__changed_by_a_process_without_the_lock_is_not_overwritten(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    snapshot = place.take_snapshot()
    real(Folder(tmp_path)).append([make_record()])
    with pytest.raises(ConflictError), place.lock():
        place.write(snapshot, {INDEX: b"{}"}, "")
    assert runs(real(place)) == ["run-1"]


# repositories on this machine


def test_repository__gets_the_branch_and_nothing_else_changes(shop: Path) -> None:
    before = [
        git(shop, *command) for command in (["status", "--porcelain"], ["rev-parse", "HEAD"], ["diff", "--cached"])
    ]
    history = make_history(Repository(shop))
    assert list(history.read()) == []
    assert history.append([make_record()]) == 1
    assert history.append([make_record("run-2"), make_record("run-3", "2026-10-01T00:00:00Z")]) == 2
    assert history.append([make_record()]) == 0
    assert runs(history) == ["run-3", "run-1", "run-2"]
    after = [
        git(shop, *command) for command in (["status", "--porcelain"], ["rev-parse", "HEAD"], ["diff", "--cached"])
    ]
    assert after == before
    assert git(shop, "log", "--format=%s|%an", DEFAULT_BRANCH).splitlines() == [
        "Append 2 records of run-2, run-3|bench-action",
        "Append 1 record of run-1|bench-action",
    ]
    names = git(shop, "ls-tree", "-r", "--name-only", DEFAULT_BRANCH).split()
    assert names == [README, INDEX, "records/2026-10.jsonl", SHARD]
    git(shop, "fsck", "--strict")


def test_repository__twenty_writers_append_in_parallel(bare: Path) -> None:
    assert append_in_parallel(lambda _: real(Repository(bare))) == [1] * WRITERS
    assert sorted(runs(real(Repository(bare)))) == [f"run-{n:02}" for n in range(WRITERS)]
    assert len(git(bare, "rev-list", REF).split()) == WRITERS


def test_repository__with_other_files_in_the_branch_is_left_alone(shop: Path) -> None:
    before = git(shop, "rev-parse", "main")
    git(shop, "branch", DEFAULT_BRANCH)
    with pytest.raises(InputError, match="files that are not a history"):
        real(Repository(shop)).append([make_record()])
    assert git(shop, "rev-parse", DEFAULT_BRANCH) == before


def test_repository__keeps_other_files_next_to_the_history(shop: Path) -> None:
    history = real(Repository(shop))
    history.append([make_record()])
    other = shop.parent / "other"
    git(shop, "worktree", "add", "--quiet", str(other), DEFAULT_BRANCH)
    (other / "site").mkdir()
    (other / "site" / "ü.sh").write_text("x", encoding="utf-8")
    (other / "site" / "ü.sh").chmod(0o755)
    git(other, "add", "site")
    git(other, "commit", "--quiet", "--message", "a site")
    with pytest.raises(InputError, match="checked out"):
        history.append([make_record("run-2")])
    git(shop, "worktree", "remove", "--force", str(other))
    history.append([make_record("run-2")])
    assert git(shop, "-c", "core.quotePath=false", "ls-tree", "-r", DEFAULT_BRANCH, "site").endswith("site/ü.sh")
    assert git(shop, "ls-tree", "-r", DEFAULT_BRANCH, "site").startswith("100755")


@pytest.mark.parametrize("branch", ["", "-f", "a..b", "a b", "x.lock"])
def test_repository__refuses_an_invalid_branch_name(bare: Path, branch: str) -> None:
    with pytest.raises(InputError, match="is not a branch name"):
        Repository(bare, branch)


def test_repository__that_is_checked_out_or_is_not_one_is_refused(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="checked out"):
        Repository(shop, "main")
    with pytest.raises(InputError, match="is not a git repository"):
        Repository(tmp_path)
    assert is_repository(shop)
    assert not is_repository(tmp_path)


def test_repository__whose_branch_moved_back_is_reported(bare: Path) -> None:
    history = make_history(Repository(bare))
    history.append([make_record()])
    first = git(bare, "rev-parse", REF)
    history.append([make_record("run-2")])
    git(bare, "update-ref", REF, first)
    with pytest.raises(InconsistencyError, match="moved back"):
        history.append([make_record("run-3")])
    assert git(bare, "rev-parse", REF) == first


# remotes


@pytest.fixture(params=["file", "http"])
def remote(request: pytest.FixtureRequest, bare: Path, served: tuple[str, dict[str, int]]) -> str:
    return served[0] if request.param == "http" else f"file://{bare}"


def test_remote__is_written_and_read(remote: str, bare: Path, tmp_path: Path) -> None:
    with open_history(remote) as store:
        assert list(store.read()) == []
        assert store.append([make_record()]) == 1
        assert store.append([make_record("run-2")]) == 1
    history = real(Remote(scratch(tmp_path / "here"), remote))
    assert history.append([make_record()]) == 0
    assert runs(history) == ["run-1", "run-2"]
    assert runs(real(Repository(bare))) == ["run-1", "run-2"]


def test_remote__twenty_writers_append_in_parallel_over_http(
    served: tuple[str, dict[str, int]], bare: Path, tmp_path: Path
) -> None:
    url, _ = served
    found = append_in_parallel(lambda number: real(Remote(scratch(tmp_path / f"clone-{number}"), url)))
    assert found == [1] * WRITERS
    assert sorted(runs(real(Repository(bare)))) == [f"run-{n:02}" for n in range(WRITERS)]
    assert len(git(bare, "rev-list", REF).split()) == WRITERS
    git(bare, "fsck", "--strict")


def test_remote__whose_branch_moved_back_is_reported_by_a_later_run(remote: str, bare: Path, tmp_path: Path) -> None:
    clone = scratch(tmp_path / "here")
    make_history(Remote(clone, remote)).append([make_record()])
    first = git(bare, "rev-parse", REF)
    make_history(Remote(clone, remote)).append([make_record("run-2")])
    second = git(bare, "rev-parse", REF)
    for command in (["update-ref", REF, first], ["update-ref", "-d", REF]):
        git(bare, *command)
        with pytest.raises(InconsistencyError, match="moved back") as caught:
            make_history(Remote(clone, remote)).append([make_record("run-3")])
        assert second in caught.value.advice
    git(clone, "push", "--quiet", remote, f"{second}:{REF}")
    assert make_history(Remote(clone, remote)).append([make_record("run-3")]) == 1


@pytest.mark.parametrize(
    ("part", "status", "message"),
    [
        ("git-receive-pack", 403, "no permission to read or write"),
        ("git-receive-pack", 401, "no permission to read or write"),
        ("git-upload-pack", 403, "no permission to read or write"),
        ("info/refs", 404, "was not found"),
        ("git-receive-pack", 500, "in 4 tries"),
    ],
)
def test_remote__that_refuses_is_reported(
    served: tuple[str, dict[str, int]], tmp_path: Path, *, part: str, status: int, message: str
) -> None:
    url, denied = served
    denied[part] = status
    with pytest.raises(PublishError) as caught:
        make_history(Remote(scratch(tmp_path / "here"), url.replace("//", "//me:secret@"))).append([make_record()])
    assert message in caught.value.what
    assert caught.value.advice
    assert "secret" not in str(caught.value)
    assert git(tmp_path / "bare.git", "for-each-ref") == ""


def test_remote__that_protects_the_branch_is_reported(bare: Path, tmp_path: Path) -> None:
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    hook.chmod(0o755)
    with pytest.raises(PublishError, match="does not accept the records"):
        make_history(Remote(scratch(tmp_path / "here"), f"file://{bare}")).append([make_record()])


def test_remote__whose_answer_is_lost_has_the_record_once(bare: Path, tmp_path: Path) -> None:
    """The server accepts the push, and the connection breaks before its answer."""
    hook = bare / "hooks" / "post-receive"
    hook.write_text('#!/bin/sh\nrm -- "$0"\nkill -9 $PPID\nsleep 1\n', encoding="ascii")
    hook.chmod(0o755)
    history = make_history(Remote(scratch(tmp_path / "here"), f"file://{bare}"))
    assert history.append([make_record()]) == 1
    assert not hook.exists()
    assert runs(real(Repository(bare))) == ["run-1"]
    assert len(git(bare, "rev-list", REF).split()) == 1


# open_history


def test_open_history__distinguishes_folders_from_repositories(shop: Path, bare: Path, tmp_path: Path) -> None:
    inside = shop / "history"
    for location in (shop, bare, inside):
        with open_history(str(location)) as store:
            assert store.append([make_record()]) == 1
    assert (inside / INDEX).exists()
    for repository in (shop, bare):
        assert git(repository, "rev-parse", "--verify", REF)
    with pytest.raises(PublishError, match="was not found"), open_history(f"file://{tmp_path}/nowhere.git") as store:
        store.append([make_record()])
