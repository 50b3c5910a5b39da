"""Say how to choose profiles, if a configuration names none and the preset's were used."""

import re

from bench_action.config.schema import BUILT_IN
from bench_action.model.result import Result


def suggest_profiles(result: Result) -> str:
    """Suggest to name profiles; empty if the configuration names its own, or is the built-in one."""
    config, preset = result.run.config, re.escape(result.run.preset)
    if config in {"", BUILT_IN} or not result.profiles:
        return ""
    if not all(re.fullmatch(rf"{preset}-\d+", profile.name) for profile in result.profiles):
        return ""
    paths = " and ".join(dict.fromkeys(f"`{profile.path}`" for profile in result.profiles))
    advice = "`bench-action init --stdout` lists the routes to choose from."
    return f"Only {paths} is measured, as {config} names no profiles. {advice}"
