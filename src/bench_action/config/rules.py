"""Whose rules judge a change, and which of the rules that judge it head's configuration changes.

Of the files, only seeds and those of services are read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from posixpath import commonprefix
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.contents import differ, judge_beginning
from bench_action.config.documents import shorten
from bench_action.config.gates import Gate, Gates
from bench_action.config.load import Project
from bench_action.config.paths import ALLOWED_FILES, find_problem
from bench_action.config.schema import SECRET, Build, Config, Container, ExpectedWork, Profile, Service
from bench_action.model.errors import InputError
from bench_action.model.hosts import Hosts
from bench_action.model.metric import METRICS
from bench_action.model.result import INITIAL_DATA_OF, RuleChange
from bench_action.model.wording import percent

_LONGEST, _BEFORE = 200, 40  # characters of a value, and of what is the same before the first difference
_NO_GATE = "no gate"
_LOAD_GENERATOR = "load generator"
_HOSTS = "hosts"

RulesOwner = Literal["base", "head"]
_Container = TypeVar("_Container", bound=Container)


class AppliedRules(NamedTuple):
    """Whose rules judge, which of them head changes, and head's own rules."""

    rules: RulesOwner = "head"
    changes: tuple[RuleChange, ...] = ()
    head_gates: Mapping[str, Gate] = {}
    head_work: Mapping[str, ExpectedWork] = {}
    head_profiles: Mapping[str, Profile] = {}


def apply_rules(head: Project, base: Baseline, rules: RulesOwner) -> tuple[Project, Baseline, AppliedRules]:
    """Return head and base with the rules by which they are measured and judged.

    Base's rules: gates, declared work, profiles, services and the load generator of base; what only head has is added.
    Head's rules: all of head's, except the load generator and the hosts, which a pull request never chooses. Services
    that only the other revision has are started as well: base and head share them. Checks, what databases run at their
    first start, and services that are built, such as workers, are each revision's own. If base has no valid
    configuration, head's rules apply, without hosts. Raises InputError if head's tree leads a file of a service of
    base's out of the repository.
    """
    if not base.valid:
        local = replace(head, config=head.config.model_copy(update={"hosts": None}))
        return (
            local,
            _fit_to_services(base, head, head.config),
            AppliedRules("head", (*_list_replaced(head, base), *_compare_hosts(None, head.config.hosts))),
        )
    own = base.project.config
    base = _leave_out_rebuilt(head, base)
    update: dict[str, Any] = {"load": own.load, "hosts": own.hosts}
    if rules == "base":
        work = {name: expected for name, expected in head.config.work.items() if name not in base.profiles}
        profiles = {name: base.profiles.get(name, profile) for name, profile in head.profiles.items()}
        texts = [text for service in _list_pulled(own).values() for text in _list_texts(service)]
        named = {match[1] for text in texts for match in SECRET.finditer(text)}
        named = named.union(*(profile.list_secrets() for profile in base.profiles.values()))
        used = named & set(own.secrets)
        update["secrets"] = list(dict.fromkeys((*head.config.secrets, *sorted(used))))
        update |= {"gates": own.gates, "work": {**work, **own.work}, "profiles": {**profiles, **base.profiles}}
    old = {name: _find_files(name, service, head, base.project) for name, service in _list_pulled(own).items()}
    new = _list_pulled(head.config)
    first, second = (old, new) if rules == "base" else (new, old)
    services = _start_as_head(share_services(first, second), new) | head.config.built_services
    known = {*services, *head.config.variants}
    update["services"] = {
        name: service.model_copy(
            update={"depends_on": {other: how for other, how in service.depends_on.items() if other in known}}
        )
        for name, service in services.items()
        if name not in head.config.variants
    }
    changes = [
        change
        for change in list_rule_changes(head, base)
        if rules == "base" or change.what in {_LOAD_GENERATOR, _HOSTS}
    ]
    applied = AppliedRules(rules, tuple(changes), head.config.all_gates, head.config.all_work, head.profiles)
    judged = replace(head, config=head.config.model_copy(update=update))
    return judged, replace(_fit_to_services(base, head, judged.config), judges=rules == "base"), applied


def _list_replaced(head: Project, base: Baseline) -> Iterator[RuleChange]:
    """List head's configuration as a change if something is compared by it that base does not have."""
    if base.project.config.variants and base.replaced is not None:
        before, after = ("", "base has none") if base.replaced == "absent" else ("invalid", "valid")
        yield RuleChange(what=head.file, before=before, after=after)


def leave_out_caches(head: Project, base: Project) -> tuple[Project, dict[str, list[str]]]:
    """Leave out the caches of head's builds that no build of base has; return them by variant or service, too.

    One builder builds both, so that base's build would find the layers that head's has taken from them.
    """
    known = {source for _, build in _list_builds(base.config) for source in build.cache_from}
    ignored = {
        name: [source for source in build.cache_from if source not in known]
        for name, build in _list_builds(head.config)
        if not known.issuperset(build.cache_from)
    }

    def narrow(name: str, container: _Container) -> _Container:
        if name not in ignored or container.build is None:
            return container
        kept = [source for source in container.build.cache_from if source in known]
        return container.model_copy(update={"build": container.build.model_copy(update={"cache_from": kept})})

    variants = {name: narrow(name, variant) for name, variant in head.config.variants.items()}
    services = {name: narrow(name, service) for name, service in head.config.services.items()}
    return replace(head, config=head.config.model_copy(update={"variants": variants, "services": services})), ignored


def _list_builds(config: Config) -> Iterator[tuple[str, Build]]:
    for name, container in (*config.variants.items(), *config.services.items()):
        if container.build is not None:
            yield name, container.build


def _leave_out_rebuilt(head: Project, base: Baseline) -> Baseline:
    """Compare nothing if a service is built by one revision and pulled by the other: built ones are each revision's."""
    old, new = base.project.config.services, head.config.services
    rebuilt = [name for name in old if name in new and (old[name].build is None) != (new[name].build is None)]
    if not rebuilt:
        return base
    why = f"only one of base and head builds the service `{rebuilt[0]}`, so that they cannot be measured side by side"
    return base.leave_out({name: Lack("base-failed", why) for name in base.project.config.variants})


def _find_files(name: str, service: Service, head: Project, base: Project) -> Service:
    """Take the files of a service of base's from head's tree, or from base's if head's lacks them.

    One server of a kind runs for both. Raises InputError for a path that leads out of head's repository.
    """
    files = {}
    for target, file in service.files.items():
        problem = None if file.source is None else find_problem(head.folder / file.source, head.root, "file")
        if problem is not None and not problem.absent:
            raise InputError(
                f"the file {shorten(str(file.source))} of base's service {name} {problem.text}",
                advice=ALLOWED_FILES,
            )
        source = file.source if problem is None else str(base.folder / str(file.source))
        files[target] = file.model_copy(update={"source": source})
    return service.model_copy(update={"files": files})


def share_services(first: Mapping[str, Service], second: Mapping[str, Service]) -> dict[str, Service]:
    """Combine the services of two configurations; `first` wins, also if it has another name for a database.

    Such a database is reached by both names, which either revision may have in its code or variables.
    """
    renamed = map_service_aliases(second, first)
    more = {name: service for name, service in second.items() if name not in first and name not in renamed}
    both = {other: _add_aliases(first[other], name, second[name]) for name, other in renamed.items()}
    return {**first, **both, **more}


def _add_aliases(service: Service, name: str, other: Service) -> Service:
    aliases = dict.fromkeys((*service.aliases, name, *other.aliases))
    return service.model_copy(update={"aliases": list(aliases)})


def map_service_aliases(own: Mapping[str, Service], shared: Mapping[str, Service]) -> dict[str, str]:
    """Map the databases and caches of one configuration that have another name among the services that run."""
    aliases: dict[str, str] = {}
    for name, service in own.items():
        free = [
            other
            for other, running in shared.items()
            if running.kind == service.kind != "other" and other not in own and other not in aliases.values()
        ]
        if name not in shared and free:
            aliases[name] = free[0]
    return aliases


def _compare_hosts(old: Hosts | None, new: Hosts | None) -> Iterator[RuleChange]:
    """Say that head has other hosts, without addresses."""
    if new != old:
        after = "this machine" if new is None else "hosts" if old is None else "different hosts"
        yield RuleChange(what=_HOSTS, before="this machine" if old is None else "hosts", after=after)


def list_rule_changes(head: Project, base: Baseline) -> tuple[RuleChange, ...]:
    """List every rule that differs between head's configuration and base's, in plain words."""
    old, new = base.project.config, head.config
    old_checks, new_checks = ({check.name: check for check in config.checks} for config in (old, new))
    return (
        *_compare_hosts(old.hosts, new.hosts),
        *_compare_gates(old.all_gates, new.all_gates),
        *_compare_work(old, new, base.profiles),
        *(RuleChange(what=f"variant {name}", before="measured", after="") for name in base.removed),
        *_compare_models("profile", base.profiles, head.profiles, added=False),
        *_compare_models("check", old_checks, new_checks, added=True),
        *_compare_models("service", *(_leave_out_initial(_list_pulled(each)) for each in (old, new)), added=False),
        *_compare_files(base.project, head),
        *_compare_initial(base, head),
        *_compare_models("", {_LOAD_GENERATOR: old.load}, {_LOAD_GENERATOR: new.load}, added=False),
        *_compare_pairs(old, new),
        *_compare_seeds(base.project, head),
    )


def _compare_files(base: Project, head: Project) -> Iterator[RuleChange]:
    """Say that files which head's tree has for services of both have other contents: the servers get these."""
    new = _leave_out_initial(_list_pulled(head.config))
    for name, service in _leave_out_initial(_list_pulled(base.config)).items():
        own, other = (
            {file.source for file in each.files.values() if file.source} for each in (service, new.get(name, service))
        )
        if changed := [source for source in sorted(own & other) if differ(base, head, source, source)]:
            yield RuleChange(what=f"files of {name}", before=", ".join(changed), after="other contents, for base too")


def _leave_out_initial(services: Mapping[str, Service]) -> dict[str, Service]:
    return {name: service.with_initial_files({}) for name, service in services.items()}


def _compare_initial(base: Baseline, head: Project) -> Iterator[RuleChange]:
    """Say that databases begin with other data in head: each revision has its own, unless git does not have head's."""
    old = base.project.config.services
    heads = _find_counterparts(head.config.services, old)
    for name in (name for name in old if name in heads):
        before, after = old[name].initial_files, heads[name].initial_files
        paths = [", ".join(file.source or path for path, file in each.items()) for each in (before, after)]
        match judge_beginning(base.project, before, head, after, base.tracked):
            case "own":
                changed = f"other contents of {paths[1]}" if paths[0] == paths[1] else paths[1] or "none"
                yield RuleChange(what=f"{INITIAL_DATA_OF} {name}", before=paths[0] or "none", after=changed)
            case "head's":
                yield RuleChange(what=f"files of {name}", before=paths[0] or "none", after=f"{paths[1]}, for base too")


def _compare_seeds(base: Project, head: Project) -> Iterator[RuleChange]:
    """Say that head runs on other data: each revision has its own."""
    own = f"{head.folder}/"  # base may have head's files, by their whole paths
    before, after = (", ".join(step.title.replace(own, "") for step in each.config.seed) for each in (base, head))
    if before != after:
        yield RuleChange(what="seed", before=before or "none", after=after or "none")
        return
    files = [step.file for step in head.config.seed if step.file]
    if changed := [file for file in files if differ(base, head, file, file)]:
        yield RuleChange(what="seed", before=before, after=f"other contents of {', '.join(changed)}")


def _list_texts(service: Service) -> Iterator[str]:
    """List the texts of a service in which secrets may be."""
    yield from service.env.values()
    yield from (file.content or "" for file in service.files.values())


def _list_pulled(config: Config) -> dict[str, Service]:
    """List services that are not built: those that are belong to a revision, like its variants."""
    return {name: service for name, service in config.services.items() if service.build is None}


def _fit_to_services(base: Baseline, head: Project, config: Config) -> Baseline:
    """Map base's names of services, which its variants' environment uses, to the servers that run.

    These begin as head's. Those that begin otherwise in base are kept with its own service, whose files are in its
    sources.
    """
    own = base.project.config.services
    old, new = (_find_counterparts(each, config.services) for each in (own, head.config.services))
    own_data = {
        name: old[name]
        for name, service in config.services.items()
        if name in old
        and name in new
        and not service.is_companion
        and judge_beginning(base.project, old[name].initial_files, head, new[name].initial_files, base.tracked) == "own"
    }
    return replace(base, aliases=map_service_aliases(own, config.services), own_data=own_data)


def _start_as_head(services: Mapping[str, Service], own: Mapping[str, Service]) -> dict[str, Service]:
    """Give the databases that run the files for their first start that head's own services have."""
    new = _find_counterparts(own, services)
    return {
        name: service.with_initial_files(new[name].initial_files) if name in new else service
        for name, service in services.items()
    }


def _find_counterparts(own: Mapping[str, Service], shared: Mapping[str, Service]) -> dict[str, Service]:
    """Find the service of one configuration that each server that runs is of the same kind as, by the server's name."""
    aliases = map_service_aliases(own, shared)
    named = {aliases.get(name, name): service for name, service in own.items()}
    return {name: service for name, service in named.items() if name in shared and shared[name].kind == service.kind}


def _compare_gates(old: Gates, new: Gates) -> Iterator[RuleChange]:
    for metric in dict.fromkeys((*old, *new)):
        before, after = (_describe_gate(gates.get(metric), metric) for gates in (old, new))
        if before != after:
            yield RuleChange(what=f"gate on {METRICS[metric].title}", before=before, after=after)


def _describe_gate(gate: Gate | None, metric: str) -> str:
    if gate is None:
        return _NO_GATE
    absolute = f" and {gate.absolute:g} {METRICS[metric].unit}" if gate.absolute else ""
    return f"{percent(gate.size, exact=True)}{absolute}{' (warns only)' if gate.level == 'warn' else ''}"


def _compare_work(old: Config, new: Config, profiles: Mapping[str, Profile]) -> Iterator[RuleChange]:
    nothing = ExpectedWork()
    for name in profiles:
        before, after = (config.work.get(name, nothing) for config in (old, new))
        if before != after:
            what = f"work of {name}"
            yield RuleChange(what=what, before=_describe_model(before) or "any", after=_describe_model(after) or "any")


def _compare_models(
    kind: str, old: Mapping[str, BaseModel], new: Mapping[str, BaseModel], *, added: bool
) -> Iterator[RuleChange]:
    """Compare two mappings by name. `added`: whether a new name is a change."""
    for name in (*old, *(name for name in new if added and name not in old)):
        what = f"{kind} {name}".strip()
        if name not in new:
            yield RuleChange(what=what, before=_describe_model(old[name]), after="")
        elif name not in old:
            yield RuleChange(what=what, before="", after=_describe_model(new[name]))
        else:
            before, after = _flatten(old[name]), _flatten(new[name])
            keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]
            if keys:
                both = _cut_together(_join_values(before, keys), _join_values(after, keys))
                yield RuleChange(what=what, before=both[0], after=both[1])


def _compare_pairs(old: Config, new: Config) -> Iterator[RuleChange]:
    if old.compare != new.compare:
        before, after = (", ".join(f"{base}/{head}" for base, head in config.compare) for config in (old, new))
        yield RuleChange(what="compared variants", before=before, after=after)


def _describe_model(model: BaseModel) -> str:
    values = _flatten(model)
    return _cut(_join_values(values, list(values)))


def _cut_together(before: str, after: str) -> tuple[str, str]:
    """Cut two texts to 200 characters, so that what differs can be seen."""
    same = len(commonprefix([before, after]))
    start = max(0, same - _BEFORE) if max(len(before), len(after)) > _LONGEST else 0
    return _cut(before, start), _cut(after, start)


def _cut(text: str, start: int = 0) -> str:
    text = f"…{text[start:]}" if start else text
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _flatten(model: BaseModel) -> dict[str, Any]:
    """Return a model's values by dotted key, without its name and those that equal their defaults."""
    values = dict(_walk(model.model_dump(exclude_defaults=True, exclude={"name"}), ""))
    data = {"data": model.digest} if isinstance(model, Profile) and model.digest else {}
    return {**values, **data}


def _walk(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _join_values(values: Mapping[str, Any], keys: list[str]) -> str:
    """Join values such as "path /new, connections 16" on one line."""
    return ", ".join(f"{key} {_describe_value(values[key])}" if key in values else f"{key} default" for key in keys)


def _describe_value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(repr, value)) or "none"
    return str(value)
