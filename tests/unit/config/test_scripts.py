"""k6 scripts and rates of profiles: what is read with a script, and what is refused by name."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.test_mixes import LOAD, find_fault, make_config

from bench_action.config.mixes import read_mixes
from bench_action.config.schema import Config, Profile
from bench_action.config.scripts import read_script
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

SCRIPT = "import http from 'k6/http';\nexport default function () { http.get(__ENV.BASE_URL); }\n"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_js", ".js").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def read(folder: Path, script: str = "load/buy.js") -> tuple[list[str], str]:
    files, main, _ = read_script(script, folder, folder, "profile buy")
    return [path for path, _ in files], main


def make_script(**changes: Any) -> Profile:
    return Profile.model_validate({"k6": "load/buy.js", "rate": "50/s"} | changes)


def test_read_script__takes_what_it_imports_and_opens_and_its_folder(tmp_path: Path) -> None:
    write(
        tmp_path,
        load__buy_js=f"import {{ a }} from '../lib/a.js';\nconst users = JSON.parse(open('./users.json'));\n{SCRIPT}",
        load__users_json="[]",
        load__other__more_json="{}",
        lib__a_js="export { b as a } from './b.js';\n",
        lib__b_js="export const b = 1;\n",
        lib__unused_js="",
    )
    write(tmp_path / "load", node_modules__x_js="")
    (tmp_path / "load" / ".env").write_text("TOKEN=secret")
    files, main = read(tmp_path)
    assert main == "load/buy.js"
    assert files == ["lib/a.js", "lib/b.js", "load/buy.js", "load/other/more.json", "load/users.json"]


def test_read_script__leaves_comments_and_modules_of_k6_alone(tmp_path: Path) -> None:
    write(tmp_path, load__buy_js=f"// import x from 'https://example.org/x.js'\n/* open('./gone') */\n{SCRIPT}")
    assert read(tmp_path) == (["buy.js"], "buy.js")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import { x } from 'https://jslib.k6.io/k6-utils/1.4.0/index.js';", "imports https://jslib.k6.io"),
        ("const x = require('https://example.org/x.js');", "from the network"),
        ("import sql from 'k6/x/sql';", "needs the extension k6/x/sql"),
        ("import {\n  a,\n  b,\n} from 'https://example.org/x.js';", "imports https://example.org/x.js"),
    ],
)
def test_read_script__what_it_may_not_need_is_refused_by_name(tmp_path: Path, text: str, fault: str) -> None:
    write(tmp_path, load__buy_js=f"{text}\n{SCRIPT}")
    with pytest.raises(InputError, match=fault) as caught:
        read(tmp_path)
    assert "profile buy" in caught.value.what


@pytest.mark.parametrize(
    "text",
    [
        "import { x } from './gone.js';",  # k6 itself reports it
        "const x = open('../../etc/passwd');",
        "page.open('https://example.org/');",
        "const text = \"SELECT x from 'a.b'\";",
        "const also = 'import(\"./x.js\")';",
    ],
)
def test_read_script__what_is_no_file_of_the_repository_is_left_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path, load__buy_js=f"{text}\n{SCRIPT}")
    assert read(tmp_path) == (["buy.js"], "buy.js")


def test_read_script__a_script_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"profile buy names load/buy.js, which does not exist"):
        read(tmp_path)


def test_read_script__a_folder_with_too_much_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, load__buy_js=SCRIPT)
    for number in range(600):
        (tmp_path / "load" / f"{number}.txt").touch()
    assert read(tmp_path) == (["buy.js"], "buy.js")


def test_read_mixes__a_script_has_its_files_and_their_digest(tmp_path: Path) -> None:
    write(tmp_path, load__buy_js=SCRIPT)
    config = Config.model_validate(
        {"variants": {"web": {"build": "."}}, "profiles": {"buy": {"k6": "load/buy.js", "rate": "50/s"}}}
    )
    first = read_mixes(config, tmp_path, tmp_path).profiles["buy"]
    assert (first.k6, first.main, [path for path, _ in first.files]) == ("load/buy.js", "buy.js", ["buy.js"])
    write(tmp_path, load__unrelated_js="")
    assert read_mixes(config, tmp_path, tmp_path).profiles["buy"].digest == first.digest
    write(tmp_path, load__buy_js=f"{SCRIPT}// changed\n")
    second = read_mixes(config, tmp_path, tmp_path).profiles["buy"]
    assert first.digest
    assert second.digest
    assert first.digest != second.digest


def test_profile__a_script_decides_connections_itself_and_may_write() -> None:
    profile = make_script(duration="10s")
    assert (profile.is_script, profile.is_rated, profile.writes, profile.routes) == (True, True, True, ())
    assert profile.duration == 10
    assert profile.rate is not None
    assert profile.rate.per_second == 50


@pytest.mark.parametrize("key", ["path", "connections", "requests", "session", "timeout"])
def test_profile__keys_of_requests_have_no_meaning_with_a_script(key: str) -> None:
    with pytest.raises(ValueError, match=f"`{key}` has no meaning with `k6`"):
        make_script(**{key: "x"})


@pytest.mark.parametrize(
    ("text", "per_second", "share"),
    [("200/s", 200, None), ("0.5 / s", None, None), ("1.5/s", 1.5, None), ("60 %", None, 0.6)],
)
def test_profile__a_rate_is_a_number_or_a_share(text: str, per_second: float | None, share: float | None) -> None:
    if per_second is None and share is None:
        assert "at least 1/s" in find_fault(rate=text)
        return
    rate = make_config(rate=text).profiles["shop"].rate
    assert rate is not None
    assert (rate.per_second, rate.share) == (per_second, share)


@pytest.mark.parametrize("text", ["200", 200, "200/m", "96%", "0%", "0/s", "fast", True, "1000000/s"])
def test_profile__other_rates_are_refused(text: Any) -> None:
    assert "rate" in find_fault(rate=text)


def test_profile__a_rate_that_needs_too_many_users_is_refused() -> None:
    assert "needs 12,000 users" in find_fault(rate="200/s", timeout="60s")


def test_profile__a_script_has_no_share_of_a_capacity() -> None:
    with pytest.raises(ValueError, match="wrk cannot find the capacity of a script"):
        make_script(rate="60%")


def test_profile__without_a_rate_nothing_is_compared_at_one() -> None:
    assert not Profile.model_validate({**LOAD, "path": "/"}).is_rated
