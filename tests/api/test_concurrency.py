"""Many callers over a few ids at once: what is left is what the model gives."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import channel_options, v1
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from support.api import KINDS
from support.ledgers import left_behind
from support.servers import Server
from support.worlds import expected_dump

SEED = 20_261_121
CLIENTS = 64
CHANNELS = 8
CALLS = 40
WORLDS = [0] * 80 + list(range(1, 81))
"""Half of the calls are about one small world, for the crowd; the others about many, each with
a few calls, so that what went wrong is not put right by the next call."""

IDS = 4
STEP_SECONDS = 300
AGO_SECONDS = [*range(0, 50, 5), *range(600, 9_000, 600)]
"""How long before now calls happened, by their callers' clocks: such times stay as given. Many
calls share one, so that ties are common, and the session gap comes to bear."""

OPERATIONS = [
    '{"increment":{"n":1}}', '{"set":{"plan":"pro"}}', '{"setOnce":{"plan":"guest"}}',
    '{"append":{"tags":"a"}}', '{"union":{"tags":["a","b"]}}', '{"remove":{"tags":"a"}}',
    '{"unset":["plan"]}', '{"increment":{"n":0.1}}',
]  # fmt: skip


def request_of(choose: random.Random, message_id: str, now: int, passed: int) -> Any:
    """A random call about the few ids; most come in order of time, the others too late."""
    ago = choose.choice([*[STEP_SECONDS * (CALLS - passed)] * 2, choose.choice(AGO_SECONDS)])
    nanos = choose.choice([0, choose.randrange(1_000_000) * 1_000])
    common = {
        "message_id": message_id,
        "timestamp": Timestamp(seconds=now - ago, nanos=nanos),
    }
    world = choose.choice(WORLDS)
    device, user, other = (f"w{world}-{choose.randrange(IDS)}" for _ in range(3))
    what = choose.random()
    if what < 0.35:
        ids = choose.choice([{"anonymous_id": device}] * 3 + [{"user_id": user}])
        return v1.TrackRequest(**common, **ids, event="e")
    if what < 0.55:
        traits = choose.choice(["", '{"plan":"basic"}', '{"n":5}', '{"tags":["x"]}'])
        return v1.IdentifyRequest(**common, anonymous_id=device, user_id=user, traits_json=traits)
    if what < 0.8:
        ids = choose.choice(
            [{"anonymous_id": device}, {"user_id": user}, {"anonymous_id": device, "user_id": user}]
        )
        return v1.UpdateProfileRequest(**common, **ids, operations_json=choose.choice(OPERATIONS))
    if what < 0.9:
        return v1.ResetRequest(**common, anonymous_id=device)
    if what < 0.96:
        return v1.AliasRequest(**common, user_id=user, previous_anonymous_id=device)
    return v1.AliasRequest(**common, user_id=user, previous_user_id=other)


def message_of(request: Any) -> Message:
    """What a call must become, made from what was sent alone."""
    time_ = request.timestamp.seconds * 1_000_000 + request.timestamp.nanos // 1_000
    payload = ""
    for field in ("traits_json", "operations_json"):
        payload = getattr(request, field, "") or payload
    return accept(
        Call(
            KINDS[type(request)],
            request.message_id,
            received_at=time_,
            anonymous_id=request.anonymous_id,
            user_id=request.user_id,
            previous_anonymous_id=getattr(request, "previous_anonymous_id", ""),
            previous_user_id=getattr(request, "previous_user_id", ""),
            event=getattr(request, "event", ""),
            payload=payload,
            client_time=time_,
        )
    )


async def client(stub: Any, number: int, sent: dict[str, Any], receipts: list[v1.Receipt]) -> None:
    """Calls one after the other, some of them twice, some of them at the same time."""
    choose, now = random.Random(SEED + number), int(time.time())
    for count in range(CALLS):
        request = request_of(choose, f"{number:02}-{count:02}", now, count)
        sent[request.message_id] = request
        call = getattr(stub, type(request).__name__.removesuffix("Request"))
        times = choose.choice([1, 1, 1, 2])
        answers = await asyncio.gather(*(call(request, timeout=30) for _ in range(times)))
        receipts += [answer.receipt for answer in answers]


async def test_64_clients_over_the_same_ids_leave_what_the_model_gives(
    fresh_server: Server,
) -> None:
    sent: dict[str, Any] = {}
    receipts: list[v1.Receipt] = []
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(fresh_server.target, options) for _ in range(CHANNELS)]
    stubs = [v1.IdentityServiceStub(channel) for channel in channels]

    await asyncio.gather(*(client(stubs[n % CHANNELS], n, sent, receipts) for n in range(CLIENTS)))
    for channel in channels:
        await channel.close()
    assert await asyncio.to_thread(fresh_server.stop) == 0
    kept, dumped = left_behind(fresh_server.data)

    first = Counter(receipt.message_id for receipt in receipts if not receipt.duplicate)
    assert first == dict.fromkeys(sent, 1)
    assert len(receipts) > len(sent) == CLIENTS * CALLS
    assert dumped == expected_dump(kept, Rules())
    assert dumped == expected_dump([message_of(request) for request in sent.values()], Rules())
    outcomes = {receipt.outcome for receipt in receipts}
    assert outcomes >= {1, 2, 3, 4, 5}, "the calls were too tame to tell anything"


async def test_what_everybody_adds_at_once_adds_up(fresh_server: Server) -> None:
    request = {"user_id": "sum", "operations_json": '{"increment":{"n":1,"m":0.1}}'}
    options = [*channel_options(), ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(fresh_server.target, options) for _ in range(CHANNELS)]
    stubs = [v1.IdentityServiceStub(channel) for channel in channels]

    answers = await asyncio.gather(
        *(
            stubs[n % CHANNELS].UpdateProfile(
                v1.UpdateProfileRequest(message_id=f"m{n % 500}", **request), timeout=30
            )
            for n in range(1_000)
        )
    )
    key = v1.PersonKey(user_id="sum")
    read = v1.GetPersonRequest(key=key, form=v1.PayloadForm.PAYLOAD_FORM_JSON)
    person = (await v1.PersonServiceStub(channels[0]).GetPerson(read)).person
    for channel in channels:
        await channel.close()

    assert sum(answer.receipt.duplicate for answer in answers) == 500
    assert person.traits_json == '{"m":50,"n":500}'
