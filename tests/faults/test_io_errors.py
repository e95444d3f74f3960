"""The n-th system call on the data files fails, for good or in passing, or is the last one.

An answer of OK is kept whatever the disk does; an error of the disk ends the server at once,
with no second fsync; a full disk ends nothing. By default some points a test, chosen by a
seed; `SAMEAS_TEST_POINTS` says how many in all.
"""

import random
import shutil
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sameas import v1
from support.api import Api, Refusal, connected, refusal_of
from support.books import Calls, calls_of, large_calls
from support.faults import (
    DATABASE,
    EIO,
    ENOSPC,
    EXIT_SECONDS,
    INDEX,
    LOG,
    SEED,
    SIGKILL,
    SYNCS,
    Fault,
    FaultyServer,
    ended,
    needs_strace,
)
from support.servers import Server
from support.trials import CALLS, Origin, Trial, points, prepared, trials

pytestmark = needs_strace

WITH_STREAM_SECONDS_MAX = 3
"""Half a second for calls under way, and the rest for a busy machine; a drain takes ten."""

START, START_SYNCS = 3, 2
"""At most how often a start writes to the log of a directory that was closed well, and syncs
it: a call that fails sooner would keep the server from starting."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """A directory with messages in it that was closed well."""
    return prepared(tmp_path_factory.mktemp("kept"), Server.stop)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """A directory with messages in its log that a killed server left."""
    return prepared(tmp_path_factory.mktemp("killed"), Server.kill)


@pytest.fixture
def empty(tmp_path: Path) -> Origin:
    """No directory yet."""
    return Origin(tmp_path / "none", set())


def hit(done: list[Trial]) -> Iterator[Trial]:
    """The trials whose fault came while they served: most of them."""
    found = [trial for trial in done if trial.has_started and trial.was_hit]
    assert len(found) > len(done) / 2, f"seed {SEED}"
    yield from found


def assert_ended_at_once(done: list[Trial]) -> None:
    """By themselves, with an error, and without another fsync of anything."""
    seconds = []
    for trial in hit(done):
        at = trial.first_hit
        assert at is not None
        what = f"seed {SEED}, {trial.fault}\n{trial.log[-3_000:]}"
        assert trial.exit_code == 1, what
        assert "sameas: the disk failed" in trial.log, what
        assert [call for call in trial.calls[at + 1 :] if call.syscall in SYNCS] == [], what
        seconds.append(trial.ended_at - trial.calls[at].at)
    median, worst = statistics.median(seconds), max(seconds)
    print(f"from the error to the end: median {median:.2f} s, worst {worst:.2f} s")  # noqa: T201
    assert median < 1
    assert worst < EXIT_SECONDS / 2


def test_a_failed_fsync_of_the_log_ends_the_server_and_is_not_tried_again(
    kept: Origin, tmp_path: Path
) -> None:
    numbers = [START_SYNCS + n for n in points("fsync", CALLS // 3)]
    faults = [Fault("fdatasync", EIO, n, n, (LOG,)) for n in numbers]
    faults += [Fault("fdatasync", EIO, n, None, (LOG,)) for n in numbers[:2]]
    faults += [Fault("fdatasync", ENOSPC, n, n, (LOG,)) for n in numbers[-1:]]

    done = trials(tmp_path, kept, faults)

    assert_ended_at_once(done)


def test_neither_an_open_stream_nor_a_watcher_holds_up_the_end(
    kept: Origin, tmp_path: Path
) -> None:
    data = shutil.copytree(kept.data, tmp_path / "data")
    server = FaultyServer(data, Fault("fdatasync", EIO, START_SYNCS + 1, None, (LOG,)))
    is_over = threading.Event()

    def requests() -> Iterator[v1.IngestStreamRequest]:
        is_over.wait(EXIT_SECONDS)
        yield from ()

    with ended(server), serving(server) as api:
        health = health_pb2_grpc.HealthStub(api.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=EXIT_SECONDS)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        api.identity.IngestStream(requests(), timeout=EXIT_SECONDS)
        refusal = first_refusal(api)
        status = next(watch).status
        exit_code = server.process.wait(EXIT_SECONDS)
        ended_at = time.time()
        is_over.set()

    failed_at = next(call.at for call in server.calls() if call.is_injected)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_FAILED")
    assert status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert exit_code == 1
    assert ended_at - failed_at < WITH_STREAM_SECONDS_MAX


@contextmanager
def serving(server: FaultyServer) -> Iterator[Api]:
    """The API of a server that is started with its fault still ahead."""
    assert server.started()
    with connected(server.target) as api:
        yield api


def first_refusal(api: Api) -> Refusal:
    """Writes until that fails."""
    for _ in range(CALLS):
        try:
            api.send(v1.TrackRequest(user_id="u", event="e"))
        except grpc.RpcError as error:
            return refusal_of(error)
    raise AssertionError("no write fails")


def test_a_failed_write_to_the_log_ends_the_server(kept: Origin, tmp_path: Path) -> None:
    numbers = points("write", 150)
    faults = [Fault("pwrite64", EIO, START + n, START + n, (LOG,)) for n in numbers]
    faults += [Fault("pwrite64", EIO, START + n, None, (LOG,)) for n in numbers[:2]]

    done = trials(tmp_path, kept, faults)

    assert_ended_at_once(done)


def test_a_disk_that_is_full_for_a_while_ends_nothing_and_the_same_calls_succeed_later(
    kept: Origin, tmp_path: Path
) -> None:
    lengths = random.Random(f"{SEED} lengths")
    faults = [
        Fault("pwrite64", ENOSPC, START + n, START + n - 1 + lengths.choice([1, 2, 10, 60]), (LOG,))
        for n in points("full for a while", 150, shares=2)
    ]

    done = trials(tmp_path, kept, faults)

    for trial in hit(done):
        assert (trial.is_serving, trial.exit_code) == (True, 0), trial.log
        assert trial.book.refusals > 0
        assert trial.book.refused == []


def test_a_disk_that_stays_full_refuses_writes_and_answers_reads(
    kept: Origin, tmp_path: Path
) -> None:
    faults = [Fault("pwrite64", ENOSPC, START + n, None, (LOG,)) for n in points("full", 150)]

    done = trials(tmp_path, kept, faults)

    for trial in hit(done):
        assert (trial.is_serving, trial.exit_code) == (True, 0), trial.log
        assert trial.book.refused != []


def test_a_first_start_that_fails_or_is_killed_leaves_what_the_next_one_can_use(
    empty: Origin, tmp_path: Path
) -> None:
    choose = random.Random(f"{SEED} first start")
    faults = [
        Fault(choose.choice(["pwrite64", "pwrite64", "fdatasync"]), effect, n, None)
        for effect in (EIO, ENOSPC, SIGKILL)
        for n in points(f"first start {effect}", 7, shares=2 / 3)
    ]

    done = trials(tmp_path, empty, faults)

    assert [trial.fault for trial in done if trial.has_started] == []
    for trial in done:
        assert_failed_clearly(trial)


def test_a_start_behind_a_kill_that_fails_or_is_killed_too_loses_nothing(
    killed: Origin, tmp_path: Path
) -> None:
    below = {"pread64": 60, "openat": 10, "pwrite64": 10, "ftruncate": 1, "fdatasync": 1}
    choose = random.Random(f"{SEED} recovery")
    faults = [
        Fault(syscall, effect, number, choose.choice([number, None]))
        for effect in (EIO, SIGKILL)
        for syscall, most in below.items()
        for number in points(f"recovery {syscall} {effect}", most, shares=1 / 4)
    ]

    done = trials(tmp_path, killed, faults)

    for trial in done:
        if not trial.has_started:
            assert_failed_clearly(trial)


def assert_failed_clearly(trial: Trial) -> None:
    """A server that did not start says why, in a sentence."""
    if trial.fault.effect == SIGKILL:
        assert trial.exit_code == -signal.SIGKILL
    else:
        assert trial.exit_code == 1, trial.log
        assert "sameas: the database in" in trial.log, f"{trial.fault}\n{trial.log}"
        assert "Traceback" not in trial.log, f"{trial.fault}\n{trial.log}"


def test_a_kill_between_two_writes_of_a_commit_loses_nothing(kept: Origin, tmp_path: Path) -> None:
    faults = [Fault("pwrite64", SIGKILL, START + n, START + n, (LOG,)) for n in points("kill", 150)]
    faults += [Fault("fdatasync", SIGKILL, n, n, (LOG,)) for n in points("kill sync", 20, 0.5)]

    done = trials(tmp_path, kept, faults)

    assert {trial.exit_code for trial in hit(done)} == {-signal.SIGKILL}


def large() -> Calls:
    """Some 24 MB: the log is copied back into the database at 16."""
    return large_calls("large", 8, 95) + calls_of("behind", random.Random(SEED), 10)


def test_a_checkpoint_that_fails_ends_the_server(kept: Origin, tmp_path: Path) -> None:
    faults = [Fault("pwrite64", EIO, n, n, (DATABASE,)) for n in points("copy", 2_000, 0.5)]
    faults += [Fault("fdatasync", EIO, 1, 1, (DATABASE,))]

    done = trials(tmp_path, kept, faults, large)

    assert_ended_at_once(done)


def test_a_checkpoint_that_is_killed_loses_nothing(kept: Origin, tmp_path: Path) -> None:
    faults = [Fault("pwrite64", SIGKILL, n, n, (DATABASE,)) for n in points("copy", 2_000, 0.5)]

    done = trials(tmp_path, kept, faults, large)

    assert {trial.exit_code for trial in hit(done)} == {-signal.SIGKILL}


def test_a_checkpoint_without_room_ends_nothing(kept: Origin, tmp_path: Path) -> None:
    faults = [Fault("pwrite64", ENOSPC, n, None, (DATABASE,)) for n in points("room", 2_000, 0.5)]

    done = trials(tmp_path, kept, faults, large)

    for trial in hit(done):
        assert (trial.is_serving, trial.exit_code) == (True, 0), trial.log
        assert trial.book.refusals == 0


def test_an_index_of_the_log_that_cannot_be_made_is_an_error_at_start_and_loses_nothing(
    killed: Origin, tmp_path: Path
) -> None:
    faults = [
        Fault(syscall, effect, 1, None, (INDEX,))
        for syscall in ("openat", "ftruncate", "pwrite64")
        for effect in (EIO, ENOSPC)
    ]

    done = trials(tmp_path, killed, faults)

    assert [trial.fault for trial in done if trial.has_started] == []
