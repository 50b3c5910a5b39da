"""Fill in a subject's environment and commands: how it reaches its services, and the secrets that the user allowed."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.kinds import ATTRIBUTES, DATABASE
from bench_action.config.schema import PLACEHOLDER, SECRET, Build, Config, Container, Request, Variant
from bench_action.config.templates import drop_placeholders
from bench_action.model.errors import InputError

# attribute → value: how a subject reaches a service
Address = Mapping[str, str]
# the files of the run's certificate that placeholders may name in a variant that serves HTTPS
TLS_FILES = ("cert", "key")
_TLS: Mapping[str, Address] = {"tls": dict.fromkeys(TLS_FILES, "")}
# what is not a placeholder, but may be meant as one of a service whose name in a compose file is `my_db`
_MISSPELT = re.compile(r"(?<![{$])\{([A-Za-z][A-Za-z0-9_-]*)\.[a-z]+\}(?!\})")
_DEPENDENCIES = "a service may name those that it depends on (`depends_on`)"


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
    """Check, before anything is built, that all placeholders and secrets can be filled in. Raises InputError."""
    check_subjects(config, environ)
    secrets = read_secrets(config, environ)
    for name, service in config.services.items():
        if not service.is_companion:  # it starts after those that it depends on only
            known = _find_dependencies(config, name)
            _check_container(f"service {name}", service, _list_addresses(config, known), secrets, _DEPENDENCIES)


def check_subjects(config: Config, environ: Mapping[str, str]) -> None:
    """Check what belongs to a revision's code: variants, their companions and their requests. Raises InputError."""
    secrets, addresses = read_secrets(config, environ), _list_addresses(config, config.services)
    for container in (*config.variants.values(), *config.services.values()):
        if container.build is not None:
            fill_in_build_secrets(container.build, secrets)
    for name, variant in config.variants.items():
        known = {**addresses, **(_TLS if variant.tls else {})}
        _check_container(f"variant {name}", variant, known, secrets)
        for word in (*variant.setup, *(variant.local.command if variant.local else ())):
            _check_text(word, f"a command of variant {name}", known)
    for word in (word for step in config.seed for word in step.run):
        _check_text(word, "`run` of the seed", addresses)
    for name, service in config.services.items():
        if service.is_companion:  # it may name any service
            _check_container(f"service {name}", service, addresses, secrets)
    for where, request in _list_requests(config):
        check_request(where, request, addresses)
    for where, text in _list_session_texts(config):
        _check_text(drop_placeholders(text), where, addresses, secrets)


def _find_dependencies(config: Config, name: str) -> set[str]:
    """Find the services that one depends on, directly or not."""
    found, waiting = set[str](), [name]
    while waiting:
        for other in config.services[waiting.pop()].depends_on:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _list_addresses(config: Config, names: Collection[str]) -> dict[str, Address]:
    """List services with what placeholders may name of them; the values are not known yet."""
    return {name: dict.fromkeys(ATTRIBUTES[config.services[name].kind], "") for name in names}


def _check_container(
    title: str, container: Container, services: Mapping[str, Address], secrets: Mapping[str, str], rule: str = ""
) -> None:
    for variable, text in container.env.items():
        _check_text(text, f"`env: {variable}` of {title}", services, secrets, rule)
    for target, file in container.files.items():
        _check_text(file.content or "", f"`files: {target}` of {title}", services, secrets, rule)
    for word in container.command:
        _check_text(word, f"`command` of {title}", services, rule=rule)


def _check_text(
    text: str,
    where: str,
    services: Mapping[str, Address],
    secrets: Mapping[str, str] | None = None,
    rule: str = "",
) -> None:
    """Check that the placeholders of a text, and its secrets if it may have any, are known. Raises InputError.

    `rule`: which services may be named here, if not all.
    """
    for match in PLACEHOLDER.finditer(text):
        if match[1] == "tls" and "tls" not in services and match[2] in TLS_FILES:
            advice = "it stands in `env`, `command`, `setup` and `files` of a variant that has `tls: true`"
            raise InputError(f"unknown placeholder {match[0]}", where=where, advice=advice)
        if match[1] not in services and match[2] in DATABASE:
            known = f"use one of {', '.join(services)}" if services else "no service can be named here"
            advice = "; ".join(filter(None, (known, rule)))
            raise InputError(f"unknown placeholder {match[0]}", where=where, advice=advice)
    for match in _MISSPELT.finditer(text):
        meant = match[1].lower().replace("_", "-")
        if meant in services and meant != match[1]:
            raise InputError(f"unknown placeholder {match[0]}", where=where, advice=f"the service is {meant} here")
    try:
        if secrets is None:
            fill_in_addresses(text, services)
        else:
            fill_in(text, services, secrets)
    except InputError as error:
        raise InputError(error.what, where=where, advice=error.advice) from None


def check_request(where: str, request: Request, services: Mapping[str, Address]) -> None:
    """Check that all placeholders of a request can be filled in. Raises InputError."""
    for text in (*request.headers.values(), request.body):
        _check_text(drop_placeholders(text), where, services)


def _list_requests(config: Config) -> Iterator[tuple[str, Request]]:
    """List the requests that subjects receive, and what messages call them."""
    for name, profile in config.profiles.items():
        yield from ((f"profile {name}", request) for request in (profile, *profile.requests))
    yield from ((f"check {check.name!r}", check.request) for check in config.checks)
    yield from ((f"`ready` of {name}", variant.ready.request) for name, variant in config.variants.items())


def _list_session_texts(config: Config) -> Iterator[tuple[str, str]]:
    """List the texts of sessions in which secrets may be named, and what messages call them."""
    for name, profile in config.profiles.items():
        for request in profile.session.requests if profile.session is not None else ():
            yield from ((f"the session of profile {name}", text) for text in request.templates[1:])


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
        own = (variant, *(service for service in config.services.values() if service.is_companion))
        texts = [text for container in own for text in container.env.values()]
        texts += [file.content or "" for container in own for file in container.files.values()]
        texts += [text for build in builds for text in build.secrets.values()]
        texts += [text for _, text in _list_session_texts(config)]
        used = {match[1] for text in texts for match in SECRET.finditer(text)}
        needed = [secret for secret in config.secrets if secret in used]
        try:
            check_subjects(config.model_copy(update={"variants": {name: variant}, "secrets": needed}), environ)
        except InputError as error:
            lacks[name] = Lack("base-failed", f"{base.name} could not be started: {error.what}")
    present = [secret for secret in config.secrets if secret in environ]
    project = replace(base.project, config=config.model_copy(update={"secrets": present}))
    return replace(base, project=project).leave_out(lacks)


def build_environment(variant: Variant, services: Mapping[str, Address], secrets: Mapping[str, str]) -> dict[str, str]:
    """Build a variant's environment: its `env`, filled in, and `PORT` unless `env` sets it."""
    own = {name: fill_in(text, services, secrets) for name, text in variant.env.items()}
    return {"PORT": str(variant.port), **own}
