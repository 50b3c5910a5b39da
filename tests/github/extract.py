"""extract.py TARBALL OUTPUT: a description of the operations below, and of nothing else, out of Octokit's package.

The whole is 13 MB; what the double serves is a twentieth of it. Needs nothing but Python, as a script of the set-up.
"""

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

MEMBER = "package/generated/api.github.com.json"
OPERATIONS = """
GET    /user
GET    /repos/{owner}/{repo}
GET    /repos/{owner}/{repo}/issues
POST   /repos/{owner}/{repo}/issues
GET    /repos/{owner}/{repo}/issues/{issue_number}
PATCH  /repos/{owner}/{repo}/issues/{issue_number}
GET    /repos/{owner}/{repo}/issues/{issue_number}/comments
POST   /repos/{owner}/{repo}/issues/{issue_number}/comments
GET    /repos/{owner}/{repo}/issues/comments/{comment_id}
PATCH  /repos/{owner}/{repo}/issues/comments/{comment_id}
DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}
GET    /repos/{owner}/{repo}/pulls
GET    /repos/{owner}/{repo}/pulls/{pull_number}
GET    /repos/{owner}/{repo}/compare/{basehead}
GET    /repos/{owner}/{repo}/actions/runs/{run_id}
GET    /repos/{owner}/{repo}/actions/runs/{run_id}/artifacts
GET    /repos/{owner}/{repo}/actions/artifacts/{artifact_id}/{archive_format}
GET    /repos/{owner}/{repo}/contents/{path}
GET    /repos/{owner}/{repo}/git/ref/{ref}
POST   /repos/{owner}/{repo}/git/refs
PATCH  /repos/{owner}/{repo}/git/refs/{ref}
GET    /repos/{owner}/{repo}/git/commits/{commit_sha}
POST   /repos/{owner}/{repo}/git/commits
GET    /repos/{owner}/{repo}/git/trees/{tree_sha}
POST   /repos/{owner}/{repo}/git/trees
GET    /repos/{owner}/{repo}/git/blobs/{file_sha}
POST   /repos/{owner}/{repo}/git/blobs
"""
_REFERENCE = "#/components/"
_ALWAYS = "#/components/schemas/basic-error"  # refusals that an operation's description does not name
_PROSE = ("description", "example", "examples")


def extract(whole: dict[str, Any]) -> dict[str, Any]:
    """The listed operations with everything that they refer to, by the same names."""
    paths: dict[str, Any] = {}
    for method, path in (line.split() for line in OPERATIONS.split("\n") if line):
        paths.setdefault(path, {})[method.lower()] = _without_prose(whole["paths"][path][method.lower()])
    components: dict[str, Any] = {}
    wanted = [_ALWAYS, *_references(paths)]
    while wanted:
        kind, name = wanted.pop().removeprefix(_REFERENCE).split("/")
        if name not in components.setdefault(kind, {}):
            components[kind][name] = _without_prose(whole["components"][kind][name])
            wanted += _references(components[kind][name])
    return {"openapi": whole["openapi"], "paths": paths, "components": components}


def _without_prose(node: Any, names: bool = False) -> Any:
    """The same without texts and examples; where the keys are names that somebody chose, none is left out."""
    if isinstance(node, list):
        return [_without_prose(one) for one in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if names or not (key in _PROSE or key.startswith("x-"))}
    return {key: _without_prose(value, names=key in ("properties", "headers")) for key, value in kept.items()}


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [reference for one in node for reference in _references(one)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [reference for value in node.values() for reference in _references(value)]


def main(tarball: str, output: str) -> None:
    with tarfile.open(tarball) as archive:
        member = archive.extractfile(MEMBER)
        assert member is not None, f"{MEMBER} is no file"
        whole = json.load(member)
    Path(output).write_text(json.dumps(extract(whole)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
