"""Values that pass between the use cases and a store.

Devices and users are surrogates here: the store's own small numbers for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sameas_service.domain import person_ids
from sameas_service.domain.changes import Change
from sameas_service.domain.device import Device, SpanRow
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, Position
from sameas_service.domain.receipt import Outcome

FOREVER = Position(2**62, "")
"""After every message."""


class Workspace(NamedTuple):
    """A tenant, as the store knows it; `session_gap` in microseconds."""

    id: int
    name: str
    session_gap: int


@dataclass(slots=True)
class User:
    """A user id, and the user that is canonical for its person.

    Attributes:
        id: the surrogate.
        name: the user id.
        canonical: surrogate of the canonical user; the user itself where nothing links it.
        named: whether a message in force names the user.
    """

    id: int
    name: str
    canonical: int
    named: bool


class AnonymousSegment(NamedTuple):
    """A segment without an owner: an anonymous person.

    Attributes:
        device: surrogate of the device.
        name: its anonymous id.
        start: the segment's first position.
    """

    device: int
    name: str
    start: Position


class CanonicalUser(NamedTuple):
    """A person with user ids, by surrogate and name of the canonical one."""

    id: int
    name: str


PersonRef = CanonicalUser | AnonymousSegment
"""A person, as a store finds it."""


def person_id_of(person: PersonRef, workspace: Workspace) -> str:
    """Return a person's id."""
    if isinstance(person, AnonymousSegment):
        return person_ids.of_segment(workspace.name, person.name, person.start)
    return person_ids.of_user(workspace.name, person.name)


Holder = int | AnonymousSegment
"""Who holds a message: a user, by surrogate, or a segment without an owner."""


class Names(NamedTuple):
    """What a group of messages names.

    Attributes:
        message_ids: the ids of all messages, repeats too.
        devices: anonymous ids; those that are new get a surrogate.
        known_devices: further anonymous ids that are looked for and not made.
        users: user ids; those that are new get a surrogate.
    """

    message_ids: Sequence[str]
    devices: Sequence[str]
    known_devices: Sequence[str]
    users: Sequence[str]


class Opening(NamedTuple):
    """What a store has of what a group of messages names.

    Attributes:
        known_ids: the message ids that the ledger has.
        devices: the devices that were there.
        new_devices: the surrogates of those that were not, by anonymous id.
        users: those that were there, the owners of the devices' present spans, and the
            canonical users of all of them.
        new_users: the surrogates of those that were not there, by user id.
        unlinks: all unlinks that name one of the users.
    """

    known_ids: set[str]
    devices: Sequence[Device]
    new_devices: dict[str, int]
    users: Sequence[User]
    new_users: dict[str, int]
    unlinks: Sequence["UnlinkRow"]


class Neighbours(NamedTuple):
    """The spans before, at and after a position of a device.

    A device's first segment has no row while it has no owner; then `at` is made up.
    """

    before: SpanRow | None
    at: SpanRow
    after: SpanRow | None


class LinkRow(NamedTuple):
    """A link in force; `source` joins `target`, both by surrogate."""

    position: Position
    source: int
    target: int


class UnlinkRow(NamedTuple):
    """An unlink of a device and a user, or of two users, by their ids.

    Ids and not surrogates, since no other message may have named them yet. `upto` is the event
    time in microseconds up to which the pair's claims and links are struck.
    """

    message_id: str
    device: str | None
    user: str
    source: str | None
    upto: int


class MessageRow(NamedTuple):
    """A new message of the ledger, what it did, and the surrogates of what it names.

    `struck` is the user that a struck link names without counting; `user` is None then.
    """

    message: Message
    outcome: Outcome
    device: int | None
    user: int | None
    source: int | None
    struck: int | None


class PersonRow(NamedTuple):
    """What a person id names: a user, or a device's segment from `start` on."""

    person_id: str
    user: int | None
    device: int | None
    start: Position | None


@dataclass(slots=True)
class Rows:
    """What one transaction writes of one workspace. A store writes it in the order given here.

    Attributes:
        users: new ones, and those with another canonical user or `named`, by surrogate.
        devices: new ones, and those in another state, by surrogate.
        messages: new messages, in the order of the ledger.
        struck_links: ids of links that count no more; they may be among `messages`.
        spans: rows to write, by device and start; None to delete.
        links: whether a link is in force from now on (True) or no more (False).
        unlinks: new unlinks.
        persons: person ids that are handed out; one that is there already stays as it is.
        profiles: profiles as text, by person id; None to delete.
        changes: what changes about who is who, with the id of the message that does it.
    """

    users: dict[int, User] = field(default_factory=dict)
    devices: dict[int, Device] = field(default_factory=dict)
    messages: list[MessageRow] = field(default_factory=list)
    struck_links: list[str] = field(default_factory=list)
    spans: dict[tuple[int, Position], SpanRow | None] = field(default_factory=dict)
    links: dict[LinkRow, bool] = field(default_factory=dict)
    unlinks: list[UnlinkRow] = field(default_factory=list)
    persons: list[PersonRow] = field(default_factory=list)
    profiles: dict[str, str | None] = field(default_factory=dict)
    changes: list[tuple[str, Change]] = field(default_factory=list)


class Operations(NamedTuple):
    """A message that speaks of traits: its place, whether it names a user, and its payload."""

    position: Position
    named: bool
    kind: int
    payload: str


class Source(NamedTuple):
    """Where messages of a person are.

    Without a device, all messages that name the user. With one, those of the device from `start`
    up to `end` that name no user; then `user` owns them, or is None where they have no owner.
    """

    user: int | None
    device: int | None = None
    start: Position | None = None
    end: Position | None = None


class Chunk(NamedTuple):
    """Some messages of sources, in order of position.

    Attributes:
        examined: how many were looked at.
        messages: those of them that the filter takes.
        last: position of the last one looked at; None where there was none.
    """

    examined: int
    messages: Sequence[Message]
    last: Position | None


class PersonFacts(NamedTuple):
    """What a store has of some persons.

    Attributes:
        seen: event time of the first and the last message, in doubled microseconds (`at`).
        users: each person's user ids, in no order.
        devices: each person's anonymous ids, sorted, one more than may be listed.
        profiles: the texts of profiles, by person id.
    """

    seen: dict[PersonRef, tuple[int, int]]
    users: dict[PersonRef, list[str]]
    devices: dict[PersonRef, list[str]]
    profiles: dict[str, str]


class Kin(NamedTuple):
    """Users that any link ever joined, struck or not, and the devices that they ever claimed."""

    users: Sequence[int]
    devices: Sequence[int]


class PersonKey(NamedTuple):
    """One of a person's ids: `by` is `user`, `anonymous` or `person`."""

    by: str
    value: str


class Filter(NamedTuple):
    """Which messages of a timeline.

    Empty sets stand for all. Times are in microseconds, `start_time` included and `end_time`
    not.
    """

    kinds: frozenset[Kind] = frozenset()
    events: frozenset[str] = frozenset()
    start_time: int | None = None
    end_time: int | None = None

    def takes(self, message: Message) -> bool:
        """Return whether a message is one of them."""
        return (
            (not self.kinds or message.kind in self.kinds)
            and (not self.events or message.event in self.events)
            and (self.start_time is None or message.event_time >= self.start_time)
            and (self.end_time is None or message.event_time < self.end_time)
        )


class KeyTarget(NamedTuple):
    """What a key names: a user, or a device at its latest message or at a segment's start."""

    user: str | None
    device: str | None
    start: Position | None


class Entry(NamedTuple):
    """A message of the ledger as maintenance reads it, by surrogates.

    Attributes:
        number: its place in the ledger.
        at: first half of its position.
        message_id: second half.
        kind: the kind's number.
        device: the device that it names, if any; of an unlink none.
        user: the user that it names, whether or not that counts; of an unlink none.
        source: the source of a link.
        stored_user: the user as marked in the ledger's row: None for a struck link.
        stored_struck: the user that the row marks as struck.
        stored_speaks: whether the row is marked as speaking of traits.
        payload: canonical JSON; empty where the kind neither speaks of traits nor is an unlink.
    """

    number: int
    at: int
    message_id: str
    kind: int
    device: int | None
    user: int | None
    source: int | None
    stored_user: int | None
    stored_struck: int | None
    stored_speaks: int
    payload: str


class Table(NamedTuple):
    """A table with derived columns.

    Attributes:
        name: the same in every store.
        keys: the columns of its primary key, after the workspace.
        values: the other derived columns.
        is_kept: whether its rows are the ledger's, and only `values` are derived.
    """

    name: str
    keys: tuple[str, ...]
    values: tuple[str, ...]
    is_kept: bool = False


TABLES = (
    Table("unlink", ("message_id",), ("device", "user", "source", "upto")),
    Table("message", ("seq",), ("user", "struck", "speaks"), is_kept=True),
    Table("link", ("source", "target", "at", "message_id"), ()),
    Table("user", ("id",), ("canonical", "named"), is_kept=True),
    Table(
        "device",
        ("id",),
        (
            "last_at",
            "last_id",
            "owner",
            "segment_at",
            "segment_id",
            "visit_at",
            "visit_id",
            "visit_known",
            "has_operations",
        ),
        is_kept=True,
    ),
    Table("span", ("device", "start_at", "start_id"), ("owner", "claim_at", "claim_id")),
    Table("person", ("person_id",), ("user", "device", "start_at", "start_id")),
    Table("profile", ("person_id",), ("traits",)),
)
"""What verify compares and rebuild replaces, in the order in which it does."""
