"""How the rules refuse: one exception, with a reason that callers can act on."""

from collections.abc import Mapping
from enum import StrEnum, auto


class Reason(StrEnum):
    """Why something was refused. The names are those of `ErrorReason` in the protos."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        del start, count, last_values
        return name

    REQUEST_MALFORMED = auto()
    ID_REQUIRED = auto()
    ID_BLOCKED = auto()
    ID_TOO_LONG = auto()
    CONTROL_CHARACTER = auto()
    EVENT_REQUIRED = auto()
    EVENT_TOO_LONG = auto()
    KIND_INVALID = auto()
    JSON_INVALID = auto()
    PAYLOAD_TOO_LARGE = auto()
    PAYLOAD_TOO_DEEP = auto()
    NUMBER_NOT_FINITE = auto()
    INTEGER_TOO_LARGE = auto()
    OPERATIONS_TOO_MANY = auto()
    OPERATION_INVALID = auto()
    TIMESTAMP_INVALID = auto()
    MESSAGE_ID_REUSED = auto()
    CALL_REQUIRED = auto()
    BATCH_TOO_LARGE = auto()
    PERSON_NOT_FOUND = auto()
    PAGE_SIZE_INVALID = auto()
    PAGE_TOKEN_INVALID = auto()
    TIME_RANGE_INVALID = auto()
    SERVER_STOPPING = auto()
    OVERLOADED = auto()
    DISK_FULL = auto()
    INTERNAL = auto()
    DEADLINE_PASSED = auto()
    HISTORY_TOO_LARGE = auto()
    STORE_BUSY = auto()
    STORE_FAILED = auto()
    KEY_UNREAD = auto()


class Refused(Exception):
    """A call or a message was refused; nothing of it was kept.

    Attributes:
        reason: what to act on.
        field: the request field at fault, or empty.
        sentence: for people; never repeats the value that was sent.
        metadata: the variables of the sentence.
    """

    def __init__(
        self,
        reason: Reason,
        sentence: str,
        *,
        field: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.field = field
        self.sentence = sentence
        self.metadata = dict(metadata or {})
