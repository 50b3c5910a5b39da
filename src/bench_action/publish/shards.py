"""Find, merge and write the results that the shards of a run have left in folders."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench_action.compare.merge import merge
from bench_action.github.artifacts import RESULT
from bench_action.model.errors import InputError
from bench_action.model.result import Result
from bench_action.publish.result import require_usual_size
from bench_action.report.folder import OutputFolder, explain_contradictions


def merge_folders(folders: Sequence[Path], read: Callable[[Path], Result]) -> Result:
    """Merge the results in output folders, or in folders of such folders. `read`: reads that of one output folder.

    Raises InputError.
    """
    results = [read(folder) for folder in find_results(folders)]
    with explain_contradictions("could not merge the results of these shards"):
        return merge(results)


def write_merged(result: Result, folder: Path) -> None:
    """Write a merged result into an output folder, as a run does. Raises InputError."""
    output = OutputFolder(folder)
    output.begin()
    for trial in result.trials:
        output.append(trial)
    output.write(result)


def find_results(folders: Sequence[Path]) -> list[Path]:
    """Find the output folders among these folders, or directly in them. Raises InputError for one without any."""
    found: list[Path] = []
    for folder in folders:
        own = [folder] if (folder / RESULT).is_file() else sorted(path.parent for path in folder.glob(f"*/{RESULT}"))
        if not own:
            raise InputError(
                f"{folder} has no {RESULT}, and no folder in it does",
                advice="name the output folders of the shards, or the folder with all of their artifacts",
            )
        found += own
    return list(dict.fromkeys(path.resolve() for path in found))


def read_published(folder: Path, read: Callable[[Path], Result]) -> Result:
    """Read the result of another run: one, or those of its shards, which are merged. Raises InputError."""
    results = [read(path) for path in find_results([folder])]
    if len(results) == 1 and len(results[0].shards) != 1:  # of one runner, or merged by its own workflow
        return results[0]
    with explain_contradictions("could not merge the other jobs' results"):
        merged = merge(results)
    require_usual_size(merged)
    return merged
