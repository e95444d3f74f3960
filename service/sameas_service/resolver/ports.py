"""What the use cases need of a store. Each store passes the same suite, `tests/contract`.

A store answers questions, each over a set, takes locks in `open`, and writes in `apply`. It
knows no rule: what to ask and what to write is decided here, in `write`, `read` and `maintain`.
No exception of a driver leaves a store, only those of `failures`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from sameas_service.domain.changes import LoggedChange
from sameas_service.domain.device import Cut, SpanRow
from sameas_service.domain.message import Message, Position
from sameas_service.domain.receipt import Outcome
from sameas_service.resolver.facts import (
    Chunk,
    Filter,
    KeyTarget,
    Kin,
    LinkRow,
    Names,
    Neighbours,
    Opening,
    Operations,
    PersonFacts,
    PersonKey,
    PersonRef,
    Rows,
    Source,
    Table,
    User,
    Workspace,
)

T = TypeVar("T")


class ReadTransaction(Protocol):
    """Questions that all see the same commits."""

    def resolve(self, workspace: Workspace, keys: Sequence[PersonKey]) -> list[PersonRef | None]:
        """Return whom each key names now; None where it was never used."""

    def person_facts(self, workspace: Workspace, persons: Sequence[PersonRef]) -> PersonFacts:
        """Return what there is of persons; one that no message belongs to is not `seen`."""

    def sources(
        self, workspace: Workspace, persons: Sequence[PersonRef]
    ) -> dict[PersonRef, list[Source]]:
        """Return where the messages of each person are."""

    def page(
        self,
        workspace: Workspace,
        sources: Sequence[Source],
        after: Position,
        only: Filter,
        size: int,
    ) -> Chunk:
        """Return what the filter takes of the next `size` messages after a position.

        The filter's `end_time` ends what is looked at; its `start_time` is the caller's to
        begin at.
        """

    def changes(self, workspace: Workspace, cursor: int, limit: int) -> list[LoggedChange]:
        """Return the changes after a cursor, in order."""

    def messages_by_id(
        self, workspace: Workspace, message_ids: Sequence[str]
    ) -> list[tuple[Message, Outcome]]:
        """Return messages by id, with what they did, in no order."""

    def persons_of_messages(
        self, workspace: Workspace, message_ids: Sequence[str]
    ) -> dict[str, PersonRef]:
        """Return whom each message belongs to now, by message id."""


class WriteTransaction(ReadTransaction, Protocol):
    """A transaction that writes. Questions see what `apply` has written."""

    def open(self, workspace: Workspace, names: Names) -> Opening:
        """Return what there is of what a group names, and give new names their surrogates.

        The one place where locks are taken: devices first, then users and canonical users,
        those named and those who own a span next to where a message falls.
        """

    def users(self, workspace: Workspace, ids: Sequence[int]) -> list[User]:
        """Return users by surrogate."""

    def members(self, workspace: Workspace, canonical: Sequence[int]) -> list[User]:
        """Return all users of the persons of canonical users."""

    def links_among(self, workspace: Workspace, users: Sequence[int]) -> list[LinkRow]:
        """Return the links in force that name one of the users."""

    def links_between(self, workspace: Workspace, first: int, second: int) -> list[LinkRow]:
        """Return the links in force of two users, in either direction."""

    def still_named(self, workspace: Workspace, users: Sequence[int]) -> set[int]:
        """Return those of the users that a message in force names."""

    def devices_of(self, workspace: Workspace, owners: Sequence[int]) -> list[tuple[str, int]]:
        """Return the anonymous ids of which one of the users owns the latest position, with it."""

    def neighbours(
        self, workspace: Workspace, places: Sequence[tuple[int, Position]]
    ) -> list[Neighbours]:
        """Return the spans around positions of devices, in the order of the places."""

    def claims(
        self, workspace: Workspace, places: Sequence[tuple[int, int, Position, Position]]
    ) -> list[tuple[Position | None, Position | None]]:
        """Return claims next to places, in their order.

        A place is a device, a user, a position and a bound: the answer is the user's last claim
        before the position, and their first one after it and before the bound.
        """

    def visit_starts(self, workspace: Workspace, cuts: Sequence[tuple[int, Cut]]) -> list[Position]:
        """Return where the visits start that lead to the cuts' origins, by device.

        Walk back over messages without a user, at most the session gap apart, and not as far
        as the cut's wall.
        """

    def spans_of(self, workspace: Workspace, device: int) -> list[SpanRow]:
        """Return all spans of a device, in order."""

    def last_visitor(self, workspace: Workspace, device: int) -> Position | None:
        """Return the position of a device's last message without a user."""

    def first_alias_sources(
        self, workspace: Workspace, aliases: Sequence[tuple[str, int, str]]
    ) -> list[str | None]:
        """Return the first source of each user's earlier aliases, in the order given.

        An alias is a message id, a user and a source; aliases of that id and that source do
        not count.
        """

    def profiles(self, workspace: Workspace, person_ids: Sequence[str]) -> dict[str, str]:
        """Return the stored profiles as text, by person id."""

    def operations(self, workspace: Workspace, sources: Sequence[Source]) -> list[Operations]:
        """Return what the messages of sources say of traits, in no order."""

    def counts(self, workspace: Workspace, sources: Sequence[Source], but: str) -> list[int]:
        """Count the messages of each source, but for the one with this id."""

    def apply(self, workspace: Workspace, rows: Rows) -> None:
        """Write rows, in the order in which `Rows` names them."""


class LedgerReader(Protocol):
    """The ledger as it was when the scan began, however many statements read it.

    Messages that are taken meanwhile are in no answer. Names that they bring may be (`targets`,
    `device_ids`, `id_of`), and `users_after` and `devices_after` are right as of when they are
    asked.
    """

    def workspace(self, name: str) -> Workspace | None:
        """Return a workspace by name."""

    def targets(self, workspace: Workspace, keys: Sequence[PersonKey]) -> list[KeyTarget | None]:
        """Return what each key names; None where nothing ever was called so."""

    def kin(self, workspace: Workspace, users: Sequence[str], received_until: int) -> Kin:
        """Return who was ever linked with user ids by messages received until then."""

    def links_of(
        self, workspace: Workspace, users: Sequence[str], received_until: int
    ) -> list[int]:
        """Return the numbers of all links, struck ones too, of whoever was linked with users."""

    def numbers_of(
        self, workspace: Workspace, kin: Kin, received_until: int, limit: int
    ) -> list[int]:
        """Return the numbers of messages of users and on devices, `limit` at most."""

    def messages(self, workspace: Workspace, numbers: Sequence[int]) -> list[Message]:
        """Return messages by number, in the order given."""

    def unlinks_of(self, workspace: Workspace, users: Sequence[str]) -> list[Message]:
        """Return the unlinks that name one of the users."""

    def number_of(self, workspace: Workspace, message_id: str) -> int | None:
        """Return the number of a message."""

    def count_after(self, workspace: Workspace, number: int) -> int:
        """Count the messages after a number."""

    def messages_after(
        self, workspace: Workspace, number: int, limit: int
    ) -> list[tuple[int, Message]]:
        """Return the next messages in the order of the ledger, with their numbers."""

    def id_of(self, workspace: Workspace, name: str, *, is_user: bool) -> int | None:
        """Return the surrogate of a user id or anonymous id."""

    def users_after(
        self, workspace: Workspace, user: int, limit: int
    ) -> list[tuple[int, str, str]]:
        """Return the next named users: surrogate, user id, canonical user id."""

    def devices_after(
        self, workspace: Workspace, device: int, limit: int
    ) -> list[tuple[int, str, Position, list[tuple[Position, str | None]]]]:
        """Return the next devices that have messages.

        Each with surrogate, anonymous id, position of the last message, and its spans: where
        each starts, and the canonical user id of who owns it.
        """


class Store(Protocol):
    """A ledger of messages, and who is who because of them.

    Every method may be called from any thread. A read sees every write that returned before
    the read began.

    Raises:
        StoreFull: there is no room; nothing was kept.
        StoreBusy: another program holds the database; nothing was kept.
        StoreFailed: whether the last write was kept is unknown; the process should end.
        StoreError: a statement failed, by a fault of ours; nothing was kept.
    """

    def workspace(self, name: str, session_gap: int) -> Workspace:
        """Return a workspace, making it where it is missing.

        The session gap is the one that it was made with: another would change the past.
        """

    def write(self, work: Callable[[WriteTransaction], T], *, keep: bool = True) -> T:
        """Run `work` in one transaction. When this returns, what it wrote is on disk.

        `work` may run again after a conflict, with nothing kept of the first time: it must
        change nothing outside of the transaction. Without `keep` all is taken back.
        """

    def read(self, work: Callable[[ReadTransaction], T]) -> T:
        """Run `work` on one snapshot."""

    def scan(self, work: Callable[[LedgerReader], T]) -> T:
        """Run `work`, which may take long, on the ledger as it is now."""

    def between_writes(self) -> None:
        """Do what is due between two transactions, such as a checkpoint."""

    def ready(self, timeout_seconds: float) -> bool:
        """Return whether the store answers within this time."""

    def close(self) -> None:
        """Close the store. Not to be called after `StoreFailed`: it would write again."""


class Maintenance(Protocol):
    """A store that no one else has open, for verify and rebuild.

    Rows are tuples, and those of the ledger have the cells of `Entry`: a class for each would
    cost as much as all else of reading it. Several questions may be read from at a time, but
    not while something is written.
    """

    def workspaces(self) -> list[Workspace]:
        """Return all workspaces, in order of id."""

    def count(self, workspace: Workspace) -> int:
        """Return how many messages a workspace has."""

    def entries(self, workspace: Workspace) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the whole ledger, in its order and in pieces."""

    def pairs(self, workspace: Workspace) -> Iterator[tuple[Any, ...]]:
        """Yield of the ledger the unlinks, and the links: the messages with a source."""

    def names(self, workspace: Workspace, table: str) -> Iterator[tuple[int, str]]:
        """Yield the surrogates and names of `user` or `device`, or the numbers and ids of
        `message`, in order.
        """

    def stored(self, workspace: Workspace, table: Table) -> Iterator[tuple[Any, ...]]:
        """Yield a table's rows, keys first, in order of key.

        Where there is one workspace, a row is its too if its device or user is gone.
        """

    def is_rebuilding(self) -> bool:
        """Return whether a rebuild is under way, or was interrupted."""

    def begin_rebuild(self, session_gaps: dict[int, int]) -> None:
        """Mark that a rebuild is under way, and store session gaps by workspace."""

    def remove(self, workspace: Workspace, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        """Remove rows of a table that is not kept, in one transaction."""

    def put(self, workspace: Workspace, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows to a table, in one transaction. Of a table that is kept, set the values."""

    def end_rebuild(self) -> None:
        """Mark that the rebuild is done."""
