"""When something happened, and by which clock. All times are microseconds since 1970, UTC."""

from sameas_service.domain.errors import Reason, Refused

SECOND = 1_000_000
CLOCK_TOLERANCE = 60 * SECOND
"""How far a client's clock may be off before it is taken to be wrong. Smaller differences
are the network's, and correcting by them would let calls change places."""

EARLIEST = 946_684_800 * SECOND
"""2000-01-01T00:00:00Z. There was no product analytics before: that is a clock at zero."""

LATEST = 253_402_300_800 * SECOND
"""The year 10000, where protobuf's Timestamp ends."""


def microseconds_of(seconds: float) -> int:
    """Return seconds in microseconds, rounded: the one rounding of a session gap."""
    return round(seconds * SECOND)


def event_time(client_time: int | None, sent_at: int | None, received_at: int) -> tuple[int, bool]:
    """Return when a live message happened, and whether its time was ahead and so replaced.

    Raises:
        Refused: `TIMESTAMP_INVALID` if it is before 2000 even after correction.
    """
    if client_time is None:
        return received_at, False
    time = client_time
    if sent_at is not None and abs(received_at - sent_at) > CLOCK_TOLERANCE:
        time = received_at - (sent_at - client_time)
    if time > received_at + CLOCK_TOLERANCE:
        return received_at, True
    return check_time(time), False


def final_time(client_time: int | None, received_at: int) -> int:
    """Return when an imported message happened: what it says, unchanged."""
    return check_time(received_at if client_time is None else client_time)


def check_time(time: int, field: str = "timestamp") -> int:
    """Return the time itself, if it lies between the years 2000 and 10000."""
    if not EARLIEST <= time < LATEST:
        raise Refused(
            Reason.TIMESTAMP_INVALID,
            f"{field} is before 2000-01-01 or out of range; is the client's clock set?",
            field=field,
        )
    return time
