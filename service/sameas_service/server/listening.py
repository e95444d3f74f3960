"""Why an address cannot be listened on; gRPC itself says so only in a text."""

import errno
import socket


class CannotListen(Exception):
    """The address is in use, or is none of this machine's."""


def refusal_to_listen(host: str, port: int) -> str | None:
    """Return what the system says of binding the address; None where it does not object."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            with socket.socket(family, kind, protocol) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind(address)
                one.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "is another server there?"
        return error.strerror or str(error)
    return None
