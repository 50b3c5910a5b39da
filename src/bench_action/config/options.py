"""The options of a run, from the command line or from a workflow."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench_action.config.rules import RulesOwner
from bench_action.config.secrets import Secrets
from bench_action.config.shard import Shard
from bench_action.model.hosts import Hosts, SshFiles


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one run. `max_minutes` limits measuring. `git`: the whole environment of git, None for ours.

    `shard`: the part of the run that is measured here; None: all of it. `hosts`: the machines that it runs on; None:
    those of the configuration. `ssh`: the files by which these are reached.
    """

    config: Path | None = None
    preset: str = "quick"
    variants: Sequence[str] = ()
    profiles: Sequence[str] = ()
    output: Path = Path("bench-results")
    seed: int = 0
    baseline: str | None = None
    rules: RulesOwner = "base"
    compare: Sequence[tuple[str, str]] = ()
    self_test: bool = False
    max_minutes: float | None = None
    control: str | None = None
    job: str = ""
    key: str = ""
    workflow_job: str = ""
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    git: Mapping[str, str] | None = field(default=None, repr=False)
    shard: Shard | None = None
    hosts: Hosts | None = None
    ssh: SshFiles = field(default_factory=SshFiles)

    @property
    def command(self) -> str:
        """The command line that repeats this run; without addresses of hosts, which results do not tell."""
        words = ["bench-action", "run", *([str(self.config)] if self.config else []), "--preset", self.preset]
        for variant in self.variants:
            words += ["--variant", variant]
        for profile in self.profiles:
            words += ["--profile", profile]
        for base, head in self.compare:
            words += ["--compare", base, head]
        if self.baseline is not None:
            words += ["--baseline", self.baseline, *(["--rules", "head"] if self.rules == "head" else [])]
        words += ["--self-test"] if self.self_test else []
        words += ["--secrets", ",".join(self.secrets.allowed)] if self.secrets.allowed else []
        words += ["--max-minutes", f"{self.max_minutes:g}"] if self.max_minutes is not None else []
        words += ["--shard", str(self.shard)] if self.shard is not None else []
        return shlex.join([*words, "--seed", str(self.seed)])
