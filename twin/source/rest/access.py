"""Environment → a project's address and its key, checked before anything is sent; the key is in no text or repr."""

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import orjson

from twin.errors import ConfigError
from twin.scrub import shown

URL_NAME: Final = "SUPABASE_URL"
KEY_NAMES: Final = ("SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY")
KEY_FORM: Final = re.compile(r"[\x21-\x7e]+")  # h11 quotes a header that it refuses, and a key would be in the quote
TABLE_FORM: Final = re.compile(r"[\w $-]+")  # `/`, `?` or `..` would be another address
REST_PATH: Final = "/rest/v1"
FULL_ROLE: Final = "service_role"
HIDDEN: Final = "<the key>"


@dataclass(frozen=True)
class Access:
    """Where the table is and what opens it."""

    url: str
    """The address below which the tables are, without a slash at its end."""
    key: str = field(repr=False)
    public_role: str | None
    """The role of a key that row level security holds for, None for a key that sees every row."""
    loopback: bool

    @property
    def headers(self) -> dict[str, str]:
        """Return what opens the door; a new key is no JWT and stands in `apikey` alone."""
        return {"apikey": self.key} | ({} if self.key.startswith("sb_") else {"Authorization": f"Bearer {self.key}"})

    @property
    def fingerprint(self) -> str:
        """Return the first 16 hex digits of the address's sha256."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def quoted(self, text: object) -> str:
        """Quote what a server said, without the key, should it say it back."""
        return shown(str(text).replace(self.key, HIDDEN))


def access(environ: Mapping[str, str], allow_public_key: bool) -> Access:
    """Read address and key.

    Raises:
        ConfigError: one is missing or malformed, the address is not safe, or the key is one that row level security
            holds for and `allow_public_key` is not set.
    """
    name = next((name for name in KEY_NAMES if environ.get(name, "").strip()), None)
    missing = [URL_NAME] * (not environ.get(URL_NAME, "").strip()) + [" or ".join(KEY_NAMES)] * (name is None)
    if missing or name is None:
        raise ConfigError(
            f"the environment has no {' and no '.join(missing)}. Set both: the project's URL, "
            "https://REF.supabase.co, and its secret key, from the page API Keys of the project's settings."
        )
    url, loopback = _url(environ[URL_NAME].strip())
    key = environ[name].strip()
    role = _role(key, name)
    if role != FULL_ROLE and not allow_public_key:
        raise ConfigError(
            f"{name} is a public key (role {shown(role)}): row level security would hide rows from it without a word, "
            "and what came would look whole. Use the project's secret key (sb_secret_… or service_role); if the rows "
            "that the public may see are what you want, say --visible-rows-only."
        )
    return Access(url, key, None if role == FULL_ROLE else role, loopback)


def table_name(table: str) -> tuple[str, str]:
    """Return schema and name of `table`, which is `name` or `schema.name`; the schema is public by default.

    Raises:
        ConfigError: it is no name of a table.
    """
    parts = [part.strip('"') for part in table.split(".")]
    if len(parts) > 2 or not all(TABLE_FORM.fullmatch(part) for part in parts):
        raise ConfigError(f"{shown(table)} is no name of a table. Write it as memory_turns or public.memory_turns.")
    return ("public", parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _url(text: str) -> tuple[str, bool]:
    """Return the address of the tables, and whether it is this machine; the text is in no message, for its password."""
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{URL_NAME} is no address of a project: it must be like https://REF.supabase.co.")
    _refuse_extras(parts)
    loopback = _is_loopback(host)
    if parts.scheme == "http" and not loopback:
        raise ConfigError(
            f"{URL_NAME} begins with http://, which would send the key in the clear to {shown(host)}. Use https://."
        )
    path = parts.path.rstrip("/").removesuffix(REST_PATH)
    shown_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown_host}{f':{port}' if port else ''}{path}{REST_PATH}", loopback


def _refuse_extras(parts: SplitResult) -> None:
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{URL_NAME} holds a user or a password. Give the address alone; the key is {KEY_NAMES[0]}.")
    if parts.query or parts.fragment:
        raise ConfigError(f"{URL_NAME} holds a query. Give the project's address alone: https://REF.supabase.co.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _role(key: str, name: str) -> str:
    """Return the role that a key of Supabase stands for; a publishable key is anon."""
    if not KEY_FORM.fullmatch(key):
        raise ConfigError(f"{name} holds white space or a character that no key has. Copy the key again.")
    if key.startswith("sb_secret_"):
        return FULL_ROLE
    if key.startswith("sb_publishable_"):
        return "anon"
    role = _claims(key).get("role")
    if not isinstance(role, str):
        raise ConfigError(
            f"{name} is no API key of a project: neither sb_secret_…, nor sb_publishable_…, nor a JWT with a role. "
            "Copy it from the page API Keys of the project's settings."
        )
    return role


def _claims(key: str) -> dict[str, Any]:
    parts = key.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
