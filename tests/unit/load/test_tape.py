"""The requests of a profile, formatted before the run."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench_action.config.mixes import read_mixes
from bench_action.config.schema import Config, Profile
from bench_action.engine.protocol import Handle
from bench_action.load.generator import HttpRequest, Tape
from bench_action.load.tape import build_tape, count_sent, cut_count, cut_routes, take_one_each

pytestmark = pytest.mark.unit

WEB = Handle("1", "web", "subject", "web", 8000, "slot-a-web")


def make_profile(folder: Path = Path(), **fields: Any) -> Profile:
    profile = {"connections": 4, "threads": 2, "duration": 1} | fields
    config = Config.model_validate({"variants": {"web": {"build": "."}}, "profiles": {"shop": profile}})
    return read_mixes(config, folder, folder).profiles["shop"]


def build(profile: Profile, seed: int = 1) -> Tape:
    return build_tape(WEB, profile, lambda text: text.replace("{postgres.host}", "db"), seed)


MIX: dict[str, Any] = {
    "requests": [{"path": "/a", "weight": 70}, {"path": "/b", "weight": 20}, {"path": "/c", "weight": 10}]
}


def test_build_tape__one_request_is_what_it_was() -> None:
    profile = make_profile(path="/x", headers={"A": "{postgres.host}"})
    request = HttpRequest("web", 8000, "/x", headers={"A": "db"}, address="slot-a-web")
    assert build(profile) == request.tape


def test_build_tape__every_part_has_the_shares_of_the_weights() -> None:
    profile = make_profile(**MIX)
    tape = build(profile)
    for first in range(0, len(tape.messages), 10):
        assert Counter(message.route for message in tape.messages[first : first + 10]) == {0: 7, 1: 2, 2: 1}
    assert [message.route for message in tape.messages[:40]] != [message.route for message in tape.messages[10:50]]


def test_build_tape__the_same_seed_gives_the_same_requests_to_both_sides() -> None:
    profile = make_profile(path="/{random: 1..50000}")
    base = build_tape(Handle("2", "web", "subject", "web", 8000, "slot-b-web"), profile, str, 1)
    assert [message.raw for message in base.messages] == [message.raw for message in build(profile).messages]
    assert build(profile, 2).messages != build(profile).messages
    assert len({message.raw for message in build(profile).messages}) > 4000


def test_build_tape__has_fewer_requests_if_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench_action.load.tape._LARGEST_TAPE", 300_000)
    large = {"method": "POST", "path": "/a", "body": "{seq}" + "é" * 500, "weight": 3}
    tape = build(make_profile(requests=[large, {"path": "/b", "weight": 4}]), seed=2)
    assert Counter(message.route for message in tape.messages) == {0: 3 * 99, 1: 4 * 99}
    assert len(tape.messages) % 7 == 0
    assert 300_000 < sum(len(message.raw) for message in tape.messages) < 400_000
    huge: dict[str, Any] = {"method": "POST", "path": "/{random: 1..9}", "body": "x" * 10_000}
    assert len(build(make_profile(**huge)).messages) == 100
    assert len(build(make_profile(**huge, connections=128, threads=128)).messages) == 128


def test_build_tape__small_requests_are_all_there() -> None:
    assert len(build(make_profile(path="/{random: 1..9}")).messages) == 5000


def test_build_tape__encodes_data_in_paths_only(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("word\na b/ü&c\n", encoding="utf-8")
    word = "{csv: words.csv, column: word}"
    profile = make_profile(tmp_path, path=f"/?q={word}", method="POST", body=f'{{"w": "{word}"}}')
    raw = build(profile).messages[0].raw
    assert raw.startswith(b"POST /?q=a%20b%2F%C3%BC%26c HTTP/1.1\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert body == '{"w": "a b/ü&c"}'.encode()
    assert f"Content-Length: {len(body)}".encode() in head


def test_build_tape__all_columns_of_a_request_are_of_one_row(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,name\n" + "".join(f"{n},user{n}\n" for n in range(50)))
    path = "/{csv: users.csv, column: id}/{csv: users.csv, column: name}"
    for message in build(make_profile(tmp_path, path=path)).messages[:200]:
        number, name = message.raw.split(b" ")[1].decode()[1:].split("/")
        assert name == f"user{number}"


def test_build_tape__leaves_room_for_serial_numbers() -> None:
    profile = make_profile(path="/{seq}", method="POST", body='{"id": {seq}}')
    message = build(profile).messages[0]
    assert [message.raw[place : place + 9] for place in message.serials] == [b"\0" * 9] * 2
    assert message.raw.startswith(b"POST /")
    assert b"Content-Length: 17\r\n" in message.raw


@pytest.mark.parametrize(
    ("weights", "counts"), [((70, 20, 10), (35, 10, 5)), ((1, 1, 1), (17, 17, 17)), ((1000, 1, 1), (998, 1, 1))]
)
def test_cut_count__counts_in_proportion_to_the_weights(weights: tuple[int, ...], counts: tuple[int, ...]) -> None:
    requests = [{"path": f"/{n}", "weight": weight} for n, weight in enumerate(weights)]
    profile = make_profile(requests=requests)
    cuts = cut_count(profile, build(profile), 50, 0)
    assert tuple(len(cut.messages) for cut in cuts) == counts
    assert [{message.route for message in cut.messages} for cut in cuts] == [{0}, {1}, {2}]


def test_cut_count__another_count_has_other_requests() -> None:
    profile = make_profile(requests=[{"path": "/{random: 1..50000}"}])
    first, second = (cut_count(profile, build(profile), 50, number)[0] for number in (0, 1))
    assert not {m.raw for m in first.messages} & {m.raw for m in second.messages}


def test_take_one_each__and_cut_routes__follow_the_order_of_the_routes() -> None:
    profile = make_profile(**MIX)
    tape = build(profile)
    assert [message.route for message in take_one_each(profile, tape).messages] == [0, 1, 2]
    assert [{message.route for message in cut.messages} for cut in cut_routes(profile, tape)] == [{0}, {1}, {2}]


def test_count_sent__adds_up_what_each_thread_took_from_the_tape() -> None:
    profile = make_profile(**MIX)
    tape = build(profile)
    half = len(tape.messages) // 2
    assert count_sent(profile, tape, [half, half]) == {"GET /a": 700, "GET /b": 200, "GET /c": 100}
    own = [message.route for message in tape.messages[1::2]][:7]
    expected = {f"GET /{'abc'[route]}": own.count(route) for route in range(3)}
    assert count_sent(profile, tape, [0, 7]) == expected
    first = tape.messages[2].route
    assert count_sent(profile, tape, [1, 0]) == {f"GET /{'abc'[route]}": int(route == first) for route in range(3)}
    assert sum(count_sent(profile, tape, [2 * half + 3, 5]).values()) == 2 * half + 8
