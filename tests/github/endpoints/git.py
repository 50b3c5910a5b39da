"""References, commits, trees, blobs, and files by their paths."""

import base64
import binascii
import re
from typing import Any

from tests.github.call import Call, Endpoint
from tests.github.exchange import Answer, not_found, refusal
from tests.github.git import FILE, FOLDER, Commit, Entry, Files, Person, now

_LARGEST_CONTENT = 1_000_000  # bytes; of a larger file, up to 100 MB, `contents` has only the raw content
_RIGHTS = ("contents",)


def get_ref(call: Call) -> Answer:
    reference = f"refs/{call.in_path['ref']}"
    if reference not in call.state.git.refs:
        raise not_found()
    return _ref_answer(call, reference)


def create_ref(call: Call) -> Answer:
    git, reference, sha = call.state.git, call.body["ref"], call.body["sha"]
    if not re.fullmatch(r"refs/[^/]+/.+", reference):
        raise refusal(422, "Reference name must start with 'refs/' and have at least two slashes")
    if reference in git.refs:
        raise refusal(422, "Reference already exists")
    _demand_commit(call, sha, "Object does not exist")
    git.refs[reference] = sha
    return _ref_answer(call, reference, 201)


def update_ref(call: Call) -> Answer:
    git, reference, sha = call.state.git, f"refs/{call.in_path['ref']}", call.body["sha"]
    if reference not in git.refs:
        raise refusal(422, "Reference does not exist")
    _demand_commit(call, sha, "Object does not exist")
    if not call.body.get("force", False) and git.refs[reference] not in git.ancestors(sha):
        raise refusal(422, "Update is not a fast forward")
    git.refs[reference] = sha
    return _ref_answer(call, reference)


def get_commit(call: Call) -> Answer:
    if (commit := call.state.git.commits.get(call.in_path["commit_sha"])) is None:
        raise not_found()
    return Answer(body=_render_commit(call, commit))


def create_commit(call: Call) -> Answer:
    git, body = call.state.git, call.body
    if body["tree"] not in git.trees:
        raise refusal(422, "Tree SHA does not exist")
    for parent in body.get("parents", ()):
        _demand_commit(call, parent, "Parent SHA does not exist or is not a commit object")
    author = _person(call, body.get("author"))
    committer = _person(call, body.get("committer") or body.get("author"))
    sha = git.write_commit(body["tree"], body.get("parents", []), body["message"], author, committer)
    return _created(_render_commit(call, git.commits[sha]))


def get_tree(call: Call) -> Answer:
    """Get the tree of a tree's hash, a commit or a branch. `recursive` applies with any value."""
    git, name = call.state.git, call.in_path["tree_sha"]
    commit = git.resolve(name)
    tree = git.commits[commit].tree if commit else name
    if tree not in git.trees:
        raise not_found()
    return Answer(body=_render_tree(call, tree, "recursive" in call.query))


def create_tree(call: Call) -> Answer:
    git, base = call.state.git, call.body.get("base_tree")
    if base is not None and base not in git.trees:
        raise refusal(422, "base_tree is not a valid tree oid")
    files = git.list_files(base) if base else {}
    for entry in call.body["tree"]:
        _lay(call, files, entry)
    return _created(_render_tree(call, git.write_tree(files), recursive=False))


def get_blob(call: Call) -> Answer:
    sha = call.in_path["file_sha"]
    if (content := call.state.git.blobs.get(sha)) is None:
        raise not_found()
    if call.raw:
        return _raw(content)
    url = call.address(f"git/blobs/{sha}")
    return Answer(body={"sha": sha, "url": url, "size": len(content), "content": _lines(content), "encoding": "base64"})


def create_blob(call: Call) -> Answer:
    content, encoding = call.body["content"], call.body.get("encoding", "utf-8")
    try:
        data = base64.b64decode(content, validate=False) if encoding == "base64" else content.encode(encoding)
    except (binascii.Error, LookupError) as error:
        raise refusal(422, f"content is not valid {encoding}") from error
    sha = call.state.git.write_blob(data)
    return _created({"sha": sha, "url": call.address(f"git/blobs/{sha}")})


def get_content(call: Call) -> Answer:
    """Get a file's content, or the entries of a folder."""
    git, path = call.state.git, call.in_path["path"].strip("/")
    commit = git.resolve(call.query.get("ref", call.state.default_branch))
    if commit is None:
        raise not_found()
    tree = git.commits[commit].tree
    entries = dict(git.walk(tree))
    if path and (path not in entries or entries[path].kind == "commit"):
        raise not_found()
    if path and entries[path].mode != FOLDER:
        content = git.blobs[entries[path].sha]
        return _raw(content) if call.raw else Answer(body=_render_file(call, path, entries[path], content))
    inside = ((f"{path}/{one.name}".lstrip("/"), one) for one in git.trees[entries[path].sha if path else tree])
    return Answer(body=[_render_content(call, one_path, one) for one_path, one in inside])


def _ref_answer(call: Call, reference: str, status: int = 200) -> Answer:
    sha, url = call.state.git.refs[reference], call.address(f"git/{reference}")
    target = {"type": "commit", "sha": sha, "url": call.address(f"git/commits/{sha}")}
    body = {"ref": reference, "url": url, "object": target}
    return Answer(status, {"location": url} if status == 201 else {}, body)


def _render_commit(call: Call, commit: Commit) -> dict[str, Any]:
    return {
        "sha": commit.sha,
        "url": call.address(f"git/commits/{commit.sha}"),
        "message": commit.message,
        "tree": {"sha": commit.tree, "url": call.address(f"git/trees/{commit.tree}")},
        "parents": [{"sha": one, "url": call.address(f"git/commits/{one}")} for one in commit.parents],
        "author": vars(commit.author),
        "committer": vars(commit.committer),
    }


def _render_tree(call: Call, tree: str, recursive: bool) -> dict[str, Any]:
    git = call.state.git
    entries = git.walk(tree) if recursive else ((one.name, one) for one in git.trees[tree])
    lines = [_render_entry(call, path, entry) for path, entry in entries]
    return {"sha": tree, "url": call.address(f"git/trees/{tree}"), "truncated": False, "tree": lines}


def _render_entry(call: Call, path: str, entry: Entry) -> dict[str, Any]:
    size = {"size": len(call.state.git.blobs[entry.sha])} if entry.kind == "blob" else {}
    url = call.address(f"git/{entry.kind}s/{entry.sha}")
    return {"path": path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha, "url": url, **size}


def _render_content(call: Call, path: str, entry: Entry) -> dict[str, Any]:
    kind = {"tree": "dir", "commit": "submodule"}.get(entry.kind, "file")
    size = len(call.state.git.blobs.get(entry.sha, b""))
    url = call.address(f"contents/{path}")
    return {"type": kind, "name": entry.name, "path": path, "sha": entry.sha, "size": size, "url": url}


def _render_file(call: Call, path: str, entry: Entry, content: bytes) -> dict[str, Any]:
    small = len(content) <= _LARGEST_CONTENT
    text = {"encoding": "base64", "content": _lines(content)} if small else {"encoding": "none", "content": ""}
    return {**_render_content(call, path, entry), **text}


def _lay(call: Call, files: Files, entry: dict[str, Any]) -> None:
    """One entry of a request over the files that are there: a file, a whole folder, or the end of either."""
    git, path, mode = call.state.git, entry["path"], entry.get("mode", FILE)
    for one in [one for one in files if one == path or one.startswith(f"{path}/")]:
        del files[one]
    if "content" in entry:
        files[path] = (mode, git.write_blob(entry["content"].encode()))
    elif (sha := entry.get("sha")) is None:
        return
    elif sha in git.trees and mode == FOLDER:
        files.update({f"{path}/{inner}": one for inner, one in git.list_files(sha).items()})
    elif sha in git.blobs:
        files[path] = (mode, sha)
    else:
        raise refusal(422, f"tree.sha {sha} is not a valid object")


def _person(call: Call, given: dict[str, str] | None) -> Person:
    own = {"name": call.token.login, "email": f"{call.token.login}@users.noreply.github.com", "date": now()}
    return Person(**{**own, **(given or {})})


def _demand_commit(call: Call, sha: str, message: str) -> None:
    if sha not in call.state.git.commits:
        raise refusal(422, message)


def _created(body: dict[str, Any]) -> Answer:
    return Answer(201, {"location": body["url"]}, body)


def _raw(content: bytes) -> Answer:
    return Answer(200, {"content-type": "application/vnd.github.raw+json; charset=utf-8"}, content)


def _lines(content: bytes) -> str:
    """Encode in lines of 60 characters, like GitHub."""
    text = base64.b64encode(content).decode()
    return "".join(f"{text[start : start + 60]}\n" for start in range(0, len(text), 60))


_GIT = "/repos/{owner}/{repo}/git"
ENDPOINTS = {
    f"GET {_GIT}/ref/{{ref}}": Endpoint(get_ref, "read", _RIGHTS),
    f"POST {_GIT}/refs": Endpoint(create_ref, "write", _RIGHTS),
    f"PATCH {_GIT}/refs/{{ref}}": Endpoint(update_ref, "write", _RIGHTS),
    f"GET {_GIT}/commits/{{commit_sha}}": Endpoint(get_commit, "read", _RIGHTS),
    f"POST {_GIT}/commits": Endpoint(create_commit, "write", _RIGHTS),
    f"GET {_GIT}/trees/{{tree_sha}}": Endpoint(get_tree, "read", _RIGHTS),
    f"POST {_GIT}/trees": Endpoint(create_tree, "write", _RIGHTS),
    f"GET {_GIT}/blobs/{{file_sha}}": Endpoint(get_blob, "read", _RIGHTS),
    f"POST {_GIT}/blobs": Endpoint(create_blob, "write", _RIGHTS),
    "GET /repos/{owner}/{repo}/contents/{path}": Endpoint(get_content, "read", _RIGHTS),
}
