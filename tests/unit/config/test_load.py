"""Loading `bench.yml`: every error names file and line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bench_action.config.load import PRESETS, find_builtin_file, load_policy, load_project
from bench_action.config.schema import Config, Profile
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

MINIMAL = "variants:\n  one: {image: one}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "bench.yml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    """Return the message with which a configuration is refused, without the name of its folder."""
    with pytest.raises(InputError) as caught:
        load_project(write(folder, text), "quick")
    assert caught.value.exit_status == 2
    return str(caught.value).replace(f"{folder}/", "")


REFUSED = {
    "unknown key": (MINIMAL + "sede: x\n", "bench.yml:3: sede: unknown key"),
    "a secret in a profile's header": (
        MINIMAL
        + "profiles: {list: {headers: {Authorization: 'Bearer ${TOKEN}'}, connections: 1, threads: 1, duration: 1s}}\n",
        "the request of the profile list contains `${TOKEN}`, which is sent literally",
    ),
    "a secret in a check's body": (
        MINIMAL + "secrets: [KEY]\nchecks: [{name: a, request: {method: POST, body: 'key=${KEY}'}}]\n",
        "the request of the check 'a' contains `${KEY}`",
    ),
    "a key twice": (MINIMAL + "gates: {}\ngates: {}\n", "bench.yml:4: column 1: this key is there twice"),
    "a bomb": (
        MINIMAL + "x-a: &a [1, 2]\nx-b: &b [" + "*a, " * 400 + "]\nx-c: [" + "*b, " * 200 + "]\n",
        "bench.yml:5: column ",
    ),
    "nesting without end": (MINIMAL + "x-a: " + "[" * 5000, "the file is deeper than 50"),
    "a huge number": (
        MINIMAL + f"work: {{list: {{queries: {'9' * 400}}}}}\n",
        "bench.yml:3: column 24: this number is not",
    ),
    "a huge number, quoted": (
        MINIMAL + f"work: {{list: {{queries: '{'9' * 400}'}}}}\n",
        "bench.yml:3: work.list.queries: Input should be less than or equal to 9007199254740992",
    ),
    "infinity, quoted": (
        MINIMAL + "gates: {latency_p50_us: {max_gain: 5%, absolute: 'inf'}}\n",
        "bench.yml:3: gates.latency_p50_us.absolute: Input should be a finite number",
    ),
    "half of a surrogate pair": (MINIMAL + 'x-a: "\\ud800"\n', "bench.yml:3: column 6: this text has a character"),
    "a secret of the runner": (
        MINIMAL + "secrets: [KEY, GITHUB_TOKEN]\n",
        "bench.yml:3: secrets.1: no configuration may read GITHUB_TOKEN",
    ),
    "a secret of a build that is no name": (
        "variants: {web: {build: {context: ., secrets: [{KEY: x}]}}}\n",
        "bench.yml:1: variants.web.build.secrets: Input should be a valid dictionary",
    ),
    "a variable of the linker": (
        MINIMAL + "compose: {env: {LD_PRELOAD: ./evil.so}}\n",
        "bench.yml:3: compose.env: no configuration may set LD_PRELOAD",
    ),
    "no variants": ("seed: x\n", "bench.yml:1: variants: Field required"),
    "empty file": ("", "bench.yml:1: variants: Field required"),
    "empty variants": ("\nvariants: {}\n", "bench.yml:2: variants: Dictionary should have at least 1 item"),
    "no mapping": ("- 1\n", "bench.yml:1: the whole file: Input should be a valid dictionary"),
    "name with _": ("variants:\n  my_app: {image: x}\n", "bench.yml:2: variants.my_app.[key]: String should match"),
    "name in capitals": ("variants:\n  App: {image: x}\n", "bench.yml:2: variants.App.[key]: String should match"),
    "name ends with -": ("variants:\n  app-: {image: x}\n", "bench.yml:2: variants.app-.[key]: String should match"),
    "long name": (f"variants:\n  {'a' * 41}: {{image: x}}\n", "[key]: String should have at most 40 characters"),
    "no origin": ("variants:\n  one:\n    port: 80\n", "bench.yml:2: variants.one: set exactly one of"),
    "two origins": (
        "variants:\n  one:\n    image: x\n    build: .\n",
        "bench.yml:2: variants.one: set exactly one of `build` and `image`",
    ),
    "port 0": ("variants:\n  one:\n    image: x\n    port: 0\n", "bench.yml:4: variants.one.port: Input should be"),
    "port 65536": ("variants: {one: {image: x, port: 65536}}", "bench.yml:1: variants.one.port: Input should be less"),
    "ready path": (
        "variants:\n  one:\n    image: x\n    ready:\n      path: health\n",
        "bench.yml:5: variants.one.ready.path: String should match",
    ),
    "ready timeout": (
        "variants: {one: {image: x, ready: {timeout: 0s}}}",
        "bench.yml:1: variants.one.ready.timeout: Input should be greater than 0",
    ),
    "ready for ever": (
        "variants: {one: {image: x, ready: {timeout: 601s}}}",
        "bench.yml:1: variants.one.ready.timeout: Input should be less than or equal to 600",
    ),
    "ready not a number": (
        "variants: {one: {image: x, ready: {timeout: .nan}}}",
        "bench.yml:1: column 45: this number is not finite",
    ),
    "env name": ("variants: {one: {image: x, env: {A=B: c}}}", "variants.one.env.A=B.[key]: String should match"),
    "env list": ("variants: {one: {image: x, env: {A: [1]}}}", "variants.one.env.A: Input should be a valid string"),
    "ulimit name": ("variants: {one: {image: x, ulimits: {cores: 99}}}", "variants.one.ulimits.cores.[key]: String"),
    "ulimit of priority": (
        "variants: {one: {image: x, ulimits: {rtprio: 99}}}",
        "variants.one.ulimits: `rtprio` is refused: with a higher priority, it would take CPU",
    ),
    "ulimit of a service's priority": (
        MINIMAL + "services: {worker: {kind: other, image: x, worker: true, ulimits: {nice: 40}}}\n",
        "services.worker.ulimits: `nice` is refused",
    ),
    "ulimit size": ("variants: {one: {image: x, ulimits: {nofile: 63}}}", "variants.one.ulimits: `nofile` must be"),
    "seed without database": (
        MINIMAL + "services: {}\nseed: seed.sql\n",
        "`seed` needs a service of kind postgres, mysql or redis",
    ),
    "extension without database": (MINIMAL + "services: {}\nextensions: [a]\n", "needs a service of kind postgres"),
    "seed of nothing": (MINIMAL + "seed: {after: ready}\n", "set exactly one of `file` and `run`"),
    "seed for a command": (MINIMAL + "seed: [{run: [x], service: redis}]\n", "`service` is for a `file`"),
    "seed for nobody": (MINIMAL + "seed: {file: x, service: mail}\n", "service that does not exist: mail"),
    "seed for another kind": (
        MINIMAL
        + "services: {postgres: {image: x}, a: {kind: other, image: x, port: 1}}\nseed: {file: x, service: a}\n",
        "`seed` names a, and a service of kind other cannot be filled from a file",
    ),
    "shared name": (
        "variants: {redis: {image: x}}\nservices: {redis: {image: x}}\n",
        "a variant and a service share the name redis",
    ),
    "compare unknown": (MINIMAL + "compare: [[one, two]]\n", "`compare` names variants that do not exist: two"),
    "compare with itself": (MINIMAL + "compare: [[one, one]]\n", "`compare` pairs one with itself"),
    "a reserved name": ("variants: {bench-action-load: {image: x}}", "must not begin with bench-action"),
    "a reserved alias": (
        "variants: {web: {image: x, aliases: [Bench-Action-b-web]}}",
        "the name Bench-Action-b-web is reserved: it must not begin with bench-action",
    ),
    "a cache of two types": (
        "variants: {web: {build: {context: ., cache_from: ['type=registry,type=gha,url=https://evil.example/']}}}",
        "cache_from",
    ),
    "a cache at an address": (
        "variants: {web: {build: {context: ., cache_from: ['type=gha,url=https://evil.example/,version=1']}}}",
        "cache_from",
    ),
    "check without redis": (
        MINIMAL + "services: {}\nchecks: [{name: a, expect: {changes: {redis: {counter: 1}}}}]\n",
        "the check 'a' needs Redis, but `services` has no service of kind redis",
    ),
    "check without postgres": (
        MINIMAL + "services: {}\nchecks: [{name: a, expect: {work: {queries: 1}}}]\n",
        "the check 'a' needs a database, but `services` has no service of kind postgres or mysql",
    ),
    "compare three": (
        MINIMAL + "compare:\n  - [one, one, one]\n",
        "bench.yml:4: compare.0: Tuple should have at most 2 items",
    ),
    "two checks of a name": (MINIMAL + "checks: [{name: a}, {name: b}, {name: a}]\n", "two checks share the name a"),
    "nameless check": (MINIMAL + "checks:\n  - rule: x\n", "bench.yml:4: checks.0.name: Field required"),
    "blank name": (MINIMAL + "checks:\n  - name: ' '\n", "bench.yml:4: checks.0.name: String should match"),
    "repeat 0": (MINIMAL + "checks:\n  - name: a\n    repeat: 0\n", "bench.yml:5: checks.0.repeat: Input should be"),
    "status 99": (
        MINIMAL + "checks:\n  - name: a\n    expect:\n      status: 99\n",
        "bench.yml:6: checks.0.expect.status: Input should be greater than or equal to 100",
    ),
    "negative work": (
        MINIMAL + "checks:\n  - name: a\n    expect:\n      work: {queries: -1}\n",
        "bench.yml:6: checks.0.expect.work.queries: Input should be greater than or equal to 0",
    ),
    "same as what": (
        MINIMAL + "checks: [{name: a, expect: {same: yesterday}}]\n",
        "checks.0.expect.same: Input should",
    ),
    "header name": (
        MINIMAL + "checks: [{name: a, request: {headers: {'A B': c}}}]\n",
        "checks.0.request.headers.A B.[key]: String should match",
    ),
    "method": (MINIMAL + "checks: [{name: a, request: {method: get}}]\n", "checks.0.request.method: String should"),
    "path with space": (
        MINIMAL + "profiles: {p: {path: /a b, connections: 1, threads: 1, duration: 1s}}\n",
        "bench.yml:3: profiles.p.path: String should match",
    ),
    "path with newline": (
        MINIMAL + 'profiles: {p: {path: "/a\\n", connections: 1, threads: 1, duration: 1s}}\n',
        "bench.yml:3: profiles.p.path: String should match",
    ),
    "not a multiple": (
        MINIMAL + "profiles:\n  p: {connections: 16, threads: 10, duration: 1s}\n",
        "bench.yml:4: profiles.p: connections must be a multiple of threads: wrk would open only 10 of 16",
    ),
    "more threads": (
        MINIMAL + "profiles:\n  p: {connections: 1, threads: 2, duration: 1s}\n",
        "wrk would open only 0 of 1",
    ),
    "half a second": (
        MINIMAL + "profiles:\n  p:\n    connections: 1\n    threads: 1\n    duration: 500ms\n",
        "bench.yml:7: profiles.p.duration: Input should be a valid integer",
    ),
    "not a duration": (
        MINIMAL + "profiles:\n  p:\n    connections: 1\n    threads: 1\n    duration: soon\n",
        "bench.yml:7: profiles.p.duration: expected a duration such as 10s, 500ms or 2m",
    ),
    "an hour and more": (
        MINIMAL + "profiles: {p: {connections: 1, threads: 1, duration: 3601s}}\n",
        "profiles.p.duration: Input should be less than or equal to 3600",
    ),
    "timeout 0": (
        MINIMAL + "profiles: {p: {connections: 1, threads: 1, duration: 1s, timeout: 0s}}\n",
        "profiles.p.timeout: Input should be greater than or equal to 1",
    ),
    "load image": (MINIMAL + "load: {nofile: 5}\n", "bench.yml:3: load.nofile: unknown key"),
    "not YAML": ("variants: [\n", "could not read the configuration as YAML\n  bench.yml:2: column 1: "),
    "a tab": ("variants:\n\tone: {}\n", "  bench.yml:2: column 1: found character"),
    "two documents": ("a: 1\n---\nb: 2\n", "  bench.yml:2: column 1: but found another document"),
    "no such day": (MINIMAL + "seed: 2017-13-45\n", "  bench.yml: month must be in 1..12"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_load_project__refuses_and_says_where(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_load_project__reports_every_mistake(tmp_path: Path) -> None:
    message = refusal(tmp_path, "variants:\n  one: {image: x, port: 0}\n  two: {image: x, prot: 1}\n")
    assert "bench.yml:2: variants.one.port" in message
    assert "bench.yml:3: variants.two.prot" in message


def test_load_project__a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"could not read the configuration .*nothing\.yml"):
        load_project(tmp_path / "nothing.yml", "quick")


def test_load_project__a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "bench.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="could not read the configuration"):
        load_project(path, "quick")


def test_load_project__defaults_are_the_services_of_the_article(tmp_path: Path) -> None:
    config = load_project(write(tmp_path, MINIMAL), "quick").config
    assert {name: (service.kind, service.image) for name, service in config.services.items()} == {
        "postgres": ("postgres", "postgres:17"),
        "redis": ("redis", "redis:8"),
    }
    assert config.services["postgres"].settings == {"max_connections": 500}
    assert config.variants["one"].port == 8000
    assert config.variants["one"].keep_alive is None


def test_load_project__services_may_be_empty(tmp_path: Path) -> None:
    assert load_project(write(tmp_path, MINIMAL + "services: {}\n"), "quick").config.services == {}


def test_load_project__a_key_implies_its_kind_unless_one_is_set(tmp_path: Path) -> None:
    text = MINIMAL + "services: {redis: {image: x}, postgres: {image: x, kind: other, port: 1}}\n"
    services = load_project(write(tmp_path, text), "quick").config.services
    assert (services["redis"].kind, services["postgres"].kind) == ("redis", "other")


def test_load_project__settings_keep_their_types(tmp_path: Path) -> None:
    text = MINIMAL + "services: {postgres: {image: x, settings: {a: 500, b: true, c: '1', random_page_cost: 1.1}}}\n"
    settings = load_project(write(tmp_path, text), "quick").config.services["postgres"].settings
    assert {name: (type(value), value) for name, value in settings.items()} == {
        "a": (int, 500),
        "b": (bool, True),
        "c": (str, "1"),
        "random_page_cost": (float, 1.1),
    }


def test_load_project__names_the_files_that_do_not_exist(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").touch()
    text = (
        "seed: seed.sql\nvariants:\n  here: {build: app}\n  away: {build: gone}\n"
        "  other: {build: {context: app, dockerfile: Other}}\n"
    )
    with pytest.raises(InputError) as caught:
        load_project(write(tmp_path, text), "quick")
    assert "files that do not exist: seed.sql, gone/Dockerfile, app/Other" in str(caught.value)
    assert "relative to the configuration file" in str(caught.value)


def test_load_project__own_profiles_replace_those_of_the_preset(tmp_path: Path) -> None:
    text = MINIMAL + "profiles: {mine: {connections: 8, threads: 2, duration: 1s}}\n"
    assert list(load_project(write(tmp_path, text), "quick").profiles) == ["mine"]
    assert list(load_project(write(tmp_path, MINIMAL), "quick").profiles) == ["quick-64"]


def test_load_project__narrows_to_names_in_the_order_of_the_file() -> None:
    narrowed = load_project(None, "article", variants=("aiohttp", "django"), profiles=("article-1500",))
    assert list(narrowed.config.variants) == ["django", "aiohttp"]
    assert list(narrowed.profiles) == ["article-1500"]
    assert narrowed.config.compare == [("django", "aiohttp")]


def test_load_project__drops_pairs_of_variants_that_are_left_out() -> None:
    assert load_project(None, "quick", variants=("django", "aiohttp-tuned")).config.compare == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"variants": ("flask", "django")},
            "unknown variant: flask\n  try:    use one of: django, aiohttp, django-",
        ),
        ({"profiles": ("slow",)}, "unknown profile: slow\n  try:    use one of: quick-64"),
    ],
)
def test_load_project__refuses_names_that_do_not_exist(names: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_project(None, "quick", **names)
    assert message in str(caught.value)


def test_load_project__without_a_path_uses_bench_yml_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_project(None, "quick").config.variants.keys() == {"django", "aiohttp", "django-tuned", "aiohttp-tuned"}
    write(tmp_path, MINIMAL)
    own = load_project(None, "quick")
    assert list(own.config.variants) == ["one"]
    assert own.folder == tmp_path


def test_load_policy__refuses_an_unknown_preset() -> None:
    with pytest.raises(InputError, match="unknown preset: 'slow'"):
        load_policy("slow")


def test_load_policy__article_has_the_commands_of_the_article() -> None:
    policy = load_policy("article")
    assert policy.blocks == 5
    assert policy.profiles == {
        "article-500": Profile(path="/", connections=500, threads=10, duration=10, timeout=2),
        "article-1500": Profile(path="/", connections=1500, threads=10, duration=60, timeout=5),
    }


def test_load_policy__quick_measures_four_variants_within_a_minute() -> None:
    policy = load_policy("quick")
    longer_s = 0.1  # `-d 2s` runs 2.1 s (docs/architecture.md, "Reading wrk")
    a_variant_s = sum(policy.warmup + policy.blocks * (p.duration + longer_s) for p in policy.profiles.values())
    assert 4 * a_variant_s < 60
    assert policy.blocks >= 5


@pytest.mark.parametrize("preset", PRESETS)
def test_load_policy__profiles_fit_the_limits_of_the_load_generator(preset: str) -> None:
    limit = Config.model_validate(yaml.safe_load(MINIMAL)).load.ulimits["nofile"]
    for profile in load_policy(preset).profiles.values():
        assert 2 * profile.connections < limit


def test_find_builtin_file__passes_the_published_json_schema() -> None:
    program = [sys.executable, "-m", "bench_action", "schema"]
    schema = json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(find_builtin_file().read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize(
    "text",
    [
        "variants: {one: {image: x, port: 0}}",
        "variants: {one: {image: x, prot: 1}}",
        "variants: {}",
        "seed: x",
        "variants: {one: {image: x}}\nseed: [{after: never}]",
        "variants: {one: {image: x}}\nprofiles: {p: {threads: 1, duration: 1s}}",
    ],
)
def test_json_schema__refuses_what_an_editor_can_show(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), Config.model_json_schema())


def test_json_schema__accepts_both_forms_of_a_build_and_of_a_duration() -> None:
    text = (
        "variants: {a: {build: x}, b: {build: {context: x}}}\nprofiles: {p: {connections: 1, threads: 1, duration: %s}}"
    )
    for duration in ("10s", "10"):
        jsonschema.validate(yaml.safe_load(text % duration), Config.model_json_schema())


def test_load_project__takes_what_compose_files_write(tmp_path: Path) -> None:
    text = """
x-env: &env {DEBUG: true, WORKERS: 2}
variants:
  one: {image: one, command: "serve --name 'a b'", env: *env, x-note: mine}
  two: {image: two, command: [serve, 8000], env: ["A=1", "discovery.type=b=c"], depends_on: [db]}
services:
  db: {image: "ghcr.io/mirror/library/postgres:17"}
  cache: {image: "valkey/valkey:8-alpine"}
  bitnami: {image: "bitnami/postgresql:17"}
"""
    config = load_project(write(tmp_path, text), "quick").config
    one, two = config.variants.values()

    assert (one.command, one.env) == (["serve", "--name", "a b"], {"DEBUG": "true", "WORKERS": "2"})
    assert (two.command, two.env) == (["serve", "8000"], {"A": "1", "discovery.type": "b=c"})
    assert two.depends_on == {"db": "service_started"}
    assert [service.kind for service in config.services.values()] == ["postgres", "redis", "other"]


def test_load_project__checks_the_files_of_services(tmp_path: Path) -> None:
    text = MINIMAL + "services: {worker: {build: worker, worker: true}, db: {image: db, files: {/init: init.sql}}}"
    assert "names files that do not exist: worker/Dockerfile, init.sql" in refusal(tmp_path, text)
    outside = MINIMAL + "services: {db: {image: db, files: {/init: /etc/passwd}}}"
    assert "file /etc/passwd is outside of" in refusal(tmp_path, outside)
