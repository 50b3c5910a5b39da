"""Prepare each subject's data, and start subjects."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bench_action.config.baseline import Baseline
from bench_action.config.environment import (
    TLS_FILES,
    Address,
    build_environment,
    fill_in,
    fill_in_addresses,
    read_secrets,
)
from bench_action.config.kinds import find_port, keeps_data
from bench_action.config.load import Project
from bench_action.config.schema import PLACEHOLDER, Container, Service
from bench_action.engine.protocol import Certificate, Engine, Handle, Program, ServiceSpec
from bench_action.load.generator import Agent
from bench_action.model.errors import InputError, StackError
from bench_action.model.progress import Progress
from bench_action.model.result import Revision
from bench_action.model.warning import RunWarning
from bench_action.stack.companions import find_awaited, find_waves, list_companions
from bench_action.stack.container import make_container_form
from bench_action.stack.hash_seed import ITSELF, NO_HASH_SEED, HashSeed, takes_hash_seed
from bench_action.stack.images import Image, Images, make_local_form
from bench_action.stack.parallel import run_in_parallel
from bench_action.stack.postgres import Postgres
from bench_action.stack.probes import make_check
from bench_action.stack.readiness import wait_until_ready
from bench_action.stack.seeding.check import count_rows, list_losses, warn_of_losses
from bench_action.stack.seeding.mysql import Account
from bench_action.stack.seeding.psql import SeedDatabase
from bench_action.stack.seeding.redis import RedisSeed
from bench_action.stack.seeding.seeder import Seeder, Target, create_extensions
from bench_action.stack.server import DatabaseServer
from bench_action.stack.slots import Slot
from bench_action.stack.subject import Subject

_SETUP_S = 600.0
_SEED_S = 3600.0  # for a command of the seed: as long as one statement of its files may take


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts the subjects of head, and of base if there is one.

    `seed`: by which their requests are drawn. `certificate`: of those that serve HTTPS.
    """

    engine: Engine
    head: Project
    base: Baseline | None
    images: Images
    agent: Agent
    environ: Mapping[str, str] = field(repr=False)
    progress: Progress
    seed: int = 0
    certificate: Certificate | None = None
    _programs: dict[str, dict[str, Program]] = field(default_factory=dict)
    _with_hash_seed: set[str] = field(default_factory=set)
    _descriptions: dict[str, list[str]] = field(default_factory=dict)
    _seeded: dict[str, dict[str, int]] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    def check_seed(self, subject: Subject) -> RunWarning | None:
        """Warn if a subject, once it is ready, has fewer rows than the seed put in."""
        return warn_of_losses(subject.name, list_losses(self._seeded[subject.name], self._count_rows(subject)))

    def prepare_heads(self, slot: Slot) -> list[Subject]:
        """Make the data of each variant of head in a slot, one after the other; no subject is started.

        Raises StackError, InputError.
        """
        return [self._prepare(name, "head", image, slot) for name, image in self.images.variants.items()]

    def prepare_base(self, name: str, slot: Slot) -> Subject:
        """Make the data of a variant of base in a slot. Raises StackError."""
        try:
            return self._prepare(name, "base", self.images.base[name], slot)
        except InputError as error:  # head's seed works, so the fault is in base's
            raise StackError(error.what, where=error.where, advice=error.advice, log=error.log) from error

    def start(
        self,
        subject: Subject,
        started: dict[str, Handle],
        cpus: Sequence[int] = (),
        hash_seed: HashSeed = NO_HASH_SEED,
    ) -> Subject:
        """Start a subject with its companions in its slot, and return it; it need not be ready yet.

        `started`: what has been started here for it before, by name, which is started again; changed here. `cpus`:
        where these may boot. What is not among the parts of `hash_seed` has none, even if it had one before.
        """
        companions = self._list_companions(subject, once=False)
        containers: dict[str, Container] = {**companions, subject.variant: subject.config}
        awaited, addresses = find_awaited(containers), self._find_addresses(subject)
        parts = {name: name if name in companions else ITSELF for name in containers}
        seeded = {name for name, part in parts.items() if part in hash_seed.parts}
        for wave in find_waves(containers):
            specs = {
                name: self._make_companion_spec(subject, name, companions[name])
                if name in companions
                else self._make_spec(subject, self._mark(subject, name))
                for name in wave
            }
            specs = {name: hash_seed.add_to(parts[name], spec) for name, spec in specs.items()}
            run_in_parallel(partial(self._start, started, cpus, seeded), specs.items())
            checks = [
                make_check(self.engine, self.agent, started[name], containers[name], addresses=addresses)
                for name in wave
                if name in awaited
            ]
            wait_until_ready(self.engine, checks, list(started.values()))
        if subject.name not in self._programs:
            # companions of foreign images may install something when they start, for which nobody waits
            own = [name for name in parts if name not in companions or companions[name].build is not None]
            self._programs[subject.name] = {parts[name]: self.engine.describe_program(started[name]) for name in own}
        return replace(
            subject,
            handle=started[subject.variant],
            addresses=addresses,
            companions={name: started[name] for name, service in companions.items() if not service.worker},
            workers={name: started[name] for name, service in companions.items() if service.worker},
        )

    def list_seedable(self, subject: Subject) -> Collection[str]:
        """List the parts of a subject that has run before which use a hash seed, and have none from their user."""
        return [part for part, program in self._programs.get(subject.name, {}).items() if takes_hash_seed(program)]

    def _start(
        self,
        started: dict[str, Handle],
        cpus: Sequence[int],
        seeded: Collection[str],
        wanted: tuple[str, ServiceSpec],
    ) -> None:
        """Start one part, again if it has been started before. `seeded`: those that get a hash seed, by name."""
        name, spec = wanted
        if name not in started:
            started[name] = self.engine.start(spec)
        else:
            if cpus:
                self.engine.pin(started[name], cpus)
            if name in seeded or started[name].id in self._with_hash_seed:
                old = started.pop(name)
                self._with_hash_seed.discard(old.id)
                started[name] = self.engine.replace(old, spec)
            else:
                self.engine.restart(started[name])
        if name in seeded:
            self._with_hash_seed.add(started[name].id)

    def _prepare(self, name: str, revision: Revision, image: Image, slot: Slot) -> Subject:
        """Run the setup and the seed on new databases, and keep these as the subject's templates."""
        config = self._project(name, revision).config.variants[name]
        template = f"bench_action_{name.replace('-', '_')}_{revision}"
        foreign = self.head.list_foreign_services(name)
        subject = self._fill(Subject(name, revision, config, image, template, seed=self.seed, foreign=foreign), slot)
        self._seeded[subject.name] = self._count_rows(subject)
        slot.rest()
        for server in slot.databases.values():
            server.analyse(_SETUP_S)
            server.keep_as(template)
        return self._share_template(subject)

    def fill_others(self, subjects: Sequence[Subject], slot: Slot) -> None:
        """Fill the services of a further slot that cannot be copied as those of the first one were.

        Its databases and caches are made new afterwards, when a subject enters. Raises StackError, InputError.
        """
        for subject in subjects:
            if self._may_fill_others(subject):
                self._fill(subject, slot, only_commands=True)

    def _may_fill_others(self, subject: Subject) -> bool:
        """Whether commands of a subject may have put data into services that cannot be copied."""
        project = self._project(subject.variant, subject.revision)
        jobs = self._list_companions(subject, once=True)
        if not (jobs or subject.config.setup or any(step.run for step in project.config.seed)):
            return False
        needed = {name for job in jobs.values() for name in job.depends_on}
        return any(
            service.kind == "other" and not service.is_companion and (name in needed or keeps_data(service.image or ""))
            for name, service in project.config.services.items()
        )

    def _fill(self, subject: Subject, slot: Slot, *, only_commands: bool = False) -> Subject:
        """Make the databases of a slot new, and run the jobs, the setup and the seed of a subject on them.

        `only_commands`: the seed up to its last command only, as files fill nothing but databases and caches.
        """
        subject = slot.settle(subject)
        cache_seeds = {
            service: RedisSeed(self.engine, cache.handle, cache.password) for service, cache in subject.caches.items()
        }
        subject = replace(subject, cache_seeds=cache_seeds)
        slot.rest()
        for cache in slot.caches.values():
            cache.flush()
        for server in slot.databases.values():
            server.renew(revision=subject.revision)
        for server in _list_postgres(subject):
            create_extensions(server, self._project(subject.variant, subject.revision).config.extensions)
        subject = self._run_jobs(subject, slot)
        self._run_once(_SETUP_S, subject, subject.config.setup)
        seeder = self._make_seeder(subject)
        if only_commands:
            seeder = seeder.leave_out_last_files()
        seeder.seed("setup")
        self._seed_when_ready(subject, slot, seeder)
        return subject

    def _project(self, variant: str, revision: Revision) -> Project:
        return self.base.project if revision == "base" and self.base is not None else self.head.find_owner(variant)

    def _share_template(self, subject: Subject) -> Subject:
        """Give base head's template if both hold the same: a second ANALYZE may give the planner other statistics."""
        if self.base is None:
            return subject
        servers = [database.server for database in subject.databases.values()]
        description = [line for server in servers for line in server.describe_template(subject.template)]
        if subject.revision == "head":
            self._descriptions[subject.variant] = description
        elif description == self._descriptions[subject.variant]:
            for server in servers:
                server.drop_template(subject.template)
            return replace(subject, template=f"{subject.template.removesuffix('base')}head")
        return subject

    def _run_jobs(self, subject: Subject, slot: Slot) -> Subject:
        """Run the companions that run to their end, such as migrations, and start what depends on a database.

        Returns the subject with these services. Each waits for what it depends on.
        """
        jobs = self._list_companions(subject, once=True)
        late = {name: late.service for name, late in slot.late.items() if name not in subject.foreign}
        containers: dict[str, Container] = {**late, **jobs}
        for wave in find_waves(containers):
            slot.start_late([name for name in wave if name not in jobs])
            subject = slot.settle(subject)
            for name in wave:
                if name in jobs:
                    self.engine.run_once(self._make_companion_spec(subject, name, jobs[name]), _SETUP_S)
        return subject

    def _run_once(self, limit_s: float, subject: Subject, command: Sequence[str]) -> None:
        if command:
            self.engine.run_once(self._make_spec(subject, f"{subject.variant}-setup", command), limit_s)

    @staticmethod
    def _count_rows(subject: Subject) -> dict[str, int]:
        several = len(subject.databases) > 1
        return {
            f"{name}: {table}" if several else table: number
            for name, database in subject.databases.items()
            for table, number in count_rows(database.server).items()
        }

    def _make_seeder(self, subject: Subject) -> Seeder:
        targets: dict[str, Target] = {
            name: _make_target(database.server) for name, database in subject.databases.items()
        }
        targets |= subject.cache_seeds
        if subject.revision == "base" and self.base is not None:
            targets |= {name: targets[other] for name, other in self.base.aliases.items() if other in targets}
        project = self._project(subject.variant, subject.revision)
        return Seeder(self.engine, project, targets, partial(self._run_once, _SEED_S, subject), self._say)

    def _seed_when_ready(self, subject: Subject, slot: Slot, seeder: Seeder) -> None:
        """Let the subject start once, as its start creates what these steps of the seed fill."""
        if any(step.after == "ready" for step in seeder.project.config.seed):
            started = slot.start(subject, self)
            check = make_check(self.engine, self.agent, started.handle, subject.config, addresses=started.addresses)
            wait_until_ready(self.engine, [check], started.handles)
            seeder.seed("ready")
            slot.clear(grace_s=1)

    def _say(self, line: str) -> None:
        """Show a line, but only once, as several subjects may have the same seed."""
        if line not in self._said:
            self._said.add(line)
            self.progress.step(line)

    def _make_spec(self, subject: Subject, name: str, command: Sequence[str] = ()) -> ServiceSpec:
        """Specify a subject, or another command of it, in its slot: its host name is the variant's in all slots."""
        variant, project = subject.config, self._project(subject.variant, subject.revision)
        addresses = self._find_addresses(subject)
        secrets = read_secrets(project.config, self.environ)
        local = make_local_form(variant, project.folder, project.root)
        if local is not None:
            words = command or local.command
            local = replace(local, command=[fill_in_addresses(word, addresses) for word in words])
        return ServiceSpec(
            kind="subject",
            name=name,
            host=subject.variant,
            slot=subject.slot,
            image=subject.image.id,
            command=[fill_in_addresses(word, addresses) for word in command or variant.command],
            port=variant.port,
            env={**_list_urls(subject), **build_environment(variant, addresses, secrets)},
            ulimits=variant.ulimits,
            local=local,
            certificate=self.certificate if variant.tls else None,
            container=make_container_form(
                variant, project.folder, partial(fill_in, services=addresses, secrets=secrets)
            ),
        )

    def _list_companions(self, subject: Subject, *, once: bool) -> dict[str, Service]:
        project = self._project(subject.variant, subject.revision)
        companions = list_companions(project.config, subject.variant)
        return {name: service for name, service in companions.items() if service.once == once}

    def _make_companion_spec(self, subject: Subject, name: str, service: Service) -> ServiceSpec:
        """Specify a companion: untrusted code like the subject, with the environment that the service has."""
        project = self._project(subject.variant, subject.revision)
        addresses = self._find_addresses(subject)
        secrets = read_secrets(project.config, self.environ)
        images = self.images.services
        if subject.revision == "base":
            images = {**images, **self.images.base_services}
        return ServiceSpec(
            kind="subject",
            name=self._mark(subject, name),
            host=name,
            slot=subject.slot,
            image=images[name].id,
            command=[fill_in_addresses(word, addresses) for word in service.command],
            port=service.port or 0,
            env={key: fill_in(text, addresses, secrets) for key, text in service.env.items()},
            ulimits=service.ulimits,
            container=make_container_form(
                service, project.folder, partial(fill_in, services=addresses, secrets=secrets)
            ),
        )

    @staticmethod
    def _mark(subject: Subject, name: str) -> str:
        """Mark a name as base's; head is the normal case."""
        return name if subject.revision == "head" else f"{name}-base"

    def _find_addresses(self, subject: Subject) -> dict[str, Address]:
        """Find how a subject reaches each service, also under the names that its own revision gives them."""
        project = self._project(subject.variant, subject.revision)
        companions = list_companions(project.config, subject.variant)
        found: dict[str, Address] = {
            name: {"host": name, "port": str(service.port or find_port(service.kind, service.image or ""))}
            for name, service in companions.items()
        }
        found |= subject.addresses
        if subject.config.tls:
            found["tls"] = {name: f"{self.engine.tls_folder}/{name}.pem" for name in TLS_FILES}
        if subject.revision == "base" and self.base is not None:
            found |= {name: found[other] for name, other in self.base.aliases.items() if other in found}
        return found


def _list_postgres(subject: Subject) -> list[Postgres]:
    """List the first PostgreSQL server, which gets the extensions, if there is one."""
    return [database.server for database in subject.databases.values() if isinstance(database.server, Postgres)][:1]


def _make_target(server: DatabaseServer) -> Target:
    """Make where the files of a seed for a database go."""
    if isinstance(server, Postgres):
        return SeedDatabase(server)
    return Account(server.handle, server.login.user, server.login.password, server.login.database)


def _list_urls(subject: Subject) -> dict[str, str]:
    """List the URLs of the first database and cache; none for a service that the variant's `env` refers to.

    None at all for a service of a compose file, which works without them. An application may prefer such a URL to
    what its `env` says, or to its own default, and not understand it.
    """
    if subject.config.service is not None:
        return {}
    named = {match[1] for text in subject.config.env.values() for match in PLACEHOLDER.finditer(text)}
    urls = {}
    for variable, servers in (
        ("DATABASE_URL", {name: database.server for name, database in subject.databases.items()}),
        ("REDIS_URL", subject.caches),
    ):
        first = next(iter(servers), None)
        if first is not None and first not in named:
            urls[variable] = servers[first].address()["url"]
    return urls
