"""Head and base of a run, and the note on an error if head ran with base's services."""

from pathlib import Path

import pytest
from tests.git import git
from tests.quiet import Quiet

from bench_action.config.baseline import Baseline
from bench_action.config.load import Project, load_policy
from bench_action.config.options import Options
from bench_action.config.rules import AppliedRules, RulesOwner
from bench_action.config.schema import Config
from bench_action.git.revisions import Revisions, load_revisions
from bench_action.model.errors import InputError, StackError
from bench_action.model.result import RuleChange, Source

pytestmark = pytest.mark.unit

CONFIG = """\
variants:
  web: {image: "web:1"}
  old: {image: "old:1"}
profiles:
  list: {connections: 4, threads: 2, duration: 1}
"""


def revisions(rules: AppliedRules) -> Revisions:
    config = Config.model_validate({"variants": {"a": {"image": "x"}, "b": {"image": "y"}}})
    project = Project(config, load_policy("ci"), "ci", Path(), "bench.yml")
    return Revisions(Source(), project, Baseline(project), rules)


def test_explain__points_at_services_that_head_changes_and_did_not_get() -> None:
    change = RuleChange(what="service postgres", before="postgres:17", after="postgres:18")
    error = StackError("web exited with status 1")
    revisions(AppliedRules("base", (change,))).explain(error)
    (note,) = error.__notes__
    assert "service postgres" in note
    assert "--rules head" in note


@pytest.mark.parametrize("rules", ["base", "head"])
def test_explain__adds_nothing_if_no_service_changed_or_head_got_its_own(rules: str) -> None:
    what = "gate on requests/s" if rules == "base" else "service postgres"
    error = StackError("web exited with status 1")
    revisions(AppliedRules(rules, (RuleChange(what=what, before="1", after="2"),))).explain(error)  # type: ignore[arg-type]
    assert not hasattr(error, "__notes__")


def test_load_revisions__without_a_base_is_head_with_the_whole_time_for_its_pairs(tmp_path: Path) -> None:
    (tmp_path / "bench.yml").write_text(CONFIG, encoding="utf-8")
    options = Options(tmp_path / "bench.yml", "ci", ("web",), max_minutes=0.5)
    with load_revisions(options, {}, Quiet()) as found:
        assert (list(found.head.config.variants), found.base) == (["web"], None)
        assert (found.head.policy.minutes, found.head.policy.duet.seconds) == (0.5, 30.0)


def test_load_revisions__a_self_test_compares_head_with_itself(tmp_path: Path) -> None:
    (tmp_path / "bench.yml").write_text(CONFIG, encoding="utf-8")
    with load_revisions(Options(tmp_path / "bench.yml", self_test=True), {}, Quiet()) as found:
        assert found.base is not None
        assert found.base.project.config.variants == found.head.config.variants


class Listener(Quiet):
    """Keeps the steps that are reported."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)


@pytest.mark.parametrize(("rules", "kept"), [("base", ["org/app:main"]), ("head", ["org/app:main", "org/app:mine"])])
def test_load_revisions__leaves_out_a_cache_that_base_does_not_name(
    tmp_path: Path, rules: RulesOwner, kept: list[str]
) -> None:
    config = CONFIG + "services: {}\n"
    own = config.replace('web: {image: "web:1"}', "web: {build: {context: ., cache_from: [org/app:main]}}")
    (tmp_path / "Dockerfile").write_text("FROM x", encoding="utf-8")
    (tmp_path / "bench.yml").write_text(own, encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "base")
    (tmp_path / "bench.yml").write_text(own.replace("app:main", "app:main, org/app:mine"), encoding="utf-8")
    progress = Listener()
    with load_revisions(Options(tmp_path / "bench.yml", baseline="HEAD", rules=rules), {}, progress) as found:
        build = found.head.config.variants["web"].build
    assert build is not None
    assert build.cache_from == kept
    notes = [text for text in progress.steps if "web: ignored cache_from org/app:mine, which base" in text]
    assert len(notes) == (rules == "base")


def test_load_revisions__a_pair_of_unknown_variants_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "bench.yml").write_text(CONFIG, encoding="utf-8")
    options = Options(tmp_path / "bench.yml", compare=(("web", "new"),))
    with pytest.raises(InputError, match="new"), load_revisions(options, {}, Quiet()):
        pass
