"""Draw a picture of the comment that a result gives, as GitHub would show it.

    .venv/bin/python scripts/picture_of_comment.py bench-results/result.json docs/images/comment.png

cmark-gfm makes the page, and Chromium, which must be on PATH, draws it. GitHub's own style is imitated, not copied: its
column is 860 pixels wide in a wide window. Charts in mermaid stay text. For the signs, install fonts-noto-color-emoji.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options

from bench_action.model.result import Result
from bench_action.report.comment import Links, render_comment

_WIDTH = 860
_PAGE = """<!doctype html><meta charset="utf-8"><style>
@font-face {{ font-family: Signs; src: local("Noto Color Emoji");
  unicode-range: U+26A0, U+26AA, U+274C, U+1F300-1FAFF }}
body {{ font: 14px/1.5 Signs, "Noto Sans", "DejaVu Sans", sans-serif; color: #1f2328; margin: 16px }}
.box {{ border: 1px solid #d1d9e0; border-radius: 6px }}
.head {{ background: #f6f8fa; border-bottom: 1px solid #d1d9e0; padding: 8px 16px; color: #59636e }}
.body {{ padding: 16px }} h3 {{ font-size: 1.25em; line-height: 1.25; margin: 0 0 16px }} p, ul {{ margin: 0 0 16px }}
table {{ display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse;
  margin: 0 0 16px }}
th, td {{ border: 1px solid #d1d9e0; padding: 6px 13px }}
tr:nth-child(2n) td {{ background: #f6f8fa }} details {{ margin: 0 0 16px }} summary {{ cursor: pointer }}
sub {{ color: #59636e }}
code {{ background: #818b981f; padding: 2px 5px; border-radius: 6px; font: 85% "DejaVu Sans Mono", monospace }}
pre {{ background: #f6f8fa; border-radius: 6px; padding: 16px; overflow: auto }}
pre code {{ background: none; padding: 0 }}
</style><div class="box"><div class="head"><b>github-actions</b> bot commented</div><div class="body">{body}</div></div>
<script>document.documentElement.dataset.height = document.body.scrollHeight + 32</script>
"""


def main(result: Path, picture: Path) -> None:
    """Write the picture of a stored result's comment."""
    stored = Result.model_validate_json(result.read_text(encoding="utf-8"))
    draw(render_comment(stored, Links("https://github.com/org/shop/actions/runs/1")), picture)


def draw(comment: str, picture: Path, *, width: int = _WIDTH) -> None:
    """Write the picture of a comment in markdown; `width` of the window in pixels."""
    body = cmarkgfm.github_flavored_markdown_to_html(comment, options=Options.CMARK_OPT_UNSAFE)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "comment.html"
        page.write_text(_PAGE.format(body=body), encoding="utf-8")
        chromium = shutil.which("chromium") or "chromium-browser"
        command = [chromium, "--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={folder}/profile"]
        measure = [*command, f"--window-size={width},200", "--dump-dom", page.as_uri()]
        environ = {**os.environ, "TMPDIR": folder}  # in which Chromium leaves folders
        dom = subprocess.run(measure, check=True, capture_output=True, text=True, env=environ).stdout
        height = re.search(r'data-height="(\d+)"', dom)
        size = f"--window-size={width},{height[1] if height else 900}"
        shoot = [*command, size, f"--screenshot={picture.resolve()}", page.as_uri()]
        subprocess.run(shoot, check=True, capture_output=True, env=environ)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
