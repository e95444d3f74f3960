"""Messages in words, for explanations."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sameas_service.domain.message import Message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def evidence(message: Message) -> str:
    """Return one message in words: its kind, id and time."""
    return f"{message.kind.name.lower()} {message.message_id!r} of {_time(message.event_time)}"


def described(messages: Sequence[Message]) -> str:
    """Return messages that say the same in words, given in order of position."""
    if len(messages) == 1:
        return f"by one message, {evidence(messages[0])}"
    first, last = evidence(messages[0]), evidence(messages[-1])
    return f"by {len(messages)} messages, from {first} to {last}"


def _time(microseconds: int) -> str:
    # Not by `fromtimestamp`: a float rounds the last second of the year 9999 into 10000.
    time = (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None)
    return time.isoformat(sep=" ", timespec="seconds") + " UTC"
