"""What the client answers with: small values that do not change, in plain Python types."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

import grpc

from sameas import v1
from sameas.errors import SameasError

JsonObject = Mapping[str, Any]
"""What goes out as a JSON object: a dict of what `json.dumps` takes; NaN is refused."""


class Outcome(StrEnum):
    """What a message did to who is who; for a duplicate, what it did the first time."""

    CREATED = "created"
    """A person came into being: no message had used this id before."""
    LINKED = "linked"
    """Ids that were apart are one person now."""
    UNCHANGED = "unchanged"
    """The message was kept, and who is who did not change."""
    SWITCHED = "switched"
    """The device changed hands. No two users were fused."""
    RESET = "reset"
    """The device's present use ended."""
    SPLIT = "split"
    """Ids that were one person are apart now."""
    UNKNOWN = "unknown"
    """A newer server says what this client does not know."""


class MessageKind(StrEnum):
    """What a message is."""

    IDENTIFY = "identify"
    ALIAS = "alias"
    TRACK = "track"
    PAGE = "page"
    SCREEN = "screen"
    GROUP = "group"
    RESET = "reset"
    PROFILE = "profile"
    MERGE = "merge"
    UNLINK = "unlink"
    UNKNOWN = "unknown"
    """A newer server knows a kind that this client does not."""


@dataclass(frozen=True, slots=True)
class CallWarning:
    """Something that a developer should know about an accepted message. Nothing was lost.

    Act on `reason` (`DEVICE_SWITCHED`, `ALIAS_REPEATED` ...), not on `message`.
    """

    reason: str
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an accepted message. It is on disk, and every read sees it."""

    message_id: str
    outcome: Outcome
    person_id: str
    """The person that the message belongs to now. For a reset: the one that used the device."""
    absorbed_person_ids: tuple[str, ...] = ()
    """The persons that the message made part of `person_id`. Their ids keep resolving."""
    duplicate: bool = False
    """True if the message was accepted before: nothing was done this time."""
    warnings: tuple[CallWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one message of a batch was refused. Nothing of it was kept; the rest was."""

    message_id: str
    code: grpc.StatusCode
    reason: str
    """As `SameasError.reason`."""
    field: str
    """The field at fault, or empty."""
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Person:
    """A person: one user id or several linked ones, or a stretch of a device without an owner."""

    person_id: str
    user_id: str | None
    """The canonical user id; None for an anonymous person."""
    user_ids: tuple[str, ...]
    """All user ids, the canonical one first."""
    anonymous_ids: tuple[str, ...]
    """The person's devices, at most 1,000."""
    anonymous_ids_truncated: bool
    """True if there are more devices than that."""
    traits: dict[str, Any]
    first_seen: datetime | None
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class TimelineMessage:
    """An accepted message of a person's timeline. Ids that were not given are None."""

    message_id: str
    kind: MessageKind
    anonymous_id: str | None
    user_id: str | None
    previous_anonymous_id: str | None
    previous_user_id: str | None
    event: str
    """Track: the event. Page, screen: the name. Group: the group's id. Otherwise empty."""
    timestamp: datetime | None
    """Event time: when it happened, corrected as the service documents."""
    sent_at: datetime | None
    received_at: datetime | None
    properties: dict[str, Any]
    """Properties; of an identify, its traits."""
    operations: dict[str, Any]
    """Operations of a profile message, keyed as in `operations_json`; otherwise empty."""
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A message that an explanation names."""

    message_id: str
    kind: MessageKind
    timestamp: datetime | None
    """When it happened."""
    received_at: datetime | None
    """When the server got it."""
    key_name: str | None
    """Name of the key that sent it; None where keys are not used."""


@dataclass(frozen=True, slots=True)
class ExplainStep:
    """Two ids that messages join directly: a device and a user, or two users."""

    anonymous_id: str | None
    """The device, where the messages are claims of it."""
    previous_user_id: str | None
    """The former user id, where the messages are links."""
    user_id: str
    messages: int
    """How many messages join the two."""
    first: Evidence
    last: Evidence
    sentence: str


@dataclass(frozen=True, slots=True)
class Separation:
    """Something that keeps two ids apart."""

    reason: str
    """`NO_CLAIM`, `OTHER_OWNER`, `RESET_BETWEEN`, `UNLINKED` or `RULE`; a newer server may
    know more."""
    evidence: Evidence | None
    """The message that does so, where there is one."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two ids are one person, or why not."""

    same_person: bool
    sentence: str
    """All of it as a text."""
    chain: tuple[ExplainStep, ...]
    """If they are one person: the steps from one to the other."""
    also: tuple[ExplainStep, ...]
    """If they are: further pairs that would still join them if the chain were dropped."""
    separations: tuple[Separation, ...]
    """If they are not: what keeps them apart."""
    first_person_id: str
    second_person_id: str


class ChangeKind(StrEnum):
    """What happened to an id."""

    CREATED = "created"
    """It was used for the first time, or a device for the first time after a reset."""
    JOINED = "joined"
    """Its person became part of another one."""
    SPLIT = "split"
    """It left its person: an unlink, or a message that arrived late."""
    SWITCHED = "switched"
    """The device changed hands."""
    PAST = "past"
    """An earlier stretch of the device changed hands; its latest message did not."""
    GONE = "gone"
    """No message in force names it any more."""
    UNKNOWN = "unknown"
    """A newer server knows a kind that this client does not."""


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """An id, and the person that it belongs to from here. One of the two ids is given."""

    kind: ChangeKind
    anonymous_id: str | None
    user_id: str | None
    person_id: str | None
    """Its person now; None where it is gone."""
    former_person_id: str | None
    """Its person before; None where there was none."""


@dataclass(frozen=True, slots=True)
class WatchedChange:
    """A change as `watch_changes` yields it."""

    cursor: str
    """To go on after this change; keep it together with what was made of the change."""
    change: IdentityChange
    message_id: str
    """The message that caused it."""


@dataclass(frozen=True, slots=True)
class MovedMessages:
    """How many messages go from one person to another; None means no person."""

    former_person_id: str | None
    person_id: str | None
    messages: int


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"


MISSING = Missing.MISSING
"""The value of a trait that has none; not None, which means JSON's null."""


@dataclass(frozen=True, slots=True)
class TraitChange:
    """A trait of a person that gets another value; `MISSING` means no value."""

    person_id: str
    trait: str
    former_value: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Preview:
    """What a call would change. Nothing was kept."""

    receipt: Receipt
    """What would become of the message."""
    changes: tuple[IdentityChange, ...]
    moved: tuple[MovedMessages, ...]
    traits: tuple[TraitChange, ...]


@dataclass(frozen=True, slots=True)
class Unlinked:
    """What an unlink changed; of a preview, what it would change."""

    receipt: Receipt
    """Its outcome is `split`, or `unchanged` where the pair has no direct claim or link."""
    changes: tuple[IdentityChange, ...]
    moved: tuple[MovedMessages, ...]
    traits: tuple[TraitChange, ...]
    chain: tuple[ExplainStep, ...]
    """What joins the two all the same, step by step: unlink those pairs instead."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A buffered message of which no answer came. Whether it was kept is unknown.

    It may be sent again as it is, now or tomorrow: its message id counts once, for ever.
    """

    message_id: str
    item: v1.IngestItem
    """The message, as `Client.ingest` takes it."""
    error: SameasError
    """The last failure."""


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What became of all that a buffer answered for since the report before."""

    accepted: int = 0
    """Messages that are on disk now, those of `duplicates` not counted."""
    duplicates: int = 0
    """Messages that had been accepted before."""
    refused: tuple[Refusal, ...] = ()
    undelivered: tuple[Undelivered, ...] = ()
    warnings: tuple[tuple[str, CallWarning], ...] = ()
    """Message id and warning, of accepted messages."""
    omitted: int = 0
    """Refused, undelivered and warnings beyond the 10,000 of each that a report keeps. The
    buffer's `on_error`, or its log, had the refused and the undelivered."""
    pending: int = 0
    """Messages still without an answer when the time for waiting was over."""

    @property
    def complete(self) -> bool:
        """True if every message was kept."""
        return not (self.refused or self.undelivered or self.omitted or self.pending)
