"""Our workflows and the examples: they match GitHub's schemas, pin actions, and have only the rights they need."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema  # type: ignore[import-untyped]
from click.testing import CliRunner

pytestmark = pytest.mark.unit

_ROOT = Path(__file__).parents[2]
_ACTION = _ROOT / "action.yml"
_REUSABLE = _ROOT / ".github/workflows/benchmark.yml"
_WORKFLOWS = sorted([*_ROOT.glob(".github/workflows/*.y*ml"), *_ROOT.glob("examples/*.y*ml")])
_DEPENDABOT = _ROOT / ".github/dependabot.yml"
_OURS = re.compile(r"org/bench-action(/\.github/workflows/(?:benchmark|sharded)\.yml)?@v1")
_PINNED = re.compile(r"[\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
_USES = re.compile(r"^\s*(?:- )?uses: (.+)$", re.MULTILINE)
# in a script, text that others write would be code; the same rule applies to what GitHub itself writes
_FOREIGN = re.compile(r"\$\{\{[^}]*\b(?:github\.event\b|github\.head_ref|inputs\.|needs\.|steps\.)")

each_workflow = pytest.mark.parametrize("path", _WORKFLOWS, ids=lambda path: str(path.relative_to(_ROOT)))


def _load(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _triggers(workflow: Mapping[Any, Any]) -> dict[str, Any]:
    on = workflow[True]  # YAML 1.1 reads `on` as a truth value
    return on if isinstance(on, dict) else dict.fromkeys([on] if isinstance(on, str) else on)


def _jobs(workflow: Mapping[Any, Any]) -> Iterator[Mapping[str, Any]]:
    yield from workflow["jobs"].values()


def _steps(workflow: Mapping[Any, Any]) -> Iterator[Mapping[str, Any]]:
    """Every step, and every job that calls a workflow."""
    for job in _jobs(workflow):
        yield from job.get("steps", [job])


def _calls(workflow: Mapping[Any, Any], *names: str) -> Iterator[Mapping[str, Any]]:
    """The inputs of each use of our action or workflow."""
    for step in _steps(workflow):
        if step.get("uses", "").rpartition("@")[0] in names or step.get("uses") in names:
            yield step.get("with", {})


def _fault(given: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    unknown = sorted(set(given) - set(inputs))
    missing = sorted(name for name, one in inputs.items() if one.get("required") and not given.get(name))
    return f"unknown: {unknown}, missing: {missing}" if unknown or missing else ""


def test_workflows__are_those_that_the_readme_and_the_releases_need() -> None:
    assert _ACTION.exists()
    assert {path.stem for path in _WORKFLOWS} >= {
        *("benchmark", "self-benchmark", "publish-fork-results", "ci", "release"),
        *("pull-request", "fork-safe-benchmark", "fork-safe-publish", "label-or-comment", "schedule"),
    }


@pytest.mark.parametrize(
    ("schema", "files"),
    [("github-workflows", _WORKFLOWS), ("github-actions", [_ACTION]), ("dependabot", [_DEPENDABOT])],
    ids=["workflows", "action", "dependabot"],
)
def test_schema__is_what_github_accepts(schema: str, files: list[Path]) -> None:
    found = CliRunner().invoke(check_jsonschema, ["--builtin-schema", f"vendor.{schema}", *map(str, files)])
    assert found.exit_code == 0, found.output


@each_workflow
def test_uses__pins_actions_of_others_by_commit_and_names_the_version(path: Path) -> None:
    used = _USES.findall(path.read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for step in _steps(_load(path)))
    for use in used:
        reference = use.partition(" #")[0].strip()
        assert reference.startswith("./") or _OURS.fullmatch(reference) or _PINNED.match(use), use


def test_uses__pins_each_action_to_one_commit() -> None:
    """Dependabot updates all files together; a forgotten one would otherwise stay behind unnoticed."""
    commits: dict[str, set[str]] = {}
    for path in _WORKFLOWS:
        for use in _USES.findall(path.read_text(encoding="utf-8")):
            if _PINNED.match(use):
                name, _, rest = use.partition("@")
                commits.setdefault(name, set()).add(rest)
    assert {name: found for name, found in commits.items() if len(found) > 1} == {}


@each_workflow
def test_permissions__are_only_those_that_a_job_requests(path: Path) -> None:
    workflow = _load(path)
    assert workflow["permissions"] == {}
    assert all(isinstance(job["permissions"], dict) for job in _jobs(workflow))


@each_workflow
def test_trigger__never_runs_a_pull_request_with_the_rights_of_base(path: Path) -> None:
    workflow = _load(path)
    triggers = _triggers(workflow)
    assert "pull_request_target" not in triggers
    if "workflow_run" in triggers:
        assert not any(step.get("uses", "").startswith(("actions/checkout@", "./")) for step in _steps(workflow))
        assert not any("run" in step for step in _steps(workflow))


@each_workflow
def test_checkout__leaves_no_token_behind(path: Path) -> None:
    checkouts = [step for step in _steps(_load(path)) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@each_workflow
def test_run__reads_text_of_others_only_from_the_environment(path: Path) -> None:
    for step in _steps(_load(path)):
        assert not _FOREIGN.search(step.get("run", "")), step["name"]


@each_workflow
def test_job__has_a_timeout(path: Path) -> None:
    assert all("timeout-minutes" in job or "uses" in job for job in _jobs(_load(path)))


@each_workflow
def test_inputs__are_those_of_the_action(path: Path) -> None:
    action = _load(_ACTION)["inputs"]
    for given in _calls(_load(path), "./", "org/bench-action"):
        assert not _fault(given, action)


@each_workflow
def test_inputs__are_those_of_the_reusable_workflow(path: Path) -> None:
    inputs = _triggers(_load(_REUSABLE))["workflow_call"]["inputs"]
    for given in _calls(_load(path), "org/bench-action/.github/workflows/benchmark.yml"):
        assert not _fault(given, inputs)


def test_reusable_workflow__passes_on_every_input_with_the_action_s_default() -> None:
    workflow, action = _load(_REUSABLE), _load(_ACTION)["inputs"]
    inputs = _triggers(workflow)["workflow_call"]["inputs"]
    (given,) = _calls(workflow, "org/bench-action")
    # token and leg are the job's own, publishing another job's result is a separate workflow, and so is a history
    assert given["history-branch"] == "none"
    # passwords and other secrets are secrets of the call
    secret = {"registries", "secrets"}
    assert {name: given[name] for name in secret} == {name: f"${{{{ secrets.{name} }}}}" for name in secret}
    assert set(_triggers(workflow)["workflow_call"]["secrets"]) == secret
    given = {name: value for name, value in given.items() if name not in {"history-branch", *secret}}
    # parts of a run are measured by sharded.yml
    # hosts need a key of the caller's own
    hosts = {"hosts", "ssh-key", "known-hosts"}
    own = {*hosts, "github-token", "publish", "shard", "merge", "matrix", "history-branch", "trend-issue", *secret}
    assert set(given) == set(action) - own
    assert given == {name: f"${{{{ inputs.{name} }}}}" for name in given}
    assert {name: inputs[name]["default"] for name in given} == {
        name: action[name].get("default", "") for name in given
    }


def test_reusable_workflow__offers_nothing_that_its_jobs_may_not_do() -> None:
    """GitHub refuses a call whose caller grants less than every job of the called workflow declares."""
    workflow = _load(_REUSABLE)
    inputs = _triggers(workflow)["workflow_call"]["inputs"]
    assert [job["permissions"] for job in _jobs(workflow)] == [{"contents": "read", "pull-requests": "write"}]
    assert not {"history-branch", "trend-issue"} & set(inputs)
    granted = {"contents": "read", "pull-requests": "write"}
    assert (
        f"permissions: {{{', '.join(f'{name}: {level}' for name, level in granted.items())}}}"
        in _REUSABLE.read_text(encoding="utf-8")
    ), "the head of the file must name what callers have to grant"


def test_histories__are_kept_by_jobs_that_may_write_them() -> None:
    """On the default branch a job appends to the history, and opens an issue if requested."""
    for path in (_ROOT / "examples/schedule.yml", _ROOT / ".github/workflows/trend.yml"):
        (job,) = [
            one
            for one in _jobs(_load(path))
            if any(step.get("uses", "") in {"./", "org/bench-action@v1"} for step in one["steps"])
        ]
        assert job["permissions"] == {"contents": "write", "issues": "write"}


def test_reusable_workflow__passes_on_every_output() -> None:
    workflow, outputs = _load(_REUSABLE), set(_load(_ACTION)["outputs"])
    assert set(_triggers(workflow)["workflow_call"]["outputs"]) == outputs
    assert set(workflow["jobs"]["benchmark"]["outputs"]) == outputs


def test_shards__are_merged_from_the_artifacts_that_were_uploaded_and_commented_on_by_the_last_job_only() -> None:
    for path in (_ROOT / ".github/workflows/sharded.yml", _ROOT / "examples/sharded.yml"):
        jobs = _load(path)["jobs"]
        measure, report = jobs["measure"], jobs["report"]
        (upload,) = [step["with"] for step in measure["steps"] if "upload-artifact@" in step.get("uses", "")]
        (fetch,) = [step["with"] for step in report["steps"] if "download-artifact@" in step.get("uses", "")]
        (measured,) = _calls({"jobs": {"": measure}}, "org/bench-action")
        (merged,) = _calls({"jobs": {"": report}}, "org/bench-action")
        assert fetch["pattern"] == upload["name"].replace("${{ matrix.shard }}", "*")
        assert merged["merge"] == fetch["path"]
        assert measured["shard"].startswith("${{ matrix.shard }}/")
        assert upload["path"] == "bench-results"
        assert report["needs"] == "measure"
        assert report["if"] == "${{ !cancelled() }}"
        assert measure["strategy"]["fail-fast"] is False
        assert [name for name, job in jobs.items() if "pull-requests" in job["permissions"]] == ["report"]


def test_sharded_workflow__has_the_inputs_of_the_other_one_with_its_defaults() -> None:
    inputs = _triggers(_load(_ROOT / ".github/workflows/sharded.yml"))["workflow_call"]["inputs"]
    known = _triggers(_load(_REUSABLE))["workflow_call"]["inputs"]
    assert set(inputs) - set(known) == {"shards"}
    assert set(known) - set(inputs) == {"output", "control"}
    assert all(inputs[name].get("default") == known[name].get("default") for name in set(inputs) & set(known))


def test_fork_results__are_published_from_the_artifact_that_was_uploaded() -> None:
    """A `workflow_run` names the other workflow, and `publish` its artifact."""
    for measures, publishes in [
        (".github/workflows/self-benchmark.yml", ".github/workflows/publish-fork-results.yml"),
        ("examples/fork-safe-benchmark.yml", "examples/fork-safe-publish.yml"),
    ]:
        measuring, publishing = _load(_ROOT / measures), _load(_ROOT / publishes)
        assert _triggers(publishing)["workflow_run"]["workflows"] == [measuring["name"]]
        steps = measuring["jobs"]["benchmark"]["steps"]
        (upload,) = [step for step in steps if step.get("uses", "").startswith("actions/upload-artifact@")]
        (given,) = _calls(publishing, "org/bench-action")
        assert given["publish"] == upload["with"]["name"]


def test_unchanged_code__is_measured_every_week_on_each_type_of_runner_and_kept_in_the_history() -> None:
    workflow = _load(_ROOT / ".github/workflows/self-benchmark.yml")
    assert "schedule" in _triggers(workflow)
    job = workflow["jobs"]["unchanged"]
    assert {"ubuntu-24.04", "ubuntu-24.04-arm"} <= set(job["strategy"]["matrix"]["runner"])
    assert job["permissions"] == {"contents": "write"}
    (given,) = [step["with"] for step in job["steps"] if step.get("uses") == "./"]
    assert given["baseline"] == "${{ github.sha }}"
    assert given["fail-on"] == "never"
    assert "history-branch" not in given, "trend.yml publishes the ledger of the default branch's history"
