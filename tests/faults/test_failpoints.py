"""The writer dies, fails or waits at each of its named points: no OK is wrong afterwards.

Clients write meanwhile and keep book. Then each call without an answer is made again, and what
the server leaves behind is held against the book, the model and `verify`.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sameas import v1
from sameas_service.store.failpoints import Failpoint, UnreadableError, set_up
from support.api import Api, connected, refusal_of
from support.books import Book, Calls, calls_of, contradictions, large_calls
from support.servers import Server

SEED = int(os.environ.get("SAMEAS_TEST_SEED", "20261121"))
CALLS = 20
AMONG = range(2, 7)
"""When a group's points act: behind the start's own transaction, before the calls run out."""

CHECKPOINTED_CALLS, CHECKPOINTED_MESSAGES = 6, 100
"""Large calls, some 19 MB, so that the log is long enough for a checkpoint."""

EXIT_SECONDS = 20
AT_CHECKPOINTS = (Failpoint.CHECKPOINT_BEGIN, Failpoint.CHECKPOINT_END)
UNSEEN = (Failpoint.AFTER_ANSWER, *AT_CHECKPOINTS)
"""Where no caller waits any more."""


class OpenBook(Book):
    """A book for which INTERNAL leaves open whether the call was done.

    Attributes:
        calls: all of them, so that they can be made again.
        internal: how many were answered so.
    """

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self.calls = calls
        self.internal = 0

    def _note(self, api: Api, call: list, error: grpc.RpcError) -> None:
        if error.code() is not grpc.StatusCode.INTERNAL:
            super()._note(api, call, error)
            return
        assert refusal_of(error).reason == "INTERNAL"
        self.internal += 1
        self.unknown |= {request.message_id for request in call}

    def write_unknown(self, target: str) -> None:
        """Makes the calls without an answer again."""
        self.write(target, [c for c in self.calls if {r.message_id for r in c} & self.unknown])


ANSWERED_SECONDS = 0.2
"""After which the answers of a group that were handed over are with its callers."""


def plan_of(point: Failpoint, *actions: str) -> tuple[str, OpenBook]:
    """When to do what, and the calls that make it happen."""
    choose = random.Random(f"{SEED} {point} {actions}")
    calls = calls_of("small", choose, CALLS)
    times = choose.sample(AMONG, len(actions))
    if point in AT_CHECKPOINTS:
        calls += large_calls("large", CHECKPOINTED_CALLS * len(actions), CHECKPOINTED_MESSAGES)
        times = list(range(1, len(actions) + 1))
    plan = (f"{point}={action}@{time}" for action, time in zip(actions, times, strict=True))
    return ",".join(plan), OpenBook(calls)


def finish(server: Server, book: OpenBook) -> Iterator[str]:
    """Makes open calls again, stops the server; what is wrong then."""
    book.write_unknown(server.target)
    if server.stop() != 0:
        yield "the server did not stop in order"
    if book.unknown:
        yield f"without an answer: {book.unknown}"
    yield from book.wrong
    yield from contradictions(server.data, set(), book)


@pytest.mark.parametrize("point", Failpoint)
def test_a_server_that_dies_there_has_told_nobody_a_wrong_ok(tmp_path: Path, point):
    plan, book = plan_of(point, "kill")
    if point is Failpoint.AFTER_ANSWER:
        plan = f"{plan.replace('kill', f'sleep:{ANSWERED_SECONDS}')},{plan}"
    server = Server(tmp_path / "data", FAILPOINTS=plan).start()

    book.write(server.target, book.calls)
    code = server.process.wait(EXIT_SECONDS)
    known = len(book.acknowledged)
    again = Server(server.data).start()

    assert list(finish(again, book)) == [], plan
    assert (code, f"failpoint {point}: kill" in server.log()) == (-signal.SIGKILL, True), plan
    assert known


@pytest.mark.parametrize("point", Failpoint)
def test_a_server_that_fails_and_hangs_there_goes_on_and_answers_honestly(tmp_path: Path, point):
    plan, book = plan_of(point, "raise", "sleep:0.2")
    server = Server(tmp_path / "data", FAILPOINTS=plan).start()

    book.write(server.target, book.calls)

    # To fail may leave one call open, where its caller waits still; to hang may not.
    assert book.internal <= (0 if point in UNSEEN else 1), plan
    assert list(finish(server, book)) == [], plan
    assert f"failpoint {point}: raise" in server.log(), plan
    assert f"failpoint {point}: sleep:0.2" in server.log(), plan


def test_a_failure_behind_the_commit_is_not_called_ok_and_a_retry_is_a_duplicate(tmp_path: Path):
    request = v1.TrackRequest(message_id="m", user_id="u", event="e")
    # The first commit is the start's own.
    server = Server(tmp_path / "data", FAILPOINTS="after-commit=raise@2").start()

    with connected(server.target) as api:
        with pytest.raises(grpc.RpcError) as failed:
            api.send(request)
        receipt = api.send(request)
        listed = [message.message_id for message in api.timeline(user_id="u")]

    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert receipt.duplicate
    assert listed == ["m"]
    assert server.stop() == 0


@pytest.mark.parametrize(
    "text",
    ["after-lunch=kill", "after-commit=explode", "after-commit", "after-commit=sleep", "=", "kill"],
)
def test_what_cannot_be_read_is_refused_with_the_points_that_there_are(text: str):
    with pytest.raises(UnreadableError) as error:
        set_up({"SAMEAS_FAILPOINTS": f"after-commit=kill@9,{text}"})

    assert f"{text!r}" in str(error.value)
    assert all(point in str(error.value) for point in Failpoint)


def test_a_server_with_a_failpoint_that_there_is_not_does_not_start(tmp_path: Path):
    command = [sys.executable, "-m", "sameas_service", "serve", "--port", "0"]

    done = subprocess.run(
        [*command, "--data", str(tmp_path)], check=False, capture_output=True, text=True,
        timeout=EXIT_SECONDS, env=os.environ | {"SAMEAS_FAILPOINTS": "after-lunch=kill"},
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith("sameas: SAMEAS_FAILPOINTS: 'after-lunch=kill' is not point=kill")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
