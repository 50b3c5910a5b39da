"""Set up Jinja2 so that no value can break out of its place."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from bench_action.model.visible import remove_invisible
from bench_action.report.assets import read_assets
from bench_action.report.table import Table

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

# @somebody, #12, GH-12, https://…, www.…, a@b.c: looked for in the rendered text, where a backslash is no help
_ALIVE = re.compile(r"(?<!\w)@(?=\w)|@(?=[\w.-]*\.\w)|#(?=\d)|\bGH-(?=\d)|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
_UNIT = re.compile(r"(?<=\d) (?=(?:%|µs|ms|s|MiB)(?:\W|$))")  # a number and its unit stay on one line
_SPACE = re.compile(r"[^\S\u00a0]+")  # line ends too; not what keeps a cell on one line
_BLOCK = re.compile(r"^(\d*)([-+=.)])")  # what begins a list, a rule or a heading
_JOINER = "\u2060"  # word joiner: not seen, and no letter of a name
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!@&])")  # & too: `&commat;` is a mention's @


def markdown_environment() -> "SandboxedEnvironment":
    """Make an environment for markdown: `text` for running text, `table` for a Table, `fenced` for lines of code."""
    environment = _environment(escaping=False)
    environment.keep_trailing_newline = True
    environment.filters.update(text=escape_text, table=markdown_table, fenced=fenced)
    return environment


def html_environment() -> "SandboxedEnvironment":
    """Make an environment for HTML.

    `table` is for a Table, `code` for running text in which backticks mark code, `bare` for the same without them.
    """
    environment = _environment(escaping=True)
    environment.filters.update(table=html_table, code=html_code, bare=lambda value: value.replace("`", ""))
    environment.globals.update(read_assets=read_assets)
    return environment


def svg_environment() -> "SandboxedEnvironment":
    """Make an environment for SVG, which is XML."""
    return _environment(escaping=True)


def _environment(*, escaping: bool) -> "SandboxedEnvironment":
    # imported here, so that a run begins to measure without waiting for it
    from jinja2 import PackageLoader, StrictUndefined  # noqa: PLC0415
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    loader = PackageLoader("bench_action.report")
    finalize = _show_plain if escaping else None  # markdown's filters do it, and some of them add a joiner
    return SandboxedEnvironment(loader=loader, undefined=StrictUndefined, autoescape=escaping, finalize=finalize)


def _show_plain(value: object) -> object:
    """Remove what is invisible from text that is about to be escaped; markup has been through this."""
    return remove_invisible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def escape_script_json(text: str) -> str:
    """Escape JSON for a place inside `<script>`, so that no value can end the script, a comment or a line of it.

    See HTML, 4.12.1.3; the escapes are JSON's own, so the value does not change.
    """
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def html_code(value: str) -> Markup:
    """Escape running text; text in backticks becomes code."""
    parts = re.split(r"`([^`\n]+)`", remove_invisible(value))
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))


def html_table(table: Table) -> Markup:
    """Render a table that scrolls if it does not fit."""
    kinds = [Markup(' class="n"') if right else Markup("") for right in table.numeric]

    def row(tag: str, values: Sequence[str]) -> Markup:
        if len(values) == 1 < len(kinds):
            return Markup('<tr class="group"><th colspan="{}">{}</th></tr>\n').format(
                len(kinds), remove_invisible(values[0])
            )
        cell = Markup("<{0}{1}>{2}</{0}>")
        shown = map(remove_invisible, values)
        cells = Markup("").join(cell.format(tag, kind, value) for kind, value in zip(kinds, shown, strict=True))
        return Markup("<tr>{}</tr>\n").format(cells)

    body = Markup("").join(row("td", values) for values in table.rows)
    whole = Markup('<div class="scroll"><table>\n<thead>{}</thead>\n<tbody>{}</tbody>\n</table></div>')
    return whole.format(row("th", table.headings), body)


def fenced(lines: Sequence[str]) -> str:
    """Render lines as code, in a fence that none of them can close."""
    text = remove_invisible("\n".join(lines))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def escape_text(value: str) -> str:
    """Escape running text for markdown; text in backticks stays code."""
    parts = re.split(r"(`[^`\n]+`)", " ".join(remove_invisible(value).split()))
    # every second part is code; another may begin with a backtick too, one that nothing closes
    text = "".join(part if at % 2 else _escape(part) for at, part in enumerate(parts))
    return _BLOCK.sub(r"\1\\\2", text)


def markdown_table(table: Table) -> str:
    """Render a table; no value can end its cell."""
    rules = " | ".join("---:" if right else "---" for right in table.numeric)
    lines = [" | ".join(_escape_cell(heading) for heading in table.headings), rules]
    for row in table.rows:
        if len(row) == 1 < len(table.headings):
            lines.append(f"**{_escape_cell(row[0])}**" + " | " * (len(table.headings) - 1))
        else:
            cells = (_escape_cell(value, whole=right) for value, right in zip(row, table.numeric, strict=True))
            lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def _escape_cell(value: str, *, whole: bool = False) -> str:
    """Escape a cell; a number and its unit stay on one line, and so does all of a `whole` cell."""
    text = _SPACE.sub(" ", remove_invisible(value)).strip()
    return _escape(text.replace(" ", "\u00a0") if whole else _UNIT.sub("\u00a0", text))


def _escape(text: str) -> str:
    """Escape markup, and anything that GitHub would turn into a mention, a reference or a link after rendering."""
    return _SPECIAL.sub(r"\\\1", _ALIVE.sub(lambda match: f"{match[0]}{_JOINER}", text))
