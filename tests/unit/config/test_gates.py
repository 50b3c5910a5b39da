"""Gates as a configuration writes them."""

from typing import Any

import pytest
from pydantic import ValidationError

from bench_action.config.gates import Gate
from bench_action.config.schema import Config

pytestmark = pytest.mark.unit


def config(**parts: Any) -> Config:
    return Config.model_validate({"variants": {"api": {"image": "api"}}, **parts})


def test_all_gates__the_defaults_hold_where_nothing_is_said() -> None:
    gates = config(gates={"requests_per_second": {"max_loss": "5%"}, "latency_p50_us": None}).all_gates
    assert gates["requests_per_second"] == Gate(max_loss=0.05)
    assert "latency_p50_us" not in gates
    assert gates["queries_per_request"].size == 0
    assert gates["cpu_ms_per_request"].size == 0.01


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"requests_per_second": {"max_gain": "5%"}}, "more is better, so it takes `max_loss`"),
        ({"cpu_ms_per_request": {"max_loss": "5%"}}, "more is worse, so it takes `max_gain`"),
        ({"speed": {"max_loss": "5%"}}, "the metric 'speed', which there is not"),
        ({"startup_s": {"max_gain": "5%"}}, "startup_s cannot be gated"),
        ({"requests_per_second": {}}, "exactly one of"),
        ({"requests_per_second": {"max_loss": "5%", "max_gain": "5%"}}, "exactly one of"),
        ({"requests_per_second": {"max_loss": "five"}}, "should be a share such as 5% or 0.05"),
        ({"requests_per_second": {"max_loss": -0.1}}, "greater than or equal to 0"),
        ({"requests_per_second": {"max_loss": "5%", "level": "panic"}}, "'fail' or 'warn'"),
    ],
)
def test_gates__each_mistake_is_told(gates: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(gates=gates)


def test_work__must_name_a_profile() -> None:
    profiles = {"list": {"connections": 2, "threads": 1, "duration": "1s"}}
    assert config(profiles=profiles, work={"list": {"queries": 1}}).work["list"].queries == 1
    with pytest.raises(ValidationError, match="`work` names profiles that do not exist: lst"):
        config(profiles=profiles, work={"lst": {"queries": 1}})


def test_variants__none_may_be_called_as_anothers_base() -> None:
    with pytest.raises(ValidationError, match="api-base is what the base revision of api is called"):
        config(variants={"api": {"image": "api"}, "api-base": {"image": "api"}})
