"""The images of a run: built or had before anything is started, one after the other, so that Ctrl-C ends a build."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

from bench_action.config.baseline import Baseline, Lack
from bench_action.config.load import Project
from bench_action.config.schema import Variant
from bench_action.engine.protocol import BuildSpec, Engine, Kind, LocalForm
from bench_action.git.missing import explain_missing
from bench_action.model.errors import StackError
from bench_action.model.progress import Progress

_LOAD = "bench-action/load"
# a build of base that hangs must not take the whole job's time: it may take ten minutes, or four times head's
_PATIENCE_S = 600
_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class Image:
    """A name for people, and the id that containers are started from."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a run, by variant and by service.

    `base`: of the base revision, by variant; `lacks`: variant → why base has no image of it.
    """

    load: Image
    variants: dict[str, Image]
    services: dict[str, Image]
    base: dict[str, Image] = field(default_factory=dict)
    lacks: dict[str, Lack] = field(default_factory=dict)

    @property
    def ids(self) -> dict[str, str]:
        """Name → id of all."""
        every = (self.load, *self.variants.values(), *self.base.values(), *self.services.values())
        return {image.name: image.id for image in every}


def make_images(
    engine: Engine, project: Project, base: Baseline | None, progress: Progress, results: Path | None = None
) -> Images:
    """Build what is to be built, pull what is not here. Raises StackError, but for a variant of base.

    `results`: the folder of our own results, which is in no build.
    """
    config = project.config
    load = _of_load(engine, config.load.image, progress)
    variants, built_s = {}, {}
    for name in config.variants:
        began = time.monotonic()
        variants[name] = _of_variant(engine, name, project, progress, results=results)
        built_s[name] = time.monotonic() - began
    services = {name: _get(engine, service.image, service.kind, progress) for name, service in config.services.items()}
    images = Images(load, variants, services)
    if base is not None:
        images.lacks.update(base.lacks)
        for name in base.project.config.variants:
            limit_s = max(_PATIENCE_S, round(_PATIENCE * built_s.get(name, 0.0)))
            try:
                images.base[name] = _of_variant(
                    engine, name, base.project, progress, tag=":base", results=results, limit_s=limit_s
                )
            except StackError as error:  # head goes on without it
                images.lacks[name] = failed_base(name, project, base, "built", error)
    return images


def failed_base(
    name: str, head: Project, base: Baseline, doing: Literal["built", "started"], error: StackError
) -> Lack:
    """Say that base's variant could not be built or started: why, with the last lines of its log."""
    parts = [error.cause] if doing == "built" and error.cause else [error.what, error.cause]
    why = " ".join(": ".join(filter(None, parts)).split())
    reason = f"{base.name} could not be {doing}: {why}"
    missing = _explain(name, head, base, [error.cause, *error.log], with_dockerfile=doing == "built")
    return Lack("base-failed", f"{reason}. {missing}" if missing else reason, error.log)


def _explain(name: str, head: Project, base: Baseline, log: Sequence[str], *, with_dockerfile: bool) -> str:
    """What of head's context base's does not have, if the log or the Dockerfile names it; else empty."""
    of_head, of_base = head.config.variants[name].build, base.project.config.variants[name].build
    if of_head is None or of_base is None:
        return ""
    context, evidence = base.project.folder / of_base.context, list(log)
    if with_dockerfile:
        with suppress(OSError):  # the failed build says what is wrong with it
            evidence.append((context / of_base.dockerfile).read_text(encoding="utf-8", errors="replace"))
    return explain_missing((head.find_owner(name).folder / of_head.context).resolve(), context.resolve(), evidence)


def _get(engine: Engine, name: str, kind: Kind, progress: Progress) -> Image:
    if not engine.has_image(name):
        progress.step(f"getting the image {name}")
    return Image(name, engine.image(name, kind))


def _of_variant(
    engine: Engine,
    name: str,
    project: Project,
    progress: Progress,
    *,
    tag: str = "",
    results: Path | None,
    limit_s: int | None = None,
) -> Image:
    variant, folder = project.config.variants[name], project.find_owner(name).folder
    if variant.build is None:
        return _get(engine, str(variant.image), "subject", progress)
    progress.step(f"building {name}{tag.replace(':', '@')}")
    build, image = variant.build, f"bench-action/{name}{tag}"
    spec = BuildSpec(
        "subject",
        image,
        folder / build.context,
        build.dockerfile,
        build.target,
        build.args,
        local_form(variant, folder),
        results,
        limit_s,
    )
    return Image(image, engine.build(spec))


def local_form(variant: Variant, folder: Path) -> LocalForm | None:
    """How the variant runs without a container, None where the configuration does not say."""
    if variant.local is None:
        return None
    requirements = folder / variant.local.requirements if variant.local.requirements else None
    context = folder / variant.build.context if variant.build else folder
    return LocalForm(variant.local.command, context, requirements)


def _of_load(engine: Engine, name: str | None, progress: Progress) -> Image:
    """What the configuration names, else the action's own image where we run in it, else one that is built."""
    if name:
        return _get(engine, name, "load", progress)
    if own := engine.tool_image():
        return Image(own, own)
    progress.step("building the load generator")
    with resources.as_file(resources.files("bench_action.load")) as folder:
        return Image(_LOAD, engine.build(BuildSpec("load", _LOAD, folder)))
