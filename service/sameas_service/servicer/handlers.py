"""Methods on the wire: reading requests, and turning what goes wrong into a status.

The generated `add_..._to_server` would answer malformed bytes and any exception with UNKNOWN
and the exception's text. Here the first is INVALID_ARGUMENT, and the second INTERNAL with a
reference to the log and nothing else.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.limits import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX
from sameas_service.resolver.deadline import Deadline, QueueFull
from sameas_service.resolver.facts import Workspace
from sameas_service.servicer.admission import Admission, end_of, trailers_of
from sameas_service.servicer.refusals import code_of

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class Caller(NamedTuple):
    """Who calls: the workspace, and how long the caller waits."""

    workspace: Workspace
    deadline: Deadline


class Unread(NamedTuple):
    """A request that was not read, with the refusal to answer it by."""

    refused: Refused


MALFORMED = Unread(
    Refused(
        Reason.REQUEST_MALFORMED,
        "the request is not a message of this type, or nests too deep to be read",
    )
)
TOO_LARGE = Unread(
    Refused(
        Reason.BATCH_TOO_LARGE,
        f"more than {BATCH_MESSAGES_MAX} messages or {BATCH_BYTES_MAX} bytes in one request",
        metadata={
            "max_messages": str(BATCH_MESSAGES_MAX),
            "max_bytes": str(BATCH_BYTES_MAX),
        },
    )
)


NO_ROOM = Unread(QueueFull("calls"))


OWN_QUEUE = frozenset({"GetPerson", "BatchGetPersons"})
"""Methods that have a queue of their own in gRPC's core, as health has, so that a flood of others
does not shed them. Each costs every call a microsecond or two, so it is not all methods."""


def add_service(
    server: grpc.aio.Server, service: ServiceDescriptor, servicer: object, workspace: Workspace
) -> None:
    """Serve all methods of a service; the servicer has one method each, by name."""
    admission = Admission()
    methods = {
        method.name: _method(method, getattr(servicer, method.name), admission, workspace)
        for method in service.methods
    }
    generic = grpc.method_handlers_generic_handler(service.full_name, methods)
    server.add_generic_rpc_handlers((generic,))
    server.add_registered_method_handlers(
        service.full_name, {name: methods[name] for name in OWN_QUEUE & methods.keys()}
    )


def _method(
    method: MethodDescriptor,
    behaviour: Callable[..., Any],
    admission: Admission,
    workspace: Workspace,
) -> Any:
    read = _reader(GetMessageClass(method.input_type))
    write = GetMessageClass(method.output_type).SerializeToString
    if method.client_streaming:
        guarded = _guarded_stream(behaviour, workspace)
        return grpc.stream_stream_rpc_method_handler(guarded, read, write)
    if method.server_streaming:
        guarded = _guarded_stream(behaviour, workspace)
        return grpc.unary_stream_rpc_method_handler(guarded, read, write)
    return grpc.unary_unary_rpc_method_handler(
        _guarded(behaviour, admission, workspace), _admitting(read, admission), write
    )


_Received = tuple[Message | Unread, int]
"""A request, and how many bytes it had; plain, since there is one a call."""


def _admitting(
    read: Callable[[bytes], Message | Unread], admission: Admission
) -> Callable[[bytes], _Received]:
    def read_admitted(data: bytes) -> _Received:
        size = len(data)
        return read(data) if admission.has_room(size) else NO_ROOM, size

    return read_admitted


def _reader(cls: type[Message]) -> Callable[[bytes], Message | Unread]:
    parse = cls.FromString

    def read(data: bytes) -> Message | Unread:
        if len(data) > BATCH_BYTES_MAX:
            return TOO_LARGE
        try:
            return parse(data)
        except DecodeError:
            return MALFORMED

    return read


def _guarded(
    behaviour: Callable[[Any, Caller], Awaitable[Any]], admission: Admission, workspace: Workspace
) -> Callable[[_Received, Context], Awaitable[Any]]:
    async def answer(received: _Received, context: Context) -> Any:
        request, size = received
        admission.enter(size)
        try:
            if type(request) is Unread:
                raise request.refused
            _refuse_key(context)
            deadline = Deadline(end_of(context.time_remaining()))
            return await behaviour(request, Caller(workspace, deadline))
        except Exception as error:  # noqa: BLE001  (every fault becomes a status, here)
            admission.learn(error)
            await abort(context, error)
        finally:
            admission.leave(size)

    return answer


def _refuse_key(context: Context) -> None:
    """Refuse a call with a key: whoever sends one may think that it protects something."""
    for name, _ in context.invocation_metadata() or ():
        if name == "authorization":
            raise Refused(
                Reason.KEY_UNREAD,
                "this server reads no keys: leave out key= (the authorization header), and let "
                "nobody reach its port who may not read and write everything",
            )


def _guarded_stream(
    behaviour: Callable[[Any, Caller], Any], workspace: Workspace
) -> Callable[..., Any]:
    async def answer(requests: Any, context: Context) -> Any:
        try:
            if type(requests) is Unread:
                raise requests.refused
            _refuse_key(context)
            deadline = Deadline(end_of(context.time_remaining()), is_bulk=True)
            # Closed with the call, so that what the behaviour holds is freed at once.
            async with aclosing(behaviour(requests, Caller(workspace, deadline))) as responses:
                async for response in responses:
                    yield response
        except Exception as error:  # noqa: BLE001  (every fault becomes a status, here)
            await abort(context, error)

    return answer


async def abort(context: Context, error: Exception) -> NoReturn:
    """End a call with the status that an exception maps to."""
    refused = error if isinstance(error, Refused) else _fault(error)
    await context.abort(code_of(refused.reason), refused.sentence, trailers_of(refused))
    raise AssertionError("abort returned")


def _fault(error: Exception) -> Refused:
    reference = uuid.uuid4().hex
    log.error("internal error, reference %s", reference, exc_info=error)
    return Refused(
        Reason.INTERNAL,
        "internal error; the reference in the details is in the server's log",
        metadata={"reference": reference},
    )
