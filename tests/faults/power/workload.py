"""Clients that write a bit of everything, and keep book of what was acknowledged, and when."""

import random
import threading
import time
from itertools import count
from typing import Any

from faults.power.recording import Acknowledged
from sameas import v1
from support.api import Api, connected

WRITERS = 4
USERS, DEVICES = 12, 16
BATCH_MESSAGES = (2, 24)
PADDING_BYTES = 600
"""Text in a track's properties at most, so that messages differ in size."""


class _Writer(threading.Thread):
    """Calls one after the other, on users and devices that all writers share."""

    def __init__(self, name: str, target: str, seed: int, calls: int) -> None:
        super().__init__(name=name)
        self.book: list[Acknowledged] = []
        self.error: BaseException | None = None
        self._target = target
        self._calls = calls
        self._choose = random.Random(f"{seed} {name}")
        self._numbers = count()

    def run(self) -> None:
        try:
            with connected(self._target) as api:
                for _ in range(self._calls):
                    self.book.append(self._call(api))
        except BaseException as error:  # noqa: BLE001  (the test's thread raises it)
            self.error = error

    def _call(self, api: Api) -> Acknowledged:
        if self._choose.random() < 0.8:
            ids = (api.send(self._request()).message_id,)
        else:
            requests = [self._request() for _ in range(self._choose.randint(*BATCH_MESSAGES))]
            results = api.ingest(*requests)
            assert not any(result.HasField("error") for result in results)
            ids = tuple(result.receipt.message_id for result in results)
        return Acknowledged(time.time_ns(), ids)

    def _request(self) -> Any:
        choose = self._choose
        message_id = f"{self.name}-{next(self._numbers):05}"
        user, device = f"u{choose.randrange(USERS)}", f"d{choose.randrange(DEVICES)}"
        what = choose.random()
        if what < 0.4:
            text = "x" * choose.randrange(PADDING_BYTES)
            return v1.TrackRequest(
                message_id=message_id, anonymous_id=device, event="Seen",
                properties_json=f'{{"text":"{text}"}}',
            )  # fmt: skip
        if what < 0.7:
            return v1.UpdateProfileRequest(
                message_id=message_id, user_id=user, operations_json='{"increment":{"n":1}}'
            )
        if what < 0.88:
            return v1.IdentifyRequest(
                message_id=message_id, anonymous_id=device, user_id=user,
                traits_json=f'{{"seen":"{message_id}"}}',
            )  # fmt: skip
        if what < 0.94:
            return v1.ResetRequest(message_id=message_id, anonymous_id=device)
        if what < 0.98:
            return v1.AliasRequest(
                message_id=message_id, user_id=user, previous_anonymous_id=device
            )
        former = f"u{choose.randrange(USERS)}"
        return v1.AliasRequest(message_id=message_id, user_id=user, previous_user_id=former)


def write(target: str, run: str, seed: int, calls: int) -> list[Acknowledged]:
    """Writes to a server from several threads at once, until all of it is acknowledged.

    Args:
        target: the server's address.
        run: what the message ids begin with.
        seed: of what is written.
        calls: of each thread.
    """
    writers = [_Writer(f"{run}w{number}", target, seed, calls) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for writer in writers:
        if writer.error is not None:
            raise writer.error
    return [entry for writer in writers for entry in writer.book]
