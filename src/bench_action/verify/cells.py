"""Find out which cells of head can be compared with base, and why the others cannot."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.load import Project
from bench_action.config.schema import Profile, Route
from bench_action.load.generator import Reply
from bench_action.load.tape import take_one_each
from bench_action.plan.blocks import Cell
from bench_action.stack.session import SessionError
from bench_action.stack.stack import Stack
from bench_action.verify.failures import Failure

# revision, variant and profile → what the subject replied to each request of the profile
Replies = Mapping[tuple[str, str, str], Sequence[Reply]]


def send_profiles(stack: Stack, profiles: Mapping[str, Profile], variants: Collection[str]) -> Replies:
    """Send each request of each profile once to the subjects of these variants, base and head together."""
    subjects = [subject for subject in stack.subjects if subject.variant in variants]
    replies: dict[tuple[str, str, str], list[Reply]] = {}
    for turn in stack.split_into_turns(subjects):
        stack.admit(turn)
        for name, profile in profiles.items():
            opened = []
            for subject in turn:
                try:
                    opened.append(stack.open_session(subject, name, profile))
                except SessionError as error:
                    replies[subject.revision, subject.variant, name] = [
                        Reply(0, {}, b"", kept=False, problem=error.what)
                    ]
            tapes = [take_one_each(profile, subject.address_profile(profile)) for subject in opened]
            answers = stack.agent.requests_together(tapes, len(profile.routes), bodies="none")
            for subject, answer in zip(opened, answers, strict=True):
                replies[subject.revision, subject.variant, name] = answer
    return replies


def choose_profiles(
    judged: Mapping[str, Profile], own: Mapping[str, Profile], replies: Replies
) -> tuple[dict[str, Profile], dict[str, str]]:
    """Decide between base's version of a profile and head's: the profiles to measure, and why some are head's.

    `judged` are the profiles by which a run is judged, `own` are head's. If head no longer serves a profile of base, it
    is replaced by head's version, or left out if head has removed it.
    """
    kept, changed = dict(judged), {}
    for name, profile in judged.items():
        if own.get(name) == profile or not _only_base_serves(name, profile, replies):
            continue
        request = profile.summary
        if name in own:
            kept[name] = own[name]
            changed[name] = f"this pull request changes profile `{name}`, and head no longer serves `{request}`"
        else:
            del kept[name]
    return kept, changed


@dataclass(frozen=True, slots=True)
class Counterparts:
    """What is known about base once it has been verified.

    `lacks`: variants without a base subject. `changed`: profiles of which head's version is measured, and why.
    """

    base: Baseline
    lacks: Mapping[str, Lack]
    failures: Sequence[Failure]
    replies: Replies
    changed: Mapping[str, str]

    def find_missing(self, project: Project) -> dict[Cell, Lack]:
        """Map each cell of head that has no counterpart in base to the reason."""
        missing: dict[Cell, Lack] = {}
        for variant in project.own_variants:
            for name, profile in project.profiles.items():
                if lack := next(self._find_reasons(variant, name, profile), None):
                    missing[Cell(variant, "head", name)] = lack
        return missing

    def _find_reasons(self, variant: str, name: str, profile: Profile) -> Iterator[Lack]:
        if variant in self.lacks:
            yield self.lacks[variant]
            return
        if self.base.judges and name not in self.base.profiles:
            yield Lack("new", f"{self.base.name} has no profile `{name}`")
        if name in self.changed:
            yield Lack("new", self.changed[name])
        for failure in self.failures:
            if failure.subject == f"{variant}@base" and (failure.profiles is None or name in failure.profiles):
                yield Lack(
                    "base-failed",
                    f"{self.base.name} does not pass `{failure.rule}`: expected {failure.expected}, got {failure.got}",
                    failure.log,
                )
        yield from self._check_served(variant, name, profile)

    def _check_served(self, variant: str, name: str, profile: Profile) -> Iterator[Lack]:
        """Yield why a cell has no counterpart if head serves a request and base does not."""
        base, head = (self.replies.get((revision, variant, name)) for revision in ("base", "head"))
        if base is None or head is None or is_served(base, profile) or not is_served(head, profile):
            return
        number, reply = next(
            (number, reply)
            for number, reply in enumerate(base)
            if not _is_expected(reply, profile.routes[number], profile)
        )
        route = profile.routes[number]
        request = f"{route.method} {route.path}"
        got = (
            f"does not answer `{request}`: {reply.problem}"
            if reply.problem
            else f"answers {reply.status} to `{request}`"
        )
        known = self.base.valid and self.base.profiles.get(name) == profile
        yield Lack("base-failed" if known else "new", f"{self.base.name} {got}")


def is_served(replies: Sequence[Reply], profile: Profile) -> bool:
    """Tell whether the replies to all requests of a profile have statuses that it expects."""
    routes = profile.routes
    return len(replies) == len(routes) and all(
        _is_expected(reply, route, profile) for reply, route in zip(replies, routes, strict=True)
    )


def _is_expected(reply: Reply, route: Route, profile: Profile) -> bool:
    return not reply.problem and (route.expect or profile.expect).accepts(reply.status)


def _only_base_serves(name: str, profile: Profile, replies: Replies) -> bool:
    """Tell whether base serves the request of a profile and no variant of head does."""
    own = {key[:2]: reply for key, reply in replies.items() if key[2] == name}
    heads = [is_served(reply, profile) for (revision, _), reply in own.items() if revision == "head"]
    bases = [is_served(reply, profile) for (revision, _), reply in own.items() if revision == "base"]
    return bool(heads) and not any(heads) and any(bases)
