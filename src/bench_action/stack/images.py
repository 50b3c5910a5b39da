"""Build or pull the images of a run before anything is started, one after the other, so that Ctrl-C stops a build."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Literal

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.environment import fill_in_build_secrets, read_secrets
from bench_action.config.load import Project
from bench_action.config.redaction import Redaction
from bench_action.config.schema import Container, Variant
from bench_action.engine.protocol import BuildSpec, Engine, Kind, LocalForm
from bench_action.git.missing import explain_missing
from bench_action.model.errors import StackError
from bench_action.model.progress import Progress

_LOAD = "bench-action/load"
_K6, _K6_DIGEST = "grafana/k6:1.2.1", "sha256:f19307b2ffb216bd38a5cee297a74b3b6d20706b5c904cf7e0f8919f4370fb96"
# A build of base that hangs must not use up the job's time: it may take ten minutes, or four times as long as head's.
_PATIENCE_S = 600
_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its name, for people, and its id, which containers are started from."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a run, by variant and by service.

    `base`: images of the base revision, by variant. `base_services`: those of services that base builds itself, by
    service. `lacks`: variant → why base has no image of it.
    """

    load: Image
    variants: dict[str, Image]
    services: dict[str, Image]
    base: dict[str, Image] = field(default_factory=dict)
    base_services: dict[str, Image] = field(default_factory=dict)
    lacks: dict[str, Lack] = field(default_factory=dict)

    @property
    def ids(self) -> dict[str, str]:
        """Name → id of every image."""
        own = (*self.variants.values(), *self.base.values())
        every = (self.load, *own, *self.services.values(), *self.base_services.values())
        return {image.name: image.id for image in every}


def make_images(
    engine: Engine,
    project: Project,
    base: Baseline | None,
    progress: Progress,
    *,
    environ: Mapping[str, str],
    results: Path | None = None,
) -> Images:
    """Build the images of variants, and pull those that are not here yet.

    Raises StackError, except if a variant of base fails: that is kept in `lacks`. `environ` has the values of build
    secrets. `results`: the folder of our own results, which is left out of every build.
    """
    config = project.config
    needs_k6 = project.needs_k6 or (base is not None and base.project.needs_k6)
    load = make_load_image(engine, config.load.image, progress, needs_k6=needs_k6)
    make = partial(_make_image, engine, progress=progress, environ=environ, results=results)
    variants, built_s = {}, {}
    for name in config.variants:
        began = time.monotonic()
        variants[name] = make(name, project)
        built_s[name] = time.monotonic() - began
    services = {name: _find_same_build(name, project, variants) or make(name, project) for name in config.services}
    images = Images(load, variants, services)
    if base is not None:
        images.lacks.update(base.lacks)
        _add_base_images(images, make, project, base, built_s)
    return images


def _add_base_images(
    images: Images, make: Callable[..., Image], head: Project, base: Baseline, built_s: Mapping[str, float]
) -> None:
    """Add base's images. `built_s`: variant → how long head's took, which decides how long base's may take."""
    for name in base.project.config.variants:
        limit_s = max(_PATIENCE_S, round(_PATIENCE * built_s.get(name, 0.0)))
        build = partial(make, project=base.project, tag=":base", limit_s=limit_s)
        try:
            image = build(name)
            for service in base.project.config.built_services:
                if service not in images.base_services:
                    same = _find_same_build(service, base.project, {**images.base, name: image})
                    images.base_services[service] = same or build(service)
            images.base[name] = image
        except StackError as error:  # head goes on without it
            images.lacks[name] = explain_failed_base(name, head, base, "built", error)


def explain_failed_base(
    name: str, head: Project, base: Baseline, doing: Literal["built", "started"], error: StackError
) -> Lack:
    """Explain why a variant of base could not be built or started, with the last lines of its log."""
    parts = [error.cause] if doing == "built" and error.cause else [error.what, error.cause]
    why = " ".join(": ".join(filter(None, parts)).split())
    reason = f"{base.name} could not be {doing}: {why}"
    missing = _explain_missing_files(name, head, base, [error.cause, *error.log], with_dockerfile=doing == "built")
    return Lack("base-failed", f"{reason}. {missing}" if missing else reason, error.log)


def _explain_missing_files(
    name: str, head: Project, base: Baseline, log: Sequence[str], *, with_dockerfile: bool
) -> str:
    """Name the files of head's context that base's lacks, if the log or the Dockerfile mentions them; else empty."""
    head_build, base_build = head.config.variants[name].build, base.project.config.variants[name].build
    if head_build is None or base_build is None:
        return ""
    context, evidence = base.project.folder / base_build.context, list(log)
    if with_dockerfile:
        with suppress(OSError):  # the failed build already says what is wrong with it
            evidence.append((context / base_build.dockerfile).read_text(encoding="utf-8", errors="replace"))
    return explain_missing((head.find_owner(name).folder / head_build.context).resolve(), context.resolve(), evidence)


def _pull(engine: Engine, name: str, kind: Kind, progress: Progress, platform: str = "") -> Image:
    if not engine.has_image(name, kind):
        progress.step(f"pulling image {name}")
    return Image(name, engine.image(name, kind, platform))


def _find_same_build(name: str, project: Project, variants: Mapping[str, Image]) -> Image | None:
    """Find the image of a variant that is built as a service is, such as a worker of the same code."""
    build = project.config.services[name].build
    same = [variant for variant in variants if project.config.variants[variant].build == build and build is not None]
    return variants[same[0]] if same else None


def _make_image(
    engine: Engine,
    name: str,
    project: Project,
    *,
    progress: Progress,
    environ: Mapping[str, str],
    tag: str = "",
    results: Path | None,
    limit_s: int | None = None,
) -> Image:
    """Make the image of a variant or a service."""
    config, owner = project.config, project.find_owner(name)
    variant = config.variants.get(name)
    container: Container = variant or config.services[name]
    if container.build is None:
        kind: Kind = config.services[name].kind if variant is None else "subject"
        return _pull(engine, str(container.image), kind, progress, container.platform or "")
    progress.step(f"building {name}{tag.replace(':', '@')}")
    build, image = container.build, f"bench-action/{name}{tag}"
    spec = BuildSpec(
        "subject",
        image,
        owner.folder / build.context,
        build.dockerfile,
        build.target,
        build.args,
        make_local_form(variant, owner.folder, owner.root) if variant is not None else None,
        results,
        limit_s,
        fill_in_build_secrets(build, read_secrets(project.config, environ)),
        build.cache_from,
        container.platform or "",
        # otherwise what a step of head writes into a cache that it mounts ends up in base's image
        f"bench-action-{tag.removeprefix(':') or 'head'}",
    )
    try:
        return Image(image, engine.build(spec))
    except StackError as error:  # of these secrets, some are files of the repository, which nobody else hides
        raise Redaction(spec.secrets.values()).hide(error) from None


def make_local_form(variant: Variant, folder: Path, root: Path) -> LocalForm | None:
    """Make the form in which a variant runs without a container; None if its configuration has no `local`."""
    if variant.local is None:
        return None
    requirements = folder / variant.local.requirements if variant.local.requirements else None
    context = folder / variant.build.context if variant.build else folder
    return LocalForm(variant.local.command, context, requirements, root)


def make_load_image(engine: Engine, name: str | None, progress: Progress, *, needs_k6: bool) -> Image:
    """Use the configured image, else the action's own if we run in it and need no more than wrk, else build one.

    k6 comes from its official image: the one that is here under its tag, else the one with the digest that we know.
    """
    if name:
        return _pull(engine, name, "load", progress)
    if not needs_k6 and (own := engine.tool_image()):
        return Image(own, own)
    progress.step("building the load generator")
    with resources.as_file(resources.files("bench_action.load")) as folder:
        if not needs_k6:
            return Image(_LOAD, engine.build(BuildSpec("load", _LOAD, folder, target="wrk")))
        k6 = _K6 if engine.has_image(_K6, "load") else f"{_K6}@{_K6_DIGEST}"
        spec = BuildSpec("load", f"{_LOAD}-with-k6", folder, target="wrk-and-k6", args={"K6": k6})
        return Image(spec.name, engine.build(spec))
