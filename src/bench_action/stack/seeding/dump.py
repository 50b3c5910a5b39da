"""What of a dump cannot be run in another cluster: owners, privileges and settings that do not exist here. Pure.

Statements are left out whole, and never a part of one; COPY's data and quoted texts are not looked at.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bench_action.model.wording import plural
from bench_action.stack.script import Piece, ScriptError

_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_NAMES = rf"{_NAME}(?:\s*,\s*{_NAME})*"
_SET_LOCAL = r"SET\s+(?:SESSION\s+|LOCAL\s+)?"


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE | re.DOTALL)


_SETTING = re.compile(rf"{_SET_LOCAL}(?P<name>[\w$]+)\s*(?:=|TO\b)", re.IGNORECASE)
_IDENTITY = re.compile(rf"{_SET_LOCAL}(?:SESSION\s+AUTHORIZATION|ROLE)\s+(?P<role>{_NAME}|'')\s*$", re.IGNORECASE)
_OWNER = _compile(rf"ALTER .*\bOWNER TO (?P<role>{_NAME})\s*$")
_DEFAULTS = _compile(rf"ALTER DEFAULT PRIVILEGES FOR (?:ROLE|USER) (?P<role>{_NAMES})")
_GRANT = _compile(rf"(?:GRANT|REVOKE|ALTER DEFAULT PRIVILEGES)\b.*\b(?:TO|FROM) (?P<role>(?:GROUP )?{_NAMES})")
_MEMBERSHIP = _compile(rf"(?:GRANT|REVOKE) (?:ADMIN OPTION FOR )?(?P<role>{_NAMES}) (?:TO|FROM)\b")
_POLICY = _compile(rf"CREATE POLICY .*\bTO (?P<role>{_NAMES})\s*(?=USING\b|WITH CHECK\b|$)")
_MAPPING = _compile(rf"(?:CREATE|ALTER|DROP) USER MAPPING (?:IF (?:NOT )?EXISTS )?FOR (?P<role>{_NAME})")
_ROLE = _compile(rf"(?P<verb>CREATE|ALTER|DROP) (?:ROLE|USER|GROUP) (?:IF EXISTS )?(?P<role>{_NAME})")
_DATABASE = _compile(
    rf"(?:(?:CREATE|ALTER|DROP) DATABASE (?:IF EXISTS )?|COMMENT ON DATABASE |"
    rf"(?:GRANT|REVOKE) .*\bON DATABASE )(?P<name>{_NAME})"
)
_TABLESPACE = _compile(r"(?:(?:CREATE|ALTER|DROP) TABLESPACE\b|(?:GRANT|REVOKE) .*\bON TABLESPACE\b)")
_EXTENSION_COMMENT = _compile(r"COMMENT ON EXTENSION\b")
_EXTENSION = _compile(rf"CREATE EXTENSION (?!IF\b)(?P<name>{_NAME})")
_PUBLIC = _compile(r'(?P<verb>CREATE|DROP) SCHEMA (?:IF EXISTS )?(?:public|"public")\s*(?:CASCADE|RESTRICT)?\s*$')
_TARGET = re.compile(r"""dbname\s*=\s*\\?'?(?P<name>[^'"\s\\]+)""")
_EVERYBODY = frozenset({"public", "current_user", "session_user", "current_role"})
_EXISTING = "existing"
_MAINTENANCE = frozenset({"postgres", "template1"})  # pg_dumpall connects to these, too


@dataclass(frozen=True, slots=True)
class Cluster:
    """What exists where a dump is run, in lower case where SQL ignores case.

    `roles`: those that the session may act as. `may_create`: whether the session is a superuser.
    """

    roles: frozenset[str]
    settings: frozenset[str]
    extensions: frozenset[str]
    may_create: bool


@dataclass(slots=True)
class DumpFilter:
    """Leaves statements of one dump out, and remembers which."""

    cluster: Cluster
    skipped: Counter[str] = field(default_factory=Counter)
    _absent: dict[str, set[str]] = field(default_factory=dict)
    _roles: set[str] = field(default_factory=set)
    _target: str = ""
    _public_dropped: bool = False

    def filter(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Give out a script's pieces, with white space instead of what cannot be run.

        Raises ScriptError if it is a dump of several databases.
        """
        for piece in pieces:
            if piece.connects:
                self._check_target(piece)
            reason = self._find_reason(piece.code) if piece.code else ""
            if reason:
                self.skipped[reason] += 1
            yield piece.blank() if reason else piece

    def summarise(self) -> str:
        """Say in one line what was left out; empty if nothing was."""
        parts, created = [], self.skipped[_EXISTING]
        if absent := self.skipped.total() - created:
            parts.append(f"{plural(absent, 'statement')} about {self._name_absent()}, which this server does not have")
        if created:
            parts.append(f"{plural(created, 'statement')} that would create what exists")
        return f"skipped {'; '.join(parts)}" if parts else ""

    def _name_absent(self) -> str:
        parts = []
        for reason in self.skipped:
            if reason != _EXISTING:
                names = sorted(self._absent.get(reason, ()))
                shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
                parts.append(f"the {reason}{'s' if len(names) != 1 else ''} {shown}".rstrip())
        return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]

    def _find_reason(self, code: str) -> str:
        """Find out why a statement cannot be run: what it is about, or an empty text."""
        verb = code.split(None, 1)[0].upper()
        if verb == "SET":
            return self._check_setting(code)
        if verb not in {"ALTER", "GRANT", "REVOKE", "CREATE", "DROP", "COMMENT"}:
            return ""
        return self._check_place(code) or self._check_roles(code)

    def _check_setting(self, code: str) -> str:
        if identity := _IDENTITY.match(code):
            role = identity["role"]
            return "" if role == "''" or _unquote(role) in {"default", "none"} else self._require_roles("owner", role)
        setting = _SETTING.match(code)
        if setting is None or setting["name"].lower() in {"time", "schema", "names"}:
            return ""
        name = setting["name"].lower()
        return "" if name in self.cluster.settings else self._skip("setting", name)

    def _check_place(self, code: str) -> str:
        """Check what is about the cluster, or about another database."""
        if database := _DATABASE.match(code):
            return self._skip("database", _unquote(database["name"]))
        if _TABLESPACE.match(code):
            return self._skip("tablespace", "")
        if public := _PUBLIC.match(code):
            created = public["verb"].upper() == "CREATE"
            if created and not self._public_dropped:
                return _EXISTING
            self._public_dropped = not created
        if (extension := _EXTENSION.match(code)) and _unquote(extension["name"]) in self.cluster.extensions:
            return _EXISTING
        if _EXTENSION_COMMENT.match(code) and not self.cluster.may_create:
            return self._skip("extension comment", "")
        return ""

    def _check_roles(self, code: str) -> str:
        if role := _ROLE.match(code):
            return self._check_role(role["verb"].upper(), role["role"])
        if (owner := _OWNER.match(code)) and (reason := self._require_roles("owner", owner["role"])):
            return reason
        rules = [_DEFAULTS, _GRANT, _POLICY, _MAPPING]
        if not re.search(r"\bON\b", code, re.IGNORECASE):
            rules.append(_MEMBERSHIP)
        found = [match["role"] for rule in rules if (match := rule.match(code))]
        return next((reason for roles in found if (reason := self._require_roles("role", roles))), "")

    def _check_role(self, verb: str, role: str) -> str:
        exists = _unquote(role) in self.cluster.roles | self._roles
        if verb == "CREATE" and self.cluster.may_create and not exists:
            self._roles.add(_unquote(role))
            return ""
        if not exists or not self.cluster.may_create:
            return self._skip("role", _unquote(role))
        return _EXISTING if verb == "CREATE" else ""

    def _require_roles(self, reason: str, roles: str) -> str:
        """Return the reason if one of these roles is not there."""
        known = self.cluster.roles | self._roles | _EVERYBODY
        names = [_unquote(re.sub(r"(?i)^group\s+", "", name)) for name in re.findall(rf"(?:GROUP\s+)?{_NAME}", roles)]
        absent = [name for name in names if name not in known]
        for name in absent:
            self._absent.setdefault(reason, set()).add(name)
        return reason if absent else ""

    def _skip(self, reason: str, name: str) -> str:
        if name:
            self._absent.setdefault(reason, set()).add(name)
        return reason

    def _check_target(self, piece: Piece) -> None:
        """Allow a dump to connect to its own database, but to no second one."""
        match = _TARGET.search(piece.connects)
        target = match["name"] if match else _unquote(piece.connects.split(None, 1)[0])
        if target in _MAINTENANCE:
            return
        if self._target not in {"", target}:
            raise ScriptError(
                "the dump contains more than one database", piece.first, "dump one database with `pg_dump`"
            )
        self._target = target


def _unquote(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
