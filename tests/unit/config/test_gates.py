"""Gates in a configuration."""

from typing import Any

import pytest
from pydantic import ValidationError

from bench_action.config.gates import Gate
from bench_action.config.schema import Config

pytestmark = pytest.mark.unit


def config(**parts: Any) -> Config:
    return Config.model_validate({"variants": {"api": {"image": "api"}}, **parts})


def test_all_gates__defaults_apply_to_metrics_that_are_not_mentioned() -> None:
    gates = config(gates={"requests_per_second": {"max_loss": "5%"}, "latency_p50_us": None}).all_gates
    assert gates["requests_per_second"] == Gate(max_loss=0.05)
    assert "latency_p50_us" not in gates
    assert gates["queries_per_request"].size == 0
    assert gates["cpu_ms_per_request"].size == 0.01


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"requests_per_second": {"max_gain": "5%"}}, "more is better, so use `max_loss`"),
        ({"cpu_ms_per_request": {"max_loss": "5%"}}, "more is worse, so use `max_gain`"),
        ({"speed": {"max_loss": "5%"}}, "an unknown metric, 'speed'"),
        ({"startup_s": {"max_gain": "5%"}}, "startup_s cannot be gated"),
        ({"requests_per_second": {}}, "set exactly one of"),
        ({"requests_per_second": {"max_loss": "5%", "max_gain": "5%"}}, "set exactly one of"),
        ({"requests_per_second": {"max_loss": "five"}}, "expected a share such as 5% or 0.05"),
        ({"requests_per_second": {"max_loss": -0.1}}, "greater than or equal to 0"),
        ({"requests_per_second": {"max_loss": "5%", "level": "panic"}}, "'fail' or 'warn'"),
    ],
)
def test_gates__each_mistake_is_reported(gates: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(gates=gates)


def test_work__must_name_a_profile() -> None:
    profiles = {"list": {"connections": 2, "threads": 1, "duration": "1s"}}
    assert config(profiles=profiles, work={"list": {"queries": 1}}).work["list"].queries == 1
    with pytest.raises(ValidationError, match="`work` names profiles that do not exist: lst"):
        config(profiles=profiles, work={"lst": {"queries": 1}})


def test_variants__a_name_of_the_base_of_another_is_refused() -> None:
    with pytest.raises(ValidationError, match="api-base is the name of api at the base revision"):
        config(variants={"api": {"image": "api"}, "api-base": {"image": "api"}})
    with pytest.raises(ValidationError, match="api-setup is the name of what runs the `setup` of api"):
        config(variants={"api": {"image": "api", "setup": ["migrate"]}, "api-setup": {"image": "api"}})
    with pytest.raises(ValidationError, match="jobs-base is the name of jobs at the base revision"):
        config(services={"jobs": {"image": "api", "worker": True}, "jobs-base": {"image": "redis"}})
    both = {"api": {"image": "api"}, "api-setup": {"image": "api"}, "api-template": {"image": "api"}}
    assert set(config(variants=both).variants) == set(both)
