"""Could calls done one at a time have been answered as these concurrent ones were?

Wing and Gong's search for such an order ("Testing and Verifying Concurrent Objects", 1993)
with Lowe's memory of where it has been ("Testing for Linearizability", 2017). An operation may
come next if none that is still to come ended before it began. One without an answer may come
anywhere after it began, or not at all.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from linear.history import Operation, cut, text_of

VISITED_MAX = 100_000
"""Where the search gives up, loudly, rather than eat the machine's memory."""

State = TypeVar("State", bound=Hashable)


class Specification(Protocol[State]):
    """What the calls mean where they are done one at a time."""

    start: State

    def step(self, state: State, call: Any) -> tuple[State, Any]:
        """The state behind a call, and the call's answer."""

    def is_read(self, call: Any) -> bool:
        """Whether a call changes no state, ever."""


class Violation(NamedTuple):
    """No order explains the history: how far the search came.

    Attributes:
        operations: the history.
        placed: the longest order that fits, of those that were found.
        stuck: what could come next by its times, and the answer that it should then have had.
        left: what else has no place.
    """

    operations: Sequence[Operation]
    placed: Sequence[Operation]
    stuck: Sequence[tuple[Operation, Any]]
    left: Sequence[Operation]

    def __str__(self) -> str:
        lines = [f"No order of these {len(self.operations)} operations explains their answers."]
        lines += ["This order does for the most of them:", *map(str, self.placed)]
        lines += ["None of these fits behind it:"]
        for one, answer in self.stuck:
            lines += [str(one), f"{'':11}but should be {answer}"]
        if self.left:
            lines += ["These are left over:", *map(str, self.left)]
        return "\n".join(lines)


class UndecidedError(Exception):
    """The search would take too long."""


def violation_of(
    operations: Iterable[Operation], specification: Specification[Any]
) -> Violation | None:
    """Why a history is not linearizable; None if it is.

    Raises:
        UndecidedError: after `VISITED_MAX` states.
    """
    return _Search(operations, specification).violation()


def shrunk(violation: Violation, specification: Specification[Any]) -> Violation:
    """A smaller history that is not linearizable either: cut off as early as can be, and
    without the reads that are not needed. Leaving out a write would not be fair: the answers
    of others may depend on it.
    """
    smallest = _cut_early(violation, specification)
    for one in smallest.operations:
        if specification.is_read(one.call):
            rest = [other for other in smallest.operations if other is not one]
            smallest = violation_of(rest, specification) or smallest
    return smallest


def _cut_early(violation: Violation, specification: Specification[Any]) -> Violation:
    """The shortest beginning of a history that is not linearizable: what follows on such a one
    is not linearizable either, so half of the rest decides each time.
    """
    ticks = sorted(one.ended for one in violation.operations if one.ended is not None)
    low, high = 0, len(ticks) - 1
    smallest = violation
    while low < high:
        middle = (low + high) // 2
        found = violation_of(cut(violation.operations, ticks[middle]), specification)
        if found is None:
            low = middle + 1
        else:
            smallest, high = found, middle
    return smallest


class _Place(NamedTuple, Generic[State]):
    """A node of the search: the operations placed, as bits, the state, and where to go on."""

    placed: int
    state: State
    moves: "Iterator[tuple[int, State]]"


class _Search(Generic[State]):
    """A search in depth. `placed` has the bit of each operation that has its place."""

    def __init__(
        self, operations: Iterable[Operation], specification: Specification[State]
    ) -> None:
        self._operations = sorted(operations, key=lambda one: one.began)
        self._specification = specification
        self._answered = sum(1 << i for i, one in enumerate(self._operations) if one.is_known)

    def violation(self) -> Violation | None:
        """The longest order that fits, unless there is one of all that was answered."""
        start = self._specification.start
        path: list[_Place[State]] = [_Place(0, start, self._moves(0, start))]
        longest: list[_Place[State]] = []
        visited: set[tuple[int, State]] = set()
        while path:
            placed, _, moves = path[-1]
            if placed & self._answered == self._answered:
                return None
            if self._reach(path) > self._reach(longest):
                longest = list(path)
            move = next(
                (move for move in moves if (placed | 1 << move[0], move[1]) not in visited), None
            )
            if move is None:
                path.pop()
                continue
            placed |= 1 << move[0]
            visited.add((placed, move[1]))
            if len(visited) > VISITED_MAX:
                raise UndecidedError(f"after {VISITED_MAX} states of\n{text_of(self._operations)}")
            path.append(_Place(placed, move[1], self._moves(placed, move[1])))
        return self._report(longest)

    def _reach(self, path: Sequence[_Place[State]]) -> int:
        """How many operations that were answered have their place; -1 on no path."""
        return (path[-1].placed & self._answered).bit_count() if path else -1

    def _moves(self, placed: int, state: State) -> Iterator[tuple[int, State]]:
        """What may come next with the answer that it had, and the state behind it.

        A read that fits is taken at once, alone: it stands in nobody's way. (A write that changes
        nothing here may have to change something further on.) What was not answered is tried
        last, and only for the sake of what it changes.
        """
        fits, perhaps = [], []
        for index in self._next(placed):
            operation = self._operations[index]
            after, answer = self._specification.step(state, operation.call)
            if operation.is_known and answer == operation.answer:
                if self._specification.is_read(operation.call):
                    return iter([(index, after)])
                fits.append((index, after))
            elif not operation.is_known and after != state:
                perhaps.append((index, after))
        return iter(fits + perhaps)

    def _next(self, placed: int) -> Iterator[int]:
        """The operations that may come next by their times: they began before any ended of
        those that have no place.
        """
        bound = float("inf")
        first = (~placed & (placed + 1)).bit_length() - 1
        for index in range(first, len(self._operations)):
            operation = self._operations[index]
            if operation.began > bound:
                return
            if not placed >> index & 1:
                yield index
                if operation.ended is not None:
                    bound = min(bound, operation.ended)

    def _report(self, longest: Sequence[_Place[State]]) -> Violation:
        placed, state, _ = longest[-1]
        order = [after.placed ^ before.placed for before, after in pairwise(longest)]
        stuck = [i for i in self._next(placed) if self._operations[i].is_known]
        rest = (i for i in range(len(self._operations)) if not placed >> i & 1 and i not in stuck)
        next_ = [self._operations[i] for i in stuck]
        return Violation(
            self._operations,
            [self._operations[bit.bit_length() - 1] for bit in order],
            [(one, self._specification.step(state, one.call)[1]) for one in next_],
            [self._operations[i] for i in rest],
        )
