import os
import subprocess
import sys
import threading
import time

import grpc
import pytest

from sameas import (
    Buffer,
    BufferFull,
    BufferOptions,
    Client,
    InvalidArgument,
    Refusal,
    ServerFault,
    Session,
    Unavailable,
    Undelivered,
    v1,
)

SLOW = {"interval_seconds": 60.0}


@pytest.fixture
def make_buffer(client):
    made = []

    def make(on_error=None, **options):
        made.append(Buffer(client, BufferOptions(**options), on_error=on_error))
        return made[-1]

    yield make
    for buffer in made:
        buffer.close(1)


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def sizes(service):
    return [len(each.items) for each in service.requests]


# When batches go out


def test_a_call_returns_the_message_id_at_once_and_sends_nothing_itself(make_buffer, service):
    buffer = make_buffer(**SLOW)

    message_id = buffer.track("E", user_id="u-1")

    assert len(message_id) == 36
    assert service.requests == []


def test_a_batch_goes_out_when_enough_messages_wait(make_buffer, service):
    buffer = make_buffer(batch_messages=10, **SLOW)
    for _ in range(10):
        buffer.track("E", user_id="u-1")

    until(lambda: sizes(service) == [10])


def test_a_batch_goes_out_when_its_first_message_waited_long_enough(make_buffer, service):
    buffer = make_buffer(interval_seconds=0.1)
    buffer.track("E", user_id="u-1")

    until(lambda: sizes(service) == [1])


def test_a_flush_sends_what_waits_and_reports_it(make_buffer, service):
    buffer = make_buffer(**SLOW)
    buffer.track("E", user_id="u-1", message_id="m-1")
    buffer.track("E", user_id="u-1", message_id="m-1")
    refused = buffer.track("E", user_id="null")

    report = buffer.flush()

    assert (report.accepted, report.duplicates, report.pending) == (1, 1, 0)
    assert [(each.message_id, each.reason) for each in report.refused] == [(refused, "ID_BLOCKED")]
    assert not report.complete
    assert buffer.flush().complete
    assert sizes(service) == [3]


def test_a_flush_of_nothing_returns_at_once(make_buffer, service):
    assert make_buffer(**SLOW).flush() == make_buffer(**SLOW).flush()
    assert service.requests == []


def test_closing_sends_what_waits(client, service):
    with client.buffer(BufferOptions(**SLOW)) as buffer:
        buffer.track("E", user_id="u-1")

    assert sizes(service) == [1]


def test_a_closed_buffer_takes_nothing_and_may_be_closed_again(make_buffer):
    buffer = make_buffer()
    buffer.track("E", user_id="u-1")

    assert buffer.close().accepted == 1
    assert buffer.close().accepted == 0
    with pytest.raises(RuntimeError, match="closed"):
        buffer.track("E", user_id="u-1")


def test_what_waited_goes_out_together_up_to_2500_messages(make_buffer, service):
    buffer = make_buffer(senders=1, **SLOW)
    service.gate.clear()
    for _ in range(500):
        buffer.track("E", user_id="u-1")
    until(lambda: len(service.requests) == 1)
    for _ in range(2_600):
        buffer.track("E", user_id="u-1")
    service.gate.set()

    assert buffer.flush().accepted == 3_100
    assert sizes(service) == [500, 2_500, 100]


def test_batches_stay_below_4_mib(make_buffer, service):
    buffer = make_buffer(**SLOW)
    for _ in range(300):
        buffer.track("E", {"text": "x" * 30_000}, user_id="u-1")

    assert buffer.flush().accepted == 300
    assert sum(sizes(service)) == 300
    assert all(each.ByteSize() < 4 * 1024 * 1024 for each in service.requests)


def test_a_message_larger_than_a_batch_is_refused_at_once(make_buffer):
    with pytest.raises(InvalidArgument) as caught:
        make_buffer().track("E", {"text": "x" * (4 * 1024 * 1024)}, user_id="u-1")

    assert caught.value.reason == "BATCH_TOO_LARGE"


def test_every_kind_of_message_arrives_in_order_as_it_was_given(make_buffer, service):
    buffer = make_buffer(**SLOW)
    ids = [
        buffer.identify("u-1", {"a": 1}, anonymous_id="a-1"),
        buffer.alias("u-1", previous_anonymous_id="a-1"),
        buffer.track("E", {"b": 2}, user_id="u-1"),
        buffer.page("P", user_id="u-1"),
        buffer.update_profile(user_id="u-1", increment={"n": 1}),
        buffer.reset("a-1"),
    ]
    buffer.flush()

    batch = service.requests[0]
    names = [each.WhichOneof("call") for each in batch.items]
    assert names == ["identify", "alias", "track", "track", "update_profile", "reset"]
    assert [getattr(i, n).message_id for i, n in zip(batch.items, names, strict=True)] == ids
    assert batch.items[2].track.properties_json == '{"b":2}'
    assert batch.sent_at.seconds >= batch.items[5].reset.timestamp.seconds > 0


def test_bad_arguments_are_refused_by_the_call_itself(make_buffer):
    with pytest.raises(InvalidArgument):
        make_buffer().track("E", {"a": float("nan")}, user_id="u-1")


def test_warnings_are_in_the_report_with_their_message(make_buffer, service):
    warning = v1.Warning(reason=v1.WarningReason.WARNING_REASON_DEVICE_SWITCHED)
    receipt = v1.Receipt(message_id="m-1", warnings=[warning])
    service.answers.append(v1.IngestResponse(results=[v1.IngestResult(receipt=receipt)]))
    buffer = make_buffer(**SLOW)
    buffer.identify("u-2", anonymous_id="a-1", message_id="m-1")

    report = buffer.flush()

    assert [(each, about.reason) for each, about in report.warnings] == [("m-1", "DEVICE_SWITCHED")]
    assert report.complete


def test_a_session_works_over_a_buffer(make_buffer, service):
    buffer = make_buffer(**SLOW)
    session = Session(buffer)
    session.identify("u-1")
    session.reset()
    session.track("E")

    assert buffer.flush().accepted == 3
    calls = service.requests[0].items
    assert calls[1].reset.anonymous_id == calls[0].identify.anonymous_id
    assert calls[2].track.anonymous_id != calls[1].reset.anonymous_id


def test_a_flush_waits_for_a_slow_batch_that_a_later_one_overtook(make_buffer, service):
    buffer = make_buffer(batch_messages=5, senders=2, **SLOW)
    service.answers.append(1.0)
    for _ in range(5):
        buffer.track("E", user_id="u-1")
    until(lambda: len(service.requests) == 1)
    reports = []
    flush = threading.Thread(target=lambda: reports.append(buffer.flush()))
    flush.start()
    time.sleep(0.1)

    for _ in range(5):
        buffer.track("E", user_id="u-1")
    until(lambda: len(service.kept) == 5)
    flush.join(0.2)
    assert reports == []
    flush.join(5)

    assert (reports[0].accepted, reports[0].pending) == (10, 0)


def test_a_flush_counts_as_pending_only_what_was_queued_before_it(make_buffer, service):
    buffer = make_buffer(batch_messages=5, **SLOW)
    service.gate.clear()
    for _ in range(7):
        buffer.track("E", user_id="u-1")

    assert buffer.flush(timeout=0.2).pending == 7
    service.gate.set()
    assert buffer.flush().accepted == 7


# Bounds


def test_a_full_queue_blocks_and_then_says_so_and_drops_nothing(make_buffer, service):
    buffer = make_buffer(queue_messages_max=10, batch_messages=5, block_seconds=0.1)
    service.gate.clear()
    for _ in range(10):
        buffer.track("E", user_id="u-1")

    started = time.monotonic()
    with pytest.raises(BufferFull) as caught:
        buffer.track("E", user_id="u-1")
    assert 0.1 <= time.monotonic() - started < 2
    assert caught.value.reason == "BUFFER_FULL"
    service.gate.set()

    assert buffer.flush().accepted == 10


def test_a_call_on_a_full_queue_goes_on_as_soon_as_there_is_room(make_buffer, service):
    buffer = make_buffer(queue_messages_max=10, batch_messages=5, block_seconds=10)
    service.gate.clear()
    threading.Timer(0.2, service.gate.set).start()
    for _ in range(25):
        buffer.track("E", user_id="u-1")

    assert buffer.flush().accepted == 25


def test_a_full_queue_goes_out_without_waiting_for_its_time(make_buffer):
    buffer = make_buffer(queue_bytes_max=4 * 1024 * 1024, **SLOW)
    for _ in range(200):
        buffer.track("E", {"text": "x" * 30_000}, user_id="u-1", timeout=5)

    assert buffer.flush().accepted == 200


def test_a_flush_with_a_timeout_says_how_many_are_pending_and_keeps_them(make_buffer, service):
    buffer = make_buffer(**SLOW)
    service.gate.clear()
    buffer.track("E", user_id="u-1")

    report = buffer.flush(timeout=0.1)
    assert (report.accepted, report.pending, report.complete) == (0, 1, False)
    service.gate.set()

    assert buffer.flush().accepted == 1


@pytest.mark.parametrize(
    "options",
    [
        {"batch_messages": 0},
        {"batch_messages": 2_501},
        {"queue_messages_max": 499},
        {"queue_bytes_max": 1},
        {"senders": 0},
        {"senders": 9},
    ],
)
def test_bounds_that_cannot_work_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        BufferOptions(**options)


def test_many_threads_lose_and_repeat_nothing(make_buffer, service):
    buffer = make_buffer(queue_messages_max=600, interval_seconds=0.01)
    threads = [
        threading.Thread(target=lambda: [buffer.track("E", user_id="u-1") for _ in range(1_000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    report = buffer.flush()

    assert (report.accepted, report.duplicates) == (4_000, 0)
    assert len(service.kept) == 4_000


# Failures


@pytest.mark.parametrize(
    ("code", "times"),
    # gRPC itself makes four attempts of the first two, and one of the others.
    [("UNAVAILABLE", 5), ("RESOURCE_EXHAUSTED", 5), ("DEADLINE_EXCEEDED", 2), ("CANCELLED", 2)],
)
def test_a_batch_that_may_pass_later_is_sent_again_with_the_same_ids(
    make_buffer, service, failure, code, times
):
    buffer = make_buffer(**SLOW)
    service.answers.extend([failure(grpc.StatusCode[code])] * times)
    message_id = buffer.track("E", user_id="u-1")

    report = buffer.flush()

    assert report.accepted == 1
    assert {each.items[0].track.message_id for each in service.requests} == {message_id}
    assert len(service.requests) == times + 1


def test_an_answer_that_is_lost_counts_once(make_buffer, service, failure):
    buffer = make_buffer(attempt_seconds=0.3, **SLOW)
    service.answers.append(1.0)
    buffer.track("E", user_id="u-1")

    report = buffer.flush()

    assert report.complete
    assert report.accepted + report.duplicates == 1
    assert len(service.kept) == 1


def test_an_outage_is_outlasted(make_buffer, service, start_server, client):
    server = start_server(service)
    with Client(server.target) as own:
        buffer = Buffer(own, BufferOptions(interval_seconds=0.05))
        server.stop()
        for _ in range(20):
            buffer.track("E", user_id="u-1")
        time.sleep(3)
        start_server(service, server.port)

        assert buffer.flush(timeout=20).accepted == 20
        buffer.close()


def test_a_batch_is_given_up_when_its_time_is_over_and_can_be_sent_again(
    make_buffer, service, failure, client
):
    told = []
    buffer = make_buffer(told.append, retry_seconds=0.5, **SLOW)
    service.answers.extend([failure(grpc.StatusCode.DEADLINE_EXCEEDED)] * 50)
    message_id = buffer.track("E", {"a": 1}, user_id="u-1")

    report = buffer.flush()
    service.answers.clear()

    (lost,) = report.undelivered
    assert isinstance(lost, Undelivered)
    assert (lost.message_id, report.complete) == (message_id, False)
    assert lost.error.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [list(each) for each in told] == [[lost]]
    assert client.ingest([lost.item])[0].message_id == message_id


def test_a_batch_that_will_never_pass_is_not_sent_again(make_buffer, service, failure):
    buffer = make_buffer(**SLOW)
    service.answers.append(failure(grpc.StatusCode.PERMISSION_DENIED))
    buffer.track("E", user_id="u-1")

    report = buffer.flush()

    assert [each.error.code.name for each in report.undelivered] == ["PERMISSION_DENIED"]
    assert len(service.requests) == 1


def test_an_answer_without_a_result_for_each_item_is_a_fault(make_buffer, service):
    buffer = make_buffer(**SLOW)
    service.answers.append(v1.IngestResponse())
    buffer.track("E", user_id="u-1")

    assert [type(each.error) for each in buffer.flush().undelivered] == [ServerFault]


def test_failures_are_logged_where_nobody_is_told_and_without_what_was_sent(
    make_buffer, service, failure, caplog
):
    buffer = make_buffer(**SLOW)
    buffer.track("E", {"secret": "s3cret"}, user_id="null")
    buffer.flush()
    service.answers.append(failure(grpc.StatusCode.PERMISSION_DENIED))
    buffer.track("E", {"secret": "s3cret"}, user_id="u-9")
    buffer.flush()

    assert "1 refused" in caplog.text
    assert "1 undelivered" in caplog.text
    assert "s3cret" not in caplog.text
    assert "u-9" not in caplog.text


def test_a_failing_on_error_does_not_end_the_thread(make_buffer, caplog):
    def fail(failures):
        assert isinstance(failures[0], Refusal)
        raise RuntimeError("mine")

    buffer = make_buffer(fail, **SLOW)
    buffer.track("E", user_id="null")
    buffer.flush()
    buffer.track("E", user_id="u-1")

    assert buffer.flush().accepted == 1
    assert "on_error failed" in caplog.text


def test_closing_gives_up_in_time_and_reports_what_is_undelivered(make_buffer, service, failure):
    told = []
    buffer = make_buffer(told.extend, **SLOW)
    service.answers.extend([failure(grpc.StatusCode.DEADLINE_EXCEEDED)] * 1_000)
    for _ in range(3):
        buffer.track("E", user_id="u-1")

    started = time.monotonic()
    report = buffer.close(0.7)

    assert time.monotonic() - started < 2
    assert len(report.undelivered) == len(told) == 3
    assert report.pending == 0


def test_a_client_closed_first_leaves_the_messages_undelivered_and_nothing_hangs(target):
    client = Client(target)
    told = []
    buffer = Buffer(client, BufferOptions(**SLOW), on_error=told.extend)
    client.close()
    buffer.track("E", user_id="u-1")

    assert len(buffer.close().undelivered) == len(told) == 1


def test_a_buffer_does_not_keep_more_failures_than_its_report_may_have(
    make_buffer, service, monkeypatch
):
    monkeypatch.setattr("sameas._delivery.REPORT_ITEMS_MAX", 2)
    told = []
    buffer = make_buffer(told.extend, **SLOW)
    for _ in range(5):
        buffer.track("E", user_id="null")

    report = buffer.flush()

    assert (len(report.refused), report.omitted, len(told)) == (2, 3, 5)


# The end of the process


def run_script(script, target):
    return subprocess.run(
        [sys.executable, "-c", script, target],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_what_waits_is_sent_when_the_interpreter_exits(target, service):
    done = run_script(
        "import sys; from sameas import *\n"
        "buffer = Client(sys.argv[1]).buffer(BufferOptions(interval_seconds=60))\n"
        "[buffer.track('E', user_id='u-1') for _ in range(700)]",
        target,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(service.kept) == 700


def test_what_cannot_be_sent_when_the_interpreter_exits_is_logged():
    done = run_script(
        "import sys; from sameas import *\n"
        "o = BufferOptions(interval_seconds=60, close_seconds=1)\n"
        "Client('127.0.0.1:1').buffer(o).track('E', user_id='u-1')",
        "",
    )

    assert done.returncode == 0
    assert "1 undelivered" in done.stderr


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_buffer_from_before_a_fork_refuses_calls_instead_of_losing_them(make_buffer):
    buffer = make_buffer(**SLOW)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            buffer.track("E", user_id="u-1")
        except RuntimeError:
            os.write(writer, b"refused")
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 7) == b"refused"
    os.close(reader)
    os.close(writer)


def test_an_unavailable_error_is_what_remains_of_batches_that_were_never_tried(
    make_buffer, service
):
    buffer = make_buffer(lambda _: None, senders=1, attempt_seconds=0.5, **SLOW)
    service.gate.clear()
    buffer.track("E", user_id="u-1")
    buffer.flush(timeout=0.05)
    buffer.track("E", user_id="u-1")

    report = buffer.close(0.2)
    service.gate.set()

    assert len(report.undelivered) == 2
    assert isinstance(report.undelivered[-1].error, Unavailable)
