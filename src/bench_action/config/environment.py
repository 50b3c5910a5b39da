"""Fill in a subject's environment and commands: how it reaches its services, and the secrets that the user allowed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.kinds import ATTRIBUTES
from bench_action.config.schema import PLACEHOLDER, SECRET, Build, Config, Request, Variant
from bench_action.model.errors import InputError

# attribute → value: how a subject reaches a service
Address = Mapping[str, str]


def fill_in(text: str, services: Mapping[str, Address], secrets: Mapping[str, str]) -> str:
    """Replace `{service.attribute}` and `${SECRET}` in `text`; `$${` is a literal `${`; other braces are left alone.

    Raises InputError for a secret that is not allowed, or an attribute that a service does not have.
    """

    def secret(match: re.Match[str]) -> str:
        if match[1] not in secrets:
            raise InputError(f"{match[0]} is not allowed", advice=f"list it at the top level: `secrets: [{match[1]}]`")
        return secrets[match[1]]

    # secrets last: a secret that looks like a placeholder must not be filled in
    parts = fill_in_addresses(text, services).split("$${")
    return "${".join(SECRET.sub(secret, part) for part in parts)


def fill_in_addresses(text: str, services: Mapping[str, Address]) -> str:
    """Replace `{service.attribute}`, and no secret: in a command, `${NAME}` is the shell's. Raises InputError."""

    def address(match: re.Match[str]) -> str:
        name, attribute = match.groups()
        if name not in services:
            return match[0]
        if attribute not in services[name]:
            known = ", ".join(f"{{{name}.{other}}}" for other in services[name])
            raise InputError(f"unknown placeholder {match[0]}", advice=f"use one of {known}")
        return services[name][attribute]

    return PLACEHOLDER.sub(address, text)


_Request = TypeVar("_Request", bound=Request)


def fill_in_request(request: _Request, services: Mapping[str, Address]) -> _Request:
    """Replace `{service.attribute}` in the headers and the body of a request. Raises InputError.

    The configuration keeps its placeholders, so that no result and no message contains a password.
    """
    headers = {name: fill_in_addresses(value, services) for name, value in request.headers.items()}
    return request.model_copy(update={"headers": headers, "body": fill_in_addresses(request.body, services)})


def read_secrets(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Read the variables that `secrets:` lists, of those that are allowed. Raises InputError if one is not set."""
    if missing := [name for name in config.secrets if name not in environ]:
        raise InputError(
            f"the environment does not set {', '.join(missing)}",
            cause="`secrets:` in the configuration lists it",
            advice="set it, or remove it from `secrets:`; the pull requests of forks have no secrets",
        )
    return {name: environ[name] for name in config.secrets}


def check_environment(config: Config, environ: Mapping[str, str]) -> None:
    """Check, before anything is built, that all placeholders of each variant can be filled in. Raises InputError."""
    secrets = read_secrets(config, environ)
    services = {name: dict.fromkeys(ATTRIBUTES[service.kind], "") for name, service in config.services.items()}
    builds = [container.build for container in (*config.variants.values(), *config.services.values())]
    for build in filter(None, builds):
        fill_in_build_secrets(build, secrets)
    for variant in config.variants.values():
        for text in variant.env.values():
            fill_in(text, services, secrets)
        for text in (*variant.command, *variant.setup, *(variant.local.command if variant.local else ())):
            fill_in_addresses(text, services)
        for file in variant.files.values():
            fill_in(file.content or "", services, secrets)
    for where, request in _list_requests(config):
        check_request(where, request, services)


def check_request(where: str, request: Request, services: Mapping[str, Address]) -> None:
    """Check that all placeholders of a request can be filled in. Raises InputError, also for an unknown service."""
    for text in (*request.headers.values(), request.body):
        for match in PLACEHOLDER.finditer(text):
            if match[1] not in services and match[2] in ATTRIBUTES["postgres"]:
                known = f"use one of {', '.join(services)}" if services else "there are no services"
                raise InputError(f"unknown placeholder {match[0]}", where=where, advice=known)
        try:
            fill_in_addresses(text, services)
        except InputError as error:
            raise InputError(error.what, where=where, advice=error.advice) from None


def _list_requests(config: Config) -> Iterator[tuple[str, Request]]:
    """List the requests that subjects receive, and what messages call them."""
    yield from ((f"profile {name}", profile) for name, profile in config.profiles.items())
    yield from ((f"check {check.name!r}", check.request) for check in config.checks)
    yield from ((f"`ready` of {name}", variant.ready.request) for name, variant in config.variants.items())


def fill_in_build_secrets(build: Build, secrets: Mapping[str, str]) -> dict[str, str]:
    """Fill in the values of a build's secrets, by id.

    Raises InputError for a secret that is not allowed, or one in an argument, which the image's history would show.
    """
    if leaked := [name for name, text in build.args.items() if {m[1] for m in SECRET.finditer(text)} & {*secrets}]:
        raise InputError(
            f"the build argument {leaked[0]} contains a secret, and arguments stay in the image's history",
            advice="use `build: {secrets: {ID: …}}`, and `RUN --mount=type=secret,id=ID` in the Dockerfile",
        )
    return {name: fill_in(text, {}, secrets) for name, text in build.secrets.items()}


def drop_unusable_variants(base: Baseline, environ: Mapping[str, str]) -> Baseline:
    """Leave out base's variants whose environment cannot be filled in here, and secrets that are not set."""
    config, lacks = base.project.config, {}
    for name, variant in config.variants.items():
        builds = [container.build for container in (variant, *config.services.values()) if container.build is not None]
        texts = (*variant.env.values(), *(text for build in builds for text in build.secrets.values()))
        used = {match[1] for text in texts for match in SECRET.finditer(text)}
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
