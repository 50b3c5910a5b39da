"""Inputs of the action: the model, `action.yml` and the README's table agree."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench_action.action.inputs import Inputs
from bench_action.engine.docker.credentials import Login
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]


def action() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return content


def test_inputs__are_those_of_action_yml_with_its_defaults() -> None:
    declared = action()["inputs"]
    fields = {name.replace("_", "-") for name in Inputs.model_fields}
    assert set(declared) == fields
    from_the_job = {"github-token": "${{ github.token }}", "matrix": "${{ toJSON(matrix) }}"}
    given = {
        f"INPUT_{name.upper()}": declaration["default"]
        for name, declaration in declared.items()
        if name not in from_the_job
    }
    assert Inputs.read(given) == Inputs()
    assert {name: declared[name]["default"] for name in from_the_job} == from_the_job


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_readme__has_a_row_for_each(part: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, declaration in action()[part].items():
        row = next((line for line in readme.splitlines() if line.startswith(f"| `{name}` |")), "")
        assert row, f"the README has no row for the {part[:-1]} {name}"
        default = declaration.get("default", "")
        if default and not default.startswith("${{"):
            assert f"`{default}`" in row, f"the README has another default for {name}"


def test_inputs__accept_lists_with_commas_and_lines() -> None:
    inputs = Inputs.read({"INPUT_VARIANTS": "a, b\nc", "INPUT_PROFILES": "", "INPUT_MAX-MINUTES": " 2.5 "})
    assert (inputs.variants, inputs.profiles, inputs.max_minutes) == (("a", "b", "c"), (), 2.5)


def test_inputs__accept_secrets_by_name_or_with_a_value() -> None:
    inputs = Inputs.read({"INPUT_SECRETS": "A, B\nC=x, y=z\n\n D = w\n"})
    assert inputs.secrets == {"A": None, "B": None, "C": "x, y=z", "D": " w"}
    secrets = inputs.allow_secrets({"A": "of the step", "C": "not this", "GITHUB_TOKEN": "ghs_x"})
    assert secrets.values == {"A": "of the step", "C": "x, y=z", "D": " w"}
    assert "B" in secrets.allowed
    assert "x, y" not in repr(inputs)


def test_inputs__a_secret_of_several_lines_is_refused_without_a_word_of_it() -> None:
    inputs = Inputs.read({"INPUT_SECRETS": "KEY=-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w==\n-----END KEY-----"})
    with pytest.raises(InputError, match="could not allow a secret") as caught:
        inputs.allow_secrets({})
    assert "MIIE" not in str(caught.value)


def test_inputs__accept_a_login_a_line() -> None:
    text = "ghcr.io someone s3cret pass\n\n  localhost:5000 me  x \nregistry.of.a.fork someone \n"
    inputs = Inputs.read({"INPUT_REGISTRIES": text})
    assert inputs.registries == (Login("ghcr.io", "someone", "s3cret pass"), Login("localhost:5000", "me", "x"))
    assert "s3cret" not in repr(inputs)


def test_inputs__a_wrong_registry_is_named_without_its_password() -> None:
    with pytest.raises(InputError, match="an input of the action is invalid") as caught:
        Inputs.read({"INPUT_REGISTRIES": "\nhttps://ghcr.io someone s3cret"})
    assert "`registries`: Value error, line" in caught.value.cause
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX-MINUTES", "0"),
        ("MAX-MINUTES", "inf"),
        ("MAX-MINUTES", "soon"),
        ("PRESET", "slow"),
        ("FAIL-ON", "always"),
        ("COMMENT", "yes"),
        ("SUMMARY", "perhaps"),
    ],
)
def test_inputs__that_are_invalid_are_named(name: str, value: str) -> None:
    with pytest.raises(InputError) as caught:
        Inputs.read({f"INPUT_{name}": value})
    assert f"`{name.lower()}`" in str(caught.value)


def test_inputs__do_not_show_the_token() -> None:
    assert "ghs_secret" not in repr(Inputs.read({"INPUT_GITHUB-TOKEN": "ghs_secret"}))
