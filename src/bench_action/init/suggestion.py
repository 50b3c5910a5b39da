"""Suggest a Dockerfile for an application that has none."""

import re
from pathlib import PurePosixPath

from bench_action.init.frameworks import Framework
from bench_action.init.sources import Sources, is_test
from bench_action.init.versions import set_versions

_PACKAGE = re.compile(r"^\[package\][^\[]{0,2000}?^name\s{0,9}=\s{0,9}[\"']([\w-]{1,80})[\"']", re.MULTILINE)


def suggest_dockerfile(framework: Framework, sources: Sources) -> str:
    """Suggest the beginning of one, with the names and versions that are in the sources."""
    text = framework.dockerfile
    if framework.name == "Django" and (package := _find_package(sources)):
        text = text.replace("PROJECT", package)
    elif framework.name == "ASP.NET Core" and (project := _find_web_project(sources)):
        text = text.replace("publish PROJECT", f"publish {project}").replace("PROJECT", PurePosixPath(project).stem)
    elif framework.name == "Rust" and (match := _PACKAGE.search(sources.read("Cargo.toml"))):
        text = text.replace("PROJECT", match[1])
    return set_versions(text, sources)


def _find_package(sources: Sources) -> str:
    """Find the package with `wsgi.py`, as Python names it from the top; empty without one, or without `manage.py`."""
    packages = [PurePosixPath(name).parent.parts for name in sources.find("wsgi.py") if not is_test(name)]
    named = [parts for parts in packages if parts and all(part.isidentifier() for part in parts)]
    return ".".join(named[0]) if named and "manage.py" in sources.names else ""


def _find_web_project(sources: Sources) -> str:
    """Find the project that is a web application; empty without one."""
    found = (name for name in sources.find("*.csproj", "*.fsproj") if not is_test(name) and " " not in name)
    return next((name for name in found if "Microsoft.NET.Sdk.Web" in sources.read(name)), "")
