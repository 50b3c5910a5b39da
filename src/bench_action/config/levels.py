"""Profiles at several numbers of connections, as presets for capacity request them. No I/O."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bench_action.config.schema import Policy, Profile

if TYPE_CHECKING:
    from bench_action.config.load import Project

_AT = "-at-"


def spread_levels(project: "Project") -> "Project":
    """Replace each profile by one for each level of the preset, if it has levels: `home` by `home-at-16` and so on.

    Scripts, fixed rates and objectives choose their own load, and do not change, nor does what is a level already.
    """
    policy = project.policy
    if not policy.levels:
        return project
    config = project.config
    profiles = _spread(config.profiles, policy)
    work = {
        name: expected
        for profile, expected in config.work.items()
        for name in _list_levels(profile, profiles) or [profile]
    }
    return replace(
        project,
        config=config.model_copy(update={"profiles": profiles, "work": work}),
        policy=policy.model_copy(update={"profiles": _spread(policy.profiles, policy)}),
    )


def find_profile(name: str, connections: int) -> str:
    """Find which profile a level belongs to; itself if it is no level."""
    profile, at, level = name.rpartition(_AT)
    return profile if at and level == str(connections) else name


def _list_levels(profile: str, profiles: Mapping[str, Profile]) -> list[str]:
    return [name for name, each in profiles.items() if profile == find_profile(name, each.connections) != name]


def _spread(profiles: Mapping[str, Profile], policy: Policy) -> dict[str, Profile]:
    spread: dict[str, Profile] = {}
    for name, profile in profiles.items():
        if profile.is_rated or profile.slo is not None or find_profile(name, profile.connections) != name:
            spread[name] = profile
            continue
        for level in policy.levels:
            # wrk divides connections evenly among its threads
            threads = next(count for count in range(min(profile.threads, level), 0, -1) if level % count == 0)
            update = {"connections": level, "threads": threads}
            update |= {"duration": policy.duration} if policy.duration is not None else {}
            spread[f"{name}{_AT}{level}"] = profile.model_copy(update=update)
    return spread
