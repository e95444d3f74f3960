"""What the callers of one history will call: seeded, about few ids that no other history has."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from linear.specification import Key, People, Timeline, Write
from sameas import v1
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.message import Message
from support.api import KINDS, item_of

CALLERS = 4
CALLS = 10
"""Calls of each caller, but for the repeats of what had no answer."""

WRITES = 0.45
REPEATS = 0.15
"""The part of the writes that say again what was said: the same message, the same id."""

REUSES = 0.04
"""The part of the writes that take another message's id."""

IMPATIENT = 0.1
"""The part of the calls with hardly any time."""

HARDLY_ANY_SECONDS = (0.0005, 0.01)
PATIENT_SECONDS = 20.0

T0_SECONDS = 1_704_067_200
"""2024-01-01: no server's clock has anything to say about times so long past."""

SERVER_SECONDS = T0_SECONDS + 10 * 366 * 86_400
"""When the model has it that the server dates a merge or an unlink: after all else."""

STEP_SECONDS = 600
OPERATIONS = [
    '{"increment":{"n":1}}', '{"set":{"plan":"pro"}}', '{"setOnce":{"plan":"guest"}}',
    '{"append":{"tags":"a"}}', '{"union":{"tags":["a","b"]}}', '{"unset":["plan"]}',
]  # fmt: skip


class Step(NamedTuple):
    """One call to make.

    Attributes:
        call: what it means.
        request: what is sent for it, where it writes.
        seconds: how long its caller waits for the answer.
        is_kept_up: whether it is called again where no answer came.
    """

    call: Any
    request: Any
    seconds: float
    is_kept_up: bool


def plan_of(seed: int) -> list[list[Step]]:
    """The steps of each caller of a history."""
    return _Planner(seed).plan()


class _Planner:
    def __init__(self, seed: int) -> None:
        self._choose = random.Random(seed)
        self._name = f"h{seed}"
        self._written: list[Any] = []
        self._is_merged = False
        self._number = 0

    def plan(self) -> list[list[Step]]:
        """In turns, so that what one caller repeats another may say at the same time."""
        callers: list[list[Step]] = [[] for _ in range(CALLERS)]
        for _ in range(CALLS):
            for steps in callers:
                steps.append(self._step())
        return callers

    def _step(self) -> Step:
        choose = self._choose
        is_impatient = choose.random() < IMPATIENT
        seconds = choose.uniform(*HARDLY_ANY_SECONDS) if is_impatient else PATIENT_SECONDS
        is_kept_up = choose.random() < 0.7
        if choose.random() < WRITES:
            request = self._write()
            return Step(write_of(request), request, seconds, is_kept_up)
        call = choose.choice([self._one, self._all, self._timeline])()
        return Step(call, None, seconds, is_kept_up)

    def _write(self) -> Any:
        choose = self._choose
        if self._written and choose.random() < REPEATS:
            return choose.choice(self._written[-6:])
        request = choose.choices(self._KINDS, self._WEIGHTS)[0](self)
        if self._written and choose.random() < REUSES and hasattr(request, "message_id"):
            other = choose.choice(self._written[-6:])
            request.message_id = getattr(other, "message_id", request.message_id)
        self._written.append(request)
        return request

    def _track(self) -> Any:
        ids = self._choose.choice([self._device, self._device, self._user, self._both])()
        return v1.TrackRequest(**self._common(), **ids, event="e")

    def _identify(self) -> Any:
        traits = self._choose.choice(["", '{"plan":"basic"}', '{"n":5}'])
        return v1.IdentifyRequest(**self._common(), **self._both(), traits_json=traits)

    def _profile(self) -> Any:
        ids = self._choose.choice([self._device, self._user, self._both])()
        operations = self._choose.choice(OPERATIONS)
        return v1.UpdateProfileRequest(**self._common(), **ids, operations_json=operations)

    def _reset(self) -> Any:
        return v1.ResetRequest(**self._common(), **self._device())

    def _sign_up(self) -> Any:
        source = self._device()["anonymous_id"]
        return v1.AliasRequest(**self._common(), **self._user(), previous_anonymous_id=source)

    def _former(self) -> Any:
        return v1.AliasRequest(**self._common(), **self._users())

    def _merge(self) -> Any:
        """One live merge a history: of two, both dated by the server, nobody knows which came
        first.
        """
        if self._is_merged:
            return self._former()
        self._is_merged = True
        return v1.MergeRequest(message_id=self._message_id(), **self._users())

    def _unlink(self) -> Any:
        """A device's, since those strike nothing that is dated by the server."""
        return v1.UnlinkRequest(message_id=self._message_id(), **self._both())

    def _nobody(self) -> Any:
        """A call that must be refused, and change nothing."""
        return v1.IdentifyRequest(**self._common(), **self._device(), user_id="undefined")

    def _batch(self) -> Any:
        kinds = self._choose.choices(self._KINDS[:6], self._WEIGHTS[:6], k=3)
        return v1.IngestRequest(items=[item_of(kind(self)) for kind in kinds])

    def _import(self) -> Any:
        """Links and an unlink of two users, with times of their own."""
        users = self._users()
        link = v1.MergeRequest(**self._common(), **users)
        unlink = v1.UnlinkRequest(**self._common(), **users)
        calls = self._choose.choice([[link], [unlink], [self._identify(), link, unlink]])
        return v1.IngestRequest(items=[item_of(one) for one in calls], imported=True)

    _KINDS: tuple[Callable[["_Planner"], Any], ...] = (
        _track, _identify, _profile, _reset, _sign_up, _former,
        _merge, _unlink, _nobody, _batch, _import,
    )  # fmt: skip
    _WEIGHTS = (24, 20, 20, 8, 4, 4, 4, 6, 2, 8, 6)

    def _one(self) -> People:
        return People((self._choose.choice(self._keys()),))

    def _all(self) -> People:
        return People(tuple(self._keys()))

    def _timeline(self) -> Timeline:
        return Timeline(self._choose.choice(self._keys()))

    def _keys(self) -> list[Key]:
        devices = [("anonymous_id", f"{self._name}-d{n}") for n in (1, 2)]
        return devices + [("user_id", f"{self._name}-u{n}") for n in (1, 2, 3)]

    def _common(self) -> dict[str, Any]:
        seconds = T0_SECONDS + self._choose.randrange(12) * STEP_SECONDS
        return {"message_id": self._message_id(), "timestamp": Timestamp(seconds=seconds)}

    def _message_id(self) -> str:
        self._number += 1
        return f"{self._name}-m{self._number:02}"

    def _device(self) -> dict[str, str]:
        return {"anonymous_id": self._choose.choice(self._keys()[:2])[1]}

    def _user(self) -> dict[str, str]:
        return {"user_id": self._choose.choice(self._keys()[2:])[1]}

    def _both(self) -> dict[str, str]:
        return self._device() | self._user()

    def _users(self) -> dict[str, str]:
        (_, first), (_, second) = self._choose.sample(self._keys()[2:], 2)
        return {"user_id": first, "previous_user_id": second}


def write_of(request: Any) -> Write:
    """What a request means."""
    method = type(request).__name__.removesuffix("Request")
    if not isinstance(request, v1.IngestRequest):
        return Write(method, (_item(request),))
    calls = [getattr(item, item.WhichOneof("call")) for item in request.items]
    return Write(method, tuple(map(_item, calls)))


def _item(request: Any) -> Message | Reason:
    """The message that a request becomes, made from what is sent alone; or why it does not."""
    time = request.timestamp.seconds * 1_000_000 if request.HasField("timestamp") else None
    fields = (
        "anonymous_id", "user_id", "previous_anonymous_id", "previous_user_id", "event",
    )  # fmt: skip
    texts = (getattr(request, field, "") for field in ("traits_json", "operations_json"))
    try:
        return accept(
            Call(
                KINDS[type(request)],
                request.message_id,
                SERVER_SECONDS * 1_000_000,
                **{field: getattr(request, field, "") for field in fields},
                payload="".join(texts),
                client_time=time,
            )
        )
    except Refused as refused:
        return refused.reason
