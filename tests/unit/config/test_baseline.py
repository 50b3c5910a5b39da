"""What base lacks excludes the variants that it affects, and never ends the run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.git import git

from bench_action.config.baseline import load_base, require_own_choice
from bench_action.config.load import Project, load_project
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

COMMIT = "1a2b3c4d5e6f"
HEAD = """\
services: {postgres: {image: "postgres:17"}}
seed: seed.sql
variants:
  web: {build: ., ready: {path: /health}}
  extra: {build: extra}
profiles:
  list: {path: /list, connections: 8, threads: 2, duration: 1s}
"""

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a folder with these files; None leaves a file out."""

    def make(name: str, **files: str | None) -> Path:
        every = {"bench.yml": HEAD, "seed.sql": "SELECT 1;", "Dockerfile": "FROM x", "extra/Dockerfile": "FROM x"}
        names = {"config": "bench.yml", "seed": "seed.sql", "dockerfile": "Dockerfile", "extra": "extra/Dockerfile"}
        for path, text in (every | {names[key]: text for key, text in files.items()}).items():
            if text is not None:
                (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name / path).write_text(text, encoding="utf-8")
        return tmp_path / name

    return make


@pytest.fixture
def head(tree: Tree) -> Project:
    return load_project(tree("head") / "bench.yml", "ci")


def test_load_base__that_has_everything_lacks_nothing(head: Project, tree: Tree) -> None:
    base = load_base(head, tree("base"), COMMIT)
    assert (base.valid, base.lacks, list(base.profiles)) == (True, {}, ["list"])
    assert list(base.project.config.variants) == ["web", "extra"]
    assert base.project.folder == tree("base")


def test_load_base__without_a_configuration_head_introduces_the_benchmark(head: Project, tree: Tree) -> None:
    base = load_base(head, tree("base", config=None, seed=None, extra=None), COMMIT)
    assert not base.valid
    assert {name: (lack.status, lack.reason) for name, lack in base.lacks.items()} == {
        "web": ("new", "base `1a2b3c4` has no `bench.yml` or `seed.sql`"),
        "extra": ("new", "base `1a2b3c4` has no `bench.yml`, `seed.sql` or `extra/Dockerfile`"),
    }
    assert base.project.config.variants == {}


@pytest.mark.parametrize(
    ("names", "moved_from", "missed"),
    [
        (["compose.yml", "bench.yml"], "", "bench.yml"),
        (["docker-compose.yml", "compose.yaml"], "", "compose.yaml"),
        (["docker-compose.yml", "compose.yaml"], "compose.yaml", ""),  # it has another name only
        (["compose.yaml", "compose.yml"], "", ""),  # head's would be chosen in base as well
        (["compose.yaml"], "", ""),
        (["load.yml", "bench.yml"], "", ""),  # a name that is never chosen
    ],
)
def test_require_own_choice__misses_what_would_be_chosen_in_base(
    head: Project, tmp_path: Path, names: list[str], moved_from: str, missed: str
) -> None:
    base = tmp_path / "other"
    for folder, files in ((tmp_path / "own", names[:1]), (base, names)):
        folder.mkdir()
        for name in files:
            (folder / name).write_text("services: {}", encoding="utf-8")
    own = replace(head, folder=tmp_path / "own", file=names[0])
    if not missed:
        require_own_choice(own, base, COMMIT, moved_from=moved_from)
        return
    with pytest.raises(InputError, match=f"^no {missed} found, and base 1a2b3c4 has one"):
        require_own_choice(own, base, COMMIT, moved_from=moved_from)


def test_load_base__that_adopts_heads_configuration(head: Project, tree: Tree) -> None:
    base = load_base(head, tree("base", config=None, seed=None, extra=None), COMMIT, adopts=True)
    assert list(base.project.config.variants) == ["web"]
    assert base.project.folder == tree("base", config=None)
    assert base.project.folder / str(base.project.config.seed[0].file) == head.folder / "seed.sql"
    assert base.lacks["extra"].reason == "base `1a2b3c4` has no `extra/Dockerfile`"


def test_load_base__an_invalid_configuration_is_replaced_by_heads(head: Project, tree: Tree) -> None:
    base = load_base(head, tree("base", config=HEAD + "sede: x\n", extra=None), COMMIT)
    assert not base.valid
    assert list(base.project.config.variants) == ["web"]
    assert (base.lacks["extra"].status, base.lacks["extra"].reason) == (
        "new",
        "base `1a2b3c4` has no `extra/Dockerfile`",
    )


def test_load_base__a_new_variant_excludes_only_itself(head: Project, tree: Tree) -> None:
    without = HEAD.replace("  extra: {build: extra}\n", "  gone: {build: extra}\n")
    base = load_base(head, tree("base", config=without), COMMIT)
    assert {name: lack.reason for name, lack in base.lacks.items()} == {
        "extra": "base `1a2b3c4` has no variant `extra`"
    }
    assert (list(base.project.config.variants), base.removed) == (["web"], ("gone",))


def test_load_base__a_dockerfile_that_base_names_and_lacks_is_an_error_of_base(head: Project, tree: Tree) -> None:
    base = load_base(head, tree("base", extra=None), COMMIT)
    assert {name: lack.status for name, lack in base.lacks.items()} == {"extra": "base-failed"}


def test_load_base__keeps_its_own_seed(head: Project, tree: Tree) -> None:
    base = load_base(head, tree("base"), COMMIT)
    assert base.project.folder / str(base.project.config.seed[0].file) == tree("base") / "seed.sql"


@pytest.mark.parametrize("config", [HEAD, HEAD.replace("seed: seed.sql\n", "")])
def test_load_base__uses_heads_seed_if_it_has_none(head: Project, tree: Tree, config: str) -> None:
    base = load_base(head, tree("base", config=config, seed=None), COMMIT)
    assert base.lacks == {}
    assert base.project.folder / str(base.project.config.seed[0].file) == head.folder / "seed.sql"


def test_load_base__without_any_seed_cannot_be_compared(tree: Tree) -> None:
    head = load_project(tree("head", config=HEAD.replace("seed: seed.sql\n", "")) / "bench.yml", "ci")
    base = load_base(head, tree("base", seed=None), COMMIT)
    assert {lack.reason for lack in base.lacks.values()} == {"base `1a2b3c4` has no `seed.sql`"}
    assert {lack.status for lack in base.lacks.values()} == {"base-failed"}


def test_load_base__follows_a_configuration_that_was_moved(tree: Tree) -> None:
    folder = tree("head")
    git(folder, "init", "--quiet")
    (folder / "bench").mkdir()
    moved = HEAD.replace("build: .,", "build: ..,").replace("build: extra", "build: ../extra")
    (folder / "bench" / "bench.yml").write_text(moved.replace("seed.sql", "../seed.sql"), encoding="utf-8")
    head = load_project(folder / "bench" / "bench.yml", "ci")
    base = load_base(head, tree("base") / "bench", COMMIT, moved_from="../bench.yml")
    assert (base.valid, base.lacks, base.project.folder) == (True, {}, tree("base"))


def test_load_base__is_narrowed_like_head(tree: Tree) -> None:
    head = load_project(tree("head") / "bench.yml", "ci", variants=["web"], profiles=["list"])
    both = HEAD + "  item: {path: /item, connections: 8, threads: 2, duration: 1s}\n"
    base = load_base(head, tree("base", config=both), COMMIT, variants=["web"], profiles=["list"])
    assert (list(base.project.config.variants), list(base.profiles), base.lacks) == (["web"], ["list"], {})
    assert base.removed == ()
