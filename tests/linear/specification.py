"""The service done one call at a time: the slow model `derive` over the messages accepted so far.

A message's time is given, and long past, so that who is who is a function of the set of
accepted messages alone. What the server dates is dated later than all of those.
"""

from typing import Any, NamedTuple

from sameas_service.domain import payload, person_ids
from sameas_service.domain.derive import Person, Rules, World, derive
from sameas_service.domain.errors import Reason
from sameas_service.domain.message import Message

RULES = Rules()
NEW, DUPLICATE = "new", "duplicate"

Messages = frozenset[Message]
Key = tuple[str, str]
"""A field of `PersonKey` and its value."""


class Write(NamedTuple):
    """One call that keeps messages, all at one instant; answered with a word for each.

    Attributes:
        method: of the API.
        items: the messages; or of what is to be refused whatever came before, the reason.
    """

    method: str
    items: tuple[Message | Reason, ...]

    def __str__(self) -> str:
        return f"{self.method} " + "; ".join(map(_item, self.items))


class Belongs(NamedTuple):
    """Whose the messages of a call are, by its receipts; answered with their person ids.

    It stands beside the call's `Write`, in the same interval: a receipt tells whose a message
    is "now", and calls that are committed together may tell it of the group's end.
    """

    messages: tuple[Message, ...]

    def __str__(self) -> str:
        return f"receipt of {', '.join(one.message_id for one in self.messages)}"


class People(NamedTuple):
    """The persons of some keys at one instant; answered with a `Seen` or None for each."""

    keys: tuple[Key, ...]

    def __str__(self) -> str:
        return f"persons {', '.join(value for _, value in self.keys)}"


class Timeline(NamedTuple):
    """The messages of a person; answered with their ids in order, None where nobody is."""

    key: Key

    def __str__(self) -> str:
        return f"timeline {self.key[1]}"


class TurnedAway(NamedTuple):
    """A call that was refused for reasons not its own: it must have changed nothing.

    It fits anywhere and says nothing, but to a reader. If it did take effect all the same, others
    see what nobody wrote.
    """

    call: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.call}, turned away with {self.reason}"


class Seen(NamedTuple):
    """What a reader sees of a person; `traits` as canonical JSON."""

    person_id: str
    user_ids: tuple[str, ...]
    anonymous_ids: tuple[str, ...]
    traits: str

    def __repr__(self) -> str:
        return f"{self.person_id[:8]}: {' '.join(self.user_ids + self.anonymous_ids)} {self.traits}"


class Identity:
    """The specification: the state is the set of accepted messages."""

    start: Messages = frozenset()

    def __init__(self) -> None:
        self._worlds: dict[Messages, World] = {}
        self._answers: dict[tuple[Messages, Any], Any] = {}

    def step(self, state: Messages, call: Any) -> tuple[Messages, Any]:
        """The messages accepted behind a call, and its answer."""
        if isinstance(call, Write):
            return _written(state, call)
        if isinstance(call, TurnedAway):
            return state, None
        asked = (state, call)
        if asked not in self._answers:
            self._answers[asked] = _answer(self._world(state), call)
        return state, self._answers[asked]

    def is_read(self, call: Any) -> bool:
        """Whether a call keeps no messages."""
        return not isinstance(call, Write)

    def _world(self, state: Messages) -> World:
        if state not in self._worlds:
            self._worlds[state] = derive(state, RULES)
        return self._worlds[state]


def _written(state: Messages, call: Write) -> tuple[Messages, tuple[str, ...]]:
    kept = {message.message_id: message for message in state}
    words = []
    for item in call.items:
        if isinstance(item, Reason):
            words.append(item.value)
        elif item.message_id not in kept:
            kept[item.message_id] = item
            words.append(NEW)
        elif item.same_content(kept[item.message_id]):
            words.append(DUPLICATE)
        else:
            words.append(Reason.MESSAGE_ID_REUSED.value)
    return (state if len(kept) == len(state) else frozenset(kept.values())), tuple(words)


def _answer(world: World, call: Any) -> Any:
    if isinstance(call, Belongs):
        return tuple(_holder(world, message) for message in call.messages)
    if isinstance(call, Timeline):
        person = _person(world, call.key)
        return None if person is None else tuple(m.message_id for m in person.messages)
    return tuple(_seen(_person(world, key)) for key in call.keys)


def _holder(world: World, message: Message) -> str | None:
    """Whose a message is. What an unlink struck, and the unlink itself, are nobody's: their
    receipts name the user's person.
    """
    for person_id, person in world.people.items():
        if any(held.message_id == message.message_id for held in person.messages):
            return person_id
    if message.user is None:
        return None
    alone = person_ids.of_user(RULES.workspace, message.user)
    return world.user_ids.get(message.user, alone)


def _person(world: World, key: Key) -> Person | None:
    field, value = key
    ids = world.user_ids if field == "user_id" else world.anonymous_ids
    return world.people.get(ids.get(value, ""))


def _seen(person: Person | None) -> Seen | None:
    if person is None:
        return None
    devices = {span.device for span in person.spans}
    if not person.users:
        devices = {message.device for message in person.messages if message.device is not None}
    return Seen(
        person.person_id,
        tuple(person.users),
        tuple(sorted(devices)),
        payload.canonical(person.traits),
    )


def _item(item: Message | Reason) -> str:
    if isinstance(item, Reason):
        return item.value
    ids = "/".join(one for one in (item.device, item.source, item.user) if one is not None)
    text = item.event + ("" if item.payload == payload.EMPTY else item.payload)
    return f"{item.kind.name.lower()} {item.message_id} {ids} at {item.event_time // 10**6} {text}"
