"""A route of an application, and the form in which all frameworks' paths are written."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PARAMETERS = (
    (re.compile(r"<(?:[^<>:]*:)?([^<>:]+)>"), r"{\1}"),  # Flask, Django
    (re.compile(r"\{([A-Za-z_][\w-]*)[^{}]*\}"), r"{\1}"),  # FastAPI, Spring, chi, Laravel
    (re.compile(r"/:([A-Za-z_]\w*)(?:\([^/]*\))?[?*+]?"), r"/{\1}"),  # Express, Rails, gin
    (re.compile(r"\*\w*"), "{rest}"),
)
_LITERAL = re.compile(r"/[A-Za-z0-9/._~%+@!$&',;=-]*")
_HEALTH = re.compile(
    r"(?:/|_|-)(?:health|healthz|healthcheck|health[-_]check|up|ping|ready|readyz|readiness|live|livez|liveness|"
    r"alive|heartbeat|status)/?$",
    re.IGNORECASE,
)
_PERSONAL = re.compile(
    r"/(?:user|me|profile|account|feed|dashboard|settings|cart|inbox|notifications)/?$", re.IGNORECASE
)
_NOT_A_PAGE = re.compile(
    r"(?:^|/)(?:\.well-known|admin|login|logout|log-?in|log-?out|sign-?in|sign-?out|sign-?up|auth|oauth2?|oidc|sso|password|passwords|register|registration|"
    r"accounts|static|assets|media|docs|redoc|swagger|swagger-ui|openapi(?:\.\w+)?|schema|metrics|debug|pprof|__debug__|"
    r"up|health|healthz|actuator|upload|uploads|create|delete|add|remove|update|"
    r"sse|ws|websocket|stream|graphiql|favicon\.ico|robots(?:\.txt)?|sitemap|webmanifest|service-worker|manifest(?:\.json|\.webmanifest)?|sitemap\.xml|error|oups|webhooks?|callback|edit|new|test-?\d*|[45]\d\d)(?:/|$)|\{pattern\}"
    r"|\.(?!html?$|json$|php$)[a-z0-9]{2,5}$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Route:
    """A path that answers GET, with its parameters in braces.

    `guarded`: whether it requires authentication. `source`: its file.
    """

    path: str
    source: str = ""
    guarded: bool = False

    @property
    def is_literal(self) -> bool:
        """Whether the path can be requested as it is: it has no parameter and no pattern."""
        return _LITERAL.fullmatch(self.path) is not None

    @property
    def needs_login(self) -> bool:
        """Whether it requires authentication, or is about one user by its name."""
        return self.guarded or _PERSONAL.search(self.path) is not None

    @property
    def is_health(self) -> bool:
        """Whether it only says that the application runs."""
        return self.is_literal and _HEALTH.search(self.path) is not None

    @property
    def is_page(self) -> bool:
        """Whether it is worth measuring: no health check, login, static file or page about the application itself."""
        return not self.is_health and _NOT_A_PAGE.search(self.path) is None


def make_path(*parts: str) -> str:
    """Join parts of a path, with exactly one slash between them, and write parameters as `{name}`."""
    path = parts[0] if parts else ""
    for part in parts[1:]:
        path = f"{path.rstrip('/')}/{part.lstrip('/')}" if part else path
    path = re.sub(r"/{2,}", "/", f"/{path}")
    for pattern, form in _PARAMETERS:
        path = pattern.sub(form, path)
    return path


def make_query(names: Iterable[str]) -> str:
    """Write the parameters of a query that a route cannot do without: `?name={name}`; empty without any."""
    needed = "&".join(f"{name}={{{name}}}" for name in names)
    return f"?{needed}" if needed else ""


def sort_routes(routes: Iterable[Route]) -> list[Route]:
    """Remove repeated paths; those that may be requested by anybody come first, then the shortest."""
    order: dict[str, Route] = {}
    for route in routes:
        known = order.get(route.path)
        if known is None or (known.guarded and not route.guarded):
            order[route.path] = route
    return sorted(
        order.values(),
        key=lambda route: (
            route.needs_login,
            route.path.count("{"),
            route.path.count("/"),
            len(route.path),
            route.path,
        ),
    )
