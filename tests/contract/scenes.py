"""A workspace with a few messages in it, beside another one with the same ids, and its questions.

A test says what happened in ids and minutes, and reads answers in ids and minutes too: which
numbers a store has for devices and users is its own affair.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.device import SpanRow
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message, Position, after, position_of
from sameas_service.resolver.facts import PersonKey, PersonRef
from support.damages import story
from support.histories import GAP, MINUTE, T0
from support.stored import Stored, fresh_workspace
from support.stores import Place

BEFORE_ALL = START


def position(minute: float, message_id: str, kind: Kind = Kind.TRACK) -> Position:
    """The position of a message."""
    return position_of(kind, T0 + round(minute * MINUTE), message_id)


def reset_end(minute: float, message_id: str) -> Position:
    """Where the segment after a reset starts."""
    return after(position(minute, message_id, Kind.RESET))


def said(
    kind: Kind, message_id: str, minute: float, received: int | None = None, **fields: str
) -> Message:
    """A message of a minute, received then or at a time of its own in microseconds after `T0`."""
    time = T0 + round(minute * MINUTE)
    if kind in (Kind.TRACK, Kind.GROUP):
        fields.setdefault("event", "e")
    received_at = time if received is None else T0 + received
    return accept(Call(kind, message_id, received_at, client_time=time, imported=True, **fields))


def seen(message_id: str, minute: float, device: str = "", user: str = "", **more: Any) -> Message:
    """A track."""
    return said(Kind.TRACK, message_id, minute, anonymous_id=device, user_id=user, **more)


def signed_in(message_id: str, minute: float, device: str, user: str, **more: Any) -> Message:
    """An identify, without traits where no `payload` says any."""
    return said(Kind.IDENTIFY, message_id, minute, anonymous_id=device, user_id=user, **more)


def reset(message_id: str, minute: float, device: str, user: str = "") -> Message:
    """A reset, by a user where one is given."""
    return said(Kind.RESET, message_id, minute, anonymous_id=device, user_id=user)


def merged(message_id: str, minute: float, user: str, former: str) -> Message:
    """A merge of the former user into the user's person."""
    return said(Kind.MERGE, message_id, minute, user_id=user, previous_user_id=former)


def unlinked(message_id: str, minute: float, user: str, device: str = "", other: str = "") -> Any:
    """An unlink of a user from a device, or from another user."""
    return said(
        Kind.UNLINK, message_id, minute, user_id=user, anonymous_id=device, previous_user_id=other
    )


def traits(message_id: str, minute: float, text: str, device: str = "", user: str = "") -> Message:
    """A message with operations on traits."""
    return said(Kind.PROFILE, message_id, minute, anonymous_id=device, user_id=user, payload=text)


class Scene:
    """A workspace of a store, beside another that got the story of `support.damages` before.

    Attributes:
        held: the workspace.
        other: the other one, with the same ids.
        store: the store.
        workspace: the workspace, as the port takes it.
    """

    def __init__(self, place: Place, gap: int = GAP) -> None:
        self.other = Stored(place.store, fresh_workspace(Rules(session_gap=gap)))
        self.other.append(story())
        self.rules = fresh_workspace(Rules(session_gap=gap))
        self.held = Stored(place.store, self.rules)
        self.store = place.store
        self.workspace = self.held.workspace

    def keep(self, *messages: Message) -> None:
        """Keep messages, one transaction each."""
        for message in messages:
            self.held.append([message])

    def read(self, question: str, *arguments: Any) -> Any:
        """The answer to a question of a read transaction."""
        return self.store.read(lambda tx: getattr(tx, question)(self.workspace, *arguments))

    def write(self, question: str, *arguments: Any) -> Any:
        """The answer to a question of a write transaction, which keeps nothing."""
        return self.store.write(
            lambda tx: getattr(tx, question)(self.workspace, *arguments), keep=False
        )

    def scan(self, question: str, *arguments: Any, **named: Any) -> Any:
        """The answer to a question of a scan."""
        return self.store.scan(
            lambda reader: getattr(reader, question)(self.workspace, *arguments, **named)
        )

    def user(self, name: str) -> int:
        """A user's surrogate."""
        found: int | None = self.scan("id_of", name, is_user=True)
        assert found is not None, name
        return found

    def device(self, name: str) -> int:
        """A device's surrogate."""
        found: int | None = self.scan("id_of", name, is_user=False)
        assert found is not None, name
        return found

    def user_name(self, surrogate: int | None) -> str | None:
        """A user's id by surrogate."""
        if surrogate is None:
            return None
        (user,) = self.write("users", [surrogate])
        name: str = user.name
        return name

    def names(self, surrogates: Iterable[int]) -> set[str]:
        """Users' ids by surrogate."""
        return {user.name for user in self.write("users", list(surrogates))}

    def person(self, by: str, value: str) -> PersonRef:
        """Whom a key stands for, which must be somebody."""
        (found,) = self.read("resolve", [PersonKey(by, value)])
        assert found is not None, value
        person: PersonRef = found
        return person

    def spans(self, rows: Sequence[SpanRow]) -> list[tuple[Position, str | None, Position | None]]:
        """Rows of spans with owners by name."""
        return [(row.start, self.user_name(row.owner), row.claim) for row in rows]
