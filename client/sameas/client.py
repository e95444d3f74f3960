"""The client for programs with threads."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from sameas import _answers, _calls, _channel, errors, v1
from sameas._calls import PairRequest, TimelineFilter, WriteRequest
from sameas._pairs import Pairs
from sameas._previews import Previews
from sameas.buffer import Buffer, BufferOptions, OnError
from sameas.values import (
    Explanation,
    Person,
    Receipt,
    Refusal,
    TimelineMessage,
    Unlinked,
    WatchedChange,
)

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Client(Pairs[Receipt, Unlinked]):
    """A client of a sameas service. Threads may share it; one for a process is enough.

        with Client("127.0.0.1:50051") as client:
            client.identify("u-17", {"plan": "pro"}, anonymous_id="3f0c...")

    Every call has a deadline, and is retried by gRPC where that is safe; see `_channel`. All
    raise `SameasError`. Open it after a fork, never before: gRPC does not survive forks.
    """

    def __init__(
        self,
        target: str = _channel.DEFAULT_TARGET,
        *,
        key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        channel: grpc.Channel | None = None,
        timeout: float = _channel.TIMEOUT_SECONDS,
    ) -> None:
        """Connect when the first call is made.

        Args:
            target: `host:port`, or another gRPC name (`dns:///...`, `unix:...`).
            key: The workspace's key, sent as a bearer token with each call. This version's
                server reads none and refuses calls that bring one.
            credentials: For TLS (`grpc.ssl_channel_credentials()`); otherwise plain text,
                which is for the own machine or a network that no one else listens on.
            channel: A channel to use instead of opening one; make it with
                `channel_options()` to have retries. Whoever opened it closes it.
            timeout: Seconds that a call may take, retries included.
        """
        used = channel or _channel.open_channel(target, credentials)
        self._owned = None if channel else used
        self._identity = v1.IdentityServiceStub(used)
        self._person = v1.PersonServiceStub(used)
        self._metadata = _channel.call_metadata(key)
        self._timeout = timeout
        self._writers: dict[type, grpc.UnaryUnaryMultiCallable[Any, Any]] = {
            v1.IdentifyRequest: self._identity.Identify,
            v1.AliasRequest: self._identity.Alias,
            v1.TrackRequest: self._identity.Track,
            v1.ResetRequest: self._identity.Reset,
            v1.UpdateProfileRequest: self._identity.UpdateProfile,
            v1.MergeRequest: self._identity.Merge,
            v1.UnlinkRequest: self._identity.Unlink,
        }

    def close(self) -> None:
        """Close the channel, unless it was given. Calls in flight are cancelled."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def preview(self) -> Previews:
        """The writing calls, each answered with what it would change; nothing is kept."""
        return Previews(self._write)

    def ingest(
        self,
        items: Iterable[v1.IngestItem],
        *,
        imported: bool = False,
        timeout: float | None = None,
    ) -> list[Receipt | Refusal]:
        """Send a batch of at most 2,500 messages and 4 MiB; one answer an item, in order.

        A bad item fails alone. Items without a message id get one, so retries count once.
        `imported` is for what was received elsewhere: times are final.
        """
        request = _calls.ingest(items, imported=imported)
        return _answers.results(request, self.ingest_batch(request, timeout=timeout))

    def ingest_batch(
        self, request: v1.IngestRequest, *, timeout: float | None = None
    ) -> v1.IngestResponse:
        """Send the same in messages of the API; each item must have its message id already."""
        _calls.set_time(request.sent_at, None, "sent_at")
        return self._call(self._identity.Ingest, request, timeout)

    def person(
        self,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        person_id: str | None = None,
        as_of: datetime | None = None,
        timeout: float | None = None,
    ) -> Person:
        """Return the person that an id belongs to now. Give one id.

        With `as_of`: what was believed then. Only the messages count that the service had
        received up to that time.

        Raises:
            PersonNotFound: If no message named it.
        """
        key = _calls.person_key(user_id, anonymous_id, person_id)
        request = v1.GetPersonRequest(key=key, form=_calls.FORM)
        _calls.set_as_of(request, as_of)
        return _answers.person(self._call(self._person.GetPerson, request, timeout).person)

    def persons(
        self,
        keys: Iterable[v1.PersonKey],
        *,
        as_of: datetime | None = None,
        timeout: float | None = None,
    ) -> list[Person | None]:
        """Return the persons of at most 1,000 keys, from one snapshot; None for an unused id.

        For `as_of` see `person`.
        """
        request = v1.BatchGetPersonsRequest(keys=keys, form=_calls.FORM)
        _calls.set_as_of(request, as_of)
        return _answers.persons(self._call(self._person.BatchGetPersons, request, timeout))

    def messages(
        self,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        person_id: str | None = None,
        as_of: datetime | None = None,
        timeout: float | None = None,
        **only: Unpack[TimelineFilter],
    ) -> Iterator[TimelineMessage]:
        """Yield a person's timeline in order of event time; pages are fetched as it is read.

        Give one id. `only` narrows it; see `TimelineFilter`. `timeout` is for each page. For
        `as_of` see `person`; with it each page costs as much as the whole timeline.

        Raises:
            PersonNotFound: As it is read, if no message named the id.
        """
        key = _calls.person_key(user_id, anonymous_id, person_id)
        request = _calls.list_messages(key, **only)
        _calls.set_as_of(request, as_of)
        while True:
            page = self._call(self._person.ListMessages, request, timeout)
            yield from _answers.timeline(page.messages)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def explain(
        self,
        first: v1.PersonKey,
        second: v1.PersonKey,
        *,
        as_of: datetime | None = None,
        timeout: float | None = None,
    ) -> Explanation:
        """Return why two ids are one person, as the messages that join them, or why they are not.

            client.explain(v1.PersonKey(anonymous_id="3f0c..."), v1.PersonKey(user_id="u-17"))

        For `as_of` see `person`.

        Raises:
            PersonNotFound: If no message named one of them.
        """
        request = v1.ExplainRequest(first=first, second=second)
        _calls.set_as_of(request, as_of)
        return _answers.explanation(self._call(self._person.Explain, request, timeout))

    def watch_changes(
        self, cursor: str = "", *, follow: bool = False, timeout: float | None = None
    ) -> Iterator[WatchedChange]:
        """Yield every change of who is who after a cursor, in order, up to the present.

        With `follow` it then waits for more, and ends with `Unavailable` when the server
        stops: call again with the last cursor. Leave the loop to cancel. There is no deadline
        but the `timeout` that is given, which is for the whole.
        """
        request = _calls.watch_changes(cursor, follow=follow)
        call = self._person.WatchChanges(request, timeout=timeout, metadata=self._metadata)
        try:
            for response in call:
                yield from _answers.watched(response)
        except grpc.RpcError as error:
            raise errors.from_rpc_error(error) from error
        finally:
            call.cancel()

    def buffer(
        self, options: BufferOptions | None = None, *, on_error: OnError | None = None
    ) -> Buffer:
        """Return a buffer that sends through this client; close it before the client."""
        return Buffer(self, options, on_error=on_error)

    def _deliver(self, request: WriteRequest, timeout: float | None) -> Receipt:
        return _answers.receipt(self._write(request, timeout).receipt)

    def _merge(self, request: v1.MergeRequest, timeout: float | None) -> Receipt:
        return _answers.receipt(self._write(request, timeout).receipt)

    def _unlink(self, request: v1.UnlinkRequest, timeout: float | None) -> Unlinked:
        return _answers.unlinked(self._write(request, timeout))

    def _write(self, request: WriteRequest | PairRequest, timeout: float | None) -> Any:
        if not isinstance(request, PairRequest):
            _calls.set_time(request.sent_at, None, "sent_at")
        return self._call(self._writers[type(request)], request, timeout)

    def _call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        timeout: float | None,
    ) -> ResponseT:
        seconds = self._timeout if timeout is None else timeout
        try:
            return method(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise errors.from_rpc_error(error) from error
