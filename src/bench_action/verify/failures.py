"""The rules that subjects break, and the error that they end a run with."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench_action.model.errors import VerificationError
from bench_action.model.wording import plural


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that a subject breaks. `profiles`: the profiles that it concerns, None if it concerns all of them.

    `regression`: only its counted work breaks the rule, and base keeps it: head can be measured, and is the cause.
    `advice`: what to do, if that is known better than for any rule.
    """

    subject: str
    rule: str
    expected: str
    got: str
    profiles: frozenset[str] | None = None
    log: tuple[str, ...] = ()
    regression: bool = False
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.rule}: expected {self.expected}, got {self.got}"


def describe_failures(failures: Sequence[Failure]) -> dict[str, str]:
    """Map the name of each subject that broke a rule to what it broke, for a message."""
    return {
        name: "; ".join(f"{f.rule}: expected {f.expected}, got {f.got}" for f in failures if f.subject == name)
        for name in dict.fromkeys(failure.subject for failure in failures)
    }


def make_verification_error(failures: Sequence[Failure]) -> VerificationError:
    """Make one error from all failures."""
    names = ", ".join(dict.fromkeys(failure.subject for failure in failures))
    usual = "fix the variant, or fix `checks:` in the configuration if they expect the wrong thing"
    return VerificationError(
        f"{names} broke {plural(len(failures), 'rule')} and cannot be compared\n"
        + "\n".join(f"  - {failure}" for failure in failures),
        advice="; ".join(dict.fromkeys(failure.advice or usual for failure in failures)),
    )
