"""The images of a run: built or had before anything is started, one after the other, so that Ctrl-C ends a build."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bench_action.config.schema import Config, Variant
from bench_action.engine.protocol import BuildSpec, Engine
from bench_action.model.progress import Progress

_LOAD_IMAGE = "bench-action/load"


@dataclass(frozen=True, slots=True)
class Images:
    """Names of the images of a run; `ids` has the id of each."""

    load: str
    variants: Mapping[str, str]
    ids: Mapping[str, str]


def make_images(engine: Engine, config: Config, folder: Path, progress: Progress) -> Images:
    """Build what is to be built, pull what is not here. Raises StackError."""
    load = config.load.image or _build_load(engine, progress)
    variants = {name: _image_of(engine, name, variant, folder, progress) for name, variant in config.variants.items()}
    names = {load, *variants.values(), *(service.image for service in config.services.values())}
    ids = {}
    for name in sorted(names):
        if not engine.has_image(name):
            progress.step(f"getting the image {name}")
        ids[name] = engine.image(name)
    return Images(load, variants, ids)


def _image_of(engine: Engine, name: str, variant: Variant, folder: Path, progress: Progress) -> str:
    if variant.build is None:
        return str(variant.image)
    progress.step(f"building {name}")
    build = variant.build
    spec = BuildSpec(f"bench-action/{name}", folder / build.context, build.dockerfile, build.target, build.args)
    return engine.build(spec)


def _build_load(engine: Engine, progress: Progress) -> str:
    progress.step("building the load generator")
    with resources.as_file(resources.files("bench_action.load")) as folder:
        return engine.build(BuildSpec(_LOAD_IMAGE, folder))
