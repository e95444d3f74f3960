"""A real gRPC server in this process, whose answers the tests say beforehand."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from sameas import AsyncClient, Client, Writes, v1
from sameas.v1 import identity_service_pb2_grpc as identity_grpc
from sameas.v1 import person_service_pb2_grpc as person_grpc


@dataclass
class Failure:
    """An answer that is an error."""

    code: grpc.StatusCode
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    text: str = "it failed"

    def abort(self, context: grpc.ServicerContext) -> None:
        # The server says when to try again, so that the tests need not wait for gRPC's pauses.
        soon = (("grpc-retry-pushback-ms", "5"),)
        context.set_trailing_metadata(soon)
        if not self.reason:
            context.abort(self.code, self.text)
        info = error_details_pb2.ErrorInfo(
            reason=self.reason, domain="sameas", metadata=self.metadata
        )
        detail = any_pb2.Any()
        detail.Pack(info)
        status = status_pb2.Status(code=self.code.value[0], message=self.text, details=[detail])
        whole = rpc_status.to_status(status)
        context.abort_with_status(
            whole._replace(trailing_metadata=(*whole.trailing_metadata, *soon))
        )


class FakeService(identity_grpc.IdentityServiceServicer, person_grpc.PersonServiceServicer):
    """Keeps what it is asked; `answers` are given first, then what is right."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.seconds_left: list[float] = []
        self.answers: deque[Any] = deque()
        self.kept: dict[str, Any] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.stream_ended = threading.Event()

    def _answer(self, request: Any, context: grpc.ServicerContext, right: Any) -> Any:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.seconds_left.append(context.time_remaining())
        self.gate.wait(20)
        answer = self.answers.popleft() if self.answers else None
        if isinstance(answer, Failure):
            answer.abort(context)
        if isinstance(answer, float):
            time.sleep(answer)
            answer = None
        return right() if answer is None else answer

    def _receipt(self, request: Any) -> v1.Receipt:
        duplicate = request.message_id in self.kept
        self.kept[request.message_id] = request
        return v1.Receipt(
            message_id=request.message_id,
            outcome=v1.Outcome.OUTCOME_LINKED,
            person_id="p-1",
            duplicate=duplicate,
        )

    def _write(self, request: Any, context: grpc.ServicerContext, response: Any) -> Any:
        return self._answer(request, context, lambda: response(receipt=self._receipt(request)))

    def Identify(self, request, context):  # noqa: N802
        return self._write(request, context, v1.IdentifyResponse)

    def Alias(self, request, context):  # noqa: N802
        return self._write(request, context, v1.AliasResponse)

    def Track(self, request, context):  # noqa: N802
        return self._write(request, context, v1.TrackResponse)

    def Reset(self, request, context):  # noqa: N802
        return self._write(request, context, v1.ResetResponse)

    def UpdateProfile(self, request, context):  # noqa: N802
        return self._write(request, context, v1.UpdateProfileResponse)

    def Merge(self, request, context):  # noqa: N802
        return self._write(request, context, v1.MergeResponse)

    def Unlink(self, request, context):  # noqa: N802
        return self._write(request, context, v1.UnlinkResponse)

    def WatchChanges(self, request, context):  # noqa: N802
        context.add_callback(self.stream_ended.set)
        yield from self._answer(request, context, list)

    def Ingest(self, request, context):  # noqa: N802
        return self._answer(request, context, lambda: self._ingest(request))

    def GetPerson(self, request, context):  # noqa: N802
        person = v1.Person(person_id="p-1", traits_json='{"plan":"pro"}')
        return self._answer(request, context, lambda: v1.GetPersonResponse(person=person))

    def BatchGetPersons(self, request, context):  # noqa: N802
        return self._answer(request, context, v1.BatchGetPersonsResponse)

    def ListMessages(self, request, context):  # noqa: N802
        return self._answer(request, context, v1.ListMessagesResponse)

    def Explain(self, request, context):  # noqa: N802
        return self._answer(request, context, v1.ExplainResponse)

    def _ingest(self, request: v1.IngestRequest) -> v1.IngestResponse:
        return v1.IngestResponse(results=[self._result(item) for item in request.items])

    def _result(self, item: v1.IngestItem) -> v1.IngestResult:
        call = getattr(item, item.WhichOneof("call"))
        if call.user_id == "null":
            error = v1.ItemError(
                code=3, reason=v1.ErrorReason.ERROR_REASON_ID_BLOCKED, field="user_id"
            )
            return v1.IngestResult(error=error)
        return v1.IngestResult(receipt=self._receipt(call))


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def failure() -> type[Failure]:
    return Failure


def start(service: FakeService, port: int = 0) -> SimpleNamespace:
    server = grpc.server(
        futures.ThreadPoolExecutor(8),
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 << 20)],
    )
    identity_grpc.add_IdentityServiceServicer_to_server(service, server)
    person_grpc.add_PersonServiceServicer_to_server(service, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return SimpleNamespace(
        target=f"127.0.0.1:{bound}", port=bound, stop=lambda: server.stop(None).wait()
    )


@pytest.fixture
def start_server():
    """Starts a fake service, at a port of its own or the one given."""
    running: list[SimpleNamespace] = []

    def start_one(service: FakeService, port: int = 0) -> SimpleNamespace:
        running.append(start(service, port))
        return running[-1]

    yield start_one
    for server in running:
        server.stop()


@pytest.fixture
def target(service: FakeService, start_server) -> str:
    return start_server(service).target


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with Client(target) as client:
        yield client


class Awaited:
    """An AsyncClient and a Client behind one way of calling: `await run("track", ...)`."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        result = attrgetter(name)(self.client)(*args, **kwargs)
        if name in ("messages", "watch_changes"):
            if isinstance(self.client, Client):
                return list(result)
            return [message async for message in result]
        return await result if isinstance(self.client, AsyncClient) else result


@pytest_asyncio.fixture(params=["sync", "aio"])
async def run(request: pytest.FixtureRequest, target: str):
    if request.param == "sync":
        with Client(target, key="k-1") as client:
            yield Awaited(client)
    else:
        async with AsyncClient(target, key="k-1") as client:
            yield Awaited(client)


@pytest_asyncio.fixture
async def aio_client(target: str):
    async with AsyncClient(target) as client:
        yield client


class Recorder(Writes[str]):
    """Takes the place of a client: keeps finished requests, gives back message ids."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.error: Exception | None = None

    @property
    def last(self) -> Any:
        return self.requests[-1]

    def _deliver(self, request: Any, timeout: float | None) -> str:  # noqa: ARG002
        if self.error is not None:
            raise self.error
        self.requests.append(request)
        return request.message_id

    def ids(self) -> list[tuple[str, str]]:
        return [(request.anonymous_id, request.user_id) for request in self.requests]

    def context(self) -> dict[str, Any]:
        return json.loads(self.last.context_json or "{}")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
