"""The labels on everything that we make (names are a contract: DESIGN, command line)."""

from collections.abc import Mapping

from bench_action.engine.ownership import Ownership, is_abandoned

MARK = "bench-action"
RUN = f"{MARK}.run"
REPOSITORY = f"{MARK}.repository"
EXPIRES = f"{MARK}.expires"
PROCESS = f"{MARK}.process"


def labels_of(owner: Ownership) -> dict[str, str]:
    """What a run writes onto its containers and networks."""
    return {
        MARK: "",
        RUN: owner.run_id,
        REPOSITORY: owner.repository,
        EXPIRES: str(owner.expires_at),
        PROCESS: owner.process,
    }


def abandoned(labels: Mapping[str, str], *, now: float) -> bool:
    """Whether an object with these labels is ours and its run is gone."""
    return MARK in labels and is_abandoned(labels.get(PROCESS, ""), labels.get(EXPIRES, ""), now=now)
