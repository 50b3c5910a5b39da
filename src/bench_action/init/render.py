"""Write a draft as `bench.yml`, and the workflow that uses it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import yaml
from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from bench_action.init.builds import Build
from bench_action.init.draft import Draft, name_profiles
from bench_action.init.routes.route import Route
from bench_action.init.runtimes import WARMUP_S

_MINUTES_AROUND, _MINUTES_OF_A_PROFILE = 3, 6  # eight blocks of the JVM take 7 minutes, five take 4.5
_URLS = (("postgres", "DATABASE_URL"), ("mysql", "DATABASE_URL"), ("redis", "REDIS_URL"))
_NAMES = {
    "mysql": "MySQL",
    "mongo": "MongoDB",
    "rabbitmq": "RabbitMQ",
    "memcached": "Memcached",
    "elasticsearch": "Elasticsearch",
    "mssql": "SQL Server",
    "kafka": "Kafka",
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
            build=_describe_build(draft.build),
            compose=_describe_compose(draft) if draft.compose else "",
            ready=_describe_ready(draft),
            urls=", ".join(name for kind, name in _URLS if kind in draft.services),
            unset=[setting.name for setting in draft.compose_env if not setting.active],
            names=_NAMES,
            active=[setting for setting in draft.settings if setting.active],
            inactive=[setting for setting in draft.settings if not setting.active],
            profiles=named[: len(draft.profiles)],
            literal=[(name, route) for name, route in others if route.is_literal],
            parameters=[(name, route) for name, route in others if not route.is_literal],
            make_profile=partial(_make_profile, draft),
            make_request=partial(_make_request, draft),
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def compute_minutes(draft: Draft) -> int:
    """Compute the longest time in minutes for pairs that need a long warm-up in each block; 0 for others."""
    return _MINUTES_AROUND + _MINUTES_OF_A_PROFILE * len(draft.profiles) if draft.compiler else 0


def render_workflow(
    configuration: str, draft: Draft, env_files: Sequence[tuple[str, str]] = (), lost_files: Sequence[str] = ()
) -> str:
    """Render the workflow for pull requests. `configuration`: the path of `bench.yml` in the repository.

    `env_files`: files to make before, and the examples that they are copied from. `lost_files`: those without one.
    """
    minutes = compute_minutes(draft)
    template = _make_environment().get_template("benchmark.yml.j2")
    return template.render(
        config=configuration,
        env_files=env_files,
        lost_files=lost_files,
        compiler=draft.compiler,
        minutes=minutes,
    )


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
    if not isinstance(value, str):
        return value
    return "".join(character if character.isprintable() else " " for character in value)


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


def _make_request(draft: Draft, route: Route) -> Mapping[str, object]:
    return {"path": route.path, **({"headers": draft.headers.all} if draft.headers.all else {})}


def _make_profile(draft: Draft, route: Route) -> Mapping[str, object]:
    warmup = {"warmup": f"{WARMUP_S}s"} if draft.compiler else {}
    return {**_make_request(draft, route), "connections": 64, "threads": 2, "duration": "5s", **warmup}


def _describe_ready(draft: Draft) -> Mapping[str, object]:
    """Describe the probe: a page, or, if its path is empty, the image's HEALTHCHECK."""
    if draft.ready is None or not draft.ready.value:
        return {"healthcheck": True}
    host = {"host": draft.headers.host} if draft.headers.host else {}
    others: dict[str, object] = {"headers": dict(draft.headers.others)} if draft.headers.others else {}
    others |= {"status": [200, 401, 403]} if draft.ready.login else {}
    return {"path": draft.ready.value, **host, **others}


def _describe_compose(draft: Draft) -> object:
    files = draft.compose[0] if len(draft.compose) == 1 else list(draft.compose)
    others: dict[str, object] = {"profiles": list(draft.compose_profiles)} if draft.compose_profiles else {}
    env = {setting.name: setting.value for setting in draft.compose_env if setting.active}
    others |= {"env": env} if env else {}
    return {"file": files, **others} if others else files


def _describe_build(build: Build | None) -> object:
    if build is None:
        return ""
    others = {"dockerfile": build.dockerfile} if build.dockerfile != "Dockerfile" else {}
    others |= {"target": build.target} if build.target else {}
    return {"context": build.context, **others} if others else build.context
