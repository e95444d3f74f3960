"""Thin client of the sameas identity service: who did what, and who is who.

from sameas import Client

with Client("127.0.0.1:50051") as client:
    client.track("Signed Up", user_id="u-17", anonymous_id="3f0c...")
"""

from sameas import v1
from sameas._calls import CallOptions, ProfileOptions, TimelineFilter
from sameas._channel import DEFAULT_TARGET, channel_options
from sameas._pairs import Pairs
from sameas._previews import AsyncPreviews, Previews
from sameas._writes import Writes
from sameas.aio import AsyncClient
from sameas.buffer import Buffer, BufferOptions
from sameas.client import Client
from sameas.errors import (
    BufferFull,
    Cancelled,
    DeadlineExceeded,
    DiskFull,
    FailedPrecondition,
    InvalidArgument,
    MessageIdReused,
    Overloaded,
    PermissionDenied,
    PersonNotFound,
    ResourceExhausted,
    SameasError,
    ServerFault,
    Unauthenticated,
    Unavailable,
)
from sameas.ids import new_anonymous_id, new_message_id
from sameas.session import AsyncSession, Session
from sameas.storage import JsonFileStorage, MappingStorage, MemoryStorage, Storage
from sameas.values import (
    MISSING,
    CallWarning,
    ChangeKind,
    Evidence,
    ExplainStep,
    Explanation,
    FlushReport,
    IdentityChange,
    MessageKind,
    MovedMessages,
    Outcome,
    Person,
    Preview,
    Receipt,
    Refusal,
    Separation,
    TimelineMessage,
    TraitChange,
    Undelivered,
    Unlinked,
    WatchedChange,
)

__all__ = [
    "DEFAULT_TARGET",
    "MISSING",
    "AsyncClient",
    "AsyncPreviews",
    "AsyncSession",
    "Buffer",
    "BufferFull",
    "BufferOptions",
    "CallOptions",
    "CallWarning",
    "Cancelled",
    "ChangeKind",
    "Client",
    "DeadlineExceeded",
    "DiskFull",
    "Evidence",
    "ExplainStep",
    "Explanation",
    "FailedPrecondition",
    "FlushReport",
    "IdentityChange",
    "InvalidArgument",
    "JsonFileStorage",
    "MappingStorage",
    "MemoryStorage",
    "MessageIdReused",
    "MessageKind",
    "MovedMessages",
    "Outcome",
    "Overloaded",
    "Pairs",
    "PermissionDenied",
    "Person",
    "PersonNotFound",
    "Preview",
    "Previews",
    "ProfileOptions",
    "Receipt",
    "Refusal",
    "ResourceExhausted",
    "SameasError",
    "Separation",
    "ServerFault",
    "Session",
    "Storage",
    "TimelineFilter",
    "TimelineMessage",
    "TraitChange",
    "Unauthenticated",
    "Unavailable",
    "Undelivered",
    "Unlinked",
    "WatchedChange",
    "Writes",
    "channel_options",
    "new_anonymous_id",
    "new_message_id",
    "v1",
]
