"""The control's id depends on its sources and settings, not on its image."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.factories import make_subject, make_trial

from bench_action.config.control import identify_control
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config
from bench_action.report.folder import OutputFolder

pytestmark = pytest.mark.unit


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print()", encoding="utf-8")
    variants = {"frozen": {"build": "app"}, "image": {"image": "shop:1"}}
    config = Config.model_validate({"variants": variants, "control": "frozen"})
    return Project(config, load_policy("ci"), "ci", tmp_path, "")


def identity(project: Project, **changes: str) -> str:
    return identify_control(project, (make_subject(str(project.config.control), **changes),)).get("id", "")


def test_identify_control__hashes_sources_and_settings(project: Project) -> None:
    first = identity(project)
    assert len(first) == 12
    assert identity(project, image_id="sha256:another-build") == first
    (project.folder / "app" / "__pycache__").mkdir()
    (project.folder / "app" / "__pycache__" / "main.pyc").write_bytes(b"x")
    assert identity(project) == first
    (project.folder / "app" / "main.py").write_text("print(1)", encoding="utf-8")
    assert identity(project) != first
    variants = project.config.variants
    other = {**variants, "frozen": variants["frozen"].model_copy(update={"port": 9000})}
    assert identity(replace(project, config=project.config.model_copy(update={"variants": other}))) != first


def test_identify_control__ignores_the_results_of_its_own_run(project: Project) -> None:
    (project.folder / "app" / ".gitignore").write_text("*\n", encoding="ascii")  # the context itself is never left out
    first = identity(project)
    OutputFolder(project.folder / "app" / "results").append(make_trial())
    assert identity(project) == first
    (project.folder / "app" / "main.py").write_text("print(1)", encoding="utf-8")
    assert identity(project) != first


def test_identify_control__does_not_follow_links(project: Project) -> None:
    (project.folder / "app" / "link").symlink_to("/dev/zero")
    first = identity(project)
    (project.folder / "app" / "link").unlink()
    (project.folder / "app" / "link").symlink_to("/dev/full")
    assert identity(project) != first


def test_identify_control__uses_the_id_of_an_image(project: Project) -> None:
    of_image = replace(project, config=project.config.model_copy(update={"control": "image"}))
    assert identity(of_image, image_id="sha256:1") != identity(of_image, image_id="sha256:2")


def test_identify_control__is_empty_if_it_was_not_measured(project: Project) -> None:
    assert identify_control(project, ()) == {}
    assert identify_control(project, (make_subject("frozen", verified=False),)) == {}
    assert identify_control(project, (make_subject("other"),)) == {}


def test_control__must_be_a_variant() -> None:
    with pytest.raises(ValueError, match="`control` names a variant that does not exist: b"):
        Config.model_validate({"variants": {"a": {"image": "a:1"}}, "control": "b"})
