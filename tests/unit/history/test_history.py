"""Append, read, mark and thin in a place in memory, while other writers interfere."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.history.places import NOW, Memory, lose_answer, make_history, make_record

from bench_action.history.history import choose_pause_s
from bench_action.history.layout import INDEX, README, Index, name_blob, parse_index
from bench_action.history.record import Record
from bench_action.history.store import InconsistencyError, UncertainError
from bench_action.model.errors import InputError, PublishError
from bench_action.stats.shift import WINDOW

pytestmark = pytest.mark.unit

SHARD = "records/2026-11.jsonl"


def _identify(record: Record) -> tuple[str, str]:
    return record.run_id, record.variant


def runs(place: Memory) -> list[str]:
    return [record.run_id for record in make_history(place).read()]


def another_writer(place: Memory, run: str) -> Callable[[], None]:
    """Another writer, which appends its own run."""

    def append() -> None:
        make_history(place).append([make_record(run)])

    return append


def test_append__creates_month_index_and_readme() -> None:
    place = Memory()
    assert make_history(place).append([make_record(), make_record(variant="django")]) == 2
    assert set(place.files) == {SHARD, INDEX, README}
    shard = parse_index(place.files[INDEX], "").shards[SHARD]
    assert (shard.records, shard.first, shard.last) == (2, "2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z")
    assert shard.cells == ("aiohttp · article-500", "django · article-500")
    assert shard.blob == name_blob(place.files[SHARD])
    assert place.messages == ["Append 2 records of run-1"]


def test_append__of_the_same_run_makes_no_duplicate() -> None:
    place = Memory()
    assert make_history(place).append([make_record(), make_record()]) == 1
    before = place.now
    assert make_history(place).append([make_record(), make_record(variant="django")]) == 0
    assert make_history(place).append([]) == 0
    assert place.now == before


def test_append__only_adds_to_a_month() -> None:
    place = Memory()
    make_history(place).append([make_record()])
    before = place.files[SHARD]
    make_history(place).append([make_record("run-2")])
    assert place.files[SHARD].startswith(before)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 11), st.booleans()), max_size=12))
def test_append__in_any_order_and_number_neither_loses_nor_doubles_a_record(steps: list[tuple[int, int, bool]]) -> None:
    place = Memory()
    written: dict[str, list[Record]] = {}
    history = make_history(place)
    for number, month, together in steps:
        run = f"run-{number}"
        at = f"2026-{month:02}-{1 + number:02}T10:00:00Z"  # one per day, so none is thinned within a year
        records = [make_record(run, at, name) for name in ("a", "b")[: 1 + together]]
        assert history.append(records) == (0 if run in written else len(records))
        written.setdefault(run, records)
    found = list(history.read())
    expected = [record for records in written.values() for record in records]
    assert sorted(found, key=_identify) == sorted(expected, key=_identify)
    times = [record.at for record in found]
    assert times == sorted(times)
    assert history.index().records == len(expected)


def test_append__tries_again_after_a_conflict() -> None:
    place = Memory()
    for n in range(3):
        place.before_write.append(another_writer(place, f"other-{n}"))
    assert make_history(place).append([make_record("mine")]) == 1
    assert sorted(runs(place)) == ["mine", "other-0", "other-1", "other-2"]


def test_append__of_a_run_that_another_writer_has_just_appended_counts_nothing() -> None:
    place = Memory()
    place.before_write.append(another_writer(place, "run-1"))
    assert make_history(place).append([make_record()]) == 0
    assert runs(place) == ["run-1"]


def test_append__whose_answer_is_lost_finds_that_it_succeeded() -> None:
    place = Memory()

    def lose() -> None:
        version = place.now
        make_history(place).append([make_record("other")])
        raise UncertainError("no answer", version=version)

    place.after_write.append(lose)
    assert make_history(place).append([make_record()]) == 1
    assert sorted(runs(place)) == ["other", "run-1"]


def test_append__gives_up_on_a_place_that_never_answers() -> None:
    place = Memory()
    place.before_write = [lose_answer] * 9
    with pytest.raises(PublishError, match="4 tries") as caught:
        make_history(place).append([make_record()])
    assert "no answer" in caught.value.cause
    assert place.now == ""


def test_append__gives_up_when_its_time_is_over() -> None:
    place = Memory()
    place.before_write = [another_writer(place, f"other-{n}") for n in range(9)]
    with pytest.raises(PublishError, match="in 1 tries"):
        make_history(place, patience_s=0.0).append([make_record()])


def test_append__puts_a_run_of_a_clock_that_went_back_into_its_own_month_and_warns() -> None:
    place, warnings = Memory(), list[str]()
    history = make_history(place, warnings)
    history.append([make_record("new")])
    history.append([make_record("a little older", "2026-11-22T23:00:00Z")])
    assert warnings == []
    history.append([make_record("reset", "1970-01-01T00:00:10Z")])
    assert "records/1970-01.jsonl" in place.files
    assert "a clock went back" in warnings[0]
    assert [record.run_id for record in history.read()] == ["reset", "a little older", "new"]


def test_append__refuses_a_run_from_the_future_and_warns() -> None:
    place, warnings = Memory(), list[str]()
    history = make_history(place, warnings)
    assert history.append([make_record("ahead", "2099-01-01T00:00:00Z")]) == 0
    assert place.files == {}
    ahead = make_record("a time zone ahead", "2026-11-27T11:00:00Z")
    assert history.append([make_record("ahead", "2099-01-01T00:00:00Z"), make_record("now"), ahead]) == 2
    assert [record.run_id for record in history.read()] == ["now", "a time zone ahead"]
    assert len(warnings) == 2
    assert "2099-01-01T00:00:00Z is from the future" in warnings[-1]
    assert history.index().newest == "2026-11-27T11:00:00Z"


def test_read__only_needed_months_and_cells() -> None:
    place = Memory()
    history = make_history(place)
    for month in range(1, 12):
        history.append([make_record(f"run-{month}", f"2026-{month:02}-23T10:00:00Z", "a" if month % 2 else "b")])
    assert [record.run_id for record in history.read("2026-10")] == ["run-10", "run-11"]
    assert [record.run_id for record in history.read("2026-10-23T12:00:00+02:00")] == ["run-10", "run-11"]
    assert [record.run_id for record in history.read("2026-10-23T10:00:01Z")] == ["run-11"]
    assert [record.run_id for record in history.read("2026-09", ["a · article-500"])] == ["run-9", "run-11"]
    assert history.index().find_shards("2026-09", ["a · article-500"]) == ["records/2026-09.jsonl", SHARD]
    with pytest.raises(InputError, match="not a time"):
        list(history.read("soon"))


def test_read__of_an_empty_history_is_empty() -> None:
    assert list(make_history().read()) == []
    assert make_history().index() == Index()


@pytest.mark.parametrize(
    "files", [{"index.html": b"x"}, {README: b"# Shop"}, {INDEX: b'{"mine": 1}'}, {"src/records/2026-11.jsonl": b""}]
)
def test_foreign_files__are_refused_and_left_alone(files: dict[str, bytes]) -> None:
    place = Memory(files)
    with pytest.raises(InputError, match="files that are not a history") as caught:
        make_history(place).append([make_record()])
    assert "another branch" in caught.value.advice
    assert place.files == files


def test_other_files__next_to_a_history_are_kept() -> None:
    place = Memory()
    make_history(place).append([make_record()])
    place._put({**place.files, "CNAME": b"example.org"})
    make_history(place).append([make_record("run-2")])
    assert place.files["CNAME"] == b"example.org"


def broken_index(files: dict[str, bytes]) -> None:
    files[INDEX] = files[INDEX][:-9]


def newer_index(files: dict[str, bytes]) -> None:
    files[INDEX] = json.dumps({**json.loads(files[INDEX]), "schema_version": 2}).encode()


def wrong_index(files: dict[str, bytes]) -> None:
    files[INDEX] = json.dumps({**json.loads(files[INDEX]), "shards": 3}).encode()


def edited_month(files: dict[str, bytes]) -> None:
    files[SHARD] = files[SHARD].replace(b"991", b"992")


def lost_month(files: dict[str, bytes]) -> None:
    del files[SHARD]


def unknown_month(files: dict[str, bytes]) -> None:
    files["records/2026-10.jsonl"] = files[SHARD]


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (broken_index, InputError, "could not read"),
        (wrong_index, InputError, "`shards`"),
        (newer_index, InputError, "update bench-action"),
        (edited_month, InconsistencyError, "does not match the index"),
        (lost_month, InconsistencyError, "is missing"),
        (unknown_month, InconsistencyError, "is not in the index"),
    ],
)
def test_damage__is_reported_and_nothing_overwritten(
    damage: Callable[[dict[str, bytes]], None], error: type[Exception], message: str
) -> None:
    place = Memory()
    make_history(place).append([make_record()])
    files = dict(place.files)
    damage(files)
    place._put(files)
    for action in (
        lambda: make_history(place).append([make_record("run-2")]),
        lambda: list(make_history(place).read()),
    ):
        with pytest.raises(error) as caught:
            action()
        assert message in str(caught.value)
        warns = f"changes of the last {WINDOW} records will be reported again" in str(caught.value)
        assert warns == ("delete" in str(caught.value))
    assert place.files == files


def test_broken_line__is_reported_with_its_number() -> None:
    place = Memory()
    make_history(place).append([make_record()])
    files = dict(place.files)
    files[SHARD] += b'{"schema_version": 1, "run": "x"}\n'
    del files[INDEX]
    place._put(files)
    for action in (
        lambda: make_history(place).append([make_record("run-2")]),
        lambda: list(make_history(place).read()),
    ):
        with pytest.raises(InputError, match="broken") as caught:
            action()
        assert caught.value.where == f"memory, {SHARD}, line 2"
        assert f"changes of the last {WINDOW} records will be reported again" in caught.value.advice
    assert place.files == files


def test_index__that_is_missing_is_rebuilt() -> None:
    place = Memory()
    history = make_history(place)
    history.append([make_record(), make_record("run-2", "2026-10-23T10:00:00Z")])
    index = history.index()
    place._put({path: content for path, content in place.files.items() if path != INDEX})
    assert history.index() == index
    assert history.append([make_record()]) == 0
    assert parse_index(place.files[INDEX], "") == index


def test_index__with_a_time_that_is_no_time_is_refused() -> None:
    place = Memory()
    make_history(place).append([make_record()])
    index = place.files[INDEX].replace(b"2026-11-23T10:00:00Z", b"@octocat")
    with pytest.raises(InputError, match=r"could not read index\.json"):
        parse_index(index, "")


def test_branch__that_moved_back_is_reported() -> None:
    place = Memory()
    history = make_history(place)
    history.append([make_record()])
    old_version = place.now
    history.append([make_record("run-2")])
    lost_version = place.now
    place.now = old_version
    make_history(place).append([make_record("run-3")])
    with pytest.raises(InconsistencyError, match="moved back") as caught:
        history.append([make_record("run-4")])
    assert lost_version in caught.value.advice
    place.now = ""
    with pytest.raises(InconsistencyError, match="is gone now"):
        list(history.read())


def test_append__thins_months_that_have_become_old() -> None:
    place = Memory()
    old = [make_record(f"old-{n}", f"2026-06-{1 + n // 4:02}T{n % 4:02}:00:00Z") for n in range(40)]
    make_history(place, now=lambda: NOW.replace(month=6)).append(old)
    before = place.files["records/2026-06.jsonl"].splitlines()
    warnings = list[str]()
    history = make_history(place, warnings)
    history.mark([("old-6", "aiohttp · article-500")])
    history.mark([("old-6", "aiohttp · article-500")])
    assert history.append([make_record("new")]) == 1
    kept = [record.run_id for record in history.read() if record.run_id != "new"]
    assert kept == sorted([*(f"old-{n}" for n in range(0, 40, 4)), "old-6"], key=lambda name: int(name[4:]))
    assert set(place.files["records/2026-06.jsonl"].splitlines()) <= set(before)
    assert place.messages[-1] == "Thin 29 records in records/2026-06.jsonl"
    assert history.index().shards["records/2026-06.jsonl"].kept == "day"
    commits = len(place.messages)
    assert history.append([make_record("old-5", "2026-06-02T01:00:00Z")]) == 0, "a thinned run is not written again"
    history.append([make_record("newer")])
    assert len(place.messages) == commits + 1, "each month is thinned once"
    assert warnings == []


def test_append__that_cannot_thin_has_appended_anyway() -> None:
    place, warnings = Memory(), list[str]()
    make_history(place, now=lambda: NOW.replace(month=6)).append([make_record("old", "2026-06-01T00:00:00Z")])
    place.before_write = [lambda: None, *[lose_answer] * 4]
    assert make_history(place, warnings).append([make_record("new")]) == 1
    assert "not thinned" in warnings[0]
    assert runs(place) == ["old", "new"]


def test_append__with_a_clock_far_ahead_thins_nothing() -> None:
    place = Memory()
    for n in (1, 2):
        make_history(place, now=lambda: NOW.replace(year=2099)).append(
            [make_record(f"run-{n}", f"2026-11-23T0{n}:00:00Z")]
        )
    assert runs(place) == ["run-1", "run-2"]


@given(st.floats(0, 1000), st.integers(1, 100))
def test_pause__is_bounded(took_s: float, attempt: int) -> None:
    assert 0 <= choose_pause_s(took_s, attempt) <= 20
