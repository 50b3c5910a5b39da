"""How a subject's environment is built."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.config.baseline import Baseline
from bench_action.config.environment import (
    build_environment,
    check_environment,
    check_subjects,
    drop_unusable_variants,
    fill_in,
    fill_in_addresses,
    fill_in_build_secrets,
    fill_in_request,
    read_secrets,
)
from bench_action.config.load import Project, load_policy
from bench_action.config.schema import Config, Profile, Request
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit


POSTGRES = {"host": "postgres", "port": "5432", "user": "u", "password": "p", "database": "d", "url": "postgresql://"}
SERVICES = {"postgres": POSTGRES, "search-2": {"host": "search-2", "port": "9200"}}


def make_config(env: dict[str, str], secrets: list[str] | None = None) -> Config:
    return Config.model_validate({"variants": {"one": {"image": "x", "env": env}}, "secrets": secrets or []})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{postgres.host}:{postgres.port}", "postgres:5432"),
        ("http://{search-2.host}:{search-2.port}/", "http://search-2:9200/"),
        ("mysql+x://{postgres.user}:{postgres.password}@db/{postgres.database}?ssl=0", "mysql+x://u:p@db/d?ssl=0"),
        ("key=${SECRET}", "key=s3cret"),
        ("${SECRET}${SECRET}", "s3crets3cret"),
        ('{"a": 1}', '{"a": 1}'),
        ("{other.host}", "{other.host}"),
        ("{postgres}", "{postgres}"),
        ("$SECRET", "$SECRET"),
        ("{Postgres.host}", "{Postgres.host}"),
        ("", ""),
    ],
)
def test_fill_in__replaces_known_placeholders(text: str, filled: str) -> None:
    assert fill_in(text, SERVICES, {"SECRET": "s3cret"}) == filled


def test_fill_in__a_secret_that_looks_like_a_placeholder_is_not_filled_in() -> None:
    for value in ("{postgres.host}", "{postgres.password}", "${OTHER}", r"\1"):
        assert fill_in("${SECRET}", SERVICES, {"SECRET": value}) == value


@given(st.text(st.characters(exclude_characters="{")))
def test_fill_in__leaves_text_without_braces_alone(text: str) -> None:
    assert fill_in(text, SERVICES, {}) == text


def test_fill_in__a_secret_must_be_listed() -> None:
    with pytest.raises(InputError) as caught:
        fill_in("${TOKEN}", SERVICES, {"SECRET": "s3cret"})
    assert "${TOKEN} is not allowed" in str(caught.value)
    assert "secrets: [TOKEN]" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_fill_in__a_service_has_only_the_attributes_of_its_kind() -> None:
    with pytest.raises(InputError, match=r"unknown placeholder \{search-2.password\}") as caught:
        fill_in("{search-2.password}", SERVICES, {})
    assert caught.value.advice == "use one of {search-2.host}, {search-2.port}"


def test_fill_in_addresses__leaves_the_variables_of_a_shell_alone() -> None:
    command = ["sh", "-c", "exec server --port ${PORT} --db {postgres.host}/{postgres.database}"]
    filled = [fill_in_addresses(word, SERVICES) for word in command]
    assert filled == ["sh", "-c", "exec server --port ${PORT} --db postgres/d"]


def test_read_secrets__reads_those_listed_and_no_others() -> None:
    config = make_config({}, ["TOKEN"])
    assert read_secrets(config, {"TOKEN": "t", "OTHER": "o"}) == {"TOKEN": "t"}
    with pytest.raises(InputError, match="the environment does not set TOKEN"):
        read_secrets(config, {"OTHER": "o"})


@pytest.mark.parametrize("text", ["${TOKEN}", "{postgres.passwort}", "{redis.user}"])
def test_check_environment__refuses_before_anything_is_built(text: str) -> None:
    with pytest.raises(InputError):
        check_environment(make_config({"A": text}), {"TOKEN": "t"})


@pytest.mark.parametrize("key", ["command", "setup"])
def test_check_environment__refuses_an_unknown_placeholder_in_a_command(key: str) -> None:
    variant = {"image": "x", key: ["migrate", "{postgres.schema}"]}
    with pytest.raises(InputError, match=r"unknown placeholder \{postgres.schema\}"):
        check_environment(Config.model_validate({"variants": {"one": variant}}), {})


def test_check_environment__accepts_what_can_be_filled_in() -> None:
    check_environment(
        make_config({"A": "${TOKEN}", "B": "{postgres.host}", "C": "{redis.database}"}, ["TOKEN"]), {"TOKEN": "t"}
    )


def make_built(**build: object) -> Config:
    return Config.model_validate({"variants": {"one": {"build": {"context": ".", **build}}}, "secrets": ["TOKEN"]})


def test_build_secrets__are_filled_in_like_an_environment() -> None:
    config = make_built(secrets={"npmrc": "//x/:_authToken=${TOKEN}", "plain": "{postgres.host}"})
    build = config.variants["one"].build
    assert build is not None
    filled = fill_in_build_secrets(build, read_secrets(config, {"TOKEN": "t"}))
    assert filled == {"npmrc": "//x/:_authToken=t", "plain": "{postgres.host}"}
    named = make_built(secrets=["TOKEN"]).variants["one"].build
    assert named is not None
    assert named.secrets == {"TOKEN": "${TOKEN}"}


def test_check_environment__refuses_a_build_secret_that_is_not_listed() -> None:
    with pytest.raises(InputError, match=r"\$\{OTHER\} is not allowed"):
        check_environment(make_built(secrets=["OTHER"]), {"TOKEN": "t"})


def test_check_environment__refuses_a_secret_in_a_build_argument() -> None:
    with pytest.raises(InputError, match="the build argument KEY contains a secret"):
        check_environment(make_built(args={"KEY": "${TOKEN}"}), {"TOKEN": "t"})
    check_environment(make_built(args={"KEY": "${NOT_A_SECRET}"}), {"TOKEN": "t"})


def test_drop_unusable_variants__a_service_may_be_built_with_a_secret() -> None:
    build = {"context": ".", "secrets": ["TOKEN"]}
    worker = {"kind": "other", "build": build, "ready": {"command": "true"}}
    body = {"variants": {"one": {"image": "x"}}, "services": {"worker": worker}, "secrets": ["TOKEN"]}
    config = Config.model_validate(body)
    check_environment(config, {"TOKEN": "t"})
    base = Baseline(Project(config, load_policy("quick"), "quick", Path(), ""), "base")
    assert not drop_unusable_variants(base, {"TOKEN": "t"}).lacks
    assert drop_unusable_variants(base, {}).lacks.keys() == {"one"}


def test_drop_unusable_variants__drops_those_whose_build_needs_a_secret_that_is_not_set() -> None:
    project = Project(make_built(secrets=["TOKEN"]), load_policy("quick"), "quick", Path(), "")
    base = drop_unusable_variants(Baseline(project, "base"), {})
    assert list(base.project.config.variants) == []
    assert "one" in base.lacks


def test_build_environment__has_the_port_unless_the_user_sets_it() -> None:
    variant = make_config({"URL": "{postgres.host}"}).variants["one"]
    assert build_environment(variant, SERVICES, {}) == {"PORT": "8000", "URL": "postgres"}
    assert build_environment(make_config({"PORT": "1"}).variants["one"], SERVICES, {}) == {"PORT": "1"}


def test_drop_unusable_variants__drops_those_that_use_a_secret_that_is_not_set() -> None:
    variants = {"one": {"image": "x", "env": {"A": "${GONE}"}}, "two": {"image": "x", "env": {"A": "${TOKEN}"}}}
    config = Config.model_validate({"variants": variants, "secrets": ["GONE", "TOKEN"]})
    base = Baseline(Project(config, load_policy("ci"), "ci", Path(), ""), "1a2b3c4d")
    usable = drop_unusable_variants(base, {"TOKEN": "t"})
    assert list(usable.project.config.variants) == ["two"]
    assert {name: (lack.status, lack.reason) for name, lack in usable.lacks.items()} == {
        "one": ("base-failed", "base `1a2b3c4` could not be started: the environment does not set GONE")
    }
    assert read_secrets(usable.project.config, {"TOKEN": "t"}) == {"TOKEN": "t"}


def test_fill_in__leaves_what_is_escaped() -> None:
    assert fill_in("$${HOME} ${KEY} $$x", {}, {"KEY": "$${a}"}) == "${HOME} $${a} $$x"


@pytest.mark.parametrize("text", ["{database.host}", "{redis.user}", "{db.password}"])
@pytest.mark.parametrize("place", ["profile", "check", "ready", "body"])
def test_check_environment__refuses_an_unknown_placeholder_in_a_request(text: str, place: str) -> None:
    body: dict[str, Any] = {"variants": {"one": {"image": "x"}}}
    load = {"connections": 1, "threads": 1, "duration": 1}
    match place:
        case "profile":
            body["profiles"] = {"p": {**load, "headers": {"X": text}}}
        case "body":
            body["profiles"] = {"p": {**load, "method": "POST", "body": text}}
        case "check":
            body["checks"] = [{"name": "c", "request": {"headers": {"X": text}}}]
        case _:
            body["variants"]["one"]["ready"] = {"headers": {"X": text}}
    with pytest.raises(InputError) as caught:
        check_environment(Config.model_validate(body), {})
    assert caught.value.what == f"unknown placeholder {text}"
    assert caught.value.where
    assert "redis" in caught.value.advice


def test_check_environment__refuses_an_unknown_placeholder_in_a_file() -> None:
    variant = {"image": "x", "files": {"/a": {"content": "{postgres.schema}"}}}
    with pytest.raises(InputError, match=r"unknown placeholder \{postgres.schema\}"):
        check_environment(Config.model_validate({"variants": {"one": variant}}), {})


def test_fill_in_request__fills_in_headers_and_body_of_a_copy() -> None:
    profile = Profile(
        connections=1,
        threads=1,
        duration=1,
        method="POST",
        headers={"X": "{postgres.user}"},
        body='{"a": "{postgres.url}"}',
    )
    filled = fill_in_request(profile, SERVICES)
    assert (filled.headers, filled.body, filled.connections) == ({"X": "u"}, '{"a": "postgresql://"}', 1)
    assert "{postgres.url}" in profile.body
    assert fill_in_request(Request(body="{a.b} {x}"), SERVICES).body == "{a.b} {x}"


@pytest.mark.parametrize(
    "keys",
    [
        {"env": {"A": "{other.host}"}},
        {"command": ["serve", "{other.url}"]},
        {"setup": ["migrate", "{other.port}"]},
        {"files": {"/a": {"content": "host = {other.host}"}}},
        {"local": {"command": ["serve", "{other.password}"]}},
    ],
)
def test_check_environment__refuses_an_unknown_service_wherever_a_placeholder_can_stand(keys: dict[str, Any]) -> None:
    config = Config.model_validate({"variants": {"one": {"image": "x", **keys}}})
    with pytest.raises(InputError, match=r"unknown placeholder \{other\.") as caught:
        check_environment(config, {})
    assert "one" in caught.value.where
    assert caught.value.advice == "use one of postgres, redis"


@pytest.mark.parametrize("text", ["${other.host}", "{{other.host}}", '{"a.b": 1}', "{ other.host }"])
def test_check_environment__leaves_the_placeholders_of_other_programs_alone(text: str) -> None:
    check_environment(make_config({"A": text}), {})
    assert fill_in_addresses(text, {**SERVICES, "other": POSTGRES}) == text


def make_services(**keys: Any) -> Config:
    keys = {"image": "x", "port": 80, "env": {"DB": "{db.password}"}, **keys}
    services = {"db": {"image": "postgres:17"}, "keys": keys, "mail": {"image": "m", "port": 25}}
    return Config.model_validate({"variants": {"one": {"image": "x"}}, "services": services})


def test_check_environment__a_service_may_name_those_that_it_depends_on() -> None:
    check_environment(make_services(depends_on=["db"]), {})
    check_environment(make_services(once=True), {})
    with pytest.raises(InputError, match=r"unknown placeholder \{db.password\}") as caught:
        check_environment(make_services(depends_on=["mail"]), {})
    assert caught.value.where == "`env: DB` of service keys"
    assert "`depends_on`" in caught.value.advice


def test_check_environment__a_service_has_only_secrets_that_are_listed() -> None:
    with pytest.raises(InputError, match=r"\$\{TOKEN\} is not allowed"):
        check_environment(make_services(env={"A": "${TOKEN}"}), {"TOKEN": "t"})


def test_check_subjects__names_of_a_compose_file_are_corrected() -> None:
    config = Config.model_validate(
        {
            "variants": {"web": {"image": "x", "env": {"DB": "{my_db.host}"}}},
            "services": {"my-db": {"kind": "postgres", "image": "postgres:17"}},
        }
    )
    with pytest.raises(InputError, match=r"unknown placeholder \{my_db.host\}") as caught:
        check_subjects(config, {})
    assert caught.value.advice == "the service is my-db here"


def test_check_subjects__commands_of_the_seed_are_checked() -> None:
    config = Config.model_validate(
        {
            "variants": {"web": {"image": "x"}},
            "services": {"postgres": {"image": "postgres:17"}},
            "seed": [{"run": ["load", "{postgres.schema}"]}],
        }
    )
    with pytest.raises(InputError, match=r"unknown placeholder \{postgres.schema\}") as caught:
        check_subjects(config, {})
    assert caught.value.where == "`run` of the seed"
