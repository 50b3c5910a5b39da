"""Compose files are found as compose does, and refused if they name a file outside of the repository."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from bench_action.config.compose.command import ComposeCommand
from bench_action.config.compose.find import Spare, find_compose_file, list_compose_files
from bench_action.config.schema import COMPOSE_FILES
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit


class Interpolator:
    """Stands for a compose that fills in two variables, `UP` and `FILE`."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.variables = {
            "UP": "../..",
            "OWN": "~/.npmrc",
            "COMPOSE_FILE:-": "",
            "COMPOSE_PATH_SEPARATOR:-:": ":",
            **variables,
        }

    def interpolate(self, texts: Sequence[str]) -> list[str]:
        for name, value in self.variables.items():
            texts = [text.replace(f"${{{name}}}", value) for text in texts]
        return list(texts)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "docker"
    folder.mkdir(parents=True)
    (tmp_path / "outside.env").write_text("TOKEN=stolen", encoding="utf-8")
    (tmp_path / "outside.yaml").write_text("services: {}", encoding="utf-8")
    return folder


def list_files(project: Path, text: str, **variables: str) -> list[str]:
    (project / "compose.yaml").write_text(text, encoding="utf-8")
    command = cast(ComposeCommand, Interpolator(project, **variables))
    return [file.name for file in list_compose_files(command, project.parent, [])]


def test_find_compose_file__prefers_the_newer_names(project: Path) -> None:
    assert find_compose_file(project) is None
    for name in reversed(COMPOSE_FILES):
        (project / name).write_text("", encoding="utf-8")
        assert find_compose_file(project) == project / name


def test_list_compose_files__adds_the_override(project: Path) -> None:
    (project / "compose.override.yml").write_text("", encoding="utf-8")

    assert list_files(project, "services: {}") == ["compose.yaml", "compose.override.yml"]


def test_list_compose_files__follows_the_projects_env_file(project: Path) -> None:
    (project / ".env").write_text("COMPOSE_FILE=a.yaml:b.yaml", encoding="utf-8")
    for name in ("a.yaml", "b.yaml"):
        (project / name).write_text("services: {}", encoding="utf-8")

    assert list_files(project, "", **{"COMPOSE_FILE:-": "a.yaml:b.yaml"}) == ["a.yaml", "b.yaml"]


INSIDE = {
    "files of the repository": "services: {web: {env_file: [../web.env, {path: ./own.env, required: false}]}}",
    "tags of compose": "services: {web: {env_file: !override [a.env], ports: !reset []}}",
    "several documents": "services: {}\n---\nservices: {web: {env_file: a.env}}",
    "paths in a container": "services: {web: {command: [cat, /etc/passwd], volumes: ['/etc:/etc']}}",
}


@pytest.mark.parametrize("text", INSIDE.values(), ids=INSIDE)
def test_list_compose_files__accepts(project: Path, text: str) -> None:
    assert list_files(project, text) == ["compose.yaml"]


OUTSIDE = {
    "env_file": "services: {web: {env_file: ../../outside.env}}",
    "env_file, absolute": "services: {web: {env_file: /etc/passwd}}",
    "env_file, long": "services: {web: {env_file: [{path: ../../outside.env, required: false}]}}",
    "env_file, by a variable": "services: {web: {env_file: '${UP}/outside.env'}}",
    "env_file, by an anchor": "x-a: &a {env_file: ../../outside.env}\nservices: {web: {<<: *a}}",
    "env_file, in a second document": "services: {}\n---\nservices: {web: {env_file: ../../outside.env}}",
    "env_file, behind a tag": "services: {web: !override {env_file: ../../outside.env}}",
    "env_file, by a link": "services: {web: {env_file: link.env}}",
    "label_file": "services: {web: {label_file: ../../outside.env}}",
    "extends": "services: {web: {extends: {file: ../../outside.yaml, service: web}}}",
    "include": "include: [../../outside.yaml]",
    "include, long": "include: [{path: [own.yaml, ../../outside.yaml]}]",
    "include's environment": "include: [{path: own.yaml, env_file: ../../outside.env}]",
    "include's folder": "include: [{path: own.yaml, project_directory: ../..}]",
    "what an included file names": "include: [deep.yaml]",
    "a secret": "secrets: {a: {file: ../../outside.env}}",
    "a config": "configs: {a: {file: /etc/passwd}}",
}


@pytest.mark.parametrize("text", OUTSIDE.values(), ids=OUTSIDE)
def test_list_compose_files__refuses(project: Path, text: str) -> None:
    (project / "link.env").symlink_to("../../outside.env")
    (project / "own.yaml").write_text("services: {}", encoding="utf-8")
    (project / "deep.yaml").write_text("services: {web: {env_file: ../../outside.env}}", encoding="utf-8")

    with pytest.raises(InputError, match=r"may not use .*is outside of"):
        list_files(project, text)


def test_list_compose_files__refuses_links(project: Path) -> None:
    (project / ".env").symlink_to("../../outside.env")
    with pytest.raises(InputError, match=r"may not use \.env"):
        list_files(project, "services: {}")
    (project / ".env").unlink()
    (project / "compose.override.yaml").symlink_to("../../outside.yaml")
    with pytest.raises(InputError, match=r"may not use compose\.override\.yaml"):
        list_files(project, "services: {}")


REFUSED = {
    "a home folder": ("services: {web: {env_file: ~/.npmrc}}", "may not use ~/.npmrc, as it is in a home folder"),
    "a user's home folder": ("services: {web: {label_file: '~root/x'}}", "is in a home folder"),
    "a home folder by a variable": ("services: {web: {env_file: '${OWN}'}}", "is in a home folder"),
    "a home folder, extended": ("services: {web: {extends: {file: ~/a.yaml, service: web}}}", "is in a home folder"),
    "a home folder, included": ("include: [{path: own.yaml, project_directory: '~/..'}]", "is in a home folder"),
    "a remote file": ("include: ['https://github.com/a/b.git']", "is not in this repository"),
    "a remote file by git": ("include: ['git@github.com:a/b.git']", "is not in this repository"),
    "a remote artefact": ("services: {web: {extends: {file: 'oci://x/y', service: web}}}", "is not in this repository"),
    "variables of an included file": ("include: [variable.yaml]", "names ${A}.env"),
    "what is no YAML": ("services: [", "could not read the compose file"),
    "a path that only compose reads": (
        "services: {web: {env_file: !!binary Li4vLi4vb3V0c2lkZS5lbnY=}}",
        "not supported",
    ),
    "a key that only compose reads": ("services: {web: {!!binary ZW52X2ZpbGU=: ../../outside.env}}", "not supported"),
    "a path past a link": ("services: {web: {env_file: down/../../outside.env}}", "leads to two places"),
    "a key twice": ("services: {web: {env_file: ../../outside.env, env_file: own.env}}", "is there twice"),
    "a bomb": (
        "a: &a [1, 2]\n" + "".join(f"b{n}: &{n} [{'*a, ' if n == 0 else f'*{n - 1}, ' * 9}]\n" for n in range(7)),
        "more values",
    ),
    "nesting without end": ("[" * 5000, "could not read the compose file"),
    "a circle of files": ("include: [circle-0.yaml]", "includes or extends more than 50 files"),
}


def test_list_compose_files__quotes_no_line_of_a_file_that_is_no_yaml(project: Path) -> None:
    (project / ".env.local").write_text("A=1 # x\nSTRIPE_KEY=sk_live_4eC39HqLyjWDa\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        list_files(project, "include: [.env.local]")
    assert ".env.local:2: column" in str(caught.value)
    assert "STRIPE" not in str(caught.value)


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_list_compose_files__refuses_and_says_why(project: Path, text: str, problem: str) -> None:
    (project / "variable.yaml").write_text("services: {web: {env_file: '${A}.env'}}", encoding="utf-8")
    (project / "a" / "b" / "c").mkdir(parents=True)
    (project / "down").symlink_to("a/b/c")
    for number in range(60):
        (project / f"circle-{number}.yaml").write_text(f"include: [circle-{number + 1}.yaml]", encoding="utf-8")

    with pytest.raises(InputError) as caught:
        list_files(project, text)
    assert problem in str(caught.value)


def test_list_compose_files__fills_gaps_from_another_revision(project: Path, tmp_path: Path) -> None:
    spare = tmp_path / "head"
    (spare / "docker").mkdir(parents=True)
    (spare / "docker" / "web.env").write_text("A=1", encoding="utf-8")
    (spare / "docker" / "own.env").write_text("A=1", encoding="utf-8")
    (spare / "docker" / "new.env").write_text("A=1", encoding="utf-8")
    (project / "own.env").write_text("A=2", encoding="utf-8")
    (project / "compose.yaml").write_text("services: {web: {env_file: [web.env, own.env, new.env]}}", encoding="utf-8")

    list_compose_files(
        cast(ComposeCommand, Interpolator(project)), project.parent, [], Spare(spare, ["docker/new.env"])
    )

    assert (project / "web.env").read_text(encoding="utf-8") == "A=1"
    assert (project / "own.env").read_text(encoding="utf-8") == "A=2"
    assert not (project / "new.env").exists()  # the other revision has added it
