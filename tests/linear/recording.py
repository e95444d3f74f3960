"""Callers of a real server, and what they see."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

import grpc

from linear.history import Operation
from linear.planning import PATIENT_SECONDS, Step, plan_of
from linear.specification import (
    DUPLICATE,
    NEW,
    Belongs,
    People,
    Seen,
    Timeline,
    TurnedAway,
    Write,
)
from linear.subject import Subject
from sameas import v1
from sameas_service.domain.errors import Reason
from support.api import refusal_of, refusal_of_item

UNKNOWN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}
"""Codes that leave it open whether a call took effect."""

NOTHING_DONE = {grpc.StatusCode.RESOURCE_EXHAUSTED}
"""Codes that say that a call took no effect, for reasons that are not its own."""

TRIES_MAX = 4
"""How often a call is made that has no answer; but for the first time, patiently."""

JSON = v1.PayloadForm.PAYLOAD_FORM_JSON


class History:
    """A history in the making: callers who go through their steps, all at the same time.

    Attributes:
        seed: of its plan.
        operations: what its callers saw.
    """

    def __init__(self, seed: int, subject: Subject) -> None:
        self.seed = seed
        self.operations: list[Operation] = []
        self._outcomes: dict[str, set[int]] = {}
        self._subject = subject
        self._ticks = count(1)
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def record(self, impatience_seconds: float | None = None) -> None:
        """Makes all calls of the plan. With an impatience, some wait for so long only."""
        callers = plan_of(self.seed)
        try:
            async with asyncio.TaskGroup() as group:
                for number, steps in enumerate(callers):
                    group.create_task(self._go_through(number, steps, impatience_seconds))
        finally:
            for channel in self._channels.values():
                await channel.close()

    async def _go_through(
        self, caller: int, steps: Sequence[Step], impatience_seconds: float | None
    ) -> None:
        for step in steps:
            seconds = step.seconds
            if impatience_seconds is not None and step.is_kept_up:
                seconds = min(seconds, impatience_seconds)
            for _ in range(TRIES_MAX if step.is_kept_up else 1):
                await self._subject.is_up.wait()
                if await self._call(caller, step, seconds):
                    break
                seconds = PATIENT_SECONDS

    async def _call(self, caller: int, step: Step, seconds: float) -> bool:
        """Calls once, and writes down what came of it; whether there was an answer."""
        self._subject.count_call()
        began = next(self._ticks)
        try:
            calls = await self._answers(step, seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() in UNKNOWN:
                if step.request is not None:
                    self._note(caller, step.call, None, began, None)
                return False
            reason = refusal_of(error).reason
            if error.code() in NOTHING_DONE:
                self._note(caller, TurnedAway(step.call, reason), None, began, next(self._ticks))
                return False
            calls = [(step.call, _refused(step.call, reason))]
        ended = next(self._ticks)
        for call, answer in calls:
            self._note(caller, call, answer, began, ended)
        return True

    def _note(self, caller: int, call: Any, answer: Any, began: int, ended: int | None) -> None:
        self.operations.append(Operation(caller, call, answer, began, ended))

    async def _answers(self, step: Step, seconds: float) -> list[tuple[Any, Any]]:
        """What a call means, and what was answered."""
        channel = self._channel()
        if isinstance(step.call, Write):
            response = await getattr(v1.IdentityServiceStub(channel), step.call.method)(
                step.request, timeout=seconds
            )
            return self._receipts(step.call, response)
        persons = v1.PersonServiceStub(channel)
        if isinstance(step.call, Timeline):
            field, value = step.call.key
            key = v1.PersonKey(**{field: value})
            listing = v1.ListMessagesRequest(key=key, page_size=1_000, form=JSON)
            listed = await persons.ListMessages(listing, timeout=seconds)
            return [(step.call, tuple(one.message_id for one in listed.messages))]
        return [(step.call, await self._people(persons, step.call, seconds))]

    async def _people(self, persons: Any, call: People, seconds: float) -> Any:
        keys = [v1.PersonKey(**{field: value}) for field, value in call.keys]
        if len(keys) == 1:
            one = v1.GetPersonRequest(key=keys[0], form=JSON)
            return (seen((await persons.GetPerson(one, timeout=seconds)).person),)
        batch = v1.BatchGetPersonsRequest(keys=keys, form=JSON)
        results = (await persons.BatchGetPersons(batch, timeout=seconds)).results
        return tuple(seen(one.person) if one.HasField("person") else None for one in results)

    def differing(self) -> dict[str, set[int]]:
        """Messages whose repeats were answered with another outcome than they had."""
        return {key: found for key, found in self._outcomes.items() if len(found) > 1}

    def _receipts(self, call: Write, response: Any) -> list[tuple[Any, Any]]:
        """A write, and whose its messages are, as two operations."""
        results = getattr(response, "results", None)
        if results is None:
            results = [v1.IngestResult(receipt=response.receipt)]
        words, kept, persons = [], [], []
        for item, result in zip(call.items, results, strict=True):
            if not result.HasField("receipt"):
                words.append(refusal_of_item(result.error).reason)
                continue
            receipt = result.receipt
            words.append(DUPLICATE if receipt.duplicate else NEW)
            self._outcomes.setdefault(receipt.message_id, set()).add(receipt.outcome)
            kept.append(item)
            persons.append(receipt.person_id)
        return [(call, tuple(words)), (Belongs(tuple(kept)), tuple(persons))]

    def _channel(self) -> grpc.aio.Channel:
        target = self._subject.target
        if target not in self._channels:
            options = [("grpc.use_local_subchannel_pool", 1)]
            self._channels[target] = grpc.aio.insecure_channel(target, options)
        return self._channels[target]


def _refused(call: Any, reason: str) -> Any:
    """The answer that a refusal stands for."""
    if reason == Reason.PERSON_NOT_FOUND:
        return (None,) if isinstance(call, People) else None
    return (reason,)


def seen(person: v1.Person) -> Seen:
    """A person from the wire."""
    return Seen(
        person.person_id, tuple(person.user_ids), tuple(person.anonymous_ids), person.traits_json
    )
