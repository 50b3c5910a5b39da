"""What a Dockerfile may contain that only BuildKit builds right."""

import pytest

from bench_action.engine.docker.dockerfile import find_frontend, find_heredoc, find_misread, find_platform_args

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "heredoc"),
    [
        ("FROM x\nRUN cat <<EOF >/f\nx\nEOF\n", "<<EOF"),
        ("run <<EOF\necho one\nEOF\n", "<<EOF"),
        ("COPY <<'EOF' /f\nx\nEOF\n", "<<'EOF'"),
        ('ADD <<"END" /f\r\nx\r\nEND\r\n', '<<"END"'),
        ("RUN true && \\\n # a comment\n  cat <<-EOF\n\tx\n\tEOF\n", "<<-EOF"),
        ("# escape=`\nRUN one `\n  3<<A 4<<B\nA\nB\n", "3<<A"),
        ("ONBUILD RUN python3 - <<PY\nPY\n", "<<PY"),
    ],
)
def test_find_heredoc__as_buildkit_does(text: str, heredoc: str) -> None:
    assert find_heredoc(text) == heredoc


@pytest.mark.parametrize(
    "text",
    [
        "RUN echo $((1<<3))\n3))\n",
        "RUN echo $(( 1 <<3 ))\n",
        "RUN echo '<<EOF'\nEOF\n",
        'RUN ["sh", "-c", "cat <<EOF"]\nEOF\n',
        "# RUN cat <<EOF\nRUN true\n# EOF\n",
        "RUN cat <<< word\nword\n",
        "CMD cat <<EOF\nEOF\n",
        "",
    ],
)
def test_find_heredoc__ignores_what_only_looks_like_one(text: str) -> None:
    assert find_heredoc(text) == ""


def test_find_heredoc__is_fast_for_any_text() -> None:
    """Unclosed quotes, and words that could all start one: a quadratic parser would take hours."""
    for text in ("RUN " + "a\"'" * 300_000, "RUN " + "\\" * 900_000, "RUN " + "<<A " * 300_000 + "\nB" * 300_000):
        assert find_heredoc(text) == ""


def test_find_platform_args__only_without_a_default() -> None:
    text = "ARG BUILDPLATFORM\nFROM --platform=$BUILDPLATFORM x\nARG TARGETARCH OTHER\nARG TARGETOS=linux\n"
    assert find_platform_args(text) == {"BUILDPLATFORM", "TARGETARCH"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("FROM x\nCOPY --exclude=*.md . /app\n", "`COPY --exclude`"),
        ("FROM x\nCOPY --chown=1 --parents a/b /app\n", "`COPY --parents`"),
        ("FROM x\nADD --checksum=sha256:0 http://y/z /z\n", "`ADD --checksum`"),
        ("FROM x\nadd --keep-git-dir=true . /z\n", "`ADD --keep-git-dir`"),
        ("FROM x\nADD --unpack=false a.tar \\\n /z\n", "`ADD --unpack`"),
        ("FROM x\nADD https://example.org/a/b.git /z\n", "clones `ADD https://example.org/a/b.git`"),
        ("FROM x\nADD https://example.org/a/b.git#v1:sub /z\n", "clones"),
        ("FROM x\nADD https://github.com/a/b#v1 /z\n", "clones"),
        ("FROM base${TARGETVARIANT}\n", "sets TARGETVARIANT in `FROM`"),
        ("FROM --platform=$BUILDPLATFORM x\n", "sets BUILDPLATFORM in `FROM`"),
        ("FROM x\nARG TARGETARCH\nFROM y-$TARGETARCH\n", "sets TARGETARCH in `FROM`"),
        ("# syntax=example.org/other:1\nFROM x\n", "`# syntax=example.org/other:1`"),
        ("FROM x\nRUN cat <<EOF\nEOF\n", "here-documents"),
    ],
)
def test_find_misread__names_what_the_classic_builder_would_ignore(text: str, part: str) -> None:
    problem = find_misread(text)
    assert part in problem
    assert problem.startswith("only BuildKit ")


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=docker/dockerfile:1\n# check=skip=all\nFROM x\n",
        "# syntax = docker.io/docker/dockerfile-upstream:1.7@sha256:0\nFROM x\n",
        "ARG TARGETARCH\nFROM --platform=linux/$TARGETARCH x AS y\nFROM y\n",
        "FROM x\nARG TARGETARCH\nRUN echo $TARGETARCH\n",
        "FROM x\nCOPY --from=y --chown=1:1 --link a /--exclude\n",
        "FROM x\nADD http://y/z.tar.gz https://github.com/a/b/archive/v1.tar.gz /z\n",
        "FROM x\nRUN echo COPY --exclude=y z\n",
        "FROM x\n# COPY --exclude=y z\nCOPY . .\n",
    ],
)
def test_find_misread__accepts_what_it_builds_right(text: str) -> None:
    assert find_misread(text) == ""


@pytest.mark.parametrize(
    ("text", "frontend"),
    [
        ("#syntax=a/b:1\nFROM x\n", "a/b:1"),
        ("# escape=`\n#  SYNTAX = a/b \nFROM x\n", "a/b"),
        ("# a comment\n# syntax=a/b\nFROM x\n", ""),
        ("\n# syntax=a/b\nFROM x\n", ""),
        ("FROM x\n# syntax=a/b\n", ""),
        ("", ""),
    ],
)
def test_find_frontend__only_before_anything_else(text: str, frontend: str) -> None:
    assert find_frontend(text) == frontend


def test_find_frontend__is_fast_for_any_text() -> None:
    """Blanks that could belong to the value or follow it: a quadratic pattern would take hours."""
    name = "a" + " " * 900_000 + "b"
    assert find_frontend(f"# syntax={name}\nFROM x\n") == name
