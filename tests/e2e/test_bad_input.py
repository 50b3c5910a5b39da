"""What a user can get wrong: the exit status, and a message that says what, which, why and what to set."""

import pytest
from tests.e2e.conftest import Tool, tiny

pytestmark = pytest.mark.e2e


def test_configuration__that_is_not_yaml(tool: Tool) -> None:
    config = tool.folder / "bench.yml"
    config.write_text("variants:\n  app: {image: [\n", encoding="utf-8")
    tool.run(config).assert_failed(2, "could not read the configuration as YAML", f"{config}:3: ")


def test_configuration__with_unknown_keys_and_wrong_values(tool: Tool) -> None:
    config = tool.folder / "bench.yml"
    lines = (
        "services: {}",
        "variants:",
        "  app: {image: python, prot: 8000}",
        "profiles:",
        "  p: {connections: 8, threads: 2, duration: soon}",
    )
    config.write_text("\n".join(lines), encoding="utf-8")
    finished = tool.run(config)
    finished.assert_failed(
        2, f"{config}:3: variants.app.prot: ", f"{config}:5: profiles.p.duration: ", "10s, 500ms or 2m"
    )


def test_configuration__that_is_not_there(tool: Tool) -> None:
    finished = tool.run(tool.folder / "bnech.yml")
    finished.assert_failed(2, "could not read the configuration", "bnech.yml", "No such file")


def test_configuration__that_names_files_that_are_not_there(tool: Tool) -> None:
    config = tool.config({"app": {"build": "nowhere"}}, services=["postgres"], seed="seed.sql")
    tool.run(config).assert_failed(2, "seed.sql", "nowhere/Dockerfile", "relative to the configuration file")


def test_options__with_names_that_are_not_known(tool: Tool) -> None:
    config = tool.config({"tiny": tiny()})
    tool.run(config, "--variant", "tyni").assert_failed(2, "unknown variant: tyni", "one of: tiny")
    tool.run(config, "--profile", "long").assert_failed(2, "unknown profile: long", "one of: short")
    tool.run(config, "--preset", "thorough").assert_failed(2, "unknown preset: 'thorough'", "quick, article")


def test_seed__that_postgresql_refuses(tool: Tool) -> None:
    (tool.folder / "seed.sql").write_text("CREATE TABLE t (n int);\nINSERT INTO tt VALUES (1);\n", encoding="utf-8")
    finished = tool.run(tool.config({"tiny": tiny()}, services=["postgres"], seed="seed.sql"))
    finished.assert_failed(2, "PostgreSQL refused a statement", 'relation "tt" does not exist', "seed: seed.sql")


def test_docker__that_does_not_answer(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny()}), DOCKER_HOST="unix:///nonexistent")
    finished.assert_failed(
        3, "no Docker engine answers at unix:///nonexistent", "No such file", "start Docker", "DOCKER_HOST"
    )


def test_image__that_cannot_be_had(tool: Tool) -> None:
    # nothing listens on port 1: the engine fails immediately, with and without a network
    image = "localhost:1/nobody/has-it:1"
    finished = tool.run(tool.config({"absent": {"image": image}}))
    finished.assert_failed(3, f"could not pull image {image}", "refused", "docker pull")


def test_dockerfile__that_fails_to_build(tool: Tool) -> None:
    context = tool.folder / "broken"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM python:3.13-slim\nRUN echo one\nRUN echo the compiler is missing >&2; exit 9\n",
        encoding="utf-8",
    )
    finished = tool.run(tool.config({"broken": {"build": "broken"}}))
    finished.assert_failed(
        3,
        "could not build image bench-action/broken",
        "broken/Dockerfile",
        "| ",
        "the compiler is missing",
        "9",
        "fix the Dockerfile",
    )


def test_limit__that_the_engine_does_not_grant(tool: Tool) -> None:
    # above the most that Linux lets anybody ask for, /proc/sys/fs/nr_open
    finished = tool.run(tool.config({"tiny": tiny()}, load={"ulimits": {"nofile": 2_000_000_000}}))
    finished.assert_failed(3, "could not start bench-action-load", "rlimit", "lower `ulimits: {nofile: …}`")


def test_application__whose_port_is_taken_in_its_container(tool: Tool) -> None:
    finished = tool.run(tool.config({"tiny": tiny(LISTEN="twice")}))
    finished.assert_failed(3, "tiny exited with status 1", "Address already in use")


def test_application__whose_readiness_path_answers_an_error(tool: Tool) -> None:
    app = tiny(HEALTH="503") | {"ready": {"path": "/health", "timeout": "1s"}}
    finished = tool.run(tool.config({"tiny": app}))
    cause = "GET /health: answered 503, expected 200: the application fails"
    finished.assert_failed(3, "tiny was not ready after 1 s", cause, "fix what its log shows")


def test_application__that_refuses_its_host_name(tool: Tool) -> None:
    app = tiny(HOSTS="shop.example") | {"ready": {"path": "/health", "timeout": "1s"}}
    finished = tool.run(tool.config({"tiny": app}))
    finished.assert_failed(3, "tiny was not ready after 1 s", "answered 400", "tiny")
