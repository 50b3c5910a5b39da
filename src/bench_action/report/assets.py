"""The style sheets and scripts of report.html and the trend's pages: plain files in the folder `static`."""

import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "static"
_COLOUR: Final = re.compile(r"--(\w+): light-dark\((#[0-9a-f]{6}), #[0-9a-f]{6}\);")


def read_assets(*names: str) -> str:
    """Read files of `static`, one after the other. They are our own text, so a page may contain them unescaped."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


def read_light_colours() -> dict[str, str]:
    """Read the light colours of the palette, by name, for an SVG image: an image cannot use a page's style sheet."""
    return dict(_COLOUR.findall(read_assets("palette.css")))
