"""The machines of a run: which of them runs the application, the services and the load generators. No I/O."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench_action.model.errors import InputError

Role = Literal["app", "services", "load"]
ROLES: tuple[Role, ...] = ("app", "services", "load")
DEFAULT_SOCKET = "/var/run/docker.sock"
# an overlay network's headers take 50 bytes of the 1500 of most networks
DEFAULT_MTU, _LEAST_MTU, _MOST_MTU = 1450, 576, 9000
# no part may begin with a hyphen, which would be an option of ssh
_SSH = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][\w.+-]*)@)?"
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<socket>/[\w./-]+)?"
)
_UNIX = re.compile(r"unix://(?P<socket>/[\w./-]+)")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine's Docker engine: `socket` there, reached by SSH, or on this machine if `name` is empty."""

    url: str
    name: str = ""
    user: str = ""
    port: int = 0
    socket: str = DEFAULT_SOCKET

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse `ssh://user@host:port` or `unix:///path`, both with the path of a socket. Raises ValueError."""
        if found := _UNIX.fullmatch(url):
            return cls(url, socket=found["socket"])
        if (found := _SSH.fullmatch(url)) and int(found["port"] or 22) in range(1, 65536):
            name = found["name"].strip("[]")
            socket = (found["socket"] or "").rstrip("/") or DEFAULT_SOCKET
            return cls(url, name, found["user"] or "", int(found["port"] or 0), socket)
        raise ValueError(f"expected an address such as ssh://bench@10.0.0.7, or unix://{DEFAULT_SOCKET}, not {url!r}")

    @property
    def destination(self) -> str:
        """How ssh and a person write it, without the port."""
        return f"{self.user}@{self.name}" if self.user else self.name


def _check_url(value: str) -> str:
    Host.parse(value)
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Url = Annotated[str, AfterValidator(_check_url)]


class Hosts(BaseModel):
    """The machines of a run, each with its own Docker engine. Those of one run must be in one Swarm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    app: Url = Field(description="the engine that runs the variants, such as `ssh://bench@10.0.0.7`")
    services: Url | None = Field(None, description="that runs the services; left out: the variants' engine")
    load: Annotated[list[Url], BeforeValidator(_as_list, json_schema_input_type=Url | list[Url])] = Field(
        [], description="those that run wrk, each a part of the connections; left out: the services' engine"
    )
    mtu: int = Field(
        DEFAULT_MTU,
        ge=_LEAST_MTU,
        le=_MOST_MTU,
        description="the largest packet of the run's networks, in bytes: 50 less than of that between the hosts",
    )

    @property
    def by_role(self) -> dict[Role, tuple[Host, ...]]:
        """The hosts of each role, without repetitions; of `load` there may be several."""
        app = Host.parse(self.app)
        services = Host.parse(self.services) if self.services else app
        load = tuple(Host.parse(url) for url in dict.fromkeys(self.load)) or (services,)
        return {"app": (app,), "services": (services,), "load": load}

    @property
    def all(self) -> tuple[Host, ...]:
        """Every host, once."""
        return tuple(dict.fromkeys(host for hosts in self.by_role.values() for host in hosts))

    @property
    def texts(self) -> list[str]:
        """The hosts as `read` takes them."""
        services = [f"services={self.services}"] if self.services else []
        mtu = [f"mtu={self.mtu}"] if self.mtu != DEFAULT_MTU else []
        return [f"app={self.app}", *services, *(f"load={url}" for url in self.load), *mtu]

    @staticmethod
    def read(texts: Sequence[str]) -> "Hosts":
        """Read `ROLE=URL` (`load` may occur several times) and `mtu=BYTES` of options and inputs. Raises InputError."""
        values: dict[str, Any] = {}
        for text in texts:
            role, _, url = text.partition("=")
            if role == "load":
                values.setdefault(role, []).append(url.strip())
            elif role in values:
                raise InputError(f"the host of {role} is given twice", advice="only `load` may have several hosts")
            else:
                values[role.strip()] = url.strip()
        return _validate(values)


def _validate(values: Mapping[str, Any]) -> Hosts:
    try:
        return Hosts.model_validate(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)]
        raise InputError(
            "the hosts are not valid",
            cause="; ".join(faults),
            advice="write app=ssh://USER@HOST, and services=… and load=… for the other machines",
        ) from error


@dataclass(frozen=True, slots=True)
class SshFiles:
    """Files that ssh reads in addition to its own: a private key, and the keys of hosts that are known."""

    key: str = ""
    known_hosts: str = ""
