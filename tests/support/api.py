"""The API as a test calls it: generated stubs, and refusals taken apart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from sameas import v1
from sameas.v1 import identity_service_pb2, person_service_pb2
from sameas_service.domain.kinds import Kind
from sameas_service.servicer.identity import IdentityServicer
from sameas_service.servicer.persons import PersonServicer

SERVICES = {
    service.full_name: service
    for file, name in (
        (identity_service_pb2, "IdentityService"),
        (person_service_pb2, "PersonService"),
    )
    for service in (file.DESCRIPTOR.services_by_name[name],)
}
_SERVICERS = (IdentityServicer, PersonServicer)
METHODS: dict[str, type[Message]] = {
    f"/{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for service in SERVICES.values()
    for method in service.methods
    if not method.client_streaming and not method.server_streaming
    if any(hasattr(servicer, method.name) for servicer in _SERVICERS)
}
"""Every method that is served and takes one request for one answer, with its type."""

STREAM = "/sameas.v1.IdentityService/IngestStream"
RESPONSE_BYTES_MAX = 128 * 1024 * 1024
PAGES_MAX = 1_000
SECONDS = 20.0
"""How long a call may take before its test fails."""

_FIELD_IN_ITEM = {
    v1.IdentifyRequest: "identify",
    v1.AliasRequest: "alias",
    v1.TrackRequest: "track",
    v1.ResetRequest: "reset",
    v1.UpdateProfileRequest: "update_profile",
    v1.MergeRequest: "merge",
    v1.UnlinkRequest: "unlink",
}


KINDS = {
    v1.IdentifyRequest: Kind.IDENTIFY,
    v1.AliasRequest: Kind.ALIAS,
    v1.TrackRequest: Kind.TRACK,
    v1.ResetRequest: Kind.RESET,
    v1.UpdateProfileRequest: Kind.PROFILE,
    v1.MergeRequest: Kind.MERGE,
    v1.UnlinkRequest: Kind.UNLINK,
}
"""What a message is that a request stands for; a `TrackRequest` without a kind of its own."""


class Refusal(NamedTuple):
    """An error of a call, or of an item of a batch: what a caller can act on."""

    code: grpc.StatusCode
    reason: str
    field: str
    metadata: dict[str, str]
    sentence: str


class Api:
    """Both services on one channel of its own, so that tests do not share connections."""

    def __init__(self, target: str) -> None:
        options = [
            ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self.channel = grpc.insecure_channel(target, options)
        self.identity = v1.IdentityServiceStub(self.channel)
        self.persons = v1.PersonServiceStub(self.channel)

    def send(self, request: Any) -> v1.Receipt:
        """The receipt of a call of the method that the request's type stands for."""
        name = type(request).__name__.removesuffix("Request")
        return getattr(self.identity, name)(request, timeout=SECONDS).receipt

    def ingest(self, *requests: Any, imported: bool = False) -> list[v1.IngestResult]:
        """The results of the requests as one batch."""
        items = [item_of(request) for request in requests]
        batch = v1.IngestRequest(items=items, imported=imported)
        return list(self.identity.Ingest(batch, timeout=SECONDS).results)

    def person(self, **key: str) -> v1.Person:
        """A person by one of their ids, with traits as JSON text."""
        request = v1.GetPersonRequest(
            key=v1.PersonKey(**key), form=v1.PayloadForm.PAYLOAD_FORM_JSON
        )
        return self.persons.GetPerson(request, timeout=SECONDS).person

    def people(self, *keys: v1.PersonKey) -> list[v1.Person | None]:
        """Persons by their ids, None where nobody is found."""
        request = v1.BatchGetPersonsRequest(keys=keys)
        results = self.persons.BatchGetPersons(request, timeout=SECONDS).results
        return [one.person if one.HasField("person") else None for one in results]

    def timeline(self, page_size: int = 1_000, **key: str) -> list[v1.Message]:
        """All messages of a person, page by page."""
        request = v1.ListMessagesRequest(
            key=v1.PersonKey(**key),
            page_size=page_size,
            form=v1.PayloadForm.PAYLOAD_FORM_JSON,
        )
        return [message for page in self.pages(request) for message in page]

    def pages(self, request: v1.ListMessagesRequest) -> Iterator[list[v1.Message]]:
        """The pages that answer a question, until the token is empty."""
        request = v1.ListMessagesRequest.FromString(request.SerializeToString())
        for _ in range(PAGES_MAX):
            answer = self.persons.ListMessages(request, timeout=SECONDS)
            yield list(answer.messages)
            request.page_token = answer.next_page_token
            if not request.page_token:
                return
        raise AssertionError("the pages have no end")

    def raw(self, method: str, data: bytes) -> bytes:
        """Calls a method with bytes that need not be a message."""
        call = self.channel.unary_unary(method, lambda b: b, lambda b: b)
        return call(data, timeout=SECONDS)

    def close(self) -> None:
        self.channel.close()


@contextmanager
def connected(target: str) -> Iterator[Api]:
    """The API on a channel that is closed at the end."""
    api = Api(target)
    try:
        yield api
    finally:
        api.close()


def item_of(request: Any) -> v1.IngestItem:
    """A request as an item of a batch."""
    if isinstance(request, v1.IngestItem):
        return request
    return v1.IngestItem(**{_FIELD_IN_ITEM[type(request)]: request})


def refusal_of(error: grpc.RpcError) -> Refusal:
    """What a failed call says, after checking that its parts agree with each other."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    status = status_pb2.Status.FromString(details)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    infos = [detail for detail in status.details if detail.Is(info.DESCRIPTOR)]
    assert len(infos) == 1, f"one ErrorInfo, not {len(infos)}, with {error}"
    infos[0].Unpack(info)
    assert info.domain == "sameas"
    field = info.metadata.get("field", "")
    for detail in status.details:
        if detail.Is(bad_request.DESCRIPTOR):
            detail.Unpack(bad_request)
    named = [violation.field for violation in bad_request.field_violations]
    is_invalid = error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named == ([field] if field and is_invalid else [])
    return Refusal(error.code(), info.reason, field, dict(info.metadata), error.details())


def refusal_of_item(error: v1.ItemError) -> Refusal:
    """The same of one item of a batch."""
    code = next(code for code in grpc.StatusCode if code.value[0] == error.code)
    reason = v1.ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    assert error.metadata.get("field", "") == error.field
    return Refusal(code, reason, error.field, dict(error.metadata), error.message)


def refused(call: Any, *arguments: Any) -> Refusal:
    """How a call is refused, which it must be."""
    try:
        answer = call(*arguments)
    except grpc.RpcError as error:
        return refusal_of(error)
    raise AssertionError(f"not refused, but answered: {answer}")


def at(seconds_ago: float = 0.0) -> Timestamp:
    """A time before now."""
    nanos = time.time_ns() - int(seconds_ago * 1e9)
    return Timestamp(seconds=nanos // 10**9, nanos=nanos % 10**9 // 1_000 * 1_000)
