"""The checker: small histories of a register, judged by hand and by trying every order."""

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from linear import checker
from linear.checker import UndecidedError, shrunk, violation_of
from linear.history import Operation

EXAMPLES = 400


class Register:
    """One value: `set` gives nothing back, `swap` the value before, `get` the value."""

    start = 0

    def step(self, state: int, call: tuple[str, int]) -> tuple[int, Any]:
        what, value = call
        if what == "get":
            return state, state
        return value, state if what == "swap" else None

    def is_read(self, call: tuple[str, int]) -> bool:
        return call[0] == "get"


def op(began: int, ended: int | None, what: str, value: int = 0, answer: Any = None) -> Operation:
    return Operation(0, (what, value), answer, began, ended)


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([], id="nothing"),
        pytest.param([op(1, 2, "set", 5), op(3, 4, "get", answer=5)], id="one after the other"),
        pytest.param([op(1, 4, "set", 5), op(2, 3, "get", answer=5)], id="read while written"),
        pytest.param([op(1, 4, "set", 5), op(2, 3, "get", answer=0)], id="or read before"),
        pytest.param(
            [op(1, 6, "set", 5), op(2, 3, "get", answer=0), op(4, 5, "get", answer=5)],
            id="read before and behind",
        ),
        pytest.param(
            [op(1, 9, "swap", 1, 2), op(2, 8, "swap", 2, 3), op(3, 7, "swap", 3, 0)],
            id="only backwards",
        ),
        pytest.param(
            [
                op(1, 10, "set", 1),
                op(2, 3, "set", 1),
                op(4, 7, "set", 2),
                op(5, 6, "get", answer=2),
                op(8, 9, "get", answer=1),
            ],
            id="a write that would change nothing at first",
        ),
        pytest.param([op(1, None, "set", 5), op(2, 3, "get", answer=0)], id="unknown: not yet"),
        pytest.param([op(1, None, "set", 5), op(2, 3, "get", answer=5)], id="unknown: at once"),
        pytest.param(
            [op(1, None, "set", 5), op(2, 3, "get", answer=0), op(4, 5, "get", answer=5)],
            id="unknown: much later",
        ),
        pytest.param(
            [op(1, None, "set", 5), op(2, 3, "set", 6), op(4, 5, "get", answer=6)],
            id="unknown: never",
        ),
    ],
)
def test_is_linearizable(operations: list[Operation]) -> None:
    assert violation_of(operations, Register()) is None


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([op(1, 2, "get", answer=5)], id="out of nothing"),
        pytest.param([op(1, 2, "set", 5), op(3, 4, "get", answer=0)], id="stale read"),
        pytest.param(
            [op(1, 6, "set", 5), op(2, 3, "get", answer=5), op(4, 5, "get", answer=0)],
            id="back in time",
        ),
        pytest.param([op(1, 2, "swap", 5, 0), op(3, 4, "swap", 5, 0)], id="both before the other"),
        pytest.param(
            [op(2, None, "set", 5), op(0, 1, "get", answer=5)], id="unknown: before it began"
        ),
        pytest.param(
            [
                op(1, None, "set", 5),
                op(2, 3, "get", answer=5),
                op(4, 5, "set", 6),
                op(6, 7, "get", answer=5),
            ],
            id="unknown: twice",
        ),
        pytest.param(
            [op(1, 4, "swap", 1, 2), op(2, 3, "swap", 2, 0), op(5, 6, "get", answer=2)],
            id="overlapping, but the last is known",
        ),
    ],
)
def test_is_not_linearizable(operations: list[Operation]) -> None:
    assert violation_of(operations, Register()) is not None


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Up to six operations on few values, with intervals and answers of any kind."""
    count = draw(st.integers(1, 6))
    ticks = iter(draw(st.permutations(range(2 * count))))
    operations = []
    for _ in range(count):
        began, ended = sorted((next(ticks), next(ticks)))
        what = draw(st.sampled_from(["set", "swap", "get"]))
        value = draw(st.integers(1, 2)) if what != "get" else 0
        is_known = draw(st.integers(0, 3)) > 0
        answer = draw(st.integers(0, 2)) if what != "set" and is_known else None
        operations.append(op(began, ended if is_known else None, what, value, answer))
    return operations


def orders(operations: list[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Every order of what was answered and some of the rest that keeps to the times."""
    known = [one for one in operations if one.is_known]
    unknown = [one for one in operations if not one.is_known]
    for count in range(len(unknown) + 1):
        for some in combinations(unknown, count):
            for order in permutations([*known, *some]):
                if not any(
                    after.ended is not None and after.ended < before.began
                    for before, after in combinations(order, 2)
                ):
                    yield order


def fits(order: tuple[Operation, ...]) -> bool:
    """Whether a register answers so, one call after the other."""
    state, register = Register.start, Register()
    for one in order:
        state, answer = register.step(state, one.call)
        if one.is_known and answer != one.answer:
            return False
    return True


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories())
def test_the_search_finds_an_order_just_where_trying_all_does(operations) -> None:
    expected = any(fits(order) for order in orders(operations))
    event(f"linearizable: {expected}")

    violation = violation_of(operations, Register())

    assert (violation is None) == expected
    if violation is not None:
        assert fits(tuple(violation.placed))
        smaller = shrunk(violation, Register())
        assert not any(fits(order) for order in orders(list(smaller.operations)))


def test_a_violation_is_shrunk_and_told_in_full() -> None:
    noise = [op(2 * n, 2 * n + 1, "get", answer=0) for n in range(10)]
    stale = [op(30, 31, "set", 5), op(32, 33, "get", answer=0)]
    later = [op(2 * n, 2 * n + 1, "set", n) for n in range(20, 30)]
    violation = violation_of(noise + stale + later, Register())
    assert violation is not None

    assert list(shrunk(violation, Register()).operations) == stale
    assert str(shrunk(violation, Register())).splitlines() == [
        "No order of these 2 operations explains their answers.",
        "This order does for the most of them:",
        "   30..31  caller 0  ('set', 5) -> None",
        "None of these fits behind it:",
        "   32..33  caller 0  ('get', 0) -> 0",
        "           but should be 5",
    ]


def test_a_search_that_takes_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "VISITED_MAX", 50)
    many = [op(n, 100, "set", n) for n in range(1, 20)]

    with pytest.raises(UndecidedError):
        violation_of([*many, op(101, 102, "get", answer=99)], Register())
