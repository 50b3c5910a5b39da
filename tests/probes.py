"""Probes for tests that wait until something is ready."""

from collections.abc import Callable

from bench_action.stack.readiness import Probe, Unready


def make_probe(client: Callable[[], str]) -> Probe:
    """Make a probe of a client, which returns what is missing, or an empty text."""
    return lambda: Unready(missing) if (missing := client()) else None
