"""How tests are shared out to workers, and which of them may run at the same time.

Tests that share something go to one worker, which makes it once. Unit tests come last: at the end they fill what the
waits of others leave.
"""

import functools
import re
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.shared import hold_runs
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# beginning of a test's id → its group. Else a module with module-scoped fixtures is a group, and all other tests are
# handed out one by one.
GROUPS = {
    "tests/docker/test_build.py": "builds",  # of one name, which the next build takes
    "tests/docker/test_load.py": "stack",
    "tests/docker/test_measure.py": "stack",
    "tests/docker/test_stack.py": "stack",
    "tests/docker/test_verify.py": "stack",
    "tests/e2e/test_action.py::test_workflow__": "workflows",  # act names containers by workflow and job
    "tests/e2e/test_built_in.py": "built-in",
    "tests/e2e/test_report_page.py": "browser",
    "tests/e2e/test_trend_page.py": "browser",
    "tests/integration/test_apps.py": "applications",
}
_OF_A_MODULE = 'fixture(scope="module")'
_SWEEPS = "sweeps"


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hand out groups and single tests in their order.

    The scheduler that reads groups from marks does nothing under pytest 9, which does not show it the marked names.
    """

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # a group of few tests may take the longest

    def _split_scope(self, nodeid: str) -> str:
        named = (group for beginning, group in GROUPS.items() if nodeid.startswith(beginning))
        file, _, test = nodeid.partition("::")
        if test in self._find_sweeps(file):
            return _SWEEPS  # one after the other on one worker, as each waits for the others
        return next(named, file if _OF_A_MODULE in self._read(file) else nodeid)

    @functools.cache  # noqa: B019 (it lives as long as the session)
    def _find_sweeps(self, file: str) -> set[str]:
        """Find the tests of a module that are marked: of marks, a scheduler knows nothing."""
        return set(re.findall(rf"^@pytest\.mark\.{_SWEEPS}\n(?:@.*\n)*def (\w+)", self._read(file), re.MULTILINE))

    @functools.cache  # noqa: B019
    def _read(self, file: str) -> str:
        root: Path = self.config.rootpath
        return (root / file).read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling:
    """Use our groups, regardless of `--dist`."""
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that no run may disturb behind those that start runs, and unit tests last.

    Single steps come late, as all but one of the workers would wait for the action's image, which workflows need too.
    """
    items.sort(key=lambda item: (_is_unit(item), item.get_closest_marker(_SWEEPS) is not None, _is_step(item)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no run begin during a test that is about what a dead run leaves, as every run sweeps that away."""
    if _is_unit(item):
        return (yield)
    folder: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
    with hold_runs(folder, alone=item.get_closest_marker(_SWEEPS) is not None):
        return (yield)


def _is_step(item: pytest.Item) -> bool:
    return item.nodeid.startswith("tests/e2e/test_action.py::test_step__")


def _is_unit(item: pytest.Item) -> bool:
    return item.get_closest_marker("unit") is not None
