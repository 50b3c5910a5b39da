"""What a readiness probe says is missing, and what to do about it."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench_action.config.schema import Service, Variant
from bench_action.engine.protocol import Engine, Handle
from bench_action.load.generator import Agent, Answer, HttpRequest
from bench_action.model.errors import StackError
from bench_action.stack.probes import make_check
from bench_action.stack.readiness import Unready

pytestmark = pytest.mark.unit

SHOP = Handle("1", "shop", "subject", "shop", 8000, "bench-action-a-shop")


class FixedAgent:
    """An agent to which a program always gives the same answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[object] = []

    def get(self, request: HttpRequest, timeout_s: float) -> Answer:
        assert timeout_s > 0
        self.asked.append(request)
        return self._answer

    def connect(self, handle: Handle, timeout_s: float) -> Answer:
        assert timeout_s > 0
        self.asked.append(handle)
        return self._answer


def make_engine(healthcheck: object = None, status: int = 0, output: str = "") -> Engine:
    found: Mapping[str, Any] = {
        "name": "docker",
        "find_healthcheck": lambda _: healthcheck,
        "exec_inside": lambda *_: (status, output),
        "read_output": lambda _: output.splitlines(),
    }
    return cast(Engine, SimpleNamespace(**found))


def probe(answer: Answer, **ready: Any) -> Unready | None:
    variant = Variant.model_validate({"image": "x", **({"ready": ready} if ready else {})})
    return make_check(make_engine(), cast(Agent, FixedAgent(answer)), SHOP, variant).probe()


def explain(answer: Answer, **ready: Any) -> tuple[str, str]:
    missing = probe(answer, **ready)
    assert missing is not None
    return missing.problem, missing.advice


def test_http__a_variant_is_ready_when_its_home_page_answers() -> None:
    assert probe(Answer(200)) is None
    assert probe(Answer(204), status="2xx") is None
    problem, advice = explain(Answer(404))
    assert problem == "GET /: answered 404, expected 200"
    assert "`ready: {path: …}`" in advice


def test_http__a_redirect_names_where_it_leads() -> None:
    problem, advice = explain(Answer(301, location="/health/"), path="/health")
    assert problem == "GET /health: answered 301, to /health/"
    assert "path: /health/" in advice
    assert "status: 301" in advice


@pytest.mark.parametrize("status", [400, 421])
def test_http__a_refusal_names_the_host_that_was_sent(status: int) -> None:
    problem, advice = explain(Answer(status, text="Invalid HTTP_HOST header: DisallowedHost"))
    assert "shop" in problem + advice
    assert "`ready: {host: …}`" in advice


def test_http__a_failing_application_is_no_matter_of_ports() -> None:
    problem, advice = explain(Answer(500))
    assert problem == "GET /: answered 500, expected 200: the application fails"
    assert "log" in advice
    assert "port" not in advice


def test_http__why_there_is_no_answer() -> None:
    problem, _ = explain(Answer(0, "refused", "connection refused"))
    assert problem == "GET /: port 8000 refuses connections"


def make_service(**keys: Any) -> Service:
    return Service.model_validate({"kind": "other", "image": "x", **keys})


def test_default__of_another_service_is_its_port() -> None:
    handle = Handle("2", "memo", "other", "memo", 11211)
    agent = FixedAgent(Answer())
    assert make_check(make_engine(), cast(Agent, agent), handle, make_service(port=11211)).probe() is None
    assert agent.asked == [handle]


def wait_for(service: Service, engine: Engine) -> Unready | None:
    """Probe until the command has ended."""
    check = make_check(engine, cast(Agent, FixedAgent(Answer())), Handle("2", "memo", "other", "memo", 0), service)
    while (missing := check.probe()) is not None and missing.problem.endswith("has not ended yet"):
        pass
    return missing


def test_default__an_images_own_healthcheck_comes_first() -> None:
    failed = wait_for(make_service(port=1), make_engine(["ping"], 1, "no answer\n"))
    assert failed is not None
    assert failed.problem.startswith("its healthcheck")
    assert "no answer" in failed.problem
    assert wait_for(make_service(port=1), make_engine(["ping"])) is None


def test_command__its_last_output_is_in_the_message() -> None:
    failed = wait_for(make_service(ready={"command": "ready?"}), make_engine(status=3, output="one\nstill loading\n"))
    assert failed is not None
    assert "`ready?`" in failed.problem
    assert "still loading" in failed.problem


def test_log__a_line_that_matches() -> None:
    service = make_service(ready={"log": "ready in \\d+ s"})
    assert wait_for(service, make_engine(output="booting\nready in 3 s")) is None
    missing = wait_for(service, make_engine(output="booting"))
    assert missing is not None
    assert "ready in" in missing.problem


def test_healthcheck__that_the_image_lacks() -> None:
    with pytest.raises(StackError, match="the image of memo has no HEALTHCHECK"):
        wait_for(make_service(port=1, ready={"healthcheck": True}), make_engine())
