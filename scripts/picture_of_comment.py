"""A picture of the comment that a result gives, as GitHub would show it: cmark-gfm makes the page, Chromium draws it.

    .venv/bin/python scripts/picture_of_comment.py bench-results/result.json docs/images/comment.png

Needs Chromium on PATH. GitHub's own style is imitated, not copied; charts in mermaid stay text.
"""

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

_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ font: 14px/1.5 "DejaVu Sans", "Noto Color Emoji", sans-serif; color: #1f2328; margin: 16px; width: 1010px }}
.box {{ border: 1px solid #d1d9e0; border-radius: 6px }}
.head {{ background: #f6f8fa; border-bottom: 1px solid #d1d9e0; padding: 8px 16px; color: #59636e }}
.body {{ padding: 16px }} h3 {{ font-size: 1.2em; margin: 0 0 12px }} p {{ margin: 0 0 12px }}
table {{ border-collapse: collapse; margin-bottom: 12px; font-size: 12px }}
th, td {{ border: 1px solid #d1d9e0; padding: 5px 9px }}
tr:nth-child(2n) td {{ background: #f6f8fa }} summary {{ cursor: pointer }} sub {{ color: #59636e }}
code {{ background: #818b981f; padding: 2px 5px; border-radius: 6px; font-size: 85% }}
pre {{ background: #f6f8fa; border-radius: 6px; padding: 12px; overflow: auto }} pre code {{ background: none }}
</style><div class="box"><div class="head"><b>github-actions</b> bot commented</div><div class="body">{body}</div></div>
<script>document.documentElement.dataset.height = document.body.scrollHeight + 32</script>
"""


def main(result: Path, picture: Path) -> None:
    """Write the picture."""
    found = Result.model_validate_json(result.read_text(encoding="utf-8"))
    text = render_comment(found, Links("https://github.com/org/shop/actions/runs/1"))
    body = cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "comment.html"
        page.write_text(_PAGE.format(body=body), encoding="utf-8")
        chromium = shutil.which("chromium") or "chromium-browser"
        command = [chromium, "--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={folder}/profile"]
        measure = [*command, "--window-size=1060,200", "--dump-dom", page.as_uri()]
        drawn = subprocess.run(measure, check=True, capture_output=True, text=True).stdout
        height = re.search(r'data-height="(\d+)"', drawn)
        size = f"--window-size=1060,{height[1] if height else 900}"
        subprocess.run(
            [*command, size, f"--screenshot={picture.resolve()}", page.as_uri()], check=True, capture_output=True
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
