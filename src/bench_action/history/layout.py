"""How a history lies in its branch or folder: monthly shards of lines, an index of them, and a README. Pure.

`records/2026-11.jsonl` has the records of the runs that began in that month (UTC), one a line, appended. `index.json`
says of each shard what is in it, so that only those are read that are needed.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

from pydantic import Field, ValidationError

from bench_action.history.record import SHORT, Record, line_of
from bench_action.model.errors import InputError
from bench_action.model.result import Frozen

INDEX: Final = "index.json"
README: Final = "README.md"
FORMAT: Final = "bench-action history"
INDEX_VERSION: Final = 1

Kept = Literal["all", "day", "week"]

_SHARD = re.compile(r"records/(?!0000)\d{4}-(0[1-9]|1[0-2])\.jsonl")
_HASH = 12  # hexadecimal digits of a run id's hash: among 100,000 runs, two are alike once in 50,000 histories


class Shard(Frozen):
    """What is in one month. `blob` is the name that git gives the file; `runs` the hashes of all run ids, joined."""

    records: int
    bytes: int
    blob: str
    first: str
    last: str
    cells: tuple[str, ...]
    runs: str
    kept: Kept = "all"


class Index(Frozen):
    """All months. `marks` are (run id, cell) of the records that are never thinned: the first after a change."""

    format: Literal["bench-action history"] = FORMAT
    schema_version: Literal[1] = INDEX_VERSION
    shards: dict[str, Shard] = Field(default_factory=dict)
    marks: tuple[tuple[str, str], ...] = ()

    @property
    def records(self) -> int:
        """How many there are."""
        return sum(shard.records for shard in self.shards.values())

    @property
    def newest(self) -> str:
        """When the newest record's run began; empty without one."""
        return max((shard.last for shard in self.shards.values()), default="")

    def runs(self) -> set[str]:
        """Hashes of the run ids that were ever written, those included whose records have been thinned."""
        joined = (shard.runs for shard in self.shards.values())
        return {runs[start : start + _HASH] for runs in joined for start in range(0, len(runs), _HASH)}

    def needed(self, since: str, cells: Collection[str] = ()) -> list[str]:
        """The shards that have records not before `since`, of any of these cells (all, where none is named)."""
        return [
            path
            for path, shard in sorted(self.shards.items())
            if shard.last >= since and (not cells or not set(cells).isdisjoint(shard.cells))
        ]


def shard_of(at: str) -> str:
    """The file of a record, by its run's beginning."""
    return f"records/{at[:7]}.jsonl"


def run_hash(run_id: str) -> str:
    """As the index has it."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:_HASH]


def blob_name(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def appended(content: bytes, shard: Shard | None, records: Sequence[Record]) -> tuple[bytes, Shard]:
    """A month's file with records at its end, and what the index says of it then. `records` is not empty."""
    if content and not content.endswith(b"\n"):
        content += b"\n"
    content += "".join(f"{line_of(record)}\n" for record in records).encode()
    return content, describe(content, shard, records)


def describe(content: bytes, before: Shard | None, added: Sequence[Record]) -> Shard:
    """What the index says of a month's file, from what it said and the records that came."""
    times = [record.at for record in added]
    cells = {record.cell for record in added}
    runs = dict.fromkeys(run_hash(record.run_id) for record in added)
    known = before.runs if before else ""
    kept: Kept = "all"
    if before is not None:
        times, cells, kept = [*times, before.first, before.last], cells | set(before.cells), before.kept
    return Shard(
        records=(before.records if before else 0) + len(added),
        bytes=len(content),
        blob=blob_name(content),
        first=min(times),
        last=max(times),
        cells=tuple(sorted(cells)),
        runs=known + "".join(runs),
        kept=kept,
    )


def render_index(index: Index) -> bytes:
    """A line for each value, which git's deltas like."""
    return (json.dumps(index.model_dump(), indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def parse_index(content: bytes, place: str) -> Index:
    """Raises InputError where it is another program's, a newer version's, or broken."""
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise _broken_index(place, f"it is no JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise something_else([INDEX], place)
    version = fields.get("schema_version")
    if isinstance(version, int) and version > INDEX_VERSION:
        raise InputError(
            f"the history has schema version {version}, and this bench-action knows {INDEX_VERSION} and older ones",
            where=place,
            cause="a newer bench-action wrote it",
            advice="update bench-action",
        )
    try:
        return Index.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise _broken_index(place, f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}") from error


def shards_in(paths: Iterable[str]) -> list[str]:
    """Those of the files that are months, in their order."""
    return sorted(path for path in paths if _SHARD.fullmatch(path))


def demand_ours(paths: Collection[str], place: str) -> None:
    """Raises InputError where something is there, and neither an index nor a month: nothing of it is overwritten."""
    if paths and INDEX not in paths and not shards_in(paths):
        raise something_else(sorted(paths), place)


def disagreement(index: Index, files: Mapping[str, str]) -> str:
    """How index and shards differ; empty where they agree. `files`: path → git's name of it, empty if not known."""
    there = set(shards_in(files))
    if missing := sorted(set(index.shards) - there):
        return f"{missing[0]} is gone, and the index says that it has {index.shards[missing[0]].records} records"
    if unknown := sorted(there - set(index.shards)):
        return f"{unknown[0]} is there, and the index does not know it"
    for path, shard in sorted(index.shards.items()):
        if len(files[path]) == len(shard.blob) and files[path] != shard.blob:  # a SHA-256 repository has other names
            return f"{path} is not what the index says of it"
    return ""


def something_else(paths: Sequence[str], place: str) -> InputError:
    """The refusal to write where somebody else does."""
    more = ", …" if len(paths) > 3 else ""
    return InputError(
        f"there is something else in {place}: {', '.join(paths[:3])}{more}",
        cause="it was not made by bench-action",
        advice="another branch (`history-branch`, --branch) or folder; nothing was written",
    )


def _broken_index(place: str, cause: str) -> InputError:
    return InputError(
        f"{INDEX} of the history cannot be read",
        where=place,
        cause=cause,
        advice="take it back from an earlier commit, or delete it: the next append makes it anew from the records",
    )


def render_readme() -> bytes:
    """What the branch says of itself to whoever looks into it."""
    short = ", ".join(f"`{short}` {name}" for name, short in SHORT.items())
    text = f"""# History of benchmarks

Written by bench-action, which appends the records of each run here. Please leave it to it: edit nothing, merge this
branch nowhere, and never force-push it.

`records/YYYY-MM.jsonl` has the runs that began in that month (UTC), a line of JSON for each cell (variant and profile)
of each run. `index.json` says what is in each month; where it is missing, the next append makes it anew from the
records. Old records are thinned: all of the last 90 days are kept, then one a day, after a year one a week.

| in a line | is |
|---|---|
| `run`, `at` | the run, and when it began |
| `sha`, `ref`, `ct` | what was measured; when that commit was committed, which is its place in the history |
| `cfg`, `key`, `job` | which benchmark: its configuration, the comment's key, workflow and job; left out if empty |
| `preset`, `engine` | how it was measured; these five tell the trends of several benchmarks apart |
| `machine`, `cpu` | the machine's fingerprint (only like ones may be compared), and its CPU |
| `tool` | the version of bench-action |
| `m` | metrics: mean, and the bounds of its 99 % interval |
| `c`, `cid` | the same divided by the control's in the same run: ratio and bounds; and which control it was |
| `work` | queries, rows and cache commands of one request |

Metrics: {short}.
"""
    return text.encode()
