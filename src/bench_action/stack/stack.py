"""Everything that a run needs, up and ready: images, services, databases, subjects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench_action.config.load import Loaded
from bench_action.config.schema import Variant
from bench_action.engine.protocol import Engine, Handle, ServiceSpec
from bench_action.model.errors import InputError
from bench_action.model.progress import Progress
from bench_action.stack.environment import allowed_secrets, own_environment
from bench_action.stack.images import Images, local_form, make_images
from bench_action.stack.postgres import SUPERUSER, QueryError
from bench_action.stack.readiness import Awaited, wait_until_ready
from bench_action.stack.services import Services, http_probe, side_by_side, start_services
from bench_action.stack.subject import Cache, Database, Subject, numbered

_SETUP_S = 600.0


@dataclass(frozen=True, slots=True)
class Stack:
    """What verification and measuring work with."""

    engine: Engine
    services: Services
    images: Images
    subjects: tuple[Subject, ...]

    def subject(self, variant: str, revision: str) -> Subject:
        """The subject of a cell."""
        return next(one for one in self.subjects if (one.variant, one.revision) == (variant, revision))

    def parts(self, subject: Subject) -> dict[str, str]:
        """What the agent reads counters of: name of the part → id of its container."""
        found = {"application": subject.handle}
        if self.services.postgres is not None:
            found["db"] = self.services.postgres.handle
        if self.services.redis is not None:
            found["cache"] = self.services.redis.handle
        return {name: handle.id for name, handle in found.items()}

    def renew(self, *subjects: Subject) -> None:
        """A fresh database and cache, and the subject restarted: as if nothing had been asked of it yet.

        It is stopped first: a connection pool would come back into the database that is being dropped.
        """
        handles = [subject.handle for subject in subjects]
        side_by_side(self.engine.stop, handles)
        for subject in subjects:
            if subject.database is not None:
                subject.database.recreate()
            if subject.cache is not None:
                subject.cache.flush()
        side_by_side(self.engine.restart, handles)
        self.wait_for(*subjects)

    def wait_for(self, *subjects: Subject) -> dict[str, float]:
        """Name → seconds until each answered."""
        return wait_until_ready(self.engine, [self._awaited(subject) for subject in subjects])

    def _awaited(self, subject: Subject) -> Awaited:
        ready = subject.config.ready
        return Awaited(subject.handle, ready.timeout, http_probe(self.services.agent, subject.handle, ready.path))


def bring_up(engine: Engine, loaded: Loaded, environ: Mapping[str, str], progress: Progress) -> Stack:
    """Images, services, databases, subjects, in this order; returns when all answer. Raises StackError."""
    images = make_images(engine, loaded.config, loaded.folder, progress)
    progress.step("starting services")
    engine.open()
    services = start_services(engine, loaded.config, images)
    progress.step("starting subjects")
    starter = Starter(engine, loaded, images, services, allowed_secrets(loaded.config, environ))
    subjects = starter.start_all()
    stack = Stack(engine, services, images, tuple(subjects))
    startup_s = stack.wait_for(*subjects)
    return replace(stack, subjects=tuple(replace(one, startup_s=startup_s[one.name]) for one in subjects))


@dataclass(frozen=True, slots=True)
class Starter:
    """Makes each subject's database and starts it."""

    engine: Engine
    loaded: Loaded
    images: Images
    services: Services
    secrets: Mapping[str, str]

    def start_all(self) -> list[Subject]:
        """Databases one after the other (templates must not be in use), subjects side by side."""
        numbers = numbered(list(self.loaded.config.variants))
        databases = {name: self._make_database(name) for name in numbers}
        return side_by_side(lambda name: self._start(name, databases[name], numbers[name]), numbers)

    def _make_database(self, name: str) -> Database | None:
        server = self.services.postgres
        if server is None:
            return None
        database = Database(server, f"subject_{name.replace('-', '_')}")  # apart from postgres, template1, pg_…
        database.create_template()
        self._set_up(name, database)
        seed = self.loaded.config.seed
        if seed is not None:
            self._run_seed(database, seed)
        server.execute_as(SUPERUSER, database.template, "ANALYZE")
        database.recreate()
        return database

    def _set_up(self, name: str, database: Database) -> None:
        variant = self.loaded.config.variants[name]
        if variant.setup:
            spec = self._spec(name, {"DATABASE_URL": database.url(database.template)})
            local = replace(spec.local, command=variant.setup) if spec.local else None
            spec = replace(spec, name=f"{name}-setup", command=variant.setup, local=local)
            self.engine.run_once(spec, _SETUP_S)

    def _run_seed(self, database: Database, seed: str) -> None:
        text = (self.loaded.folder / seed).read_text(encoding="utf-8")
        try:
            database.server.execute_as(database.role, database.template, text)
        except QueryError as error:
            raise InputError(error.what, where=f"seed: {seed}", log=error.log) from error

    def _start(self, name: str, database: Database | None, number: int) -> Subject:
        variant = self.loaded.config.variants[name]
        cache = Cache(self.services.redis, number) if self.services.redis is not None else None
        urls = {"DATABASE_URL": database.url()} if database is not None else {}
        urls |= {"REDIS_URL": cache.url()} if cache is not None else {}
        spec = self._spec(name, urls)
        return Subject(
            variant=name, revision="head", config=variant, image=self.images.variants[name],
            handle=self.engine.start(spec), database=database, cache=cache,
        )  # fmt: skip

    def _spec(self, name: str, urls: Mapping[str, str]) -> ServiceSpec:
        variant: Variant = self.loaded.config.variants[name]
        addresses: Mapping[str, Handle] = self.services.handles
        return ServiceSpec(
            kind="subject", name=name, image=self.images.variants[name].id, command=variant.command, port=variant.port,
            env={**urls, **own_environment(variant, addresses, self.secrets)}, ulimits=variant.ulimits,
            local=local_form(variant, self.loaded.folder),
        )  # fmt: skip
