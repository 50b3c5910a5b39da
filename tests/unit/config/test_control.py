"""Which control a run has: a variant, the built-in one beside them, or none."""

from pathlib import Path

import pytest
from tests.unit.factories import make_subject

from bench_action.cli.engines import images_of, why_not_local
from bench_action.config.control import BUILT_IN_VARIANT, add_control, identify_control
from bench_action.config.load import Project, builtin_file, load
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

SHOP = """\
services:
  db: {kind: postgres, image: "postgres:16"}
variants:
  one: {image: one, local: {command: [one]}}
  two: {image: two, local: {command: [two]}}
profiles:
  order: {path: /orders, method: POST, headers: {Accept: text/html}, body: tea, connections: 8, threads: 2, duration: 3}
checks:
  - {name: the home page, request: {path: /shop}}
work:
  order: {queries: 3}
"""


def shop(folder: Path, more: str = "") -> Project:
    file = folder / "bench.yml"
    file.write_text(SHOP + more, encoding="utf-8")
    return load(file, "quick")


@pytest.mark.parametrize(
    ("configured", "asked", "control"),
    [
        ("", None, None),
        ("", "none", None),
        ("", "auto", BUILT_IN_VARIANT),
        ("", "built-in", BUILT_IN_VARIANT),
        ("", "two", "two"),
        ("control: one", None, "one"),
        ("control: one", "auto", "one"),
        ("control: one", "none", None),
        ("control: one", "two", "two"),
        ("control: one", "built-in", BUILT_IN_VARIANT),
        ("control: built-in", None, BUILT_IN_VARIANT),
        ("control: built-in", "auto", BUILT_IN_VARIANT),
        ("control: built-in", "none", None),
    ],
)
def test_with_control__is_what_is_asked_for_else_what_is_configured(
    tmp_path: Path, configured: str, asked: str | None, control: str | None
) -> None:
    found = add_control(shop(tmp_path, configured), asked)
    assert found.config.control == control
    assert (found.beside is not None) == (control == BUILT_IN_VARIANT)
    assert set(found.config.variants) == {"one", "two"} | ({control} if found.beside and control else set())


def test_with_control__must_be_a_variant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no variant three for a control") as caught:
        add_control(shop(tmp_path), "three")
    assert "one of: one, two, built-in" in str(caught.value)


def test_with_control__that_was_left_out_of_the_run_is_no_mistake(tmp_path: Path) -> None:
    narrowed = load(shop(tmp_path, "control: one").folder / "bench.yml", "quick", variants=["two"])
    assert add_control(narrowed, "auto").config.control == "one"
    assert set(add_control(narrowed, None).config.variants) == {"two"}


def test_with_control__a_variant_of_that_name_is_meant_by_it(tmp_path: Path) -> None:
    file = tmp_path / "bench.yml"
    file.write_text("variants: {built-in: {image: one}}\ncontrol: built-in\n", encoding="utf-8")
    assert add_control(load(file, "quick"), "auto").beside is None


def test_built_in__goes_by_its_own_configuration_and_the_users_load(tmp_path: Path) -> None:
    project = add_control(shop(tmp_path), "built-in")
    own = project.of(BUILT_IN_VARIANT)
    assert project.of("one") is project
    assert own.folder == builtin_file().parent
    assert own.config.seed == "seed.sql"
    assert project.config.seed is None
    assert {check.name for check in own.config.checks} > {"the home page"}
    assert own.config.work == {}
    theirs, ours = project.profile("one", "order"), project.profile(BUILT_IN_VARIANT, "order")
    assert (theirs.path, theirs.method, theirs.body) == ("/orders", "POST", "tea")
    assert (ours.path, ours.method, ours.body, ours.headers) == ("/", "GET", "", {})
    assert (ours.connections, ours.threads, ours.duration) == (8, 2, 3)


def test_built_in__has_the_users_service_and_brings_the_one_that_is_lacking(tmp_path: Path) -> None:
    services = add_control(shop(tmp_path), "built-in").config.services
    assert {name: (one.kind, one.image) for name, one in services.items()} == {
        "db": ("postgres", "postgres:16"),
        "redis": ("redis", "redis:8"),
    }


def test_built_in__is_built_from_our_folder_and_needs_no_docker(tmp_path: Path) -> None:
    project = add_control(shop(tmp_path), "built-in")
    assert list(images_of(project)) == ["postgres:16", "redis:8", "one", "two", "python:3.13-slim"]
    assert why_not_local(project) == ""


def test_built_in__has_the_id_of_the_same_application_by_another_name(tmp_path: Path) -> None:
    beside = identify_control(add_control(shop(tmp_path), "built-in"), (make_subject(BUILT_IN_VARIANT),))
    inside = identify_control(load(builtin_file(), "quick"), (make_subject("aiohttp"),))
    assert beside["variant"] == BUILT_IN_VARIANT
    assert beside["id"] == inside["id"]
