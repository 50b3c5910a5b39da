"""Explain how a part of the run exited, with the limit that it had reached, if its log shows one."""

import re
from collections.abc import Sequence

from bench_action.engine.protocol import Exit
from bench_action.model.errors import StackError

# how shells and the runtimes of languages report that no process or thread can be started
_NO_PROCESS = re.compile(
    r"can't (?:start new|create) thread|unable to create (?:new )?native thread|failed to create new OS thread|"
    r"(?:cannot|unable to|can't) fork\b",
    re.IGNORECASE,
)
# how the kernel does, for sockets as well
_REFUSED = re.compile(r"resource temporarily unavailable|\bEAGAIN\b", re.IGNORECASE)
_STARTING = re.compile(r"fork|spawn|clone|pthread_create", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left on device|\bdisk (?:is )?full\b", re.IGNORECASE)
_WATCHES = re.compile(r"inotify|watch", re.IGNORECASE)  # of files, of which there may also be too many
_MEMORY_ADVICE = "give the variant fewer workers, measure fewer variants at a time, or use a machine with more memory"
_PROCESS_ADVICE = "give the variant fewer workers or threads, or fix what starts them without end"
SPACE_ADVICE = "folders in memory count as memory of their container: write less there, or use a smaller seed"


def make_exit_error(end: Exit, log: Sequence[str], doing: str = "") -> StackError:
    """Make the error for a part that has exited on its own. `log`: its last lines. `doing`: what was being done."""
    what, cause, advice = f"{end.handle.name} {end}", "it exited on its own; its log shows why", ""
    if end.out_of_memory:
        cause, advice = "", _MEMORY_ADVICE
    elif end.handle.process_limit and _lacks_processes(log):
        what = f"{what}: it seems to have reached its limit of {end.handle.process_limit:,} processes"
        advice = _PROCESS_ADVICE
    elif end.handle.kind not in {"subject", "load"} and end.exit_code == 0:
        advice = (
            f"if it only sets something up, let it run once: `services: {{{end.handle.name}: {{once: true}}}}`; "
            f"if nothing needs it, leave it out: `{{{end.handle.name}: null}}`"
        )
    elif lacks_space(log):
        what, advice = f"{what}: it had no space left", SPACE_ADVICE
    return StackError(what, where=doing, cause=cause, advice=advice, log=log)


def lacks_space(log: Sequence[str]) -> bool:
    """Return whether a log says that a folder or a disk is full."""
    return any(_NO_SPACE.search(line) and not _WATCHES.search(line) for line in log)


def _lacks_processes(log: Sequence[str]) -> bool:
    text = "\n".join(log)
    return bool(_NO_PROCESS.search(text) or (_REFUSED.search(text) and _STARTING.search(text)))
