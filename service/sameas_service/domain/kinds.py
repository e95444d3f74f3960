"""The kinds of messages: one table of what each kind means.

Rules, SQL and the import format read it. A kind's number is here alone.
"""

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What a message is. The numbers are those of `MessageKind` in the protos, and stored."""

    IDENTIFY = 1
    ALIAS = 2
    TRACK = 3
    PAGE = 4
    SCREEN = 5
    GROUP = 6
    RESET = 7
    PROFILE = 8
    MERGE = 9
    UNLINK = 10


class KindTraits(NamedTuple):
    """What is true of all messages of one kind.

    Attributes:
        claims: whether it claims its device for its user, where it names both.
        on_timeline: whether it counts as a message of the device and user that it names.
        speaks: whether its payload may hold operations on traits.
        is_event: whether `Track` takes it.
        device_word: the import format's word for the anonymous id.
        event_word: the import format's word for the event.
        payload_word: the import format's word for the payload; None where the payload's keys
            are words of the line themselves.
    """

    claims: bool = True
    on_timeline: bool = True
    speaks: bool = False
    is_event: bool = False
    device_word: str = "anonymousId"
    event_word: str = "event"
    payload_word: str | None = "properties"


KINDS = {
    Kind.IDENTIFY: KindTraits(speaks=True, payload_word="traits"),
    Kind.ALIAS: KindTraits(device_word="previousId", payload_word=None),
    Kind.TRACK: KindTraits(is_event=True),
    Kind.PAGE: KindTraits(is_event=True, event_word="name"),
    Kind.SCREEN: KindTraits(is_event=True, event_word="name"),
    Kind.GROUP: KindTraits(is_event=True, event_word="groupId", payload_word="traits"),
    Kind.RESET: KindTraits(claims=False),
    Kind.PROFILE: KindTraits(speaks=True, payload_word=None),
    Kind.MERGE: KindTraits(payload_word=None),
    Kind.UNLINK: KindTraits(claims=False, on_timeline=False, payload_word=None),
}

SPEAKING = tuple(kind for kind, traits in KINDS.items() if traits.speaks)
"""The kinds of messages that may speak of traits."""

NOT_CLAIMING = tuple(kind for kind, traits in KINDS.items() if not traits.claims)
"""The kinds of messages that never claim a device."""

EVENTS = tuple(kind for kind, traits in KINDS.items() if traits.is_event)
"""The kinds that `Track` takes."""
