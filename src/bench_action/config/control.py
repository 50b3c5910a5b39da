"""The control of a run: a variant of the configuration's own, or the built-in one beside them."""

from dataclasses import replace

from bench_action.config.load import Loaded, builtin_file, load
from bench_action.config.schema import BUILT_IN
from bench_action.model.errors import InputError

AUTO = "auto"
BUILT_IN_VARIANT = "bench-action-control"
_SOURCE = "aiohttp"
_REQUEST = {"path": "/", "method": "GET", "headers": {}, "body": ""}


def with_control(loaded: Loaded, asked: str | None) -> Loaded:
    """With the control that is asked for: a variant, `built-in`, `none`, `auto` (as configured, else the built-in one),
    None (as configured). Raises InputError where there is no such variant.
    """
    if asked == "none":
        return _named(loaded, None)
    name = loaded.config.control if asked in {None, AUTO} else asked
    if name is None:
        return _with_built_in(loaded) if asked == AUTO else loaded
    if name == BUILT_IN and name not in loaded.config.variants:
        return _with_built_in(loaded)
    if asked == name and name not in loaded.config.variants:
        known = ", ".join((*loaded.config.variants, BUILT_IN))
        raise InputError(f"there is no variant {name} for a control", advice=f"one of: {known}")
    return _named(loaded, name)


def _with_built_in(loaded: Loaded) -> Loaded:
    """One more variant, by our own configuration: its seed, checks and request; the user's load and services.

    It needs PostgreSQL and Redis; where one of them is lacking, ours is started.
    """
    own = load(builtin_file(), loaded.preset, variants=[_SOURCE])
    kinds = {service.kind for service in loaded.config.services.values()}
    lacking = {name: service for name, service in own.config.services.items() if service.kind not in kinds}
    services = {**loaded.config.services, **lacking}
    variants = {BUILT_IN_VARIANT: own.config.variants[_SOURCE]}
    profiles = {name: profile.model_copy(update=_REQUEST) for name, profile in loaded.profiles.items()}
    beside = own.config.model_copy(update={"services": services, "variants": variants, "profiles": profiles})
    both = {"services": services, "variants": {**loaded.config.variants, **variants}, "control": BUILT_IN_VARIANT}
    return replace(
        loaded, config=loaded.config.model_copy(update=both),
        beside=replace(own, config=beside, policy=loaded.policy, origin="the built-in control"),
    )  # fmt: skip


def _named(loaded: Loaded, name: str | None) -> Loaded:
    return replace(loaded, config=loaded.config.model_copy(update={"control": name}))
