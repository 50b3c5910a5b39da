"""Check, before anything is measured, that k6 can read the scripts of profiles, and that they say how they are run."""

from bench_action.config.load import Project
from bench_action.load.generator import Tape
from bench_action.load.k6 import build_inspect_order, judge_script
from bench_action.stack.stack import Stack

_NOBODY = Tape("127.0.0.1", 1, ())  # no request is sent


def check_scripts(stack: Stack, project: Project) -> None:
    """Let k6 read each script. Raises InputError for one that is wrong."""
    for name, profile in project.scripts.items():
        answer = stack.agent.k6(build_inspect_order(_NOBODY, profile), _NOBODY)
        judge_script(answer, profile, f"profile {name}")
