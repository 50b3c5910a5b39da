"""Which variables of this machine a configuration may read, and which it may set for compose."""

from typing import Any

import pytest
from pydantic import ValidationError

from bench_action.config.schema import Compose, Config
from bench_action.config.secrets import Secrets
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

LOGINS = [
    *("ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "GITHUB_TOKEN"),
    *(
        "RUNNER_TEMP",
        "INPUT_REGISTRIES",
        "github_token",
        "GH_TOKEN",
        "CI_JOB_TOKEN",
        "GITLAB_TOKEN",
        "SYSTEM_ACCESSTOKEN",
    ),
    *("GIT_ASKPASS", "GIT_CONFIG_VALUE_0", "SSH_AUTH_SOCK", "DOCKER_AUTH_CONFIG", "DOCKER_HOST", "BUILDX_CONFIG"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "KUBECONFIG"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_ACCESS_TOKEN", "VAULT_TOKEN", "HTTPS_PROXY", "TF_TOKEN_app"),
]
PROGRAMS = [
    "LD_PRELOAD",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "BASH_ENV",
    "DOCKER_CONFIG",
    "COMPOSE_ENV_FILES",
    "PATH",
    "HOME",
]
PLAIN = ["STRIPE_KEY", "DATABASE_PASSWORD", "GITHUBBER", "PYTHON_VERSION", "NODE_ENV", "APP_AWS_KEY", "_x1"]


def configure(**more: Any) -> Config:
    return Config.model_validate({"variants": {"web": {"image": "web"}}, **more})


@pytest.mark.parametrize("name", [*LOGINS, *PROGRAMS])
def test_variables_of_the_runner_and_its_programs__cannot_be_asked_for(name: str) -> None:
    """By `secrets`, from a compose file, or by what the workflow allows."""
    with pytest.raises(ValidationError, match=f"no configuration may read {name}"):
        configure(secrets=["STRIPE_KEY", name])
    with pytest.raises(ValidationError, match=f"no configuration may .* {name}"):
        configure(compose={"env": {name: None}})
    with pytest.raises(InputError, match=f"no configuration may read {name}"):
        Secrets.allow([name], {name: "value"})


@pytest.mark.parametrize("name", PROGRAMS)
def test_variables_that_programs_obey__cannot_be_set(name: str) -> None:
    """Compose would run with them: `LD_PRELOAD: ./evil.so`."""
    for env in ({name: "./evil"}, [f"{name}=./evil"]):
        with pytest.raises(ValidationError, match=f"no configuration may set {name}"):
            configure(compose={"env": env})


@pytest.mark.parametrize("name", PLAIN)
def test_other_variables__can_be_read_and_set(name: str) -> None:
    assert configure(secrets=[name]).secrets == [name]
    assert configure(compose={"env": {name: "1"}}).compose == Compose(env={name: "1"})
    assert Secrets.allow([name], {name: "value", "OTHER": "x"}).values == {name: "value"}


def test_literal_variables_of_a_compose_file__may_have_the_runners_names() -> None:
    """They reveal nothing, and compose files use such names for tags."""
    assert configure(compose={"env": {"GITHUB_SHA": "1a2b3c4", "DOCKER_REGISTRY": "ghcr.io"}}).compose is not None


def test_require__names_those_that_are_not_allowed() -> None:
    secrets = Secrets.allow(["A_KEY", "NOT_SET"], {"A_KEY": "s3cret", "B_KEY": "other"})
    secrets.require(["A_KEY", "NOT_SET"])
    with pytest.raises(InputError, match="asks for secrets that are not allowed: B_KEY,C_KEY") as caught:
        secrets.require(["A_KEY", "B_KEY", "C_KEY"])
    assert "--secrets B_KEY,C_KEY" in caught.value.advice
    assert secrets.values == {"A_KEY": "s3cret"}


def test_secrets__do_not_show_their_values() -> None:
    assert "s3cret" not in repr(Secrets.allow(["KEY"], {"KEY": "s3cret"}))
    with pytest.raises(InputError) as caught:
        Secrets.allow(["half of a s3cret"], {})
    assert "s3cret" not in str(caught.value)
