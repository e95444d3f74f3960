"""Times in files and on the command line, in whole microseconds since 1970."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from sameas_service.servicer.timestamps import microseconds
from sameas_service.servicer.timestamps import timestamp_of as timestamp_of  # noqa: PLC0414

# A number below this is taken for seconds, any other for milliseconds. As seconds it lies in
# the year 5138, as milliseconds in March 1973: no real message is near either of them.
EPOCH_SECONDS_MAX = 100_000_000_000
# As milliseconds the year 5138 again: what is beyond was given in microseconds or finer.
EPOCH_MILLISECONDS_MAX = EPOCH_SECONDS_MAX * 1_000

# `2024-01-04T11:45:38`: what is shorter lacks the time of day, and is no RFC 3339 time.
_CHARACTERS_MIN = 19
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros_of(value: object) -> int:
    """Read an RFC 3339 text, or a number of seconds or milliseconds since 1970.

    A text without an offset is in UTC. A fraction is cut after the sixth digit.

    Raises:
        ValueError: It is neither, with a sentence that does not repeat the value.
    """
    if isinstance(value, str):
        return _micros_of_text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _micros_of_number(value)
    raise ValueError("a time is an RFC 3339 text or a number of seconds or milliseconds")


def micros_of_option(text: str) -> int:
    """Read a time typed by a person: as `micros_of`, or a date alone, which is its midnight.

    Raises:
        ValueError: It is neither.
    """
    if len(text) == len("2024-01-04"):
        text += "T00:00:00"
    return micros_of(text)


def text_of(timestamp: Timestamp) -> str:
    """Return a time in RFC 3339, UTC: in milliseconds, or microseconds where it has them."""
    return text_of_micros(microseconds(timestamp, "timestamp"))


def text_of_micros(micros: int) -> str:
    """Return a time in microseconds since 1970 in RFC 3339, as `text_of`."""
    moment = _EPOCH + timedelta(microseconds=micros)
    timespec = "microseconds" if micros % 1_000 else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def _micros_of_text(text: str) -> int:
    if len(text) < _CHARACTERS_MIN:
        raise ValueError("the text is not an RFC 3339 time")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _moment_of_lower_case(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _moment_of_lower_case(text: str) -> datetime:
    """Read a time with `t` or `z`, which RFC 3339 allows and `fromisoformat` does not."""
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise ValueError("the text is not an RFC 3339 time") from error


def _micros_of_number(number: float) -> int:
    if abs(number) < EPOCH_SECONDS_MAX:
        return round(number * 1_000_000)
    if abs(number) < EPOCH_MILLISECONDS_MAX:
        return round(number * 1_000)
    raise ValueError("the number is too large to be seconds or milliseconds since 1970")
