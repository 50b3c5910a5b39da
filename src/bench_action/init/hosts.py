"""Find the headers without which an application refuses a request: the host name that it allows, and HTTPS in front."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from bench_action.init.application import Application
from bench_action.init.routes.syntax import get_name, get_text, parse_python, walk
from bench_action.init.sources import Sources

LOCAL = "localhost"  # what development settings of Django and Rails allow
_MODULE = "DJANGO_SETTINGS_MODULE"
_SET = re.compile(rf"""{_MODULE}["']?\s*[,=]\s*["']([\w.]+)["']""")
_HOSTS = re.compile(r"(?:\w+_)?ALLOWED_HOSTS")
_MOST_SETTINGS = 10  # files
_OPEN = re.compile(r"config\.hosts\s*(?:\.clear|=\s*(?:nil|\[\s*\]))|HostAuthorization")
_ADDED = re.compile(r"""config\.hosts\s*(?:<<|\+?=)\s*\[?\s*["']([\w.-]+)["']""")
_FORCED = re.compile(r"^[ \t]*config\.force_ssl\s*=\s*true", re.MULTILINE)
_ASSUMED = re.compile(r"^[ \t]*config\.assume_ssl\s*=\s*true", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Headers:
    """What requests need. `host`: a host name; empty if any will do. `others`: further headers. `note`: why."""

    host: str = ""
    others: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def all(self) -> dict[str, str]:
        """All headers, as a profile sends them."""
        return {**({"Host": self.host} if self.host else {}), **self.others}


def find_headers(framework: str, application: Application, variables: Mapping[str, str]) -> Headers:
    """Find the headers that requests need. `variables`: those that the application will have."""
    if framework == "Django":
        return _find_django(application, variables)
    if framework == "Rails":
        return _find_rails(application.sources, variables.get("RAILS_ENV") or application.env.get("RAILS_ENV", ""))
    for file in application.sources.find("config/*.exs"):  # Phoenix
        if re.search(r"^[ \t]*force_ssl:\s*(?!false)|:force_ssl\b", application.sources.read(file), re.MULTILINE):
            return Headers(others={"X-Forwarded-Proto": "https"}, note=f"{file} redirects to HTTPS otherwise")
    return Headers()


def _find_django(application: Application, variables: Mapping[str, str]) -> Headers:
    sources = application.sources
    file = _find_settings(sources, variables.get(_MODULE) or application.env.get(_MODULE, ""))
    found, text = (_read_settings(sources, file, set()), sources.read(file)) if file else ({}, "")
    host, note = "", ""
    given = next((name for name in variables if _HOSTS.fullmatch(name) and re.search(rf"""["']{name}["']""", text)), "")
    hosts = _split(variables[given]) if given else None
    if hosts is None and "ALLOWED_HOSTS" in found:
        hosts = _list_hosts(found["ALLOWED_HOSTS"], variables)
    if hosts and "*" not in hosts:
        host = next((name for name in (LOCAL, *hosts) if name in hosts and not name.startswith(".")), "")
        host = host or next((name.lstrip(".") for name in hosts), LOCAL)
        note = f"{given or file} accepts only certain host names"
    others = {}
    redirect, proxy = found.get("SECURE_SSL_REDIRECT"), found.get("SECURE_PROXY_SSL_HEADER")
    if redirect is not None and proxy is not None and _is_true(redirect, variables):
        others["X-Forwarded-Proto"] = "https"
        note = " and ".join(filter(None, [note, f"{file} redirects to HTTPS otherwise"]))
    return Headers(host, others, note)


def _find_settings(sources: Sources, module: str) -> str:
    """Find the file of a project's settings: those named, those of `manage.py`, or the ones nearest to the top."""
    names = [module, *(match[1] for name in sources.find("manage.py") for match in _SET.finditer(sources.read(name)))]
    for name in filter(None, names):
        path = name.replace(".", "/")
        for file in sources.find(f"{path}.py", f"*/{path}.py", f"{path}/__init__.py", f"*/{path}/__init__.py"):
            return file
    return next(
        (file for file in sources.find("settings.py", "*/settings/*.py") if "ALLOWED_HOSTS" in sources.read(file)), ""
    )


def _read_settings(sources: Sources, file: str, seen: set[str]) -> dict[str, ast.expr]:
    """Read what a file of settings assigns; also what it imports with a star from files next to it."""
    found: dict[str, ast.expr] = {}
    seen.add(file)
    for node in parse_python(sources.read(file)).body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            last = (node.module or "").rpartition(".")[2]
            place = PurePosixPath(file).parent
            for other in (f"{place / last}.py", f"{place / last}/__init__.py", f"{place.parent / last}.py"):
                if other in sources.names and other not in seen and len(seen) < _MOST_SETTINGS:
                    found |= _read_settings(sources, other, seen)
                    break
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {get_name(target): node.value for target in targets}
    return found


def _list_hosts(value: ast.expr, variables: Mapping[str, str]) -> list[str] | None:
    """List the host names that an expression allows; None if that is not known.

    It may be a list, or read a variable, of which a second text is the default.
    """
    if isinstance(value, ast.List | ast.Tuple):
        texts = [get_text(item) for item in value.elts]
        if None not in texts:
            return [text for text in texts if text is not None] or [LOCAL]  # with none, Django allows it for developers
    constants = [text for node in walk(value) if (text := get_text(node)) is not None]
    name = next((text for text in constants if re.fullmatch(r"[A-Z][A-Z0-9_]+", text)), "")
    if not name:
        return None
    if name in variables:
        return _split(variables[name])
    hosts = [host for text in constants if text not in {name, ",", " "} for host in _split(text)]
    return hosts or None


def _split(text: str) -> list[str]:
    return [host.strip("\"'[]") for host in re.split(r"[,\s]+", text) if host.strip("\"'[]")]


def _is_true(value: ast.expr, variables: Mapping[str, str]) -> bool:
    """Whether an expression is true: a constant, or a variable that is set, or has a default that is."""
    if isinstance(value, ast.Constant):
        return value.value is True
    constants = list(_list_constants(value))
    name = next((text for text in constants if isinstance(text, str) and re.fullmatch(r"[A-Z][A-Z0-9_]+", text)), "")
    if name in variables:
        return str(variables[name]).lower() in {"1", "true", "yes", "on"}
    return True in [each for each in constants if isinstance(each, bool)]


def _list_constants(value: ast.expr) -> Iterator[object]:
    yield from (node.value for node in walk(value) if isinstance(node, ast.Constant))


def _find_rails(sources: Sources, environment: str) -> Headers:
    """Find what Rails needs: in development it allows `localhost` only, and in production it may want HTTPS."""
    environment = environment or "development"
    own = "\n".join(sources.read(name) for name in sources.find(f"config/environments/{environment}.rb"))
    text = own + "\n".join(sources.read(name) for name in sources.find("config/application.rb"))
    added = _ADDED.findall(text)
    host, note = "", ""
    if not _OPEN.search(text) and (environment == "development" or added):
        host = LOCAL if environment == "development" else added[0].lstrip(".")
        note = f"Rails accepts only certain host names in {environment}"
    others = {}
    if _FORCED.search(own) and not _ASSUMED.search(own):
        others["X-Forwarded-Proto"] = "https"
        note = " and ".join(filter(None, [note, f"config/environments/{environment}.rb redirects to HTTPS otherwise"]))
    return Headers(host, others, note)
