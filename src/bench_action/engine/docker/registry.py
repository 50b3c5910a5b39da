"""Pulling images, and explaining why a registry or a platform does not let us use one."""

import re

import docker
from docker.errors import APIError

from bench_action.engine.docker.client import translate_errors
from bench_action.model.errors import StackError

# how engines 20.10 to 29, BuildKit and registries word it, by likely reason; the first that matches counts
_NO_PLATFORM = re.compile(
    r"no matching manifest|no match for platform|does not match the specified platform", re.IGNORECASE
)
_RATE_LIMIT = re.compile(r"toomanyrequests|too many requests|rate limit", re.IGNORECASE)
_NO_ACCESS = re.compile(
    r"unauthorized|no basic auth credentials|access denied|requires? authorization|may require|forbidden|"
    r"\bdenied\b|insufficient_scope|incorrect username or password|\b40[13]\b",
    re.IGNORECASE,
)
_UNREACHABLE = re.compile(
    r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|x509|HTTP response to HTTPS|"
    r"request canceled while waiting|Client\.Timeout|proxyconnect|network is unreachable",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(r"manifest unknown|not found|name unknown", re.IGNORECASE)
_LOG_IN = (
    "if the image is private, log in: on this machine with `docker login`; in the action with its input `registries`, "
    "as the login of an earlier step does not reach its container (README, Private registries)"
)
_SYSTEMS = {"linux", "windows", "darwin", "freebsd"}
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}
# processors whose programs another one runs natively
_NATIVE = {"amd64": {"amd64", "386"}, "arm64": {"arm64", "arm"}}


def pull(client: docker.DockerClient, name: str) -> None:
    """Pull an image, with the credentials of Docker's configuration. Raises StackError if the registry refuses."""
    problem = f"could not pull image {name}"
    with translate_errors(problem):
        repository, tag = _split_name(name)
        try:
            for event in client.api.pull(repository, tag=tag, stream=True, decode=True):
                if "error" in event:
                    raise _make_pull_error(client, problem, str(event["error"]))
        except APIError as error:
            raise _make_pull_error(client, problem, str(error.explanation or error)) from error


def require_platform(client: docker.DockerClient, name: str, called: str = "") -> str:
    """Return the id of an image that the engine has. Raises StackError if its programs would not run there.

    `called`: its name in messages.
    """
    with translate_errors(f"could not inspect image {name}"):
        image = client.images.get(name)
        found = f"{image.attrs.get('Os') or 'linux'}/{image.attrs.get('Architecture') or ''}"
        engine = _read_platform(client)
    if not _runs(found, engine):
        raise StackError(
            f"image {called or name} is for {found}, and this Docker engine runs {engine}",
            cause="its programs would fail (`exec format error`), or be emulated, which says nothing about their speed",
            advice=advise_on_platform(engine),
        )
    return str(image.id)


def check_requested_platform(client: docker.DockerClient, platform: str, what: str) -> None:
    """Raise StackError if `platform`, such as `linux/arm64`, is not one that this engine runs. '' is any."""
    if not platform:
        return
    with translate_errors("could not find out which platform the Docker engine runs"):
        engine = _read_platform(client)
    if not _runs(platform, engine):
        raise StackError(
            f"{what} has `platform: {platform}`, and this Docker engine runs {engine}",
            cause="it would not start there, or be emulated, which says nothing about its speed",
            advice=f"remove `platform`, or run on a {platform} machine (GitHub's for arm64 is `ubuntu-24.04-arm`)",
        )


def advise_on_refusal(text: str, engine: str = "") -> str:
    """Advise on what an engine, a builder or a registry reported; empty if it is none of the known refusals."""
    if _NO_PLATFORM.search(text):
        return advise_on_platform(engine)
    if _RATE_LIMIT.search(text):
        return f"the registry limits anonymous pulls: wait, or {_LOG_IN.partition(': ')[2]}"
    if _UNREACHABLE.search(text):
        return (
            "check the registry's address, and that the Docker engine reaches it (network, proxy, certificate); or get "
            "the image in an earlier step with `docker pull` or `docker load`"
        )
    if _NO_ACCESS.search(text):
        return f"check the image's name; {_LOG_IN}"
    if _UNKNOWN.search(text):
        return "check the image's name and tag; `docker pull` shows the same error"
    return ""


def _make_pull_error(client: docker.DockerClient, problem: str, cause: str) -> StackError:
    advice = advise_on_refusal(cause, _read_platform(client))
    return StackError(problem, cause=cause, advice=advice or "`docker pull` shows the same error")


def _split_name(name: str) -> tuple[str, str]:
    """Split an image's name into its repository and its tag or digest, `latest` by default."""
    repository, _, tag = name.partition("@") if "@" in name else name.rpartition(":")
    if "/" in tag or not repository:  # without a tag, or the colon belongs to a registry's port
        return name, "latest"
    return repository, tag


def _read_platform(client: docker.DockerClient) -> str:
    version = client.version()
    return f"{version['Os']}/{version['Arch']}"


def _runs(platform: str, engine: str) -> bool:
    """Return whether an engine runs programs of a platform natively; one that names no processor is assumed to."""
    own_system, _, own = engine.partition("/")
    system, _, processor = platform.partition("/")
    if "/" not in platform and system not in _SYSTEMS:
        system, processor = own_system, platform
    processor = processor.partition("/")[0]  # without a variant such as v8
    processor = _ALIASES.get(processor, processor)
    return system == own_system and (not processor or processor in _NATIVE.get(own, {own}))


def advise_on_platform(engine: str = "") -> str:
    """Advise on an image that is not for the engine's platform."""
    wanted = engine or "this Docker engine's platform"
    return (
        f"name an image that exists for {wanted}, or run on a machine of the image's platform (GitHub's "
        "for arm64 is `ubuntu-24.04-arm`)"
    )
