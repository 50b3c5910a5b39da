"""How tests are shared out to workers: tests that share something go to one worker, which makes it once."""

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# beginning of a test's id → its group. All other tests are handed out one by one.
GROUPS = {
    "tests/docker/test_build.py": "builds",  # of one name, which the next build takes
    "tests/docker/test_images.py": "images",
    "tests/docker/test_load.py": "stack",
    "tests/docker/test_measure.py": "stack",
    "tests/docker/test_pairs.py": "pairs",
    "tests/docker/test_stack.py": "stack",
    "tests/docker/test_verify.py": "stack",
    "tests/e2e/test_action.py::test_workflow__": "workflows",  # act names containers by workflow and job
    "tests/e2e/test_built_in.py": "built-in",
    "tests/e2e/test_report_page.py": "browser",
    "tests/e2e/test_trend_page.py": "browser",
    "tests/integration/test_apps.py": "applications",
}


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hand out groups first, the largest before the others, then single tests in their order.

    The scheduler that reads groups from marks does nothing under pytest 9, which does not show it the marked names.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((group for beginning, group in GROUPS.items() if nodeid.startswith(beginning)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling:
    """Use our groups, regardless of `--dist`."""
    return GroupScheduling(config, log)
