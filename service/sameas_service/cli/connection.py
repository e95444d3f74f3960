"""The connection to a running server, and its errors in one line for people."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import grpc
import orjson
import typer
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from sameas_service.cli.terminal import complain

READ_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 10.0

_RETRIES = orjson.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "sameas.v1.IdentityService"}],
                "retryPolicy": {
                    # Some ten seconds in all, enough for a server that restarts; gRPC takes
                    # no more than five attempts. Safe, since a message id counts once.
                    "maxAttempts": 5,
                    "initialBackoff": "0.3s",
                    "maxBackoff": "8s",
                    "backoffMultiplier": 3,
                    # The second is answered by a server with too many messages waiting.
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
                },
            }
        ]
    }
).decode()

# gRPC does not retry a call of which it may not keep a copy: by default more than 256 KiB.
_RETRY_BYTES_MAX = 8 * 1024 * 1024

# Just above the largest page, 1,000 messages of 64 KiB; gRPC's own limit of 4 MiB is not.
_ANSWER_BYTES_MAX = 64 * 1024 * 1024


class Failure(NamedTuple):
    """Why the server did not answer as asked.

    Attributes:
        code: the gRPC status code's name.
        reason: the ErrorReason's name without prefix, or empty.
        field: the field at fault, or empty.
        message: a sentence for people.
    """

    code: str
    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        words = " ".join(word for word in (self.code, self.reason, self.field) if word)
        return f"{words}: {self.message}"


@contextmanager
def connected(server: str, *, with_retries: bool = False) -> Iterator[grpc.Channel]:
    """Open a channel to the server.

    With retries, calls of `IdentityService` are repeated where the server is gone for a
    moment.
    """
    options: list[tuple[str, str | int]] = [("grpc.max_receive_message_length", _ANSWER_BYTES_MAX)]
    if with_retries:
        options.append(("grpc.service_config", _RETRIES))
        options.append(("grpc.per_rpc_retry_buffer_size", _RETRY_BYTES_MAX))
    with grpc.insecure_channel(server, options=options) as channel:
        yield channel


@contextmanager
def errors_shown(server: str) -> Iterator[None]:
    """End the command with one line on standard error and exit code 1 if a call fails."""
    try:
        yield
    except grpc.RpcError as error:
        stop(describe(error, server), code=1)


def stop(sentence: str, *, code: int) -> NoReturn:
    """End the command with one line on standard error."""
    complain(sentence)
    raise typer.Exit(code)


def describe(error: grpc.RpcError, server: str) -> str:
    """Return one line for people: what the server said, or that there is none."""
    failure = failure_of(error)
    if failure.code == "UNAVAILABLE" and not failure.reason:
        # Without a reason of ours it comes from gRPC itself.
        return no_server(server)
    return str(failure)


def no_server(server: str) -> str:
    """Return the sentence for where nothing listens."""
    return f"no server answers at {server}; start one with `sameas serve`"


def failure_of(error: grpc.RpcError) -> Failure:
    """Return what a failed call says about itself."""
    if not isinstance(error, grpc.Call):
        return Failure("UNKNOWN", "", "", str(error))
    reason, field = "", ""
    info = _error_info(error)
    if info is not None:
        reason, field = info.reason, info.metadata.get("field", "")
    message = error.details() or "the server gave no explanation"
    return Failure(error.code().name, reason, field, message)


def _error_info(call: grpc.Call) -> error_details_pb2.ErrorInfo | None:
    try:
        status = rpc_status.from_call(call)
    except ValueError:  # Its code differs from the call's: a proxy rewrote one.
        return None
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return info
    return None


def answers(channel: grpc.Channel) -> bool:
    """Return whether something listens.

    Where the connection is refused that is known at once, without a call's retries.
    """
    states: queue.SimpleQueue[grpc.ChannelConnectivity] = queue.SimpleQueue()
    watch: Callable[[grpc.ChannelConnectivity], None] = states.put
    channel.subscribe(watch, try_to_connect=True)
    try:
        while True:
            state = states.get(timeout=CONNECT_TIMEOUT_SECONDS)
            if state is grpc.ChannelConnectivity.READY:
                return True
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return False
    except queue.Empty:
        return False
    finally:
        channel.unsubscribe(watch)


def bare_name(name_of: Callable[[Any], str], number: int, prefix: str) -> str:
    """Return an enum value's name without its prefix; its number, if a newer server made it up."""
    try:
        return name_of(number).removeprefix(prefix)
    except ValueError:
        return str(number)


def code_name(code: int) -> str:
    """Return the name of a gRPC status code, as `INVALID_ARGUMENT` for 3."""
    for status in grpc.StatusCode:
        if status.value[0] == code:
            return status.name
    return f"CODE_{code}"
