"""Read the configuration from the environment: where the services are, and how to serve."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

# One PostgreSQL with 500 connections serves two subjects at a time, and the benchmark itself.
_DATABASE_CONNECTIONS = 200
_PROFILES = ("published", "tuned")


@dataclass(frozen=True)
class Config:
    """The configuration. `pool_size`: how many connections one process keeps to PostgreSQL, and at most to Redis."""

    database_url: str
    redis_url: str
    port: int
    tuned: bool
    processes: int
    pool_size: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read `DATABASE_URL`, `REDIS_URL`, `PORT` and `TODO_PROFILE`."""
        profile = environment.get("TODO_PROFILE", "published")
        if profile not in _PROFILES:
            raise SystemExit(f"TODO_PROFILE is {profile!r}: expected one of {', '.join(_PROFILES)}")
        tuned = profile == "tuned"
        # Unlike cpu_count(), it counts only the cores that we may use.
        processes = len(os.sched_getaffinity(0)) if tuned else 1
        return cls(
            database_url=environment.get("DATABASE_URL", "postgresql://postgres@localhost/todo"),
            redis_url=environment.get("REDIS_URL", "redis://localhost:6379/0"),
            port=int(environment.get("PORT", "8000")),
            tuned=tuned,
            processes=processes,
            pool_size=max(1, min(10, _DATABASE_CONNECTIONS // processes)),
        )
