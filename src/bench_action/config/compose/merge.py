"""Lay `bench.yml` over a compose file: what `bench.yml` says wins, key by key."""

from collections.abc import Mapping
from typing import Any

from bench_action.config.compose.convert import make_name
from bench_action.config.compose.read import ComposeReading
from bench_action.config.compose.roles import RoleChoice
from bench_action.config.schema import parse_conditions, parse_environment

_ORIGINS = ("build", "image")
_NORMAL_FORMS = {"env": parse_environment, "depends_on": parse_conditions}
_WHOLE = frozenset({"ready"})  # keys whose parts exclude each other, so that they are replaced together


def find_choice(data: Mapping[str, Any], services: Mapping[str, Any]) -> RoleChoice:
    """Find out which services of a compose file `bench.yml` chooses, keeps and leaves out. `services`: those there are.

    A variant that names no service is the service of the same name, unless it has a build or an image, and there is no
    such service.
    """
    names = {make_name(service): service for service in services}
    variants, builds = dict[str, str](), False
    for name, body in _mapping(data.get("variants")).items():
        service = _mapping(body).get("service")
        if isinstance(service, str):
            variants[str(name)] = names.get(service, service)
        elif name in names or not any(_mapping(body).get(origin) for origin in _ORIGINS):
            variants[str(name)] = names.get(str(name), str(name))
        else:
            builds = True
    own = _mapping(data.get("services"))
    kept = [names.get(name, name) for name, body in own.items() if body is not None]
    dropped = [names.get(name, name) for name, body in own.items() if body is None]
    return RoleChoice(variants, kept, dropped, builds)


def merge(data: Mapping[str, Any], reading: ComposeReading) -> dict[str, Any]:
    """Merge `bench.yml` into what a compose file says."""
    named = {
        make_name(str(name)) if name not in reading.services else name: body
        for name, body in _mapping(data.get("services")).items()
        if body is not None
    }
    own = _mapping(data.get("variants"))
    services = _merge_all({**reading.services, **_build_same_images(reading, own)}, named)
    return {**data, "services": services, "variants": _merge_all(reading.variants, own)}


def _build_same_images(reading: ComposeReading, own: Mapping[str, Any]) -> dict[str, Any]:
    """Build the services whose image a variant builds instead, such as a migration in the same published image."""
    builds = {
        given["image"]: body["build"]
        for name, given in reading.variants.items()
        if given.get("image") and (body := _mapping(own.get(name))).get("build") and not body.get("image")
    }
    return {
        name: {**{key: value for key, value in service.items() if key != "image"}, "build": builds[service["image"]]}
        for name, service in reading.services.items()
        if service.get("image") in builds
    }


def _merge_all(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return {**given, **{name: _merge_container(given.get(name, {}), body) for name, body in own.items()}}


def _merge_container(given: Mapping[str, Any], own: Any) -> Any:
    """Merge one service or variant. An image replaces a build, and the other way round."""
    if not isinstance(own, dict):
        return given if own is None else own
    own = {key: _NORMAL_FORMS[key](value) if key in _NORMAL_FORMS else value for key, value in own.items()}
    replaced = {other for key, other in (_ORIGINS, _ORIGINS[::-1]) if own.get(key)} - {key for key in own if own[key]}
    return _merge_values({key: value for key, value in given.items() if key not in replaced}, own)


def _merge_values(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings, of which the second wins; null takes a value away."""
    merged = dict(given)
    for key, value in own.items():
        before = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif key not in _WHOLE and isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merge_values(before, value)
        else:
            merged[key] = value
    return merged


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
