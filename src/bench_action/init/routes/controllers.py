"""Find out which actions Rails controllers have, and which of them require authentication, by their callbacks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from bench_action.init.sources import Sources

_CLASS = re.compile(r"^[ \t]*class\s+([\w:]+)\s*<\s*([\w:]+)", re.MULTILINE)
_NAMES = r"(:\w+[!?]?(?:\s*,\s*:\w+[!?]?)*)([^\n]*)"
_CALLBACK = re.compile(rf"^[ \t]*(?:prepend_)?before_action\s*\(?\s*{_NAMES}", re.MULTILINE)
_SKIPPED = re.compile(rf"^[ \t]*skip_before_action\s*\(?\s*{_NAMES}", re.MULTILINE)
_INCLUDED = re.compile(r"^[ \t]*include[ \t]+([A-Z][\w:]*(?:\s*,\s*[A-Z][\w:]*)*)", re.MULTILINE)
_BASIC = re.compile(r"^[ \t]*http_basic_authenticate_with\b([^\n]*)", re.MULTILINE)
# a class method of a concern: `def allow_unauthenticated_access(**options)`, then what it skips
_SKIPPING = re.compile(
    r"^[ \t]*def\s+(?:self\.)?(\w+)[^\n]*\n[ \t]*skip_before_action\s*\(?\s*:(\w+)[^\n]*", re.MULTILINE
)
_METHOD = re.compile(r"^([ \t]*)def\s+(\w+)[!?]?[^\n]*\n(.{0,3000}?)^\1end\b", re.MULTILINE | re.DOTALL)
_REFUSES = re.compile(
    r"redirect|render|head\b|raise|throw|request_|unauthori|forbid|deny|warden|authenticate_or|sign_in|!\s*$|super"
)
_GUARD = re.compile(
    r"authenti\w*|require_logged\w*|require_(?:login|user|admin|sign\w*|account|session|auth\w*)|login_required|logged_in_\w+|"
    r"ensure_(?:logged|signed|auth)\w*|doorkeeper_authorize|signed_in_user|check_(?:login|auth\w*)|"
    r"authorize_(?:user|request|admin)"
)
_RAILS_GUARD = "require_authentication"  # of the concern Authentication that Rails generates
_RAILS_SKIP = "allow_unauthenticated_access"
_LIMIT = r"\b{}:\s*(?:%i\[([^\]]*)\]|\[([^\]]*)\]|:(\w+))"
_DEEPEST = 6


@dataclass(slots=True)
class _Guards:
    """What a controller and those above it declare: callback → the actions it is limited to (none: all), and left out.

    `skips`: class methods that skip a callback.
    """

    callbacks: dict[str, tuple[set[str], set[str]]] = field(default_factory=dict)
    skips: dict[str, str] = field(default_factory=lambda: {_RAILS_SKIP: _RAILS_GUARD})

    def copy(self) -> "_Guards":
        return _Guards(dict(self.callbacks), dict(self.skips))

    def read(self, text: str) -> None:
        """Read what one class or concern declares."""
        self.skips |= {match[1]: match[2] for match in _SKIPPING.finditer(text)}
        text = _SKIPPING.sub("", text)
        for found in _BASIC.finditer(text):
            self.callbacks["http_basic"] = (_list_actions(found[1], "only"), _list_actions(found[1], "except"))
        for found in _CALLBACK.finditer(text):
            for name in re.findall(r":(\w+)", found[1]):
                if _GUARD.match(name):
                    self.callbacks[name] = (_list_actions(found[2], "only"), _list_actions(found[2], "except"))
        for found in _METHOD.finditer(text):  # one that refuses nobody only remembers who calls
            if found[2] in self.callbacks and not _REFUSES.search(found[3]):
                del self.callbacks[found[2]]
        self._read_skips(text)

    def _read_skips(self, text: str) -> None:
        for found in _SKIPPED.finditer(text):
            for name in re.findall(r":(\w+)", found[1]):
                self.skip(name, found[2])
        for found in re.finditer(r"^[ \t]*(\w+)\b([^\n]*)", text, re.MULTILINE):
            if found[1] in self.skips:
                self.skip(self.skips[found[1]], found[2])

    def skip(self, name: str, options: str) -> None:
        """Take some actions, or all but some, away from a callback; without options, the callback itself."""
        if name not in self.callbacks:
            return
        skipped, kept = _list_actions(options, "only"), _list_actions(options, "except")
        only, left_out = self.callbacks[name]
        if skipped:
            self.callbacks[name] = (only, left_out | skipped)
        elif kept:
            self.callbacks[name] = ((only & kept) if only else kept, left_out)
        else:
            del self.callbacks[name]


@dataclass
class Controllers:
    """The controllers of an application, by the path of their file: `api/items` is `Api::ItemsController`."""

    sources: Sources
    _guards: dict[str, _Guards] = field(default_factory=dict)

    @cached_property
    def _files(self) -> dict[str, str]:
        """Controllers, concerns and views: path below `app/`, without its endings → file nearest to the top."""
        found: dict[str, str] = {}
        for name in self.sources.names:
            _, app, path = f"/{name}".rpartition("/app/")
            if app and path.startswith(("controllers/", "views/")):
                found.setdefault(path.partition(".")[0], name)
        return found

    def is_guarded(self, controller: str, action: str) -> bool:
        """Whether an action requires authentication."""
        return any(
            (not only or action in only) and action not in left_out
            for only, left_out in self._find_guards(controller, 0).callbacks.values()
        )

    def has_action(self, controller: str, action: str) -> bool:
        """Whether a controller has an action or a view for it; true if the controller is not known, as a library's."""
        if f"views/{controller}/{action}" in self._files:
            return True
        for depth in range(_DEEPEST):
            text = self._read(controller)
            if not text:
                return depth == 0
            if re.search(rf"^[ \t]*def\s+{re.escape(action)}\b", text, re.MULTILINE):
                return True
            above = _find_parent(text)
            if not above:
                return re.search(r"<\s*(?:::)?(?:ActionController|Application)", text) is None
            controller = above
        return True

    def _find_guards(self, controller: str, depth: int) -> _Guards:
        if controller in self._guards:
            return self._guards[controller]
        text = self._read(controller)
        above = _find_parent(text)
        guards = self._find_guards(above, depth + 1).copy() if above and depth < _DEEPEST else _Guards()
        for module in _list_included(text):
            concern = self._files.get(f"controllers/concerns/{_name_path(module)}")
            if concern is not None:
                guards.read(self.sources.read(concern))
            elif module == "Authentication":
                guards.callbacks[_RAILS_GUARD] = (set(), set())
        guards.read(text)
        self._guards[controller] = guards
        return guards

    def _read(self, controller: str) -> str:
        file = self._files.get(f"controllers/{controller}_controller")
        return self.sources.read(file) if file is not None else ""


def _find_parent(text: str) -> str:
    """Find the controller that a class inherits from; empty if it is a library's."""
    match = _CLASS.search(text)
    name = match[2].removeprefix("::") if match is not None else ""
    if not name.endswith("Controller") or name.startswith(("ActionController", "Devise", "Doorkeeper")):
        return ""
    return _name_path(name.removesuffix("Controller"))


def _list_included(text: str) -> Iterator[str]:
    for match in _INCLUDED.finditer(text):
        yield from re.split(r"\s*,\s*", match[1])


def _list_actions(options: str, name: str) -> set[str]:
    match = re.search(_LIMIT.format(name), options)
    return set(re.findall(r"\w+", next(filter(None, match.groups()), ""))) if match else set()


def _name_path(name: str) -> str:
    """Name the file of a class or module: `Api::UserItems` is `api/user_items`."""
    return "/".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part).lower() for part in name.split("::"))
