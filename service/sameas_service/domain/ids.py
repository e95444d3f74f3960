"""Which ids are taken, and which are refused as placeholders."""

import re
from functools import lru_cache

from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.limits import ID_BYTES_MAX

NAMES_OF_NOBODY = frozenset(
    # PostHog's illegal ids, Mixpanel's disallowed ones and Segment's blocked values, in
    # one list. They are compared without regard to case: NULL and None are the same bug.
    [
        "anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated",
        "email", "undefined", "true", "false", "[object object]", "nan", "none", "null",
        "anon", "nil", "n/a", "na", "unknown", "<nil>", "-1", "[]", "{}",
    ]
)  # fmt: skip
"""Ids that mean "no id" in the code of some caller. `0`, `000` and `0000-...-0000` are covered
by a pattern, quoted forms and white space by `is_blocked`."""

_ZEROS_AND_DASHES = re.compile(r"[0-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_QUOTES = ("'", '"', "`")


def is_blocked(value: str, blocked: frozenset[str] = NAMES_OF_NOBODY) -> bool:
    """Return whether an id is a placeholder: blank, zeros and dashes alone, or on the list.

    The same in single, double or back quotes counts too, as PostHog found them in traffic.
    """
    bare = value.strip()
    if len(bare) >= 2 and bare[0] == bare[-1] and bare[0] in _QUOTES:
        bare = bare[1:-1].strip()
    return bare.lower() in blocked or _ZEROS_AND_DASHES.fullmatch(bare) is not None


@lru_cache(maxsize=65_536)
def check_id(value: str, field: str, blocked: frozenset[str] = NAMES_OF_NOBODY) -> str:
    """Return the id itself, if it may name a device or a user; cached, since ids repeat.

    Raises:
        Refused: `ID_TOO_LONG`, `CONTROL_CHARACTER` or `ID_BLOCKED`, naming the field.
    """
    check_name(value, field)
    if is_blocked(value, blocked):
        raise Refused(
            Reason.ID_BLOCKED,
            f"{field} names nobody: send no id rather than a placeholder",
            field=field,
        )
    return value


def check_name(value: str, field: str) -> str:
    """Return the text itself, if it is at most 256 bytes and has no control character."""
    if len(value) * 4 > ID_BYTES_MAX and len(value.encode()) > ID_BYTES_MAX:
        raise Refused(
            Reason.ID_TOO_LONG,
            f"{field} has more than {ID_BYTES_MAX} bytes",
            field=field,
            metadata={"max_bytes": str(ID_BYTES_MAX)},
        )
    check_no_control(value, field)
    return value


def check_no_control(value: str, field: str) -> None:
    """Refuse C0 and C1 control characters, which hide in logs and break stores."""
    if not (value.isascii() and value.isprintable()) and _CONTROL.search(value):
        raise Refused(Reason.CONTROL_CHARACTER, f"{field} has a control character", field=field)


def looks_like_email(user_id: str) -> bool:
    """Return whether a user id looks like an e-mail address, which its owner may change."""
    return "@" in user_id and _EMAIL.fullmatch(user_id) is not None
