"""Messages for benches: the shop corpus where it is at hand, else some like it, seeded."""

import gzip
import itertools
import random
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from tests.support.shared import CORPUS

from sameas import v1
from sameas._calls import WriteRequest
from sameas._writes import Writes
from sameas_service.cli.lines import item_of


class Requests(Writes[WriteRequest]):
    """The client's writing calls, each answered with the request that it would send."""

    def _deliver(self, request: WriteRequest, timeout: float | None) -> WriteRequest:  # noqa: ARG002
        return request


REQUESTS = Requests()


def items(count: int) -> list[v1.IngestItem]:
    """So many items of mixed kinds, in the corpus's proportions, each with an id of its own.

    The corpus is repeated with new ids as often as needed: a copy has other people.
    """
    return [
        item_of(orjson.dumps(line)) for line in itertools.islice(_lines(itertools.count()), count)
    ]


def tracks(copies: Iterable[int]) -> Iterator[dict[str, Any]]:
    """The arguments of calls of `track`, from copies of the corpus: each has other people."""
    for line in _lines(copies):
        if line["type"] == "track":
            yield {name: line[word] for name, word in _TRACK_WORDS.items() if word in line}


_TRACK_WORDS = {
    "event": "event",
    "properties": "properties",
    "context": "context",
    "anonymous_id": "anonymousId",
    "user_id": "userId",
}


def _lines(copies: Iterable[int]) -> Iterator[dict[str, object]]:
    lines = _corpus() if CORPUS.exists() else _made_up()
    for copy in copies:
        for index, line in enumerate(lines):
            renamed = {
                key: f"{line[key]}-{copy}"
                for key in ("anonymousId", "userId", "previousId")
                if key in line
            }
            message_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{copy}-{index}"))
            yield line | renamed | {"messageId": message_id}


def _corpus() -> list[dict[str, object]]:
    with gzip.open(CORPUS) as file:
        return [orjson.loads(line) for line in file]


def _made_up() -> list[dict[str, object]]:
    """Visits of 500 people: anonymous events, a sign-up, and events with both ids."""
    chance = random.Random(1)
    lines: list[dict[str, object]] = []
    for visit in range(4_000):
        person = chance.randrange(500)
        ids = {"anonymousId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"device-{person}"))}
        for event in range(9):
            day, hour, minute = visit // 144 + 1, visit // 6 % 24, event + visit % 6 * 10
            stamp = f"2024-01-{day:02d}T{hour:02d}:{minute:02d}:00Z"
            if event == 5:
                ids["userId"] = f"usr_{person:06d}"
            kind = {"type": "identify", "traits": {"plan": "free"}} if event == 5 else {
                "type": "track", "event": f"page{event}", "properties": {"session": visit},
            }  # fmt: skip
            lines.append({**kind, **ids, "timestamp": stamp})
    return lines
