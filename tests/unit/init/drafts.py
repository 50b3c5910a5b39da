"""Drafts of repositories for tests, and what they are written as."""

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from bench_action.config.schema import Config
from bench_action.init.draft import Draft
from bench_action.init.render import render_configuration

Make = Callable[[dict[str, str]], Draft]


def configure(made: Draft) -> Mapping[str, Any]:
    """Read what is written for it, which must be valid, with what a compose file would add."""
    data: Mapping[str, Any] = yaml.safe_load(render_configuration(made))
    variants = {
        name: {**({"build": "."} if made.compose else {}), **(body or {})} for name, body in data["variants"].items()
    }
    Config.model_validate({**data, "compose": None, "variants": variants})
    return {**data, "variants": {name: body or {} for name, body in data["variants"].items()}}


def write_compose(**services: object) -> str:
    return yaml.safe_dump({"services": services})
