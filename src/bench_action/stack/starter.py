"""Create each subject's database and start the subject."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bench_action.config.baseline import Baseline
from bench_action.config.environment import Address, build_environment, fill_in_addresses, read_secrets
from bench_action.config.load import Project
from bench_action.engine.protocol import Engine, Handle, ServiceSpec
from bench_action.model.errors import InputError, StackError
from bench_action.model.result import Revision
from bench_action.stack.images import Image, Images, make_local_form
from bench_action.stack.postgres import QueryError
from bench_action.stack.services import Services
from bench_action.stack.slots import Slot
from bench_action.stack.subject import Cache, Database, Subject

_SETUP_S = 600.0
# The user's own tables: without a list, ANALYZE reads the system's tables too, which takes longer than a small seed.
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
    """Starts the subjects of head, and of base if there is one."""

    engine: Engine
    head: Project
    base: Baseline | None
    images: Images
    services: Services
    environ: Mapping[str, str] = field(repr=False)
    _templates: dict[str, list[str]] = field(default_factory=dict)

    def prepare_heads(self) -> Iterator[Callable[[], Subject]]:
        """Create the database of each variant of head, one after the other, and yield a function that starts it.

        Databases cannot be created in parallel, because a template must not be in use; but a subject can boot while the
        next database is created.
        """
        for number, (name, image) in enumerate(self.images.variants.items(), start=1):
            subject = self._prepare(name, "head", image, number)
            yield partial(self._start, subject)

    def start_base(self, name: str) -> Subject:
        """Create the database of a variant of base, and start it. Raises StackError."""
        number = len(self.images.variants) + list(self.images.base).index(name) + 1
        try:
            return self._start(self._prepare(name, "base", self.images.base[name], number))
        except InputError as error:  # head's seed works, so the fault is in base's
            raise StackError(error.what, where=error.where, advice=error.advice, log=error.log) from error

    def start_in(self, subject: Subject, slot: Slot, name: str) -> Handle:
        """Start a subject under another name, with the database and the cache of a slot."""
        placed = replace(subject, database=slot.database, cache=slot.cache)
        return self.engine.start(self._make_spec(placed, name, slot.host))

    def _prepare(self, name: str, revision: Revision, image: Image, number: int) -> Subject:
        redis = self.services.redis
        subject = Subject(
            variant=name,
            revision=revision,
            config=self._project(name, revision).config.variants[name],
            image=image,
            handle=Handle("", name, "subject", "", 0),  # until it is started
            database=None,
            cache=Cache(redis, number) if redis is not None else None,
        )
        return replace(subject, database=self._make_database(subject))

    def _start(self, subject: Subject) -> Subject:
        name = subject.variant if subject.revision == "head" else f"{subject.variant}-base"
        return replace(subject, handle=self.engine.start(self._make_spec(subject, name, name)))

    def _project(self, variant: str, revision: Revision) -> Project:
        return self.base.project if revision == "base" and self.base is not None else self.head.find_owner(variant)

    def _make_database(self, subject: Subject) -> Database | None:
        server = self.services.postgres
        if server is None:
            return None
        role = f"subject_{subject.variant.replace('-', '_')}"  # the prefix avoids postgres, template1, pg_…
        name = role if subject.revision == "head" else f"{role}_base"
        if subject.revision == "head":
            server.create_role(role)
        database = Database(server, name, role, f"{name}_template")
        server.create_database(database.template, role)
        self._set_up(subject, database)
        self._seed(subject, database)
        if self.base is not None:
            database = self._share_template(subject, database)
        database.recreate()
        return database

    def _share_template(self, subject: Subject, database: Database) -> Database:
        """Give base head's template if both hold the same: a second ANALYZE may give the planner other statistics."""
        description = database.server.describe_database(database.template)
        if subject.revision == "head":
            self._templates[subject.variant] = description
        elif description == self._templates[subject.variant]:
            return replace(database, template=f"{database.role}_template")
        return database

    def _set_up(self, subject: Subject, database: Database) -> None:
        command = subject.config.setup
        if command:
            name, template = f"{subject.variant}-setup", replace(database, name=database.template)
            spec = self._make_spec(replace(subject, database=template), name, name, command)
            self.engine.run_once(spec, _SETUP_S)

    def _seed(self, subject: Subject, database: Database) -> None:
        """Fill the template as the subject's role, and collect the planner's statistics on it."""
        project = self._project(subject.variant, subject.revision)
        server, seed = database.server, project.config.seed
        if seed is not None:
            try:
                text = (project.folder / seed).read_text(encoding="utf-8")
                server.run_script(database.role, database.template, text, _SETUP_S)
            except QueryError as error:
                where = ", ".join(filter(None, (f"seed: {seed}", error.where)))
                raise InputError(error.what, where=where, advice=error.advice, log=error.log) from error
            except UnicodeDecodeError:
                advice = "save it as UTF-8, or dump it with `pg_dump --format=plain --encoding=UTF8`"
                raise InputError("the seed is not UTF-8 text", where=f"seed: {seed}", advice=advice) from None
        server.execute_as(database.role, database.template, _ANALYZE, patience_s=_SETUP_S)

    def _make_spec(self, subject: Subject, name: str, host: str, command: Sequence[str] = ()) -> ServiceSpec:
        """Specify a subject, or another command of it, with its own database and cache."""
        variant, project = subject.config, self._project(subject.variant, subject.revision)
        addresses = self._find_addresses(subject)
        secrets = read_secrets(project.config, self.environ)
        local = make_local_form(variant, project.folder)
        if local is not None:
            words = command or local.command
            local = replace(local, command=[fill_in_addresses(word, addresses) for word in words])
        return ServiceSpec(
            kind="subject",
            name=name,
            host=host,
            image=subject.image.id,
            command=[fill_in_addresses(word, addresses) for word in command or variant.command],
            port=variant.port,
            env={**_list_urls(subject), **build_environment(variant, addresses, secrets)},
            ulimits=variant.ulimits,
            local=local,
        )

    def _find_addresses(self, subject: Subject) -> dict[str, Address]:
        """Find how a subject reaches each service, also under the names that its own revision gives them."""
        found: dict[str, Address] = {}
        for name, handle in self.services.handles.items():
            own = subject.database if handle.kind == "postgres" else subject.cache if handle.kind == "redis" else None
            found[name] = {"host": handle.host, "port": str(handle.port), **(own.address() if own is not None else {})}
        if subject.revision == "base" and self.base is not None:
            found |= {name: found[other] for name, other in self.base.aliases.items()}
        return found


def _list_urls(subject: Subject) -> dict[str, str]:
    urls = {"DATABASE_URL": subject.database.url()} if subject.database is not None else {}
    return urls | ({"REDIS_URL": subject.cache.url()} if subject.cache is not None else {})
