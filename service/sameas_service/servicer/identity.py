"""`IdentityService`: takes messages."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from sameas import v1
from sameas_service.domain import ids
from sameas_service.domain.errors import Refused
from sameas_service.domain.limits import BATCH_MESSAGES_MAX
from sameas_service.domain.message import Message
from sameas_service.domain.receipt import Receipt
from sameas_service.resolver.ports import Store
from sameas_service.servicer.calls import Receiving, item_message, message_of, microseconds
from sameas_service.servicer.handlers import TOO_LARGE, Context, Unread
from sameas_service.servicer.refusals import item_error

STREAM_BATCHES_MAX = 8
"""Batches of one stream that wait for the disk; then the server stops reading."""

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
        return v1.IdentifyResponse(receipt=await self._keep(request))

    async def Alias(self, request: v1.AliasRequest, _: Context) -> v1.AliasResponse:  # noqa: N802
        """See the protos."""
        return v1.AliasResponse(receipt=await self._keep(request))

    async def Track(self, request: v1.TrackRequest, _: Context) -> v1.TrackResponse:  # noqa: N802
        """See the protos."""
        return v1.TrackResponse(receipt=await self._keep(request))

    async def Reset(self, request: v1.ResetRequest, _: Context) -> v1.ResetResponse:  # noqa: N802
        """See the protos."""
        return v1.ResetResponse(receipt=await self._keep(request))

    async def UpdateProfile(  # noqa: N802
        self, request: v1.UpdateProfileRequest, _: Context
    ) -> v1.UpdateProfileResponse:
        """See the protos."""
        return v1.UpdateProfileResponse(receipt=await self._keep(request))

    async def Ingest(self, request: v1.IngestRequest, _: Context) -> v1.IngestResponse:  # noqa: N802
        """See the protos."""
        return v1.IngestResponse(results=await self._keep_batch(request))

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
        finally:
            await waiting.put(None)

    async def _keep_streamed(
        self, request: v1.IngestStreamRequest | Unread
    ) -> v1.IngestStreamResponse:
        try:
            if isinstance(request, Unread):
                raise request.refused
            return v1.IngestStreamResponse(results=await self._keep_batch(request.batch))
        except Refused as refused:
            return v1.IngestStreamResponse(error=item_error(refused))

    def _receiving(self) -> Receiving:
        return Receiving(self._clock() // 1_000, self._blocked)

    async def _keep(self, request: Any) -> v1.Receipt:
        (answer,) = await self._store.append([message_of(request, self._receiving())])
        if isinstance(answer, Refused):
            raise answer
        return receipt_of(answer)

    async def _keep_batch(self, request: v1.IngestRequest) -> list[v1.IngestResult]:
        if len(request.items) > BATCH_MESSAGES_MAX:
            raise TOO_LARGE.refused
        read = await self._read_items(request)
        messages = [one for one in read if isinstance(one, Message)]
        kept = iter(await self._store.append(messages))
        return [result_of(one if isinstance(one, Refused) else next(kept)) for one in read]

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


def result_of(answer: Receipt | Refused) -> v1.IngestResult:
    """One item's answer on the wire."""
    if isinstance(answer, Refused):
        return v1.IngestResult(error=item_error(answer))
    return v1.IngestResult(receipt=receipt_of(answer))


def receipt_of(receipt: Receipt) -> v1.Receipt:
    """A receipt on the wire."""
    message_id, outcome, person_id, absorbed, duplicate, notices = receipt
    wire = v1.Receipt(message_id=message_id, outcome=outcome.value, person_id=person_id)  # type: ignore[arg-type]
    if absorbed:
        wire.absorbed_person_ids.extend(absorbed)
    if duplicate:
        wire.duplicate = True
    for notice in notices:
        wire.warnings.add(
            reason=notice.reason.value,
            message=notice.sentence,
            metadata=dict(notice.metadata),
        )
    return wire
