"""What a run measures of the subjects that came up."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench_action.config.load import load_project
from bench_action.plan.blocks import Block, Cell
from bench_action.plan.design import Design, make_design

pytestmark = pytest.mark.unit

BOTH = [("django", "head"), ("aiohttp", "head"), ("aiohttp", "base")]


def design(*, duets: bool = True, compare: tuple[tuple[str, str], ...] = ()) -> Design:
    return make_design(BOTH, ["small", "large"], compare, duets=duets, seed=3)


def make_blocks(chosen: Design, preset: str, most: int = 200) -> list[Block]:
    """Make the first blocks of a plan that may be very long."""
    project = load_project(Path("apps/bench.yml"), preset)
    return [block for block, _ in zip(chosen.make_blocks(project), range(most), strict=False)]


def test_make_design__pairs_what_has_both_revisions() -> None:
    chosen = design()
    assert len(chosen.cells) == 6
    assert [str(pair) for pair in chosen.pairs] == ["aiohttp · small", "aiohttp · large"]
    assert all(pair.base.revision == "base" and pair.head.revision == "head" for pair in chosen.pairs)


def test_make_design__pairs_the_requested_variants() -> None:
    chosen = design(compare=(("django", "aiohttp"), ("django", "flask")))
    assert [str(pair) for pair in chosen.pairs if pair.kind == "variant"] == [
        "aiohttp against django · small",
        "aiohttp against django · large",
    ]


def test_make_blocks__come_phase_by_phase_with_duets_last_and_latency_after_the_first_of_them() -> None:
    blocks = make_blocks(design(), "ci")
    phases = [block.phase for block in blocks]
    assert list(dict.fromkeys(phases)) == ["count", "capacity", "duet"]
    assert phases.count("capacity") == 2
    shared = [block for block in blocks if block.then is not None]
    assert [(block.phase, block.number) for block in shared] == [("duet", n) for n in range(1, 6) for _ in range(2)]
    for block in shared:
        own, then = block.parts
        assert (own, then.phase, then.number, then.pair) == (block, "latency", block.number, block.pair)


def test_make_blocks__with_one_cpu_take_turns_instead() -> None:
    assert {block.phase for block in make_blocks(design(duets=False), "ci")} >= {"interleaved"}
    assert "duet" not in {block.phase for block in make_blocks(design(duets=False), "ci")}
    shared = [block.then.phase for block in make_blocks(design(duets=False), "ci") if block.then is not None]
    assert shared == ["latency"] * 10


def test_make_blocks__without_pairs_end_after_capacity() -> None:
    alone = make_design([("django", "head")], ["small"], (), duets=True, seed=3)
    assert [block.phase for block in make_blocks(alone, "quick")] == ["count"] * 6 + ["capacity"] * 5


def test_make_blocks__variants_have_no_latency_phase() -> None:
    pair = make_design(
        [("django", "head"), ("aiohttp", "head")], ["small"], (("django", "aiohttp"),), duets=True, seed=3
    )
    parts = [part.phase for block in make_blocks(pair, "ci", most=20) for part in block.parts]
    assert "duet" in parts
    assert "latency" not in parts


def test_make_design__a_cell_that_base_lacks_is_measured_alone() -> None:
    lacking = Cell("aiohttp", "head", "large")
    chosen = make_design(BOTH, ["small", "large"], (), duets=True, seed=3, without={lacking})
    assert [str(pair) for pair in chosen.pairs] == ["aiohttp · small"]
    assert lacking in chosen.cells
    assert Cell("aiohttp", "base", "large") not in chosen.cells


def test_make_timetable__includes_how_long_subjects_take_to_start() -> None:
    project = load_project(Path("apps/bench.yml"), "ci", profiles=["ci-64"])
    chosen = make_design(BOTH, ["ci-64"], (), duets=True, seed=3, boot_s=8.0)
    times = chosen.make_timetable(project)
    assert (times.pairs, times.revisions, times.limit_s) == (1, 1, 300)
    assert times.duet_s == pytest.approx(8.0 + 1.5 + 1 + 4)
    assert times.capacity_s == pytest.approx(3 * 2.3)


def test_make_blocks__slices_of_duets_are_longer_if_subjects_start_slowly() -> None:
    lengths = {}
    for boot_s in (1.0, 20.0):
        chosen = make_design(
            [("aiohttp", "base"), ("aiohttp", "head")], ["ci-64"], (), duets=True, seed=3, boot_s=boot_s
        )
        project = load_project(Path("apps/bench.yml"), "ci", profiles=["ci-64"])
        duets = [block for block in make_blocks(chosen, "ci", most=30) if block.phase == "duet"]
        lengths[boot_s] = {step.slice_s for block in duets for step in block.steps}
        assert lengths[boot_s] == {chosen.make_timetable(project).duet.slice}
    assert lengths == {1.0: {4}, 20.0: {7}}


def test_describe_starts__says_how_many_blocks_a_slow_start_leaves() -> None:
    project = load_project(Path("apps/bench.yml"), "ci")
    slow = make_design(BOTH, list(project.profiles), (), duets=True, seed=3, boot_s=61.0)
    text = slow.describe_starts(project)
    assert text.startswith("each block restarts its subjects, which take 61 s to start: about ")
    short = replace(project, policy=project.policy.model_copy(update={"minutes": 2.0}))
    assert "too few to decide" in slow.describe_starts(short)
    assert replace(slow, boot_s=2.0).describe_starts(project) == ""
    assert replace(slow, pairs=()).describe_starts(project) == ""


def test_describe_starts__says_nothing_of_scripts_which_have_no_duets(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "buy.js").touch()
    text = "services: {}\nvariants: {web: {build: .}}\nprofiles: {buy: {k6: buy.js, rate: 5/s}}\n"
    (tmp_path / "bench.yml").write_text(text)
    project = load_project(tmp_path / "bench.yml", "ci")
    chosen = make_design([("web", "base"), ("web", "head")], ["buy"], (), duets=True, seed=3, boot_s=12.0)
    assert [str(pair) for pair in chosen.list_rated(project)] == ["web · buy"]
    assert chosen.make_timetable(project).limit_s == 300
    assert chosen.describe_starts(project) == ""


def test_make_timetable__includes_how_long_data_take_to_be_copied_in_the_blocks_that_copy_them() -> None:
    project = load_project(Path("apps/bench.yml"), "ci", profiles=["ci-64"])
    pair = make_design(BOTH, ["ci-64"], (), duets=True, seed=3, boot_s=2.0, renewal_s=40.0)
    times = pair.make_timetable(project)
    assert times.renewal_s == 20.0  # the two swap slots in half of the blocks
    assert times.duet_s == pytest.approx(2.0 + 1.5 + 20.0 + 1 + 4)
    assert times.capacity_s == pytest.approx(3 * 2.3)  # subjects stay in their slots while they are measured alone
    several = make_design(BOTH, ["ci-64"], (("django", "aiohttp"),), duets=True, seed=3, renewal_s=40.0)
    assert several.make_timetable(project).renewal_s == 30.0
    writing = project.profiles["ci-64"].model_copy(update={"method": "POST"})
    project = replace(project, config=project.config.model_copy(update={"profiles": {"ci-64": writing}}))
    assert pair.make_timetable(project).renewal_s == 40.0
    assert pair.make_timetable(project).capacity_s == pytest.approx(3 * (2.3 + 40.0 + 2.0 + 1.5 + 1))


def test_describe_starts__names_the_data_if_copying_them_takes_the_time() -> None:
    project = load_project(Path("apps/bench.yml"), "ci", profiles=["ci-64"])
    large = make_design(BOTH, ["ci-64"], (), duets=True, seed=3, boot_s=2.0, renewal_s=120.0)
    text = large.describe_starts(project)
    assert text.startswith(
        "each block restarts its subjects, which take 2 s to start, and every second time copies their data again, "
        "which takes 120 s: about 2 blocks"
    )
    assert text.endswith("too few to decide: allow more time or a smaller seed")
    assert large.estimate(project)[1] == 300  # the limit
    assert replace(large, renewal_s=0.4).describe_starts(project) == ""


def test_make_blocks__rates_and_objectives_come_before_duets_and_scripts_have_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "buy.js").touch()
    load = "{path: /, connections: 4, threads: 2, duration: 1s"
    profiles = f"  list: {load}, rate: 60%, slo: {{p99: 1s}}}}\n  plain: {load}}}\n  buy: {{k6: buy.js, rate: 5/s}}\n"
    (tmp_path / "bench.yml").write_text(
        f"services: {{}}\nvariants: {{web: {{build: .}}, old: {{build: .}}}}\nprofiles:\n{profiles}"
    )
    project = load_project(tmp_path / "bench.yml", "ci")
    names = [("web", "head"), ("web", "base"), ("old", "head")]
    chosen = make_design(names, list(project.profiles), (), duets=True, seed=3)
    blocks = [block for block, _ in zip(chosen.make_blocks(project), range(200), strict=False)]
    phases = {(block.phase, str(block.pair)) for block in blocks}
    pairs = {pair: {phase for phase, other in phases if other == f"web · {pair}"} for pair in project.profiles}
    assert pairs == {"list": {"rate", "slo", "duet"}, "plain": {"duet"}, "buy": {"rate"}}
    capacity = {step.cells[0].profile for block in blocks if block.phase == "capacity" for step in block.steps}
    assert capacity == {"list", "plain"}
    alone = [block for block in blocks if block.phase in {"rate", "slo"} and block.pair is None]
    cells = {(block.phase, str(step.cells[0])) for block in alone for step in block.steps}
    assert cells == {("rate", "old · list"), ("rate", "old · buy"), ("slo", "old · list")}  # which have no base
    order = list(dict.fromkeys(block.phase for block in blocks))
    assert order == ["count", "capacity", "rate", "slo", "duet"]
    turns = next(block for block in blocks if block.phase == "rate" and block.pair is not None)
    assert sorted(step.cells[0].revision for step in turns.steps) == ["base", "head"]
    assert chosen.make_timetable(project).pairs == 2
