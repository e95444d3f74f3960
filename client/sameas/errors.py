"""What can go wrong, by kind. Act on the class and on `reason`, never on the text.

    SameasError
    ├── InvalidArgument      the call is wrong and will be wrong again; `field` says where
    ├── MessageIdReused      this message id was accepted before, with other content
    ├── PersonNotFound       no message of the workspace made such a person
    ├── FailedPrecondition   it cannot be answered as things are: a past that is too large
    ├── Unauthenticated      no key, or not one that the server reads
    ├── PermissionDenied     the key may not make this call
    ├── ResourceExhausted    the server cannot take it now, or a size limit was met
    │   ├── Overloaded       too many calls wait at the server
    │   ├── DiskFull         the server's disk is full; reads go on
    │   └── BufferFull       the buffer of this process is full; nothing was queued
    ├── Unavailable          the server cannot be reached, or is stopping
    ├── DeadlineExceeded     no answer in time
    ├── Cancelled            the call was cancelled, here or by a server that sheds load
    └── ServerFault          a fault of the server; `metadata["reference"]` finds its log

After `Unavailable`, `DeadlineExceeded`, `Cancelled` and `ServerFault` it is unknown whether
the message was kept. Repeat the call with the same `message_id`: it counts once.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

DOMAIN = "sameas"
"""The `domain` of the service's ErrorInfo; reasons of other domains are not ours."""


class SameasError(Exception):
    """A call that did not succeed.

    Attributes:
        code: The canonical gRPC status code.
        reason: Stable name of the error: an `ErrorReason` of the API without its prefix
            (`ID_BLOCKED`), or empty where the error did not come from the service.
        metadata: The variables of the message, by the names that the reason documents.
        retry_seconds: After how long the server asks to be called again; None where it did
            not say.
    """

    default_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_seconds: float | None = None

    @property
    def field(self) -> str:
        """The request field at fault, as a path (`properties`), or empty."""
        return self.metadata.get("field", "")

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} [{self.reason}]" if self.reason else f"{text} [{self.code.name}]"


class InvalidArgument(SameasError):
    """The call itself is wrong. Repeating it will not help. Nothing was kept."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class MessageIdReused(SameasError):
    """The message id was accepted before with other content. Make one id for each call."""

    default_code = grpc.StatusCode.ALREADY_EXISTS


class PersonNotFound(SameasError):
    """No message of this workspace named the id."""

    default_code = grpc.StatusCode.NOT_FOUND


class FailedPrecondition(SameasError):
    """The service cannot answer as things are, and repeating the call will not help.

    A read of the past or an explanation may depend on more messages than can be derived
    afresh (`HISTORY_TOO_LARGE`).
    """

    default_code = grpc.StatusCode.FAILED_PRECONDITION


class Unauthenticated(SameasError):
    """The server does not know the key, or reads none."""

    default_code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(SameasError):
    """The key is known and may not make this call."""

    default_code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhausted(SameasError):
    """Something is full or too large. Nothing was kept."""

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Overloaded(ResourceExhausted):
    """Too many calls wait at the server. Nothing was kept; try again later."""


class DiskFull(ResourceExhausted):
    """The server's disk is full. Nothing was kept; reads go on."""


class BufferFull(ResourceExhausted):
    """The buffer had no room within the time that the call may block. Nothing was queued."""


class Unavailable(SameasError):
    """The server cannot be reached, is stopping, or its database is held by another program.

    Whether it kept the message is unknown, but for the reason `STORE_BUSY`: then it did not.
    """

    default_code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(SameasError):
    """No answer within the timeout.

    Whether the message was kept is unknown, but for the reason `DEADLINE_PASSED`: then it was
    not.
    """

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(SameasError):
    """The call was cancelled. Whether the message was kept is unknown."""

    default_code = grpc.StatusCode.CANCELLED


class ServerFault(SameasError):
    """The server failed, or answered what this client does not understand."""

    default_code = grpc.StatusCode.INTERNAL


_BY_REASON: dict[str, type[SameasError]] = {"OVERLOADED": Overloaded, "DISK_FULL": DiskFull}
_BY_CODE: dict[grpc.StatusCode, type[SameasError]] = {
    kind.default_code: kind
    for kind in (
        InvalidArgument,
        MessageIdReused,
        PersonNotFound,
        FailedPrecondition,
        Unauthenticated,
        PermissionDenied,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        Cancelled,
        ServerFault,
    )
}


def from_rpc_error(error: grpc.RpcError) -> SameasError:
    """Return the exception for a failed call, sync or aio; to be raised `from` the RpcError."""
    code = error.code() or grpc.StatusCode.UNKNOWN
    details = _details(error)
    info = _error_info(details)
    kind = _BY_REASON.get(info.reason) or _BY_CODE.get(code, ServerFault)
    made = kind(error.details() or code.name, code=code, reason=info.reason, metadata=info.metadata)
    made.retry_seconds = _retry_seconds(details)
    return made


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    """Return what comes with the status: nothing from proxies and gRPC itself."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # details that contradict the status are not the service's
        return ()
    return status.details if status else ()


def _error_info(details: Sequence[any_pb2.Any]) -> error_details_pb2.ErrorInfo:
    """Return the service's ErrorInfo, or an empty one."""
    info = error_details_pb2.ErrorInfo()
    for detail in details:
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return error_details_pb2.ErrorInfo()


def _retry_seconds(details: Sequence[any_pb2.Any]) -> float | None:
    retry = error_details_pb2.RetryInfo()
    for detail in details:
        if detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds()) / 1e3
    return None
