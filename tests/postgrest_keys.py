"""Made-up keys of a project, and what gateway and PostgREST do with keys: headers → role; for the double."""

import base64
import hashlib
import hmac
import json
from typing import Any

from tests.postgrest_query import RefusedError, refused

JWT_SECRET = b"a secret that opens nothing"
SECRET_KEY = "sb_secret_" + "Zq7" * 10
PUBLISHABLE_KEY = "sb_publishable_" + "Pb3" * 10


def jwt(role: str, secret: bytes = JWT_SECRET, **claims: Any) -> str:
    """Return a made-up legacy key."""

    def encoded(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = encoded(b'{"alg":"HS256","typ":"JWT"}')
    body = encoded(json.dumps({"iss": "supabase", "role": role, "exp": 4_000_000_000} | claims).encode())
    return f"{head}.{body}.{encoded(hmac.digest(secret, f'{head}.{body}'.encode(), hashlib.sha256))}"


def role_of(headers: Any) -> str:
    """Do what gateway and PostgREST do with keys, and return the role."""
    key, bearer = headers.get("apikey"), headers.get("Authorization", "").removeprefix("Bearer ")
    if not key:
        raise RefusedError(401, {"message": "No API key found in request",
                                 "hint": "No `apikey` request header or url param was found."})  # fmt: skip
    if key.startswith("sb_secret_") and "Mozilla" in headers.get("User-Agent", ""):
        raise RefusedError(401, {"message": "Forbidden use of secret API key in browser", "hint": "Delete this key."})
    if key in (SECRET_KEY, PUBLISHABLE_KEY) and bearer in ("", key):
        return "service_role" if key == SECRET_KEY else "anon"
    if key.startswith("sb_"):
        raise RefusedError(401, {"message": "Invalid API key", "hint": "Double check your Supabase API key."})
    return _role_of_jwt(bearer or key)


def _role_of_jwt(token: str) -> str:
    head, _, signature = token.rpartition(".")
    made = base64.urlsafe_b64encode(hmac.digest(JWT_SECRET, head.encode(), hashlib.sha256)).rstrip(b"=").decode()
    if not hmac.compare_digest(made, signature):
        raise refused(401, "PGRST301", "No suitable key or wrong key type")
    body = head.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if claims["exp"] < 1_800_000_000:
        raise refused(401, "PGRST303", "JWT expired")
    return str(claims["role"])
