"""A pull request is judged by base's rules, and its changes to them are listed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project, load_policy
from bench_action.config.rules import (
    apply_rules,
    leave_out_caches,
    list_rule_changes,
    map_service_aliases,
    share_services,
)
from bench_action.config.schema import Config, Service
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

TEXT = """\
services: {postgres: {image: "postgres:17"}}
load: {image: "load:1"}
variants: {web: {image: web}}
profiles:
  list: {path: /list, connections: 8, threads: 2, duration: 1s}
checks:
  - {name: home, request: {path: /}, expect: {status: 200, contains: [Hello]}}
work:
  list: {queries: 1}
gates:
  requests_per_second: {max_loss: 2%}
"""


def project(**changes: Any) -> Project:
    body = yaml.safe_load(TEXT) | changes
    return Project(Config.model_validate(body), load_policy("ci"), "ci", Path(), "bench.yml")


def base(**changes: Any) -> Baseline:
    own = project(**changes)
    return Baseline(own, "1a2b3c4", valid=True, profiles=own.profiles)


def compare(head: Project, with_base: Baseline | None = None) -> dict[str, tuple[str, str]]:
    return {change.what: (change.before, change.after) for change in list_rule_changes(head, with_base or base())}


SLOW = {"path": "/list", "connections": 4, "threads": 2, "duration": "1s"}
NEW = {"path": "/new", "connections": 4, "threads": 2, "duration": "1s"}
LIST = yaml.safe_load(TEXT)["profiles"]["list"]


def test_apply_rules__gates_work_profiles_services_and_load_are_bases() -> None:
    head = project(
        gates={"requests_per_second": {"max_loss": "50%"}, "latency_p50_us": None},
        work={},
        profiles={"list": SLOW},
        services={"postgres": {"image": "mine:1"}},
        load={"image": "evil:1"},
    )
    judged, _, applied = apply_rules(head, base(), "base")
    assert judged.config.all_gates == base().project.config.all_gates
    assert judged.config.work["list"].queries == 1
    assert judged.profiles["list"].connections == 8
    assert judged.config.services["postgres"].image == "postgres:17"
    assert judged.config.load.image == "load:1"
    assert (applied.rules, applied.head_gates["requests_per_second"].size) == ("base", 0.5)
    assert {change.what for change in applied.changes} == {
        "gate on requests/s",
        "gate on p50",
        "work of list",
        "profile list",
        "service postgres",
        "load generator",
    }


def test_apply_rules__what_only_head_has_is_added() -> None:
    head = project(
        profiles={"new": NEW, "list": LIST},
        work={"new": {"queries": 3}, "list": {"queries": 1}},
        services={"postgres": {"image": "postgres:17"}, "redis": {"image": "redis:8"}},
    )
    judged, _, applied = apply_rules(head, base(), "base")
    assert list(judged.profiles) == ["new", "list"]
    assert judged.config.work["new"].queries == 3
    assert list(judged.config.services) == ["postgres", "redis"]
    assert applied.changes == ()


def test_apply_rules__a_profile_that_head_removes_is_still_measured() -> None:
    judged, _, applied = apply_rules(project(profiles={"new": NEW}, work={}), base(), "base")
    assert list(judged.profiles) == ["new", "list"]
    assert "profile list" in {change.what for change in applied.changes}


def test_apply_rules__of_head_leave_only_the_load_generator_to_base() -> None:
    head = project(gates={"requests_per_second": {"max_loss": "50%"}}, load={"image": "evil:1"})
    judged, _, applied = apply_rules(head, base(), "head")
    assert judged.config.all_gates["requests_per_second"].size == 0.5
    assert judged.config.load.image == "load:1"
    assert [(change.what, applied.rules) for change in applied.changes] == [("load generator", "head")]


def test_apply_rules__are_heads_if_base_has_no_valid_configuration() -> None:
    head = project(gates={"requests_per_second": {"max_loss": "50%"}})
    judged, _, applied = apply_rules(head, replace(base(), valid=False), "base")
    assert (judged, applied.rules, applied.changes) == (head, "head", ())


def test_apply_rules__services_that_only_base_has_are_started_as_well() -> None:
    judged, _, _ = apply_rules(project(services={}), base(), "head")
    assert list(judged.config.services) == ["postgres"]


def test_share_services__several_of_one_kind_are_known_by_name() -> None:
    redis = Service(kind="redis", image="r")
    cache, both = {"redis": redis}, {"redis": redis, "queue": redis}
    assert list(share_services(cache, both)) == ["redis", "queue"]
    assert map_service_aliases(both, share_services(cache, both)) == {}
    assert map_service_aliases({"a": redis, "b": redis}, {"c": redis, "d": redis}) == {"a": "c", "b": "d"}


def test_share_services__a_database_may_have_another_name() -> None:
    first = {"db": Service(kind="postgres", image="postgres:16")}
    second = {"postgres": Service(kind="postgres", image="postgres:17"), "redis": Service(kind="redis", image="r")}
    shared = share_services(first, second)
    assert {name: service.image for name, service in shared.items()} == {"db": "postgres:16", "redis": "r"}
    assert shared["db"].aliases == ["postgres"]
    assert map_service_aliases(second, shared) == {"postgres": "db"}


def test_list_rule_changes__uses_plain_words() -> None:
    head = project(
        gates={"requests_per_second": {"max_loss": "10%", "level": "warn"}, "latency_p50_us": None},
        checks=[
            {"name": "home", "request": {"path": "/"}, "expect": {"status": 200, "contains": ["Hi"]}},
            {"name": "new", "request": {"path": "/new"}, "expect": {"status": 200}},
        ],
        work={"list": {"queries": 21}},
        profiles={"list": SLOW},
        compare=[],
    )
    assert compare(head) == {
        "gate on requests/s": ("2 %", "10 % (warns only)"),
        "gate on p50": ("10 % and 200 µs", "no gate"),
        "work of list": ("queries 1", "queries 21"),
        "profile list": ("connections 8", "connections 4"),
        "check home": ("expect.contains 'Hello'", "expect.contains 'Hi'"),
        "check new": ("", "request.path /new, expect.status 200"),
    }


def test_list_rule_changes__names_what_head_removes() -> None:
    changes = compare(project(checks=[], services={}, work={}))
    assert changes["check home"] == ("expect.status 200, expect.contains 'Hello'", "")
    assert changes["service postgres"][1] == ""
    assert changes["work of list"] == ("queries 1", "any")


def test_list_rule_changes__a_variant_that_head_removes_is_no_longer_measured() -> None:
    assert compare(project(), replace(base(), removed=("slow",))) == {"variant slow": ("measured", "")}


def test_list_rule_changes__writing_a_default_down_changes_nothing() -> None:
    assert (
        compare(project(gates={"requests_per_second": {"max_loss": "2%"}, "cpu_ms_per_request": {"max_gain": 0.01}}))
        == {}
    )


@pytest.mark.parametrize(("digest", "changed"), [("1a2b", {}), ("3c4d", {"profile list": ("data 1a2b", "data 3c4d")})])
def test_list_rule_changes__code_next_to_a_script_is_no_rule(digest: str, changed: dict[str, tuple[str, str]]) -> None:
    """A script may open any file of its folder, which is given to k6 as a whole; the digest is of what it imports."""

    def read(code: bytes, digest: str) -> Project:
        own = project(profiles={"list": {"k6": "load.js"}})
        profile = own.config.profiles["list"].with_files([("app.py", code), ("load.js", b"")], "load.js", digest)
        return replace(own, config=own.config.model_copy(update={"profiles": {"list": profile}}))

    old = read(b"slow", "1a2b")
    assert compare(read(b"slower", digest), Baseline(old, "1a2b3c4", valid=True, profiles=old.profiles)) == changed


def test_list_rule_changes__a_long_text_is_cut() -> None:
    head = project(checks=[{"name": "home", "expect": {"contains": ["x" * 5000]}}])
    assert len(compare(head)["check home"][1]) == 200


def test_apply_rules__services_that_are_built_are_each_revisions_own() -> None:
    def services(image: str, worker: str) -> dict[str, Any]:
        return {"postgres": {"image": image}, "worker": {"build": worker, "worker": True}}

    head = project(services={**services("postgres:18", "new"), "job": {"build": "job", "once": True}})
    own = base(services={**services("postgres:17", "old"), "gone": {"build": "gone", "worker": True}})
    judged, with_base, applied = apply_rules(head, own, "base")

    assert judged.config.services["postgres"].image == "postgres:17"
    assert judged.config.built_services == head.config.built_services
    assert with_base.project.config.built_services == own.project.config.built_services
    assert [change.what for change in applied.changes] == ["service postgres"]


def test_list_rule_changes__other_data_are_named(tmp_path: Path) -> None:
    def at(folder: str, seed: Any, text: str = "") -> Project:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "seed.sql").write_text(text, encoding="utf-8")
        return replace(project(seed=seed), folder=tmp_path / folder)

    old = replace(base(), project=at("base", "seed.sql", "INSERT 1"))
    assert compare(at("head", "small.sql"), old) == {"seed": ("seed.sql", "small.sql")}
    assert compare(at("head", None), old) == {"seed": ("seed.sql", "none")}
    assert compare(at("head", "seed.sql", "INSERT 2"), old) == {"seed": ("seed.sql", "other contents of seed.sql")}
    assert compare(at("head", "seed.sql", "INSERT 1"), old) == {}


def with_files(
    folder: Path,
    script: str | None,
    target: str = "/srv/schema.sql",
    *,
    name: str = "postgres",
    image: Mapping[str, str] = {"image": "postgres:17"},
) -> Project:
    """A configuration in a folder whose database has a script; None: the script is missing."""
    folder.mkdir()
    if script is not None:
        (folder / "schema.sql").write_text(script, encoding="utf-8")
    own = project(services={name: {"kind": "postgres", **image, "files": {target: "schema.sql"}}})
    return replace(own, folder=folder.resolve(), root=folder.resolve())


def test_apply_rules__lists_files_of_a_service_with_other_contents(tmp_path: Path) -> None:
    head, own = with_files(tmp_path / "head", "CREATE TABLE a ();"), with_files(tmp_path / "base", "CREATE TABLE b ();")
    before = Baseline(own, valid=True, profiles=own.profiles)
    assert compare(head, before) == {"files of postgres": ("schema.sql", "other contents, for base too")}
    judged, _, _ = apply_rules(head, before, "base")
    (file,) = judged.config.services["postgres"].files.values()
    assert file.source == "schema.sql"  # of head's tree


INITIAL = "/docker-entrypoint-initdb.d"


@pytest.mark.parametrize("rules", ["base", "head"])
@pytest.mark.parametrize(
    ("target", "script", "change"),
    [
        (f"{INITIAL}/schema.sql", "CREATE TABLE a ();", None),
        (f"{INITIAL}/schema.sql", "CREATE TABLE b ();", ("schema.sql", "other contents of schema.sql")),
        (f"{INITIAL}/2.sql", "CREATE TABLE a ();", ("schema.sql", "other contents of schema.sql")),
        (INITIAL, "CREATE TABLE a ();", ("schema.sql", "other contents of schema.sql")),
        ("/srv/schema.sql", "CREATE TABLE a ();", ("schema.sql", "none")),
    ],
)
def test_apply_rules__each_revision_has_its_own_initial_data(
    tmp_path: Path, rules: Any, target: str, script: str, change: tuple[str, str] | None
) -> None:
    """A database runs head's files at its first start, and what base's would make is loaded separately."""
    own = with_files(tmp_path / "base", "CREATE TABLE a ();", f"{INITIAL}/schema.sql")
    head = with_files(tmp_path / "head", script, target)
    judged, found, applied = apply_rules(head, Baseline(own, valid=True, profiles=own.profiles), rules)
    initial = [path for path in judged.config.services["postgres"].files if path.startswith(INITIAL)]
    assert initial == ([target] if target.startswith(INITIAL) else [])
    assert found.own_data == ({} if change is None else {"postgres": own.config.services["postgres"]})
    listed = {each.what: (each.before, each.after) for each in applied.changes}
    assert listed.get("initial data of postgres") == (change if rules == "base" else None)
    assert "files of postgres" not in listed


@pytest.mark.parametrize(
    ("files", "own"),
    [
        ({}, False),
        ({"base/db/sub/2.sql": "b", "head/db/sub/2.sql": "b", "head/db/__pycache__/x": ""}, False),
        ({"base/db/sub/2.sql": "b", "head/db/sub/2.sql": "c"}, True),
        ({"head/db/sub/2.sql": "b"}, True),
        ({"head/db/dump.sql": "b"}, False),  # an earlier step has fetched it
    ],
)
def test_apply_rules__initial_data_in_a_folder(tmp_path: Path, files: Mapping[str, str], own: bool) -> None:
    for name, text in {"base/db/1.sql": "a", "head/db/1.sql": "a", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    database = {"image": "postgres:17", "files": {INITIAL: "db"}}
    base_project, head = (
        replace(project(services={"postgres": database}), folder=tmp_path / name, root=tmp_path / name)
        for name in ("base", "head")
    )
    before = Baseline(base_project, valid=True, profiles=base_project.profiles, tracked=["db/1.sql", "db/sub/2.sql"])
    _, found, applied = apply_rules(head, before, "base")
    assert list(found.own_data) == (["postgres"] if own else [])
    fetched = "head/db/dump.sql" in files
    assert [change.what for change in applied.changes] == (
        ["files of postgres"] if fetched else ["initial data of postgres"] if own else []
    )


def test_apply_rules__initial_data_of_a_database_that_is_built_are_its_image(tmp_path: Path) -> None:
    own, head = (
        with_files(tmp_path / name, name, f"{INITIAL}/schema.sql", image={"build": "."}) for name in ("base", "head")
    )
    assert apply_rules(head, Baseline(own, valid=True, profiles=own.profiles), "base")[1].own_data == {}


def test_apply_rules__initial_data_are_of_the_server_that_runs(tmp_path: Path) -> None:
    own = with_files(tmp_path / "base", "CREATE TABLE a ();", f"{INITIAL}/schema.sql", name="db")
    head = with_files(tmp_path / "head", "CREATE TABLE b ();", f"{INITIAL}/schema.sql", name="database")
    before = Baseline(own, valid=True, profiles=own.profiles)
    assert list(apply_rules(head, before, "base")[1].own_data) == ["db"]
    assert list(apply_rules(head, before, "head")[1].own_data) == ["database"]
    (file,) = apply_rules(head, before, "base")[0].config.services["db"].initial_files.values()
    assert file.source == "schema.sql"  # of head's tree
    assert list(apply_rules(head, replace(before, valid=False), "base")[1].own_data) == ["database"]


def test_apply_rules__a_server_of_another_kind_has_no_initial_data_of_base(tmp_path: Path) -> None:
    own = with_files(tmp_path / "base", "CREATE TABLE a ();", f"{INITIAL}/schema.sql")
    head = project(services={"postgres": {"kind": "mysql", "image": "mysql:8"}})
    judged, found, _ = apply_rules(head, Baseline(own, valid=True, profiles=own.profiles), "head")
    assert (judged.config.services["postgres"].kind, found.own_data) == ("mysql", {})


@pytest.mark.parametrize(("replaced", "change"), [("absent", ("", "base has none")), ("invalid", ("invalid", "valid"))])
def test_apply_rules__says_that_head_judges_itself(replaced: Any, change: tuple[str, str]) -> None:
    before = replace(base(), valid=False, replaced=replaced)
    _, _, applied = apply_rules(project(), before, "base")
    assert [(each.what, each.before, each.after) for each in applied.changes] == [("bench.yml", *change)]
    nothing = replace(before.project, config=before.project.config.model_copy(update={"variants": {}}))
    assert apply_rules(project(), replace(before, project=nothing), "base")[2].changes == ()


def test_apply_rules__takes_files_that_head_lacks_from_base(tmp_path: Path) -> None:
    head, own = with_files(tmp_path / "head", None), with_files(tmp_path / "base", "CREATE TABLE b ();")
    judged, _, _ = apply_rules(head, Baseline(own, valid=True, profiles=own.profiles), "base")
    (file,) = judged.config.services["postgres"].files.values()
    assert file.source == str(own.folder / "schema.sql")


def test_apply_rules__refuses_a_link_that_leads_out_of_heads_tree(tmp_path: Path) -> None:
    """The file is named by base's configuration only, so head's was never checked."""
    head, own = with_files(tmp_path / "head", None), with_files(tmp_path / "base", "CREATE TABLE b ();")
    (tmp_path / "secret").write_text("password", encoding="utf-8")
    (head.folder / "schema.sql").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"the file schema\.sql of base's service postgres is outside of"):
        apply_rules(head, Baseline(own, valid=True, profiles=own.profiles), "base")


def test_leave_out_caches__keeps_those_that_a_build_of_base_has() -> None:
    def build(*caches: str) -> dict[str, Any]:
        return {"build": {"context": ".", "cache_from": list(caches)}}

    own = base(variants={"web": build("org/app:main")}, services={"job": {**build("org/job:main"), "once": True}})
    head = project(
        variants={"web": build("org/app:evil", "org/app:main"), "other": build("org/job:main")},
        services={"job": {**build("org/evil:1"), "once": True}, "postgres": {"image": "postgres:17"}},
    )
    narrowed, ignored = leave_out_caches(head, own.project)
    assert ignored == {"web": ["org/app:evil"], "job": ["org/evil:1"]}
    containers = {**narrowed.config.variants, **narrowed.config.services}
    kept = {name: container.build.cache_from for name, container in containers.items() if container.build is not None}
    assert kept == {"web": ["org/app:main"], "other": ["org/job:main"], "job": []}
    assert leave_out_caches(own.project, own.project) == (own.project, {})


@pytest.mark.parametrize("rules", ["base", "head"])
@pytest.mark.parametrize("built_by_head", [True, False])
def test_apply_rules__compares_nothing_if_only_one_of_two_builds_a_service(rules: Any, built_by_head: bool) -> None:
    built, pulled = {"build": "./search"}, {"image": "search:1"}
    head = project(services={"search": built if built_by_head else pulled})
    judged, found, _ = apply_rules(head, base(services={"search": pulled if built_by_head else built}), rules)
    assert "only one of base and head builds the service `search`" in found.lacks["web"].reason
    assert (judged.config.services["search"].build is not None) == built_by_head


def test_apply_rules__a_renamed_job_leaves_no_dependency_behind() -> None:
    keys = {"image": "keys:1", "depends_on": {"migrate": "service_completed_successfully"}}
    job = {"build": ".", "once": True}
    before = base(services={"keys": keys, "migrate": job})
    head = project(services={"keys": keys | {"depends_on": {"setup": "service_completed_successfully"}}, "setup": job})
    judged, _, _ = apply_rules(head, before, "base")
    assert {name: list(service.depends_on) for name, service in judged.config.services.items()} == {
        "keys": [],
        "setup": [],
    }


def test_apply_rules__allows_the_secrets_of_bases_services() -> None:
    own = base(services={"search": {"image": "search:1", "env": {"KEY": "${API_KEY}"}}}, secrets=["API_KEY", "OTHER"])
    judged, _, _ = apply_rules(project(), own, "base")
    assert judged.config.secrets == ["API_KEY"]


def test_list_rule_changes__a_seed_that_base_has_from_head_is_no_change(tmp_path: Path) -> None:
    head = replace(project(seed="seed.sql"), folder=tmp_path)
    borrowed = project(seed=str(tmp_path / "seed.sql"))
    assert compare(head, Baseline(borrowed, profiles=borrowed.profiles)) == {}


def test_list_rule_changes__of_long_values_shows_what_differs() -> None:
    def mix(weight: int) -> dict[str, Any]:
        requests = [{"path": f"/page/{number}/of/many", "weight": 1} for number in range(9)]
        load = {key: value for key, value in LIST.items() if key != "path"}
        return {"list": {**load, "requests": [*requests, {"path": "/last", "weight": weight}]}}

    own = base(profiles=mix(3), work={})
    (change,) = compare(project(profiles=mix(4), work={}), own).values()
    assert change[0] != change[1]
    assert max(map(len, change)) <= 200
