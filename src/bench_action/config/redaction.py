"""Hide secret values in everything that a run shows, writes, sends and raises."""

import base64
import dataclasses
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast, get_args
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from bench_action.model.errors import BenchError

_SHORTEST = 6  # characters: a shorter value would hide parts of ordinary words
_HIDDEN = "***"
_CUT = "…"
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_Value = TypeVar("_Value")


class Redaction:
    """Replaces secret values by `***`: as they are, line by line, and as base64, URL, JSON, HTML and Python write them.

    Values of fewer than six characters are not hidden.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.forms: tuple[str, ...] = ()  # the longest first
        self._pattern: re.Pattern[str] | None = None
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Hide more values."""
        added = {form for value in values for form in _list_forms(value) if len(form) >= _SHORTEST}
        self.forms = tuple(sorted({*self.forms, *added}, key=lambda form: (-len(form), form)))
        self._pattern = re.compile("|".join(map(re.escape, self.forms))) if self.forms else None

    def hide(self, value: _Value) -> _Value:
        """Return a value with all secrets in its texts hidden: a text, error, model, data class, list or mapping."""
        return cast(_Value, self._hide(value)) if self._pattern is not None else value

    def _hide(self, value: Any) -> Any:
        if type(value) is str:  # members of enumerations have fixed values
            return self._hide_text(value)
        if isinstance(value, bytes):
            return self._hide_text(value.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        if isinstance(value, BenchError):
            return self._hide_error(value)
        if isinstance(value, BaseModel):
            return value.model_copy(update={name: self._hide_field(value, name, item) for name, item in value})
        return self._hide_parts(value)

    def _hide_parts(self, value: Any) -> Any:
        """Hide secrets in the parts of a data class or a collection; anything else has none."""
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [part.name for part in dataclasses.fields(value) if part.init]
            return dataclasses.replace(value, **{name: self._hide(getattr(value, name)) for name in names})
        if isinstance(value, dict):
            return {self._hide(key): self._hide(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            items = [self._hide(item) for item in value]
            return value._make(items) if hasattr(value, "_make") else type(value)(items)
        return value

    def _hide_field(self, model: BaseModel, name: str, value: Any) -> Any:
        """Hide secrets in a field of a model, unless it only allows certain texts, such as verdicts."""
        free = _allows_text(type(model).model_fields[name].annotation)
        return self._hide(value) if free or not isinstance(value, str) else value

    def _hide_error(self, error: BenchError) -> BenchError:
        for name in ("what", "where", "cause", "advice", "log"):
            setattr(error, name, self._hide(getattr(error, name)))
        error.args = self._hide(error.args)
        if notes := getattr(error, "__notes__", None):
            error.__notes__ = self._hide(notes)
        return error

    def _hide_text(self, text: str) -> str:
        if self._pattern is None:
            return text
        first, *others = self._pattern.sub(_HIDDEN, text).split(_CUT)
        parts = [first, *map(self._hide_beginning, others)]
        return _CUT.join([*map(self._hide_end, parts[:-1]), parts[-1]])

    def _hide_end(self, text: str) -> str:
        """Hide the beginning of a secret at the end of a text that was cut there."""
        for form in self.forms:
            for length in range(min(len(form), len(text)), _SHORTEST - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + _HIDDEN
        return text

    def _hide_beginning(self, text: str) -> str:
        """Hide the end of a secret at the beginning of a text that was cut there."""
        for form in self.forms:
            for length in range(min(len(form), len(text)), _SHORTEST - 1, -1):
                if text.startswith(form[-length:]):
                    return _HIDDEN + text[length:]
        return text


def _list_forms(value: str) -> Iterator[str]:
    """List the forms in which a value may be written, and those of each of its lines."""
    for text in {value, value.strip(), *map(str.strip, value.splitlines())} - {""}:
        data = text.encode(errors="surrogateescape")  # a variable need not be UTF-8
        yield from (text, html.escape(text), repr(text)[1:-1], repr(data)[2:-1])
        yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
        for encoded in (quote(data), quote(data, safe=""), quote_plus(data)):
            yield encoded
            yield _PERCENT.sub(lambda match: match[0].lower(), encoded)
        yield from _list_base64(data)


def _list_base64(data: bytes) -> Iterator[str]:
    """List `data` in base64, and what is the same in base64 of all texts that contain it, at any of three places."""
    whole = base64.b64encode(data).decode("ascii")
    inner = [whole]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode("ascii")
        ends_within = (before + len(data)) % 3 != 0
        inner.append(encoded[(0, 2, 3)[before] :].rstrip("=")[: -1 if ends_within else None])
    for text in inner:
        yield text
        yield text.replace("+", "-").replace("/", "_")


def _allows_text(annotation: Any) -> bool:
    """Whether a field's type allows any text."""
    return annotation is str or any(_allows_text(part) for part in get_args(annotation))
