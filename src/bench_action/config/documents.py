"""Read YAML that strangers write: bounded in size and depth, and without anything that two parsers read differently."""

import re
from pathlib import Path
from typing import Any, cast

import yaml

_DEEPEST = 50
_MOST_VALUES = 100_000  # aliases counted as often as they repeat their anchor
_LARGEST_NUMBER = 2**63
_LONGEST_NUMBER = 400  # characters: of a float that is written out
# no text that a person writes; a lone half of a surrogate pair cannot be printed
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_MOST_SHOWN = 40  # characters of a scalar in a message
_QUOTED = re.compile(r"(?s)'.{41,}'")
_MERGE = "tag:yaml.org,2002:merge"


class Loader(yaml.SafeLoader):
    """YAML's plain values: no duplicate keys, binary texts, huge numbers or infinities. Raises YAMLError."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping. Raises ComposerError if it has a key twice; `<<` may come again."""
        node = super().compose_mapping_node(anchor)
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, "this key is there twice", key.start_mark)
                seen.add(key.value)
        return node

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """Construct a number. Raises ConstructorError for one that is infinite, no number, or huge."""
        whole = node.tag.endswith(":int")
        if len(node.value) > _LONGEST_NUMBER:  # with colons, YAML 1.1 counts in sixties, which takes time
            raise yaml.constructor.ConstructorError(None, None, "this number is too long", node.start_mark)
        number = self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)
        if not abs(number) <= _LARGEST_NUMBER:  # nor is `.nan`
            problem = "this number is not finite, or too large"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return number

    def refuse(self, node: yaml.Node) -> Any:
        """Raise ConstructorError for a tag that is not supported."""
        raise yaml.constructor.ConstructorError(None, None, "this tag is not supported", node.start_mark)


Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_number)
Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_number)
for _tag in ("binary", "omap", "pairs", "set"):
    Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", Loader.refuse)


def check_document(text: str) -> None:
    """Check that a text is YAML of a usual size before it is constructed. Raises YAMLError, with the place.

    Without construction, no alias is followed: some hundred bytes can stand for any number of values.
    """
    sizes: dict[str | None, int] = {}  # anchor → how many values it stands for
    opened: list[tuple[str | None, int]] = []  # anchor, and how many values there were before it
    values = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in opened}:
                raise _make_error("this alias repeats what it is part of", event)
            values += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = values - before
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            sizes[event.anchor] = 1
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, values - 1))
        _check_event(event, values, len(opened))


def _check_event(event: yaml.Event, values: int, depth: int) -> None:
    """Raise YAMLError for a text that cannot be used, or if there are too many values by now, or they are too deep."""
    if isinstance(event, yaml.ScalarEvent) and _UNUSABLE.search(event.value):
        raise _make_error("this text has a character that is not allowed", event)
    if values > _MOST_VALUES:
        raise _make_error(f"the file is of more values than {_MOST_VALUES:,}", event)
    if depth > _DEEPEST:
        raise _make_error(f"the file is deeper than {_DEEPEST}", event)


def _make_error(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=cast("yaml.error.Mark | None", event.start_mark))


def describe_yaml_error(file: Path, error: Exception) -> str:
    """Say where a file is no YAML that we read, and why, without quoting its line, which may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{file}: {shorten(str(error))}"
    what = _QUOTED.sub("'…'", str(getattr(error, "problem", None) or "could not be parsed"))
    return f"{file}:{mark.line + 1}: column {mark.column + 1}: {what}"


def shorten(value: Any) -> Any:
    """Cut a text to 40 characters, as messages end up in logs and comments, and a scalar may be a secret."""
    return f"{value[:_MOST_SHOWN]}…" if isinstance(value, str) and len(value) > _MOST_SHOWN else value
