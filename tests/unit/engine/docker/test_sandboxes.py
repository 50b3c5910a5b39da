"""Containers of several machines are started again if their Swarm is late."""

import pytest
from docker.errors import APIError

from bench_action.engine.docker.sandboxes import attach

pytestmark = pytest.mark.unit

LATE = (
    "attaching to network failed, make sure your network options are correct: context deadline exceeded",
    "network 3c4gi7w6q8plx8j873f4ovd7h not found",
    "network bench-action-20261201-005101-7757b4-b not found",
)


class Starting:
    """A container whose first starts fail for these reasons."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)

    def start(self) -> None:
        if self.reasons:
            raise APIError("500", explanation=self.reasons.pop(0))


def start(container: Starting) -> None:
    attach(container.start, again_s=0.0)


def test_attach__starts_again_while_the_swarm_is_late() -> None:
    container = Starting(*LATE)
    start(container)
    assert container.reasons == []


def test_attach__gives_up_after_five_attempts() -> None:
    container = Starting(*LATE, *LATE)
    with pytest.raises(APIError, match="3c4gi7w6q8plx8j873f4ovd7h"):
        start(container)
    assert len(container.reasons) == 1


def test_attach__does_not_try_again_what_would_fail_again() -> None:
    container = Starting("no space left on device", "again")
    with pytest.raises(APIError):
        start(container)
    assert container.reasons == ["again"]
