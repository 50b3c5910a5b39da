"""By whose rules a change is judged, and what head's configuration changes about its own judging. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from bench_action.config.baseline import Baseline
from bench_action.config.gates import Gate, Gates
from bench_action.config.load import Project
from bench_action.config.schema import Config, ExpectedWork, Profile, Service
from bench_action.model.metric import METRICS
from bench_action.model.result import RuleChange
from bench_action.model.wording import percent

_LONGEST = 200
_NO_GATE = "no gate"
_LOAD = "load generator"

RulesOf = Literal["base", "head"]


class AppliedRules(NamedTuple):
    """Whose rules judge, what head changes about them, and how head's own would judge."""

    rules: RulesOf = "head"
    changes: tuple[RuleChange, ...] = ()
    head_gates: Mapping[str, Gate] = {}
    head_work: Mapping[str, ExpectedWork] = {}
    head_profiles: Mapping[str, Profile] = {}


def apply_rules(head: Project, base: Baseline, rules: RulesOf) -> tuple[Project, Baseline, AppliedRules]:
    """Head and base with the rules by which they are measured and judged.

    By base's: gates, declared work, profiles, services and the load generator of base; what only head has is added.
    By head's: all of head's, except for the load generator, which is never a pull request's to choose. Services that
    only the other side has are started as well: base and head share them. Checks are each revision's own. Where base
    has no valid configuration, head's rules are all there are.
    """
    if not base.valid:
        return head, _with_services(base, head.config), AppliedRules("head")
    own = base.project.config
    profiles = _merged(base.profiles, head.profiles)
    update: dict[str, Any] = {"load": own.load}
    if rules == "base":
        work = {name: one for name, one in head.config.work.items() if name not in base.profiles}
        update |= {"gates": own.gates, "work": {**work, **own.work}, "profiles": profiles}
    first, second = (own, head.config) if rules == "base" else (head.config, own)
    services = shared_services(first.services, second.services)
    update["services"] = {name: one for name, one in services.items() if name not in head.config.variants}
    changes = [change for change in rule_changes(head, base) if rules == "base" or change.what == _LOAD]
    judging = AppliedRules(rules, tuple(changes), head.config.all_gates, head.config.work, head.profiles)
    judged = replace(head, config=head.config.model_copy(update=update))
    return judged, replace(_with_services(base, judged.config), judges=rules == "base"), judging


def shared_services(first: Mapping[str, Service], second: Mapping[str, Service]) -> dict[str, Service]:
    """Combine the services of two configurations; `first` wins. PostgreSQL and Redis are one server each."""
    kinds = {service.kind for service in first.values()} - {"other"}
    more = {name: service for name, service in second.items() if service.kind not in kinds}
    return {**more, **first}


def service_aliases(own: Mapping[str, Service], shared: Mapping[str, Service]) -> dict[str, str]:
    """Map the names by which one configuration knows PostgreSQL and Redis to the names of the servers that run."""
    found = {service.kind: name for name, service in shared.items() if service.kind != "other"}
    return {name: found[one.kind] for name, one in own.items() if name not in shared and one.kind in found}


def rule_changes(head: Project, base: Baseline) -> tuple[RuleChange, ...]:
    """List every rule that head's configuration has otherwise than base's, in plain words."""
    old, new = base.project.config, head.config
    return (
        *_gate_changes(old.all_gates, new.all_gates),
        *_work_changes(old, new, base.profiles),
        *(RuleChange(what=f"variant {name}", before="measured", after="") for name in base.removed),
        *_changes("profile", base.profiles, head.profiles, added=False),
        *_changes("check", _by_name(old), _by_name(new), added=True),
        *_changes("service", old.services, new.services, added=False),
        *_changes("", {_LOAD: old.load}, {_LOAD: new.load}, added=False),
        *_pair_changes(old, new),
    )


def _merged(base: Mapping[str, Profile], head: Mapping[str, Profile]) -> dict[str, Profile]:
    """Base's version of each profile, in head's order; those that only one of them has stay."""
    return {name: base.get(name, profile) for name, profile in head.items()} | {
        name: profile for name, profile in base.items() if name not in head
    }


def _with_services(base: Baseline, config: Config) -> Baseline:
    """Base's environment names its own services, which may have another name in what runs."""
    return replace(base, aliases=service_aliases(base.project.config.services, config.services))


def _by_name(config: Config) -> dict[str, BaseModel]:
    return {check.name: check for check in config.checks}


def _gate_changes(old: Gates, new: Gates) -> Iterator[RuleChange]:
    for metric in dict.fromkeys((*old, *new)):
        before, after = (_gate_text(gates.get(metric), metric) for gates in (old, new))
        if before != after:
            yield RuleChange(what=f"gate on {METRICS[metric].title}", before=before, after=after)


def _gate_text(gate: Gate | None, metric: str) -> str:
    if gate is None:
        return _NO_GATE
    absolute = f" and {gate.absolute:g} {METRICS[metric].unit}" if gate.absolute else ""
    return f"{percent(gate.size, exact=True)}{absolute}{' (warns only)' if gate.level == 'warn' else ''}"


def _work_changes(old: Config, new: Config, profiles: Mapping[str, Profile]) -> Iterator[RuleChange]:
    nothing = ExpectedWork()
    for name in profiles:
        before, after = (config.work.get(name, nothing) for config in (old, new))
        if before != after:
            yield RuleChange(what=f"work of {name}", before=_text(before) or "any", after=_text(after) or "any")


def _changes(
    kind: str, old: Mapping[str, BaseModel], new: Mapping[str, BaseModel], *, added: bool
) -> Iterator[RuleChange]:
    for name in (*old, *(name for name in new if added and name not in old)):
        what = f"{kind} {name}".strip()
        if name not in new:
            yield RuleChange(what=what, before=_text(old[name]), after="")
        elif name not in old:
            yield RuleChange(what=what, before="", after=_text(new[name]))
        elif old[name] != new[name]:
            before, after = _flat(old[name]), _flat(new[name])
            keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]
            yield RuleChange(what=what, before=_joined(before, keys), after=_joined(after, keys))


def _pair_changes(old: Config, new: Config) -> Iterator[RuleChange]:
    if old.compare != new.compare:
        before, after = (", ".join(f"{base}/{head}" for base, head in one.compare) for one in (old, new))
        yield RuleChange(what="compared variants", before=before, after=after)


def _text(model: BaseModel) -> str:
    values = _flat(model)
    return _joined(values, list(values))


def _flat(model: BaseModel) -> dict[str, Any]:
    """Its values by dotted key, without those that it leaves at their defaults."""
    return dict(_walk(model.model_dump(exclude_defaults=True, exclude={"name"}), ""))


def _walk(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _joined(values: Mapping[str, Any], keys: list[str]) -> str:
    """`path /new, connections 16`."""
    text = ", ".join(f"{key} {_plain(values[key])}" if key in values else f"{key} default" for key in keys)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(repr, value)) or "none"
    return str(value)
