"""How a message is kept in the columns of a ledger's row, the same in every store.

An unlink's ids are no columns, since no device and no user has it among its messages: they are
kept in its payload.
"""

from sameas_service.domain.kinds import KINDS, Kind
from sameas_service.domain.message import Message, Position
from sameas_service.domain.payload import canonical, parse

_BY_NUMBER = {int(kind): kind for kind in Kind}
_PAIR_IN_PAYLOAD = [
    kind in _BY_NUMBER and not KINDS[_BY_NUMBER[kind]].on_timeline
    for kind in range(max(_BY_NUMBER) + 1)
]
"""By the kind's number: an enum's hash costs more than all else here."""


def payload_of(message: Message) -> str:
    """Return the payload as the row keeps it."""
    if not _PAIR_IN_PAYLOAD[message.kind]:
        return message.payload
    pair = {
        "anonymousId": message.device,
        "userId": message.user,
        "previousUserId": message.source,
    }
    return canonical(parse(message.payload) | {k: v for k, v in pair.items() if v is not None})


def message_of(  # noqa: PLR0913, PLR0917  (a row's columns)
    message_id: str,
    kind: int,
    at: int,
    received_at: int,
    device: str | None,
    user: str | None,
    source: str | None,
    event: str,
    payload: str,
    context: str,
    client_time: int | None,
    sent_at: int | None,
) -> Message:
    """Return the message that a row keeps."""
    if _PAIR_IN_PAYLOAD[kind]:
        device, user, source, payload = _pair_of(payload)
    return Message(
        _BY_NUMBER[kind],
        Position(at, message_id),
        received_at,
        device,
        user,
        source,
        event,
        payload,
        context,
        client_time,
        sent_at,
    )


def _pair_of(payload: str) -> tuple[str | None, str, str | None, str]:
    rest = parse(payload)
    device = rest.pop("anonymousId", None)
    user = rest.pop("userId")
    source = rest.pop("previousUserId", None)
    return device, user, source, canonical(rest)
