"""A server of fakes on a free port, and the command line that talks to it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from typer.testing import CliRunner

from sameas import v1
from sameas.v1 import identity_service_pb2_grpc, person_service_pb2_grpc
from sameas_service.cli.app import app


def abort(context, code, reason, field, message):
    """Fails a call as the real server does."""
    info = error_details_pb2.ErrorInfo(
        reason=reason, domain="sameas", metadata={"field": field} if field else {}
    )
    packed = any_pb2.Any()
    packed.Pack(info)
    status = status_pb2.Status(code=code.value[0], message=message, details=[packed])
    context.abort_with_status(rpc_status.to_status(status))


class FakeIdentityService(identity_service_pb2_grpc.IdentityServiceServicer):
    """Takes every message but those of the user `null`; knows ids that it took before."""

    def __init__(self):
        self.requests = []
        self.taken = {}
        self.gone_for_calls = 0
        self.broken_after_batches = None
        self.results_lost = 0
        self._lock = threading.Lock()

    def Ingest(self, request, context):  # noqa: N802 - gRPC names it
        with self._lock:
            if self.gone_for_calls:
                self.gone_for_calls -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            if self.broken_after_batches == len(self.requests):
                sentence = "a fault of the server"
                abort(context, grpc.StatusCode.INTERNAL, "INTERNAL", "", sentence)
            self.requests.append(request)
            results = [self._take(item) for item in request.items]
            return v1.IngestResponse(results=results[self.results_lost :])

    def _take(self, item):
        call = getattr(item, item.WhichOneof("call"))
        if call.user_id == "null":
            error = v1.ItemError(
                code=3,
                reason=v1.ErrorReason.ERROR_REASON_ID_BLOCKED,
                field="user_id",
                message="user_id names nobody",
            )
            return v1.IngestResult(error=error)
        duplicate = call.message_id in self.taken
        self.taken.setdefault(call.message_id, item)
        warnings = []
        if call.user_id == "a@b.c":
            reason = v1.WarningReason.WARNING_REASON_USER_ID_IS_EMAIL
            warnings.append(v1.Warning(reason=reason))
        receipt = v1.Receipt(message_id=call.message_id, duplicate=duplicate, warnings=warnings)
        return v1.IngestResult(receipt=receipt)


class FakePersonService(person_service_pb2_grpc.PersonServiceServicer):
    """Knows the persons it is given, by `(kind of id, id)`, and one timeline for all."""

    def __init__(self):
        self.persons = {}
        self.messages = []
        self.requests = []
        self.explanation = v1.ExplainResponse()
        self.page_size_max = 1_000

    def GetPerson(self, request, context):  # noqa: N802
        self.requests.append(request)
        return v1.GetPersonResponse(person=self._find(request.key, context))

    def ListMessages(self, request, context):  # noqa: N802
        copy = v1.ListMessagesRequest()
        copy.CopyFrom(request)
        self.requests.append(copy)
        self._find(request.key, context)
        start = int(request.page_token or 0)
        end = start + min(request.page_size, self.page_size_max)
        token = str(end) if end < len(self.messages) else ""
        return v1.ListMessagesResponse(messages=self.messages[start:end], next_page_token=token)

    def Explain(self, request, context):  # noqa: N802
        self.requests.append(request)
        self._find(request.first, context)
        self._find(request.second, context)
        return self.explanation

    def _find(self, key, context):
        which = key.WhichOneof("key")
        value = getattr(key, which)
        if which == "person_id" and not value.startswith("p-"):
            code = grpc.StatusCode.INVALID_ARGUMENT
            abort(context, code, "ID_BLOCKED", "person_id", "person_id is not a UUID")
        if len(value) > 256:
            code = grpc.StatusCode.INVALID_ARGUMENT
            abort(context, code, "ID_TOO_LONG", which, f"{which} has more than 256 bytes")
        if (which, value) not in self.persons:
            code = grpc.StatusCode.NOT_FOUND
            abort(context, code, "PERSON_NOT_FOUND", "", "no message made such a person")
        return self.persons[which, value]


@pytest.fixture
def identity():
    return FakeIdentityService()


@pytest.fixture
def people():
    return FakePersonService()


@pytest.fixture
def address(identity, people):
    server = grpc.server(ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(identity, server)
    person_service_pb2_grpc.add_PersonServiceServicer_to_server(people, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def sameas(address):
    """Runs the command line against the fakes."""

    def run(*arguments, stdin=None, server=address, on_terminal=False):
        environment = {"SAMEAS_SERVER": server, "COLUMNS": "100"}
        environment["FORCE_COLOR"] = "1" if on_terminal else None
        return CliRunner().invoke(app, arguments, input=stdin, env=environment)

    return run


@pytest.fixture
def nobody_there():
    """An address at which nothing listens."""
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    server.stop(None).wait()
    return f"127.0.0.1:{port}"
