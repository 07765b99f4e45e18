"""Environment → the settings of a connection: which server, which account, how its name is verified.

A URL is read here and not by libpq, which takes half of an unencoded password for the host and quotes it in errors.
"""

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

from twin.errors import ConfigError

URLS: Final = ("TWIN_POSTGRES_URL", "DATABASE_URL")
VARIABLES: Final = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGPASSFILE": "passfile",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGCHANNELBINDING": "channel_binding",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGOPTIONS": "options",
}
"""libpq's environment variables → its keywords. Source: PostgreSQL manual, 34.15."""
KEYWORDS: Final = (
    "application_name", "channel_binding", "connect_timeout", "dbname", "host", "hostaddr", "keepalives",
    "keepalives_count", "keepalives_idle", "keepalives_interval", "options", "passfile", "password", "port",
    "require_auth", "ssl_min_protocol_version", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert", "sslsni",
    "target_session_attrs", "tcp_user_timeout", "user",
)  # fmt: skip
FOREIGN: Final = ("connection_limit", "pgbouncer", "pool_timeout", "schema", "statement_cache_size", "workaround")
"""What other libraries' URLs carry and libpq refuses; without meaning here."""
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PATIENCE: Final = {
    "connect_timeout": "15",  # seconds for one address
    "keepalives_idle": "30",  # with the two below: a server that is gone is noticed after a minute, not two hours
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
URL: Final = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://"
    r"(?:(?P<user>[^\s:/?#@\[\]]*)(?::(?P<password>[^\s:/?#@\[\]]*))?@)?"
    r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\]|%2F[\w.%-]*|)(?::(?P<port>\d+))?"
    r"(?:/(?P<dbname>[^\s/?#@]*))?(?:\?(?P<query>[^\s#@?]*))?",
    re.ASCII,
)
EXAMPLES: Final = """
  direct              postgresql://postgres:PASSWORD@db.REF.supabase.co:5432/postgres
  session pooler      postgresql://postgres.REF:PASSWORD@aws-0-REGION.pooler.supabase.com:5432/postgres
  transaction pooler  postgresql://postgres.REF:PASSWORD@aws-0-REGION.pooler.supabase.com:6543/postgres
A password is percent-encoded: `p@ss/word` is written p%40ss%2Fword."""


@dataclass(frozen=True)
class Address:
    """Where the server is and how to get in; its repr shows none of it."""

    origin: str
    """The environment variable that named it, for messages."""
    settings: Mapping[str, str] = field(repr=False)
    """libpq keyword → value."""

    def uri(self) -> str:
        """Return the settings as a URI that libpq reads. It holds the password: for the driver only."""
        return "postgresql://?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in self.settings.items())

    def place(self) -> str:
        """Return what tells this database from others: 16 hex digits.

        The three addresses of one Supabase project count as one place.
        """
        host, user = self.settings.get("host", ""), self.settings.get("user", "")
        found = re.fullmatch(r"db\.(\w+)\.supabase\.(?:co|com|net)", host) if host else None
        pooled = re.fullmatch(r"[^.]+\.(\w+)", user) if host.endswith(".pooler.supabase.com") else None
        project = found or pooled
        server = f"supabase:{project[1]}" if project else f"{host}:{self.settings.get('port', '5432')}"
        return hashlib.sha256(f"{server}/{self.settings.get('dbname', '')}".encode()).hexdigest()[:16]

    def without_secrets(self, text: str) -> str:
        """Return `text` without the password and the whole address, in any form that a library may quote."""
        password = self.settings.get("password", "")
        forms = {self.uri(), password, quote(password, safe=""), quote(password), password.replace("'", "\\'")}
        for form in sorted(forms - {""}, key=len, reverse=True):
            text = text.replace(form, "***")
        return re.sub(r"postgres(?:ql)?(?:\+\w+)?://\S+", "***", text)


def named_in(environ: Mapping[str, str]) -> Address:
    """Return where the environment says the server is.

    Without an explicit sslmode a server beyond this machine must speak TLS (`require`), and with sslrootcert it must
    also prove its name (`verify-full`).

    Raises:
        ConfigError: no server is named, or the URL cannot be read.
    """
    defaults = {keyword: environ[name] for name, keyword in VARIABLES.items() if environ.get(name)}
    for name in URLS:
        if environ.get(name):
            return Address(name, _complete(defaults | _parsed(name, environ[name].strip()), name))
    if "host" not in defaults and "hostaddr" not in defaults:
        raise ConfigError(
            f"no Postgres server is named. Set {URLS[0]} (or {URLS[1]}) to one of the following, or PGHOST, PGUSER, "
            f"PGPASSWORD and PGDATABASE:{EXAMPLES}"
        )
    return Address("PGHOST" if "host" in defaults else "PGHOSTADDR", _complete(defaults, "PGSSLMODE"))


def _parsed(name: str, url: str) -> dict[str, str]:
    found = URL.fullmatch(url)
    if not found:
        raise ConfigError(
            f"{name} is not a URL of a Postgres server that can be read safely; it is not shown as it may hold a "
            f"password. It must look like one of:{EXAMPLES}"
        )
    parts = {key: found[key] for key in ("user", "password", "host", "port", "dbname") if found[key]}
    for pair in filter(None, (found["query"] or "").split("&")):
        key, _, value = pair.partition("=")
        if key in FOREIGN:
            continue
        if key not in KEYWORDS:
            raise ConfigError(f"{name}: a parameter after the ? is not one of libpq's. Known: {', '.join(KEYWORDS)}.")
        parts[key] = value
    return {key: unquote(value).strip("[]" if key == "host" else "") for key, value in parts.items()}


def _complete(settings: dict[str, str], origin: str) -> dict[str, str]:
    if "sslmode" in settings and settings["sslmode"] not in SSL_MODES:
        raise ConfigError(f"{origin}: sslmode is none of {', '.join(SSL_MODES)}. Use verify-full with sslrootcert.")
    if "sslmode" not in settings and "sslrootcert" in settings:
        settings["sslmode"] = "verify-full"
    elif "sslmode" not in settings and not _is_here(settings.get("hostaddr") or settings.get("host", "")):
        settings["sslmode"] = "require"
    return PATIENCE | {"application_name": "twin"} | settings


def _is_here(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
