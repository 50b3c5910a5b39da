"""Measure whether real changes are found, and nothing else: real builds of two revisions, measured as a user would.

    python benchmarks/detection/detect.py run --engine docker --minutes 60     continues where it stopped
    python benchmarks/detection/detect.py run --only counts                    only counts, with work in the background
    python benchmarks/detection/detect.py run --only unchanged                 false alarms on every way to a verdict
    python benchmarks/detection/detect.py run --only services                  each subject with its own services
    python benchmarks/detection/detect.py table [--only counts|unchanged|services]

Each run is `bench-action run --preset ci --baseline BASE` on a git repository made for it, whose head differs from base
in one thing. The size of a slowdown is known: duets with a very long loop show the cost of a turn of an empty loop
(`share_of_a_turn`). Runs are kept, block by block, in `recordings/`.
"""

import argparse
import gzip
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

_HERE = Path(__file__).resolve().parent
_APPS = _HERE.parents[1] / "apps"
_RECORDINGS = _HERE / "recordings"
_AIOHTTP, _DJANGO = "aiohttp/todo_aiohttp/views.py", "django/todo_django/views.py"
_CONFIG_OF_AIOHTTP, _GUNICORN = "aiohttp/todo_aiohttp/config.py", "django/gunicorn.conf.py"
_SERVER, _RESOURCES = "aiohttp/todo_aiohttp/server.py", "aiohttp/todo_aiohttp/resources.py"
_FETCH = "        items = await self.request.app[POOL].fetch(_SELECT)\n"
_LIST = '        items = list(Item.objects.order_by("pk"))\n'
_CALIBRATING_LOOPS = 40_000
_UNCHANGED_RUNS = 10
_MINUTES = 2  # of each run that has a cap
_SLOWER = ("requests_per_second", "cpu_ms_per_request")
_GIT = ("git", "-c", "user.name=detection", "-c", "user.email=detection@example.org", "-c", "commit.gpgsign=false")
_VARIANTS = {
    "aiohttp": "{build: aiohttp, ready: {path: /health}, "
    "local: {command: [python, -m, todo_aiohttp], requirements: aiohttp/requirements.txt}}",
    "django": "{build: django, ready: {path: /health}, keep_alive: false, "
    "local: {command: [python, -m, gunicorn], requirements: django/requirements.txt}}",
}
_CONFIG = """\
seed: seed.sql
variants:
  APPLICATION: VARIANT
checks:
  - {name: the home page, request: {path: /}, expect: {status: 200, contains: ["Water the plants"]}}
"""


@dataclass(frozen=True)
class Edit:
    """A text of the application, and what stands there instead."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Scenario:
    """What head does differently from base. `slowdown`: share of the application's CPU that head uses in addition.

    `wanted`: how many runs with Docker, `locally`: with the local engine. `found`: metrics of which one must be
    `regressed`; `named`: warnings of which one must be given; neither for unchanged code. `calm`: a run that reports no
    loss is right, too. `unnamed`: the only condition is that none of these warnings is given. `both`: edits of base and
    head, `edits`: of head only. `one_cpu`: the tool may use one CPU only.
    """

    name: str
    wanted: int
    code: str = ""
    slowdown: float = 0.0
    found: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    locally: int = 0
    unnamed: tuple[str, ...] = ()
    calm: bool = False
    application: str = "aiohttp"
    both: tuple[Edit, ...] = ()
    edits: tuple[Edit, ...] = ()
    one_cpu: bool = False


def _waiting(seconds: float) -> Edit:
    return Edit(_AIOHTTP, _FETCH, f"{_FETCH}        await __import__('asyncio').sleep({seconds})\n")


_LOCK = """\
        async with self.request.app[POOL].acquire() as connection, connection.transaction():
            await connection.execute('SELECT pg_advisory_xact_lock(1)')
            items = await connection.fetch(_SELECT)
"""
_FOUR_WORKERS = Edit(_GUNICORN, "    workers = 2 ", "    workers = 4 ")
_ONE_WORKER = Edit(_GUNICORN, "    workers = 2 ", "    workers = 1 ")
_TWO_WORKERS = Edit(_GUNICORN, _ONE_WORKER.new, _ONE_WORKER.old)
# processes that share a port, without what only the tuned application's image has
_SHARED_PORT = (
    Edit(_CONFIG_OF_AIOHTTP, 'get("TODO_PROFILE", "published")', 'get("TODO_PROFILE", "tuned")'),
    Edit(_SERVER, "_uvloop() if config.tuned else None", "None"),
    Edit(_CONFIG_OF_AIOHTTP, "processes = len(os.sched_getaffinity(0)) if tuned else 1", "processes = 1"),
)
_POOL = "pool_size=max(1, min(10, _DATABASE_CONNECTIONS // processes)),"


SCENARIOS = (
    Scenario("calibrate", 4, slowdown=math.nan, locally=1),
    Scenario("same code", 20, locally=20),
    Scenario("CPU + 2.4 %", 20, slowdown=0.024, found=_SLOWER),
    Scenario("CPU + 6 %", 20, slowdown=0.06, found=_SLOWER),
    Scenario("CPU + 2 %", 20, slowdown=0.02, found=_SLOWER),
    Scenario("CPU + 5 %", 20, slowdown=0.05, found=_SLOWER, locally=10),
    Scenario("wait + 5 ms", 2, edits=(_waiting(0.005),), found=("latency_p50_us",)),
    Scenario(
        "one more query",
        2,
        "        await self.request.app[POOL].fetchval('SELECT count(*) FROM item')\n",
        found=("queries_per_request",),
    ),
    Scenario(
        "N+1",
        2,
        "        for item in items:\n"
        "            await self.request.app[POOL].fetchval('SELECT text FROM item WHERE id = $1', item['id'])\n",
        found=("queries_per_request",),
    ),
    Scenario(
        "wait + 5 ms, 4 sync workers",
        2,
        application="django",
        both=(_FOUR_WORKERS,),
        found=("latency_p50_us",),
        edits=(Edit(_DJANGO, _LIST, f"{_LIST}        __import__('time').sleep(0.005)\n"),),
    ),
    Scenario(
        "a database lock", 2, edits=(Edit(_AIOHTTP, _FETCH, _LOCK),), found=("latency_p50_us", "cpu_ms_per_request")
    ),
    Scenario("neither fills its CPU", 2, both=(_waiting(0.3),), named=("not-saturated",)),
    Scenario(
        "1 sync worker, 2 in head",
        2,
        application="django",
        both=(_ONE_WORKER,),
        edits=(_TWO_WORKERS,),
        named=("unequal-shares",),
        calm=True,
    ),
    Scenario(
        "a pool of 10, 1 in head",
        2,
        edits=(Edit(_CONFIG_OF_AIOHTTP, _POOL, "pool_size=1,"),),
        named=("unequal-shares", "not-saturated"),
        found=("requests_per_second", "latency_p50_us", "cpu_ms_per_request"),
    ),
    Scenario(
        "1 busy process, 2 in head",
        2,
        both=_SHARED_PORT,
        locally=2,
        unnamed=("unequal-shares",),
        edits=(Edit(_CONFIG_OF_AIOHTTP, "processes = 1", "processes = 2"),),
    ),
)


_COUNTED_RUNS = 20
_COUNTED_CONFIG = """\
seed: seed.sql
profiles:
  home: {path: /, connections: 8, threads: 2, duration: 1s}
variants:
"""
_ONE_MORE = "        await self.request.app[POOL].fetchval('SELECT count(*) FROM item')\n"
_OPENED = "            app[POOL] = pool\n            yield\n"


def _scheduler(seconds: float) -> Edit:
    """Make the application send a query at an interval, as long as it runs."""
    tick = """\
            async def tick():
                while True:
                    await pool.fetchval('SELECT count(*) FROM item')
                    await __import__('asyncio').sleep(SECONDS)
            app[POOL], ticking = pool, __import__('asyncio').create_task(tick())
            yield
            ticking.cancel()
"""
    return Edit(_RESOURCES, _OPENED, tick.replace("SECONDS", str(seconds)))


# read again after a second, by the next request
_EXPIRING = """\
        clock = __import__('time').monotonic()
        if clock > self.request.app.setdefault('expires', [0.0])[0]:
            await self.request.app[POOL].fetchval('SELECT max(id) FROM item')
            self.request.app['expires'][0] = clock + 1.0
"""
# as SQLAlchemy's `pool_pre_ping`: a ping when a connection is taken, unless it is new; some are replaced now and then
_PING = """\
        known = set()

        async def ping(connection):
            if connection.get_server_pid() in known:
                await connection.execute('SELECT 1')
            known.add(connection.get_server_pid())

        async with asyncpg.create_pool(
            config.database_url, min_size=size, max_size=size, server_settings=settings, setup=ping, max_queries=100
        ) as pool:
"""
_POOLED = """\
        async with asyncpg.create_pool(
            config.database_url, min_size=size, max_size=size, server_settings=settings
        ) as pool:
"""
_BACKGROUND = {
    "a query every 50 ms": _scheduler(0.05),
    "a query every 2 s": _scheduler(2.0),
    "a cache that expires after 1 s": Edit(_AIOHTTP, _FETCH, _EXPIRING + _FETCH),
    "a pool that pings": Edit(_RESOURCES, _POOLED, _PING),
}
# the same code in base and head, and one more query for each request in head
COUNTED = tuple(
    Scenario(f"{name}{also}", _COUNTED_RUNS, code, both=(work,), found=found)
    for name, work in _BACKGROUND.items()
    for also, code, found in ((", same code", "", ()), (", one more query", _ONE_MORE, ("queries_per_request",)))
)


# unchanged code on every way to a verdict
UNCHANGED = (
    Scenario("duets, aiohttp", _UNCHANGED_RUNS),
    Scenario("duets, Django", _UNCHANGED_RUNS, application="django"),
    Scenario("turns: the CPU is idle", _UNCHANGED_RUNS, both=(_waiting(0.3),)),
    Scenario("turns: one CPU", _UNCHANGED_RUNS, one_cpu=True),
)


_LOOKED_UP = """\
        await self.request.app[POOL].fetchval('SELECT count(*) FROM note WHERE item_id = $1', 7)
"""
_NOTES = """\
CREATE TABLE note (item_id int, text text);
INSERT INTO note SELECT n, repeat('x', 200) FROM generate_series(1, 2000) AS n;
CREATE INDEX note_item ON note (item_id);
INSERT INTO item"""
_INDEXED = (Edit("seed.sql", "INSERT INTO item", _NOTES), Edit(_AIOHTTP, _FETCH, _LOOKED_UP + _FETCH))
_DATABASE = ("db_cpu_ms_per_request", "total_cpu_ms_per_request")
# the same as with shared services, of which `docker.jsonl.gz` has the runs, and a query that only the database feels
DEDICATED = (
    Scenario("same code", 20),
    Scenario("CPU + 2 %", 20, slowdown=0.02, found=_SLOWER),
    Scenario("one more query", 10, _ONE_MORE, found=("queries_per_request",)),
    Scenario(
        "a lost index",
        10,
        both=_INDEXED,
        edits=(Edit("seed.sql", "CREATE INDEX note_item ON note (item_id);\n", ""),),
        found=(*_DATABASE, "requests_per_second"),
    ),
)


def main() -> None:
    """Run what is missing, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["run", "table"])
    parser.add_argument("--engine", choices=["docker", "local"], default="docker")
    parser.add_argument(
        "--only",
        choices=["changes", "counts", "unchanged", "services"],
        default="changes",
        help="which kind of scenarios",
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no further run after so long")
    asked = parser.parse_args()
    deadline = time.monotonic() + 60 * asked.minutes
    match asked.do, asked.only:
        case "run", "changes":
            run_missing(asked.engine, deadline)
        case "run", "unchanged":
            run_in_turn(f"{asked.engine}-unchanged", UNCHANGED, asked.engine, deadline, "--max-minutes", str(_MINUTES))
        case "run", "services":
            run_in_turn(f"{asked.engine}-services", DEDICATED, asked.engine, deadline)
        case "run", _:
            run_counts(asked.engine, deadline)
        case _, "changes":
            print_table(recorded(asked.engine))
            print()
            print_pooled(recorded(asked.engine))
        case _, "unchanged":
            print_unchanged(recorded(f"{asked.engine}-unchanged"))
        case _, "services":
            print_services(recorded(f"{asked.engine}-services"), recorded(asked.engine))
        case _:
            print_counts(recorded(f"{asked.engine}-counts"))


def recorded(name: str) -> list[dict[str, Any]]:
    """Every run that was kept."""
    path = _RECORDINGS / f"{name}.jsonl.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def run_missing(engine: str, deadline: float) -> None:
    """One run of each scenario in turn, until each has as many as it wants or the time is up."""
    while time.monotonic() < deadline:
        runs = recorded(engine)
        counts = {one.name: sum(run["scenario"] == one.name for run in runs) for one in SCENARIOS}
        wanted = {one.name: one.wanted if engine == "docker" else one.locally for one in SCENARIOS}
        missing = [one for one in SCENARIOS if counts[one.name] < wanted[one.name]]
        if not missing:
            return
        # whichever has the smallest part of its runs, so that a table half done is fair to all
        chosen = min(missing, key=lambda one: (one.name != "calibrate", counts[one.name] / wanted[one.name]))
        print(
            f"{time.strftime('%H:%M:%S')} {chosen.name}, run {counts[chosen.name] + 1} of {wanted[chosen.name]}",
            flush=True,
        )
        record(engine, measure(engine, chosen, seed=counts[chosen.name], loops=loops_of(runs, chosen)))


def run_in_turn(name: str, scenarios: Sequence[Scenario], engine: str, deadline: float, *more: str) -> None:
    """Run each scenario in turn, with these options, until each has enough runs or the time is up."""
    calibration = recorded(engine)
    while time.monotonic() < deadline:
        counts = Counter(run["scenario"] for run in recorded(name))
        chosen = min(scenarios, key=lambda scenario: counts[scenario.name] / scenario.wanted)
        number = counts[chosen.name]
        if number >= chosen.wanted:
            return
        print(f"{time.strftime('%H:%M:%S')} {chosen.name}, run {number + 1} of {chosen.wanted}", flush=True)
        loops = loops_of(calibration, chosen)
        record(name, measure(engine, chosen, number, loops, *more))


def run_counts(engine: str, deadline: float) -> None:
    """Runs of which each has all kinds of background work, as variants of one application, until there are enough."""
    name = f"{engine}-counts"
    while time.monotonic() < deadline:
        done = {run["seed"] for run in recorded(name)}
        missing = [seed for seed in range(_COUNTED_RUNS) if seed not in done]
        if not missing:
            return
        print(f"{time.strftime('%H:%M:%S')} run {len(done) + 1} of {_COUNTED_RUNS}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = counted(engine, Path(folder), missing[0])
            except RunError as error:  # such as a machine that was too busy to start twenty containers in time
                print(f"{error}\ntrying again", flush=True)
                continue
        for number, scenario in enumerate(COUNTED):
            record(name, {"scenario": scenario.name, "seed": missing[0]} | kept_counts(result, f"kind-{number}"))


def counted(engine: str, folder: Path, seed: int) -> dict[str, Any]:
    """One run with every scenario as a variant. It takes no time beyond that of its counts."""
    repository, ignore = folder / "repository", shutil.ignore_patterns("__pycache__", "bench.yml")
    repository.mkdir()
    shutil.copy(_APPS / "seed.sql", repository)
    variants = []
    for number, scenario in enumerate(COUNTED):
        shutil.copytree(_APPS / "aiohttp", repository / f"kind-{number}" / "aiohttp", ignore=ignore)
        edit(repository / f"kind-{number}", scenario.both)
        variants.append(f"  kind-{number}: {_VARIANTS['aiohttp'].replace('aiohttp', f'kind-{number}/aiohttp')}\n")
    (repository / "bench.yml").write_text(_COUNTED_CONFIG + "".join(variants), encoding="utf-8")
    git(repository, "init", "--quiet")
    base = commit(repository, "base")
    for number, scenario in enumerate(COUNTED):
        edit(repository / f"kind-{number}", (Edit(_AIOHTTP, _FETCH, _FETCH + scenario.code),))
    (repository / "head").touch()
    commit(repository, "head")
    return run_tool(engine, folder, base, seed, "--max-minutes", "0.1")


def loops_of(runs: Sequence[Mapping[str, Any]], scenario: Scenario) -> int:
    """How many turns of an empty loop cost so much: in proportion to the calibration's."""
    if math.isnan(scenario.slowdown):
        return _CALIBRATING_LOOPS
    if not scenario.slowdown:
        return 0
    return round(scenario.slowdown / share_of_a_turn(runs)[0])


def share_of_a_turn(runs: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """What a turn of the loop adds to the application's CPU per request, as a share of base's, and its standard error.

    Its cost is the difference of CPU time in the calibrating duets, not their ratio: next to a neighbour that keeps the
    core for a millisecond at a time, base itself needs an eighth more. Base's cost is the one next to its equal.
    """
    turns = [
        (_mean_cost(run, "head") - _mean_cost(run, "base")) / run["loops"]
        for run in runs
        if run["scenario"] == "calibrate"
    ]
    bases = [_mean_cost(run, "base") for run in runs if run["scenario"] == "same code"]
    share = fmean(turns) / fmean(bases)
    parts = [stdev(values) / fmean(values) / math.sqrt(len(values)) for values in (turns, bases) if len(values) > 1]
    return share, share * math.hypot(*parts) if len(parts) == 2 else math.nan


def _mean_cost(run: Mapping[str, Any], side: str) -> float:
    """The application's CPU, in ms per request, over all blocks of the duet."""
    own = [pair[side == "head"] for pair in _duets(run["blocks"])]
    return float(sum(one["cpu_ms"]["application"] for one in own) / sum(one["requests"] for one in own))


def measure(engine: str, scenario: Scenario, seed: int, loops: int, *more: str) -> dict[str, Any]:
    """One run, from the repository on."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = make_repository(folder / "repository", scenario, seed, loops)
        result = run_tool(engine, folder, base, seed, *more, one_cpu=scenario.one_cpu)
    return {"scenario": scenario.name, "seed": seed, "loops": loops, **kept(result)}


class RunError(Exception):
    """A run ended without a result."""


def run_tool(engine: str, folder: Path, base: str, seed: int, *more: str, one_cpu: bool = False) -> dict[str, Any]:
    """The result of a run on the repository in a folder. Raises RunError."""
    command = [
        *(("taskset", "--cpu-list", "0") if one_cpu else ()),
        sys.executable,
        "-m",
        "bench_action",
        "run",
        "--preset",
        "ci",
        "--engine",
        engine,
        "--baseline",
        base,
        "--seed",
        str(seed),
        "--fail-on",
        "never",
        "--output",
        str(folder / "results"),
        *more,
    ]
    done = subprocess.run(command, cwd=folder / "repository", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"a run ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads((folder / "results" / "result.json").read_text(encoding="utf-8"))
    return found


def make_repository(folder: Path, scenario: Scenario, seed: int, loops: int) -> str:
    """A repository whose head has the change, also in what is built from it; the commit of base."""
    ignore = shutil.ignore_patterns("__pycache__", "bench.yml")
    shutil.copytree(_APPS, folder, ignore=ignore)
    config = _CONFIG.replace("APPLICATION", scenario.application).replace("VARIANT", _VARIANTS[scenario.application])
    (folder / "bench.yml").write_text(config, encoding="utf-8")
    git(folder, "init", "--quiet")
    edit(folder, scenario.both)
    mark(folder / scenario.application, f"build {seed} of base")
    base = commit(folder, "base")
    code = scenario.code + (f"        for _ in range({loops}):\n            pass\n" if loops else "")
    edit(folder, (*scenario.edits, *((Edit(_AIOHTTP, _FETCH, _FETCH + code),) if code else ())))
    mark(folder / scenario.application, f"build {seed} of head")
    commit(folder, "head")
    return base


def edit(folder: Path, edits: Sequence[Edit]) -> None:
    """Replace each text, which must be there."""
    for one in edits:
        path = folder / one.file
        text = path.read_text(encoding="utf-8")
        if one.old not in text:
            raise SystemExit(f"{one.file} has changed: {one.old!r} is not in it")
        path.write_text(text.replace(one.old, one.new, 1), encoding="utf-8")


def mark(context: Path, text: str) -> None:
    """Make each revision of each run a new build: what one build is lucky in, the next is not."""
    for path in context.rglob("views.py"):
        path.write_text(f"{path.read_text(encoding='utf-8')}\n# {text}\n", encoding="utf-8")


def commit(folder: Path, message: str) -> str:
    """Everything that is there; its name."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    """What git says."""
    return subprocess.run([*_GIT, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def kept(result: Mapping[str, Any]) -> dict[str, Any]:
    """Of a result, what the table and a replay need."""
    compared = ("metric", "method", "ratio", "ci_low", "ci_high", "smallest_detectable", "blocks", "verdict")
    machine = ("fingerprint", "cpu_model", "cores", "architecture")
    return {
        "verdict": result["verdict"],
        **{name: result["run"][name] for name in ("id", "started_at", "tool_version")},
        **{name: result["environment"][name] for name in machine},
        "steal_percent": round(result["environment"]["steal_percent"], 1),
        "seconds": round(result["timings"]["measure"], 1),
        "stack_s": round(result["timings"]["stack"], 1),
        "comparisons": [{name: one[name] for name in compared} for one in result["comparisons"]],
        "findings": [one["message"] for one in result["findings"]],
        "warnings": sorted({one["code"] for one in result["warnings"]}),
        "blocks": list(_blocks(result["trials"])),
    }


def kept_counts(result: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Of a result, what the table of counts needs of one variant."""
    compared = ("metric", "base_value", "head_value", "ci_low", "ci_high", "blocks", "verdict")
    return {
        "started_at": result["run"]["started_at"],
        "comparisons": [
            {name: one[name] for name in compared}
            for one in result["comparisons"]
            if one["method"] == "count" and one["variant"] == variant
        ],
        "findings": [one["message"] for one in result["findings"] if one["cell"].startswith(f"{variant} ")],
        "counts": [_count(one) for one in result["trials"] if one["phase"] == "count" and one["variant"] == variant],
    }


def _blocks(trials: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for trial in trials:
        if trial["phase"] not in {"duet", "latency"}:
            continue
        latency = trial["latency"] or {}
        yield {
            "phase": trial["phase"],
            "block": trial["block"],
            "side": trial["side"],
            "slot": trial["slot"],
            "s": round(trial["duration_s"], 4),
            "requests": trial["requests"],
            "connections": trial["connections_live"],
            "cpu_ms": {name: round(ms, 2) for name, ms in trial["cpu_ms"].items()},
            "p50_us": round(latency.get("p50_us", 0)),
            "p99_us": round(latency.get("p99_us", 0)),
            "idle": [
                trial["application_idle"] and round(trial["application_idle"], 4),
                trial["services_idle"] and round(trial["services_idle"], 4),
            ],
            "steal": round(trial["steal_percent"], 1),
        }


def _count(trial: Mapping[str, Any]) -> dict[str, Any]:
    idle = trial["idle"]
    return {
        "side": trial["revision"],
        "requests": trial["requests"],
        "s": round(trial["wall_s"], 3),
        "queries": trial["work"]["queries"],
        "cache_commands": trial["work"]["cache_commands"],
        "idle": idle and [idle["queries"], idle["cache_commands"]],
        "idle_s": round(trial["idle_s"], 3),
    }


def record(name: str, run: Mapping[str, Any]) -> None:
    """Keep it: a gzip member more."""
    _RECORDINGS.mkdir(exist_ok=True)
    with gzip.open(_RECORDINGS / f"{name}.jsonl.gz", "at", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def print_table(runs: Sequence[Mapping[str, Any]]) -> None:
    """Markdown: what was found of each change, how large it looked, and how long it took."""
    if {"calibrate", "same code"} - {run["scenario"] for run in runs}:
        raise SystemExit("nothing to tell before there are a calibration and a run of the same code")
    share, error = share_of_a_turn(runs)
    print(f"1,000 turns of the loop: {1e5 * share:+.2f} % ± {1e5 * error:.2f}\n")
    print("| head | runs | regressed | as wanted | true size in the 99 % interval | mean change ± its error | time |")
    print("|---|---:|---:|---:|---:|---|---:|")
    for scenario in SCENARIOS:
        own = [run for run in runs if run["scenario"] == scenario.name]
        if own and scenario.name != "calibrate":
            print(_row(scenario, own, share))


def print_counts(runs: Sequence[Mapping[str, Any]]) -> None:
    """Markdown: for each kind of work in the background, alarms without a change, and what was found of one."""
    print("| in base and head | head | runs | regressed | improved | queries/request, base → head | counts of each |")
    print("|---|---|---:|---:|---:|---|---:|")
    for scenario in COUNTED:
        own = [run for run in runs if run["scenario"] == scenario.name]
        if own:
            print(_row_of_counts(scenario, own))


def print_unchanged(runs: Sequence[Mapping[str, Any]]) -> None:
    """Print as markdown how often unchanged code was called what, and by how much it seemed to differ."""
    print(
        "| unchanged code | runs | regressed | improved | inconclusive | unchanged | loss noted | requests/s | time |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---|---:|")
    for scenario in UNCHANGED:
        own = [run for run in runs if run["scenario"] == scenario.name]
        if own:
            print(_row_of_unchanged(scenario, own))


def print_services(runs: Sequence[Mapping[str, Any]], shared: Sequence[Mapping[str, Any]]) -> None:
    """Print as markdown what was found with services of each subject's own, and the time of a block."""
    share, _ = share_of_a_turn(shared)
    costs = ", ".join(("application", "database", "all"))
    print(f"| head | runs | regressed | as wanted | requests/s | CPU/request: {costs} | block |")
    print("|---|---:|---:|---:|---|---|---:|")
    for scenario in DEDICATED:
        own = [run for run in runs if run["scenario"] == scenario.name]
        if own:
            alarms = sum(run["verdict"] == "regressed" for run in own)
            right = sum(_as_wanted(scenario, run) for run in own)
            sizes = [
                _describe_mean(own, metric) for metric in ("requests_per_second", "cpu_ms_per_request", *_DATABASE)
            ]
            block_s = fmean(run["seconds"] / max(1, sum(1 for _ in _duets(run["blocks"]))) for run in own)
            true = f" ({100 * fmean(run['loops'] for run in own) * share:+.1f} %)" if scenario.slowdown else ""
            row = f"| {scenario.name}{true} | {len(own)} | {alarms} | {right} | {sizes[0]}"
            print(f"{row} | {', '.join(sizes[1:])} | {block_s:.1f} s |")


def _describe_mean(runs: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Describe the mean change of a metric over runs, with its standard error."""
    changes = [
        100 * (one["ratio"] - 1)
        for run in runs
        for one in run["comparisons"]
        if one["metric"] == metric and one["ratio"] is not None
    ]
    error = f" ± {stdev(changes) / math.sqrt(len(changes)):.2f}" if len(changes) > 1 else ""
    return f"{fmean(changes):+.2f} %{error}" if changes else "–"


def _row_of_unchanged(scenario: Scenario, own: Sequence[Mapping[str, Any]]) -> str:
    verdicts = Counter(run["verdict"] for run in own)
    named = [verdicts[verdict] for verdict in ("regressed", "improved", "inconclusive", "unchanged")]
    noted = verdicts["regressed"] + verdicts["measured"]  # a red or yellow headline
    size = _describe_mean(own, "requests_per_second")
    numbers = " | ".join(map(str, [len(own), *named, noted]))
    return f"| {scenario.name} | {numbers} | {size} | {fmean(run['seconds'] for run in own):.0f} s |"


def _row_of_counts(scenario: Scenario, own: Sequence[Mapping[str, Any]]) -> str:
    kind, _, head = scenario.name.rpartition(", ")
    verdicts = [{one["verdict"] for one in run["comparisons"]} for run in own]
    regressed, improved = (sum(verdict in found for found in verdicts) for verdict in ("regressed", "improved"))
    values = [
        [count["queries"] / count["requests"] for run in own for count in run["counts"] if count["side"] == side]
        for side in ("base", "head")
    ]
    ranges = " → ".join(f"{min(side):.2f} to {max(side):.2f}" for side in values)
    blocks = [one["blocks"] for run in own for one in run["comparisons"] if one["metric"] == "queries_per_request"]
    counts = f"{min(blocks)} to {max(blocks)}" if blocks else "–"
    return f"| {kind} | {head} | {len(own)} | {regressed} | {improved} | {ranges} | {counts} |"


def print_pooled(runs: Sequence[Mapping[str, Any]]) -> None:
    """Whether builds of the same code differ by more than their blocks do: a build may be lucky, and stay so."""
    same = [run for run in runs if run["scenario"] == "same code"]
    for metric, of_blocks in (("requests/s", _rates), ("CPU/request", _costs)):
        changes = [[*of_blocks(run["blocks"])] for run in same]
        changes = [own for own in changes if len(own) > 2]
        if len(changes) < 2:
            return
        means = [100 * fmean(own) for own in changes]
        predicted = math.sqrt(fmean([(100 * stdev(own)) ** 2 / len(own) for own in changes]))
        error = stdev(means) / math.sqrt(len(means))
        print(
            f"{len(means)} rebuilt pairs of the same code, {metric}: pooled mean {fmean(means):+.2f} % ± {error:.2f}; "
            f"the runs' means have a standard deviation of {stdev(means):.2f} %, their blocks predict {predicted:.2f} %"
        )


def _rates(blocks: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    for base, head in _duets(blocks):
        yield math.log(head["requests"] / head["s"]) - math.log(base["requests"] / base["s"])


def _costs(blocks: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    for base, head in _duets(blocks):
        base_ms, head_ms = (one["cpu_ms"]["application"] / one["requests"] for one in (base, head))
        yield math.log(head_ms) - math.log(base_ms)


def _duets(blocks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    sides = {(one["block"], one["side"]): one for one in blocks if one["phase"] == "duet"}
    for number, side in sides:
        if side == "base" and (number, "head") in sides:
            yield sides[number, "base"], sides[number, "head"]


def _row(scenario: Scenario, own: Sequence[Mapping[str, Any]], share: float) -> str:
    alarms = sum(run["verdict"] == "regressed" for run in own)
    metric = "cpu_ms_per_request" if scenario.slowdown or not scenario.found else scenario.found[0]
    changes = [(run["loops"] * share, one) for run in own for one in run["comparisons"] if one["metric"] == metric]
    right = sum(_as_wanted(scenario, run) for run in own)
    inside = sum(one["ci_low"] is not None and one["ci_low"] <= 1 + true <= one["ci_high"] for true, one in changes)
    sizes = [100 * (one["ratio"] - 1) for _, one in changes]
    error = f" ± {stdev(sizes) / math.sqrt(len(sizes)):.2f}" if len(sizes) > 1 else ""
    known = scenario.slowdown or not (scenario.found or scenario.named or scenario.unnamed)
    true = fmean(true for true, _ in changes)
    interval = f"{100 * true:+.1f} %: {inside} of {len(own)}" if known else "–"
    return (
        f"| {scenario.name} | {len(own)} | {alarms} | {right} | {interval} | {metric}: {fmean(sizes):+.2f} %{error} | "
        f"{fmean(run['seconds'] for run in own):.0f} s |"
    )


def _as_wanted(scenario: Scenario, run: Mapping[str, Any]) -> bool:
    """Whether the run said of this change what is true of it."""
    lost = {one["metric"] for one in run["comparisons"] if one["verdict"] == "regressed"}
    if scenario.unnamed:
        return not set(run["warnings"]) & set(scenario.unnamed)
    if set(run["warnings"]) & set(scenario.named) or (scenario.calm and not lost):
        return True
    if not scenario.found:
        return str(run["verdict"]) == "unchanged" and not scenario.named
    return str(run["verdict"]) == "regressed" and bool(lost & set(scenario.found))


if __name__ == "__main__":
    main()
