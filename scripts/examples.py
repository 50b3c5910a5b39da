"""Measure the examples: each as a user's repository, unchanged and with its known slowdown.

    .venv/bin/python scripts/examples.py [NAME…] [--minutes N] [--output DIR]

For each example: two commits (the example without our files, and its slowdown), a clone, `bench-action init`, a
correction of what that wrote if it chose another path, and `bench-action run --baseline` of the slowdown, which must be
found and named. Then the example with its own `bench.yml` against itself, which must pass. Prints a table in markdown;
exit status 1 if a verdict is not as expected.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench_action.model.result import Result
from bench_action.report.headline import choose_headline

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples"
PATCH = "slowdown.patch"
OWN_FILES = ("bench.yml", ".github")  # what `init` writes
_TOOL = (sys.executable, "-m", "bench_action")
_GIT = ("git", "-c", "user.name=An Author", "-c", "user.email=author@example.invalid", "-c", "commit.gpgsign=false")
_CHANGED = ("improved", "regressed", "invalid")


@dataclass(frozen=True)
class Example:
    """A folder of `examples`, and how its slowdown is found.

    `images`: the base images that not every run needs, as `tests/images/build.sh` names them. `cause`: what the
    report says, as a regular expression. `path`: what is measured, if `init` chooses another path, as it does if routes
    have parameters or if it does not know the framework.
    """

    name: str
    title: str
    slowdown: str
    cause: str
    images: tuple[str, ...] = ()
    path: str = ""

    @property
    def folder(self) -> Path:
        """Where it is."""
        return FOLDER / self.name


_OWN_CODE = "the application's own code takes more CPU"
EXAMPLES = {
    example.name: example
    for example in (
        Example("django", "Django, Celery", "a query for each row (N+1)", "new query: .*todo_project"),
        Example(
            "fastapi", "FastAPI, SQLAlchemy, Alembic", "a migration drops an index", "a lost index", path="/authors/7"
        ),
        Example("flask", "Flask", "counting in quadratic time", _OWN_CODE),
        Example("sinatra", "Sinatra, Sequel", "no cache", "new query: .*sum.*points", ("ruby",)),
        Example("express", "Express", "a query in a loop (N+1)", "new query: .*FROM comment", ("node",)),
        Example("go", "Go, in an image without a shell", "JSON encoded twice", _OWN_CODE, ("go",), "/stations/3"),
        Example("jvm", "Java, JDBC", "a regular expression for each text", _OWN_CODE, ("java",), "/products"),
        Example("php", "PHP, Apache", "an array copied in a loop", _OWN_CODE, ("php",), "/genres"),
    )
}


@dataclass(frozen=True)
class Measured:
    """How a run ended: exit status, seconds from the clone to the verdict, and what it wrote (None: nothing)."""

    status: int
    seconds: float
    log: str
    result: Result | None = None
    report: str = ""


def make_repository(example: Example, folder: Path, *, unwanted: Iterable[str] = ()) -> None:
    """Make a repository in a new folder, with two commits: the example, and its slowdown; without `unwanted` files."""
    ignored = shutil.ignore_patterns(PATCH, "bench-results", "node_modules", "__pycache__", *unwanted)
    shutil.copytree(example.folder, folder, ignore=ignored)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _commit(folder, f"Add {example.title}")
    _git(folder, "apply", str(example.folder / PATCH))
    _commit(folder, f"Slow down: {example.slowdown}")


def measure_slowdown(example: Example, folder: Path, output: Path, minutes: str) -> Measured:
    """Measure the slowdown from a clone without our files, with what `init` writes for it."""
    make_repository(example, folder / "origin", unwanted=OWN_FILES)
    began = time.monotonic()
    clone = _clone(folder / "origin", folder / "clone")
    subprocess.run([*_TOOL, "init"], cwd=clone, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    correct(example, clone / "bench.yml")
    _commit(clone, "Add a benchmark")
    _git(clone, "cherry-pick", "main")
    return _measure(clone, output, minutes, "HEAD~1", began)


def measure_unchanged(example: Example, folder: Path, output: Path, minutes: str) -> Measured:
    """Measure the example, with its own `bench.yml`, against itself."""
    make_repository(example, folder / "origin")
    began = time.monotonic()
    return _measure(_clone(folder / "origin", folder / "clone"), output, minutes, "HEAD", began)


def correct(example: Example, file: Path) -> None:
    """Put another path into what `init` wrote, if it chose another, and name its profile after it."""
    if example.path:
        text = re.sub(r"(?<=\bpath: )[^\s,{}]+(?=[,}])", example.path, file.read_text(encoding="utf-8"))
        text = re.sub(r"^  [\w-]+(?=: \{path: )", f"  {example.path.split('/')[1]}", text, flags=re.MULTILINE)
        file.write_text(text, encoding="utf-8")


def _clone(origin: Path, clone: Path) -> Path:
    """Clone a repository, and check its first commit out."""
    _git(origin, "clone", "--quiet", str(origin), str(clone))
    _git(clone, "checkout", "--quiet", "--detach", "main~1")
    return clone


def _measure(clone: Path, output: Path, minutes: str, baseline: str, began: float) -> Measured:
    command = [*_TOOL, "run", "--engine", "docker", "--preset", "ci", "--max-minutes", minutes]
    command += ["--baseline", baseline, "--output", str(output)]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    measured = Measured(done.returncode, time.monotonic() - began, done.stderr + done.stdout)
    if not (output / "report.md").is_file():
        return measured
    result = Result.model_validate_json((output / "result.json").read_text(encoding="utf-8"))
    return replace(measured, result=result, report=(output / "report.md").read_text(encoding="utf-8"))


def find_faults(example: Example, slow: Measured, same: Measured) -> Iterator[str]:
    """Find what is not as expected in the two runs of an example."""
    if slow.result is None or (slow.status, slow.result.verdict) != (1, "regressed"):
        yield f"the slowdown was not found: {_describe(slow)}"
    elif not re.search(example.cause, slow.report):
        yield f"the slowdown was not named ({example.cause}):\n{slow.report}"
    if same.result is None or same.status != 0 or same.result.verdict in _CHANGED:
        yield f"unchanged code did not pass: {_describe(same)}"


def main(arguments: Sequence[str]) -> int:
    """Measure the named examples, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXAMPLES))
    parser.add_argument("--minutes", default="3", help="the most that each measurement takes (default: 3)")
    parser.add_argument("--output", type=Path, default=Path("bench-results/examples"), help="folder for the results")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(EXAMPLES):
        parser.error(f"unknown example {min(unknown)}; choose from {', '.join(EXAMPLES)}")
    chosen = [EXAMPLES[name] for name in options.names or EXAMPLES]
    _prepare(chosen)
    rows, faults = [], []
    for example in chosen:
        slow, same = _measure_both(example, options.output.resolve() / example.name, options.minutes)
        found = list(find_faults(example, slow, same))
        faults += [f"{example.name}: {fault}" for fault in found]
        rows.append(_render_row(example, slow))
        sys.stderr.write(f"{rows[-1]}  against itself: {same.result.verdict if same.result else 'no result'}\n")
    print("| Example | Slowdown | From clone to verdict | Verdict |\n| --- | --- | ---: | --- |")
    print("\n".join(rows))
    sys.stderr.write("".join(f"error: {fault}\n" for fault in faults))
    return 1 if faults else 0


def _measure_both(example: Example, output: Path, minutes: str) -> tuple[Measured, Measured]:
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as text:
        slow, same = Path(text) / "slow", Path(text) / "same"
        return (
            measure_slowdown(example, slow, output / "slow", minutes),
            measure_unchanged(example, same, output / "same", minutes),
        )


def _prepare(examples: Sequence[Example]) -> None:
    """Have compose and the base images."""
    images = sorted({image for example in examples for image in example.images})
    build = str(ROOT / "tests" / "images" / "build.sh")
    subprocess.run([build], check=True)
    if images:
        subprocess.run([build, *images], check=True)
    done = subprocess.run([str(ROOT / "scripts" / "compose.sh")], cwd=ROOT, check=True, capture_output=True, text=True)
    os.environ["DOCKER_CONFIG"] = done.stdout.strip()


def _render_row(example: Example, measured: Measured) -> str:
    sentence = choose_headline(measured.result).text if measured.result else f"none (exit status {measured.status})"
    took = f"{measured.seconds // 60:.0f} min {measured.seconds % 60:.0f} s"
    return f"| [{example.title}](examples/{example.name}) | {example.slowdown} | {took} | {sentence} |"


def _describe(measured: Measured) -> str:
    verdict = measured.result.verdict if measured.result else "no result"
    return f"exit status {measured.status}, {verdict}:\n{measured.log[-2000:]}"


def _commit(folder: Path, subject: str) -> None:
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", subject)


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run([*_GIT, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
