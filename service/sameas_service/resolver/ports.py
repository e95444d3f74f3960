"""What the service needs of a store. There is one suite of tests for every store."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sameas_service.domain.errors import Refused
from sameas_service.domain.message import Kind, Message, Position
from sameas_service.domain.payload import Json
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

    async def persons(self, keys: Sequence[PersonKey]) -> list[PersonView | None]:
        """The person of each key, from one snapshot; None where no message named it."""

    async def messages(
        self, key: PersonKey, only: Filter, behind: Position | None, limit: int
    ) -> Page | None:
        """A page of a person's timeline behind a position; None where there is no person.

        A page may be short, or empty, and yet not the last.
        """

    async def ready(self) -> bool:
        """Whether the store answers."""

    async def close(self) -> None:
        """Answers what waits, then lets go of the files. Later calls are refused."""
