"""Schemas of an OpenAPI 3.0 document: validate a value, or complete it to the smallest valid one."""

import json
from typing import Any

from jsonschema.exceptions import best_match
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource

_BASE = "urn:github"
_SHOWN = 150
_TEXTS = {
    "uri": "https://filled.invalid/",
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "email": "filled@filled.invalid",
}
_SCALARS = {"integer": 1, "number": 1.0, "boolean": False}

ABSENT: Any = object()


class Schemas:
    """The schemas of one document, which may refer to each other."""

    def __init__(self, text: str) -> None:
        # absolute references, so that a schema can be used outside of the document
        self.document: dict[str, Any] = json.loads(text.replace('"#/', f'"{_BASE}#/'), object_hook=_correct)
        if not self.document["openapi"].startswith("3.0."):
            raise ValueError(f"{self.document['openapi']} is not the version of OpenAPI that is supported")
        self._registry: Registry[Any] = Registry().with_resource(_BASE, Resource.opaque(self.document))

    def resolve(self, node: Any) -> Any:
        """Return what a reference refers to; anything else is returned unchanged."""
        while "$ref" in node:
            target: Any = self.document
            for step in node["$ref"].removeprefix(f"{_BASE}#/").split("/"):
                target = target[step.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def component(self, kind: str, name: str) -> Any:
        return self.document["components"][kind][name]

    def find_objection(self, schema: Any, value: Any) -> str:
        """Say where and why a value does not match the schema; empty if it does."""
        validator = OAS30Validator(schema, registry=self._registry, format_checker=oas30_format_checker)
        error = best_match(validator.iter_errors(value))
        return f"{error.json_path}: {shorten(error.message)}" if error else ""

    def fill(self, schema: Any, value: Any = ABSENT) -> Any:
        """Add what the schema requires and the value lacks. Optional properties are not added."""
        schema = self.resolve(schema)
        if value is None or (value is ABSENT and schema.get("nullable")):
            return None
        for several in ("oneOf", "anyOf"):
            if several in schema:
                return self._fill_one_of(schema, several, value)
        schema = self._merge(schema)
        if "properties" in schema or schema.get("type") == "object":
            return self._fill_object(schema, value)
        if schema.get("type") == "array":
            return self._fill_array(schema, value)
        return _make_scalar(schema) if value is ABSENT else value

    def _fill_one_of(self, schema: Any, several: str, value: Any) -> Any:
        filled = [self.fill(branch, value) for branch in schema[several]]
        whole = {several: schema[several]}
        return next((candidate for candidate in filled if not self.find_objection(whole, candidate)), filled[0])

    def _merge(self, schema: Any) -> Any:
        """Merge the properties and the required names of all parts of a schema."""
        merged = dict(schema)
        for part in map(self.resolve, merged.pop("allOf", ())):
            inner = self._merge(part)
            merged = {**inner, **merged}
            merged["properties"] = {**inner.get("properties", {}), **merged.get("properties", {})}
            merged["required"] = [*inner.get("required", ()), *merged.get("required", ())]
        return merged

    def _fill_object(self, schema: Any, value: Any) -> Any:
        if value is not ABSENT and not isinstance(value, dict):
            return value
        given = {} if value is ABSENT else value
        known = schema.get("properties", {})
        names = {**dict.fromkeys(schema.get("required", ())), **given}
        return {name: self.fill(known.get(name, {}), given.get(name, ABSENT)) for name in names}

    def _fill_array(self, schema: Any, value: Any) -> Any:
        if value is not ABSENT and not isinstance(value, list):
            return value
        given = [ABSENT] * schema.get("minItems", 0) if value is ABSENT else value
        return [self.fill(schema.get("items", {}), item) for item in given]


def shorten(text: str) -> str:
    """Cut the middle of a message, which begins with a possibly long value and ends with what is wrong."""
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]} … {text[-_SHOWN:]}"


def _correct(node: dict[str, Any]) -> dict[str, Any]:
    """Correct a schema to what GitHub means.

    In OpenAPI 3.0 an allowed null must be among an enum's values and in one of the branches, and a list has no property
    that a discriminator could use.
    """
    for name in ("enum", "oneOf", "anyOf"):
        if node.get("nullable") is True and isinstance(node.get(name), list):
            node[name] = [*node[name], None if name == "enum" else {"enum": [None], "nullable": True}]
    if "oneOf" in node:
        node.pop("discriminator", None)
    return node


def _make_scalar(schema: Any) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    if kind in ("integer", "number"):
        return schema.get("minimum", _SCALARS[kind])
    return _SCALARS.get(kind, _TEXTS.get(schema.get("format", ""), "filled"))
