"""What a Dockerfile says about the stage that is built."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_action.config.dockerfile import Dockerfile, parse_dockerfile, read_dockerfile

pytestmark = pytest.mark.unit


def test_stage__is_the_last_or_the_one_that_is_named_or_numbered() -> None:
    file = parse_dockerfile("FROM node AS Web\nEXPOSE 3000\nFROM nginx:1\nEXPOSE 80/tcp 53/udp\n")

    assert (file.find_stage().image, file.find_stage().ports) == ("nginx:1", [80])
    assert (file.find_stage("wEB").image, file.find_stage("0").ports) == ("node", [3000])
    assert {file.find_stage(target).image for target in ("7", "²", "1" * 5000)} == {"nginx:1"}
    assert parse_dockerfile("").find_stage("x").image == ""


def test_stage__follows_the_stages_that_it_is_based_on() -> None:
    text = (
        "FROM python:3 AS base\nENV A=1 B=2\nEXPOSE 1\nCMD serve\n"
        "FROM base AS dev\nENV A=dev\nEXPOSE 9\n"
        "FROM --platform=linux/amd64 base\nENV B=3\nEXPOSE 2 1\nENTRYPOINT run\n"
    )
    file = parse_dockerfile(text)
    stage = file.find_stage()

    assert (stage.image, stage.base, stage.name) == ("python:3", "base", "")
    assert stage.env == {"A": "1", "B": "3"}
    assert stage.ports == [2, 1]
    assert stage.start == ["run"]  # an entrypoint drops the command of the base
    assert parse_dockerfile("FROM x\nCMD serve\nENTRYPOINT run\n").find_stage().start == ["run", "serve"]
    assert file.images == ["python:3", "base", "base"]
    assert parse_dockerfile("FROM a AS a\n").find_stage().image == "a"


@pytest.mark.parametrize(
    ("before", "given_values", "image", "missing"),
    [
        ("ARG BASE=nginx\nFROM ${BASE}:1", {}, "nginx:1", []),
        ("ARG BASE=nginx\nFROM ${BASE}:1", {"BASE": "php"}, "php:1", []),
        ("FROM ${BASE:-httpd}", {}, "httpd", []),
        ("ARG BASE\nFROM $BASE", {}, "", ["BASE"]),
        ("ARG BASE\nFROM $BASE", {"BASE": "php"}, "php", []),
        ("ARG BASE=nginx\nFROM ${BASE}x", {"BASE": ""}, "x", []),
        ("FROM ${A:-${B:-${C:-nginx}}}", {}, "nginx", []),
        ("ARG A=\nFROM ${A-a}${A:-b}${A+c}${A:+d}:1", {}, "bc:1", []),
        ("ARG V=8\nFROM php:$V-fpm", {}, "php:8-fpm", []),
        ("ARG V\nFROM php:${V:?needed}", {}, "php:", ["V"]),
        ("ARG REGISTRY=\nFROM ${REGISTRY}node:20", {}, "node:20", []),
        ("ARG A=1\nARG B=$A.2\nFROM 'x':\"$B\"", {}, "x:1.2", []),
        ("FROM x AS build_amd64\nFROM build_${TARGETARCH}${TARGETVARIANT}", {}, "x", []),
        ("FROM --platform=$BUILDPLATFORM x:${TARGETOS}_$BUILDARCH", {}, "x:linux_amd64", []),
        ("ARG V=1\nFROM y\nARG V=2\nARG W=3\nFROM x:$V${W:-4}", {}, "x:14", []),
    ],
)
def test_arguments__say_what_a_stage_is_based_on(
    before: str, given_values: dict[str, str], image: str, missing: list[str]
) -> None:
    file = parse_dockerfile(f"{before}\nCMD x", given_values)

    assert file.find_stage().image == image
    assert list(file.arguments) == missing


@pytest.mark.parametrize("base", ["${BASE}", "python:$TAG-slim"])
def test_images__are_as_they_are_written_if_a_variable_has_no_value(base: str) -> None:
    assert parse_dockerfile(f"FROM {base} AS web\nFROM web").images == [base, "web"]


@pytest.mark.parametrize(
    ("lines", "given_values", "value"),
    [
        ("ARG V=1\nENV X=$V", {}, "1"),
        ("ARG V=1\nENV X=$V", {"V": ""}, ""),
        ("ARG GLOBAL\nENV X=$GLOBAL", {}, "all"),
        ("ARG GLOBAL\nENV X=$GLOBAL", {"GLOBAL": "given"}, "given"),
        ("ENV X=${GLOBAL-none}", {}, "none"),
        ("ENV A=1\nARG V=$A\nENV X=$V", {}, "1"),
        ("ARG V=1\nENV V=2\nENV X=$V", {}, "2"),
        ("ARG V=1\nFROM y\nENV X=$V", {}, ""),
        ("ARG V=1\nFROM first\nENV X=$V", {}, "1"),
        ("ARG TARGETARCH\nENV X=$TARGETARCH", {}, "amd64"),
    ],
)
def test_arguments__hold_for_their_stage_and_those_based_on_it(
    lines: str, given_values: dict[str, str], value: str
) -> None:
    file = parse_dockerfile(f"ARG GLOBAL=all\nFROM x AS first\n{lines}\n", given_values)
    assert file.find_stage().env["X"] == value


@pytest.mark.parametrize(
    ("line", "env"),
    [
        ("ENV PORT\t3000", {"PORT": "3000"}),
        ('ENV PORT "3000"', {"PORT": "3000"}),
        ("ENV server.port=80 PORT=8080", {"server.port": "80", "PORT": "8080"}),
        ("ENV A='$X' B=\\$X C=\"it's $X\"", {"A": "$X", "B": "$X", "C": "it's 1"}),
        ("ENV A=a\\ b \\\n\n  # comment\n  B=c", {"A": "a b", "B": "c"}),
        ("ENV P=/a:\\\n/b", {"P": "/a:/b"}),
        ("ENV A=$X$ B=${X", {"A": "1$", "B": "${X"}),
        ("ENV A", {"A": ""}),
    ],
)
def test_variables__are_written_in_several_ways(line: str, env: dict[str, str]) -> None:
    assert parse_dockerfile(f"FROM x\nENV X=1\n{line}\n").find_stage().env == {"X": "1", **env}


@pytest.mark.parametrize(
    ("line", "workdir"),
    [("app", "/app"), ("$HOME_", "/home/x"), ('"/a b"', "/a b"), ("/a\nWORKDIR b", "/a/b"), ("/a\nWORKDIR /b", "/b")],
)
def test_workdir__is_a_path(line: str, workdir: str) -> None:
    assert parse_dockerfile(f"FROM x\nENV HOME_=/home/x\nWORKDIR {line}").find_stage().workdir == workdir


@pytest.mark.parametrize(
    ("line", "health"),
    [
        ("--interval=5s CMD curl 'localhost':$PORT || exit 1", "curl localhost:80 || exit 1"),
        ('CMD ["node", "-e", "get(\'http://localhost:80/x\')"]', "node -e get('http://localhost:80/x')"),
        ("none", ""),
        ("NONE", ""),
    ],
)
def test_health__is_a_command(line: str, health: str) -> None:
    text = f"FROM x AS base\nHEALTHCHECK CMD check\nFROM base\nENV PORT=80\nHEALTHCHECK {line}"
    assert parse_dockerfile(text).find_stage().health == health


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("EXPOSE 80 443/tcp", [80, 443]),
        ("EXPOSE 5353/udp 12345/UDP 8/tcp", [8]),
        ("EXPOSE 8000-8010", [8000, 8010]),
        ('EXPOSE "8080"', [8080]),
        ("ARG PORT=7000\nENV PORT=$PORT\nEXPOSE $PORT", [7000]),
        ('ENV PORTS="80 81"\nEXPOSE $PORTS', [80, 81]),
        ("EXPOSE 3000:3001 127.0.0.1:80:81/tcp", [3001, 81]),
        ("EXPOSE 0 65536 99999 x", []),
    ],
)
def test_ports__are_those_of_tcp(line: str, ports: list[int]) -> None:
    assert parse_dockerfile(f"FROM x\n{line}\n").find_stage().ports == ports


def test_lines_of_a_script__are_no_instructions() -> None:
    text = (
        "FROM php:8\n"
        "RUN <<EOF\nfrom os import path\nEXPOSE 1\ndocker-php-ext-install gd\napt-get update\nEOF\n"
        'COPY <<-"A" <<B /x/\n\tFROM a\n\tA\nFROM b\nB\n'
        "RUN cat <<<WORD && \\\n    # a comment\n    echo $((1 << two))\n"
        "RUN <<NEVER\nEXPOSE 80\n"
    )
    file = parse_dockerfile(text)

    assert file.images == ["php:8"]
    assert file.find_stage().ports == [80]  # a word that never comes begins no script
    assert file.find_stage().extensions == ["ext-gd"]
    assert file.copied == [()]


@given(st.text(max_size=80))
def test_any_text__can_be_parsed(text: str) -> None:
    parse_dockerfile(f"FROM {text}\nEXPOSE {text}\nENV {text}\nCMD {text}\nRUN <<{text}\n{text}").find_stage(text)


@pytest.mark.parametrize(
    "text",
    [
        "FROM x\nENV A=xxxxxxxxxx\n" + "ENV A=$A$A\n" * 10_000,
        "FROM x AS a\nENV A=xxxxxxxxxx\n" + "ENV A=$A$A\n" * 10 + "ENV " + " ".join(f"A{n}=$A" for n in range(10_000)),
        "FROM x AS a\nEXPOSE " + " ".join(map(str, range(10_000))) + "\nFROM a AS a" * 5000,
        "FROM x AS a\nRUN docker-php-ext-install" + " a" * 40_000 + "\nFROM a AS a" * 4000,
        "FROM x\nENV A=/xxxxxxxxxx\n" + "ENV A=$A$A\n" * 10 + "WORKDIR .$A\n" * 9000,
        "FROM x\nRUN " + "<<A " * 15_000 + "\nA" * 30_000,
        "FROM x\nRUN <<A" + "\nRUN <<A" * 15_000,
        "FROM x\nRUN a" + "\\\n" * 60_000,
        "FROM x" + "\nENV A=" + "${A:-" * 25_000,
        "FROM x\nENV A=" + '"\\"' * 40_000,
        "FROM x\nCMD " + "x" * 130_000,
        "FROM x\nCOPY " + "$A " * 40_000,
        "FROM x\n" * 100_000,
    ],
)
def test_a_hostile_file__takes_little_time_and_memory(text: str) -> None:
    """Each took minutes, or all memory. The suite limits the time of each test."""
    file = parse_dockerfile(text)
    assert sum(len(value) for stage in file.stages for value in (*stage.env.values(), stage.workdir)) < 2**23
    assert sum(len(stage.ports) + len(stage.extensions) for stage in file.stages) < 2**18


def test_a_file__may_begin_with_a_mark_and_is_read_again_if_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("ARG V=1\nFROM a:$V", encoding="utf-8-sig")
    assert read_dockerfile(path).images == ["a:1"]
    assert read_dockerfile(path) is read_dockerfile(path, {})
    assert read_dockerfile(path, {"V": "2"}).images == ["a:2"]
    path.write_text("FROM changed", encoding="utf-8")
    assert read_dockerfile(path).images == ["changed"]


def test_a_file_that_cannot_be_read__is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("FROM x\n" + "#" * 2**17, encoding="utf-8")

    for path in (tmp_path, tmp_path / "missing", tmp_path / "large"):
        assert read_dockerfile(path) == Dockerfile()
