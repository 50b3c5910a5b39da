"""GitHub's own description of its REST API, which requests and answers are checked against."""

import functools
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.github.exchange import Answer, Request
from tests.github.schemas import Schemas

_SCRIPT = Path(__file__).with_name("description.sh")
_SLASHES = ("basehead", "path", "ref")  # parameters whose values may contain slashes: branches and paths


@dataclass(frozen=True)
class Operation:
    """A method of a path, such as GET /repos/{owner}/{repo}/issues."""

    method: str
    path: str
    pattern: re.Pattern[str]
    parameters: list[Any]
    body: Any
    responses: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def schema(self, where: str, name: str) -> Any:
        """Return the schema of a parameter in "path" or "query"; None if there is no such parameter."""
        schemas = (known["schema"] for known in self.parameters if known["in"] == where and known["name"] == name)
        return next(schemas, None)


class Description:
    """The operations, with their schemas."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        described = schemas.document["paths"]
        self.operations = {
            (method.upper(), path): self._operation(method.upper(), path, operation)
            for path, operations in described.items()
            for method, operation in operations.items()
        }

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """Find the operation of a request, and the parameters in its path."""
        for operation in self.operations.values():
            if operation.method == method and (match := operation.pattern.fullmatch(path)):
                return operation, {name: unquote(value) for name, value in match.groupdict().items()}
        return None

    def check_request(self, operation: Operation, request: Request, in_path: Mapping[str, str]) -> list[str]:
        """List everything in the request that the operation does not describe."""
        found = [self._check_parameter(operation, "path", *item) for item in in_path.items()]
        found += [self._check_parameter(operation, "query", *item) for item in request.query.items()]
        required = {one["name"] for one in operation.parameters if one["in"] == "query" and one.get("required")}
        found += [f"query: {name} is missing" for name in sorted(required - request.query.keys())]
        found += self._check_body(operation, request.body)
        return [f"{request}: {one}" for one in found if one]

    def complete(self, operation: Operation, answer: Answer) -> Answer:
        """The answer with everything that its schema requires."""
        schema = self._answer_schema(operation, answer.status)
        if schema is None or answer.body is None or isinstance(answer.body, bytes):
            return answer
        return replace(answer, body=self._schemas.fill(schema, answer.body))

    def check_answer(self, operation: Operation, answer: Answer) -> list[str]:
        """List everything in the answer that the operation does not describe, which is an error of the double."""
        schema = self._answer_schema(operation, answer.status)
        if isinstance(answer.body, bytes):
            objection = ""  # the raw media type
        elif schema is None:
            objection = "" if answer.body is None else f"{answer.status} has a body"
        else:
            objection = self._schemas.find_objection(schema, answer.body)
        if answer.status < 400 and str(answer.status) not in operation.responses:
            objection = f"{answer.status} is not described"
        return [f"answer to {operation}: {objection}"] if objection else []

    def _operation(self, method: str, path: str, described: Any) -> Operation:
        groups = re.sub(
            r"\{(\w+)\}", lambda match: f"(?P<{match[1]}>{'.*' if match[1] in _SLASHES else '[^/]+'})", path
        )
        content = described.get("requestBody", {}).get("content", {})
        return Operation(
            method=method,
            path=path,
            pattern=re.compile(groups),
            parameters=[self._schemas.resolve(one) for one in described.get("parameters", ())],
            body=content.get("application/json", {}).get("schema"),
            responses={status: self._schemas.resolve(one) for status, one in described["responses"].items()},
        )

    def _check_parameter(self, operation: Operation, where: str, name: str, value: str) -> str:
        schema = operation.schema(where, name)
        if schema is None:
            return f"{where}: unknown parameter {name}"
        objection = self._schemas.find_objection(schema, convert(schema, value))
        return f"{where}: {name}: {objection}" if objection else ""

    def _check_body(self, operation: Operation, body: Any) -> list[str]:
        if operation.body is None:
            return [] if body is None else ["body: this operation takes none"]
        schema = self._schemas.resolve(operation.body)
        if isinstance(body, bytes):
            return ["body: it is not JSON"]
        if objection := self._schemas.find_objection(schema, body):
            return [f"body: {objection}"]
        return [f"body: unknown property {name}" for name in body if name not in schema.get("properties", body)]

    def _answer_schema(self, operation: Operation, status: int) -> Any:
        """Return the schema of an answer, None if it has no body. Undescribed refusals (401) have a common one."""
        if str(status) not in operation.responses and status >= 400:
            return self._schemas.component("schemas", "basic-error")
        content = operation.responses.get(str(status), {}).get("content", {})
        return content.get("application/json", {}).get("schema")


def convert(schema: Any, value: str) -> Any:
    """Convert a parameter's text to the type in its schema; the text itself if that is impossible."""
    if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", value):
        return int(value)
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return value


@functools.cache
def load() -> Description:
    """Load GitHub's description, which is downloaded with npm if it is not cached."""
    done = subprocess.run([str(_SCRIPT)], stdout=subprocess.PIPE, text=True, check=True)
    return Description(Schemas(Path(done.stdout.strip()).read_text(encoding="utf-8")))
