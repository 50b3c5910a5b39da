"""Containers of several machines are started again if their Swarm is late."""

from typing import cast

import pytest
from docker.errors import APIError
from docker.models.containers import Container

from bench_action.engine.docker.sandboxes import start_attached

pytestmark = pytest.mark.unit

LATE = (
    "attaching to network failed, make sure your network options are correct: context deadline exceeded",
    "network 3c4gi7w6q8plx8j873f4ovd7h not found",
)


class Starting:
    """A container whose first starts fail for these reasons."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)

    def start(self) -> None:
        if self.reasons:
            raise APIError("500", explanation=self.reasons.pop(0))


def start(container: Starting) -> None:
    start_attached(cast("Container", container), again_s=0.0)


def test_start_attached__starts_again_while_the_swarm_is_late() -> None:
    container = Starting(*LATE, *LATE)
    start(container)
    assert container.reasons == []


def test_start_attached__gives_up_after_five_attempts() -> None:
    container = Starting(*LATE, *LATE, *LATE)
    with pytest.raises(APIError, match="deadline exceeded"):
        start(container)
    assert len(container.reasons) == 1


@pytest.mark.parametrize("reason", ["network bench-action-1-a not found", "no space left on device"])
def test_start_attached__does_not_try_again_what_would_fail_again(reason: str) -> None:
    container = Starting(reason, "again")
    with pytest.raises(APIError):
        start(container)
    assert container.reasons == ["again"]
