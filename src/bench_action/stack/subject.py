"""A subject: a variant at a revision, in a slot whose services are its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench_action.config.environment import Address, fill_in_addresses, fill_in_request
from bench_action.config.schema import Profile, Request, Variant
from bench_action.engine.protocol import Handle
from bench_action.load.generator import HttpRequest, Load, Tape
from bench_action.load.k6 import Turn, build_turn_order
from bench_action.load.messages import K6Order
from bench_action.load.tape import Purpose, User, build_tape, find_first_serial
from bench_action.load.wrk import build_order
from bench_action.model.result import Revision, SubjectInfo
from bench_action.stack.images import Image
from bench_action.stack.redis import Redis
from bench_action.stack.seeding.redis import RedisSeed
from bench_action.stack.server import DatabaseServer, Statements

_LATE_S = 15.0  # wrk may take so much longer than it should
_EARLY_S = 0.04  # a little less than half of the time between two looks at wrk's clock, as it takes a while to start
_LATE_LOOKS = 0.006  # by which share of its time the looks come late: 0.4 to 0.9 % (benchmarks/detection/recordings)
_SCRIPT_ENDS_S = 120.0  # how long `setup`, `teardown` and what is under way at the end of a script may take
_SPARE_S = 60  # wrk's own time beyond the longest warm-up: it is interrupted before
_NOWHERE = Handle("", "", "subject", "", 0)


@dataclass(frozen=True, slots=True)
class Database:
    """The application's database on the server of a slot; `template` holds the subject's schema and seed."""

    server: DatabaseServer
    template: str

    def execute(self, text: str) -> list[str]:
        """Run statements in it as our own account, so that they do not count as the subject's; return their rows."""
        return self.server.execute(text)

    def connections(self) -> int:
        """Count the subject's connections to it now."""
        return self.server.connections()

    def statements(self) -> Statements:
        """Read the statements that were run in it so far."""
        return self.server.statements()


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject; once it has been started in a slot, `handle` is what runs there.

    `companions`: what runs with it and answers requests with it; `workers`: what works in the background for it.
    `databases`, `caches`: those of its slot, by the name of the service. `services`: all services of its slot.
    `foreign`: services that are not for it, and are not among these.
    `cache_seeds`: what its caches begin with, by the name of the service. `addresses`: how it reaches each service.
    `startup_s`, `renewal_s`: how long it took to start, and to make its slot's data new before. `kept`: profile →
    whether its server was seen to keep a connection open after a reply. `held`: profile → how many connections it
    holds, if the preset chose their number. `seed`: by which the requests of profiles are drawn.
    `users`: session → what its replies contained, for each user, if it was opened.
    """

    variant: str
    revision: Revision
    config: Variant
    image: Image
    template: str
    handle: Handle = _NOWHERE
    companions: Mapping[str, Handle] = field(default_factory=dict)
    workers: Mapping[str, Handle] = field(default_factory=dict)
    databases: Mapping[str, Database] = field(default_factory=dict)
    caches: Mapping[str, Redis] = field(default_factory=dict)
    services: Mapping[str, Handle] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    cache_seeds: Mapping[str, RedisSeed] = field(default_factory=dict)
    slot: str = ""
    startup_s: float = 0.0
    renewal_s: float = 0.0
    kept: Mapping[str, bool] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    addresses: Mapping[str, Address] = field(default_factory=dict, repr=False)
    seed: int = 0
    users: Mapping[str, tuple[User, ...]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Its name in messages: head is the normal case, so only base is marked."""
        return self.variant if self.revision == "head" else f"{self.variant}@{self.revision}"

    def address_request(self, wanted: Request) -> HttpRequest:
        """Address a request to it, with the placeholders of its headers and its body filled in."""
        return HttpRequest.from_config(self.handle, fill_in_request(wanted, self.addresses))

    def address_profile(self, profile: Profile, purpose: Purpose = "count", number: int = 0) -> Tape:
        """Address the requests of a profile to it, with placeholders filled in.

        `purpose`, `number`: what they are for, and how often it was there since a restart; for serial numbers.
        """
        users = self.users.get(profile.session.key, ()) if profile.session is not None else ()
        tape = build_tape(self.handle, profile, lambda text: fill_in_addresses(text, self.addresses), self.seed, users)
        return tape.number_from(find_first_serial(profile, purpose, number))

    def order_load(self, profile: Profile, duration_s: int, number: int = 0) -> Load:
        """Order wrk to load it for so many seconds. `number`: how often it was loaded since its restart."""
        return self._order(profile, duration_s, patience_s=duration_s, number=number)

    def order_slice(self, profile: Profile, duration_s: int, number: int = 0) -> Load:
        """Order wrk to load it for so many seconds, and to end with another wrk that was started with it.

        wrk's threads look every 100 ms whether its time is up. The first look after it may be so close to it that one
        wrk ends there and another 100 ms later, with the whole CPU for itself. So they are interrupted earlier, between
        two looks. Looks come late, and the later the longer it runs: with long slices, wrk's own end is between two.
        """
        early_s = max(0.0, _EARLY_S - _LATE_LOOKS * duration_s)
        return self._order(profile, duration_s, patience_s=duration_s, interrupt_s=duration_s - early_s, number=number)

    def order_warm_up(self, profile: Profile) -> Load:
        """Order wrk to load it until it is interrupted, and to count its requests; then it may only be late."""
        return self._order(profile, profile.warmup + _SPARE_S, patience_s=0, counted=True)

    def _order(
        self,
        profile: Profile,
        duration_s: int,
        *,
        patience_s: int,
        interrupt_s: float | None = None,
        counted: bool = False,
        number: int = 0,
    ) -> Load:
        return build_order(
            profile,
            self.address_profile(profile, "warm-up" if counted else "load", number),
            duration_s=duration_s,
            parts=self.parts,
            limit_s=patience_s + profile.timeout + _LATE_S,
            interrupt_s=interrupt_s,
            counted=counted,
        )

    def order_turn(self, profile: Profile, turn: Turn, number: int = 0) -> tuple[K6Order, Tape]:
        """Order k6 to load it for one turn; also return what the order is about. `number`: how often it was before."""
        if profile.is_script:
            tape = Tape(self.handle.address or self.handle.host, self.handle.port, (), tls=self.handle.tls)
        else:
            tape = self.address_profile(profile, "rate", number)
        limit_s = turn.limit_s + (_SCRIPT_ENDS_S if turn.rate is None else _LATE_S)
        return build_turn_order(self.handle, profile, tape, turn, parts=self.parts, limit_s=limit_s), tape

    def keeps_open(self, profile: str) -> bool:
        """Whether its server keeps connections open under a profile: as configured, else as was found out."""
        configured = self.config.keep_alive
        return self.kept.get(profile, True) if configured is None else configured

    @property
    def handles(self) -> tuple[Handle, ...]:
        """Everything that was started for it."""
        return (self.handle, *self.companions.values(), *self.workers.values())

    @property
    def database(self) -> Database | None:
        """The database that checks and the seed are about: that of the first service with SQL."""
        return next(iter(self.databases.values()), None)

    @property
    def cache(self) -> Redis | None:
        """The cache that checks are about: the first Redis service."""
        return next(iter(self.caches.values()), None)

    @property
    def parts(self) -> dict[str, str]:
        """The containers whose counters the agent reads: name of the part → what the agent calls it.

        The first database is `db` and the first Redis `cache`; all other services, and workers, have their own names.
        Those of companions begin with `application:`, as they are part of it.
        """
        companions = {f"application:{name}": handle.part for name, handle in self.companions.items()}
        workers = {name: handle.part for name, handle in self.workers.items()}
        return {"application": self.handle.part, **companions, **workers, **dict(self._name_parts())}

    def _name_parts(self) -> Iterator[tuple[str, str]]:
        first: Sequence[tuple[str, str]] = [
            (name, part) for part, found in (("db", self.databases), ("cache", self.caches)) for name in list(found)[:1]
        ]
        names = dict(first)
        for name, handle in self.services.items():
            yield names.get(name, name), handle.part

    def describe(self, failure: str = "") -> SubjectInfo:
        """Describe it for the result; `failure`: the rules that it broke."""
        return SubjectInfo(
            variant=self.variant,
            revision=self.revision,
            image=self.image.name,
            image_id=self.image.id,
            startup_s=self.startup_s,
            renewal_s=self.renewal_s,
            keep_alive=dict(self.kept),
            keep_alive_configured=self.config.keep_alive,
            verified=not failure,
            failure=failure,
        )
