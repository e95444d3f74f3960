"""The use cases as the servicer calls them: async, over one store, for all workspaces.

Calls that wait together are done together. Writes go through one thread; persons, timelines,
the past and changes have a thread each, so that a long read delays no short one.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sameas_service.domain.changes import LoggedChange
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.explain.explain import Explanation
from sameas_service.domain.message import Message
from sameas_service.domain.preview import Preview
from sameas_service.domain.receipt import Outcome
from sameas_service.resolver.batching import Batcher
from sameas_service.resolver.deadline import NONE, WRITER, Deadline
from sameas_service.resolver.facts import PersonKey, Workspace
from sameas_service.resolver.failures import StoreBusy, StoreFailed, StoreFull
from sameas_service.resolver.ports import Store, WriteTransaction
from sameas_service.resolver.read import history, persons, preview, timeline
from sameas_service.resolver.read.persons import PersonView
from sameas_service.resolver.read.timeline import Page, PageQuery
from sameas_service.resolver.write.group import Answers, append

log = logging.getLogger(__name__)

GROUP_MESSAGES_MAX = 2_500
"""Messages of one transaction, more or less: a group ends after the call that reaches it."""

HEAVY_CHARACTERS = 4_096
"""A message weighs one more for each so many characters of its payload and context, so that a
group of large ones ends sooner and the log stays short."""

GROUP_PERSONS_MAX = 256
GROUP_PAGES_MAX = 16
GROUP_PAST_MAX = 1

CHANGES_MAX = 1_000
"""Changes that a follower gets at a time."""

FOLLOW_PAUSE_SECONDS = 0.2
"""How late a follower hears of a change at most, but for the way."""

READY_SECONDS = 5.0

T = TypeVar("T")


class _Batch(NamedTuple):
    """Messages to keep."""

    workspace: Workspace
    messages: Sequence[Message]


class _Report(NamedTuple):
    """A message to tell the changes of; kept, or only tried."""

    workspace: Workspace
    message: Message
    keep: bool


class Resolver:
    """A ledger of messages, and who is who because of them.

    Every method may be awaited by many callers at once. Reads see every write that was answered
    before they began.
    """

    def __init__(self, store: Store, on_failure: Callable[[], object] = lambda: None) -> None:
        """Start the threads.

        Args:
            store: where everything is kept.
            on_failure: called once, from another thread, when the store fails; everything is
                refused from then on, and the process should end.
        """
        self._store = store
        self._on_failure = on_failure
        self._failed = False
        self._stopping = False
        self._writing: Batcher[Any, Any] = Batcher(
            WRITER, self._write, GROUP_MESSAGES_MAX, self._between_writes
        )
        self._persons: Batcher[Any, Any] = Batcher("persons", self._read_persons, GROUP_PERSONS_MAX)
        self._pages: Batcher[Any, Any] = Batcher("pages", self._read_each, GROUP_PAGES_MAX)
        self._past: Batcher[Any, Any] = Batcher("past", self._scan_each, GROUP_PAST_MAX)
        self._changes: Batcher[Any, Any] = Batcher("changes", self._read_each, GROUP_PAGES_MAX)

    async def append(
        self, workspace: Workspace, messages: Sequence[Message], deadline: Deadline = NONE
    ) -> Answers:
        """Keep messages; when it returns they are on disk.

        One answer a message, in their order. A message id that was used before with the same
        content gives a receipt marked as a duplicate, with other content a refusal with
        `MESSAGE_ID_REUSED`; the others are kept all the same.

        Raises:
            Refused: `SERVER_STOPPING`, `OVERLOADED`, `DEADLINE_PASSED`, `DISK_FULL` or
                `STORE_BUSY`: nothing was kept. `STORE_FAILED`: that is unknown.
        """
        if not messages:
            return []
        answers: Answers = await self._writing.do(
            _Batch(workspace, messages), weight_of(messages), deadline
        )
        return answers

    async def report(
        self, workspace: Workspace, message: Message, deadline: Deadline = NONE, *, keep: bool
    ) -> Preview:
        """Return what a message changes. If `keep`, also keep it.

        Either way the answer is the same.

        Raises:
            Refused: as of `append`; `MESSAGE_ID_REUSED` too.
        """
        answer: Preview | Refused = await self._writing.do(
            _Report(workspace, message, keep), 1, deadline
        )
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def unlink(
        self, workspace: Workspace, message: Message, deadline: Deadline = NONE, *, keep: bool
    ) -> tuple[Preview, Explanation | None]:
        """Take an unlink apart: what it changes, and what joins the pair all the same.

        The explanation is None where the pair is apart now, where a preview would part it, and
        where explaining takes too much or too long: the unlink was taken all the same.
        """
        told = await self.report(workspace, message, deadline, keep=keep)
        if not keep and told.receipt.outcome is not Outcome.UNCHANGED:
            return told, None
        return told, await self._what_joins(workspace, message, deadline)

    async def _what_joins(
        self, workspace: Workspace, unlink: Message, deadline: Deadline
    ) -> Explanation | None:
        if unlink.device is None:
            other = PersonKey("user", unlink.source or "")
        else:
            other = PersonKey("anonymous", unlink.device)
        user = PersonKey("user", unlink.user or "")
        try:
            first, second = await self.persons(workspace, [other, user], deadline=deadline)
            if first is None or second is None or first.person_id != second.person_id:
                return None
            return await self.explain(workspace, (other, user), deadline=deadline)
        except Refused:
            return None

    async def persons(
        self,
        workspace: Workspace,
        keys: Sequence[PersonKey],
        as_of: int | None = None,
        deadline: Deadline = NONE,
    ) -> list[PersonView | None]:
        """Return the person of each key, from one snapshot; None where no message named it.

        With `as_of`, in microseconds: as if only the messages received up to then had come.

        Raises:
            Refused: `HISTORY_TOO_LARGE` if `as_of` is given and too many messages matter.
        """
        if not keys:
            return []
        views: list[PersonView | None]
        if as_of is not None:
            work = partial(history.persons, workspace=workspace, keys=keys, as_of=as_of)
            views = await self._past.do(work, 1, deadline)
        else:
            views = await self._persons.do((workspace, keys), len(keys), deadline)
        return views

    async def messages(
        self,
        workspace: Workspace,
        query: PageQuery,
        as_of: int | None = None,
        deadline: Deadline = NONE,
    ) -> Page | None:
        """Return a page of a person's timeline; None where there is no person.

        A page may be short, or empty, and yet not the last. For `as_of` see `persons`.
        """
        page: Page | None
        if as_of is not None:
            work = partial(history.page, workspace=workspace, query=query, as_of=as_of)
            page = await self._past.do(work, 1, deadline)
        else:
            live = partial(timeline.page, workspace=workspace, query=query)
            page = await self._pages.do(live, 1, deadline)
        return page

    async def explain(
        self,
        workspace: Workspace,
        keys: tuple[PersonKey, PersonKey],
        as_of: int | None = None,
        deadline: Deadline = NONE,
    ) -> Explanation:
        """Explain why two keys are one person, or why not. For `as_of` see `persons`."""
        work = partial(history.explanation, workspace=workspace, keys=keys, as_of=as_of)
        explanation: Explanation = await self._past.do(work, 1, deadline)
        return explanation

    async def follow(
        self,
        workspace: Workspace,
        cursor: int,
        deadline: Deadline = NONE,
        *,
        until_present: bool,
    ) -> AsyncGenerator[list[LoggedChange], None]:
        """Yield the changes of who is who after a cursor, in order, as they come.

        Ends at the present if asked to, else with the server.

        Raises:
            Refused: `SERVER_STOPPING`.
        """
        while until_present or not self._stopping:
            read = partial(_changes, workspace=workspace, cursor=cursor)
            found: list[LoggedChange] = await self._changes.do(read, 1, deadline)
            if found:
                yield found
                cursor = found[-1].cursor
            elif until_present:
                return
            else:
                await asyncio.sleep(FOLLOW_PAUSE_SECONDS)
        raise Refused(Reason.SERVER_STOPPING, "the server is stopping; go on after the last cursor")

    def stop_following(self) -> None:
        """End the calls that follow changes, which would last until they are cut off."""
        self._stopping = True

    async def ready(self) -> bool:
        """Return whether the store answers."""
        ask = partial(self._store.ready, READY_SECONDS)
        try:
            return await asyncio.to_thread(self._checked, ask)
        except Refused:
            return False

    async def close(self) -> None:
        """Drain queued calls, then close the store. Later calls are refused.

        A store that failed is left as it is: to close it would write and sync again, so the
        process must end without.
        """
        groups = (self._writing, self._persons, self._pages, self._past, self._changes)
        for one in groups:
            if self._failed:
                return
            await one.close()
        if not self._failed:
            self._store.close()

    # ---- In the threads --------------------------------------------------------------------

    def _write(self, items: Sequence[Any]) -> Sequence[Any]:
        """Do a group of calls: one transaction for messages to keep, and one for each report."""
        batches = [item for item in items if isinstance(item, _Batch)]
        answers = iter(self._append(batches) if batches else ())
        return [self._report(i) if isinstance(i, _Report) else next(answers) for i in items]

    def _append(self, batches: Sequence[_Batch]) -> Sequence[Answers | Exception]:
        """Keep all batches in one transaction. Should one of them be more than the code can
        take, each is tried alone, so that it cannot take the others down with it.
        """
        try:
            return self._checked(lambda: self._store.write(partial(_append_all, batches=batches)))
        except Refused as error:
            return [error] * len(batches)
        except Exception as error:
            log.exception("a group of %d calls failed", len(batches))
            if len(batches) == 1:
                return [error]
            return [one for batch in batches for one in self._append([batch])]

    def _report(self, item: _Report) -> Preview | Refused | Exception:
        work = partial(preview.report, workspace=item.workspace, message=item.message)
        try:
            return self._checked(lambda: self._store.write(work, keep=item.keep))
        except Exception as error:  # noqa: BLE001  (the caller gets it)
            return error

    def _between_writes(self) -> None:
        """Let the store do what is due, when a group's answers are out: no caller waits."""
        if self._failed:
            return
        try:
            self._checked(self._store.between_writes)
        except Refused as refused:
            log.warning("the store could not tidy up between writes: %s", refused.reason.value)
        except Exception:
            log.exception("the store could not tidy up between writes; it has everything")

    def _read_persons(self, calls: Sequence[Any]) -> Sequence[Any]:
        """Answer calls for persons from one snapshot, with two questions for each workspace."""
        return self._checked(lambda: self._store.read(partial(_persons_of_all, calls=calls)))

    def _read_each(self, reads: Sequence[Callable[..., Any]]) -> Sequence[Any]:
        return self._checked(lambda: self._store.read(lambda tx: [read(tx) for read in reads]))

    def _scan_each(self, reads: Sequence[Callable[..., Any]]) -> Sequence[Any]:
        return [self._checked(partial(self._store.scan, read)) for read in reads]

    def _checked(self, work: Callable[[], T]) -> T:
        """Do a piece of the store's work, and say honestly what it means when it fails.

        Raises:
            Refused: with a reason of its own for each kind of failure.
            StoreError: a fault of ours.
        """
        if self._failed:
            raise _failed()
        try:
            return work()
        except StoreFull as error:
            raise Refused(
                Reason.DISK_FULL, "the disk is full; nothing was kept, reads go on"
            ) from error
        except StoreBusy as error:
            raise Refused(
                Reason.STORE_BUSY, "another program holds the database; nothing was kept"
            ) from error
        except StoreFailed as error:
            log.critical("the store failed, so the server stops", exc_info=error)
            self._fail()
            raise _failed() from error

    def _fail(self) -> None:
        if not self._failed:
            self._failed = True
            self._on_failure()


def weight_of(messages: Sequence[Message]) -> int:
    """Return what messages count towards `GROUP_MESSAGES_MAX`."""
    return sum(1 + (len(m.payload) + len(m.context)) // HEAVY_CHARACTERS for m in messages)


def _append_all(
    transaction: WriteTransaction, batches: Sequence[_Batch]
) -> Sequence[Answers | Exception]:
    """Keep the messages of batches, workspace by workspace. Return each batch's answers."""
    by_workspace: dict[Workspace, list[Message]] = defaultdict(list)
    for workspace, messages in batches:
        by_workspace[workspace] += messages
    answers = {
        workspace: iter(append(transaction, workspace, messages))
        for workspace, messages in by_workspace.items()
    }
    return [list(islice(answers[w], len(messages))) for w, messages in batches]


def _persons_of_all(
    transaction: Any, calls: Sequence[tuple[Workspace, Sequence[PersonKey]]]
) -> Sequence[list[PersonView | None]]:
    by_workspace: dict[Workspace, list[PersonKey]] = defaultdict(list)
    for workspace, keys in calls:
        by_workspace[workspace] += keys
    views = {
        workspace: iter(persons.persons(transaction, workspace, keys))
        for workspace, keys in by_workspace.items()
    }
    return [list(islice(views[workspace], len(keys))) for workspace, keys in calls]


def _changes(transaction: Any, workspace: Workspace, cursor: int) -> list[LoggedChange]:
    changes: list[LoggedChange] = transaction.changes(workspace, cursor, CHANGES_MAX)
    return changes


def _failed() -> Refused:
    """Return the answer after the store failed; a retry with the same message id is safe."""
    return Refused(
        Reason.STORE_FAILED,
        "the server's store failed, so it stops; whether this call was kept is unknown, and "
        "trying again with the same message id is safe",
    )
