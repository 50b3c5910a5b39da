"""Run `docker compose config`, or the classic `docker-compose config`, with an environment that holds no secrets."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench_action.model.errors import InputError

_PATIENCE_S = 60
_NEEDED = ("PATH", "HOME", "DOCKER_CONFIG", "SYSTEMROOT")  # to find the program and its plugin
# neither may be fetched from elsewhere, as nobody has reviewed what is there
_NO_REMOTES = {"COMPOSE_EXPERIMENTAL_GIT_REMOTE": "0", "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "0"}
_LOGGED = re.compile(r'level=(\w+) msg="((?:[^"\\]|\\.)*)"')
_MISSING_ENV_FILE = re.compile(r"(?:env file (.+?) not found|Couldn't find env file: (.+))", re.IGNORECASE)
_SAMPLE = re.compile(r"example|sample|dist|template|default")
# what prints no such version is read like the classic one: both print YAML unless JSON is requested
_NEW = re.compile(r"\s*(docker compose version )?v?([2-9]|\d{2,})\.", re.IGNORECASE)
# what compose quotes of a file's lines, which may be values of an environment file
_CONTENT = (
    (re.compile(r"unexpected character .*? in variable name\b.*"), "unexpected character in the name of a variable"),
    (re.compile(r"(?i)(unterminated quoted value|invalid template:|invalid interpolation format|near) .*"), r"\1 …"),
    (re.compile(r"(cannot unmarshal \S+) `.*`"), r"\1 …"),
)
# the whole value follows it, on the next lines; another line may say what is missing
_INTERPOLATION, _REQUIRED = "invalid interpolation format", "required variable"
_OBSOLETE = "attribute `version` is obsolete"
_INSTALL = (
    "install compose (Debian: `apt-get install docker-compose`; Ubuntu: `docker-compose-v2`; Docker's own packages: "
    "`docker-compose-plugin`; macOS and Windows: Docker Desktop has it), or describe the service in bench.yml itself"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What compose printed: the whole configuration, and its warnings."""

    data: Mapping[str, Any]
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ComposeCommand:
    """A compose that runs here. `folder`: the project's. `variables`: what files may use in addition to `.env`."""

    argv: Sequence[str]
    classic: bool
    folder: Path
    environ: Mapping[str, str]
    variables: Mapping[str, str]

    def read(self, files: Sequence[Path], profiles: Sequence[str] = ()) -> Answer:
        """Read files into one configuration. Raises InputError with the message with which compose refuses them."""
        arguments = [part for file in files for part in ("--file", str(file))]
        arguments += ["--project-directory", str(self.folder)]
        done = self._run([*arguments, "config"], {"COMPOSE_PROFILES": ",".join(profiles)} if profiles else {})
        warnings, errors = _split_log(done.stderr)
        if done.returncode:
            names = ", ".join(file.name for file in files)
            message = "; ".join(errors) or f"exit status {done.returncode}, without a message"
            raise InputError(
                f"{' '.join(self.argv)} refuses {names}: {message}", where=f"{files[0]}", advice=self._advise(message)
            )
        data = self._parse(done.stdout)
        # the classic one does not mark its warnings
        return Answer(self._drop_inactive(data, profiles) if self.classic else data, [*warnings, *errors])

    def _drop_inactive(self, data: Mapping[str, Any], profiles: Sequence[str]) -> Mapping[str, Any]:
        """Drop services of other profiles, which the classic compose prints as well."""
        active = {*profiles} or {*self.interpolate(["${COMPOSE_PROFILES:-}"])[0].split(",")}
        services = {
            name: service
            for name, service in (data.get("services") or {}).items()
            if not service.get("profiles") or active & {*service["profiles"]}
        }
        return {**data, "services": services}

    def interpolate(self, texts: Sequence[str]) -> list[str]:
        """Fill in variables in texts, as compose does in its files. Raises InputError for a text that it refuses."""
        labels = {f"text{number}": text for number, text in enumerate(texts)}
        probe = {"version": "3.4", "services": {"probe": {"image": "scratch", "labels": labels}}}
        directory = ["--file", "-", "--project-directory", str(self.folder)]
        done = self._run([*directory, "config"], {}, json.dumps(probe))
        if done.returncode:
            cause = "; ".join(_split_log(done.stderr)[1])
            raise InputError(f"could not fill in the variables of {self.folder.name}'s compose file", cause=cause)
        found = self._parse(done.stdout)["services"]["probe"]["labels"]
        return [str(found[name]).replace("$$", "$") for name in labels]

    def _advise(self, message: str) -> str:
        found = _MISSING_ENV_FILE.search(message)
        if found is None:
            return f"fix it: `{' '.join(self.argv)} config` shows the same error"
        missing = Path((found[1] or found[2]).strip())
        folder = missing if missing.is_absolute() else self.folder / missing
        samples = [file.name for file in sorted(folder.parent.glob(".env*")) if _SAMPLE.search(file.name)]
        copy = f"`cp {samples[0]} {missing.name}`" if samples else f"write {missing.name} with values for tests"
        return f"{copy} in a step before this one; the base revision then gets the same file"

    def _run(
        self, arguments: Sequence[str], more: Mapping[str, str], text: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        command = [*self.argv, *arguments, *([] if self.classic else ["--format", "json"])]
        own = {name: self.environ[name] for name in _NEEDED if name in self.environ}
        environ = {**self.variables, **own, **_NO_REMOTES, "PWD": str(self.folder), **more}
        try:
            return subprocess.run(
                command,
                cwd=self.folder,
                env=environ,
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"could not run {' '.join(self.argv)}: {error}", advice=_INSTALL) from error

    def _parse(self, text: str) -> Mapping[str, Any]:
        try:
            data = yaml.safe_load(text) if self.classic else json.loads(text)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            raise InputError(f"could not read what {' '.join(self.argv)} prints: {error}", advice=_INSTALL) from error
        return data if isinstance(data, dict) else {}


def find_compose(folder: Path, environ: Mapping[str, str], variables: Mapping[str, str]) -> ComposeCommand:
    """Find the compose to use: docker's plugin, else `docker-compose`. Raises InputError if neither is installed."""
    own = {name: environ[name] for name in _NEEDED if name in environ}
    for argv in (("docker", "compose"), ("docker-compose",)):
        try:
            done = subprocess.run(
                [*argv, "version", "--short"],
                env=own,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=_PATIENCE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return ComposeCommand(argv, _NEW.match(done.stdout) is None, folder, environ, variables)
    raise InputError(
        "could not read the compose file: neither `docker compose` nor `docker-compose` is installed", advice=_INSTALL
    )


def _split_log(text: str) -> tuple[list[str], list[str]]:
    """Split what compose prints into warnings and everything else, without what it quotes of a file's lines."""
    warnings, others = [], []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        logged = _LOGGED.search(line)
        if logged is not None and logged[1] == "warning":
            warnings.append(logged[2].replace('\\"', '"'))
        else:
            others.append(_hide_content(logged[2].replace('\\"', '"') if logged is not None else line))
    hidden = next((number for number, line in enumerate(others) if _INTERPOLATION in line.lower()), len(others))
    others = [line for number, line in enumerate(others) if number <= hidden or _REQUIRED in line]
    return list(dict.fromkeys(warning for warning in warnings if _OBSOLETE not in warning)), others


def _hide_content(line: str) -> str:
    """Leave out what a message quotes of a file."""
    for content, shown in _CONTENT:
        line = content.sub(shown, line)
    return line
