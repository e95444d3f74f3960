import asyncio
import pickle
import time

import grpc
import pytest

import sameas
from sameas import AsyncClient, Client, InvalidArgument, SameasError, channel_options, v1

CODES = [
    ("INVALID_ARGUMENT", "ID_BLOCKED", sameas.InvalidArgument),
    ("ALREADY_EXISTS", "MESSAGE_ID_REUSED", sameas.MessageIdReused),
    ("NOT_FOUND", "PERSON_NOT_FOUND", sameas.PersonNotFound),
    ("UNAUTHENTICATED", "", sameas.Unauthenticated),
    ("PERMISSION_DENIED", "", sameas.PermissionDenied),
    ("FAILED_PRECONDITION", "HISTORY_TOO_LARGE", sameas.FailedPrecondition),
    ("DEADLINE_EXCEEDED", "", sameas.DeadlineExceeded),
    ("DEADLINE_EXCEEDED", "DEADLINE_PASSED", sameas.DeadlineExceeded),
    ("INTERNAL", "INTERNAL", sameas.ServerFault),
    ("UNIMPLEMENTED", "", sameas.ServerFault),
    ("UNKNOWN", "", sameas.ServerFault),
]
RETRIED = [
    ("UNAVAILABLE", "SERVER_STOPPING", sameas.Unavailable),
    ("UNAVAILABLE", "STORE_BUSY", sameas.Unavailable),
    ("CANCELLED", "", sameas.Cancelled),
    ("RESOURCE_EXHAUSTED", "OVERLOADED", sameas.Overloaded),
    ("RESOURCE_EXHAUSTED", "DISK_FULL", sameas.DiskFull),
    ("RESOURCE_EXHAUSTED", "", sameas.ResourceExhausted),
]


@pytest.mark.parametrize(("code", "reason", "kind"), CODES)
async def test_an_error_has_the_class_code_reason_and_field_of_what_the_server_said(
    run, service, failure, code, reason, kind
):
    status = grpc.StatusCode[code]
    service.answers.append(failure(status, reason, {"field": "user_id", "max_bytes": "256"}))

    with pytest.raises(SameasError) as caught:
        await run("identify", "u-1")

    error = caught.value
    assert type(error) is kind
    assert (error.code, error.reason) == (status, reason)
    assert error.metadata == ({"field": "user_id", "max_bytes": "256"} if reason else {})
    assert error.field == ("user_id" if reason else "")
    assert isinstance(error.__cause__, grpc.RpcError)
    assert len(service.requests) == 1


@pytest.mark.parametrize(("code", "reason", "kind"), RETRIED)
async def test_what_may_pass_is_tried_four_times_with_one_message_id(
    run, service, failure, code, reason, kind
):
    service.answers.extend([failure(grpc.StatusCode[code], reason)] * 4)

    with pytest.raises(kind) as caught:
        await run("track", "E", user_id="u-1")

    assert type(caught.value) is kind
    assert len(service.requests) == 4
    assert len({each.message_id for each in service.requests}) == 1


async def test_reads_are_retried_too(run, service, failure):
    service.answers.append(failure(grpc.StatusCode.UNAVAILABLE))

    person = await run("person", user_id="u-1")

    assert person.person_id == "p-1"
    assert len(service.requests) == 2


async def test_a_batch_larger_than_grpcs_usual_retry_buffer_is_retried(run, service, failure):
    service.answers.append(failure(grpc.StatusCode.UNAVAILABLE))
    item = v1.IngestItem(
        track=v1.TrackRequest(user_id="u-1", event="E", properties_json="x" * 30_000)
    )

    receipts = await run("ingest", [item] * 100)

    assert len(receipts) == 100
    assert len(service.requests) == 2
    assert service.requests[0] == service.requests[1]


async def test_a_call_ends_by_its_timeout(run, service):
    service.answers.append(2.0)
    started = time.monotonic()

    with pytest.raises(sameas.DeadlineExceeded):
        await run("track", "E", user_id="u-1", timeout=0.2)

    assert time.monotonic() - started < 1.5


async def test_a_restart_of_the_server_is_not_seen(service, start_server):
    first = start_server(service)
    with Client(first.target) as client:
        client.track("E", user_id="u-1")
        first.stop()
        timer = asyncio.get_running_loop().call_later(
            0.5, lambda: start_server(service, first.port)
        )
        receipt = await asyncio.to_thread(client.track, "E", user_id="u-1")
        timer.cancel()

    assert receipt.person_id == "p-1"


async def test_an_unreachable_server_is_unavailable():
    with Client("127.0.0.1:1") as client, pytest.raises(sameas.Unavailable):
        client.track("E", user_id="u-1", timeout=3)


async def test_an_error_info_of_another_domain_gives_no_reason(service, target, monkeypatch):
    from google.protobuf import any_pb2
    from google.rpc import error_details_pb2, status_pb2
    from grpc_status import rpc_status

    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="proxy.example"))
    status = status_pb2.Status(code=3, message="no", details=[detail])

    def proxy(self, request, context, right):
        context.abort_with_status(rpc_status.to_status(status))

    monkeypatch.setattr(type(service), "_answer", proxy)

    with Client(target) as client, pytest.raises(InvalidArgument) as caught:
        client.identify("u-1")

    assert caught.value.reason == ""


def test_errors_survive_pickling():
    error = InvalidArgument("no", reason="ID_BLOCKED", metadata={"field": "user_id"})

    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), copy.reason, copy.field, str(copy)) == (
        InvalidArgument, "ID_BLOCKED", "user_id", "no [ID_BLOCKED]",
    )  # fmt: skip


async def test_a_given_channel_is_used_and_left_open(service, target):
    with grpc.insecure_channel(target, options=channel_options()) as channel:
        with Client(channel=channel) as client:
            client.track("E", user_id="u-1")
        with Client(channel=channel) as client:
            client.track("E", user_id="u-1")
    async with grpc.aio.insecure_channel(target, options=channel_options()) as channel:
        async with AsyncClient(channel=channel) as client:
            await client.track("E", user_id="u-1")
        async with AsyncClient(channel=channel) as client:
            await client.track("E", user_id="u-1")

    assert len(service.requests) == 4
