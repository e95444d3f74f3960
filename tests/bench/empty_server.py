"""The same server stack with handlers that do nothing: the limit of unary calls.

`python -m tests.bench.empty_server METHOD=HEX ...`: a method and its answer's bytes, so that
it sends what the real server does.
"""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import grpc

from sameas import v1
from sameas_service.resolver.facts import Workspace
from sameas_service.server.app import IDENTITY, PERSON
from sameas_service.server.options import OPTIONS
from sameas_service.servicer.handlers import add_service


class Empty:
    """Answers every call of a method with one and the same value."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        """Answers by method; of others they are empty."""
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        """A method of this name."""
        answer = getattr(v1, f"{name}Response").FromString(self._answers.get(name, b""))

        async def call(_: Any, __: Any) -> Any:
            return answer

        return call


async def main(arguments: list[str]) -> None:
    """Serves on a free port, and prints it."""
    pairs = (argument.split("=") for argument in arguments)
    empty = Empty({method: bytes.fromhex(answer) for method, answer in pairs})
    server = grpc.aio.server(options=OPTIONS)
    for service in (IDENTITY, PERSON):
        add_service(server, service, empty, Workspace(0, "", 0))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"serving on 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
