"""The store behind its port: group commit for writes, shared snapshots for reads."""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sameas_service.domain.changes import LoggedChange
from sameas_service.domain.derive import Rules
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.explain.explain import Explanation
from sameas_service.domain.message import Message, Position
from sameas_service.domain.preview import Preview
from sameas_service.domain.receipt import Receipt
from sameas_service.resolver.ports import Filter, Page, PersonKey, PersonView
from sameas_service.store.sqlite import changes, failpoints, past, reading, views
from sameas_service.store.sqlite.database import Database
from sameas_service.store.sqlite.failpoints import Failpoint
from sameas_service.store.sqlite.reading import PageQuery
from sameas_service.store.sqlite.together import Together

log = logging.getLogger(__name__)

GROUP_MESSAGES_MAX = 2_500
"""Messages of one transaction, more or less: a group ends behind the call that reaches it."""

HEAVY_CHARACTERS = 4_096
"""A message weighs one more for each so many characters of its payload and context, so that a
group of large ones ends sooner and the log stays short."""

GROUP_PERSONS_MAX = 256
GROUP_PAGES_MAX = 16
GROUP_PAST_MAX = 1

Answers = list[Receipt | Refused]
Result = TypeVar("Result")


class Report(NamedTuple):
    """A message whose changes are asked for; kept, or only tried."""

    message: Message
    keep: bool


class SqliteStore:
    """A data directory, served to many callers at once.

    Writes go through one thread with the one writing connection; persons, timelines and the
    past have a thread and a connection each, so that a long read keeps no short one waiting.
    """

    def __init__(
        self, directory: Path, rules: Rules, on_failure: Callable[[], object] = lambda: None
    ) -> None:
        """Opens the data directory, for this process alone.

        Args:
            directory: made where it is missing.
            rules: the workspace; its session gap is fixed when it is first opened.
            on_failure: called once, from another thread, when the disk fails; the store
                refuses everything from then on, and the process should end.
        """
        self._database = Database(directory, rules)
        self._on_failure = on_failure
        self._failed = False
        self._person_reader = self._database.reader()
        self._page_reader = self._database.reader()
        self._past_reader = self._database.reader()
        self._change_reader = self._database.reader()
        self._writing: Together[Any, Any] = Together(
            "writer", self._write, GROUP_MESSAGES_MAX, self._tidy
        )
        self._persons = Together("persons", self._read_persons, GROUP_PERSONS_MAX)
        self._pages = Together("pages", self._read_pages, GROUP_PAGES_MAX)
        self._past = Together("past", self._read_past, GROUP_PAST_MAX)
        self._following = Together("changes", self._read_changes, GROUP_PAGES_MAX)

    async def append(self, messages: Sequence[Message]) -> Answers:
        """See `Store.append`."""
        if not messages:
            return []
        answers: Answers = await self._writing.do(messages, weight_of(messages))
        return answers

    async def report(self, message: Message, *, keep: bool) -> Preview | Refused:
        """See `Store.report`."""
        preview: Preview | Refused = await self._writing.do(Report(message, keep))
        return preview

    async def changes(self, cursor: int, limit: int) -> list[LoggedChange]:
        """See `Store.changes`."""
        return await self._following.do((cursor, limit))

    async def persons(
        self, keys: Sequence[PersonKey], as_of: int | None = None
    ) -> list[PersonView | None]:
        """See `Store.persons`."""
        if as_of is not None:
            views: list[PersonView | None] = await self._past.do(
                partial(past.persons, keys=keys, as_of=as_of)
            )
            return views
        return await self._persons.do(keys, len(keys)) if keys else []

    async def messages(
        self,
        key: PersonKey,
        only: Filter,
        behind: Position | None,
        limit: int,
        as_of: int | None = None,
    ) -> Page | None:
        """See `Store.messages`."""
        query = PageQuery(key, only, behind, limit)
        if as_of is not None:
            page: Page | None = await self._past.do(
                partial(past.messages, query=query, as_of=as_of)
            )
            return page
        return await self._pages.do(query)

    async def explain(
        self, first: PersonKey, second: PersonKey, as_of: int | None = None
    ) -> Explanation:
        """See `Store.explain`."""
        explanation: Explanation = await self._past.do(
            partial(past.explanation, first=first, second=second, as_of=as_of)
        )
        return explanation

    async def ready(self) -> bool:
        """See `Store.ready`."""
        if self._failed:
            return False
        await self.persons([PersonKey("user", "-")])
        return True

    async def close(self) -> None:
        """See `Store.close`. Once the disk failed it leaves the database as it is: to close it
        would write and sync again, so the process must end without.
        """
        groups = (self._writing, self._persons, self._pages, self._past, self._following)
        for one in groups:
            if self._failed:
                return
            await one.close()
        if self._failed:
            return
        self._person_reader.close()
        self._page_reader.close()
        self._past_reader.close()
        self._change_reader.close()
        self._database.close()

    def _write(self, items: Sequence[Any]) -> Sequence[Any]:
        """A group of calls: one transaction for messages to keep, and one for each report."""
        calls = [item for item in items if not isinstance(item, Report)]
        answers = iter(self._append(calls) if calls else ())
        return [self._report(item) if isinstance(item, Report) else next(answers) for item in items]

    def _tidy(self) -> None:
        """Behind a group, when its answers are out: nobody in it waits for this."""
        if self._failed:
            return
        try:
            failpoints.at(Failpoint.AFTER_ANSWER)
            self._on_disk(self._database.tidy)
        except Refused as refused:
            reason = refused.reason.value
            log.warning("the log was not copied back into the database: %s", reason)
        except Exception:
            log.exception("the log was not copied back into the database; it has everything")

    def _report(self, report: Report) -> Preview | Refused | Exception:
        database = self._database
        work = database.append_reported if report.keep else database.preview
        try:
            return self._on_disk(partial(work, report.message))
        except Exception as error:  # noqa: BLE001  (the caller gets it)
            return error

    def _append(self, calls: Sequence[Sequence[Message]]) -> Sequence[Answers | Exception]:
        """One transaction for all calls. Should one of them be more than the code can take,
        each is tried alone, so that it cannot take the others down with it.
        """
        try:
            messages = [m for call in calls for m in call]
            answers = iter(self._on_disk(partial(self._database.append, messages)))
            return [list(islice(answers, len(call))) for call in calls]
        except Refused as error:
            return [error] * len(calls)
        except Exception as error:
            log.exception("a group of %d calls failed", len(calls))
            if len(calls) == 1:
                return [error]
            return [one for call in calls for one in self._append([call])]

    def _on_disk(self, work: Callable[[], Result]) -> Result:
        """Does a piece of writing, and says honestly what it means when the disk does not."""
        if self._failed:
            raise _failed()
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if _code(error) == sqlite3.SQLITE_FULL:
                raise Refused(
                    Reason.DISK_FULL, "the disk is full; nothing was kept, reads go on"
                ) from error
            if _code(error) == sqlite3.SQLITE_BUSY:
                raise Refused(
                    Reason.OVERLOADED, "another program writes to the database; nothing was kept"
                ) from error
            if _code(error) in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT):
                # After a failed fsync the kernel may have dropped the pages and will report
                # success next time: the only honest thing is to end and recover from the log.
                log.critical("the disk failed, so the store stops", exc_info=error)
                self._failed = True
                self._on_failure()
                raise _failed() from error
            raise

    def _read_persons(
        self, calls: Sequence[Sequence[PersonKey]]
    ) -> Sequence[list[PersonView | None] | Exception]:
        keys = [key for call in calls for key in call]
        with _snapshot(self._person_reader) as connection:
            found = iter(views.persons(connection, self._database.workspace, keys))
        return [list(islice(found, len(call))) for call in calls]

    def _read_pages(self, queries: Sequence[PageQuery]) -> Sequence[Page | Exception | None]:
        with _snapshot(self._page_reader) as connection:
            return [
                reading.messages(connection, self._database.workspace, *query) for query in queries
            ]

    def _read_changes(self, queries: Sequence[tuple[int, int]]) -> Sequence[list[LoggedChange]]:
        with _snapshot(self._change_reader) as connection:
            return [
                changes.behind(connection, self._database.workspace, *query) for query in queries
            ]

    def _read_past(self, reads: Sequence[Callable[..., Any]]) -> Sequence[Any]:
        return [read(self._past_reader, self._database.workspace) for read in reads]


def weight_of(messages: Sequence[Message]) -> int:
    """What messages count towards `GROUP_MESSAGES_MAX`."""
    return sum(1 + (len(m.payload) + len(m.context)) // HEAVY_CHARACTERS for m in messages)


def _code(error: sqlite3.DatabaseError) -> int:
    """SQLite's primary result code; -1 for an error of the module's own."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF if code > 0 else code


def _failed() -> Refused:
    """The disk did not do what it was told; whether the last commit is on it is unknown, and a
    retry with the same message id is safe.
    """
    return Refused(Reason.SERVER_STOPPING, "the server's disk failed, so it stops; try again")


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[Any]:
    """Reads that all see the same commits."""
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")
