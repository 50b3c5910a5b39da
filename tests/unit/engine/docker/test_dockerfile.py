"""What a Dockerfile may contain that only BuildKit builds right."""

import pytest

from bench_action.engine.docker.dockerfile import find_heredoc, find_platform_args

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
