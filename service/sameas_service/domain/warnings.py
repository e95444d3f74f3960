"""Warnings: what a developer should know about an accepted message."""

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from sameas_service.domain.limits import TRAITS_MANY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WarningReason(IntEnum):
    """Which warning. The numbers are those of `WarningReason` in the protos."""

    DEVICE_SWITCHED = 1
    ALIAS_REPEATED = 2
    ALIAS_TO_ITSELF = 3
    USER_ID_IS_EMAIL = 4
    CLOCK_AHEAD = 5
    OPERATION_SKIPPED = 6
    TRAITS_MANY = 7


class CallWarning(NamedTuple):
    """One warning: a stable reason, a sentence for people, and the sentence's variables."""

    reason: WarningReason
    sentence: str
    metadata: tuple[tuple[str, str], ...] = ()


def device_switched(anonymous_id: str, former: str, user: str) -> CallWarning:
    """Warn that the device was another user's until now."""
    return CallWarning(
        WarningReason.DEVICE_SWITCHED,
        f"the device belonged to user {former!r} until now and is {user!r}'s from here; "
        "call Reset at logout",
        (("anonymous_id", anonymous_id), ("former_user_id", former), ("user_id", user)),
    )


def alias_repeated(user: str, source: str, first: str) -> CallWarning:
    """Warn that the user was aliased before, from another source."""
    return CallWarning(
        WarningReason.ALIAS_REPEATED,
        f"user {user!r} was aliased before, from {first!r}; Alias is for sign-up, use "
        "Identify for later logins",
        (("user_id", user), ("source", source), ("first_source", first)),
    )


def alias_to_itself(user: str) -> CallWarning:
    """Warn that source and user of the alias are one id."""
    return CallWarning(
        WarningReason.ALIAS_TO_ITSELF,
        f"source and user are both {user!r}, so the alias changes nothing",
        (("user_id", user),),
    )


def user_id_is_email(user: str) -> CallWarning:
    """Warn that the user id looks like an e-mail address."""
    return CallWarning(
        WarningReason.USER_ID_IS_EMAIL,
        "the user id looks like an e-mail address, which can change; send a database id, "
        "and the address as a trait",
        (("user_id", user),),
    )


def clock_ahead(client_time: int, event_time: int) -> CallWarning:
    """Warn that the client's time was in the future."""
    return CallWarning(
        WarningReason.CLOCK_AHEAD,
        "the timestamp is more than a minute ahead of the server's clock, so the time of "
        "receipt was taken",
        (("timestamp", _rfc3339(client_time)), ("event_time", _rfc3339(event_time))),
    )


def operation_skipped(action: str, trait: str) -> CallWarning:
    """Warn that an operation did not fit the value that it met."""
    return CallWarning(
        WarningReason.OPERATION_SKIPPED,
        f"{action} of trait {trait!r} does not fit its value and was skipped",
        (("trait", trait), ("operation", action)),
    )


def traits_many(count: int) -> CallWarning:
    """Warn that the person has very many traits."""
    return CallWarning(
        WarningReason.TRAITS_MANY,
        f"the person has {count} traits, more than {TRAITS_MANY}",
        (("traits", str(count)),),
    )


def _rfc3339(microseconds: int) -> str:
    # Not by `fromtimestamp`: a float rounds the last second of the year 9999 into 10000.
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
