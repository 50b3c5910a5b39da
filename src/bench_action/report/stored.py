"""Results that runs have written, read back."""

from pathlib import Path

from pydantic import ValidationError

from bench_action.model.errors import InputError
from bench_action.model.result import Result


def read_result(path: Path) -> Result:
    """One `result.json`. Raises InputError that names the first thing that is wrong."""
    try:
        return Result.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is no result of bench-action: {where}: {first['msg']}") from error
