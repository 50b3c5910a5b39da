"""The files of a history in its branch or folder: monthly shards, an index of them, and a README. Pure.

`records/2026-11.jsonl` has the records of the runs that began in that month (UTC), one per line. `index.json` describes
each shard, so that a reader opens only the shards that it needs.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationError

from bench_action.history.record import REBUILT, SHORT, Record, normalize_time, render_line
from bench_action.model.errors import InputError
from bench_action.model.result import Frozen

INDEX: Final = "index.json"
README: Final = "README.md"
FORMAT: Final = "bench-action history"
INDEX_VERSION: Final = 1

Kept = Literal["all", "day", "week"]
Moment = Annotated[str, AfterValidator(normalize_time)]  # UTC, to the second

_SHARD = re.compile(r"records/(?!0000)\d{4}-(0[1-9]|1[0-2])\.jsonl")
_HASH = 12  # hexadecimal digits of a run id's hash: among 100,000 runs, two have the same once in 50,000 histories


class Shard(Frozen):
    """The contents of one month.

    `blob` is the name that git gives the file; `runs` has the hashes of all its run ids, joined.
    """

    records: int
    bytes: int
    blob: str
    first: Moment
    last: Moment
    cells: tuple[str, ...]
    runs: str
    kept: Kept = "all"


class Index(Frozen):
    """All months. `marks` are (run id, cell) of records that are never thinned: the first record after each change."""

    format: Literal["bench-action history"] = FORMAT
    schema_version: Literal[1] = INDEX_VERSION
    shards: dict[str, Shard] = Field(default_factory=dict)
    marks: tuple[tuple[str, str], ...] = ()

    @property
    def records(self) -> int:
        """Number of records."""
        return sum(shard.records for shard in self.shards.values())

    @property
    def newest(self) -> str:
        """Start of the newest run; empty if there are no records."""
        return max((shard.last for shard in self.shards.values()), default="")

    def read_run_hashes(self) -> set[str]:
        """Split out the hashes of all run ids that were ever written, including runs that have been thinned away."""
        joined = (shard.runs for shard in self.shards.values())
        return {runs[start : start + _HASH] for runs in joined for start in range(0, len(runs), _HASH)}

    def find_shards(self, since: str, cells: Collection[str] = ()) -> list[str]:
        """Find the shards with records since `since` of any of these cells; without cells, of all."""
        return [
            path
            for path, shard in sorted(self.shards.items())
            if shard.last >= since and (not cells or not set(cells).isdisjoint(shard.cells))
        ]


def name_shard(at: str) -> str:
    """Name the file of a record by the start of its run."""
    return f"records/{at[:7]}.jsonl"


def hash_run(run_id: str) -> str:
    """Hash a run id for the index."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:_HASH]


def name_blob(content: bytes) -> str:
    """Compute the name that git gives a file with this content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def append_records(content: bytes, shard: Shard | None, records: Sequence[Record]) -> tuple[bytes, Shard]:
    """Append records (at least one) to a month's file, and describe the result for the index."""
    if content and not content.endswith(b"\n"):
        content += b"\n"
    content += "".join(f"{render_line(record)}\n" for record in records).encode()
    return content, describe_shard(content, shard, records)


def describe_shard(content: bytes, before: Shard | None, added: Sequence[Record]) -> Shard:
    """Describe a month's file for the index, from the description before and the added records."""
    times = [record.at for record in added]
    cells = {record.cell for record in added}
    runs = dict.fromkeys(hash_run(record.run_id) for record in added)
    known = before.runs if before else ""
    kept: Kept = "all"
    if before is not None:
        times, cells, kept = [*times, before.first, before.last], cells | set(before.cells), before.kept
    return Shard(
        records=(before.records if before else 0) + len(added),
        bytes=len(content),
        blob=name_blob(content),
        first=min(times),
        last=max(times),
        cells=tuple(sorted(cells)),
        runs=known + "".join(runs),
        kept=kept,
    )


def render_index(index: Index) -> bytes:
    """Render the index with one value per line, so that git stores small deltas."""
    return (json.dumps(index.model_dump(), indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def parse_index(content: bytes, place: str) -> Index:
    """Parse the index. Raises InputError if another program or a newer version wrote it, or if it is broken."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _broken_index_error(place, f"it is not valid JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise foreign_files_error([INDEX], place)
    version = fields.get("schema_version")
    if isinstance(version, int) and version > INDEX_VERSION:
        raise InputError(
            f"the history has schema version {version}, but this bench-action supports only {INDEX_VERSION} and older",
            where=place,
            cause="a newer bench-action wrote it",
            advice="update bench-action",
        )
    try:
        return Index.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise _broken_index_error(place, f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}") from error


def select_shards(paths: Iterable[str]) -> list[str]:
    """Select the files that are months, the oldest first."""
    return sorted(path for path in paths if _SHARD.fullmatch(path))


def require_history(paths: Collection[str], place: str) -> None:
    """Raise InputError if there are files but neither an index nor a month, so that none is overwritten."""
    if paths and INDEX not in paths and not select_shards(paths):
        raise foreign_files_error(sorted(paths), place)


def find_difference(index: Index, files: Mapping[str, str]) -> str:
    """Describe how index and shards differ; empty if they agree. `files`: path → git's name of it, empty if unknown."""
    existing = set(select_shards(files))
    if missing := sorted(set(index.shards) - existing):
        return f"{missing[0]} is missing, although the index lists {index.shards[missing[0]].records} records in it"
    if unknown := sorted(existing - set(index.shards)):
        return f"{unknown[0]} is not in the index"
    for path, shard in sorted(index.shards.items()):
        if len(files[path]) == len(shard.blob) and files[path] != shard.blob:  # a SHA-256 repository has other names
            return f"{path} does not match the index"
    return ""


def foreign_files_error(paths: Sequence[str], place: str) -> InputError:
    """Build the error for a place with another program's files."""
    more = ", …" if len(paths) > 3 else ""
    return InputError(
        f"{place} has files that are not a history: {', '.join(paths[:3])}{more}",
        cause="bench-action did not write them",
        advice="choose another branch (`history-branch`, --branch) or folder; nothing was written",
    )


def _broken_index_error(place: str, cause: str) -> InputError:
    return InputError(
        f"could not read {INDEX} of the history",
        where=place,
        cause=cause,
        advice=f"restore it from an earlier commit, or delete it: {REBUILT}",
    )


def render_readme() -> bytes:
    """Render the README for anyone who opens the branch."""
    short = ", ".join(f"`{short}` {name}" for name, short in SHORT.items())
    text = f"""# History of benchmarks

bench-action appends the records of each run here. Please leave this branch to it: edit nothing, merge it nowhere, and
never force-push it.

`records/YYYY-MM.jsonl` has the runs that began in that month (UTC), one line of JSON for each cell (variant and
profile) of each run. `index.json` lists what is in each month; if it is missing, the next append rebuilds it from the
records, but which changes were reported is lost. Old records are thinned: all of the last 90 days are kept, then one
per day, and after a year one per week; runs of unchanged code are all kept.

| field | meaning |
|---|---|
| `run`, `at` | the run, and when it began |
| `sha`, `ref`, `ct` | the measured commit; when it was committed, which is its place in the history |
| `cfg`, `key`, `job` | the benchmark: its configuration, the comment's key, workflow and job; left out if empty |
| `preset`, `engine` | how it was measured; these five tell the trends of several benchmarks apart |
| `machine`, `cpu` | the machine's fingerprint (compare only records with the same one), and its CPU |
| `tool` | the version of bench-action |
| `m` | metrics: mean, and the bounds of its 99 % interval |
| `c`, `cid` | the same divided by the control's in the same run: ratio and bounds; and which control it was |
| `work` | queries, rows and cache commands per request |
| `same` | of a run that compared code with itself: verdict, false alarms, smallest detectable changes, runner |

Metrics: {short}.
"""
    return text.encode()
