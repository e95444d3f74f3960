"""Page tokens: where to go on, bound to the question that they were given for."""

import base64
import binascii
import hashlib
from typing import Any

import orjson

from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.message import Position

_AT_MAX = 2**62
"""Beyond every position, and within what a store can compare."""


def token_of(position: Position, question: Any) -> str:
    """Return a token for the messages after a position."""
    body = orjson.dumps([_digest(question), *position])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def position_of(token: str, question: Any) -> Position:
    """Return the position in a token.

    Raises:
        Refused: `PAGE_TOKEN_INVALID` if it is none of ours, or another question's.
    """
    try:
        body = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        digest, at, message_id = orjson.loads(body)
        # The digest is no signature: a token may be made by hand.
        ours = digest == _digest(question) and type(at) is int and type(message_id) is str
        if ours and abs(at) < _AT_MAX:
            return Position(at, message_id)
    except (binascii.Error, ValueError, TypeError):
        pass
    raise Refused(
        Reason.PAGE_TOKEN_INVALID,
        "page_token was not given by this call with these arguments",
        field="page_token",
    )


def _digest(question: Any) -> str:
    return hashlib.blake2b(_stable(question).encode(), digest_size=8).hexdigest()


def _stable(value: Any) -> str:
    """Return a text of a question that does not depend on the order of its sets."""
    if isinstance(value, frozenset):
        return repr(sorted(value))
    if isinstance(value, tuple):
        return "(" + ", ".join(_stable(item) for item in value) + ")"
    return repr(value)
