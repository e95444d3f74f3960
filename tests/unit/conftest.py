"""What the tests of the rules have in common: a few messages, and how a rule refuses."""

from collections.abc import Callable
from typing import Any

import pytest

from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, position_of

SECOND = 1_000_000
MINUTE = 60 * SECOND
T0 = 1_700_000_000 * SECOND


@pytest.fixture
def message() -> Callable[..., Message]:
    """Makes messages: `message(kind, minutes after T0, device, user)`, ids counted up."""
    count = 0

    def make(kind: Kind, minutes: float, device: str = "", user: str = "", **other: Any) -> Message:
        nonlocal count
        count += 1
        message_id = other.pop("message_id", f"m{count:02}")
        position = position_of(kind, T0 + round(minutes * MINUTE), message_id)
        return Message(kind, position, T0, device or None, user or None, **other)

    return make


@pytest.fixture
def why() -> Callable[..., tuple[Reason, str]]:
    """The reason and the field with which a rule refuses, which it must."""

    def refused(rule: Callable[..., object], *arguments: Any, **named: Any) -> tuple[Reason, str]:
        with pytest.raises(Refused) as caught:
            rule(*arguments, **named)
        return caught.value.reason, caught.value.field

    return refused
