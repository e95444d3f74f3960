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
from sameas_service.domain.receipt import Receipt
from sameas_service.resolver.resolver import Resolver
from sameas_service.servicer.changes import preview_of
from sameas_service.servicer.explanations import explanation_of
from sameas_service.servicer.handlers import TOO_LARGE, Caller, Unread
from sameas_service.servicer.refusals import item_error
from sameas_service.servicer.requests import Receiving, item_message, message_of
from sameas_service.servicer.timestamps import microseconds

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
"""Items of a batch that are read without a pause, before other calls get their turn."""


class IdentityServicer:
    """One method an RPC, by its name."""

    def __init__(
        self,
        resolver: Resolver,
        blocked: frozenset[str] = ids.NAMES_OF_NOBODY,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Take messages for a resolver; `clock` returns nanoseconds since 1970."""
        self._resolver = resolver
        self._blocked = blocked
        self._clock = clock

    async def Identify(self, request: v1.IdentifyRequest, caller: Caller) -> v1.IdentifyResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(request, caller, v1.IdentifyResponse())

    async def Alias(self, request: v1.AliasRequest, caller: Caller) -> v1.AliasResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(request, caller, v1.AliasResponse())

    async def Track(self, request: v1.TrackRequest, caller: Caller) -> v1.TrackResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(request, caller, v1.TrackResponse())

    async def Reset(self, request: v1.ResetRequest, caller: Caller) -> v1.ResetResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(request, caller, v1.ResetResponse())

    async def UpdateProfile(  # noqa: N802
        self, request: v1.UpdateProfileRequest, caller: Caller
    ) -> v1.UpdateProfileResponse:
        """See the protos."""
        return await self._answer(request, caller, v1.UpdateProfileResponse())

    async def Merge(self, request: v1.MergeRequest, caller: Caller) -> v1.MergeResponse:  # noqa: N802
        """See the protos."""
        return await self._answer(_undated(request), caller, v1.MergeResponse())

    async def Unlink(self, request: v1.UnlinkRequest, caller: Caller) -> v1.UnlinkResponse:  # noqa: N802
        """See the protos."""
        response = v1.UnlinkResponse()
        message = message_of(_undated(request), self._receiving())
        told, joined = await self._resolver.unlink(
            caller.workspace, message, caller.deadline, keep=not request.validate_only
        )
        fill_receipt(response.receipt, told.receipt)
        response.preview.CopyFrom(preview_of(told))
        if joined is not None:
            response.chain.extend(explanation_of(joined).chain)
        return response

    async def Ingest(self, request: v1.IngestRequest, caller: Caller) -> v1.IngestResponse:  # noqa: N802
        """See the protos."""
        response = v1.IngestResponse()
        await self._keep_batch(request, caller, response.results)
        return response

    async def IngestStream(  # noqa: N802
        self, requests: AsyncIterator[v1.IngestStreamRequest | Unread], caller: Caller
    ) -> AsyncIterator[v1.IngestStreamResponse]:
        """See the protos."""
        waiting: asyncio.Queue[asyncio.Task[v1.IngestStreamResponse] | None] = asyncio.Queue(
            STREAM_BATCHES_MAX
        )
        reading = asyncio.create_task(self._read_stream(requests, caller, waiting))
        try:
            while (task := await waiting.get()) is not None:
                yield await task
            await reading
        finally:
            reading.cancel()

    async def _read_stream(
        self,
        requests: AsyncIterator[v1.IngestStreamRequest | Unread],
        caller: Caller,
        waiting: asyncio.Queue[asyncio.Task[v1.IngestStreamResponse] | None],
    ) -> None:
        try:
            async for request in requests:
                await waiting.put(asyncio.create_task(self._keep_streamed(request, caller)))
        except Exception:
            await waiting.put(None)
            raise
        # Not when cancelled: then no task takes from the queue, and a full one would hold
        # this task for ever.
        await waiting.put(None)

    async def _keep_streamed(
        self, request: v1.IngestStreamRequest | Unread, caller: Caller
    ) -> v1.IngestStreamResponse:
        try:
            if isinstance(request, Unread):
                raise request.refused
            response = v1.IngestStreamResponse()
            await self._keep_batch(request.batch, caller, response.results)
            return response  # noqa: TRY300  (the other answer is the refusal's)
        except Refused as refused:
            return v1.IngestStreamResponse(error=item_error(refused))

    def _receiving(self) -> Receiving:
        return Receiving(self._clock() // 1_000, self._blocked)

    async def _answer(self, request: Any, caller: Caller, response: Response) -> Response:
        """Keep the message of a call, or with `validate_only` say what it would do."""
        message = message_of(request, self._receiving())
        if request.validate_only:
            preview = await self._resolver.report(
                caller.workspace, message, caller.deadline, keep=False
            )
            fill_receipt(response.receipt, preview.receipt)
            response.preview.CopyFrom(preview_of(preview))
            return response
        (answer,) = await self._resolver.append(caller.workspace, [message], caller.deadline)
        if isinstance(answer, Refused):
            raise answer
        fill_receipt(response.receipt, answer)
        return response

    async def _keep_batch(
        self, request: v1.IngestRequest, caller: Caller, results: Results
    ) -> None:
        if len(request.items) > BATCH_MESSAGES_MAX:
            raise TOO_LARGE.refused
        read = await self._read_items(request)
        messages = [one for one in read if isinstance(one, Message)]
        kept = iter(await self._resolver.append(caller.workspace, messages, caller.deadline))
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
    """Remove the time from a live merge or unlink: the server dates it."""
    request.ClearField("timestamp")
    return request


def fill_result(wire: v1.IngestResult, answer: Receipt | Refused) -> None:
    """Write one item's answer to the wire."""
    if isinstance(answer, Refused):
        wire.error.CopyFrom(item_error(answer))
    else:
        fill_receipt(wire.receipt, answer)


def fill_receipt(wire: v1.Receipt, receipt: Receipt) -> None:
    """Write a receipt to the wire. By field: a constructor and its copy take twice as long."""
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
