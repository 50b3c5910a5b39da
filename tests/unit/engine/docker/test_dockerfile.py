"""What a Dockerfile asks for that only BuildKit builds right."""

import pytest

from bench_action.engine.docker.dockerfile import declared_platform_args, find_heredoc

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "found"),
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
def test_find_heredoc__as_buildkit_does(text: str, found: str) -> None:
    assert find_heredoc(text) == found


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
def test_find_heredoc__not_what_only_looks_like_one(text: str) -> None:
    assert find_heredoc(text) == ""


def test_find_heredoc__ends_soon_whatever_the_text() -> None:
    """Quotes that never end, and words that all begin one: a quadratic reader would take hours."""
    for text in ("RUN " + "a\"'" * 300_000, "RUN " + "\\" * 900_000, "RUN " + "<<A " * 300_000 + "\nB" * 300_000):
        assert find_heredoc(text) == ""


def test_declared_platform_args__without_a_default() -> None:
    text = "ARG BUILDPLATFORM\nFROM --platform=$BUILDPLATFORM x\nARG TARGETARCH OTHER\nARG TARGETOS=linux\n"
    assert declared_platform_args(text) == {"BUILDPLATFORM", "TARGETARCH"}
