"""Makes each subject's database and starts it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from bench_action.config.baseline import Baseline
from bench_action.config.environment import allowed_secrets, own_environment
from bench_action.config.load import Project
from bench_action.engine.protocol import Engine, Handle, ServiceSpec
from bench_action.model.errors import InputError, StackError
from bench_action.model.result import Revision
from bench_action.stack.images import Image, Images, local_form
from bench_action.stack.postgres import QueryError
from bench_action.stack.services import Services
from bench_action.stack.slots import Slot
from bench_action.stack.subject import Cache, Database, Subject

_SETUP_S = 600.0
# the user's own tables: without a list it reads the system's too, which takes longer than all of a small seed
_ANALYZE = """\
DO $$
DECLARE
  own text := (SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
               WHERE relkind IN ('r', 'm', 'p') AND pg_get_userbyid(relowner) = current_user);
BEGIN
  IF own IS NOT NULL THEN EXECUTE 'ANALYZE ' || own; END IF;
END $$"""


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts subjects of head and, where there is one, of base."""

    engine: Engine
    head: Project
    base: Baseline | None
    images: Images
    services: Services
    environ: Mapping[str, str] = field(repr=False)
    _shapes: dict[str, list[str]] = field(default_factory=dict)

    def heads(self) -> Iterator[Callable[[], Subject]]:
        """For each variant, in order, what starts it; its database is made on the way, one after the other.

        Templates must not be in use, so databases cannot be made side by side; a subject can boot meanwhile.
        """
        for number, (name, image) in enumerate(self.images.variants.items(), start=1):
            subject = self._prepare(name, "head", image, number)
            yield partial(self._start, subject)

    def bases(self) -> Iterator[tuple[str, Callable[[], Subject]]]:
        """Yield the variant and the starter of each subject of the base revision."""
        for number, (name, image) in enumerate(self.images.base.items(), start=len(self.images.variants) + 1):
            yield name, partial(self._prepare_and_start, name, image, number)

    def start_in(self, subject: Subject, slot: Slot, name: str) -> Handle:
        """Start a subject under another name, with the database and the cache of a slot."""
        placed = replace(subject, database=slot.database, cache=slot.cache)
        return self.engine.start(self._spec(placed, name, slot.host, _urls(placed)))

    def _prepare_and_start(self, name: str, image: Image, number: int) -> Subject:
        try:
            return self._start(self._prepare(name, "base", image, number))
        except InputError as error:  # head's seed has worked: this one is base's, and base's own fault
            raise StackError(error.what, where=error.where, advice=error.advice, log=error.log) from error

    def _prepare(self, name: str, revision: Revision, image: Image, number: int) -> Subject:
        redis = self.services.redis
        nowhere = Handle("", name, "subject", "", 0)
        subject = Subject(
            variant=name,
            revision=revision,
            config=self._loaded(name, revision).config.variants[name],
            image=image,
            handle=nowhere,
            database=None,
            cache=Cache(redis, number) if redis is not None else None,
        )
        return replace(subject, database=self._make_database(subject))

    def _start(self, subject: Subject) -> Subject:
        name = subject.variant if subject.revision == "head" else f"{subject.variant}-base"
        return replace(subject, handle=self.engine.start(self._spec(subject, name, name, _urls(subject))))

    def _loaded(self, variant: str, revision: Revision) -> Project:
        return self.base.project if revision == "base" and self.base is not None else self.head.find_owner(variant)

    def _make_database(self, subject: Subject) -> Database | None:
        server = self.services.postgres
        if server is None:
            return None
        role = f"subject_{subject.variant.replace('-', '_')}"  # apart from postgres, template1, pg_…
        name = role if subject.revision == "head" else f"{role}_base"
        if subject.revision == "head":
            server.create_role(role)
        database = Database(server, name, role, f"{name}_template")
        server.create_database(database.template, role)
        self._set_up(subject, database)
        self._seed(subject, database)
        if self.base is not None:
            database = self._shared(subject, database)
        database.recreate()
        return database

    def _shared(self, subject: Subject, database: Database) -> Database:
        """With head's template, where base's is like it: a second ANALYZE may have told the planner something else."""
        shape = database.server.shape(database.template)
        if subject.revision == "head":
            self._shapes[subject.variant] = shape
        elif shape == self._shapes[subject.variant]:
            return replace(database, template=f"{database.role}_template")
        return database

    def _set_up(self, subject: Subject, database: Database) -> None:
        command = subject.config.setup
        if command:
            name = f"{subject.variant}-setup"
            spec = self._spec(subject, name, name, {"DATABASE_URL": database.url(database.template)})
            local = replace(spec.local, command=command) if spec.local else None
            self.engine.run_once(replace(spec, command=command, local=local), _SETUP_S)

    def _seed(self, subject: Subject, database: Database) -> None:
        """Fill the template, and have the planner know what is in it. The subject's role owns all of it."""
        project = self._loaded(subject.variant, subject.revision)
        server, seed = database.server, project.config.seed
        if seed is not None:
            try:
                text = (project.folder / seed).read_text(encoding="utf-8")
                server.run_script(database.role, database.template, text, _SETUP_S)
            except QueryError as error:
                where = ", ".join(filter(None, (f"seed: {seed}", error.where)))
                raise InputError(error.what, where=where, advice=error.advice, log=error.log) from error
            except UnicodeDecodeError:
                advice = "write it as UTF-8; a dump with `pg_dump --format=plain --encoding=UTF8`"
                raise InputError("the seed is not text in UTF-8", where=f"seed: {seed}", advice=advice) from None
        server.execute_as(database.role, database.template, _ANALYZE, patience_s=_SETUP_S)

    def _spec(self, subject: Subject, name: str, host: str, urls: Mapping[str, str]) -> ServiceSpec:
        variant, project = subject.config, self._loaded(subject.variant, subject.revision)
        addresses = dict(self.services.handles)
        if subject.revision == "base" and self.base is not None:
            addresses |= {name: addresses[other] for name, other in self.base.aliases.items()}
        secrets = allowed_secrets(project.config, self.environ)
        return ServiceSpec(
            kind="subject",
            name=name,
            host=host,
            image=subject.image.id,
            command=variant.command,
            port=variant.port,
            env={**urls, **own_environment(variant, addresses, secrets)},
            ulimits=variant.ulimits,
            local=local_form(variant, project.folder),
        )


def _urls(subject: Subject) -> dict[str, str]:
    urls = {"DATABASE_URL": subject.database.url()} if subject.database is not None else {}
    return urls | ({"REDIS_URL": subject.cache.url()} if subject.cache is not None else {})
