"""Operations on traits: what a message says about a profile."""

from typing import Any, NamedTuple

from sameas_service.domain import payload
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.limits import OPERATIONS_MAX
from sameas_service.domain.message import Message
from sameas_service.domain.payload import Json

ACTIONS = {
    "set": "set",
    "setOnce": "set_once",
    "unset": "unset",
    "increment": "increment",
    "append": "append",
    "union": "union",
    "remove": "remove",
}
"""Key in `operations_json` and the import format, and the operation's name. A message's
operations are applied in this order, and within one in the order of the canonical text."""

KEYS = {action: key for key, action in ACTIONS.items()}


class Operation(NamedTuple):
    """One operation: what to do to which trait, with which operand (None for `unset`)."""

    action: str
    trait: str
    operand: Json = None


def operations_of(message: Message) -> list[Operation]:
    """Return the operations of an accepted message, in the order in which they apply."""
    if not message.has_operations:
        return []
    return parse_operations(message.kind, message.payload)


def parse_operations(kind: Kind, text: str) -> list[Operation]:
    """Return the operations that a stored payload holds. Identify's traits are each a `set`."""
    body = payload.parse(text)
    if kind is Kind.IDENTIFY:
        return [Operation("set", trait, value) for trait, value in body.items()]
    return [
        Operation(action, trait, operand)
        for key, action in ACTIONS.items()
        if key in body
        for trait, operand in _pairs(body[key])
    ]


@payload.cached_if_short
def checked_operations(text: str, field: str) -> str:
    """Return the canonical text of a message's operations, given as JSON text.

    Raises:
        Refused: `OPERATION_INVALID`, `OPERATIONS_TOO_MANY`, or as `payload.checked_text`.
    """
    body = payload.load(text, field) if text else {}
    canonical = payload.checked_object(body, field)
    for key, operands in body.items():
        if key not in ACTIONS:
            raise _invalid(f"{field} has an unknown operation", field)
        _check_operands(key, operands, field)
    count = sum(len(operands) for operands in body.values())
    if count == 0:
        raise _invalid(f"{field} has no operation", field)
    check_count(count, field)
    return canonical


def check_count(count: int, field: str) -> None:
    """Refuse a message with more than 1,000 operations."""
    if count > OPERATIONS_MAX:
        raise Refused(
            Reason.OPERATIONS_TOO_MANY,
            f"{field} has more than {OPERATIONS_MAX} operations",
            field=field,
            metadata={"max_operations": str(OPERATIONS_MAX)},
        )


def _check_operands(key: str, operands: Json, field: str) -> None:
    where = f"{field}.{key}"
    if key == "unset":
        if type(operands) is not list or any(type(trait) is not str for trait in operands):
            raise _invalid(f"{where} must be a list of traits", where)
        return
    if type(operands) is not dict:
        raise _invalid(f"{where} must be an object", where)
    if key == "increment" and any(type(by) not in (int, float) for by in operands.values()):
        raise _invalid(f"{where} must be by numbers", where)
    if key == "union" and any(type(items) is not list for items in operands.values()):
        raise _invalid(f"{where} must be with lists", where)


def _invalid(sentence: str, field: str) -> Refused:
    return Refused(Reason.OPERATION_INVALID, sentence, field=field)


def _pairs(operands: Any) -> list[tuple[str, Json]]:
    if isinstance(operands, dict):
        return list(operands.items())
    return [(trait, None) for trait in operands]
