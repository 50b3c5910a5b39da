"""Which variables of this machine a configuration may read: those that the user or the workflow allowed by name.

A pull request writes the configuration, so its `secrets:` and `compose: {env: [NAME]}` only ask. Variables with which
the runner, git, Docker or a cloud's programs log in cannot be allowed at all, and no configuration sets a variable that
the programs obey that we start.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from bench_action.model.errors import InputError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# of runners (GitHub, GitLab, Azure), git, Docker, proxies, and of clouds and the programs that log in there
_LOGINS = re.compile(
    r"(?:ACTIONS|GITHUB|GH|RUNNER|INPUT|STATE|CI|GITLAB|BENCH_ACTION|GIT|SSH|DOCKER|BUILDX|BUILDKIT"
    r"|AWS|AZURE|ARM|GOOGLE|GCLOUD|GCP|CLOUDSDK|ALICLOUD|ALIBABA_CLOUD|OCI|HCLOUD|DIGITALOCEAN|KUBERNETES|VAULT)_.*"
    r"|SYSTEM_ACCESSTOKEN|(?:MSI|IDENTITY)_(?:ENDPOINT|HEADER|SECRET)|TF_TOKEN_.*|KUBECONFIG|(?:HTTPS?|FTP|ALL)_PROXY",
    re.IGNORECASE,
)
# of the dynamic linker, the C library, shells, Python, Go, Docker and compose: they name code, or files to read
_PROGRAMS = re.compile(
    r"(?:LD|DYLD|GLIBC|MALLOC|BASH|BUILDX|BUILDKIT|OTEL)_.*|PYTHON(?!_).*|GODEBUG|GCONV_PATH|LOCPATH|NLSPATH|HOSTALIASES"
    r"|DOCKER_(?:CONFIG|CONTEXT|HOST|API_VERSION|CERT_PATH|CUSTOM_HEADERS|AUTH_CONFIG|TLS.*|CLI_.*|CONTENT_TRUST.*)"
    r"|COMPOSE_(?!PROJECT_NAME$|PROFILES$).*|SSL_CERT_(?:FILE|DIR)|PATH|HOME|PWD|TMPDIR|IFS|SHELLOPTS|PS4",
    re.IGNORECASE,
)
_RENAME = "give the value another name where it is set, such as TEST_KEY, and use `${TEST_KEY}`"


def check_readable(name: str) -> str:
    """Return the name of a variable that a configuration may ask for. Raises ValueError for one that it may not."""
    if not _NAME.fullmatch(name):
        raise ValueError("expected the name of a variable, such as TEST_KEY")  # unquoted, as it may be half of a secret
    if _LOGINS.fullmatch(name) or _PROGRAMS.fullmatch(name):
        raise ValueError(f"no configuration may read {name}, which the runner or its programs use; {_RENAME}")
    return name


def check_settable(name: str) -> str:
    """Return the name of a variable that a configuration may set for compose. Raises ValueError for one of programs."""
    if _PROGRAMS.fullmatch(name):
        raise ValueError(f"no configuration may set {name}, which programs obey; choose another name")
    return name


@dataclass(frozen=True, slots=True)
class Secrets:
    """The variables that a configuration may read: name → value, None if it is not set here."""

    allowed: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    @classmethod
    def allow(cls, names: Iterable[str], environ: Mapping[str, str]) -> Self:
        """Allow variables by name, with their values in `environ`. Raises InputError for one that nobody may read."""
        try:
            return cls({check_readable(name): environ.get(name) for name in names})
        except ValueError as error:
            raise InputError(
                f"could not allow a secret: {error}",
                advice="list names, or `NAME=value` on one line; a value of several lines belongs under `env:`",
            ) from error

    @property
    def values(self) -> dict[str, str]:
        """The allowed variables that are set."""
        return {name: value for name, value in self.allowed.items() if value is not None}

    def require(self, names: Iterable[str]) -> None:
        """Raise InputError if one of these is not allowed."""
        if refused := [name for name in names if name not in self.allowed]:
            listed = ",".join(refused)
            raise InputError(
                f"the configuration asks for secrets that are not allowed: {listed}",
                cause="a pull request may change the configuration, so it only asks for secrets",
                advice=f"allow them: `--secrets {listed}`; in a workflow, `secrets: {listed}` under `with:`, and the "
                "values under `env:`",
            )


NONE_ALLOWED: Final = Secrets()
