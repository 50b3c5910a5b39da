"""Validate a new item."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

_REASONS = {
    "extra_forbidden": "unknown field",
    "missing": "must be a string",
    "string_type": "must be a string",
    "string_too_long": "must be at most {max_length} characters",
    "string_pattern_mismatch": "contains a character that cannot be stored",  # NUL, in PostgreSQL
}


def _strip(value: object) -> object:
    """Remove the white space around a text before its length is checked."""
    return value.strip() if isinstance(value, str) else value


class NewItem(BaseModel):
    """The body of a request for a new item. A text of white space only is valid, and becomes empty."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$"), BeforeValidator(_strip)]


def reasons(invalid: ValidationError) -> str:
    """Describe what is wrong: one reason for each field, in alphabetical order."""
    return "; ".join(
        sorted(
            f"{error['loc'][0]}: {_REASONS[error['type']].format(**error.get('ctx', {}))}"
            for error in invalid.errors(include_url=False, include_input=False)
        )
    )
