"""Validate a new item."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

_MAX_LENGTH = 1000


class JSONCharField(forms.CharField):
    """A `CharField` for JSON: a number is not a text."""

    def to_python(self, value: object) -> str | None:
        """Strip the white space around the text; anything that is not a string is an error."""
        if not isinstance(value, str):
            raise ValidationError("must be a string", code="invalid")
        return super().to_python(value)


class ItemForm(forms.Form):
    """Validates a decoded JSON object. A text of white space only is valid, and becomes empty."""

    text = JSONCharField(
        required=False,
        max_length=_MAX_LENGTH,
        error_messages={
            "max_length": "must be at most %(limit_value)d characters",
            "null_characters_not_allowed": "contains a character that cannot be stored",
        },
    )

    def clean(self) -> dict[str, Any]:
        """Refuse unknown fields, which a browser's form would ignore."""
        for name in self.data.keys() - self.fields.keys():
            self.add_error(None, ValidationError("%(name)s: unknown field", params={"name": name}))
        return self.cleaned_data

    def reasons(self) -> str:
        """Describe what is wrong: the first reason for each field, in alphabetical order."""
        unknown = [str(message) for message in self.non_field_errors()]
        known = [f"{name}: {messages[0]}" for name, messages in self.errors.items() if name in self.fields]
        return "; ".join(sorted(unknown + known))
