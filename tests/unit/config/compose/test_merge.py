"""What `bench.yml` says wins over the compose file, key by key."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.unit.config.compose.project import add_context, configure

pytestmark = pytest.mark.unit


@pytest.fixture
def services(tmp_path: Path) -> str:
    return f"""
      web: {{build: {{context: {add_context(tmp_path)}, args: {{A: '1', B: '2'}}}}, ports: ["8000:8000"],
             environment: {{DEBUG: '1', DB: db}}, depends_on: {{db: {{condition: service_healthy}}}},
             healthcheck: {{test: [CMD, up]}}}}
      db: {{image: "postgres:17", command: [postgres, -c, fsync=off], environment: {{POSTGRES_PASSWORD: x}}}}
    """


def test_merge__builds_what_else_runs_the_image_that_a_variant_builds(tmp_path: Path) -> None:
    """As formbricks has it: migrations of the published image would make the tables of another version."""
    services = """
      web: {image: "team/web:latest", ports: ["3000:3000"],
            depends_on: {migrate: {condition: service_completed_successfully}}}
      migrate: {image: "team/web:latest", command: [migrate]}
      other: {image: "team/other", expose: ["80"]}
    """
    config = configure(tmp_path, services, "variants: {web: {build: .}}")
    assert (config.services["migrate"].build, config.services["migrate"].image) == (config.variants["web"].build, None)
    assert config.services["migrate"].once
    assert config.services["other"].image == "team/other"


def test_merge__adds_a_mounted_folder_to_what_is_built_instead_of_an_image(tmp_path: Path) -> None:
    """Hidden, the image's own packages would be missing."""
    (tmp_path / "Dockerfile").write_text("FROM node", encoding="utf-8")
    mount = (
        f"volumes: [{{type: bind, source: {tmp_path}, target: /app}}, {{type: volume, source: a, target: /app/tmp}}]"
    )
    services = f"""
      web: {{image: team/web, ports: ["3000:3000"], {mount}}}
      worker: {{image: team/web, command: [work], {mount}}}
      other: {{image: team/other, {mount}}}
    """
    config = configure(tmp_path, services, "variants: {web: {build: .}}\nservices: {other: {}}")
    for container in (config.variants["web"], config.services["worker"]):
        assert container.volumes == ["/app/tmp"]
    assert config.services["other"].volumes == ["/app", "/app/tmp"]


def test_merge__keeps_an_image_that_another_variant_measures(tmp_path: Path) -> None:
    services = """
      app: {image: team/web, ports: ["3000:3000"]}
      worker: {image: team/web, command: [work]}
    """
    bench = "variants: {old: {service: app}, new: {service: app, build: .}}"
    assert configure(tmp_path, services, bench).services["worker"].image == "team/web"


def test_merge__goes_into_mappings_and_replaces_the_rest(tmp_path: Path, services: str) -> None:
    bench = """
      variants: {web: {env: ["DEBUG=0"], port: 9000, build: {args: {B: 3}}, ready: {path: /up}}}
      services: {db: {settings: {max_connections: 500}, env: {POSTGRES_PASSWORD: null}}, redis: {image: redis}}
    """
    config = configure(tmp_path, services, bench)
    web, db = config.variants["web"], config.services["db"]

    assert (web.env, web.port) == ({"DEBUG": "0", "DB": "db"}, 9000)
    assert web.build is not None
    assert web.build.args == {"A": "1", "B": "3"}
    assert (web.ready.path, web.ready.command) == ("/up", None)
    assert db.settings == {"fsync": "off", "max_connections": 500}
    assert db.env == {}
    assert config.services["redis"].kind == "redis"


def test_merge__makes_several_variants_of_one_service(tmp_path: Path, services: str) -> None:
    bench = "variants: {slow: {service: web}, fast: {service: web, env: {DEBUG: 0}}, other: {image: other}}"
    config = configure(tmp_path, services, bench)

    assert list(config.variants) == ["slow", "fast", "other"]
    assert config.variants["slow"].env["DEBUG"] == "1"
    assert config.variants["fast"].env["DEBUG"] == "0"
    assert config.variants["slow"].aliases == ["web"]
    assert config.variants["other"].depends_on == {}


def test_merge__lets_an_image_replace_a_build(tmp_path: Path, services: str) -> None:
    config = configure(tmp_path, services, 'variants: {web: {image: "web:{revision}"}}')

    assert config.variants["web"].build is None
    assert config.variants["web"].image == "web:{revision}"


def test_merge__finds_services_by_their_own_name(tmp_path: Path, services: str) -> None:
    named = services.replace("db:", "my_db:").replace("DB: db", "DB: my_db")
    config = configure(tmp_path, named, "services: {my_db: {settings: {work_mem: 8MB}}}")

    assert list(config.services) == ["my-db"]
    assert config.services["my-db"].settings["work_mem"] == "8MB"


def test_depends_on__refuses_circles_and_strangers(tmp_path: Path, services: str) -> None:
    with pytest.raises(ValidationError, match="`depends_on` forms a circle"):
        configure(tmp_path, services, "services: {db: {depends_on: [a]}, a: {image: a, depends_on: [db]}}")
    with pytest.raises(ValidationError, match="web depends on cache, which is not one of `services`"):
        configure(tmp_path, services, "variants: {web: {depends_on: [cache]}}")
    with pytest.raises(ValidationError, match="web waits until db has completed, but db runs on"):
        configure(tmp_path, services, "variants: {web: {depends_on: {db: service_completed_successfully}}}")
