"""The action's inputs as a checked model. GitHub passes each as a variable `INPUT_NAME`, empty if it is not set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bench_action.config.control import AUTO
from bench_action.config.load import PRESETS
from bench_action.config.secrets import Secrets
from bench_action.config.shard import Shard
from bench_action.engine.docker.credentials import Login
from bench_action.history import DEFAULT_BRANCH
from bench_action.model.errors import InputError
from bench_action.model.hosts import Hosts


def _split_names(value: object) -> object:
    """Split a list such as "a, b", or one name per line."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _read_logins(value: object) -> object:
    """Read logins, one a line: registry, user, and password, which may contain spaces.

    A line without a password is no login: the pull requests of forks have no secrets, and most images are public.
    """
    if not isinstance(value, str):
        return value
    logins = []
    for number, line in enumerate(value.splitlines(), 1):
        registry, user, password = (*line.split(maxsplit=2), "", "", "")[:3]
        if "/" in registry:  # without quoting the line, which contains the password
            raise ValueError(f"line {number} must begin with a registry's host name, such as `ghcr.io`, without `/`")
        if password:
            logins.append(Login(registry, user, password.strip()))
    return tuple(logins)


def _read_secrets(value: object) -> object:
    """Read names, separated by commas or newlines, or one a line with its value: `NAME=value`.

    Without a value (None), the environment of the step has it.
    """
    if not isinstance(value, str):
        return value
    secrets: dict[str, str | None] = {}
    for line in value.splitlines():
        name, found, text = line.partition("=")
        secrets |= {name.strip(): text} if found else dict.fromkeys(line.replace(",", " ").split())
    return secrets


def _read_shard(value: object) -> object:
    """Read a shard such as 2/5."""
    if not isinstance(value, str):
        return value
    try:
        return Shard.parse(value)
    except InputError as error:
        raise ValueError(f"{error.what}: {error.advice}") from error


def _read_hosts(value: object) -> object:
    """Read the machines of the run, one a line: `app=ssh://bench@10.0.0.7`."""
    if not isinstance(value, str):
        return value
    try:
        return Hosts.read(value.split())
    except InputError as error:
        raise ValueError(f"{error.what}: {error.cause or error.advice}") from error


def _split_lines(value: object) -> object:
    """Split folders, one a line."""
    return [line.strip() for line in value.splitlines() if line.strip()] if isinstance(value, str) else value


def _check_preset(value: str) -> str:
    if value not in PRESETS:
        raise ValueError(f"expected a preset: {', '.join(PRESETS)}")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_names)]


class Inputs(BaseModel):
    """The inputs in a workflow's `with:`. A test compares the defaults with those of `action.yml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"))

    config: Path | None = None
    preset: Annotated[str, BeforeValidator(_check_preset)] = "ci"
    baseline: str = "auto"
    rules: Literal["base", "head"] = "base"
    require_comparison: bool = False
    variants: Names = ()
    profiles: Names = ()
    max_minutes: float | None = Field(None, gt=0, allow_inf_nan=False)
    fail_on: Literal["regression", "invalid", "never"] = "regression"
    comment: Literal["auto", "never"] = "auto"
    comment_key: str = "bench-action"
    summary: bool = True
    output: Path = Path("bench-results")
    publish: str = ""
    shard: Annotated[Shard | None, BeforeValidator(_read_shard)] = None
    merge: Annotated[tuple[Path, ...], BeforeValidator(_split_lines)] = ()
    hosts: Annotated[Hosts | None, BeforeValidator(_read_hosts)] = None
    ssh_key: str = Field("", repr=False)
    known_hosts: str = ""
    history_branch: str = DEFAULT_BRANCH
    control: str = AUTO
    trend_issue: bool = False
    matrix: str = ""
    github_token: str = Field("", repr=False)
    secrets: Annotated[Mapping[str, str | None], BeforeValidator(_read_secrets)] = Field({}, repr=False)
    registries: Annotated[tuple[Login, ...], BeforeValidator(_read_logins)] = Field((), repr=False)

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        tasks = {"shard": self.shard, "merge": self.merge, "publish": self.publish}
        if len(named := [name for name, value in tasks.items() if value]) > 1:
            raise ValueError(f"a step has one task: set only one of {', '.join(f'`{name}`' for name in named)}")
        return self

    def allow_secrets(self, environ: Mapping[str, str]) -> Secrets:
        """Allow the secrets that the workflow names, with values given here or in `environ`. Raises InputError."""
        given = {name: value for name, value in self.secrets.items() if value is not None}
        return Secrets.allow(self.secrets, {**environ, **given})

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables, in whose names GitHub keeps hyphens. Raises InputError that names every invalid input."""
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            key = name.replace("_", "-")
            if value := environ.get(f"INPUT_{key.upper()}", "").strip():
                values[key] = value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            faults = [
                f"`{fault['loc'][0]}`: {fault['msg']}" if fault["loc"] else str(fault["msg"])
                for fault in error.errors(include_url=False)
            ]
            raise InputError("an input of the action is invalid", cause="; ".join(faults)) from error
