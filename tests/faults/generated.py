"""Random values from a JSON Schema: most fit it, some are just outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.faults.mutations import NUMBERS, TEXTS, make_value

_DEEPEST = 7
_NAMES = ("web", "api", "shop", "a", "web-2", "postgres", "redis", "db", "list", "home")
# texts for the patterns of our schema, as none of them is guessed
_EXAMPLES = (
    *_NAMES,
    "/",
    "/items?a=1",
    "/run:size=64m",
    "GET",
    "POST",
    "2xx",
    "TOKEN",
    "postgres:17",
    "nofile",
    "x-note",
    "5 %",
    "10s",
    "500ms",
    "python -m http.server",
    "'unclosed",
    "seed.sql",
    ".",
    "Dockerfile",
    "requests_per_second",
    "type=gha",
)
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Generator:
    """Makes values. `noise`: which share of them is of any kind at all, or outside of what the schema says."""

    definitions: Mapping[str, Schema]
    chance: Random
    noise: float

    def make(self, schema: Schema, depth: int = 0) -> Any:
        """Make a value for a schema."""
        if self.chance.random() < self.noise:
            return make_value(self.chance)
        if reference := schema.get("$ref"):
            return self.make(self.definitions[reference.rpartition("/")[2]], depth)
        if choices := schema.get("anyOf"):
            return self.make(self.chance.choice(choices), depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.chance.choice(schema["enum"])
        return self._make_by_type(schema, depth)

    def _make_by_type(self, schema: Schema, depth: int) -> Any:
        match schema.get("type"):
            case "object":
                return self._make_object(schema, depth + 1)
            case "array":
                return self._make_array(schema, depth + 1)
            case "string":
                return self.chance.choice(TEXTS if self.chance.random() < self.noise else _EXAMPLES)
            case "integer" | "number":
                return self._make_number(schema)
            case "boolean" | "null":
                return self.chance.random() < 0.5 if schema["type"] == "boolean" else None
            case _:
                return make_value(self.chance)

    def _make_object(self, schema: Schema, depth: int) -> dict[Any, Any]:
        required = set(schema.get("required", ()))
        share = 0.0 if depth > _DEEPEST else self.chance.choice((0.05, 0.2, 0.5))
        made = {
            name: self.make(part, depth)
            for name, part in schema.get("properties", {}).items()
            if self.chance.random() < (1 - self.noise if name in required else share)
        }
        others = schema.get("additionalProperties")
        parts = [others] if isinstance(others, dict) else []
        parts += [part for pattern, part in schema.get("patternProperties", {}).items() if pattern != "^x-"]
        for part in parts:
            for _ in range(self.chance.choice((0, 1, 1, 2, 3))):
                made[self.chance.choice(_EXAMPLES)] = self.make(part, depth)
        return made

    def _make_array(self, schema: Schema, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems")
        return [
            self.make(part, depth) for part in fixed or [schema.get("items", {})] * self.chance.choice((0, 1, 1, 2, 4))
        ]

    def _make_number(self, schema: Schema) -> Any:
        if self.chance.random() < self.noise:
            return self.chance.choice(NUMBERS)
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        return self.chance.choice((low, low + 1, schema.get("maximum", 16), 2, 4))
