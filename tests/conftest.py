"""How tests are shared out to workers: those that use one slow fixture run in one worker, which makes it once."""

import pytest

# fixture that is slow to make → the group of the tests that use it
GROUPS = {
    "stack": "docker-stack",
    "pairs": "docker-pairs",
    "postgres": "images",
    "redis": "images",
    "builtin": "built-in",
    "builtin_local": "built-in",
    "built_in": "built-in",
    "browser": "browser",
    "all_running": "applications",
    "services": "applications",
}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the group of the first slow fixture that it uses."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = next((GROUPS[name] for name in GROUPS if name in fixtures), None)
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))
