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
    chosen = [(service, _mapping(data.get("variants")).get(name)) for name, service in variants.items()]
    chosen += [(names.get(name, name), body) for name, body in own.items()]
    made, as_given = (
        {name for name, body in chosen if any(_mapping(body).get(origin) for origin in _ORIGINS) == otherwise}
        for otherwise in (True, False)
    )
    return RoleChoice(variants, kept, dropped, builds, made - as_given)


def merge(data: Mapping[str, Any], reading: ComposeReading) -> dict[str, Any]:
    """Merge `bench.yml` into what a compose file says."""
    named = {
        make_name(str(name)) if name not in reading.services else name: body
        for name, body in _mapping(data.get("services")).items()
        if body is not None
    }
    own = _mapping(data.get("variants"))
    rebuilt = {
        name: _merge_container(reading.services[name], {"build": build})
        for name, build in find_rebuilt(data, reading).items()
    }
    services = _merge_all({**reading.services, **rebuilt}, named)
    return {**data, "services": services, "variants": _merge_all(reading.variants, own)}


def find_rebuilt(data: Mapping[str, Any], reading: ComposeReading) -> dict[str, Any]:
    """Find the services whose image all variants build that are based on it: service → how to build it.

    A migration in the same published image would be that of another version.
    """
    own = _mapping(data.get("variants"))
    builds: dict[str, list[Any]] = {}
    for name, given in reading.variants.items():
        if image := given.get("image"):
            body = _mapping(own.get(name))
            builds.setdefault(image, []).append(None if body.get("image") else body.get("build"))
    agreed = {image: each[0] for image, each in builds.items() if each[0] and all(one == each[0] for one in each)}
    return {name: agreed[body["image"]] for name, body in reading.services.items() if body.get("image") in agreed}


def _merge_all(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return {**given, **{name: _merge_container(given.get(name, {}), body) for name, body in own.items()}}


def _merge_container(given: Mapping[str, Any], own: Any) -> Any:
    """Merge one service or variant. An image replaces a build, and the other way round.

    A folder that hid what the image has there is added to what is built instead.
    """
    if not isinstance(own, dict):
        return given if own is None else own
    own = {key: _NORMAL_FORMS[key](value) if key in _NORMAL_FORMS else value for key, value in own.items()}
    replaced = {other for key, other in (_ORIGINS, _ORIGINS[::-1]) if own.get(key)} - {key for key in own if own[key]}
    kept = {key: value for key, value in given.items() if key not in replaced}
    if "image" in replaced and "image" in given:
        kept["volumes"] = [path for path in given.get("volumes", ()) if path not in given.get("files", {})]
    return _merge_values(kept, own)


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
