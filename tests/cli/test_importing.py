import gzip
import json
from functools import partial
from itertools import accumulate

import pytest

from sameas import v1
from sameas_service.cli import connection, importing
from sameas_service.cli.importing import BATCH_BYTES_MAX


def track(number, **fields):
    return {
        "type": "track",
        "messageId": f"m{number}",
        "userId": "u1",
        "event": "e",
        "timestamp": "2024-01-04T11:45:38Z",
        **fields,
    }


@pytest.fixture
def file(tmp_path):
    def write(lines, *, compress=bytes):
        path = tmp_path / "lines.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_bytes(compress("".join(text + "\n" for text in texts).encode()))
        return str(path)

    return write


def sent_ids(identity):
    return [item.track.message_id for request in identity.requests for item in request.items]


@pytest.mark.parametrize(
    "compress", [bytes, partial(gzip.compress, mtime=0)], ids=["plain", "gzip"]
)
def test_every_line_is_sent_once_in_order_and_marked_as_imported(sameas, identity, file, compress):
    path = file([track(n) for n in range(1_203)], compress=compress)

    result = sameas("import", path)

    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith("1,203 accepted, 0 duplicates, 0 refused in ")
    assert set(sent_ids(identity)) == {f"m{n}" for n in range(1_203)}
    assert sorted(len(request.items) for request in identity.requests) == [203, 500, 500]
    assert all(request.imported for request in identity.requests)


def test_standard_input_is_imported(sameas, identity):
    result = sameas("import", "-", stdin=json.dumps(track(1)))

    assert result.exit_code == 0
    assert sent_ids(identity) == ["m1"]


def test_a_second_run_counts_nothing_twice(sameas, identity, file):
    without_id = track(3)
    del without_id["messageId"]
    path = file([track(1), track(2), without_id])

    first = sameas("import", path)
    second = sameas("import", path)

    assert first.stdout.startswith("3 accepted, 0 duplicates, 0 refused")
    assert second.stdout.startswith("0 accepted, 3 duplicates, 0 refused")
    assert second.exit_code == 0
    assert len(identity.taken) == 3


def test_bad_lines_are_told_by_number_reason_and_field_and_the_rest_is_kept(sameas, identity, file):
    path = file([track(1), "not json", "", track(4, userId="null"), track(5), track(6, userId=7)])

    result = sameas("import", path)

    assert result.exit_code == 1
    assert result.stdout.startswith("2 accepted, 0 duplicates, 3 refused")
    told = sorted(result.stderr.splitlines())
    assert told[0].startswith("line 2: INVALID_ARGUMENT LINE_INVALID: the line is not JSON")
    assert told[1:] == [
        "line 4: INVALID_ARGUMENT ID_BLOCKED user_id: user_id names nobody",
        "line 6: INVALID_ARGUMENT FIELD_INVALID userId: userId is not a text",
    ]
    assert set(identity.taken) == {"m1", "m5"}


def test_a_file_of_bad_lines_sends_nothing(sameas, identity, file):
    result = sameas("import", file(["x", "y"]))

    assert result.exit_code == 1
    assert result.stdout.startswith("0 accepted, 0 duplicates, 2 refused")
    assert identity.requests == []


def test_an_empty_file_is_imported(sameas, file):
    result = sameas("import", file([]))

    assert result.exit_code == 0
    assert result.stdout.startswith("0 accepted, 0 duplicates, 0 refused")


def test_a_hundred_bad_lines_are_printed_and_all_are_counted_and_written(sameas, file, tmp_path):
    errors = tmp_path / "errors.jsonl"
    path = file(["x"] * 120 + [track(1, userId="null")])

    result = sameas("import", path, "--errors", str(errors))

    told = result.stderr.splitlines()
    assert len(told) == 101
    assert "--errors" in told[-1]
    assert result.stdout.startswith("0 accepted, 0 duplicates, 121 refused")
    written = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [each["line"] for each in written] == list(range(1, 122))
    assert written[-1] == {
        "line": 121,
        "code": "INVALID_ARGUMENT",
        "reason": "ID_BLOCKED",
        "field": "user_id",
        "message": "user_id names nobody",
    }


def test_an_overlong_line_is_a_bad_line(sameas, identity, file):
    long = track(2, properties={"x": "x" * 1024 * 1024})

    result = sameas("import", file([track(1), long, track(3)]))

    assert result.exit_code == 1
    assert "line 2: INVALID_ARGUMENT LINE_TOO_LONG: the line has more than" in result.stderr
    assert set(identity.taken) == {"m1", "m3"}


def test_a_batch_stays_below_four_mebibytes(sameas, identity, file):
    path = file([track(n, properties={"x": "x" * 900_000}) for n in range(11)])

    result = sameas("import", path, "--batch-size", "2500")

    assert result.exit_code == 0
    assert sorted(len(request.items) for request in identity.requests) == [3, 4, 4]
    assert all(request.ByteSize() <= BATCH_BYTES_MAX for request in identity.requests)


def test_a_message_larger_than_a_batch_is_a_bad_line(sameas, identity, file, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_BYTES_MAX", 1_000)

    result = sameas("import", file([track(1), track(2, event="x" * 1_000), track(3)]))

    assert result.exit_code == 1
    assert "line 2: INVALID_ARGUMENT LINE_TOO_LONG" in result.stderr
    assert set(identity.taken) == {"m1", "m3"}


def test_the_servers_warnings_are_counted(sameas, file):
    result = sameas("import", file([track(1, userId="a@b.c"), track(2, userId="a@b.c")]))

    assert result.stdout.splitlines()[1] == "warnings: USER_ID_IS_EMAIL 2"


def test_a_server_that_is_gone_for_a_moment_is_tried_again(sameas, identity, file):
    identity.gone_for_calls = 2
    # More than gRPC keeps for a retry by itself.
    path = file([track(n, properties={"x": "x" * 30_000}) for n in range(20)])

    result = sameas("import", path)

    assert result.exit_code == 0
    assert result.stdout.startswith("20 accepted")


def test_a_failure_says_how_far_it_got_and_the_next_run_goes_on(sameas, identity, file):
    path = file([track(n) for n in range(100)])
    identity.broken_after_batches = 4

    broken = sameas("import", path, "--batch-size", "10")
    identity.broken_after_batches = None
    resumed = sameas("import", path, "--batch-size", "10")

    assert broken.exit_code == 2
    assert broken.stdout.startswith("40 accepted, 0 duplicates, 0 refused")
    assert broken.stderr == (
        "stopped: INTERNAL INTERNAL: a fault of the server. All lines up to 40 are dealt "
        "with, later ones may be. It is safe to run the same command again: a message id "
        "counts once.\n"
    )
    assert resumed.exit_code == 0
    assert len(identity.taken) == 100


def test_a_file_that_breaks_off_is_a_failure_and_what_was_read_is_not_lost(
    sameas, identity, tmp_path
):
    lines = "".join(json.dumps(track(n)) + "\n" for n in range(30_000)).encode()
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(lines, mtime=0)[:-20])

    result = sameas("import", str(path))

    assert result.exit_code == 2
    assert "cannot be read any further" in result.stderr
    assert len(identity.taken) > 20_000


def test_an_interrupt_is_a_failure_that_says_how_far_it_got(sameas, file, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "_settle", interrupt)

    result = sameas("import", file([track(1)]))

    assert result.exit_code == 2
    assert result.stderr.startswith("stopped: interrupted. All lines up to 0 are dealt with")


def test_an_answer_that_does_not_fit_the_batch_is_a_failure(sameas, identity, file):
    identity.results_lost = 1

    result = sameas("import", file([track(1), track(2)]))

    assert result.exit_code == 2
    assert "the server gave 1 results for 2 messages" in result.stderr


def test_where_no_server_answers_it_says_how_to_start_one(sameas, file, nobody_there):
    result = sameas("import", file([track(1)]), server=nobody_there)

    assert result.exit_code == 2
    assert result.stderr == (
        f"no server answers at {nobody_there}; start one with `sameas serve`\n"
    )


def test_a_file_that_is_absent_is_a_failure(sameas, tmp_path):
    result = sameas("import", str(tmp_path / "absent"))

    assert result.exit_code == 2
    assert "absent cannot be read: No such file or directory" in result.stderr


def test_an_errors_file_that_cannot_be_written_is_a_failure(sameas, file, tmp_path):
    nowhere = tmp_path / "absent" / "errors"

    result = sameas("import", file([track(1)]), "--errors", str(nowhere))

    assert result.exit_code == 2
    assert "errors cannot be written: No such file or directory" in result.stderr


@pytest.mark.parametrize("size", ["0", "2501", "many"])
def test_a_batch_size_out_of_range_is_refused(sameas, file, size):
    assert sameas("import", file([track(1)]), "--batch-size", size).exit_code == 2


class LoggedStub:
    """Notes in what order batches are sent and their answers waited for."""

    def __init__(self):
        self.log = []
        self.Ingest = self

    def future(self, request, **_):
        name = request.items[0].track.message_id
        self.log.append(("send", name))
        return LoggedAnswer(self.log, name)


class LoggedAnswer:
    def __init__(self, log, name):
        self.log = log
        self.name = name

    def result(self):
        self.log.append(("wait", self.name))
        return v1.IngestResponse(results=[v1.IngestResult(receipt=v1.Receipt())])


def test_few_batches_are_in_flight_and_all_are_in_order():
    items = [v1.IngestItem(track=v1.TrackRequest(message_id=name)) for name in "abcde"]
    ready = [importing.Batch([item], [number]) for number, item in enumerate(items)]
    stub = LoggedStub()

    with importing.Report(None, None) as report:
        importing.send(ready, stub, report)

    assert [name for verb, name in stub.log if verb == "send"] == list("abcde")
    assert [name for verb, name in stub.log if verb == "wait"] == list("abcde")
    in_flight = accumulate(1 if verb == "send" else -1 for verb, _ in stub.log)
    assert max(in_flight) == importing.BATCHES_IN_FLIGHT_MAX


def test_a_terminal_sees_progress_and_then_the_counts(sameas, file):
    result = sameas("import", file([track(1), "x"]), on_terminal=True)

    assert result.exit_code == 1
    assert "importing" in result.stderr
    assert "line 2: INVALID_ARGUMENT" in result.stderr
    assert "1 accepted" in result.stdout


def test_unknown_numbers_of_a_newer_server_are_shown_as_numbers():
    assert connection.code_name(3) == "INVALID_ARGUMENT"
    assert connection.code_name(99) == "CODE_99"
    assert connection.bare_name(v1.ErrorReason.Name, 999, "ERROR_REASON_") == "999"
