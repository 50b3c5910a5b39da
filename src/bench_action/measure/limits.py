"""Notice that a part of a subject reached a limit of its container while it was loaded, though it still runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench_action.engine.protocol import Engine, Handle
from bench_action.model.errors import StackError
from bench_action.model.machine import Usage
from bench_action.model.wording import memory
from bench_action.stack.exits import SPACE_ADVICE, lacks_space
from bench_action.stack.subject import Subject

_ADVICE = "give it fewer workers or threads, or fix what takes memory or starts processes without end"


class LimitError(StackError):
    """Parts of `subjects` reached a limit of their containers, so what was measured does not count."""

    def __init__(self, what: str, subjects: Sequence[Subject], *, advice: str, log: Sequence[str]) -> None:
        super().__init__(what, advice=advice, log=log)
        self.subjects = tuple(subjects)


@dataclass(frozen=True, slots=True)
class Strain:
    """What a trial did to a subject: what each part used, and how many requests were not answered as expected."""

    subject: Subject
    usage: Mapping[str, Usage]
    failures: int


@dataclass(frozen=True, slots=True)
class _Reached:
    """A limit that a part of a subject reached, with the last lines of the part's log."""

    subject: Subject
    what: str
    advice: str
    log: Sequence[str]


def require_within_limits(engine: Engine, strains: Sequence[Strain]) -> None:
    """Raise LimitError, naming each limit, if parts of subjects reached limits of their containers in a trial."""
    reached = [limit for strain in strains for limit in _find_limits(engine, strain)]
    if reached:
        what = "; ".join(limit.what for limit in reached)
        raise LimitError(what, [limit.subject for limit in reached], advice=reached[0].advice, log=reached[0].log)


def _find_limits(engine: Engine, strain: Strain) -> Iterator[_Reached]:
    """Find the limits that a subject's parts reached. A full folder shows only in logs, read if requests failed."""
    subject = strain.subject
    handles = {handle.part: handle for handle in (*subject.handles, *subject.services.values())}
    for name, part in subject.parts.items():
        what = _describe_limit(handles[part], strain.usage[name]) if name in strain.usage else ""
        if what:
            yield _Reached(subject, what, _ADVICE, engine.logs(handles[part]))
    for handle in handles.values() if strain.failures else ():
        log = engine.logs(handle)
        if lacks_space(log):
            yield _Reached(subject, f"{handle.name} had no space left", SPACE_ADVICE, log)


def _describe_limit(handle: Handle, used: Usage) -> str:
    """Describe the limit that a container reached; empty if it reached none."""
    if used.oom_kills:
        killed = "a process" if used.oom_kills == 1 else f"{used.oom_kills:,} processes"
        return f"{handle.name} lost {killed} for lack of memory (limit {memory(handle.memory_limit)})"
    if used.refused_forks:
        return f"{handle.name} reached its limit of {handle.process_limit:,} processes"
    return ""
