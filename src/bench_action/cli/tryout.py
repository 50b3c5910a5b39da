"""Show what `bench-action check --up` found: a table of all requests, and what is missing."""

from collections.abc import Iterator, Sequence

from bench_action.config.load import Project
from bench_action.model.wording import plural
from bench_action.report.table import Table
from bench_action.verify.tryout import NO_PATH, TriedRequest, TriedScript, Tryout

_HEADINGS = ("Request", "Status", "Bytes", "Queries", "Cache", "Time")
_LONGEST_REQUEST = 38
_LONGEST_QUOTE = 100
_LONGEST_STATEMENT = 40
_MOST_ROUTES = 8
_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE")


def tabulate_attempts(attempts: Sequence[TriedRequest], scripts: Sequence[TriedScript] = ()) -> Table:
    """Tabulate requests and scripts: status, bytes of replies, queries, cache commands and time, in 80 columns."""
    rows: list[tuple[str, ...]] = []
    subjects = list(dict.fromkeys([*(each.subject for each in attempts), *(each.subject for each in scripts)]))
    for subject in subjects:
        rows += [(subject,)] if len(subjects) > 1 else []
        own = [attempt for attempt in attempts if attempt.subject == subject]
        names = [name_request(attempt) for attempt in own]
        rows += [_make_row(attempt, is_unique=names.count(name) == 1) for attempt, name in zip(own, names, strict=True)]
        rows += [_make_script_row(script) for script in scripts if script.subject == subject]
    return Table(_HEADINGS, (False, True, True, True, True, True), tuple(rows))


def _make_row(attempt: TriedRequest, *, is_unique: bool) -> tuple[str, ...]:
    reply, name = attempt.reply, name_request(attempt)
    return (
        _shorten(name if is_unique else f"{name} ({attempt.name})", _LONGEST_REQUEST),
        "none" if reply.problem else str(reply.status),
        f"{reply.size:,}",
        *_describe_cost(attempt),
    )


def _make_script_row(script: TriedScript) -> tuple[str, ...]:
    status = "fails" if script.problem else "passes"
    return (_shorten(script.script, _LONGEST_REQUEST), status, f"{script.report.bytes_read:,}", *_describe_cost(script))


def _describe_cost(tried: TriedRequest | TriedScript) -> tuple[str, str, str]:
    work = tried.work
    counts = (work.queries, work.cache_commands) if work is not None else (None, None)
    queries, commands = (f"{count:,}" if count is not None else "–" for count in counts)
    return queries, commands, f"{tried.took_s * 1000:,.0f} ms"


def list_missing(tryout: Tryout, project: Project) -> list[str]:
    """List what keeps this configuration from a useful result, the gravest first. Each is a sentence or two."""
    lines = [line for attempt in tryout.attempts for line in _explain_reply(attempt)]
    lines += [
        f"{each.subject}: {each.script} would not be measured, as {each.problem}{_quote_log(each) if each.log else ''}"
        for each in tryout.scripts
        if each.problem
    ]
    lines += [line for attempt in tryout.attempts if attempt.is_expected for line in _explain_work(attempt)]
    lines += [line for attempt in tryout.attempts if attempt.is_expected for line in _explain_page(attempt, tryout)]
    return [*lines, *_list_missing_parts(tryout, project)]


def list_hints(tryout: Tryout, project: Project) -> list[str]:
    """List what could be added: routes that the application itself describes, and the work that was counted."""
    lines = []
    measured = {route.path.partition("?")[0] for profile in project.profiles.values() for route in profile.routes}
    for subject, routes in tryout.routes.items():
        if others := [route for route in routes if route not in measured]:
            more = f" and {len(others) - _MOST_ROUTES} more" if len(others) > _MOST_ROUTES else ""
            lines.append(
                f"{subject} describes these routes, which no profile measures: {', '.join(others[:_MOST_ROUTES])}{more}"
            )
    counted: dict[str, int] = {}
    for attempt in tryout.attempts:
        if attempt.name not in project.profiles:
            continue
        if attempt.profile is not None and attempt.work is not None and attempt.is_expected and attempt.work.queries:
            counted[attempt.name] = max(attempt.work.queries, counted.get(attempt.name, 0))
    if counted and not project.config.work:
        work = ", ".join(f"{name}: {{queries: {queries}}}" for name, queries in counted.items())
        lines.append(f"to make one more query a regression at any speed, add `work: {{{work}}}`")
    return lines


def name_request(attempt: TriedRequest) -> str:
    """Name a request by its method and path."""
    return f"{attempt.request.method} {attempt.request.path}"


def _explain_reply(attempt: TriedRequest) -> Iterator[str]:
    """Explain a reply that is not what the profile or the check expects."""
    first, reply, name = attempt.first, attempt.reply, _name_with_subject(attempt)
    if attempt.is_expected:
        return
    if first.status != reply.status and not first.problem and not reply.problem and first.status < 400 <= reply.status:
        yield (
            f"{name} answers {first.status}, and {reply.status} when it is sent again. Send a request that can be "
            "repeated, or put `{seq}` where a value must be new each time"
        )
        return
    text = _quote(reply.text)
    if reply.problem:
        yield f"{name} is not answered: {reply.problem}{_quote_log(attempt)}"
    elif 300 <= reply.status < 400:
        yield (
            f"{name} redirects ({reply.status}) to {reply.location or 'nowhere'}. Redirects are not followed: request "
            "the target itself, or send what the page asks for in `headers`, such as the cookie of a login"
        )
    elif reply.status in {401, 403}:
        yield f"{name} is refused ({reply.status}){text}. Send a test login in `headers`, or choose another path"
    elif reply.status in {404, 405, 410}:
        yield f"{name} does not exist ({reply.status}). Fix its path or method"
    elif reply.status == 400:
        hosts = "If it allows only certain host names, allow them (docs/configuration.md), or fix the request"
        yield f"{name} is a bad request (400){text}. {hosts}"
    elif reply.status >= 500:
        yield f"{name} fails ({reply.status}){text}{_quote_log(attempt)}"
    else:
        yield f"{name} answers {reply.status}, which is not what is expected{text}"


def _explain_work(attempt: TriedRequest) -> Iterator[str]:
    """Explain what a good reply may hide: no data, writing, and replies that vary."""
    name, work = _name_with_subject(attempt), attempt.work
    reads = attempt.request.method in {"GET", "HEAD", "OPTIONS"}
    if work is None:
        yield f"{name}: its work could not be counted, as the statistics of PostgreSQL or Redis were reset while it ran"
    elif work.queries and not work.rows and reads:
        yield (
            f"{name}: {plural(work.queries, 'query')} returned no rows. With empty tables, a slow query is not slow: "
            "name a `seed` with data for this page"
        )
    writes = [statement.text for statement in attempt.statements if statement.text.upper().startswith(_WRITES)]
    if reads and writes:
        statement = _shorten(writes[0], _LONGEST_STATEMENT)
        yield f"{name} writes although it is a {attempt.request.method} ({statement}): its data grows under load"
    own = attempt.profile
    if own is not None and not own.varies and own.expect.size is None and attempt.first.size != attempt.reply.size:
        yield (
            f"{name}: two replies have {attempt.first.size:,} and {attempt.reply.size:,} bytes. If that is how it "
            f"should be, add `expect: {{size: varies}}` to profile {attempt.name}"
        )


def _explain_page(attempt: TriedRequest, tryout: Tryout) -> Iterator[str]:
    """Explain a page that an application answers at any path, such as the one page of an application for browsers."""
    unknown = tryout.unknown.get(attempt.subject)
    if unknown is None or unknown.problem or attempt.request.method != "GET" or attempt.request.path == "/":
        return
    same = (unknown.status, unknown.digest) == (attempt.reply.status, attempt.reply.digest)
    if same and 200 <= unknown.status < 300 and unknown.body:
        yield (
            f"{_name_with_subject(attempt)} gets the same reply as a path that does not exist ({NO_PATH}), such as the "
            "one page of an application for browsers. Choose a path that the server itself handles, such as one of "
            "its API"
        )


def _list_missing_parts(tryout: Tryout, project: Project) -> Iterator[str]:
    """List the parts that a configuration lacks."""
    config = project.config
    if config.profiles == project.policy.profiles:  # the preset's replace them
        paths = ", ".join(dict.fromkeys(profile.path for profile in project.policy.profiles.values()))
        yield f"no `profiles`, so only {paths} is measured. Name the pages that matter"
    queries = any(attempt.work is not None and attempt.work.queries for attempt in tryout.attempts)
    if queries and not config.seed:
        yield "no `seed`: the database holds only what `setup` or the application itself puts there"
    if not config.checks:
        yield "no `checks`: a wrong page with the right status would be measured"


def _name_with_subject(attempt: TriedRequest) -> str:
    return f"{attempt.subject}: {name_request(attempt)}"


def _quote(text: str) -> str:
    """Quote the first line of a body that says something."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f": {_shorten(line, _LONGEST_QUOTE)}" if line else ""


def _quote_log(attempt: TriedRequest | TriedScript) -> str:
    if not attempt.log:
        return ". Its log is empty"
    return ". The last lines of its log:" + "".join(f"\n    | {line}" for line in attempt.log)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
