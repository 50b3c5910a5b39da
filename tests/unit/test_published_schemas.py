"""The schemas in docs/ are those of the models, and hold what they promise."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bench_action.config.schema import Config
from bench_action.model.result import Result

pytestmark = pytest.mark.unit

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("file", "model", "mode"),
    [("bench.schema.json", Config, "validation"), ("result.schema.json", Result, "serialization")],
)
def test_published_schema__is_that_of_the_model(file: str, model: type[BaseModel], mode: Any) -> None:
    published = json.loads((_DOCS / file).read_text(encoding="utf-8"))
    assert published.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert published == model.model_json_schema(mode=mode), "run `make schemas`"
