"""What a store promises of its transactions, snapshots and scans."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.questions import Ids, answers
from contract.scenes import BEFORE_ALL, Scene, merged, seen, signed_in, traits, unlinked
from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from sameas_service.resolver.facts import Filter, Kin, PersonKey, Workspace
from sameas_service.resolver.ports import LedgerReader, ReadTransaction, WriteTransaction
from sameas_service.resolver.read import export, history
from sameas_service.resolver.write.group import append
from support.damages import story
from support.deliveries import EXAMPLES, deliveries
from support.histories import T0
from support.pasts import all_keys
from support.stored import EVERYTHING, Stored, filled_with, fresh_workspace
from support.stores import Place
from support.worlds import expected_dump

ALWAYS = 2**62
ANSWER_SECONDS = 20

check = settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))


class Unwanted(Exception):
    """What a test's work raises."""


def taking(scene: Scene, *messages: Message) -> Callable[[WriteTransaction], Any]:
    """Work that keeps messages."""
    return partial(append, workspace=scene.workspace, messages=messages)


def count_of(scene: Scene) -> int:
    """How many messages the workspace has."""
    found: int = scene.scan("count_after", 0)
    return found


# ---- workspace -------------------------------------------------------------------------------


def test_workspace_is_made_where_it_is_missing_and_found_again(place: Place) -> None:
    name = fresh_workspace(Rules()).workspace

    made = place.store.workspace(name, 7)
    found = place.store.workspace(name, 7)
    place.reopen()

    assert made == found == place.store.workspace(name, 7)
    assert (made.name, made.session_gap) == (name, 7)


def test_workspace_keeps_the_session_gap_that_it_was_made_with(place: Place) -> None:
    name = fresh_workspace(Rules()).workspace
    place.store.workspace(name, 7)

    assert place.store.workspace(name, 8).session_gap == 7


def test_workspace_has_a_number_of_its_own(scene: Scene) -> None:
    assert scene.workspace.id != scene.other.workspace.id


# ---- write -----------------------------------------------------------------------------------


def test_write_gives_the_answer_of_the_work_and_keeps_what_it_wrote(
    place: Place, scene: Scene
) -> None:
    receipts = scene.store.write(taking(scene, seen("a", 1, "d1")))
    place.reopen()

    assert [receipt.message_id for receipt in receipts] == ["a"]
    assert [m.message_id for m in Stored(place.store, scene.rules).messages()] == ["a"]


def test_write_keeps_nothing_of_work_that_fails_and_raises_what_it_raised(scene: Scene) -> None:
    scene.keep(signed_in("a", 1, "d1", "u1"))
    before = scene.held.dump(), scene.held.changes()

    def fail(transaction: WriteTransaction) -> None:
        taking(scene, seen("b", 2, "d1"), merged("c", 3, "u1", "u2"))(transaction)
        raise Unwanted

    with pytest.raises(Unwanted):
        scene.store.write(fail)

    assert (scene.held.dump(), scene.held.changes()) == before
    scene.keep(seen("b", 2, "d1"))
    assert count_of(scene) == 2


def test_write_takes_all_back_where_it_is_not_to_keep(scene: Scene) -> None:
    scene.keep(signed_in("a", 1, "d1", "u1"))
    before = scene.held.dump(), scene.held.changes()
    work = taking(scene, seen("b", 2, "d1"), traits("c", 3, '{"set":{"n":1}}', user="u2"))

    tried = scene.store.write(work, keep=False)

    assert (scene.held.dump(), scene.held.changes()) == before
    assert scene.store.write(work) == tried


def test_write_sees_what_it_wrote_and_nobody_else_does_before_its_end(scene: Scene) -> None:
    def work(transaction: WriteTransaction) -> tuple[int, int]:
        taking(scene, seen("a", 1, "d1"))(transaction)
        within = transaction.messages_by_id(scene.workspace, ["a"])
        outside = scene.read("messages_by_id", ["a"])
        return len(within), len(outside)

    assert scene.store.write(work) == (1, 0)
    assert len(scene.read("messages_by_id", ["a"])) == 1


def test_write_may_be_called_from_many_threads_at_once(scene: Scene) -> None:
    """Each names the same few ids, so that they would be in each other's way."""
    batches = [
        [
            signed_in(f"a{n:02}", n, f"d{n % 3}", f"u{n % 2}"),
            traits(f"b{n:02}", n, '{"increment":{"n":1}}', user=f"u{n % 2}"),
            seen(f"c{n:02}", 40 - n, f"d{n % 3}"),
        ]
        for n in range(24)
    ]

    with ThreadPoolExecutor(6) as pool:
        receipts = list(pool.map(scene.held.append, batches))

    assert [[one.message_id for one in batch] for batch in receipts] == [
        [message.message_id for message in batch] for batch in batches
    ]
    messages = [message for batch in batches for message in batch]
    assert scene.held.dump() == expected_dump(messages, scene.rules)
    cursors = [one.cursor for one in scene.held.changes()]
    assert cursors == sorted(set(cursors))


# ---- read ------------------------------------------------------------------------------------


def test_read_sees_every_write_that_returned_before_it_began(scene: Scene) -> None:
    for number in range(50):
        scene.keep(seen(f"m{number:02}", number, "d1"))
        assert len(scene.read("messages_by_id", [f"m{number:02}"])) == 1


def test_read_sees_one_moment_whatever_is_written_meanwhile(scene: Scene) -> None:
    scene.keep(signed_in("a", 1, "d1", "u1"), seen("b", 2, user="u2"))
    user, other = scene.person("user", "u1"), scene.person("user", "u2")

    def look(transaction: ReadTransaction) -> Any:
        sources = transaction.sources(scene.workspace, [user, other])
        every = [one for found in sources.values() for one in found]
        return (
            transaction.resolve(scene.workspace, [PersonKey("user", "u2")]),
            transaction.page(scene.workspace, every, BEFORE_ALL, Filter(), 100),
            transaction.changes(scene.workspace, 0, 100),
            sources,
        )

    def work(transaction: ReadTransaction) -> tuple[Any, Any]:
        before = look(transaction)
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(scene.keep, seen("c", 3, "d1"), merged("d", 4, "u1", "u2"))
            written.result(ANSWER_SECONDS)
        return before, look(transaction)

    before, meanwhile = scene.store.read(work)

    assert meanwhile == before
    assert scene.store.read(look) != before


def test_read_raises_what_its_work_raises_and_goes_on(scene: Scene) -> None:
    def fail(transaction: ReadTransaction) -> None:
        transaction.changes(scene.workspace, 0, 1)
        raise Unwanted

    for _ in range(3):
        with pytest.raises(Unwanted):
            scene.store.read(fail)
    scene.keep(seen("a", 1, "d1"))
    assert len(scene.read("messages_by_id", ["a"])) == 1


def test_read_may_be_called_from_many_threads_at_once_beside_writes(scene: Scene) -> None:
    is_over = threading.Event()
    scene.keep(signed_in("first", 0, "d1", "u1"))

    def look() -> list[int]:
        """How many messages there are, again and again."""
        found = []
        while not is_over.is_set():
            person = scene.person("user", "u1")
            sources = scene.read("sources", [person])[person]
            found.append(scene.read("page", sources, BEFORE_ALL, Filter(), 1_000).examined)
        return found

    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(look) for _ in range(4)]
        for number in range(60):
            scene.keep(seen(f"m{number:02}", number + 1, "d1"))
        is_over.set()
        counts = [one.result(ANSWER_SECONDS) for one in looks]

    assert all(found == sorted(found) for found in counts)
    assert max(max(found) for found in counts) <= 61


# ---- scan ------------------------------------------------------------------------------------


def test_scan_pages_over_what_there_was_and_the_next_one_finds_the_rest(scene: Scene) -> None:
    """Two writes are committed while it goes from page to page."""
    scene.keep(*(seen(f"m{n:03}", n, "d1") for n in range(5)))
    new = [seen("new-1", 0, "d1"), merged("new-2", 9, "u1", "u2")]
    to_come = list(new)

    def page_over(reader: LedgerReader) -> tuple[list[tuple[int, Message]], set[int], list[int]]:
        found: list[tuple[int, Message]] = []
        counts = []
        while page := reader.messages_after(scene.workspace, found[-1][0] if found else 0, 2):
            found += page
            if to_come:
                commit(scene, to_come.pop(0))
            counts.append(reader.count_after(scene.workspace, 0))
        return found, {number for number, _ in found}, counts

    found, numbers, counts = scene.store.scan(page_over)
    rest = scene.scan("messages_after", found[-1][0], EVERYTHING)

    assert not to_come
    assert [message.message_id for _, message in found] == [f"m{n:03}" for n in range(5)]
    assert set(counts) == {5}
    assert [message for _, message in rest] == new
    assert not numbers & {number for number, _ in rest}
    assert count_of(scene) == 7


def commit(scene: Scene, *messages: Message) -> None:
    """Keep messages, in another thread: a scan's own may be in a transaction."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(scene.keep, *messages).result(ANSWER_SECONDS)


def test_scan_answers_about_the_ledger_as_it_was_when_it_began(scene: Scene) -> None:
    scene.keep(*story())
    users, devices = [f"u{n}" for n in range(1, 7)], [f"d{n}" for n in range(1, 5)]
    user_numbers = [scene.user(name) for name in users]
    device_numbers = [scene.device(name) for name in devices]
    new = [
        signed_in("new-1", 3, "d1", "u5"),
        merged("new-2", 200, "u1", "u5"),
        unlinked("new-3", 300, "u1", other="u4"),
        unlinked("new-4", 301, "u2", device="d1"),
        seen("new-5", 302, "d9", "u9"),
    ]

    def ask(reader: LedgerReader) -> list[Any]:
        workspace, kin = scene.workspace, Kin(user_numbers, device_numbers)
        numbers = reader.numbers_of(workspace, kin, ALWAYS, EVERYTHING)
        kins = [reader.kin(workspace, [name], ALWAYS) for name in users]
        return [
            [(sorted(one.users), sorted(one.devices)) for one in kins],
            [sorted(reader.links_of(workspace, [name], ALWAYS)) for name in users],
            sorted(numbers),
            sorted(reader.messages(workspace, numbers)),
            sorted(reader.unlinks_of(workspace, users)),
            [reader.number_of(workspace, message.message_id) for message in [*story(), *new]],
            reader.count_after(workspace, 0),
            reader.messages_after(workspace, 0, EVERYTHING),
        ]

    def work(reader: LedgerReader) -> tuple[list[Any], list[Any]]:
        before = ask(reader)
        commit(scene, *new)
        return before, ask(reader)

    before, meanwhile = scene.store.scan(work)

    assert meanwhile == before
    assert scene.store.scan(ask) != before


class Interrupted:
    """A ledger's reader that is interrupted once, before its n-th question."""

    def __init__(self, reader: LedgerReader, at: int, meanwhile: Callable[[], object]) -> None:
        self._reader, self._at, self._meanwhile = reader, at, meanwhile
        self._asked = count()

    def __getattr__(self, name: str) -> Any:
        if next(self._asked) == self._at:
            self._meanwhile()
        return getattr(self._reader, name)


@check
@given(deliveries(), st.integers(0, 9), st.data())
def test_scan_derives_the_past_of_one_moment_whatever_comes_meanwhile(
    place, delivery, at, data
) -> None:
    _, batches, _, gap = delivery
    size = data.draw(st.integers(0, len(batches)))
    held = filled_with(place, batches[:size], fresh_workspace(Rules(session_gap=gap)))
    keys = all_keys(held)
    pair = data.draw(st.sampled_from(keys)), data.draw(st.sampled_from(keys))

    def write_the_rest() -> None:
        for batch in batches[size:]:
            held.append(batch)

    def look(reader: Any, workspace: Workspace) -> Any:
        told = export.Export(reader, workspace.name)
        return (
            history.persons(reader, workspace, keys, ALWAYS),
            history.explanation(reader, workspace, pair, None),
            [message for piece in told.messages(0) for message in piece],
        )

    before = held.store.scan(lambda reader: look(reader, held.workspace))
    meanwhile = held.store.scan(
        lambda reader: look(Interrupted(reader, at, write_the_rest), held.workspace)
    )

    assert meanwhile == before


def test_scan_raises_what_its_work_raises(scene: Scene) -> None:
    def fail(reader: LedgerReader) -> None:
        reader.count_after(scene.workspace, 0)
        raise Unwanted

    with pytest.raises(Unwanted):
        scene.store.scan(fail)
    assert count_of(scene) == 0


# ---- between_writes, ready, close ------------------------------------------------------------


def test_between_writes_changes_no_answer(scene: Scene) -> None:
    scene.store.between_writes()
    scene.keep(*story())
    ids = Ids(scene.held, [m.message_id for m in story()], ["u1", "u2"], ["d1", "d2"])
    before = answers(scene.held, ids)

    for _ in range(3):
        scene.store.between_writes()
        assert answers(scene.held, ids) == before


def test_between_writes_goes_on_beside_a_read_and_a_scan(scene: Scene) -> None:
    def tidy(_: Any) -> int:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(scene.keep, seen("a", 1, "d1")).result(ANSWER_SECONDS)
            pool.submit(scene.store.between_writes).result(ANSWER_SECONDS)
        return 1

    assert scene.store.read(tidy) == 1
    assert scene.store.scan(tidy) == 1


def test_ready_is_true_of_an_open_store_that_answers(place: Place) -> None:
    assert place.store.ready(timeout_seconds=ANSWER_SECONDS)
    place.reopen()
    assert place.store.ready(timeout_seconds=ANSWER_SECONDS)


def test_close_leaves_everything_for_who_opens_the_store_next(place: Place, scene: Scene) -> None:
    scene.keep(*story())
    ids = Ids(scene.held, [m.message_id for m in story()], ["u1", "u2"], ["d1", "d2"])
    before = answers(scene.held, ids)

    place.reopen()

    again = Stored(place.store, scene.rules)
    assert answers(again, ids) == before
    assert T0 in {message.received_at for message in again.messages()}
