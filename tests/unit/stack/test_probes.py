"""What a readiness probe says is missing, and what to do about it."""

import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench_action.config.schema import Ready, Service, Variant
from bench_action.engine.protocol import Engine, Handle
from bench_action.load.generator import Agent, Answer, HttpRequest
from bench_action.model.errors import StackError
from bench_action.stack.probes import CommandProbe, make_check
from bench_action.stack.readiness import Unready
from bench_action.stack.unready import explain_exit

pytestmark = pytest.mark.unit

SHOP = Handle("1", "shop", "subject", "shop", 8000, "bench-action-a-shop")


class FixedAgent:
    """An agent to which a program always gives the same answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[object] = []

    def get(self, request: HttpRequest, timeout_s: float, wait_s: float) -> Answer:
        assert 0 < wait_s < timeout_s
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


def test_http__the_last_answer_counts_until_the_next_comes() -> None:
    answers = iter([*("pending", 503, "pending", 200, "pending")])

    def get(*_: object) -> Answer:
        answer = next(answers)
        return Answer(answer) if isinstance(answer, int) else Answer(failure="pending")

    agent = cast(Agent, SimpleNamespace(get=get))
    probe = make_check(make_engine(), agent, SHOP, Variant(image="x")).probe
    found = [missing and missing.problem for missing in (probe() for _ in range(5))]
    error = "GET /: answered 503, expected 200: the application fails"
    assert found == ["GET /: no reply yet", error, error, None, "GET /: no reply yet"]


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


@pytest.mark.parametrize(
    ("answer", "problem", "advice"),
    [
        (Answer(302, location="https://shop:8000/"), "to https://shop:8000/", "X-Forwarded-Proto: https"),
        (Answer(301, location="http://www.shop.example/a"), "www.shop.example/a", "ready: {host: www.shop.example}"),
        (Answer(307, location="login?next=/"), "to login?next=/", "`ready: {path: /login?next=/}`"),
        (Answer(302, location="/"), "to /", "redirects to itself"),
        (Answer(302, location="//["), "to //[, which cannot be read", "redirect to a valid URL"),
        (Answer(302, location="http://[x/"), "to http://[x/, which cannot be read", "status: 302"),
        (Answer(303), "without Location", "status: 303"),
        (Answer(401), "it wants a login", "headers: {Authorization: …}"),
        (Answer(403), "to the host name shop:8000", "if it wants a login"),
        (Answer(403, text="<h1>Blocked hosts: shop:8000</h1>"), "it refuses the host name shop:8000", "config.hosts"),
        (Answer(400, text="Invalid host header"), "it refuses the host name shop:8000", "ALLOWED_HOSTS"),
        (Answer(400, text="Client sent an HTTP request to an HTTPS server."), "port 8000 expects TLS", "plain HTTP"),
        (Answer(405), "answered 405, expected 200", "`ready: {status: 405}`"),
        (Answer(0, "unresolved", "gaierror"), "the name bench-action-a-shop does not resolve", "log"),
        (Answer(0, "closed", "RemoteDisconnected"), "closed the connection without an answer", "tcp: true"),
        (Answer(0, "not-http", "BadStatusLine"), "port 8000 does not answer in HTTP", "tcp: true"),
        (Answer(0, "tls", "BadStatusLine"), "port 8000 expects TLS", "plain HTTP"),
        (Answer(0, "late", "no reply within 2 s"), "no reply within 2 s", "timeout"),
        (Answer(0, "other", "OSError: No route to host"), "No route to host", "`port`"),
    ],
)
def test_http__each_answer_has_its_own_sentence(answer: Answer, problem: str, advice: str) -> None:
    found = explain(answer)
    assert problem in found[0]
    assert advice in found[1]


def test_http__the_configured_host_and_headers_are_sent_with_their_placeholders() -> None:
    agent = FixedAgent(Answer(200))
    ready = {"path": "/up", "host": "shop.example", "headers": {"X-Db": "{db.host}", "host": "other"}, "port": 9000}
    variant = Variant.model_validate({"image": "x", "ready": ready})
    check = make_check(make_engine(), cast(Agent, agent), SHOP, variant, addresses={"db": {"host": "postgres"}})
    assert check.probe() is None
    request, own = agent.asked
    assert isinstance(request, HttpRequest)
    assert isinstance(own, HttpRequest)
    assert own.wire == b"GET / HTTP/1.1\r\nHost: shop:8000\r\n\r\n"  # its own port must answer as well
    assert request.wire == b"GET /up HTTP/1.1\r\nHost: shop.example\r\nX-Db: postgres\r\n\r\n"
    assert (request.tape.order["host"], request.tape.order["port"]) == ("bench-action-a-shop", 9000)


def test_http__a_port_that_the_engine_has_moved_is_followed() -> None:
    agent = FixedAgent(Answer(200))
    variant = Variant.model_validate({"image": "x", "port": 9000, "ready": {"path": "/", "port": 9000}})
    make_check(make_engine(), cast(Agent, agent), SHOP, variant).probe()
    (request,) = agent.asked
    assert isinstance(request, HttpRequest)
    assert request.port == SHOP.port


def test_http__a_failing_application_is_no_matter_of_ports() -> None:
    problem, advice = explain(Answer(500))
    assert problem == "GET /: answered 500, expected 200: the application fails"
    assert "log" in advice
    assert "port" not in advice


def test_http__why_there_is_no_answer() -> None:
    problem, _ = explain(Answer(0, "refused", "connection refused"))
    assert problem == "GET /: port 8000 refuses connections"


@pytest.mark.parametrize(
    ("ready", "problem"),
    [
        ({"command": "true"}, "GET /: port 8000 refuses connections"),
        ({"healthcheck": True}, "GET /: port 8000 refuses connections"),
        ({"log": "started"}, "GET /: port 8000 refuses connections"),
        ({"port": 9000}, "GET /: port 8000 refuses connections"),
        ({"command": "curl localhost:8000/up"}, "TCP port 8000: port 8000 refuses connections"),
    ],
)
def test_variant__waits_for_its_port_after_its_health_check(ready: Mapping[str, Any], problem: str) -> None:
    answers = {8000: Answer(0, "refused", "connection refused")}
    agent = SimpleNamespace(connect=lambda to, *_: answers.get(to.port, Answer(500)))
    agent.get = agent.connect
    variant = Variant.model_validate({"image": "x", "ready": ready})
    check = make_check(make_engine(["true"], output="started"), cast(Agent, agent), SHOP, variant)
    while (missing := check.probe()) is not None and missing.problem.endswith("has not ended yet"):
        pass
    assert missing is not None
    assert missing.problem == problem
    answers.clear()  # a failing page is an answer, too
    while check.probe() is not None:
        pass


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


def test_client__comes_before_what_is_configured() -> None:
    service = Service.model_validate({"kind": "postgres", "image": "x", "ready": {"log": "loaded"}})
    said = iter(["starting", "", ""])
    handle, agent = Handle("3", "db", "postgres", "db", 5432), cast(Agent, FixedAgent(Answer()))
    check = make_check(make_engine(output="nothing"), agent, handle, service, client=lambda: next(said))
    found = [check.probe(), check.probe()]
    assert [lack.problem for lack in found if lack is not None] == [
        "starting",
        "no line of its output matches `loaded`",
    ]
    plain = service.model_copy(update={"ready": Ready()})
    assert make_check(make_engine(), agent, handle, plain, client=lambda: "").probe() is None


def test_command__a_program_that_is_missing_and_long_output() -> None:
    problem = explain_exit("`curl -f x`", 127, "sh: curl: not found\n")
    assert problem.problem == "`curl -f x` exited with status 127: sh: curl: not found"
    assert "a program that the image contains" in problem.advice
    assert explain_exit("`x`", 1, "").problem == "`x` exited with status 1, without any output"
    shown = explain_exit("`x`", 1, "a" * 5000 + "\nthe end").problem
    assert len(shown) < 500
    assert shown.endswith("the end")


def test_command__only_one_runs_at_a_time() -> None:
    began, end = [], threading.Event()

    def run(*_: object) -> tuple[int, str]:
        began.append(1)
        end.wait(10)
        return 0, ""

    engine = cast(Engine, SimpleNamespace(exec_inside=run))
    command = CommandProbe(engine, SHOP, "x", "`x`")
    found = [command() for _ in range(3)]
    assert [lack.problem for lack in found if lack is not None] == ["`x` has not ended yet"] * 3
    end.set()
    while command() is not None:
        pass
    assert len(began) == 1
