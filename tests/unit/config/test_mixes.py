"""Profiles with several requests: placeholders, URLs and CSV files."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench_action.config.mixes import read_mixes
from bench_action.config.schema import Config, Profile
from bench_action.config.templates import Column, Random, Serial, parse_template, shorten_template
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

LOAD = {"connections": 4, "threads": 2, "duration": 1}


def make_config(**profile: Any) -> Config:
    return Config.model_validate({"variants": {"web": {"build": "."}}, "profiles": {"shop": LOAD | profile}})


def read(folder: Path, **profile: Any) -> Profile:
    return read_mixes(make_config(**profile), folder, folder).profiles["shop"]


def find_fault(**profile: Any) -> str:
    with pytest.raises(ValueError, match="1 validation error") as caught:
        make_config(**profile)
    return str(caught.value)


def test_parse_template__splits_a_text_into_its_parts() -> None:
    text = "/a/{random: 1..50}/{csv: users.csv, column: the id}?n={seq}"
    assert parse_template(text) == (
        "/a/",
        Random(1, 50),
        "/",
        Column("users.csv", "the id"),
        "?n=",
        Serial(),
    )
    assert shorten_template(text) == "/a/{random}/{the id}?n={seq}"


@pytest.mark.parametrize("text", ['{"seq": 1}', "{postgres.host}", "{{seq}}", "${seq}", "{sequence}", "{ random }"])
def test_parse_template__leaves_other_braces_alone(text: str) -> None:
    assert parse_template(text) == (text,)


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        ({"path": "/{random: 5}"}, "expected a range such as `{random: 1..50000}`"),
        ({"path": "/{random: 9..5}"}, "expected a range"),
        ({"path": "/{random}"}, "expected a range"),
        ({"body": "{csv: users.csv}"}, "expected a file and a column"),
        ({"path": "/{seq: 5}"}, "has no arguments"),
        ({"headers": {"X-{seq}": "1"}}, "placeholders are for values"),
        ({"requests": [{"path": "/", "weight": 0}]}, "leave the request out"),
        ({"requests": [{"path": "/a"}, {"path": "/a?b"}]}, "two requests are called 'GET /a'"),
        ({"requests": [{"path": "/a"}], "urls": "urls.txt"}, "set only one of `requests` and `urls`"),
        ({"requests": [{"path": "/a"}], "path": "/b"}, "`path` has no meaning with a mix"),
        ({"requests": [{"path": "/a", "method": "HEAD"}]}, "wrk cannot measure HEAD"),
        ({"path": "/{a b}"}, "a path has visible ASCII characters only"),
    ],
)
def test_profile__names_what_is_wrong_with_a_mix(profile: dict[str, Any], fault: str) -> None:
    assert fault in find_fault(**profile)


def test_read_mixes__a_route_takes_from_its_profile_what_it_does_not_set(tmp_path: Path) -> None:
    profile = read(
        tmp_path,
        headers={"Authorization": "Bearer t", "Accept": "text/html"},
        requests=[
            {"path": "/items", "headers": {"accept": "application/json"}},
            {"path": "/cart", "method": "POST", "expect": {"status": 201}},
        ],
    )
    first, second = profile.routes
    assert first.headers == {"Authorization": "Bearer t", "accept": "application/json"}
    assert [(route.title, route.expect and route.expect.status) for route in (first, second)] == [
        ("GET /items", ["2xx"]),
        ("POST /cart", [201]),
    ]
    assert profile.expect.status == ["2xx", 201]
    assert profile.writes
    assert list(profile.parts) == ["GET /items", "POST /cart"]
    assert profile.parts["POST /cart"].method == "POST"


@pytest.mark.parametrize(
    ("session", "writes", "adds"),
    [([], False, False), ([{"path": "/token"}], False, False), ([{"path": "/users", "method": "POST"}], False, True)],
)
def test_adds_data__a_session_that_writes_does_at_each_restart(
    tmp_path: Path, session: list[dict[str, Any]], writes: bool, adds: bool
) -> None:
    profile = read(tmp_path, path="/items", **({"session": session} if session else {}))
    assert (profile.writes, profile.adds_data) == (writes, adds)


def test_read_mixes__reads_the_columns_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text('\ufeffid, name\n1, "Ann, A."\n2,Bo\n', encoding="utf-8")
    profile = read(tmp_path, path="/users/{csv: users.csv, column: id}?q={csv: users.csv, column: name}")
    assert profile.rows == {"users.csv": ({"id": "1", "name": "Ann, A."}, {"id": "2", "name": "Bo"})}
    assert profile.varies
    assert not profile.is_mix


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("id,name\n1,a\n", "has no column 'mail'"),
        ("mail\n", "has no rows"),
        ("", "has no column 'mail'"),
        ('mail\n"a\nb"\n', "row 2 has a line break"),
    ],
)
def test_read_mixes__a_csv_that_cannot_be_used(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "users.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(tmp_path, path="/{csv: users.csv, column: mail}")
    assert fault in str(caught.value)
    assert "profile shop" in str(caught.value)


@pytest.mark.parametrize("file", ["missing.csv", "../outside.csv"])
def test_read_mixes__a_file_outside_of_the_repository_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / "outside.csv").write_text("id\n1\n")
    (tmp_path / "own").mkdir()
    with pytest.raises(InputError, match=f"names {file}, which"):
        read(tmp_path / "own", path=f"/{{csv: {file}, column: id}}")


def test_read_mixes__reads_a_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id;price\n1;2,50\n2\n")
    profile = read(tmp_path, path="/{csv: users.csv, column: id}?p={csv: users.csv, column: price}")
    assert profile.rows["users.csv"] == ({"id": "1", "price": "2,50"}, {"id": "2", "price": ""})


def test_config__work_of_a_mix_is_declared_for_each_request(tmp_path: Path) -> None:
    requests = [{"path": "/a", "work": {"queries": 1}}, {"path": "/b"}]
    config = read_mixes(make_config(requests=requests), tmp_path, tmp_path)
    assert config.all_work["shop · GET /a"].queries == 1
    assert config.all_work["shop · GET /b"].queries is None
    profiles = {"shop": LOAD | {"requests": requests}}
    with pytest.raises(ValueError, match="declare the work of each of its `requests` there"):
        Config.model_validate(
            {"variants": {"web": {"build": "."}}, "profiles": profiles, "work": {"shop": {"queries": 1}}}
        )


def test_read_mixes__groups_urls_by_route(tmp_path: Path) -> None:
    lines = [
        "# the busiest pages",
        "/items/1",
        "http://shop.example/items/22?page=2",
        "",
        "GET /items/3",
        "/about",
        "POST /no",
    ]
    (tmp_path / "urls.txt").write_text("\n".join(lines))
    routes = read(tmp_path, urls="urls.txt").routes
    assert [(route.title, route.weight, route.paths) for route in routes] == [
        ("GET /items/{id}", 3, ("/items/1", "/items/22?page=2", "/items/3")),
        ("GET /about", 1, ("/about",)),
    ]


def test_read_mixes__reads_the_gets_of_an_access_log(tmp_path: Path) -> None:
    lines = [
        '10.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "GET /items/7 HTTP/1.1" 200 2326 "-" "curl"',
        '10.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "POST /items HTTP/1.1" 201 12',
        '10.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "GET /items/9 HTTP/2.0" 200 2326',
        '10.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "GET /missing HTTP/1.1" 404 12',
        '10.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "GET //[x HTTP/1.1" 200 12',
        "no request",
    ]
    (tmp_path / "access.log").write_text("\n".join(lines))
    assert [route.paths for route in read(tmp_path, urls="access.log").routes] == [("/items/7", "/items/9")]


def make_har(*requests: tuple[str, str]) -> str:
    entries = [
        {
            "request": {"method": method, "url": url, "headers": [{"name": "Cookie", "value": "s3cret"}]},
            "response": {"status": 404 if "missing" in url else 200},
        }
        for method, url in requests
    ]
    return json.dumps({"log": {"entries": entries}})


def test_read_mixes__takes_paths_of_a_har_and_none_of_its_headers(tmp_path: Path) -> None:
    text = make_har(
        ("GET", "https://shop.example/items/1?page=2"),
        ("POST", "https://shop.example/cart"),
        ("GET", "https://fonts.example/font.woff2"),
        ("GET", "data:image/png;base64,AAAA"),
        ("GET", "https://shop.example/missing"),
        ("GET", "http://[x"),
    )
    (tmp_path / "shop.har").write_text(text)
    (route,) = read(tmp_path, urls="shop.har").routes
    assert (route.paths, route.headers) == (("/items/1?page=2",), {})


@pytest.mark.parametrize(
    "name",
    [
        *("access_token", "accessToken", "token", "api_key", "apikey", "AWSAccessKeyId", "client_secret", "password"),
        *("X-Amz-Signature", "X-Amz-Security-Token", "PHPSESSID", "jsessionid", "sig", "pwd", "pass", "newPassword"),
        *("oauth_nonce", "auth", "session_id", "refreshtoken", "csrfmiddlewaretoken", "clientsecret", "userpassword"),
        *("auth_code", "id_token_hint", "access_token_v2", "session_state"),
    ],
)
def test_read_mixes__refuses_urls_with_secrets_without_quoting_them(tmp_path: Path, name: str) -> None:
    (tmp_path / "shop.har").write_text(make_har(("GET", f"https://shop.example/items?{name}=s3cret")))
    with pytest.raises(InputError) as caught:
        read(tmp_path, urls="shop.har")
    assert name in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_read_mixes__refuses_long_codes_and_keys(tmp_path: Path) -> None:
    for path in ("/callback?code=4%2F0AX4XfWh_s3cret_s3cret", "/map?key=AIzaSyD_s3cret_s3cret"):
        (tmp_path / "urls.txt").write_text(f"{path}\n")
        with pytest.raises(InputError, match=r"a value for '(code|key)'"):
            read(tmp_path, urls="urls.txt")


def test_read_mixes__words_that_only_begin_like_secrets_are_none(tmp_path: Path) -> None:
    query = "author=jake&authorId=7&tokens_used=5&country_code=DE&code=SUMMER20&key=name&pinned=1&design=2&sessions=3"
    query += "&bypass_warnings=1&tokenizer=bert&secretary_id=4&session_type=yoga&token_count=5"
    (tmp_path / "urls.txt").write_text(f"/articles?{query}\n")
    (route,) = read(tmp_path, urls="urls.txt").routes
    assert route.paths == (f"/articles?{query}",)


@pytest.mark.parametrize("path", ["/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/cart;jsessionid=1A2B"])
def test_read_mixes__refuses_tokens_in_paths(tmp_path: Path, path: str) -> None:
    (tmp_path / "urls.txt").write_text(f"{path}\n")
    with pytest.raises(InputError, match="a token in its path or query"):
        read(tmp_path, urls="urls.txt")


@pytest.mark.parametrize(("file", "text"), [("urls.txt", "# nothing\n"), ("shop.har", "{}"), ("shop.har", "[")])
def test_read_mixes__a_file_without_requests_is_refused(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=file):
        read(tmp_path, urls=file)


def test_read_mixes__many_routes_are_put_together(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("\n".join(f"/page-{n}" for n in range(100)))
    routes = read(tmp_path, urls="urls.txt").routes
    assert len(routes) == 20
    assert (routes[-1].title, routes[-1].weight) == ("other GETs", 81)


def test_profile__a_changed_file_changes_the_profile(tmp_path: Path) -> None:
    found = []
    for text in ("id\n1\n", "id\n2\n"):
        (tmp_path / "ids.csv").write_text(text)
        found.append(read(tmp_path, path="/{csv: ids.csv, column: id}"))
    assert found[0] != found[1]
    assert found[0].digest != found[1].digest


def test_read_mixes__a_profile_before_it_does_not_change_a_single_request(tmp_path: Path) -> None:
    def read_last(*others: str) -> Profile:
        profiles = {name: LOAD | {"path": "/"} for name in (*others, "shop")}
        config = Config.model_validate({"variants": {"web": {"build": "."}}, "profiles": profiles})
        return read_mixes(config, tmp_path, tmp_path).profiles["shop"]

    assert read_last() == read_last("new")
