"""Give both subjects of a pair the same hash seed, so that chance does not make one of them slower.

Python draws a seed for the hashes of texts at every start. It decides where dictionaries and sets put their keys, how
often two keys meet, and in which order sets are gone through. With the same seed, two processes of the same code differ
less in what a request costs: a block has about a third less variance (docs/how-it-decides.md, "Restarts and slices").
Each block has another seed, so that what one favours is not taken for an effect of the code.

Other runtimes draw none for texts (PHP, Java), or take none from a variable (.NET, Ruby, Node, Go).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from bench_action.engine.protocol import Program, ServiceSpec

ITSELF = ""  # a subject without its companions; two variants have different names
_WORTH_S = 3.0
_VARIABLE = "PYTHONHASHSEED"
_IMAGES = frozenset({"PYTHON_VERSION", "PYPY_VERSION"})  # what the official images set
_COMMANDS = re.compile(
    r"\b(?:python|pypy|gunicorn|uvicorn|hypercorn|granian|daphne|uwsgi|waitress-serve|flask|django-admin|fastapi|litestar"
    r"|sanic|poetry|pdm|pipenv|uv)(?:[\d.]*)\b"
)


def takes_hash_seed(program: Program) -> bool:
    """Return whether a program is Python, as far as its command and its image show, and its user set no hash seed."""
    if _VARIABLE in program.variables:
        return False
    return not _IMAGES.isdisjoint(program.variables) or any(_COMMANDS.search(word) for word in program.words)


@dataclass(frozen=True, slots=True)
class HashSeed:
    """A hash seed, from 0 to 2³² − 1, and the parts of a subject that get it: names of companions, and `ITSELF`."""

    number: int
    parts: Collection[str]

    def add_to(self, part: str, spec: ServiceSpec) -> ServiceSpec:
        """Add it to the variables of a part that is to get it; return any other as it is."""
        return replace(spec, env={**spec.env, _VARIABLE: str(self.number)}) if part in self.parts else spec


NO_HASH_SEED = HashSeed(0, ())


@dataclass(slots=True)
class StartTimes:
    """How long the subjects of a pair took to be ready, in s: in containers that were made for it, and in others.

    A seed needs new containers, whose start may repeat work that is in the old ones, such as installing packages.
    """

    _made_s: float | None = None
    _restarted_s: float | None = None

    def add(self, seconds: float, *, made: bool) -> None:
        """Keep the latest time. `made`: whether containers were made for it."""
        if made:
            self._made_s = seconds
        else:
            self._restarted_s = seconds

    @property
    def allow_seeds(self) -> bool:
        """Whether new containers take no more seconds in addition than a seed saves; so they do while that is unknown.

        A third of a block's variance is worth a third of its time, 2 to 3 s of a block that is not very long.
        """
        if self._made_s is None or self._made_s <= _WORTH_S:
            return True
        return self._restarted_s is not None and self._made_s - self._restarted_s <= _WORTH_S
