"""Inject every fault, and print one table: `make faults`, or `make faults ARGS="--only fuzz --share 0.1"`.

A fault is repeated with `--only GROUP --case NUMBER`, as the seed and the number decide everything. With
`--record FILE`, cases that are in the file are not run again, so that a run of an hour may be interrupted.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path

from tests.faults import api, artifacts, configurations, engines, histories, machines, moments, stored, texts
from tests.faults.case import Group, time_case
from tests.faults.record import Record
from tests.faults.table import Row, describe_machine, render_table

_SEED = 16
_EVERY_S = 30.0  # between two lines of progress
_PARTS: dict[str, Sequence[Group]] = {
    "fuzz": (*configurations.GROUPS, *artifacts.GROUPS, *stored.GROUPS, *histories.GROUPS, *texts.GROUPS),
    "github": api.GROUPS,
    "runs": (*moments.GROUPS, *engines.GROUPS, *machines.GROUPS),
}
GROUPS = {group.name: group for groups in _PARTS.values() for group in groups}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was requested; return 1 if any case has shown a problem."""
    options = _read_options(arguments)
    print(f"seed {options.seed}; {describe_machine()}; {datetime.now(UTC):%Y-%m-%d}", flush=True)
    rows = []
    for group in _choose_groups(options.only):
        numbers = options.case or range(max(1, round(group.cases * options.share)))
        rows.append(row := _run(group, numbers, options.seed, Record(options.record)))
        for fault in row.list_faults():
            print(fault, flush=True)
    print(f"\n{render_table(rows)}")
    return int(any(row.problems for row in rows))


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description="Inject every fault, and print one table.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"{', '.join(_PARTS)}, or: {', '.join(GROUPS)}")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of each group, such as 0.01")
    parser.add_argument("--case", type=int, nargs="+", metavar="NUMBER", help="only these cases")
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep what cases show, and go on where it ends")
    return parser.parse_args(arguments)


def _choose_groups(names: Iterable[str] | None) -> list[Group]:
    if unknown := [name for name in names or () if name not in {*_PARTS, *GROUPS}]:
        sys.exit(f"no such group: {', '.join(unknown)}. Use one of: {', '.join((*_PARTS, *GROUPS))}")
    return [group for name in names or _PARTS for group in (_PARTS[name] if name in _PARTS else [GROUPS[name]])]


def _run(group: Group, numbers: Iterable[int], seed: int, record: Record) -> Row:
    """Run cases of a group, each in a process that later cases use too, and print how far it is."""
    row, wanted = Row(group), dict.fromkeys(numbers)
    for shown in record.read(group.name, seed):
        if shown.number in wanted:
            del wanted[shown.number]
            row.add(shown)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(group.workers, mp_context=context) as pool:
        futures = [pool.submit(time_case, group, number, seed) for number in wanted]
        said = time.monotonic()
        for future in as_completed(futures):
            row.add(shown := future.result())
            record.add(shown)
            if time.monotonic() - said > _EVERY_S:
                said = time.monotonic()
                print(f"{group.name}: {row.cases}, {len(row.problems)} problems", flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
