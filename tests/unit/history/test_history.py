"""Append, read, mark and thin, in a place in memory: whatever others do meanwhile."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.history.places import NOW, Memory, lost, make_history, make_record

from bench_action.history.history import pause_s
from bench_action.history.layout import INDEX, README, Index, blob_name, parse_index
from bench_action.history.record import Record
from bench_action.history.store import DisagreementError, UncertainError
from bench_action.model.errors import InputError, PublishError

pytestmark = pytest.mark.unit

SHARD = "records/2026-11.jsonl"


def runs(place: Memory) -> list[str]:
    return [record.run_id for record in make_history(place).read()]


def faster(place: Memory, run: str) -> Callable[[], None]:
    """Another writer, who appends a run of its own."""

    def append() -> None:
        make_history(place).append([make_record(run)])

    return append


def test_append__makes_month_index_and_readme() -> None:
    place = Memory()
    assert make_history(place).append([make_record(), make_record(variant="django")]) == 2
    assert set(place.files) == {SHARD, INDEX, README}
    shard = parse_index(place.files[INDEX], "").shards[SHARD]
    assert (shard.records, shard.first, shard.last) == (2, "2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z")
    assert shard.cells == ("aiohttp · article-500", "django · article-500")
    assert shard.blob == blob_name(place.files[SHARD])
    assert place.messages == ["Append 2 records of run-1"]


def test_append__of_the_same_run_is_no_duplicate() -> None:
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
def test_append__in_any_order_and_number_loses_and_doubles_nothing(steps: list[tuple[int, int, bool]]) -> None:
    place = Memory()
    written: dict[str, list[Record]] = {}
    history = make_history(place)
    for number, month, together in steps:
        run = f"run-{number}"
        at = f"2026-{month:02}-{1 + number:02}T10:00:00Z"  # one a day, of which none is thinned within a year
        records = [make_record(run, at, name) for name in ("a", "b")[: 1 + together]]
        assert history.append(records) == (0 if run in written else len(records))
        written.setdefault(run, records)
    expected = sorted(
        (one for records in written.values() for one in records), key=lambda one: (one.run_id, one.variant)
    )
    found = list(history.read())
    assert sorted(found, key=lambda one: (one.run_id, one.variant)) == expected
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert history.index().records == len(expected)


def test_append__that_is_overtaken_looks_again() -> None:
    place = Memory()
    for n in range(3):
        place.before_write.append(faster(place, f"other-{n}"))
    assert make_history(place).append([make_record("mine")]) == 1
    assert sorted(runs(place)) == ["mine", "other-0", "other-1", "other-2"]


def test_append__of_a_run_that_another_writer_was_faster_with_is_not_ours() -> None:
    place = Memory()
    place.before_write.append(faster(place, "run-1"))
    assert make_history(place).append([make_record()]) == 0
    assert runs(place) == ["run-1"]


def test_append__whose_answer_is_lost_knows_that_it_took() -> None:
    place = Memory()

    def lose() -> None:
        moment = place.now
        make_history(place).append([make_record("other")])
        raise UncertainError("no answer", moment=moment)

    place.after_write.append(lose)
    assert make_history(place).append([make_record()]) == 1
    assert sorted(runs(place)) == ["other", "run-1"]


def test_append__gives_up_on_a_place_that_never_answers() -> None:
    place = Memory()
    place.before_write = [lost] * 9
    with pytest.raises(PublishError, match="4 tries") as caught:
        make_history(place).append([make_record()])
    assert "no answer" in caught.value.cause
    assert place.now == ""


def test_append__gives_up_when_its_patience_ends() -> None:
    place = Memory()
    place.before_write = [faster(place, f"other-{n}") for n in range(9)]
    with pytest.raises(PublishError, match="could not be written in 1 tries"):
        make_history(place, patience_s=0.0).append([make_record()])


def test_append__puts_a_run_of_a_clock_that_went_back_into_its_own_month_and_says_so() -> None:
    place, told = Memory(), list[str]()
    history = make_history(place, told)
    history.append([make_record("new")])
    history.append([make_record("a little older", "2026-11-22T23:00:00Z")])
    assert told == []
    history.append([make_record("reset", "1970-01-01T00:00:10Z")])
    assert "records/1970-01.jsonl" in place.files
    assert "a clock went back" in told[0]
    assert [one.run_id for one in history.read()] == ["reset", "a little older", "new"]


def test_append__refuses_a_run_from_the_future_and_says_so() -> None:
    place, told = Memory(), list[str]()
    history = make_history(place, told)
    assert history.append([make_record("ahead", "2099-01-01T00:00:00Z")]) == 0
    assert place.files == {}
    ahead = make_record("a time zone ahead", "2026-11-27T11:00:00Z")
    assert history.append([make_record("ahead", "2099-01-01T00:00:00Z"), make_record("now"), ahead]) == 2
    assert [one.run_id for one in history.read()] == ["now", "a time zone ahead"]
    assert len(told) == 2
    assert "2099-01-01T00:00:00Z is from the future" in told[-1]
    assert history.index().newest == "2026-11-27T11:00:00Z"


def test_read__only_needed_months_and_cells() -> None:
    place = Memory()
    history = make_history(place)
    for month in range(1, 12):
        history.append([make_record(f"run-{month}", f"2026-{month:02}-23T10:00:00Z", "a" if month % 2 else "b")])
    assert [one.run_id for one in history.read("2026-10")] == ["run-10", "run-11"]
    assert [one.run_id for one in history.read("2026-10-23T12:00:00+02:00")] == ["run-10", "run-11"]
    assert [one.run_id for one in history.read("2026-10-23T10:00:01Z")] == ["run-11"]
    assert [one.run_id for one in history.read("2026-09", ["a · article-500"])] == ["run-9", "run-11"]
    assert history.index().needed("2026-09", ["a · article-500"]) == ["records/2026-09.jsonl", SHARD]
    with pytest.raises(InputError, match="no time"):
        list(history.read("soon"))


def test_read__of_nothing_is_nothing() -> None:
    assert list(make_history().read()) == []
    assert make_history().index() == Index()


@pytest.mark.parametrize(
    "files", [{"index.html": b"x"}, {README: b"# Shop"}, {INDEX: b'{"mine": 1}'}, {"src/records/2026-11.jsonl": b""}]
)
def test_something_else__is_refused_and_left_alone(files: dict[str, bytes]) -> None:
    place = Memory(files)
    with pytest.raises(InputError, match="something else") as caught:
        make_history(place).append([make_record()])
    assert "another branch" in caught.value.advice
    assert place.files == files


def test_other_files__beside_a_history_stay() -> None:
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
    ("harm", "error", "said"),
    [
        (broken_index, InputError, "cannot be read"),
        (wrong_index, InputError, "`shards`"),
        (newer_index, InputError, "update bench-action"),
        (edited_month, DisagreementError, "not what the index says"),
        (lost_month, DisagreementError, "is gone"),
        (unknown_month, DisagreementError, "does not know it"),
    ],
)
def test_harm__is_told_and_nothing_overwritten(
    harm: Callable[[dict[str, bytes]], None], error: type[Exception], said: str
) -> None:
    place = Memory()
    make_history(place).append([make_record()])
    files = dict(place.files)
    harm(files)
    place._put(files)
    for action in (
        lambda: make_history(place).append([make_record("run-2")]),
        lambda: list(make_history(place).read()),
    ):
        with pytest.raises(error) as caught:
            action()
        assert said in str(caught.value)
    assert place.files == files


def test_broken_line__is_told_with_its_number() -> None:
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
    assert place.files == files


def test_index__that_is_gone_is_made_anew() -> None:
    place = Memory()
    history = make_history(place)
    history.append([make_record(), make_record("run-2", "2026-10-23T10:00:00Z")])
    index = history.index()
    place._put({path: content for path, content in place.files.items() if path != INDEX})
    assert history.index() == index
    assert history.append([make_record()]) == 0
    assert parse_index(place.files[INDEX], "") == index


def test_branch__that_moved_back_is_told() -> None:
    place = Memory()
    history = make_history(place)
    history.append([make_record()])
    old = place.now
    history.append([make_record("run-2")])
    lost_moment = place.now
    place.now = old
    make_history(place).append([make_record("run-3")])
    with pytest.raises(DisagreementError, match="moved back") as caught:
        history.append([make_record("run-4")])
    assert lost_moment in caught.value.advice
    place.now = ""
    with pytest.raises(DisagreementError, match="is gone now"):
        list(history.read())


def test_append__thins_months_that_have_become_old() -> None:
    place = Memory()
    old = [make_record(f"old-{n}", f"2026-06-{1 + n // 4:02}T{n % 4:02}:00:00Z") for n in range(40)]
    make_history(place, now=lambda: NOW.replace(month=6)).append(old)
    before = place.files["records/2026-06.jsonl"].splitlines()
    told = list[str]()
    history = make_history(place, told)
    history.mark([("old-6", "aiohttp · article-500")])
    history.mark([("old-6", "aiohttp · article-500")])
    assert history.append([make_record("new")]) == 1
    kept = [one.run_id for one in history.read() if one.run_id != "new"]
    assert kept == sorted([*(f"old-{n}" for n in range(0, 40, 4)), "old-6"], key=lambda name: int(name[4:]))
    assert set(place.files["records/2026-06.jsonl"].splitlines()) <= set(before)
    assert place.messages[-1] == "Thin 29 records in records/2026-06.jsonl"
    assert history.index().shards["records/2026-06.jsonl"].kept == "day"
    commits = len(place.messages)
    assert history.append([make_record("old-5", "2026-06-02T01:00:00Z")]) == 0, "a thinned run is not written again"
    history.append([make_record("newer")])
    assert len(place.messages) == commits + 1, "it is thinned once"
    assert told == []


def test_append__that_cannot_thin_has_appended_all_the_same() -> None:
    place, told = Memory(), list[str]()
    make_history(place, now=lambda: NOW.replace(month=6)).append([make_record("old", "2026-06-01T00:00:00Z")])
    place.before_write = [lambda: None, lost, lost, lost, lost]
    assert make_history(place, told).append([make_record("new")]) == 1
    assert "not thinned" in told[0]
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
    assert 0 <= pause_s(took_s, attempt) <= 20
