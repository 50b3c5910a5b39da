"""Profiles at several numbers of connections, as presets for capacity ask for. No I/O."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bench_action.config.schema import Policy, Profile

if TYPE_CHECKING:
    from bench_action.config.load import Project

_AT = "-at-"


def spread_levels(project: "Project") -> "Project":
    """Replace each profile by one for each level of the preset, if it has levels: `home` by `home-at-16` and so on.

    Scripts and fixed rates choose their own load, and do not change.
    """
    policy = project.policy
    if not policy.levels:
        return project
    config = project.config
    profiles = _spread(config.profiles, policy)
    work = {
        name: expected
        for profile, expected in config.work.items()
        for name in ([other for other in profiles if find_profile(other) == profile] or [profile])
    }
    return replace(
        project,
        config=config.model_copy(update={"profiles": profiles, "work": work}),
        policy=policy.model_copy(update={"profiles": _spread(policy.profiles, policy), "levels": []}),
    )


def _spread(profiles: Mapping[str, Profile], policy: Policy) -> dict[str, Profile]:
    spread: dict[str, Profile] = {}
    for name, profile in profiles.items():
        if profile.is_rated:
            spread[name] = profile
            continue
        for level in policy.levels:
            # wrk divides connections evenly among its threads
            threads = next(count for count in range(min(profile.threads, level), 0, -1) if level % count == 0)
            update = {"connections": level, "threads": threads}
            update |= {"duration": policy.duration} if policy.duration is not None else {}
            spread[f"{name}{_AT}{level}"] = profile.model_copy(update=update)
    return spread


def find_profile(name: str) -> str:
    """Find which profile a level belongs to; itself if it is no level."""
    profile, at, level = name.rpartition(_AT)
    return profile if at and level.isdecimal() else name
