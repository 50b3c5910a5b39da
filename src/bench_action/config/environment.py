"""Build a subject's environment variables: addresses of its services, and the secrets that the user allowed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.schema import PLACEHOLDER, SECRET, Config, Variant
from bench_action.model.errors import InputError


class Address(Protocol):
    """Host and port of a service, as `{postgres.host}` and `{postgres.port}` name them."""

    @property
    def host(self) -> str:
        """The host name."""

    @property
    def port(self) -> int:
        """The port number."""


@dataclass(frozen=True, slots=True)
class _UnknownAddress:
    """The address of a service that has not been started."""

    host: str = ""
    port: int = 0


def fill_in(text: str, services: Mapping[str, Address], secrets: Mapping[str, str]) -> str:
    """Replace `{service.host}`, `{service.port}` and `${SECRET}` in `text`; other braces are left alone.

    Raises InputError for a secret that is not allowed, or a property that a service does not have.
    """

    def address(match: re.Match[str]) -> str:
        name, attribute = match.groups()
        if name not in services:
            return match[0]
        if attribute not in {"host", "port"}:
            raise InputError(f"unknown placeholder {match[0]}", advice=f"use {{{name}.host}} or {{{name}.port}}")
        return str(getattr(services[name], attribute))

    def secret(match: re.Match[str]) -> str:
        if match[1] not in secrets:
            raise InputError(f"{match[0]} is not allowed", advice=f"list it at the top level: `secrets: [{match[1]}]`")
        return secrets[match[1]]

    # secrets last: a secret that looks like a placeholder must not be filled in
    return SECRET.sub(secret, PLACEHOLDER.sub(address, text))


def read_secrets(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Read the variables that `secrets:` lists. Raises InputError if one is not set."""
    if missing := [name for name in config.secrets if name not in environ]:
        raise InputError(
            f"the environment does not set {', '.join(missing)}", cause="`secrets:` in the configuration lists it"
        )
    return {name: environ[name] for name in config.secrets}


def check_environment(config: Config, environ: Mapping[str, str]) -> None:
    """Check, before anything is built, that the environment of each variant can be filled in. Raises InputError."""
    secrets = read_secrets(config, environ)
    services = {name: _UnknownAddress() for name in config.services}
    for variant in config.variants.values():
        for text in variant.env.values():
            fill_in(text, services, secrets)


def drop_unusable_variants(base: Baseline, environ: Mapping[str, str]) -> Baseline:
    """Leave out base's variants whose environment cannot be filled in here, and secrets that are not set."""
    config, lacks = base.project.config, {}
    for name, variant in config.variants.items():
        used = {match[1] for text in variant.env.values() for match in SECRET.finditer(text)}
        needed = [secret for secret in config.secrets if secret in used]
        try:
            check_environment(config.model_copy(update={"variants": {name: variant}, "secrets": needed}), environ)
        except InputError as error:
            lacks[name] = Lack("base-failed", f"{base.name} could not be started: {error.what}")
    present = [secret for secret in config.secrets if secret in environ]
    project = replace(base.project, config=config.model_copy(update={"secrets": present}))
    return replace(base, project=project).leave_out(lacks)


def build_environment(variant: Variant, services: Mapping[str, Address], secrets: Mapping[str, str]) -> dict[str, str]:
    """Build a variant's environment: its `env`, filled in, and `PORT` unless `env` sets it."""
    own = {name: fill_in(text, services, secrets) for name, text in variant.env.items()}
    return {"PORT": str(variant.port), **own}
