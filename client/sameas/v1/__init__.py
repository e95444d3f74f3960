"""The messages of the API, generated from `protos/` and re-exported under one name.

`from sameas import v1` and then `v1.TrackRequest(...)`; the `_pb2` modules are not meant to
be imported by users.
"""

from sameas.v1.error_reason_pb2 import ErrorReason
from sameas.v1.identity_service_pb2 import (
    AliasRequest,
    AliasResponse,
    IdentifyRequest,
    IdentifyResponse,
    IngestItem,
    IngestRequest,
    IngestResponse,
    IngestResult,
    IngestStreamRequest,
    IngestStreamResponse,
    MergeMessage,
    ResetRequest,
    ResetResponse,
    TrackRequest,
    TrackResponse,
    UnlinkMessage,
    UpdateProfileRequest,
    UpdateProfileResponse,
)
from sameas.v1.identity_service_pb2_grpc import IdentityServiceStub
from sameas.v1.message_pb2 import (
    ItemError,
    Message,
    MessageKind,
    Outcome,
    ProfileOperations,
    Receipt,
    Warning,  # noqa: A004
    WarningReason,
)
from sameas.v1.person_service_pb2 import (
    BatchGetPersonsRequest,
    BatchGetPersonsResponse,
    BatchGetPersonsResult,
    GetPersonRequest,
    GetPersonResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    PayloadForm,
    Person,
    PersonKey,
)
from sameas.v1.person_service_pb2_grpc import PersonServiceStub

__all__ = [
    "AliasRequest",
    "AliasResponse",
    "BatchGetPersonsRequest",
    "BatchGetPersonsResponse",
    "BatchGetPersonsResult",
    "ErrorReason",
    "GetPersonRequest",
    "GetPersonResponse",
    "IdentifyRequest",
    "IdentifyResponse",
    "IdentityServiceStub",
    "IngestItem",
    "IngestRequest",
    "IngestResponse",
    "IngestResult",
    "IngestStreamRequest",
    "IngestStreamResponse",
    "ItemError",
    "ListMessagesRequest",
    "ListMessagesResponse",
    "MergeMessage",
    "Message",
    "MessageKind",
    "Outcome",
    "PayloadForm",
    "Person",
    "PersonKey",
    "PersonServiceStub",
    "ProfileOperations",
    "Receipt",
    "ResetRequest",
    "ResetResponse",
    "TrackRequest",
    "TrackResponse",
    "UnlinkMessage",
    "UpdateProfileRequest",
    "UpdateProfileResponse",
    "Warning",
    "WarningReason",
]
