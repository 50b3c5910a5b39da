"""Which services belong to a subject, and in which order they start."""

from typing import Any

import pytest

from bench_action.config.schema import Config
from bench_action.stack.companions import find_awaited, find_dependents, find_late, find_waves, list_companions

pytestmark = pytest.mark.unit

WEB = {"build": "web"}
DB = {"kind": "postgres", "image": "postgres:17"}
API = {"kind": "other", "build": "api", "port": 80}
MIGRATE = {"kind": "other", "build": "web", "once": True, "depends_on": {"db": "service_healthy"}}
WORKER = {"kind": "other", "build": "web", "worker": True}


def make_config(services: dict[str, Any], **variants: Any) -> Config:
    return Config.model_validate({"services": services, "variants": variants})


def test_list_companions__what_is_built_or_run_once_or_works_in_the_background() -> None:
    config = make_config({"db": DB, "api": API, "migrate": MIGRATE, "worker": WORKER}, web=WEB)
    assert list(list_companions(config, "web")) == ["api", "migrate", "worker"]


def test_list_companions__of_one_of_several_variants_are_those_that_it_needs_and_workers_of_its_build() -> None:
    services = {"db": DB, "api": API, "migrate": MIGRATE, "worker": WORKER}
    after = {"depends_on": {"migrate": "service_completed_successfully"}}
    config = make_config(services, web=WEB | after, other={"build": "other", "depends_on": ["api"]})
    assert list(list_companions(config, "web")) == ["migrate", "worker"]
    assert list(list_companions(config, "other")) == ["api"]


def test_find_waves__each_depends_on_earlier_ones_only() -> None:
    config = make_config(
        {
            "db": DB,
            "keys": {"kind": "other", "image": "k", "port": 1, "depends_on": {"db": "service_healthy"}},
            "mail": {"kind": "other", "image": "m", "port": 2},
            "gate": {"kind": "other", "image": "g", "port": 3, "depends_on": ["keys", "mail"]},
        },
        web=WEB,
    )
    assert find_waves(config.services) == [["db", "mail"], ["keys"], ["gate"]]
    assert find_waves({name: config.services[name] for name in ("gate", "keys")}) == [["keys"], ["gate"]]
    assert find_awaited(config.services) == {"db"}
    assert find_dependents(config.services, {"db"}) == {"keys", "gate"}
    assert find_waves({}) == []


def test_find_late__what_depends_on_a_database_or_a_job_in_the_order_of_starting() -> None:
    other = {"kind": "other", "image": "x", "port": 1}
    config = make_config(
        {
            "gate": {**other, "depends_on": ["keys"]},
            "keys": {**other, "depends_on": {"db": "service_healthy"}},
            "db": DB,
            "mail": other,
            "fill": {"kind": "other", "image": "x", "once": True, "depends_on": ["mail"]},
            "search": {**other, "depends_on": {"fill": "service_completed_successfully"}},
            "cache": {"kind": "redis", "image": "redis:8", "depends_on": ["db"]},
            "worker": {**WORKER, "depends_on": ["db"]},
            "wiki": {**other, "env": {"DB_HOST": "db:5432"}},
            "docs": {**other, "env": {"URL": "http://my-db.example"}},
        },
        web=WEB,
    )
    assert find_late(config) == ["wiki", "keys", "gate", "search"]
