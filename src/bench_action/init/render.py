"""Write a draft as `bench.yml`, and the workflow that uses it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import yaml
from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from bench_action.init.draft import Draft, name_profiles
from bench_action.init.routes.route import Route
from bench_action.init.runtimes import WARMUP_S

_IMAGES = {
    "postgres": '{image: "postgres:17", settings: {max_connections: 500}}',
    "redis": '{image: "redis:8"}',
}
_MINUTES_AROUND, _MINUTES_OF_A_PROFILE = 3, 6  # eight blocks of the JVM take 7 minutes, five take 4.5
_NAMES = {
    "mysql": "MySQL",
    "mongo": "MongoDB",
    "rabbitmq": "RabbitMQ",
    "memcached": "Memcached",
    "elasticsearch": "Elasticsearch",
}


def render_configuration(draft: Draft) -> str:
    """Render `bench.yml`, with a comment for each part."""
    named = name_profiles([*draft.profiles, *draft.others])
    others = named[len(draft.profiles) :]
    text = (
        _make_environment()
        .get_template("bench.yml.j2")
        .render(
            draft=draft,
            build=_describe_build(draft),
            compose=_describe_compose(draft),
            images=_IMAGES,
            names=_NAMES,
            active=[setting for setting in draft.settings if setting.active],
            inactive=[setting for setting in draft.settings if not setting.active],
            profiles=named[: len(draft.profiles)],
            literal=[(name, route) for name, route in others if route.is_literal],
            parameters=[(name, route) for name, route in others if not route.is_literal],
            make_profile=partial(_make_profile, warmup_s=WARMUP_S if draft.compiler else None),
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def compute_minutes(draft: Draft) -> int:
    """Compute the longest time in minutes for pairs that need a long warm-up in each block; 0 for others."""
    return _MINUTES_AROUND + _MINUTES_OF_A_PROFILE * len(draft.profiles) if draft.compiler else 0


def render_workflow(configuration: str, draft: Draft, env_files: Sequence[tuple[str, str]] = ()) -> str:
    """Render the workflow for pull requests. `configuration`: the path of `bench.yml` in the repository.

    `env_files`: files to make before, and the examples that they are copied from.
    """
    minutes = compute_minutes(draft)
    template = _make_environment().get_template("benchmark.yml.j2")
    return template.render(config=configuration, env_files=env_files, compiler=draft.compiler, minutes=minutes)


def _make_environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        loader=PackageLoader("bench_action.init"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_keep_on_one_line,
    )
    environment.filters.update(yaml=_write_yaml, text=_write_text, shell=shlex.quote)
    return environment


def _keep_on_one_line(value: Any) -> Any:
    """Keep names that come from a repository inside their comment."""
    return " ".join(value.split("\n")).replace("\r", " ") if isinstance(value, str) else value


def _write_yaml(value: Any) -> str:
    """Write a value on one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
        .removesuffix("...\n")
        .strip()
    )


def _write_text(value: str) -> str:
    """Write a text in quotes, so that nobody reads a placeholder as a mapping."""
    return yaml.safe_dump(value, default_style='"', width=10**6, allow_unicode=True).strip()


def _make_profile(route: Route, warmup_s: int | None) -> Mapping[str, object]:
    warmup = {} if warmup_s is None else {"warmup": f"{warmup_s}s"}
    return {"path": route.path, "connections": 64, "threads": 2, "duration": "5s", **warmup}


def _describe_compose(draft: Draft) -> object:
    return (
        {"file": draft.compose, "profiles": list(draft.compose_profiles)} if draft.compose_profiles else draft.compose
    )


def _describe_build(draft: Draft) -> object:
    context, dockerfile = draft.build or (".", "Dockerfile")
    return context if dockerfile == "Dockerfile" else {"context": context, "dockerfile": dockerfile}
