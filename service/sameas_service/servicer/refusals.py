"""Refusals on the wire: one canonical code and one ErrorInfo for each reason."""

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from sameas import v1
from sameas_service.domain.errors import Reason, Refused

DOMAIN = "sameas"
DETAILS = "grpc-status-details-bin"

_OTHER_CODES = {
    Reason.MESSAGE_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    Reason.PERSON_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.SERVER_STOPPING: grpc.StatusCode.UNAVAILABLE,
    Reason.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.DISK_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
    Reason.DEADLINE_PASSED: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.HISTORY_TOO_LARGE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.STORE_BUSY: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_FAILED: grpc.StatusCode.UNAVAILABLE,
    Reason.KEY_UNREAD: grpc.StatusCode.UNAUTHENTICATED,
}


def code_of(reason: Reason) -> grpc.StatusCode:
    """Return the canonical code of a reason: INVALID_ARGUMENT but for a few."""
    return _OTHER_CODES.get(reason, grpc.StatusCode.INVALID_ARGUMENT)


def details_of(refused: Refused) -> bytes:
    """Return the value of the trailer `grpc-status-details-bin`."""
    info = error_details_pb2.ErrorInfo(
        reason=refused.reason.value, domain=DOMAIN, metadata=_metadata(refused)
    )
    code = code_of(refused.reason)
    status = status_pb2.Status(code=code.value[0], message=refused.sentence)
    status.details.append(_any(info))
    if refused.field and code is grpc.StatusCode.INVALID_ARGUMENT:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=refused.field, description=refused.sentence
        )
        status.details.append(_any(error_details_pb2.BadRequest(field_violations=[violation])))
    return bytes(status.SerializeToString())


def item_error(refused: Refused) -> v1.ItemError:
    """Return the same for one item of a batch."""
    return v1.ItemError(
        code=code_of(refused.reason).value[0],
        reason=v1.ErrorReason.Value(f"ERROR_REASON_{refused.reason.value}"),
        field=refused.field,
        message=refused.sentence,
        metadata=_metadata(refused),
    )


def _metadata(refused: Refused) -> dict[str, str]:
    if not refused.field:
        return refused.metadata
    return {"field": refused.field, **refused.metadata}


def _any(
    message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
