"""The action's inputs: `action.yml` as a checked model. Each comes as a variable `INPUT_NAME`, unset ones empty."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench_action.config.control import AUTO
from bench_action.config.load import PRESETS
from bench_action.history import DEFAULT_BRANCH
from bench_action.model.errors import InputError


def _listed(value: object) -> object:
    """`a, b` or a line for each, as people write lists into workflows."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _preset(value: str) -> str:
    if value not in PRESETS:
        raise ValueError(f"a preset is {', '.join(PRESETS)}")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Inputs(BaseModel):
    """What a workflow's `with:` says. Defaults are those of `action.yml`; a test holds them together."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"))

    config: Path | None = None
    preset: Annotated[str, BeforeValidator(_preset)] = "ci"
    baseline: str = "auto"
    rules: Literal["base", "head"] = "base"
    require_comparison: bool = False
    variants: Names = ()
    profiles: Names = ()
    max_minutes: float | None = Field(None, gt=0, allow_inf_nan=False)
    fail_on: Literal["regression", "invalid", "never"] = "regression"
    comment: Literal["auto", "never"] = "auto"
    comment_key: str = "bench-action"
    summary: bool = True
    output: Path = Path("bench-results")
    publish: str = ""
    history_branch: str = DEFAULT_BRANCH
    control: str = AUTO
    trend_issue: bool = False
    matrix: str = ""
    github_token: str = Field("", repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """From the variables, whose hyphens GitHub keeps. Raises InputError naming every input that is wrong."""
        given: dict[str, Any] = {}
        for name in cls.model_fields:
            key = name.replace("_", "-")
            if value := environ.get(f"INPUT_{key.upper()}", "").strip():
                given[key] = value
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = [f"`{fault['loc'][0]}`: {fault['msg']}" for fault in error.errors(include_url=False)]
            raise InputError("an input of the action is wrong", cause="; ".join(faults)) from error
