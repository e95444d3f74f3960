"""What concurrent callers saw: operations, each with when it began and ended."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Operation(NamedTuple):
    """One call of one caller.

    Attributes:
        caller: who called; one caller has one call under way at a time.
        call: what was asked for.
        answer: what was answered; None where nothing was.
        began: a tick of one clock, just before the call was sent.
        ended: a tick of the same clock, just after the answer came; None where none came: then
            the call may have taken effect at any time after it began, or never.
    """

    caller: int
    call: Any
    answer: Any
    began: int
    ended: int | None

    @property
    def is_known(self) -> bool:
        """Whether it was answered."""
        return self.ended is not None

    def overlaps(self, other: "Operation") -> bool:
        """Whether the two may have been under way at the same time."""
        return (self.ended is None or other.began <= self.ended) and (
            other.ended is None or self.began <= other.ended
        )

    def __str__(self) -> str:
        when = f"{self.began}..{'?' if self.ended is None else self.ended}"
        answer = "no answer" if self.ended is None else self.answer
        return f"{when:>9}  caller {self.caller}  {self.call} -> {answer}"


def cut(operations: Sequence[Operation], tick: int) -> list[Operation]:
    """What was known of a history at a tick: what had not ended by then has no answer yet."""
    return [
        one
        if one.ended is not None and one.ended <= tick
        else one._replace(answer=None, ended=None)
        for one in operations
        if one.began <= tick
    ]


def text_of(operations: Sequence[Operation]) -> str:
    """A history to read: a line an operation, in order of their beginnings."""
    return "\n".join(str(one) for one in sorted(operations, key=lambda one: one.began))
