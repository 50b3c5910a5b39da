"""The labels on everything that we make (names are a contract: DESIGN, command line)."""

from collections.abc import Mapping

from bench_action.engine.ownership import Ownership, is_abandoned

MARK = "bench-action"
RUN = f"{MARK}.run"
REPOSITORY = f"{MARK}.repository"
EXPIRES = f"{MARK}.expires"
PROCESS = f"{MARK}.process"
JOB = f"{MARK}.job"
TOOL = f"{MARK}.tool"  # on the action's own image, and so on the container that we run in


def labels_of(owner: Ownership) -> dict[str, str]:
    """What a run writes onto its containers and networks."""
    return {
        MARK: "",
        RUN: owner.run_id,
        REPOSITORY: owner.repository,
        EXPIRES: str(owner.expires_at),
        PROCESS: owner.process,
        JOB: owner.job,
    }


def abandoned(labels: Mapping[str, str], *, now: float, job: str = "") -> bool:
    """Whether an object with these labels is ours and its run is gone; so is every run of `job`, which has ended."""
    if MARK not in labels:
        return False
    if job and labels.get(JOB) == job:
        return True
    return is_abandoned(labels.get(PROCESS, ""), labels.get(EXPIRES, ""), now=now)
