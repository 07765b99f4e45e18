"""What a database library says → one error in one line: SQLSTATE, what it means, the next move, no credential.

A refused connection has no SQLSTATE in libpq, and a stream that breaks off has none in ADBC; then the text decides.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twin.errors import ConfigError, DataError, TwinError
from twin.scrub import shown
from twin.source.postgres.address import Address

TIMEOUT: Final = (
    "the server's statement_timeout ended the reading. Use the session pooler (port 5432) with the account postgres, "
    "let the account read longer (`ALTER ROLE name SET statement_timeout = '30min'`), or bring fewer rows."
)
POLICY: Final = (
    "row-level security hides rows of it from this account, and they would be missing without a word. Connect as the "
    "table's owner or an account with BYPASSRLS, such as postgres, or bring what it sees: `--visible-rows-only`."
)
DENIED: Final = (
    "this account may not read it. Grant it (`GRANT SELECT ON table TO name`), or connect as the table's owner."
)
CASES: Final = (
    ("28P01", r"password authentication failed|no password supplied|Wrong password|SASL authentication failed",
     ConfigError, "the password or the user is wrong. At a pooler the user is postgres.REF; a password in a URL is "
     "percent-encoded; Supabase resets it under Database settings."),
    ("", r"tenant or user not found", ConfigError, "the pooler does not know the user. It is postgres.REF there, and "
     "the host is that of the project's region."),
    ("", r"root certificate file|could not read root certificate", ConfigError,
     "the certificate of the CA is missing. Name its file: sslrootcert=prod-ca-2021.crt (Supabase: Database settings, "
     "SSL configuration)."),
    ("", r"certificate verify failed|certificate signature|self.signed certificate", ConfigError,
     "the server's certificate is not signed by the CA of sslrootcert. Use the file of this project's CA; if it is "
     "that one, somebody else answers: do not send a password."),
    ("", r"does not match host name", ConfigError, "the server's certificate is for another host name. Use the host "
     "name that the provider gives, or sslmode=verify-ca."),
    ("", r"does not support SSL|SSL required|SSL off|no encryption", ConfigError,
     "the server and the chosen sslmode do not agree. Turn TLS on at the server, or say sslmode=disable if nobody can "
     "listen on the way."),
    ("28000", r"no pg_hba\.conf entry|role .* does not exist", ConfigError, "the server does not let this user in from "
     "here. Check the user and the network restrictions."),
    ("", r"could not translate host name|failed to resolve host|Name or service not known|nodename nor servname",
     ConfigError, "the host is not known. Check the host name; db.REF.supabase.co has only an IPv6 address: without "
     "IPv6 use the session pooler."),
    ("", r"Network is unreachable|No route to host", ConfigError, "the host cannot be reached. db.REF.supabase.co has "
     "only an IPv6 address: without IPv6 use the session pooler."),
    ("", r"Connection refused|timeout expired|connection timeout|timed out|Is the server running", ConfigError,
     "no server answers there. Check host and port, that the project is not paused, and the firewall."),
    ("3D000", r"database .* does not exist", ConfigError, "there is no such database. Supabase's is named postgres."),
    ("53300", r"too many (clients|connections)|remaining connection slots|max clients", DataError,
     "the server has no free connection. Close others, or use the pooler, and run the same command again."),
    ("57014", r"statement timeout", DataError, TIMEOUT),
    ("42501", r"row-level security policy", DataError, POLICY),
    ("42501", r"permission denied", DataError, DENIED),
    ("42P01", r"relation .* does not exist", DataError, "the table is gone. Check its name."),
    ("40001", r"conflict with recovery", DataError, "the replica gave the reading up. Read from the primary, or run "
     "the same command again."),
    ("08P01", r"unsupported startup parameter", ConfigError, "the pooler refuses a parameter of the connection. Remove "
     "options from the URL and PGOPTIONS."),
    ("57P01", r"terminating connection|server closed the connection|connection (was|is) (lost|closed)|"
     r"SSL connection has been closed|Connection reset|could not receive data|EOF detected", DataError,
     "the connection was lost before the last row; nothing is kept of a half reading. Run the same command again."),
)  # fmt: skip
"""(SQLSTATE or none, pattern of the text, error, what it means and the next move); the text goes before the state."""


@contextmanager
def told(address: Address, about: str) -> Iterator[None]:
    """Turn any error of a database library into one of this project's, without its cause: that may hold a password.

    Raises:
        ConfigError: the connection cannot be made with these settings.
        DataError: the server did not do what was asked.
    """
    try:
        yield
    except (TwinError, ImportError):
        raise
    except Exception as error:
        raise fault_of(error, address, about) from None


def fault_of(error: Exception, address: Address, about: str) -> TwinError:
    """Word an error of a database library."""
    text = str(error)
    found = re.search(r"SQLSTATE: (\w{5})", text)
    state = getattr(error, "sqlstate", None) or (found[1] if found else "")
    said = _one_line(address.without_secrets(text))
    ending = f" ({f'SQLSTATE {state}: ' if state else ''}{said})"
    by_text = (case for case in CASES if re.search(case[1], text, re.IGNORECASE))
    by_state = (case for case in CASES if state and case[0] == state)
    for _, _, kind, move in (*by_text, *by_state):
        return kind(f"{about}: {move}{ending}")
    hint = f"Check {address.origin}" if not state else "See the SQLSTATE in PostgreSQL's manual"
    return DataError(f"{about}: the server or its driver failed. {hint} and run the same command again.{ending}")


def _one_line(text: str) -> str:
    """Return what the server said, without the driver's wrapping and the statement."""
    text = re.sub(r"\s*(Query was:|Query:|LINE \d+:).*", "", text, flags=re.DOTALL)
    text = re.split(r"(?:ERROR|FATAL|PANIC):\s+", text)[-1]
    text = re.sub(r"^.*port \d+ failed:\s*|^\w+: \[libpq\]\s*(Failed to connect:)?\s*", "", text, flags=re.DOTALL)
    return shown(re.sub(r"\s*SQLSTATE: \w{5}", "", " ".join(text.split())).strip(" ."))
