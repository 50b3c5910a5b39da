"""Check, before anything is measured, that k6 can read the scripts of profiles, and that they say how they are run."""

from bench_action.config.load import Project
from bench_action.load.generator import Tape
from bench_action.load.k6 import build_inspect_order, build_version_order, judge_script
from bench_action.model.errors import StackError
from bench_action.stack.stack import Stack

_NOBODY = Tape("127.0.0.1", 1, ())  # no request is sent


def _require_k6(stack: Stack) -> None:
    try:
        stack.agent.k6(build_version_order(_NOBODY), _NOBODY)
    except StackError as error:
        raise StackError(
            "k6 cannot be run where the load comes from",
            where=stack.images.load.name,
            cause=error.what,
            advice="let the image of `load` have k6, or leave it out: one with k6 is built then",
        ) from error


def check_scripts(stack: Stack, project: Project) -> None:
    """Let k6 read each script. Raises InputError for one that is wrong, StackError if there is no k6 to run it."""
    if project.needs_k6:
        _require_k6(stack)
    for name, profile in project.scripts.items():
        answer = stack.agent.k6(build_inspect_order(_NOBODY, profile), _NOBODY)
        judge_script(answer, profile, f"profile {name}")
