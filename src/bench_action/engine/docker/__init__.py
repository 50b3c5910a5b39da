"""The Docker engine: the only place that imports the Docker SDK."""

from bench_action.engine.docker.engine import DockerEngine

__all__ = ["DockerEngine"]
