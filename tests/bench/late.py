"""What messages that come late cost, on devices that several users share."""

import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from operator import attrgetter
from pathlib import Path

from tests.bench.filling import ROUND_MESSAGES
from tests.bench.results import Result, ratio
from tests.bench.scale import Round, ingest_round, serving
from tests.support.ledgers import dumped

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, Position, position_of

DEVICES, USERS_EACH = 1_000, 4
ROUNDS = 5
LATE_SHARE = 0.1
START = 1_700_000_000_000_000
MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE
VISITS_A_DAY = 1_600
"""So many that a round of 20,000 is two days: most of what is late is late for its device."""


def measure() -> list[Result]:
    """The same messages into two stores, in turn: in order, and with some up to a day late."""
    chance = random.Random(5)
    ordered = sorted(_visits(chance, ROUND_MESSAGES * (ROUNDS + 1)), key=attrgetter("position"))
    late = _delayed(chance, ordered)
    with tempfile.TemporaryDirectory() as directory:
        stores = [Path(directory) / name for name in ("ordered", "late")]
        pairs = _pairs(stores, [_rounds(ordered), _rounds(late)])
        in_order, out_of_order = (dumped(store) for store in stores)
    assert in_order == out_of_order, "the order of arrival made a difference"
    return [
        ratio(
            f"Ingest with {LATE_SHARE:.0%} up to a day late against all in order",
            statistics.median(one.seconds / other.seconds for one, other in pairs),
            least=0.7,
        ),
        ratio(
            "the same, CPU a message",
            statistics.median(other.cpu / one.cpu for one, other in pairs),
        ),
        ratio("messages that were late for their device", _late_share(late)),
    ]


def _pairs(
    stores: Sequence[Path], rounds: Sequence[Sequence[Sequence[Message]]]
) -> list[tuple[Round, Round]]:
    """What each round cost the first store and the second; without the one for warming up."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(serving(store)) for store in stores)
        pairs = [
            (ingest_round(first, ordered), ingest_round(second, late))
            for ordered, late in zip(*rounds, strict=True)
        ]
    return pairs[1:]


def _rounds(messages: Sequence[Message]) -> list[Sequence[Message]]:
    return [messages[at : at + ROUND_MESSAGES] for at in range(0, len(messages), ROUND_MESSAGES)]


def _visits(chance: random.Random, count: int) -> Iterator[Message]:
    """Visits of the devices' users: some pages, an Identify, pages, and at times a reset."""

    def endless() -> Iterator[Message]:
        begin = START
        while True:
            begin += DAY // VISITS_A_DAY
            yield from _visit(chance, begin)

    return islice(endless(), count)


def _visit(chance: random.Random, begin: int) -> Iterator[Message]:
    device = chance.randrange(DEVICES)
    user = f"usr_{device:04d}_{chance.randrange(USERS_EACH)}"
    kinds = [Kind.PAGE, Kind.PAGE, Kind.IDENTIFY, Kind.TRACK, Kind.TRACK, Kind.PAGE]
    if chance.random() < 0.2:
        kinds.append(Kind.RESET)
    for minute, kind in enumerate(kinds):
        names_user = kind is Kind.IDENTIFY or (kind is Kind.TRACK and chance.random() < 0.5)
        time = begin + minute * MINUTE
        yield Message(
            kind, position_of(kind, time, f"{chance.getrandbits(128):032x}"), time,
            f"device-{device:029d}", user if names_user else None,
            event="" if kind in (Kind.IDENTIFY, Kind.RESET) else "view",
            payload='{"plan":"free","visits":1}' if kind is not Kind.RESET else "{}",
            client_time=time,
        )  # fmt: skip


def _delayed(chance: random.Random, ordered: Sequence[Message]) -> list[Message]:
    """The messages in the order of their arrival, some of them up to a day behind."""

    def arrival(message: Message) -> float:
        is_late = chance.random() < LATE_SHARE
        return message.event_time + (chance.random() * DAY if is_late else 0)

    return sorted(ordered, key=arrival)


def _late_share(messages: Sequence[Message]) -> float:
    """The share of messages that stand before another of their device that came earlier."""
    last: dict[str | None, Position] = {}
    late = 0
    for message in messages:
        behind = last.get(message.device, message.position)
        late += message.position < behind
        last[message.device] = max(message.position, behind)
    return late / len(messages)
