"""The same server stack with handlers that do nothing: the limit of unary calls."""

import asyncio
import sys
from typing import Any

import grpc

from sameas import v1
from sameas_service.server.app import IDENTITY, PERSON
from sameas_service.server.options import OPTIONS
from sameas_service.servicer.handlers import handler_of

PERSON_ID = "00000000-0000-5000-8000-000000000000"


class Empty:
    """Answers every call with a value of the usual size."""

    def __getattr__(self, name: str) -> Any:
        """A method of this name."""
        answer: Any = getattr(v1, f"{name}Response")()
        fields = answer.DESCRIPTOR.fields_by_name
        if "person" in fields:
            person = v1.Person(person_id=PERSON_ID, user_id="u", user_ids=["u"], traits_json="{}")
            answer.person.CopyFrom(person)
        elif "receipt" in fields:
            receipt = v1.Receipt(message_id=PERSON_ID, outcome=3, person_id=PERSON_ID)
            answer.receipt.CopyFrom(receipt)

        async def call(_: Any, __: Any) -> Any:
            return answer

        return call


async def main() -> None:
    """Serves on a free port, and prints it."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers(
        tuple(handler_of(service, Empty()) for service in (IDENTITY, PERSON))
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"serving on 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
