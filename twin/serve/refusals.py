"""What a client is told when it gets no reply: a status and OpenAI's error object."""

from typing import Any, Final

INVALID: Final = "invalid_request_error"
UNAVAILABLE: Final = "server_error"
BUSY: Final = "rate_limit_error"


class RefusedError(Exception):
    """A request that gets no reply, and why."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        retry_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": kind, "param": param, "code": code}
        self.headers = {} if retry_s is None else {"Retry-After": str(retry_s)}

    @property
    def body(self) -> dict[str, Any]:
        """As OpenAI's API writes it."""
        return {"error": self.error}


def wrong(param: str | None, message: str, code: str | None = None) -> RefusedError:
    """Refuse a request for what one of its parameters says."""
    return RefusedError(400, message, param=param, code=code)


def failed(name: str) -> RefusedError:
    """Tell of a fault of ours: what it was stands in the log, under `name`."""
    return RefusedError(
        500, f"The reply failed; the server's log says why under {name}.", kind=UNAVAILABLE, code="internal_error"
    )


def stopping() -> RefusedError:
    """Tell that the server is on its way out."""
    return RefusedError(
        503, "The server is stopping. Ask again when it is back.", kind=UNAVAILABLE, code="stopping", retry_s=5
    )


def crowded() -> RefusedError:
    """Tell that too many are connected, and close the connection that asked."""
    error = RefusedError(
        503,
        "Too many clients are connected. Ask again later.",
        kind=UNAVAILABLE,
        code="too_many_connections",
        retry_s=5,
    )
    error.headers["Connection"] = "close"
    return error
