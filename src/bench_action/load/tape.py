"""Format the requests of a profile before the run, in the order in which they are sent: a tape. Pure.

The same seed gives the same tape for base and head. A tape that comes to its end begins again.
"""

import hashlib
import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal
from urllib.parse import quote

from bench_action.config.schema import Profile, Request, Route, Row
from bench_action.config.templates import (
    Column,
    FromSession,
    Part,
    Random,
    Serial,
    encode_value,
    find_content_type,
    parse_template,
)
from bench_action.engine.protocol import Handle
from bench_action.load.generator import HttpRequest, Message, Tape

Purpose = Literal["count", "warm-up", "latency", "load", "rate"]

_LENGTH = 5_000  # requests, if they contain data: what wrk still finds in its caches
_SAME = 1_000  # at least, if they do not
_LARGEST_DECK = 1_000
# bytes of all requests, which are in memory several times: here, in the agent, and twice in wrk
_LARGEST_TAPE = 32 * 2**20
_LEAST = 100  # requests, however large they are
_FEWEST, _MOST = 5, 500  # requests of a count: of the rarest route, and of all
_DIGITS = 9
_COOKIES = "COOKIES"  # no value that a configuration names is in capitals
# stands for a serial number until it is known; neither a header nor a body of text contains it
_UNKNOWN = "\0" * _DIGITS
_SERIALS = re.compile(rb"\0{9}")
# serial numbers begin at another one for each purpose, so that no number is sent twice between two restarts; turns at a
# fixed rate come after other restarts than wrk's load
_FIRST: dict[Purpose, int] = {
    "count": 100_000_000,
    "warm-up": 200_000_000,
    "latency": 300_000_000,
    "load": 400_000_000,
    "rate": 400_000_000,
}
_APART = 1_000_000  # of one use and the next
_USES: dict[Purpose, tuple[int, int]] = {  # how many uses a profile has, and all profiles together
    "count": (6, 100),
    "warm-up": (6, 100),
    "latency": (6, 100),
    "load": (50, 500),
    "rate": (50, 500),
}


@dataclass(frozen=True, slots=True)
class User:
    """What the replies to the session's requests of one user contained: values by name, and all cookies as a header."""

    values: tuple[tuple[str, str], ...] = ()
    cookies: str = ""

    def find(self, name: str) -> str:
        """Find a value by its name, or all cookies."""
        return self.cookies if name == _COOKIES else dict(self.values).get(name, "")


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Requests as they were drawn: the index of the route, and values for its placeholders, except the session's."""

    entries: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Text:
    """A route with everything filled in that is known before data are: texts that `parse_template` splits."""

    method: str
    path: tuple[Part, ...]
    headers: tuple[tuple[str, tuple[Part, ...]], ...]
    body: tuple[Part, ...]
    raw_path: bool


def find_first_serial(profile: Profile, purpose: Purpose, number: int = 0) -> int:
    """Find the first serial number for a purpose; `number`: how often it was there for these data."""
    own, every = _USES[purpose]
    return _FIRST[purpose] + (profile.position * own + number % own) % every * _APART


def build_tape(
    handle: Handle, profile: Profile, fill_in: Callable[[str], str], seed: int, users: Sequence[User] = ()
) -> Tape:
    """Build the tape of a profile for one server. `fill_in`: fills in how it reaches its services.

    `users`: what the session's replies contained, for each user; the requests are theirs in turn.
    """
    if not profile.varies:
        return HttpRequest.from_config(handle, _fill(profile, fill_in)).tape
    cookies = any(user.cookies for user in users)
    texts = tuple(_prepare(route, fill_in, cookies=cookies) for route in profile.routes)
    host = f"{handle.host}:{handle.port}"
    messages, name = _format(_draw_once(profile, seed), texts, host, tuple(users) or (User(),))
    return Tape(handle.address or handle.host, handle.port, messages, name, tls=handle.tls)


def cut_count(profile: Profile, tape: Tape, requests: int, number: int) -> list[Tape]:
    """Cut what is sent in one count: a tape for each route, in proportion to the weights, `requests` in all at least.

    `number`: which count it is; each has other requests of the tape.
    """
    weights = _reduce([route.weight for route in profile.routes])
    whole = sum(weights)
    decks = max(math.ceil(requests / whole), math.ceil(_FEWEST / min(weights)))
    counts = [max(1, min(decks, max(1, _MOST // whole)) * weight) for weight in weights]
    return [
        tape.cut([message for message in tape.messages if message.route == route], number * count, count)
        for route, count in enumerate(counts)
    ]


def take_one_each(profile: Profile, tape: Tape) -> Tape:
    """Cut one request of each route, in the order of the routes."""
    firsts = [
        next(message for message in tape.messages if message.route == route) for route in range(len(profile.routes))
    ]
    return tape.cut(firsts, 0, len(firsts))


def cut_routes(profile: Profile, tape: Tape, most: int = 200) -> list[Tape]:
    """Cut a tape for each route, of at most so many requests."""
    own = [[message for message in tape.messages if message.route == route] for route in range(len(profile.routes))]
    return [tape.cut(messages, 0, min(most, len(messages))) for messages in own]


def count_sent(profile: Profile, tape: Tape, sent: Sequence[int]) -> dict[str, int]:
    """Count the requests of each route that wrk sent. `sent`: of each of its threads, which share the tape in turn.

    The first thread begins with its second request: wrk only looks at the first.
    """
    totals = dict.fromkeys((route.title for route in profile.routes), 0)
    titles = list(totals)
    for thread, count in enumerate(sent):
        own = [message.route for message in tape.messages[thread :: len(sent)]]
        own = own if thread else [*own[1:], *own[:1]]
        rounds, rest = divmod(count, len(own))
        for number, route in enumerate(own):
            totals[titles[route]] += rounds + (number < rest)
    return totals


def draw(profile: Profile, seed: int) -> Drawn:
    """Draw the requests of a profile: routes in proportion to their weights, in every part of the tape.

    There are fewer if they are large: whole decks, and at least one request for each of wrk's threads and each user.
    """
    dice = random.Random(f"{seed}/tape")
    routes = [(route, _list_fields(route)) for route in profile.routes]
    same = not any(fields or route.paths for route, fields in routes)
    decks = _shuffle_decks(profile.routes, dice)
    deck = len(_make_deck(profile.routes))
    users = profile.session.users if profile.session is not None else 1
    length = deck * math.ceil(max(_SAME, users) / deck) if same else _LENGTH
    least = max(_LEAST, profile.threads, users)
    sizes = [_measure(route) for route in profile.routes]
    entries: list[tuple[int, tuple[str, ...]]] = []
    size = 0
    for number in islice(decks, length):
        if size > _LARGEST_TAPE and len(entries) >= least and len(entries) % deck == 0:
            break
        entries.append(_draw_entry(number, routes, profile, dice))
        size += sizes[number] + sum(map(len, entries[-1][1]))
    return Drawn(tuple(entries))


def _measure(route: Route) -> int:
    """Measure the texts of a route in bytes, without the values of its placeholders."""
    return sum(len(part.encode()) for text in route.templates for part in parse_template(text) if isinstance(part, str))


def _draw_entry(
    number: int, routes: Sequence[tuple[Route, Sequence[Part]]], profile: Profile, dice: random.Random
) -> tuple[int, tuple[str, ...]]:
    route, fields = routes[number]
    picked: dict[str, Row] = {}
    values = [dice.choice(route.paths)] if route.paths else []
    for field in fields:
        match field:
            case Random():
                values.append(str(dice.randint(field.low, field.high)))
            case Column():
                if field.file not in picked:
                    picked[field.file] = dice.choice(profile.rows[field.file])
                values.append(picked[field.file][field.name])
            case Serial():
                values.append(_UNKNOWN)
            case FromSession():
                pass
    return number, tuple(values)


def _list_fields(route: Route) -> list[Part]:
    """List the placeholders of a route, in the order of its texts."""
    texts = route.templates[1:] if route.paths else route.templates
    return [part for text in texts for part in parse_template(text) if not isinstance(part, str | FromSession)]


def _reduce(weights: Sequence[int]) -> list[int]:
    """Reduce weights to the smallest whole numbers, and to a deck that is not too large."""
    divisor = math.gcd(*weights)
    reduced = [weight // divisor for weight in weights]
    if sum(reduced) > _LARGEST_DECK:
        reduced = [max(1, round(weight * _LARGEST_DECK / sum(reduced))) for weight in reduced]
    return reduced


def _make_deck(routes: Sequence[Route]) -> list[int]:
    return [route for route, weight in enumerate(_reduce([one.weight for one in routes])) for _ in range(weight)]


def _shuffle_decks(routes: Sequence[Route], dice: random.Random) -> Iterator[int]:
    deck = _make_deck(routes)
    while True:
        dice.shuffle(deck)
        yield from deck


def _fill(profile: Profile, fill_in: Callable[[str], str]) -> Request:
    headers = {name: fill_in(value) for name, value in profile.headers.items()}
    return profile.model_copy(update={"headers": headers, "body": fill_in(profile.body)})


def _prepare(route: Route, fill_in: Callable[[str], str], *, cookies: bool) -> _Text:
    """Parse the texts of a route, and fill in how its subject reaches services. Paths name none.

    `cookies`: send those of the session, unless the route has others.
    """

    def parse(text: str) -> tuple[Part, ...]:
        return tuple(fill_in(part) if isinstance(part, str) else part for part in parse_template(text))

    headers = tuple((name, parse(value)) for name, value in route.headers.items())
    if cookies and "cookie" not in {name.lower() for name in route.headers}:
        headers = (*headers, ("Cookie", (FromSession(_COOKIES),)))
    path = () if route.paths else parse_template(route.path)
    return _Text(route.method, path, headers, parse(route.body), bool(route.paths))


@lru_cache(maxsize=16)
def _format(
    drawn: Drawn, texts: tuple[_Text, ...], host: str, users: tuple[User, ...]
) -> tuple[tuple[Message, ...], str]:
    """Format the requests as bytes, and name them all by a digest."""
    messages = tuple(
        _format_entry(texts[route], route, values, host, users[number % len(users)])
        for number, (route, values) in enumerate(drawn.entries)
    )
    digest = hashlib.sha256()
    for message in messages:
        digest.update(f"{message.route} {len(message.raw)} ".encode() + message.raw)
    return messages, digest.hexdigest()[:16]


def _format_entry(text: _Text, route: int, values: Sequence[str], host: str, user: User) -> Message:
    left = iter(values)

    def join(parts: Sequence[Part], encode: Callable[[str], str] = str) -> str:
        return "".join(part if isinstance(part, str) else encode(find(part)) for part in parts)

    def find(part: Part) -> str:
        return user.find(part.name) if isinstance(part, FromSession) else next(left)

    path = next(left) if text.raw_path else join(text.path, lambda value: quote(value, safe="-._~\0"))
    headers = {name: join(parts) for name, parts in text.headers}
    kind = find_content_type(headers)
    name, _, port = host.rpartition(":")
    body = join(text.body, lambda value: value if value == _UNKNOWN else encode_value(value, kind))
    request = HttpRequest(name, int(port), path, text.method, headers, body)
    raw = request.wire
    return Message(text.method, raw, route, tuple(found.start() for found in _SERIALS.finditer(raw)))


_DRAWN: dict[tuple[int, str], tuple[Drawn, Drawn]] = {}  # all requests, and those that only read


def _draw_once(profile: Profile, seed: int) -> Drawn:
    """Draw each profile once: its tapes for all servers have the same requests."""
    key = (seed, _describe(profile))
    if key not in _DRAWN:
        entries = draw(profile, seed).entries
        reading = tuple(entry for entry in entries if not profile.routes[entry[0]].writes)
        _DRAWN[key] = Drawn(entries), Drawn(reading)
    return _DRAWN[key][profile.only_reads]


def _describe(profile: Profile) -> str:
    requests = profile.model_dump_json(include={"path", "method", "headers", "body", "requests", "session", "threads"})
    return f"{requests} {profile.digest}"
