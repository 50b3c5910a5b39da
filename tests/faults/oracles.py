"""Real parsers that read what we write, and report each text that is more than text there."""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import cmarkgfm
import xmlschema
from cmarkgfm.cmark import Options
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.runner import RunnerLog

_JUNIT = Path(__file__).parents[1] / "unit" / "report" / "junit.xsd"
_OUR_TAGS = frozenset(
    {"h1", "h2", "h3", "p", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "sub"}
    | {"ul", "ol", "li", "a", "strong", "br", "blockquote", "img"}
)
_OUR_ATTRIBUTES = frozenset({("align", "right"), ("align", "left"), ("open", None), ("open", ""), ("lang", "mermaid")})
_LANGUAGE = re.compile(r"language-\w+")
_CHART = re.compile(r"requests-per-second-[\w-]*\.svg")
# what GitHub looks for in rendered text: mentions, references, addresses
_ALIVE = re.compile(
    r"(?<!\w)@\w|\w@\w[\w-]*\.\w|\w#\d|(?<!\w)#\d|\bGH-\d|https?://|\bwww\.|(?<![\w:]):\w+:(?!\w)", re.IGNORECASE
)
_CODE = frozenset({"code", "pre"})
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})
# C0 except the line end, DEL, C1, and what hides or reverses text
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
# OpenMetrics 1.0, "ABNF": a sample, without timestamps and exemplars, which we write none of
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{{{_LABEL}(?:,{_LABEL})*\}})? -?[0-9.e+-]+(?: )?")
_META = re.compile(r"# (?:TYPE|UNIT|HELP) [a-zA-Z_:][a-zA-Z0-9_:]* .*|# EOF")


@dataclass
class Outline(HTMLParser):
    """The elements of a page. `prose` is its text outside of code, `scripts` the text of its scripts."""

    tags: Counter[str] = field(default_factory=Counter)
    attributes: list[tuple[str, str, str | None]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    prose: str = ""
    scripts: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in {"script", "style"}:
            self.scripts.append(data)
        elif not _CODE & set(self._open):
            self.prose += f"{data} "

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def parse_page(html: str) -> Outline:
    """Parse a page."""
    outline = Outline()
    outline.feed(html)
    outline.close()
    return outline


def render_markdown(text: str) -> Outline:
    """Parse what GitHub's own renderer makes of markdown; raw HTML is kept, as GitHub keeps ours."""
    return parse_page(cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE))


def find_in_markdown(text: str, addresses: Collection[str] = (), ours: Collection[str] = ()) -> Iterator[str]:
    """Yield what is alive in markdown: tags, links, pictures, mentions, references.

    `addresses`: those that it may link to. `ours`: the HTML comments that we write.
    """
    page = render_markdown(text)
    yield from (f"tag <{tag}>" for tag in page.tags if tag not in _OUR_TAGS)
    for tag, name, value in page.attributes:
        own = (
            (name, value) in _OUR_ATTRIBUTES
            or (tag == "a" and name == "href" and value in addresses)
            or (tag == "img" and name == "src" and _CHART.fullmatch(value or ""))
            or (tag == "img" and name == "alt")
            or (tag in {"code", "pre"} and name in {"class", "lang"} and _LANGUAGE.fullmatch(f"language-{value}"))
            or (tag in {"code", "pre"} and name == "class" and _LANGUAGE.fullmatch(value or ""))
            or (tag == "ol" and name == "start")
        )
        if not own:
            yield f"attribute {name}={value!r} of <{tag}>"
    yield from (f"HTML comment {comment!r}" for comment in page.comments if f"<!--{comment}-->" not in ours)
    yield from (f"{match[0]!r} in prose" for match in _ALIVE.finditer(page.prose) if match[0] not in addresses)


def find_in_page(html: str, usual: Outline) -> Iterator[str]:
    """Yield the elements that a page has and the `usual` page of the same kind has not; and ends of scripts."""
    page = parse_page(html)
    for tag in ("script", "style", "img", "a", "iframe", "object", "embed", "link", "meta", "form", "base", "svg"):
        if page.tags[tag] > usual.tags[tag]:
            yield f"{page.tags[tag] - usual.tags[tag]} more <{tag}>"
    yield from (f"tag <{tag}>" for tag in page.tags if tag not in usual.tags and tag not in _OUR_TAGS)
    known = {(tag, name) for tag, name, _ in usual.attributes}
    for tag, name, value in page.attributes:
        if name.startswith("on") or ((tag, name) not in known and name not in {"class", "colspan", "open"}):
            yield f"attribute {name}={value!r} of <{tag}>"
    yield from (f"HTML comment {comment[:40]!r}" for comment in page.comments if comment not in usual.comments)
    for script in page.scripts:
        if script not in usual.scripts and re.search(r"<!--|</?script", script, re.IGNORECASE):
            yield "a tag inside of a script"


def find_in_terminal(text: str) -> Iterator[str]:
    """Yield the control characters that reach a terminal, except ends of lines and our colours."""
    found = sorted(set(_CONTROL.findall(_COLOUR.sub("", text))))
    if found:
        yield f"control characters {found!r}"


def find_in_commands(log: str, sent: Collection[str] = (), forms: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the commands that the runner obeys, except those that we have `sent`, or that begin like one of `forms`."""
    obeyed = RunnerLog().read(log).obeyed
    yield from (f"obeyed {line[:80]!r}" for line in obeyed if line not in sent and not line.startswith(forms))


def read_outputs(text: str) -> dict[str, str]:
    """Read a step's outputs as the runner does (its FileCommandManager). Raises ValueError."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n")[:-1])
    for line in lines:
        name, heredoc, delimiter = line.partition("<<")
        if not heredoc:
            raise ValueError(f"a line outside of any output: {line[:80]!r}")
        value = []
        for inner in lines:
            if inner == delimiter:
                break
            value.append(inner)
        else:
            raise ValueError(f"the output {name!r} does not end")
        found[name] = "\n".join(value)
    return found


def find_in_outputs(text: str, names: Collection[str]) -> Iterator[str]:
    """Yield outputs that are not ours."""
    try:
        yield from (f"output {name!r}" for name in read_outputs(text) if name not in names)
    except ValueError as error:
        yield str(error)


def find_in_junit(text: str, schema: xmlschema.XMLSchema | None) -> Iterator[str]:
    """Yield why this is not JUnit XML. `schema`: checks the structure too, which takes longer."""
    try:
        ET.fromstring(text)  # noqa: S314  # our own
        if schema is not None:
            schema.validate(text)
    except (ET.ParseError, xmlschema.XMLSchemaException, ValueError) as error:
        yield f"{type(error).__name__}: {str(error)[:200]}"


def read_junit_schema() -> xmlschema.XMLSchema:
    """Read the schema that Jenkins publishes."""
    return xmlschema.XMLSchema(_JUNIT)


def find_in_metrics(text: str) -> Iterator[str]:
    """Yield why this is not OpenMetrics text: by Prometheus' own parser, and line by line."""
    lines = text.split("\n")
    yield from (f"line {line[:80]!r}" for line in lines[:-1] if not (_SAMPLE.fullmatch(line) or _META.fullmatch(line)))
    if lines[-2:] != ["# EOF", ""]:
        yield "it does not end with # EOF"
    try:
        list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    except ValueError as error:
        yield f"{type(error).__name__}: {str(error)[:200]}"
