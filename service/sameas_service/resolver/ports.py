"""What the service needs of a store. There is one suite of tests for every store."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sameas_service.domain.changes import LoggedChange
from sameas_service.domain.errors import Refused
from sameas_service.domain.explain.explain import Explanation
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, Position
from sameas_service.domain.payload import Json
from sameas_service.domain.preview import Preview
from sameas_service.domain.receipt import Receipt


class PersonKey(NamedTuple):
    """One of a person's ids: `by` is `user`, `anonymous` or `person`."""

    by: str
    value: str


class PersonView(NamedTuple):
    """What a reader sees of a person. Times are microseconds."""

    person_id: str
    user_ids: Sequence[str]
    anonymous_ids: Sequence[str]
    anonymous_ids_truncated: bool
    first_seen: int
    last_seen: int
    traits: dict[str, Json]


class Filter(NamedTuple):
    """Which messages of a timeline: empty sets stand for all; times in microseconds,
    `start_time` included and `end_time` not.
    """

    kinds: frozenset[Kind] = frozenset()
    events: frozenset[str] = frozenset()
    start_time: int | None = None
    end_time: int | None = None

    def takes(self, message: Message) -> bool:
        """Whether a message is one of them."""
        return (
            (not self.kinds or message.kind in self.kinds)
            and (not self.events or message.event in self.events)
            and (self.start_time is None or message.event_time >= self.start_time)
            and (self.end_time is None or message.event_time < self.end_time)
        )


class Page(NamedTuple):
    """Some messages in order of position, and where to go on: None at the end."""

    messages: Sequence[Message]
    next: Position | None


class Store(Protocol):
    """A ledger of messages, and who is who because of them.

    Every method may be awaited by many callers at once. Reads see every write that was
    answered before they began.
    """

    async def append(self, messages: Sequence[Message]) -> list[Receipt | Refused]:
        """Keeps messages; when it returns they are on disk.

        One answer a message, in their order. A message id that was used before with the
        same content gives a receipt marked as a duplicate, with other content a refusal
        with `MESSAGE_ID_REUSED`; the others are kept all the same.

        Raises:
            Refused: `SERVER_STOPPING` or `DISK_FULL`; then nothing was kept.
        """

    async def report(self, message: Message, *, keep: bool) -> Preview | Refused:
        """What a message changes: keeps it and tells, or only tells what it would change.

        Either way the answer is the same. A refusal is as of `append`.
        """

    async def changes(self, cursor: int, limit: int) -> list[LoggedChange]:
        """Changes of who is who behind a cursor, in order; empty at the present."""

    async def persons(
        self, keys: Sequence[PersonKey], as_of: int | None = None
    ) -> list[PersonView | None]:
        """The person of each key, from one snapshot; None where no message named it.

        With `as_of`, in microseconds: as if only the messages received up to then had come.

        Raises:
            Refused: `OVERLOADED` if `as_of` is given and too many messages matter.
        """

    async def messages(
        self,
        key: PersonKey,
        only: Filter,
        behind: Position | None,
        limit: int,
        as_of: int | None = None,
    ) -> Page | None:
        """A page of a person's timeline behind a position; None where there is no person.

        A page may be short, or empty, and yet not the last. For `as_of` see `persons`.
        """

    async def explain(
        self, first: PersonKey, second: PersonKey, as_of: int | None = None
    ) -> Explanation:
        """Why two keys are one person, or why not. For `as_of` see `persons`."""

    async def ready(self) -> bool:
        """Whether the store answers."""

    async def close(self) -> None:
        """Answers what waits, then lets go of the files. Later calls are refused."""
