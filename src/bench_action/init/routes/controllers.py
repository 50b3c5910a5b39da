"""Find out which actions of Rails controllers ask who calls, by their callbacks and those that they inherit."""

import re
from dataclasses import dataclass, field

from bench_action.init.sources import Sources

_CLASS = re.compile(r"^\s*class\s+([\w:]+)\s*<\s*([\w:]+)", re.MULTILINE)
_CALLBACK = re.compile(r"^\s*(?:prepend_)?before_action\s*\(?\s*((?::\w+[!?]?\s*,?\s*)+)([^\n]*)", re.MULTILINE)
_SKIPPED = re.compile(r"^\s*skip_before_action\s*\(?\s*((?::\w+[!?]?\s*,?\s*)+)([^\n]*)", re.MULTILINE)
_ALLOWED = re.compile(r"^\s*allow_unauthenticated_access\b([^\n]*)", re.MULTILINE)
_CONCERN = re.compile(r"^\s*include\s+Authentication\b", re.MULTILINE)
_BASIC = re.compile(r"^\s*http_basic_authenticate_with\b([^\n]*)", re.MULTILINE)
_GUARD = re.compile(
    r"authenti\w*|require_(?:login|user|admin|sign\w*|account|session|auth\w*)|login_required|logged_in_\w+|"
    r"ensure_(?:logged|signed|auth)\w*|doorkeeper_authorize|signed_in_user|check_(?:login|auth\w*)|authorize_(?:user|request|admin)"
)
_CONCERN_GUARD = "require_authentication"
_LIMIT = r"\b{}:\s*(?:%i\[([^\]]*)\]|\[([^\]]*)\]|:(\w+))"
_DEEPEST = 6


@dataclass(slots=True)
class Controllers:
    """The controllers of an application, by the path of their file: `api/items` is `Api::ItemsController`."""

    sources: Sources
    _guards: dict[str, dict[str, tuple[set[str], set[str]]]] = field(default_factory=dict)

    def is_guarded(self, controller: str, action: str) -> bool:
        """Whether an action asks who calls."""
        return any(
            (not only or action in only) and action not in left_out
            for only, left_out in self._find_guards(controller, 0).values()
        )

    def _find_guards(self, controller: str, depth: int) -> dict[str, tuple[set[str], set[str]]]:
        """Find the callbacks of a controller: name → the actions it is limited to (none: all), and those left out."""
        if controller in self._guards:
            return self._guards[controller]
        text = self._read(controller)
        match = _CLASS.search(text)
        above = _name_controller(match[2]) if match is not None else ""
        guards = dict(self._find_guards(above, depth + 1)) if above and depth < _DEEPEST else {}
        if _CONCERN.search(text):
            guards[_CONCERN_GUARD] = (set(), set())
        for found in _BASIC.finditer(text):
            guards["http_basic"] = (_list_actions(found[1], "only"), _list_actions(found[1], "except"))
        for found in _CALLBACK.finditer(text):
            for name in re.findall(r":(\w+)", found[1]):
                if _GUARD.match(name):
                    guards[name] = (_list_actions(found[2], "only"), _list_actions(found[2], "except"))
        for found in _SKIPPED.finditer(text):
            for name in re.findall(r":(\w+)", found[1]):
                _skip(guards, name, found[2])
        for found in _ALLOWED.finditer(text):
            _skip(guards, _CONCERN_GUARD, found[1])
        self._guards[controller] = guards
        return guards

    def _read(self, controller: str) -> str:
        files = self.sources.find(
            f"app/controllers/{controller}_controller.rb", f"*/app/controllers/{controller}_controller.rb"
        )
        return self.sources.read(files[0]) if files else ""


def _skip(guards: dict[str, tuple[set[str], set[str]]], name: str, options: str) -> None:
    """Take some actions, or all but some, away from a callback; without options, the callback itself."""
    if name not in guards:
        return
    skipped, kept = _list_actions(options, "only"), _list_actions(options, "except")
    only, left_out = guards[name]
    if skipped:
        guards[name] = (only, left_out | skipped)
    elif kept:
        guards[name] = ((only & kept) if only else kept, left_out)
    else:
        del guards[name]


def _list_actions(options: str, name: str) -> set[str]:
    match = re.search(_LIMIT.format(name), options)
    return set(re.findall(r"\w+", next(filter(None, match.groups()), ""))) if match else set()


def _name_controller(name: str) -> str:
    """Name the file of a class: `Api::ItemsController` is `api/items`; empty for one that a library has."""
    if not name.endswith("Controller") or name.startswith(("ActionController", "Devise", "Doorkeeper")):
        return ""
    parts = name.removeprefix("::").removesuffix("Controller").split("::")
    return "/".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part).lower() for part in parts)
