"""The socket to listen on: host and port → a socket, or an error that says what to do."""

import socket

from twin.errors import StorageError


def listening(host: str, port: int) -> socket.socket:
    """Open a socket that clients can come to already; 0 is any free port.

    Raises:
        StorageError: the address cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise StorageError(
            error.errno, f"port {port} of {host} cannot be had ({error.strerror}). Choose another: --port 0."
        ) from error


def address(bound: socket.socket) -> str:
    """Return where clients find the server."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
