"""Which control a run has: a variant, the built-in one, or none."""

from pathlib import Path

import pytest
from tests.unit.factories import make_subject

from bench_action.cli.engines import explain_not_local, list_images
from bench_action.config.control import BUILT_IN_VARIANT, add_control, identify_control
from bench_action.config.load import Project, find_builtin_file, load_project
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
    return load_project(file, "quick")


@pytest.mark.parametrize(
    ("configured", "requested", "control"),
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
def test_add_control__is_the_requested_one_else_the_configured_one(
    tmp_path: Path, configured: str, requested: str | None, control: str | None
) -> None:
    project = add_control(shop(tmp_path, configured), requested)
    assert project.config.control == control
    assert (project.control_project is not None) == (control == BUILT_IN_VARIANT)
    assert set(project.config.variants) == {"one", "two"} | (
        {control} if project.control_project and control else set()
    )


def test_add_control__refuses_an_unknown_variant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown control: three") as caught:
        add_control(shop(tmp_path), "three")
    assert "use one of: one, two, built-in" in str(caught.value)


def test_add_control__may_be_a_variant_that_is_left_out_of_the_run(tmp_path: Path) -> None:
    narrowed = load_project(shop(tmp_path, "control: one").folder / "bench.yml", "quick", variants=["two"])
    assert add_control(narrowed, "auto").config.control == "one"
    assert set(add_control(narrowed, None).config.variants) == {"two"}


def test_add_control__a_variant_called_built_in_is_used(tmp_path: Path) -> None:
    file = tmp_path / "bench.yml"
    file.write_text("variants: {built-in: {image: one}}\ncontrol: built-in\n", encoding="utf-8")
    assert add_control(load_project(file, "quick"), "auto").control_project is None


def test_built_in__has_its_own_configuration_under_the_users_load(tmp_path: Path) -> None:
    project = add_control(shop(tmp_path), "built-in")
    own = project.find_owner(BUILT_IN_VARIANT)
    assert project.find_owner("one") is project
    assert own.folder == find_builtin_file().parent
    assert [step.file for step in own.config.seed] == ["seed.sql"]
    assert project.config.seed == []
    assert {check.name for check in own.config.checks} > {"the home page"}
    assert own.config.work == {}
    theirs, ours = project.find_profile("one", "order"), project.find_profile(BUILT_IN_VARIANT, "order")
    assert (theirs.path, theirs.method, theirs.body) == ("/orders", "POST", "tea")
    assert (ours.path, ours.method, ours.body, ours.headers) == ("/", "GET", "", {})
    assert (ours.connections, ours.threads, ours.duration) == (8, 2, 3)


def test_built_in__is_sent_its_own_request_in_the_place_of_a_mix(tmp_path: Path) -> None:
    load = "expect: {status: 404}, connections: 4, threads: 2, duration: 3"
    mix = f"  mix: {{requests: [{{path: /a}}, {{path: /b}}], session: [{{path: /in}}], {load}}}\n"
    file = tmp_path / "bench.yml"
    file.write_text(SHOP.replace("checks:\n", f"{mix}checks:\n"), encoding="utf-8")
    project = add_control(load_project(file, "quick"), "built-in")
    own, control = project.find_profile("one", "mix"), project.find_profile(BUILT_IN_VARIANT, "mix")
    assert (own.is_mix, own.varies) == (True, True)
    assert (control.is_mix, control.varies, control.path, control.session) == (False, False, "/", None)
    assert control.expect.accepts(200)
    assert control.connections == own.connections == 4


def test_built_in__uses_the_users_services_and_adds_the_missing_one(tmp_path: Path) -> None:
    project = add_control(shop(tmp_path), "built-in")
    services = {name: (service.kind, service.image) for name, service in project.config.services.items()}
    assert services == {"db": ("postgres", "postgres:16"), "bench-action-redis": ("redis", "redis:8")}
    assert project.list_foreign_services(BUILT_IN_VARIANT) == set()
    assert project.list_foreign_services("one") == {"bench-action-redis"}


def test_built_in__gets_no_service_that_it_does_not_use(tmp_path: Path) -> None:
    """A user's migrations and workers would make the control change with the user's code."""
    services = {
        "redis": "{kind: other, image: envoy}",
        "shop": "{image: 'mysql:8'}",
        "jobs": "{build: ., worker: true}",
        "migrate": "{build: ., once: true}",
        "own-db": "{kind: postgres, build: db}",
        "main": "{image: 'postgis/postgis:16-3.4'}",
        "copy": "{image: 'postgres:15'}",
    }
    text = SHOP.replace(
        '  db: {kind: postgres, image: "postgres:16"}\n', "".join(f"  {n}: {s}\n" for n, s in services.items())
    )
    for folder in (".", "db"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    (tmp_path / "bench.yml").write_text(text, encoding="utf-8")
    project = add_control(load_project(tmp_path / "bench.yml", "quick"), "built-in")
    assert project.control_project is not None
    assert list(project.control_project.config.services) == ["main", "bench-action-redis"]
    assert list(project.config.services) == [*services, "bench-action-redis"]
    assert project.config.services["redis"].image == "envoy"
    assert project.list_foreign_services(BUILT_IN_VARIANT) == {*services} - {"main"}
    assert project.list_foreign_services("one") == {"bench-action-redis"}


def test_built_in__is_built_from_our_folder_and_needs_no_docker(tmp_path: Path) -> None:
    project = add_control(shop(tmp_path), "built-in")
    assert list(list_images(project)) == ["postgres:16", "redis:8", "one", "two", "python:3.13-slim"]
    assert explain_not_local(project) == ""


def test_built_in__has_the_same_id_under_another_name(tmp_path: Path) -> None:
    added = identify_control(add_control(shop(tmp_path), "built-in"), (make_subject(BUILT_IN_VARIANT),))
    built_in = identify_control(load_project(find_builtin_file(), "quick"), (make_subject("aiohttp"),))
    assert added["variant"] == BUILT_IN_VARIANT
    assert added["id"] == built_in["id"]
