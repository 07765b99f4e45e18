"""The socket to listen on: host and port → a socket, or an error that says what to do."""

import socket

from twin.errors import StorageError


def listening(host: str, port: int) -> socket.socket:
    """Open a socket that clients can come to already; 0 is any free port.

    Raises:
        StorageError: the address cannot be had.
    """
    # The protocol is named: where it is 0 asyncio leaves TCP_NODELAY off, and each reply's first piece waits 40 ms for
    # the client's delayed acknowledgement of the headers.
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(place)
            opened.listen()
        except OSError:
            opened.close()
            raise
        return opened
    except OSError as error:
        raise StorageError(
            error.errno, f"port {port} of {host} cannot be had ({error.strerror}). Choose another: --port 0."
        ) from error


def address(bound: socket.socket) -> str:
    """Return where clients find the server."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
