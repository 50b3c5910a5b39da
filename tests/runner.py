"""How a GitHub Actions runner reads what a step prints (actions/runner, ActionCommand and ActionCommandManager)."""

from dataclasses import dataclass, field

_KNOWN = frozenset(
    {
        "add-mask",
        "add-matcher",
        "add-path",
        "debug",
        "echo",
        "endgroup",
        "error",
        "group",
        "notice",
        "remove-matcher",
        "save-state",
        "set-env",
        "set-output",
        "warning",
        "internal-set-repo-path",
    }
)


@dataclass
class RunnerLog:
    """One step: feed it lines in the order in which the runner reads them. `obeyed`: each command as it was printed."""

    obeyed: list[str] = field(default_factory=list)
    stopped: str = ""

    def read(self, text: str) -> "RunnerLog":
        """Read what was printed, from whichever stream."""
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            name, value = self._command(line)
            if not name:
                continue
            if self.stopped:
                if name.lower() == self.stopped.lower():
                    self.stopped = ""
            elif name == "stop-commands":
                self.stopped = value
            else:
                self.obeyed.append(line)
        return self

    def _command(self, line: str) -> tuple[str, str]:
        """`::name properties::value` at the start of a line, else `##[name properties]value` anywhere in it."""
        start = line.lstrip()
        if start.startswith("::") and "::" in start[2:]:
            head, _, value = start[2:].partition("::")
            if self._is_known(name := head.split(" ")[0]):
                return name, value
        _, found, rest = line.partition("##[")
        head, closed, value = rest.partition("]")
        if found and closed and self._is_known(name := head.split(" ")[0]):
            return name, value
        return "", ""

    def _is_known(self, name: str) -> bool:
        return name.lower() in _KNOWN | {"stop-commands", self.stopped.lower()} - {""}
