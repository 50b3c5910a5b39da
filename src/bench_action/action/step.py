"""The step of a workflow that the container action runs: inputs and event → a run → its result, published."""

import base64
import json
import posixpath
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

from rich.console import Console

from bench_action.action.inputs import Inputs
from bench_action.action.revisions import (
    add_commits,
    choose_revisions,
    explain_stranger,
    is_foreign,
    require_no_configuration,
)
from bench_action.action.workspace import Traces
from bench_action.config.control import AUTO
from bench_action.config.load import Project, find_configuration
from bench_action.config.options import Options
from bench_action.config.redaction import Redaction
from bench_action.engine.docker import DockerEngine
from bench_action.engine.docker.credentials import add_logins
from bench_action.engine.hosts import HostsEngine
from bench_action.engine.hosts.engine import sweep_hosts
from bench_action.engine.ownership import Ownership
from bench_action.engine.protocol import Engine
from bench_action.github.artifacts import RESULT, MissingArtifactError, fetch_results
from bench_action.github.client import Access
from bench_action.github.commands import Commands
from bench_action.github.event import Event, WorkflowRun
from bench_action.github.pulls import find_pulls
from bench_action.github.texts import Origin
from bench_action.model.errors import BenchError, InputError, InterruptedRunError, PublishError
from bench_action.model.hosts import Hosts, SshFiles
from bench_action.model.result import Result
from bench_action.model.wording import strip_controls
from bench_action.pipeline import Outcome, Ports, run
from bench_action.publish.history import HistoryPublisher
from bench_action.publish.result import Publisher, read_foreign_result
from bench_action.publish.shards import merge_folders, read_published, write_merged
from bench_action.report.comment import Links
from bench_action.report.folder import read_result
from bench_action.report.progress import PlainProgress, RedactedProgress
from bench_action.report.terminal import print_view
from bench_action.report.view import make_view
from bench_action.stack.cleanup import Interrupts

_TRACES = "traces"
_HOSTS = "hosts"
_STEP = "step"


class GroupedProgress(PlainProgress):
    """Progress in groups of lines that the runner can fold, each followed by its duration."""

    def __init__(self, console: Console, commands: Commands) -> None:
        super().__init__(console)
        self._commands, self._group, self._since = commands, "", time.monotonic()

    def __exit__(self, *_: object) -> None:
        """End the last group."""
        self._end()

    def step(self, text: str) -> None:
        """Print a step. Everything before measuring is one group."""
        if not self._group:
            self._begin("Build, start and verify")
        super().step(text)

    def expect(self, trials: int, seconds: float) -> None:
        """Begin the group of measuring."""
        self._end()
        self._begin("Measure")
        super().expect(trials, seconds)

    def _begin(self, title: str) -> None:
        self._commands.begin_group(title)
        self._group, self._since = title, time.monotonic()

    def _end(self) -> None:
        if self._group:
            self._commands.end_group()
            self._print(f"{self._group}: {time.monotonic() - self._since:.1f} s")
        self._group = ""


@dataclass(slots=True)
class Action:
    """One step of a workflow, with its collaborators passed in. `stream`: the output that the runner reads.

    `redaction` learns here which values are secret, and hides them in what is printed, written and published.
    """

    environ: Mapping[str, str]
    interrupts: Interrupts
    commands: Commands
    stream: IO[str]
    make_engine: Callable[[Ownership, Mapping[str, str]], DockerEngine]
    redaction: Redaction = field(default_factory=Redaction)
    _token: str = field(default_factory=lambda: secrets.token_hex(8))

    def execute(self) -> tuple[Outcome | None, Inputs]:
        """Run the step, and return its outcome (None if it published another job's result) and the inputs.

        Raises a BenchError; if measuring failed, that has been published.
        """
        inputs, event, access = self._read_inputs()
        with self._note_traces(inputs).hand_over_at_end():
            if inputs.publish:
                run, allowed = _require_workflow_run(event, access)
                with tempfile.TemporaryDirectory(prefix="bench-action-publish-") as name:

                    def fetch() -> Result:
                        fetch_results(allowed, run.id, inputs.publish, Path(name))
                        return read_published(Path(name), read_foreign_result)

                    self._publish(fetch, inputs, event, access)
                return None, inputs
            if inputs.merge:
                return self._merge(inputs, event, access), inputs
            return self._measure(inputs, event, access), inputs

    def publish(self, folder: Path) -> None:
        """Publish the result that another job measured and left in a folder. Raises InputError, PublishError."""
        inputs, event, access = self._read_inputs()
        self._publish(lambda: read_published(folder, read_foreign_result), inputs, event, access, folder=folder)

    def sweep(self) -> None:
        """Clean up after the step, even if it was killed: remove what its runs left behind, and hand over its files."""
        if state := self.environ.get(f"STATE_{_TRACES}"):
            Traces.parse(self._workspace(), state).hand_over()
        job = identify_job(self.environ, self.environ.get(f"STATE_{_STEP}", ""))
        owner = Ownership.claim("sweep", self.environ.get("GITHUB_REPOSITORY", ""), job)
        key, known_hosts = (self.environ.get(f"INPUT_{name}", "") for name in ("SSH-KEY", "KNOWN-HOSTS"))
        self.redaction.add([key])
        if used := self.environ.get(f"STATE_{_HOSTS}", ""):
            hosts = self._hide_hosts(Hosts.read(used.split()))
            with _write_ssh_files(key, known_hosts) as ssh:
                swept = sweep_hosts(owner, self.environ, hosts, ssh)
        else:
            swept = self.make_engine(owner, self.environ).sweep(job)
        if swept:
            self._say(self.redaction.hide(f"removed what an earlier run left behind: {', '.join(swept)}"))

    def _hide_hosts(self, hosts: Hosts) -> Hosts:
        """Hide the addresses of hosts in all that follows; of a plain word, such as `database`, only with its user."""
        for host in filter(lambda each: each.name, hosts.all):
            self.redaction.add([host.url, *([host.destination] if host.user else [])])
            if not host.name.replace("-", "").isalnum():
                self.redaction.add([host.name])
        return hosts

    def _note_traces(self, inputs: Inputs) -> Traces:
        """Note where this step leaves files for the post step, which hands them over if this one is killed."""
        traces = Traces.begin(self._workspace(), inputs.config, inputs.output)
        self.commands.save_state({_TRACES: str(traces), _STEP: self._token})
        return traces

    def _workspace(self) -> Path:
        return Path(self.environ.get("GITHUB_WORKSPACE") or Path.cwd())

    def _make_publisher(self, inputs: Inputs, event: Event, access: Access | None) -> Publisher:
        """Make the publisher of this job's own result. Of several shards, only the job that merges them comments."""
        return Publisher(
            self.commands,
            Links(event.run_url),
            event.pull if inputs.comment == "auto" and inputs.shard is None else None,
            access,
            inputs.comment_key,
            inputs.summary,
            self._say,
            self._make_origin(inputs, str(inputs.config or "bench.yml"), [*inputs.variants, *inputs.profiles]),
        )

    def _merge(self, inputs: Inputs, event: Event, access: Access | None) -> Outcome:
        """Merge the results of the shards that other jobs of this workflow have measured, and publish one."""
        publisher = self._make_publisher(inputs, event, access)
        folders = [self._workspace() / folder for folder in inputs.merge]
        try:
            event, publisher = _name_commits(event, access, publisher)
            merged = merge_folders(folders, lambda folder: read_result(folder / RESULT))
            run = merged.run.model_copy(
                update={"job": name_workflow_job(self.environ, inputs.matrix), "key": inputs.comment_key}
            )
            result = self.redaction.hide(merged.model_copy(update={"run": run}))
            write_merged(result, inputs.output)
        except BenchError as error:
            _publish_failure(publisher, self.redaction.hide(error))
            raise
        print_view(make_view(result), Console(file=self.stream, width=150, highlight=False))
        return Outcome(result, (), self._publish_run(publisher, result, inputs, event, access))

    def _measure(self, inputs: Inputs, event: Event, access: Access | None) -> Outcome:
        publisher = self._make_publisher(inputs, event, access)
        console = Console(file=self.stream, width=150, highlight=False)
        try:
            event, publisher = _name_commits(event, access, publisher)
            options = self._make_options(inputs, event, access)
            require_baseline(inputs, event, options.baseline)
            with (
                add_logins(inputs.registries, self.environ) as environ,
                _write_ssh_files(inputs.ssh_key, inputs.known_hosts) as ssh,
                GroupedProgress(console, self.commands) as progress,
            ):
                foreign = partial(is_foreign, event) if options.baseline is None else None
                outcome = run(options, self._make_ports(inputs, environ, ssh, progress, foreign=foreign))
        except InterruptedRunError:
            raise  # the job was cancelled: only seconds are left, and the user who cancelled it needs no comment
        except BenchError as error:
            _publish_failure(publisher, self.redaction.hide(error))
            raise
        print_view(make_view(outcome.result), console)
        self._say(format_times(outcome.result))
        failures = self._publish_run(publisher, outcome.result, inputs, event, access)
        return replace(outcome, unpublished=(*outcome.unpublished, *failures))

    def _make_ports(
        self,
        inputs: Inputs,
        environ: Mapping[str, str],
        ssh: SshFiles,
        progress: PlainProgress,
        *,
        foreign: Callable[[Path], bool] | None,
    ) -> Ports:
        """Make what a run needs. `foreign`: whether a folder's code is not merged yet, if no base says which hosts."""

        def choose(owner: Ownership, project: Project) -> Engine:
            if (hosts := inputs.hosts or project.config.hosts) is None:
                return self.make_engine(owner, environ)
            if inputs.hosts is None and foreign is not None and foreign(project.folder):
                raise InputError(
                    "a pull request does not choose the hosts that it is measured on",
                    cause="without a baseline, its own configuration is the only one",
                    advice="set the input `hosts` of this step, or leave `baseline` out, so that base's hosts apply",
                )
            self.commands.save_state({_HOSTS: " ".join(hosts.texts)})
            return HostsEngine(owner, environ, self._hide_hosts(hosts), ssh)

        return Ports(environ, self.interrupts, RedactedProgress(progress, self.redaction), choose, self.redaction)

    def _publish_run(
        self, publisher: Publisher, result: Result, inputs: Inputs, event: Event, access: Access | None
    ) -> list[BenchError]:
        """Publish a result and add it to the history, and return what failed."""
        failures = self._attempt("publish", lambda: publisher.publish(result, inputs.output))
        if access is not None and _keeps_history(inputs, event):
            history = HistoryPublisher(
                self.commands, access, inputs.history_branch, inputs.trend_issue, event.repository_url, self._say
            )

            def publish() -> None:
                if stranger := explain_stranger(result.source.head_sha, event, access):
                    self._say(f"history: {stranger}")
                    self.commands.annotate("notice", "history", stranger)
                else:
                    history.publish(result, inputs.output / "trend")

            failures += self._attempt("history", publish)
        return failures

    def _attempt(self, title: str, publish: Callable[[], None]) -> list[BenchError]:
        """Call `publish`, and print and return its error, which must not take the verdict's place."""
        try:
            publish()
        except InterruptedRunError:
            raise
        except BenchError as error:
            self.redaction.hide(error)
            self._say(f"{title}: {error}")
            self.commands.annotate("error", title, str(error))
            return [error]
        return []

    def _make_options(self, inputs: Inputs, event: Event, access: Access | None) -> Options:
        secrets = inputs.allow_secrets(self.environ)
        config = inputs.config or find_configuration(self.environ, secrets)
        git = make_git_environ(self.environ, event, access)
        baseline = None if inputs.baseline in {"auto", "none"} else inputs.baseline
        if config is not None and config.is_file():
            choice = choose_revisions(inputs.baseline, event, access, config.parent.resolve())
            self._say(choice.why)
            baseline = choice.baseline
        elif inputs.config is None:
            if event.has_own_code:
                workspace = self._workspace().resolve()
                choice = choose_revisions(inputs.baseline, event, access, workspace)
                require_no_configuration(choice, event, workspace, git)
            self._say("no bench.yml or compose file found: comparing the built-in applications with each other")
        return Options(
            inputs.config,
            inputs.preset,
            inputs.variants,
            inputs.profiles,
            inputs.output,
            baseline=baseline,
            rules=inputs.rules,
            max_minutes=inputs.max_minutes,
            control=choose_control(inputs, event),
            job=identify_job(self.environ, self._token),
            key=inputs.comment_key,
            workflow_job=name_workflow_job(self.environ, inputs.matrix),
            git=git,
            secrets=secrets,
            shard=inputs.shard,
            hosts=inputs.hosts,
        )

    def _publish(
        self,
        read: Callable[[], Result],
        inputs: Inputs,
        event: Event,
        access: Access | None,
        *,
        folder: Path | None = None,
    ) -> None:
        """Publish the result of another job or, if it cannot be used, why not."""
        run, allowed = _require_workflow_run(event, access)
        pulls = find_pulls(allowed, run) if inputs.comment == "auto" else []
        links = Links(event.make_run_url(run.id), run.head_sha, foreign=True, fork=not event.is_own(run))
        pull, origin = pulls[0] if len(pulls) == 1 else None, self._make_origin(inputs)
        if not pulls and inputs.comment == "auto":
            self._say("no comment: no open pull request has the commit of that run as its head")
        publisher = Publisher(
            self.commands, links, pull, allowed, inputs.comment_key, inputs.summary, self._say, origin
        )
        try:
            result = read()
            if len(pulls) > 1:
                pull = self._choose_pull(pulls, result)
            origin = self._make_origin(inputs, result.run.config, _read_choice(result.run.command))
            replace(publisher, pull=pull, origin=origin).publish(result, folder)
        except InputError as error:
            _publish_failure(publisher, error)
            raise
        except MissingArtifactError as error:
            if run.failed:  # a former comment is about other code; without one, what failed may be another job
                _publish_failure(publisher, error, only_replace=True)
            raise

    def _choose_pull(self, pulls: Sequence[int], result: Result) -> int | None:
        """Choose the pull request that was measured, of several with the same head: the result only says which."""
        for pull in pulls:
            if result.source.ref == f"refs/pull/{pull}/merge":
                return pull
        names = ", ".join(f"#{pull}" for pull in pulls)
        self._say(f"no comment: {names} have the same head, and the result does not say which of them was measured")
        return None

    def _make_origin(self, inputs: Inputs, config: str = "", choice: Sequence[str] = ()) -> Origin:
        """Identify this step for the comment's next writer. `choice`: the variants and profiles that are measured."""
        run = "/".join(self.environ.get(name, "") for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"))
        step = f"{run}/{secrets.token_hex(4)}" if run != "/" else ""
        benchmark = " ".join([posixpath.normpath(config), *choice]) if config else ""
        return Origin(benchmark, name_workflow_job(self.environ, inputs.matrix), step)

    def _read_inputs(self) -> tuple[Inputs, Event, Access | None]:
        inputs = Inputs.read(self.environ)
        self._hide_secrets(inputs)
        event = Event.read(self.environ)
        access = Access(event.api_url, inputs.github_token, event.repository) if inputs.github_token else None
        return inputs, event, access

    def _hide_secrets(self, inputs: Inputs) -> None:
        """Hide the token, passwords and allowed secrets in all that follows, and mask them in the runner's log."""
        passwords = [inputs.github_token, inputs.ssh_key, *(login.password for login in inputs.registries)]
        self.redaction.add([*passwords, *inputs.allow_secrets(self.environ).values.values()])
        for secret in dict.fromkeys([*passwords, *self.redaction.forms]):
            if "\n" not in secret:  # each of its lines is a form too
                self.commands.mask(secret)

    def _say(self, text: str) -> None:
        print(strip_controls(text), file=self.stream, flush=True)


@contextmanager
def _write_ssh_files(key: str, known_hosts: str) -> Iterator[SshFiles]:
    """Write a key and known hosts to files that nobody else may read; OpenSSH wants the ends of lines of Unix."""
    with tempfile.TemporaryDirectory(prefix="bench-action-ssh-") as name:
        paths = []
        for file, text in (("key", key), ("known_hosts", known_hosts)):
            path = Path(name) / file
            if lines := text.strip().splitlines():
                path.touch(0o600)
                path.write_text("\n".join([*lines, ""]), encoding="utf-8")
            paths.append(str(path) if lines else "")
        yield SshFiles(*paths)


def _publish_failure(publisher: Publisher, error: BenchError, *, only_replace: bool = False) -> None:
    try:
        publisher.publish_failure(error, only_replace=only_replace)
    except PublishError as other:
        error.add_note(f"  and it could not be published: {other.what}")


def require_baseline(inputs: Inputs, event: Event, baseline: str | None) -> None:
    """Raise InputError, before anything is measured, if a required comparison is impossible."""
    if inputs.require_comparison and baseline is None:
        raise InputError(
            f"`require-comparison` is set, but this job has nothing to compare with: the event is `{event.name}`",
            cause="only a pull request or a merge queue implies a base, and `baseline` names no revision",
            advice="remove `require-comparison` from this job, or set `baseline` to a git revision",
        )


def choose_control(inputs: Inputs, event: Event) -> str | None:
    """Choose the run's control; None if `auto` would only measure it for a history that is not kept."""
    return None if inputs.control == AUTO and not _belongs_in_history(inputs, event) else inputs.control


def _keeps_history(inputs: Inputs, event: Event) -> bool:
    """Whether this job appends its result to the history: of shards, the job that merges them does."""
    return _belongs_in_history(inputs, event) and inputs.shard is None


def _belongs_in_history(inputs: Inputs, event: Event) -> bool:
    return event.on_default_branch and inputs.history_branch != "none" and bool(inputs.github_token)


def _require_workflow_run(event: Event, access: Access | None) -> tuple[WorkflowRun, Access]:
    if event.workflow_run is None or access is None:
        raise InputError(
            "publishing another job's result needs a `workflow_run` event and a token",
            advice="see examples/fork-safe-publish.yml",
        )
    return event.workflow_run, access


def _name_commits(event: Event, access: Access | None, publisher: Publisher) -> tuple[Event, Publisher]:
    """Add a pull request's commits to the event, if GitHub can be asked, and its head to what the comment points to."""
    event = event if access is None else add_commits(event, access)
    return event, replace(publisher, links=replace(publisher.links, head=event.head_sha))


def _read_choice(command: str) -> list[str]:
    """Read the variants and profiles of a command that repeats a run, in the order of the action's inputs."""
    words = command.split()
    pairs = list(pairwise(words))
    return [value for option in ("--variant", "--profile") for name, value in pairs if name == option]


def identify_job(environ: Mapping[str, str], step: str) -> str:
    """Identify the job and its runner, which runs one job at a time; empty outside of GitHub Actions.

    `step`: a token of the step, for runners without a name, as with `act`, which runs all legs of a matrix at the same
    time on one engine. Empty without either, as the job could not be distinguished from others.
    """
    names = ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB")
    runner = environ.get("RUNNER_NAME") or step
    return "/".join([*(environ.get(name, "") for name in names), runner]) if runner and environ.get(names[1]) else ""


def name_workflow_job(environ: Mapping[str, str], matrix: str) -> str:
    """Name the job as GitHub shows it, such as "trend/benchmark (3.13, arm64)".

    `matrix`: the job's leg of a matrix as JSON, which becomes the part in parentheses. Empty outside of GitHub Actions.
    """
    if not (job := environ.get("GITHUB_JOB", "")):
        return ""
    file = environ.get("GITHUB_WORKFLOW_REF", "").partition("@")[0]
    workflow = PurePosixPath(file).stem or environ.get("GITHUB_WORKFLOW", "")
    try:
        leg = json.loads(matrix) if matrix else None
    except ValueError:
        leg = None
    legs = leg.values() if isinstance(leg, dict) else ()
    values = [value if isinstance(value, str) else json.dumps(value) for value in legs]
    return f"{workflow}/{job}" + (f" ({', '.join(values)})" if values else "")


def format_times(result: Result) -> str:
    """Format how long each step took: "time: measure 134.2 s; stack 12.3 s, verify 4.5 s, the rest 2.0 s"."""
    parts = {name: seconds for name, seconds in result.timings.items() if name != "measure"}
    rest = result.run.duration_s - sum(result.timings.values())
    others = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in {**parts, "the rest": rest}.items())
    return f"time: measure {result.timings.get('measure', 0.0):.1f} s; {others}"


def make_git_environ(environ: Mapping[str, str], event: Event, access: Access | None) -> Mapping[str, str] | None:
    """Make git's environment with the token, as actions/checkout may not have left credentials.

    If it has, they are in a header of the same key. An empty value removes that first: GitHub refuses two of them.
    """
    if access is None:
        return None
    basic = base64.b64encode(f"x-access-token:{access.token}".encode()).decode("ascii")
    key = f"http.{event.server_url}/.extraheader"
    return {
        **environ,
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": key,
        "GIT_CONFIG_VALUE_0": "",
        "GIT_CONFIG_KEY_1": key,
        "GIT_CONFIG_VALUE_1": f"AUTHORIZATION: basic {basic}",
    }
