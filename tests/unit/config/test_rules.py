"""A pull request is judged by base's rules, and what it changes about them is listed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project, load_policy
from bench_action.config.rules import apply_rules, rule_changes, service_aliases, shared_services
from bench_action.config.schema import Config, Service

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


def changed(head: Project, of: Baseline | None = None) -> dict[str, tuple[str, str]]:
    return {change.what: (change.before, change.after) for change in rule_changes(head, of or base())}


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
    judged, _, judging = apply_rules(head, base(), "base")
    assert judged.config.all_gates == base().project.config.all_gates
    assert judged.config.work["list"].queries == 1
    assert judged.profiles["list"].connections == 8
    assert judged.config.services["postgres"].image == "postgres:17"
    assert judged.config.load.image == "load:1"
    assert (judging.rules, judging.head_gates["requests_per_second"].size) == ("base", 0.5)
    assert {change.what for change in judging.changes} == {
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
    judged, _, judging = apply_rules(head, base(), "base")
    assert list(judged.profiles) == ["new", "list"]
    assert judged.config.work["new"].queries == 3
    assert list(judged.config.services) == ["redis", "postgres"]
    assert judging.changes == ()


def test_apply_rules__a_profile_that_head_removes_is_measured_by_bases() -> None:
    judged, _, judging = apply_rules(project(profiles={"new": NEW}, work={}), base(), "base")
    assert list(judged.profiles) == ["new", "list"]
    assert "profile list" in {change.what for change in judging.changes}


def test_apply_rules__by_heads_only_the_load_generator_stays_bases() -> None:
    head = project(gates={"requests_per_second": {"max_loss": "50%"}}, load={"image": "evil:1"})
    judged, _, judging = apply_rules(head, base(), "head")
    assert judged.config.all_gates["requests_per_second"].size == 0.5
    assert judged.config.load.image == "load:1"
    assert [(change.what, judging.rules) for change in judging.changes] == [("load generator", "head")]


def test_apply_rules__are_heads_if_base_has_no_valid_configuration() -> None:
    head = project(gates={"requests_per_second": {"max_loss": "50%"}})
    judged, _, judging = apply_rules(head, replace(base(), valid=False), "base")
    assert (judged, judging.rules, judging.changes) == (head, "head", ())


def test_apply_rules__services_that_only_base_has_are_started_as_well() -> None:
    judged, _, _ = apply_rules(project(services={}), base(), "head")
    assert list(judged.config.services) == ["postgres"]


def test_shared_services__are_one_server_of_each_kind() -> None:
    first = {"db": Service(kind="postgres", image="postgres:16")}
    second = {"postgres": Service(kind="postgres", image="postgres:17"), "redis": Service(kind="redis", image="r")}
    shared = shared_services(first, second)
    assert {name: service.image for name, service in shared.items()} == {"redis": "r", "db": "postgres:16"}
    assert service_aliases(second, shared) == {"postgres": "db"}


def test_rule_changes__are_in_plain_words() -> None:
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
    assert changed(head) == {
        "gate on requests/s": ("2 %", "10 % (warns only)"),
        "gate on p50": ("10 % and 200 µs", "no gate"),
        "work of list": ("queries 1", "queries 21"),
        "profile list": ("connections 8", "connections 4"),
        "check home": ("expect.contains 'Hello'", "expect.contains 'Hi'"),
        "check new": ("", "request.path /new, expect.status 200"),
    }


def test_rule_changes__name_what_head_removes() -> None:
    found = changed(project(checks=[], services={}, work={}))
    assert found["check home"] == ("expect.status 200, expect.contains 'Hello'", "")
    assert found["service postgres"][1] == ""
    assert found["work of list"] == ("queries 1", "any")


def test_rule_changes__a_variant_that_head_removes_is_no_longer_measured() -> None:
    assert changed(project(), replace(base(), removed=("slow",))) == {"variant slow": ("measured", "")}


def test_rule_changes__writing_a_default_down_is_none() -> None:
    assert (
        changed(project(gates={"requests_per_second": {"max_loss": "2%"}, "cpu_ms_per_request": {"max_gain": 0.01}}))
        == {}
    )


def test_rule_changes__a_long_text_is_cut() -> None:
    head = project(checks=[{"name": "home", "expect": {"contains": ["x" * 5000]}}])
    assert len(changed(head)["check home"][1]) == 200
