"""Times on the wire: protobuf's Timestamp to microseconds since 1970, and back."""

from google.protobuf.timestamp_pb2 import Timestamp

from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.times import LATEST, SECOND

SECONDS_MIN = -62_135_596_800
"""The year 1, where protobuf's Timestamp begins."""


def microseconds(timestamp: Timestamp, field: str) -> int:
    """Return a Timestamp in microseconds; what is finer is cut off.

    Raises:
        Refused: `TIMESTAMP_INVALID`, naming the field, if it is out of a Timestamp's range.
    """
    seconds, nanos = timestamp.seconds, timestamp.nanos
    if not (SECONDS_MIN <= seconds < LATEST // SECOND and 0 <= nanos < 1_000_000_000):
        raise Refused(
            Reason.TIMESTAMP_INVALID, f"{field} is out of a Timestamp's range", field=field
        )
    return seconds * SECOND + nanos // 1_000


def timestamp_of(time: int) -> Timestamp:
    """Return microseconds as a Timestamp."""
    wire = Timestamp()
    put_time(wire, time)
    return wire


def put_time(wire: Timestamp, time: int) -> None:
    """Set a Timestamp to microseconds."""
    wire.seconds = time // SECOND
    wire.nanos = time % SECOND * 1_000
