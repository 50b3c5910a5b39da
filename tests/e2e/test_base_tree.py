"""Base is built from the same kind of tree as head, and what it cannot have is named."""

from pathlib import Path

import pytest
from tests.e2e.conftest import Tool
from tests.git import git

pytestmark = pytest.mark.e2e

_APP = """\
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm, wbufsize = "HTTP/1.1", True, -1
    def do_GET(self):
        time.sleep(0.01)  # so that a load takes little CPU from other tests
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
Server(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
_POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "more")


@pytest.fixture
def tool(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """In a repository with a submodule, LFS without git-lfs, and a folder that an earlier step has built."""
    shop, library = tool.folder, tmp_path_factory.mktemp("library")
    git(library, "init", "--quiet")
    (library / "vendored.py").write_text("ONE = 1\n", encoding="ascii")
    commit(library)
    git(shop, "init", "--quiet")
    git(shop, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "vendor")
    for name, line in (("full", "RUN test -f vendor/vendored.py"), ("built", "COPY dist /dist")):
        text = f'FROM python:3.13-slim\nWORKDIR /app\nCOPY . .\n{line}\nCMD ["python", "app.py"]\n'
        (shop / f"Dockerfile.{name}").write_text(text, encoding="ascii")
    (shop / "app.py").write_text(_APP, encoding="utf-8")
    (shop / "data.bin").write_text(_POINTER, encoding="ascii")
    (shop / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n", encoding="ascii")
    (shop / ".gitignore").write_text("dist\n", encoding="ascii")
    variant = {"ready": {"path": "/"}}
    tool.config(
        {name: variant | {"build": {"context": ".", "dockerfile": f"Dockerfile.{name}"}} for name in ("full", "built")}
    )
    commit(shop)
    for name, command in (("process", "filter-process"), ("smudge", "smudge -- %f"), ("clean", "clean -- %f")):
        git(shop, "config", f"filter.lfs.{name}", f"git-lfs {command}")
    git(shop, "config", "filter.lfs.required", "true")
    (shop / "dist").mkdir()
    (shop / "dist" / "main.js").write_text("built", encoding="ascii")
    return tool


def test_base__with_a_submodule_is_compared_and_without_a_built_folder_the_folder_is_named(tool: Tool) -> None:
    finished = tool.run("--preset", "ci", "--max-minutes", "0.1", "--baseline", "HEAD", output="out")

    assert finished.status == 0, finished.stderr
    result = finished.result
    assert {(one.variant, one.revision) for one in result.summaries} == {
        ("full", "head"),
        ("full", "base"),
        ("built", "head"),
    }
    (built,) = [one for one in result.not_compared if one.cell.startswith("built")]
    assert built.status == "base-failed"
    assert "dist is ignored by git, so the base revision's tree does not have it" in built.reason
    assert 'image: "name:{revision}"' in built.reason
    assert not result.source.dirty
    git(tool.folder, "config", "--remove-section", "filter.lfs")  # plain git needs git-lfs for its own answer
    assert "out/" not in git(tool.folder, "status", "--porcelain", "--untracked-files=all")
