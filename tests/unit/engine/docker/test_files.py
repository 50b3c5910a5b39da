"""The archive of files that a container gets before it starts."""

import io
import tarfile
from pathlib import Path

import pytest

from bench_action.engine.docker.files import write_archive
from bench_action.engine.protocol import FileCopy
from bench_action.model.errors import StackError

pytestmark = pytest.mark.unit


def archive(*files: FileCopy) -> dict[str, tarfile.TarInfo]:
    """Write an archive, and return its members by name."""
    content = io.BytesIO()
    write_archive(files, content)
    content.seek(0)
    with tarfile.open(fileobj=content) as tar:
        return {member.name: member for member in tar.getmembers()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    for name in ("app/main.py", "node_modules/x.js", ".git/HEAD", "app/__pycache__/main.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    (folder / "app" / "main.py").chmod(0o750)
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def test_write_archive__takes_a_folder_without_what_is_this_machines(source: Path) -> None:
    members = archive(FileCopy("/code/", source))

    assert set(members) == {"code/app/main.py", "code/link"}
    assert members["code/app/main.py"].mode == 0o754
    assert (members["code/app/main.py"].uid, members["code/app/main.py"].uname) == (0, "")
    assert members["code/link"].linkname == "/etc/passwd"
    assert members["code/link"].issym()


def test_write_archive__takes_files_and_texts_with_their_modes(source: Path) -> None:
    members = archive(
        FileCopy("/etc/app.ini", content="a=ü"),
        FileCopy("/run/secrets/key", source / "app" / "main.py", mode=0o400),
        FileCopy("/a/../b", content=""),
    )
    assert {name: (member.mode, member.size) for name, member in members.items()} == {
        "b": (0o644, 0),
        "etc/app.ini": (0o644, 4),
        "run/secrets/key": (0o400, 11),
    }


def test_write_archive__puts_single_files_over_folders(source: Path) -> None:
    members = archive(FileCopy("/code/app/main.py", content="x"), FileCopy("/code", source))

    assert members["code/app/main.py"].size == 1


def test_write_archive__reports_what_it_could_not_read(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"could not read .*none for /x"):
        archive(FileCopy("/x", tmp_path / "none"))
