"""The labels on everything that we create. Users filter by these names, so they never change."""

from collections.abc import Mapping

from bench_action.engine.ownership import Ownership, is_abandoned

MARK = "bench-action"
RUN = f"{MARK}.run"
REPOSITORY = f"{MARK}.repository"
EXPIRES = f"{MARK}.expires"
PROCESS = f"{MARK}.process"
JOB = f"{MARK}.job"
TOOL = f"{MARK}.tool"  # on the action's own image, and so on any container of it


def make_labels(owner: Ownership) -> dict[str, str]:
    """Make the labels of a run's containers and networks."""
    return {
        MARK: "",
        RUN: owner.run_id,
        REPOSITORY: owner.repository,
        EXPIRES: str(owner.expires_at),
        PROCESS: owner.process,
        JOB: owner.job,
    }


def is_left_behind(labels: Mapping[str, str], *, now: float, job: str = "") -> bool:
    """Return whether an object with these labels is ours, and its run is dead or belongs to `job`, which has ended."""
    if MARK not in labels:
        return False
    if job and labels.get(JOB) == job:
        return True
    return is_abandoned(labels.get(PROCESS, ""), labels.get(EXPIRES, ""), now=now)
