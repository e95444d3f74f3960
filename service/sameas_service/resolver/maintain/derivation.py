"""What the derived tables of a workspace must hold, computed from its ledger.

The rules are those that `derive` is made of. Here they run over sorted rows instead of over all
messages at once: device by device for ownership, then person by person for profiles. Devices
and users are surrogates; names matter to person ids alone.

In memory are the unlinks and links, a byte for each device and user, a run of each sorter, and
the operations of one person.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, groupby
from operator import itemgetter
from typing import Self

from sameas_service.domain import person_ids
from sameas_service.domain.message import START, Position
from sameas_service.domain.ownership import DeviceFold, Span, Unowned
from sameas_service.resolver.facts import TABLES, Table, Workspace
from sameas_service.resolver.maintain.external_sort import Row, Sorter, paired
from sameas_service.resolver.maintain.ledger_pass import LedgerPass
from sameas_service.resolver.maintain.pairs import Pairs, read_pairs
from sameas_service.resolver.maintain.profiles import Names, attributed, folded
from sameas_service.resolver.ports import Maintenance

Progress = Callable[[str, int, int], None]
"""Called as `progress(step, done, total)`."""

_QUIET_DEVICE = (*START, None, *START, None, None, 1, 0)
"""The values of a device on which no message counts."""


class Derivation:
    """The expected rows of a workspace's derived tables. Use it as a context manager.

    Attributes:
        messages: how many messages the ledger has.
        lost: how many devices and users of the ledger have no name.
        rows: the rows of each table by its name, sorted, as `facts.TABLES` has their columns; of
            `message` only those that are marked wrongly.
    """

    def __init__(self, maintenance: Maintenance, workspace: Workspace, progress: Progress) -> None:
        """Compute everything."""
        self.messages = maintenance.count(workspace)
        self.lost = 0
        self._maintenance = maintenance
        self._workspace = workspace
        self._progress = progress
        self.rows: dict[str, Sorter] = {}
        with ExitStack() as files:
            for table in TABLES:
                self.rows[table.name] = files.enter_context(Sorter())
            self._wrong_marks = files.enter_context(Sorter())
            self._compute()
            self._files = files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def wrong(self, table: Table) -> Iterator[tuple[Row | None, Row | None]]:
        """Yield the rows of a table that are not as expected: as stored, and as expected."""
        stored: Iterable[Row] = self._wrong_marks
        if table.name != "message":
            stored = self._maintenance.stored(self._workspace, table)
        for found, expected in paired(stored, self.rows[table.name], len(table.keys)):
            if found != expected:
                yield found, expected

    def _compute(self) -> None:
        pairs = read_pairs(self._maintenance, self._workspace)
        self.rows["unlink"].extend(pairs.unlinks)
        self.rows["link"].extend(pairs.links)
        with ExitStack() as files:
            ledger = LedgerPass(pairs, self.rows["message"], self._wrong_marks, files)
            ledger.read(self._maintenance.entries(self._workspace), self._tell_read)
            self._list_users(ledger, pairs)
            self._follow_devices(ledger)
            for row in attributed(ledger.visitors, self.rows["span"], pairs):
                ledger.operations.add(row)
            self._fold_profiles(ledger.operations)

    def _names(self, table: str) -> Iterator[tuple[int, str]]:
        return self._maintenance.names(self._workspace, table)

    def _tell_read(self, done: int) -> None:
        self._progress("reading the ledger", done, self.messages)

    def _told(self, step: str, rows: Sorter) -> Iterator[Row]:
        """Yield rows, and tell now and then how many there were."""
        return chain.from_iterable(self._chunks_told(step, rows))

    def _chunks_told(self, step: str, rows: Sorter) -> Iterator[list[Row]]:
        done, total = 0, len(rows)
        self._progress(step, 0, total)
        for chunk in rows.chunks():
            yield chunk
            done += len(chunk)
            self._progress(step, done, total)

    def _list_users(self, ledger: LedgerPass, pairs: Pairs) -> None:
        mentioned = ((user,) for user in ledger.mentioned)
        for named, unnamed in paired(self._names("user"), mentioned, 1):
            if named is not None:
                user, name = named
                person_id = person_ids.of_user(self._workspace.name, name)
                self.rows["person"].add((person_id, user, None, None, None))
            elif unnamed is not None:
                (user,) = unnamed
                self.lost += 1
            canonical = pairs.canonical.get(user, user)
            self.rows["user"].add((user, canonical, int(user in ledger.named)))

    def _follow_devices(self, ledger: LedgerPass) -> None:
        timelines = groupby(self._told("timelines", ledger.timelines), itemgetter(0))
        for named, timeline in paired(self._names("device"), timelines, 1):
            if named is not None:
                device, name = named
                self._add_segment(device, name, START)
            elif timeline is not None:
                device, name = timeline[0], None
                self.lost += 1
            if timeline is None:
                self.rows["device"].add((device, *_QUIET_DEVICE))
            else:
                speaks = int(device in ledger.with_operations)
                self.rows["device"].add((*self._follow(device, name, timeline[1]), speaks))

    def _follow(self, device: int, name: str | None, timeline: Iterable[Row]) -> Row:
        """Follow a device through its messages. Return its row, but for the last cell."""
        fold, segment = DeviceFold(str(device), self._workspace.session_gap), START
        for _, at, message_id, user, is_reset in timeline:
            name_of_user = None if user is None else str(user)
            ended = fold.take(at, message_id, name_of_user, is_reset=is_reset)
            if ended is None:
                continue
            self._add_span(device, ended)
            if isinstance(fold.open, Unowned):
                segment = fold.open.start
                self._add_segment(device, name, segment)
        self._add_span(device, fold.open)
        owner = int(fold.open.owner) if isinstance(fold.open, Span) else None
        visit = fold.visit or (None, None)
        return device, *fold.last, owner, *segment, *visit, 1

    def _add_span(self, device: int, span: Span | Unowned) -> None:
        """Add the row of a span. A first segment without an owner has none."""
        if isinstance(span, Span):
            self.rows["span"].add((device, *span.start, int(span.owner), *span.claim))
        elif span.start != START:
            self.rows["span"].add((device, *span.start, None, None, None))

    def _add_segment(self, device: int, name: str | None, start: Position) -> None:
        if name is not None:
            person_id = person_ids.of_segment(self._workspace.name, name, start)
            self.rows["person"].add((person_id, None, device, *start))

    def _fold_profiles(self, operations: Sorter) -> None:
        users, devices = Names(self._names("user")), Names(self._names("device"))
        told = self._told("profiles", operations)
        for row in folded(told, self._workspace.name, users, devices):
            self.rows["profile"].add(row)
