"""The same trials give the same result: stored runs are judged again, and no value may differ."""

import pytest
from tests.unit.compare.replay import NAMES, assemble_replay, read_replay, take_values

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", NAMES)
def test_assemble__gives_a_stored_run_the_values_that_it_had(name: str) -> None:
    replay = read_replay(name)
    values = take_values(assemble_replay(replay))
    assert sorted(values) == sorted(replay["values"])
    for field, stored in replay["values"].items():
        assert values[field] == stored, field


def test_replays__cover_every_way_to_compare_and_every_kind_of_warning() -> None:
    results = [read_replay(name)["values"] for name in NAMES]
    comparisons = [comparison for result in results for comparison in result["comparisons"]]
    assert {comparison["method"] for comparison in comparisons} == {"duet", "interleaved", "solo", "count"}
    assert {comparison["kind"] for comparison in comparisons} == {"revision", "variant"}
    verdicts = {"improved", "unchanged", "regressed", "inconclusive", "measured"}
    assert {comparison["verdict"] for comparison in comparisons} == verdicts
    assert {result["verdict"] for result in results} >= {"regressed", "invalid", "inconclusive", "measured"}
    dropped = {"block-dropped", "blocks-dropped"}
    assert dropped & {warning["code"] for result in results for warning in result["warnings"]}
