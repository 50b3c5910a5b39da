"""Keys of a compose file become keys of `bench.yml`, and what is not taken over is noted."""

from pathlib import Path

import pytest
from tests.unit.config.compose.project import add_context, configure, read

from bench_action.config.compose.command import Answer
from bench_action.config.compose.convert import make_name, make_secret_mark
from bench_action.config.compose.read import convert_project, parse_project
from bench_action.config.compose.roles import RoleChoice
from bench_action.config.schema import File
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit


def web(folder: Path, body: str = "", others: str = "") -> str:
    """One service that is built, with more keys, and other services."""
    return f"web:\n  build: {{context: {add_context(folder)}}}\n  ports: ['8000:8000']\n{body}\n{others}\n"


def test_container_keys__are_taken_over(tmp_path: Path) -> None:
    body = """
  entrypoint: [/entry, a b]
  command: [serve]
  user: 1000:1000
  working_dir: /app
  stop_signal: SIGINT
  shm_size: '67108864'
  init: true
  platform: linux/amd64
  tmpfs: [/run, '/var/run:size=1m']
  ulimits: {nofile: {soft: 1024, hard: 4096}, memlock: {soft: -1, hard: -1}, nproc: 3, sigpending: 5}
    """
    variant = configure(tmp_path, web(tmp_path, body)).variants["web"]

    assert (variant.entrypoint, variant.command) == (["/entry", "a b"], ["serve"])
    assert (variant.user, variant.working_dir, variant.stop_signal) == ("1000:1000", "/app", "SIGINT")
    assert (variant.shm_size, variant.init, variant.platform) == (67108864, True, "linux/amd64")
    assert variant.tmpfs == ["/run", "/var/run:size=1m"]
    assert variant.ulimits == {"nofile": 1024, "memlock": -1}
    assert variant.build is not None
    assert variant.build.context == "."


def test_ulimits__those_that_give_priority_are_ignored(tmp_path: Path) -> None:
    body = web(tmp_path, "  ulimits: {rtprio: 99, nice: {soft: 40, hard: 40}, core: 0}")
    assert configure(tmp_path, body).variants["web"].ulimits == {"core": 0}
    notes = "\n".join(read(tmp_path, body).notes)
    assert "ulimits.rtprio (web)" in notes
    assert "ulimits.nice (web)" in notes


def test_an_empty_entrypoint__differs_from_none(tmp_path: Path) -> None:
    assert configure(tmp_path, web(tmp_path, "  entrypoint: []")).variants["web"].entrypoint == []
    assert configure(tmp_path, web(tmp_path)).variants["web"].entrypoint is None


def test_mounts__are_copied_or_the_containers_own(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "app.ini").write_text("[app]", encoding="utf-8")
    body = f"""
  volumes:
    - {{type: bind, source: {tmp_path}/src, target: /code}}
    - {{type: bind, source: {tmp_path}/app.ini, target: /etc/app.ini, read_only: true}}
    - {{type: bind, source: {tmp_path}/uploads, target: /uploads}}
    - {{type: bind, source: /etc/localtime, target: /etc/localtime}}
    - {{type: volume, source: media, target: /media}}
    - {{type: tmpfs, target: /cache, tmpfs: {{size: '1024'}}}}
    """
    reading = read(tmp_path, web(tmp_path, body))
    variant = configure(tmp_path, web(tmp_path, body)).variants["web"]

    assert variant.files == {"/code": File(source="src"), "/etc/app.ini": File(source="app.ini")}
    assert variant.volumes == ["/uploads", "/media"]
    assert variant.tmpfs == ["/cache:size=1024"]
    notes = "\n".join(reading.notes)
    assert "web gets a copy of src at /code; it is not mounted" in notes
    assert "/uploads is empty, as uploads does not exist" in notes
    assert "web does not get /etc/localtime: /etc/localtime is outside of" in notes


def test_mounts__of_a_folder_hide_what_an_image_has_there(tmp_path: Path) -> None:
    """An image's own, such as nginx's start page; one that is built may have packages there that the folder lacks."""
    (tmp_path / "conf").mkdir()
    mount = f"volumes: [{{type: bind, source: {tmp_path}/conf, target: /etc/nginx/conf.d}}]"
    seeds = mount.replace("/etc/nginx/conf.d", "/docker-entrypoint-initdb.d")
    others = f"nginx:\n  image: nginx\n  {mount}\ndb:\n  image: postgres:17\n  {seeds}"
    config = configure(tmp_path, web(tmp_path, f"\n  {mount}\n", others=others), "services: {nginx: {}}")

    assert config.services["nginx"].files == {"/etc/nginx/conf.d": File(source="conf")}
    assert config.services["nginx"].volumes == ["/etc/nginx/conf.d"]
    assert (config.variants["web"].volumes, config.services["db"].volumes) == ([], [])


def test_data_of_databases__are_no_volumes_of_ours(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    others = f"""
db:
  image: postgres:17
  volumes: [{{type: bind, source: {tmp_path}/data, target: /var/lib/postgresql/data}}]
cache:
  image: valkey/valkey:8
  volumes: ['cache:/data']
search:
  image: elasticsearch:9
  volumes: ['index:/usr/share/elasticsearch/data']
    """
    services = configure(tmp_path, web(tmp_path, others=others)).services

    assert [services[name].kind for name in ("db", "cache", "search")] == ["postgres", "redis", "other"]
    assert (services["db"].files, services["db"].volumes) == ({}, [])
    assert services["cache"].volumes == []
    assert services["search"].volumes == ["/usr/share/elasticsearch/data"]
    assert services["search"].port == 9200


def test_user__of_a_database_is_the_one_that_its_entrypoint_becomes(tmp_path: Path) -> None:
    others = "db: {image: 'postgres:17', user: postgres}\ncache: {image: 'redis:8', user: '999'}"
    services = configure(tmp_path, web(tmp_path, others=others)).services
    assert (services["db"].user, services["cache"].user) == ("", "999")
    assert "user (db)" in "\n".join(read(tmp_path, web(tmp_path, others=others)).notes)


def test_secrets_and_configs__are_files(tmp_path: Path) -> None:
    (tmp_path / "password.txt").write_text("hunter2\n", encoding="utf-8")
    others = """
db:
  image: postgres:17
  environment: {POSTGRES_PASSWORD_FILE: /run/secrets/password, POSTGRES_USER: shop}
  secrets: [{source: password}]
  configs: [{source: init, target: /docker-entrypoint-initdb.d/init.sql, mode: 256}]
    """
    db = configure(
        tmp_path,
        web(tmp_path, others=others),
        secrets={"password": {"file": str(tmp_path / "password.txt")}},
        configs={"init": {"content": "SELECT '${x}'"}},
    ).services["db"]

    assert db.files == {
        "/run/secrets/password": File(source="password.txt"),
        "/docker-entrypoint-initdb.d/init.sql": File(content="SELECT '$${x}'", mode=0o400),
    }
    assert db.env == {"POSTGRES_PASSWORD": "hunter2", "POSTGRES_USER": "shop"}


@pytest.mark.parametrize(
    ("defined", "problem"),
    [
        ({"external": True}, "the secret key of web is not in this repository"),
        ({"file": "/etc/passwd"}, "the secret key of web is /etc/passwd, which is outside of"),
        ({"environment": "KEY"}, "the secret key of web is the variable KEY, which is not set"),
    ],
)
def test_a_secret_that_cannot_be_given__is_refused(tmp_path: Path, defined: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, web(tmp_path, "  secrets: [{source: key}]"), secrets={"key": defined})
    assert problem in str(caught.value)


def test_a_secret_that_is_a_folder__has_no_value(tmp_path: Path) -> None:
    (tmp_path / "password").mkdir()
    others = """
db:
  image: postgres:17
  environment: {POSTGRES_PASSWORD_FILE: /run/secrets/password}
  secrets: [{source: password}]
"""
    secrets = {"password": {"file": str(tmp_path / "password")}}
    with pytest.raises(InputError, match="could not read the value of a secret: password is not a regular file"):
        read(tmp_path, web(tmp_path, others=others), secrets=secrets)


def test_secrets_of_the_workflow__never_reach_the_configuration(tmp_path: Path) -> None:
    mark = make_secret_mark("TOKEN")
    services = {
        "web": {
            "build": {"context": add_context(tmp_path)},
            "ports": ["80:80"],
            "environment": {"URL": f"https://{mark}@x", "SHELL_LIKE": "$${HOME}"},
        }
    }
    project = parse_project(Answer({"services": services}), tmp_path, "compose.yaml", {"TOKEN": mark})
    env = convert_project(project, tmp_path, tmp_path, RoleChoice()).variants["web"]["env"]
    assert env == {"URL": "https://${TOKEN}@x", "SHELL_LIKE": "$${HOME}"}

    services["web"]["command"] = ["serve", mark]
    project = parse_project(Answer({"services": services}), tmp_path, "compose.yaml", {"TOKEN": mark})
    with pytest.raises(InputError, match="`command` of web contains the secret TOKEN"):
        convert_project(project, tmp_path, tmp_path, RoleChoice())


@pytest.mark.parametrize(
    ("command", "settings", "rest"),
    [
        (
            "[postgres, -c, max_connections=300, -c, 'shared_buffers=1GB']",
            {"max_connections": "300", "shared_buffers": "1GB"},
            [],
        ),
        ("[postgres, -cfsync=off, --max-connections=300]", {"fsync": "off", "max_connections": "300"}, []),
        ("[docker-entrypoint.sh, postgres, -N, '300']", {}, ["-N", "300"]),
        ("[-c, fsync=off]", {"fsync": "off"}, []),
    ],
)
def test_settings_of_postgresql__survive(
    tmp_path: Path, command: str, settings: dict[str, str], rest: list[str]
) -> None:
    db = configure(tmp_path, web(tmp_path, others=f"db: {{image: 'postgres:17', command: {command}}}")).services["db"]

    assert (db.kind, db.settings, db.command) == ("postgres", settings, rest)


def test_settings_of_redis__survive(tmp_path: Path) -> None:
    command = "[redis-server, /etc/redis.conf, --save, '60', '1', --requirepass, secret]"
    cache = configure(tmp_path, web(tmp_path, others=f"cache: {{image: redis, command: {command}}}")).services["cache"]

    assert cache.kind == "redis"
    assert cache.settings == {"save": "60 1", "requirepass": "secret"}
    assert cache.command == ["/etc/redis.conf"]


def test_a_database_that_starts_by_a_script__is_not_looked_into(tmp_path: Path) -> None:
    services = web(tmp_path, others="db: {image: 'postgres:17', command: [sh, -c, 'exec postgres']}")

    db = configure(tmp_path, services).services["db"]
    assert (db.kind, db.command) == ("other", ["sh", "-c", "exec postgres"])
    assert any("db runs as a service of kind other" in note for note in read(tmp_path, services).notes)


def test_names__that_are_no_host_names_stay_as_aliases(tmp_path: Path) -> None:
    body = "  depends_on: {My_DB: {condition: service_started}}\n  links: ['My_DB:database']"
    others = "My_DB: {image: 'postgres:17', container_name: shop_db, networks: {default: {aliases: [pg]}}}"
    config = configure(tmp_path, web(tmp_path, body, others))

    assert config.variants["web"].depends_on == {"my-db": "service_started"}
    assert config.services["my-db"].aliases == ["My_DB", "shop_db", "pg", "database"]


def test_make_name() -> None:
    assert make_name("My_DB.primary") == "my-db-primary"
    assert make_name("1st") == "s-1st"
    assert len(make_name("a" * 60)) == 40


def test_healthcheck__decides_when_a_container_is_ready(tmp_path: Path) -> None:
    body = "  healthcheck: {test: [CMD-SHELL, 'curl -f http://localhost:8000/health/'], start_period: 90s, retries: 1}"
    others = "db: {image: mysql, healthcheck: {test: [CMD, mysqladmin, ping], interval: 1s}}"
    reading = read(tmp_path, web(tmp_path, body, others))
    config = configure(tmp_path, web(tmp_path, body, others))

    assert reading.health_path == "/health/"
    assert config.variants["web"].ready.command == "curl -f http://localhost:8000/health/"
    assert config.variants["web"].ready.timeout == 120
    assert config.services["db"].ready.command == ["mysqladmin", "ping"]
    assert config.services["db"].ready.timeout == 60


def test_what_has_no_effect__is_one_line(tmp_path: Path) -> None:
    body = "  restart: always\n  logging: {driver: none}\n  deploy: {replicas: 3}\n  cap_add: [SYS_ADMIN]\n  x-a: 1"
    notes = read(tmp_path, web(tmp_path, body, "db: {image: postgres, restart: always}")).notes

    assert "web runs once, not 3 times" in notes
    assert "ignored, as it has no effect here: restart (web, db); logging (web); cap_add (web)" in notes


@pytest.mark.parametrize(
    ("body", "memory"),
    [
        ("mem_limit: 512m", 512 * 2**20),
        ("deploy: {resources: {limits: {memory: 1G}}}", 2**30),
        ("mem_limit: 64m\n  deploy: {resources: {limits: {memory: 1G}}}", 64 * 2**20),
        ("shm_size: 1m", 0),
    ],
)
def test_a_limit_of_memory__is_taken_over(tmp_path: Path, body: str, memory: int) -> None:
    services = web(tmp_path, f"  {body}")
    assert configure(tmp_path, services).variants["web"].memory == memory
    assert not any("deploy.resources" in line or "mem_limit" in line for line in read(tmp_path, services).notes)


def test_other_resources__have_no_effect(tmp_path: Path) -> None:
    body = "  deploy: {resources: {limits: {memory: 1G, pids: 9}, reservations: {memory: 1G}}}"
    ignored = (
        "ignored, as it has no effect here: deploy.resources.limits.pids (web); deploy.resources.reservations (web)"
    )
    assert any(ignored in line for line in read(tmp_path, web(tmp_path, body)).notes)


@pytest.mark.parametrize("key", ["ssh: [default]", "additional_contexts: {x: ./x}", "dockerfile_inline: FROM x"])
def test_builds_that_cannot_be_made__are_refused(tmp_path: Path, key: str) -> None:
    services = f"web: {{build: {{context: {add_context(tmp_path)}, {key}}}, ports: ['80:80']}}"

    with pytest.raises(InputError, match=f"web is built with `{key.partition(':')[0]}`"):
        read(tmp_path, services)


@pytest.mark.parametrize("own", ["image: 'web:1'", "build: ."])
def test_builds_that_cannot_be_made__can_be_replaced(tmp_path: Path, own: str) -> None:
    """As the message advises."""
    made = f"{{build: {{context: {add_context(tmp_path)}, ssh: [default]}}, ports: ['80:80']}}"
    config = configure(
        tmp_path, f"web: {made}\nmy_job: {made}", f"variants: {{web: {{{own}}}}}\nservices: {{my-job: {{{own}}}}}"
    )
    assert [each.image for each in (config.variants["web"], config.services["my-job"])] == [
        "web:1" if own.startswith("image") else None
    ] * 2


def test_names_that_clash__are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two services would have the name my-db"):
        read(tmp_path, web(tmp_path, others="my_db: {image: a}\nmy-db: {image: b}"))


@pytest.mark.parametrize(
    "limit", ["mem_limit: '536870912'", "mem_limit: 512m", "deploy: {resources: {limits: {memory: 512M}}}"]
)
def test_limits_of_memory__are_taken_over(tmp_path: Path, limit: str) -> None:
    reading = read(tmp_path, web(tmp_path, f"  {limit}", f"db: {{image: 'postgres:17', {limit}}}"))
    config = configure(tmp_path, web(tmp_path, f"  {limit}", f"db: {{image: 'postgres:17', {limit}}}"))
    assert config.variants["web"].memory == config.services["db"].memory == 512 * 1024**2
    assert not [note for note in reading.notes if "memory" in note or "ignored" in note]


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("cpus: 0.5", "cpus: 0.5"),
        ("deploy: {resources: {limits: {cpus: '0.50'}}}", "cpus: 0.50"),
        ("cpuset: '0,1'", "cpuset: 0,1"),
        ("cpu_quota: 50000", "cpu_quota: 50000"),
        ("cpuset: '0'", "cpuset: 0"),
    ],
)
def test_limits_of_cpu__are_named_as_not_taken(tmp_path: Path, limit: str, named: str) -> None:
    notes = read(tmp_path, web(tmp_path, f"  {limit}")).notes
    assert [note for note in notes if note.startswith(f"web runs without its limit of CPU ({named})")]
    assert not [note for note in notes if note.startswith("ignored")]


def test_other_resources__are_named_as_ignored(tmp_path: Path) -> None:
    resources = "{limits: {memory: 1g, pids: 10}, reservations: {memory: 1g}}"
    notes = read(tmp_path, web(tmp_path, f"  deploy: {{resources: {resources}}}")).notes
    assert "deploy.resources.limits.pids (web); deploy.resources.reservations (web)" in notes[-1]


def test_mysql__is_configured_by_its_command_and_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "password.txt").write_text("pa ss\n", encoding="utf-8")
    others = """
db:
  image: mariadb:11
  command: [mariadbd, --max-connections=300, --skip-name-resolve]
  environment: {MARIADB_USER: shop, MARIADB_PASSWORD_FILE: /run/secrets/password, MARIADB_DATABASE: shop}
  secrets: [{source: password}]
  volumes: ['data:/var/lib/mysql']
    """
    secrets = {"password": {"file": f"{tmp_path}/password.txt"}}
    service = configure(tmp_path, web(tmp_path, others=others), secrets=secrets).services["db"]
    assert (service.kind, service.settings) == ("mysql", {"max-connections": "300"})
    assert service.command == ["--skip-name-resolve"]
    assert service.env["MARIADB_PASSWORD"] == "pa ss"
    assert "MARIADB_PASSWORD_FILE" not in service.env
    assert service.volumes == []


def test_limits_of_zero__are_none(tmp_path: Path) -> None:
    services = web(tmp_path, "  deploy: {resources: {limits: {cpus: '0', memory: '0'}}}")
    assert configure(tmp_path, services).variants["web"].memory == 0
    assert not [note for note in read(tmp_path, services).notes if "CPU" in note]


def test_keys_without_effect__are_named(tmp_path: Path) -> None:
    body = """
  deploy: {placement: {constraints: [node.role == worker]}, restart_policy: {condition: any}}
  networks: {back: {aliases: [api], ipv4_address: 10.0.0.5}}
"""
    text = web(tmp_path, body).replace(
        "build: {",
        "build: {shm_size: '64m', extra_hosts: ['a=1.2.3.4'], tags: [x], cache_from: [a/b, 'type=local,src=/x'], ",
    )
    (line,) = [note for note in read(tmp_path, text).notes if note.startswith("ignored")]
    for key in (
        "deploy.placement",
        "deploy.restart_policy",
        "networks.ipv4_address",
        "build.shm_size",
        "build.extra_hosts",
    ):
        assert f"{key} (web)" in line
    assert "build.cache_from, except images" in line
    assert "tags" not in line


def test_a_secret_in_a_healthcheck__is_refused_by_name(tmp_path: Path) -> None:
    body = f"  healthcheck: {{test: 'redis-cli -a {make_secret_mark('TOKEN')} ping'}}"
    with pytest.raises(InputError, match="`healthcheck` of web contains the secret TOKEN"):
        read(tmp_path, web(tmp_path, body))
