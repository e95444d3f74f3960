"""`IdentityService`: takes messages."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from sameas import v1
from sameas_service.domain import ids
from sameas_service.domain.errors import Refused
from sameas_service.domain.limits import BATCH_MESSAGES_MAX
from sameas_service.domain.message import Message
from sameas_service.domain.preview import Preview
from sameas_service.domain.receipt import Outcome, Receipt
from sameas_service.resolver.ports import PersonKey, Store
from sameas_service.servicer.calls import Receiving, item_message, message_of, microseconds
from sameas_service.servicer.changed import preview_of
from sameas_service.servicer.explained import explanation_of
from sameas_service.servicer.handlers import TOO_LARGE, Context, Unread
from sameas_service.servicer.refusals import item_error

STREAM_BATCHES_MAX = 8
"""Batches of one stream that wait for the disk; then the server stops reading."""

Results = RepeatedCompositeFieldContainer[v1.IngestResult]

Response = TypeVar(
    "Response",
    v1.IdentifyResponse,
    v1.AliasResponse,
    v1.TrackResponse,
    v1.ResetResponse,
    v1.UpdateProfileResponse,
    v1.MergeResponse,
)
Pair = TypeVar("Pair", v1.MergeRequest, v1.UnlinkRequest)

_SLICE = 250
"""Items of a batch that are read at a stretch, before other calls get their turn."""


class IdentityServicer:
    """One method an RPC, by its name."""

    def __init__(
        self,
        store: Store,
        blocked: frozenset[str] = ids.NAMES_OF_NOBODY,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """The clock gives nanoseconds since 1970."""
        self._store = store
        self._blocked = blocked
        self._clock = clock

    async def Identify(self, request: v1.IdentifyRequest, _: Context) -> v1.IdentifyResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(request, v1.IdentifyResponse())

    async def Alias(self, request: v1.AliasRequest, _: Context) -> v1.AliasResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(request, v1.AliasResponse())

    async def Track(self, request: v1.TrackRequest, _: Context) -> v1.TrackResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(request, v1.TrackResponse())

    async def Reset(self, request: v1.ResetRequest, _: Context) -> v1.ResetResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(request, v1.ResetResponse())

    async def UpdateProfile(  # noqa: N802
        self, request: v1.UpdateProfileRequest, _: Context
    ) -> v1.UpdateProfileResponse:
        """See the protos."""
        return await self._answer(request, v1.UpdateProfileResponse())

    async def Merge(self, request: v1.MergeRequest, _: Context) -> v1.MergeResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(_undated(request), v1.MergeResponse())

    async def Unlink(self, request: v1.UnlinkRequest, _: Context) -> v1.UnlinkResponse:  # noqa: N802
        """See the protos."""
        response = v1.UnlinkResponse()
        message = message_of(_undated(request), self._receiving())
        preview = _told(await self._store.report(message, keep=not request.validate_only))
        fill_receipt(response.receipt, preview.receipt)
        response.preview.CopyFrom(preview_of(preview))
        if not request.validate_only or preview.receipt.outcome is Outcome.UNCHANGED:
            response.chain.extend(await self._chain(message))
        return response

    async def _chain(self, unlink: Message) -> list[v1.ExplainStep]:
        """What joins the pair of an unlink all the same; nothing where they are apart."""
        if unlink.device is None:
            other = PersonKey("user", unlink.source or "")
        else:
            other = PersonKey("anonymous", unlink.device)
        user = PersonKey("user", unlink.user or "")
        try:
            first, second = await self._store.persons([other, user])
            if first is None or second is None or first.person_id != second.person_id:
                return []
            return list(explanation_of(await self._store.explain(other, user)).chain)
        except Refused:
            # Too many messages to explain, or too late: the unlink was taken all the same.
            return []

    async def Ingest(self, request: v1.IngestRequest, _: Context) -> v1.IngestResponse:  # noqa: N802
        """See the protos."""
        response = v1.IngestResponse()
        await self._keep_batch(request, response.results)
        return response

    async def IngestStream(  # noqa: N802
        self, requests: AsyncIterator[v1.IngestStreamRequest | Unread], _: Context
    ) -> AsyncIterator[v1.IngestStreamResponse]:
        """See the protos."""
        waiting: asyncio.Queue[asyncio.Task[v1.IngestStreamResponse] | None] = asyncio.Queue(
            STREAM_BATCHES_MAX
        )
        reading = asyncio.create_task(self._read_stream(requests, waiting))
        try:
            while (task := await waiting.get()) is not None:
                yield await task
            await reading
        finally:
            reading.cancel()

    async def _read_stream(
        self,
        requests: AsyncIterator[v1.IngestStreamRequest | Unread],
        waiting: asyncio.Queue[asyncio.Task[v1.IngestStreamResponse] | None],
    ) -> None:
        try:
            async for request in requests:
                await waiting.put(asyncio.create_task(self._keep_streamed(request)))
        except Exception:
            await waiting.put(None)
            raise
        # Not when cancelled: then nobody takes from the queue, and a full one would hold
        # this task for ever.
        await waiting.put(None)

    async def _keep_streamed(
        self, request: v1.IngestStreamRequest | Unread
    ) -> v1.IngestStreamResponse:
        try:
            if isinstance(request, Unread):
                raise request.refused
            response = v1.IngestStreamResponse()
            await self._keep_batch(request.batch, response.results)
            return response  # noqa: TRY300  (the other answer is the refusal's)
        except Refused as refused:
            return v1.IngestStreamResponse(error=item_error(refused))

    def _receiving(self) -> Receiving:
        return Receiving(self._clock() // 1_000, self._blocked)

    async def _answer(self, request: Any, response: Response) -> Response:
        """Keeps the message of a call, or with `validate_only` says what it would do."""
        message = message_of(request, self._receiving())
        if request.validate_only:
            preview = _told(await self._store.report(message, keep=False))
            fill_receipt(response.receipt, preview.receipt)
            response.preview.CopyFrom(preview_of(preview))
            return response
        (answer,) = await self._store.append([message])
        if isinstance(answer, Refused):
            raise answer
        fill_receipt(response.receipt, answer)
        return response

    async def _keep_batch(self, request: v1.IngestRequest, results: Results) -> None:
        if len(request.items) > BATCH_MESSAGES_MAX:
            raise TOO_LARGE.refused
        read = await self._read_items(request)
        messages = [one for one in read if isinstance(one, Message)]
        kept = iter(await self._store.append(messages))
        for one in read:
            fill_result(results.add(), one if isinstance(one, Refused) else next(kept))

    async def _read_items(self, request: v1.IngestRequest) -> Sequence[Message | Refused]:
        how = self._receiving()._replace(imported=request.imported)
        if request.HasField("sent_at"):
            how = how._replace(sent_at=microseconds(request.sent_at, "sent_at"))
        read: list[Message | Refused] = []
        for index, item in enumerate(request.items):
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            try:
                read.append(item_message(item, how))
            except Refused as refused:
                read.append(refused)
        return read


def _undated(request: Pair) -> Pair:
    """A live merge or unlink, which the server dates: a time in the request does not count."""
    request.ClearField("timestamp")
    return request


def _told(preview: Preview | Refused) -> Preview:
    if isinstance(preview, Refused):
        raise preview
    return preview


def fill_result(wire: v1.IngestResult, answer: Receipt | Refused) -> None:
    """One item's answer on the wire."""
    if isinstance(answer, Refused):
        wire.error.CopyFrom(item_error(answer))
    else:
        fill_receipt(wire.receipt, answer)


def fill_receipt(wire: v1.Receipt, receipt: Receipt) -> None:
    """A receipt on the wire. Field by field: a constructor and its copy take twice as long."""
    message_id, outcome, person_id, absorbed, duplicate, warnings = receipt
    wire.message_id = message_id
    wire.outcome = int(outcome)  # type: ignore[assignment]
    wire.person_id = person_id
    if absorbed:
        wire.absorbed_person_ids.extend(absorbed)
    if duplicate:
        wire.duplicate = True
    for warning in warnings:
        wire.warnings.add(
            reason=int(warning.reason),
            message=warning.sentence,
            metadata=dict(warning.metadata),
        )
