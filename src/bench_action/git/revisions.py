"""Load head and base of a run, and the rules that judge them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from bench_action.config.baseline import (
    Baseline,
    fill_in_base_commit,
    load_base,
    make_unreadable_base,
    require_own_choice,
)
from bench_action.config.control import add_control
from bench_action.config.documents import shorten
from bench_action.config.environment import check_environment, drop_unusable_variants
from bench_action.config.load import Project, fill_in_commit, load_project
from bench_action.config.options import Options
from bench_action.config.rules import AppliedRules, apply_rules, leave_out_caches
from bench_action.git.sources import check_out, find_former_name, list_tracked, read_source, resolve_revision
from bench_action.model.errors import BenchError, InputError
from bench_action.model.progress import Progress
from bench_action.model.result import Source
from bench_action.model.warning import Code, RunWarning


@dataclass(frozen=True, slots=True)
class Revisions:
    """What is measured: its source, head, base if requested, and the rules that judge."""

    source: Source
    head: Project
    base: Baseline | None = None
    applied: AppliedRules = field(default_factory=AppliedRules)

    @property
    def warnings(self) -> tuple[RunWarning, ...]:
        """What base's sources lack, so that it may do less than head."""
        missing = self.base.incomplete if self.base is not None else ()
        return tuple(Code.BASE_INCOMPLETE.warn(what) for what in missing)

    def explain(self, error: BenchError) -> None:
        """Add a note to an error if services that head changes ran with base's settings, which may be the cause."""
        services = [change.what for change in self.applied.changes if change.what.startswith("service ")]
        if services and self.applied.rules == "base":
            error.add_note(
                f"  note:   this pull request changes {', '.join(services)}, and ran with base's settings; "
                "`rules: head` (--rules head) runs it with its own"
            )


@contextmanager
def load_revisions(options: Options, environ: Mapping[str, str], progress: Progress) -> Iterator[Revisions]:
    """Load head, and base if requested, whose sources exist until the context ends. Raises InputError."""
    project = _load_head(options, environ)
    for note in project.notes:
        progress.step(note)
    source = read_source(project.folder, environ)
    with ExitStack() as folders:
        revisions = Revisions(source, project)
        if options.self_test:
            same = Baseline(project, source.head_sha, valid=True, profiles=project.profiles)
            revisions = Revisions(
                source.model_copy(update={"base_sha": source.head_sha}), project, fill_in_base_commit(same)
            )
        elif options.baseline is not None:
            commit = resolve_revision(project.folder, options.baseline, options.git)
            base = _load_base(project, commit, options, folders, environ=environ, progress=progress)
            revisions = _apply_rules(revisions, base, options, progress)
        head = add_control(fill_in_commit(revisions.head, source.head_sha), options.control)
        options.secrets.require(head.config.secrets)
        check_environment(head.config, options.secrets.values)
        revisions = replace(revisions, head=head)
        try:
            yield revisions
        except BenchError as error:
            revisions.explain(error)
            raise


def _load_head(options: Options, environ: Mapping[str, str]) -> Project:
    project = load_project(
        options.config,
        options.preset,
        variants=options.variants,
        profiles=options.profiles,
        environ=environ,
        secrets=options.secrets,
    )
    if unknown := {name for pair in options.compare for name in pair} - set(project.config.variants):
        raise InputError(f"--compare names unknown variants: {', '.join(sorted(unknown))}")
    if options.max_minutes is None:
        return project
    # all of the time is for the pairs: an inconclusive pair may use what the others leave
    duet = project.policy.duet.model_copy(update={"seconds": options.max_minutes * 60})
    policy = project.policy.model_copy(update={"minutes": options.max_minutes, "duet": duet})
    return replace(project, policy=policy)


def _load_base(
    head: Project,
    commit: str,
    options: Options,
    folders: ExitStack,
    *,
    environ: Mapping[str, str],
    progress: Progress,
) -> Baseline:
    """Load base from its own sources; if they cannot be read, nothing is compared, and head is measured alone."""
    incomplete: list[str] = []

    def warn(what: str) -> None:
        progress.warn(what)
        incomplete.append(what)

    try:
        folder = folders.enter_context(check_out(head.folder, commit, options.git, warn))
    except InputError as error:
        return make_unreadable_base(head, commit, error)
    former = find_former_name(head.folder, head.file, commit, options.git)
    if options.config is None:
        require_own_choice(head, folder, commit, moved_from=former)
    narrowed = {"variants": options.variants, "profiles": options.profiles}
    adopts, tracked = options.rules == "head", list_tracked(head.folder, options.git)
    base = load_base(
        head,
        folder,
        commit,
        moved_from=former,
        environ=environ,
        secrets=options.secrets,
        adopts=adopts,
        tracked=tracked,
        **narrowed,
    )
    return replace(fill_in_base_commit(base), incomplete=tuple(incomplete), tracked=tracked)


def _apply_rules(revisions: Revisions, base: Baseline, options: Options, progress: Progress) -> Revisions:
    head = revisions.head
    if options.rules == "base" and base.valid:
        head, ignored = leave_out_caches(head, base.project)
        for name, caches in ignored.items():
            listed = ", ".join(map(shorten, caches))
            progress.step(f"{name}: ignored cache_from {listed}, which {base.name} does not name".replace("`", ""))
    head, base, applied = apply_rules(head, base, options.rules)
    if options.rules == "base" and not base.valid and base.project.config.variants:
        progress.warn(f"{base.name} has no valid {head.file}: head's own rules judge".replace("`", ""))
    source = revisions.source.model_copy(update={"base_sha": base.commit})
    return Revisions(source, head, drop_unusable_variants(base, options.secrets.values), applied)
