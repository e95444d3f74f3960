"""A disk that is really full: a small file system of memory, filled beside the server.

A full disk refuses writes, each call as a whole, and nothing else: reads and health go on, and
the same calls succeed as soon as there is room, in the same process.
"""

import os
import random
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sameas import v1
from sameas_service.resolver.failures import StoreInUse
from sameas_service.store.sqlite.lock import DirectoryLock
from support.api import connected, refused
from support.books import Book, Calls, calls_of, contradictions, is_serving, large_calls
from support.faults import DATABASE, INDEX, LOG, SEED, ended
from support.servers import Server

FILLS = int(os.environ.get("SAMEAS_TEST_FILLS") or 6)
"""How often the disk is filled and emptied again."""

DISK_MIB = 64 + 5 * FILLS
ROOM_BYTES_MAX = 600_000
"""What is left at most when the disk is said to be full: the rest the server fills itself."""

ROOM_BYTES_OF_LOG = 2_000_000
"""What is left for the log to grow, but not for a checkpoint."""

WORST_SECONDS = 5
"""How late the first write may be taken, once there is room: it may come behind a checkpoint that
waits for readers, and on a busy machine. The median is held to one second."""

FRAME_BYTES = 4_096 + 24
"""A page in the log."""

INDEX_PAGES = 4_062
"""How many pages of the log the first part of its index is for."""


class Disk:
    """A file system with a server's data directory, and with ballast."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._ballast = data / "ballast"

    def free(self) -> int:
        """How many bytes there is room for."""
        found = os.statvfs(self.data)
        return found.f_bavail * found.f_frsize

    def fill(self, room: int) -> None:
        """Leaves so much room and no more."""
        with self._ballast.open("ab") as file:
            while (size := self.free() - room) > 0:
                # A checkpoint may take the room meanwhile; then there is less to fill.
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), self._ballast.stat().st_size, size)

    def empty(self) -> None:
        """Makes room."""
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk."""
    data = tmp_path / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "sameas-test", str(data)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("NO FULL DISK WAS TRIED: there is no mount; apt-get install mount")
    if mounted.returncode:
        pytest.skip(
            "NO FULL DISK WAS TRIED: a tmpfs may not be mounted; run the tests as root "
            f"(in a container with --cap-add=SYS_ADMIN): {mounted.stderr.strip()}"
        )
    try:
        yield Disk(data)
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


@pytest.fixture
def server(disk: Disk) -> Iterator[Server]:
    """A running server with its data on the small disk."""
    server = Server(disk.data).start()
    with ended(server):
        yield server


def test_a_full_disk_refuses_writes_alone_and_is_over_as_soon_as_there_is_room(
    disk: Disk, server: Server
) -> None:
    choose, book = random.Random(SEED), Book()
    seconds = []
    for number in range(FILLS):
        disk.fill(choose.randrange(ROOM_BYTES_MAX))
        write_until_refused(server, book, f"fill-{number}", choose)
        assert is_serving(server.target)
        disk.empty()
        seconds.append(seconds_until_taken(server, book))
        book.write_again(server.target)
        book.write(server.target, large_calls(f"room-{number}", 1, 30))

    assert book.wrong == [], f"seed {SEED}"
    assert (book.refused, book.unknown) == ([], set()), server.log()
    assert book.refusals > FILLS
    median, worst = statistics.median(seconds), max(seconds)
    print(f"\n{FILLS} fills, {book.refusals} refusals")  # noqa: T201
    print(f"written again: median {median:.3f} s, worst {worst:.3f} s")  # noqa: T201
    assert median < 1
    assert worst < WORST_SECONDS
    assert server.stop() == 0
    assert list(contradictions(disk.data, set(), book)) == [], f"seed {SEED}"


def write_until_refused(server: Server, book: Book, name: str, choose: random.Random) -> None:
    """Fills what room there is, with large calls and then with small ones."""
    before = book.refusals
    for number in range(100):
        book.write(server.target, large_calls(f"{name}-{number}", 1, 10))
        book.write(server.target, calls_of(f"{name}-{number}", choose, 5))
        if book.refusals > before + 5:
            return
    raise AssertionError("the disk does not fill up")


def seconds_until_taken(server: Server, book: Book) -> float:
    """From now to the first OK for a call that was refused."""
    began = time.monotonic()
    while time.monotonic() < began + 10:
        call = book.refused.pop(0)
        before = book.refusals
        book.write(server.target, [call])
        if book.refusals == before:
            return time.monotonic() - began
    raise AssertionError("writes are refused though there is room")


def test_a_checkpoint_without_room_is_made_up_for_when_there_is_some(
    disk: Disk, server: Server
) -> None:
    book = Book()
    fill_log(server, book, 3_900)
    disk.fill(ROOM_BYTES_OF_LOG)
    database_before = (disk.data / DATABASE).stat().st_size

    write_until_refused(server, book, "beyond", random.Random(SEED))

    assert log_pages(disk.data) > INDEX_PAGES
    assert "the store could not tidy up between writes: DISK_FULL" in server.log()
    disk.empty()
    book.write_again(server.target)
    book.write(server.target, large_calls("room", 6, 95))
    assert (disk.data / DATABASE).stat().st_size > database_before
    assert (book.wrong, book.refused, book.unknown) == ([], [], set()), server.log()
    assert server.stop() == 0
    assert list(contradictions(disk.data, set(), book)) == [], f"seed {SEED}"


@pytest.mark.parametrize("pages", [7, 8])
def test_a_full_disk_ends_nothing_where_the_index_of_the_log_has_to_grow(
    disk: Disk, server: Server, pages: int
) -> None:
    """Behind the fsync of a commit SQLite makes room for its index, 32 KiB at a time."""
    book, choose = Book(), random.Random(SEED)
    fill_log(server, book, INDEX_PAGES - 12)
    room = (INDEX_PAGES - log_pages(disk.data) + pages) * 4_096
    assert room > 0
    disk.fill(room)

    for number in range(100):
        if not book.refused and not book.unknown:
            book.write(server.target, small_calls(f"small-{number}", choose))

    assert (book.wrong, book.unknown) == ([], set()), server.log()
    assert book.refusals > 0
    assert is_serving(server.target)
    disk.empty()
    book.write_again(server.target)
    assert book.refused == []
    assert server.stop() == 0
    assert list(contradictions(disk.data, set(), book)) == [], f"seed {SEED}"


def fill_log(server: Server, book: Book, pages: int) -> None:
    """Writes until the log has so many pages, or a few more; it must not be copied back."""
    choose = random.Random(SEED)
    for number in range(1_000):
        left = pages - log_pages(server.data)
        if left <= 0:
            return
        if left > 120:
            book.write(server.target, large_calls(f"log-{number}", 1, min(left // 12, 95)))
        else:
            book.write(server.target, small_calls(f"log-{number}", choose))
    raise AssertionError("the log does not grow")


def small_calls(name: str, choose: random.Random) -> Calls:
    """One call of one message: a few pages of the log."""
    return [call[:1] for call in calls_of(name, choose, 1)]


def log_pages(data: Path) -> int:
    """How many pages the log has."""
    return (data / LOG).stat().st_size // FRAME_BYTES


def test_a_start_on_a_full_disk_says_so_and_loses_nothing(disk: Disk, server: Server) -> None:
    book = Book()
    book.write(server.target, calls_of("before", random.Random(SEED), 20))
    server.kill()
    for name in (INDEX, "sameas.lock"):
        (disk.data / name).unlink()
    disk.fill(0)

    with pytest.raises(AssertionError, match="the server did not start"):
        server.start()

    assert server.process.wait() == 1
    assert "sameas: the database in" in server.log()
    assert "Traceback" not in server.log()
    disk.empty()
    server.start()
    assert server.stop() == 0
    assert list(contradictions(disk.data, set(), book)) == []


def test_the_lock_of_a_directory_needs_no_room(disk: Disk) -> None:
    disk.fill(0)
    lock = DirectoryLock(disk.data)

    with pytest.raises(StoreInUse):
        DirectoryLock(disk.data)

    lock.release()
    DirectoryLock(disk.data).release()


def test_each_way_to_write_says_that_the_disk_is_full(disk: Disk, server: Server) -> None:
    disk.fill(0)
    book = Book()
    write_until_refused(server, book, "fill", random.Random(SEED))

    with connected(server.target) as api:
        batch = v1.IngestStreamRequest()
        batch.batch.items.add(track=v1.TrackRequest(user_id="u", event="e"))
        streamed = next(iter(api.identity.IngestStream(iter([batch]), timeout=20)))
        unlink = v1.UnlinkRequest(user_id="user-1", anonymous_id="device-1")
        unary = refused(api.send, unlink)
        preview = v1.TrackRequest(user_id="u", event="e", validate_only=True)
        previewed = api.identity.Track(preview, timeout=20)

    assert unary.reason == "DISK_FULL"
    assert v1.ErrorReason.Name(streamed.error.reason) == "ERROR_REASON_DISK_FULL"
    assert previewed.receipt.message_id
