"""The memory that slots need, before anything is started."""

from typing import Any

import pytest

from bench_action.config.schema import Config, Service
from bench_action.stack.memory import estimate_service, find_room

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


def test_estimate__is_no_more_than_the_services_own_limit() -> None:
    limited = service(image="elasticsearch:8", memory="512m")
    assert estimate_service(limited) == 512
    assert estimate_service(service(image="redis:8", kind="redis", memory="1g")) == 12


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
def test_find_room__compares_the_sum_with_what_is_available(available_mib: int | None, level: str) -> None:
    room = find_room(config(), 2, available_mib, paired=True)
    assert (room.slots, room.condition.level) == (2, level)
    assert "about 2,488 MiB needed: 2 × 1214 (db 1114, application 100) + 60 for wrk" in room.condition.found
    assert (level == "ok") == (room.condition.cure == "")


@pytest.mark.parametrize(
    ("available_mib", "paired", "tracks"),
    [(25_000, True, 4), (20_000, True, 3), (13_000, True, 2), (12_000, True, 1), (None, True, 1), (25_000, False, 1)],
)
def test_find_room__several_duets_at_the_same_time_need_plenty_of_memory(
    available_mib: int | None, paired: bool, tracks: int
) -> None:
    room = find_room(config(), 2, available_mib, paired=paired, tracks=4)
    assert (room.tracks, room.slots, room.condition.level) == (tracks, max(2, 2 * tracks), "ok")


def test_find_room__slots_that_a_run_has_anyway_need_no_more_memory() -> None:
    room = find_room(config(), 6, 10_000, paired=True, tracks=4)
    assert (room.tracks, room.slots) == (3, 6)


@pytest.mark.parametrize(
    ("keys", "tracks"),
    [
        ({}, 4),
        ({"memory": "3g"}, 2),
        ({"command": "java -Xmx3g -jar app.jar"}, 2),
        ({"env": {"JAVA_OPTS": "-Xms1g -Xmx6g"}}, 1),
    ],
)
def test_find_room__limits_of_containers_stay_as_large_as_they_are_named(keys: dict[str, Any], tracks: int) -> None:
    plain = config()
    variants = {"web": plain.variants["web"].model_validate({"image": "x", **keys})}
    named = plain.model_copy(update={"variants": variants})
    assert find_room(named, 2, 25_000, paired=True, tracks=4).tracks == tracks


@pytest.mark.parametrize(
    ("available_mib", "paired", "slots", "level"),
    [
        (7_400, True, 6, "warning"),
        (7_300, True, 2, "warning"),
        (2_000, True, 2, "warning"),
        (1_600, True, 2, "fatal"),  # not even one pair fits
        (1_600, False, 1, "warning"),
        (800, False, 1, "fatal"),
    ],
)
def test_find_room__variants_take_turns_if_their_slots_do_not_fit_at_the_same_time(
    available_mib: int, paired: bool, slots: int, level: str
) -> None:
    room = find_room(config(), 6, available_mib, paired=paired)
    assert (room.slots, room.condition.level) == (slots, level)
    assert ("take turns" in room.condition.found) == (slots < 6)
