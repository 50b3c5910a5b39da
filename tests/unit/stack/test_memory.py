"""The memory that slots need, before anything is started."""

from typing import Any

import pytest

from bench_action.config.schema import Config, Service
from bench_action.stack.memory import estimate_service, judge_slots

pytestmark = pytest.mark.unit


def service(**keys: Any) -> Service:
    return Service.model_validate({"kind": "other", "image": "x", **keys})


@pytest.mark.parametrize(
    ("keys", "more_mib"),
    [
        ({"kind": "postgres", "settings": {"shared_buffers": "1GB"}}, 1024 - 128),
        ({"kind": "postgres", "settings": {"shared_buffers": 131072}}, 1024 - 128),  # blocks of 8 kB
        ({"kind": "mysql", "settings": {"innodb_buffer_pool_size": "1G"}}, 1024 - 128),
        ({"kind": "redis", "settings": {"maxmemory": "100mb"}}, 100),
        ({"image": "docker.elastic.co/elasticsearch/elasticsearch:8", "env": {"ES_JAVA_OPTS": "-Xmx2g"}}, 1024),
    ],
)
def test_estimate__includes_what_settings_let_it_fill(keys: dict[str, Any], more_mib: float) -> None:
    default = {name: value for name, value in keys.items() if name in {"kind", "image"}}
    assert estimate_service(service(**keys)) - estimate_service(service(**default)) == pytest.approx(more_mib)


def config() -> Config:
    return Config.model_validate(
        {
            "services": {"db": {"image": "postgres:17", "settings": {"shared_buffers": "1GB"}}},
            "variants": {"web": {"image": "x"}},
            "profiles": {},
        }
    )


@pytest.mark.parametrize(
    ("available_mib", "level"), [(None, "ok"), (10_000, "ok"), (2_800, "warning"), (2_000, "warning"), (1_600, "fatal")]
)
def test_judge_slots__compares_the_sum_with_what_is_available(available_mib: int | None, level: str) -> None:
    condition = judge_slots(config(), 2, available_mib)
    assert condition.level == level
    assert "about 2,488 MiB needed: 2 × 1214 (db 1114, application 100) + 60 for wrk" in condition.found
    assert (level == "ok") == (condition.cure == "")
