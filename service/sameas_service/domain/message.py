"""What the ledger holds: messages, and their order."""

from typing import NamedTuple

from sameas_service.domain.kinds import NOT_CLAIMING, SPEAKING, Kind
from sameas_service.domain.payload import EMPTY
from sameas_service.domain.warnings import CallWarning


class Position(NamedTuple):
    """A message's place in order: by event time, resets last, then by message id as bytes.

    `at` is twice the event time, plus one for a reset. Python compares text by code point,
    which is the order of its UTF-8 bytes.
    """

    at: int
    message_id: str


START = Position(-(2**62), "")
"""Before every message: where a device's first segment starts."""


def after(position: Position) -> Position:
    """Return the first position after the given one. No id has a control character, so
    nothing sorts between an id and the same id followed by U+0001.
    """
    return Position(position.at, position.message_id + "\x01")


def position_of(kind: Kind, event_time: int, message_id: str) -> Position:
    """Return the position of a message."""
    return Position(event_time * 2 + (kind is Kind.RESET), message_id)


class Message(NamedTuple):
    """One accepted call, immutable. Built by `accept`, which checks it.

    Attributes:
        kind: what it is.
        position: its place in order; holds the message id and, doubled, the event time.
        received_at: when the server got it.
        device: the anonymous id of the timeline that it is on; for an alias, the device that
            it claims; for an unlink, the device of the pair.
        user: the user id that it names; for a link, the one that stays canonical.
        source: the former user id of a link; for an unlink, the other user of the pair.
        event: the event's name, or empty.
        payload: canonical JSON of properties, traits, operations or the rest.
        context: canonical JSON, or empty where none was sent.
        client_time: the time as the client gave it, if it did.
        sent_at: the client's clock as it sent, if it said.
        warnings: those that depend on the message alone.
    """

    kind: Kind
    position: Position
    received_at: int
    device: str | None = None
    user: str | None = None
    source: str | None = None
    event: str = ""
    payload: str = EMPTY
    context: str = ""
    client_time: int | None = None
    sent_at: int | None = None
    warnings: tuple[CallWarning, ...] = ()

    @property
    def message_id(self) -> str:
        """Its id, unique in the workspace for ever."""
        return self.position.message_id

    @property
    def event_time(self) -> int:
        """When it happened, by the client's clock as corrected."""
        return self.position.at // 2

    @property
    def is_claim(self) -> bool:
        """Whether it names both a device and a user, and is not a reset or an unlink."""
        return self.device is not None and self.user is not None and self.kind not in NOT_CLAIMING

    @property
    def is_link(self) -> bool:
        """Whether it says that two user ids are one person."""
        return self.source is not None and self.kind != Kind.UNLINK

    @property
    def has_operations(self) -> bool:
        """Whether it says anything about traits."""
        return self.payload != EMPTY and self.kind in SPEAKING

    def same_content(self, other: "Message") -> bool:
        """Return whether a message with the same id is a repeat and not another message.

        Kind, ids, client time and payload count; the context, `sent_at` and `received_at`
        do not, since a retry may change them. An export does not always say whether the
        client gave the time: so an equal event time is as good.
        """
        is_same_time = self.client_time == other.client_time or self.event_time == other.event_time
        return is_same_time and _content(self) == _content(other)


def _content(message: Message) -> tuple[object, ...]:
    return (
        message.kind,
        message.device,
        message.user,
        message.source,
        message.event,
        message.payload,
    )
