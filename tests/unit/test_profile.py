"""The fold of a profile by examples, and its incremental twin against it."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameas_service.domain.limits import LIST_ELEMENTS_MAX
from sameas_service.domain.message import Position
from sameas_service.domain.operations import ACTIONS, Operation
from sameas_service.domain.profile import Entry, Trait, absorb, fold, values

FLOAT_MAX = 1.7976931348623157e308
NOTHING = "no value"


def entry(at: int, *operations: tuple[Any, ...], named: bool = True) -> Entry:
    """A message's operations on the trait `t`, as (action, operand)."""
    told = [Operation(action, "t", *operand) for action, *operand in operations]
    return Entry(Position(at, f"m{at}"), named, told)


def after(*operations: tuple[Any, ...]) -> tuple[Any, int]:
    """What the trait `t` is after operations, one a message, and how many did not fit."""
    folded = fold(entry(at, operation) for at, operation in enumerate(operations))
    return values(folded.traits).get("t", NOTHING), len(folded.skipped)


@pytest.mark.parametrize(
    ("operations", "value"),
    [
        ([("set", 1)], 1),
        ([("set", 1), ("set", "x")], "x"),
        ([("set", None)], None),
        ([("set_once", 1)], 1),
        ([("set_once", 1), ("set_once", 2)], 1),
        ([("set", None), ("set_once", 2)], None),
        ([("set", 1), ("unset",), ("set_once", 2)], 2),
        ([("unset",)], NOTHING),
        ([("set", 1), ("unset",)], NOTHING),
        ([("increment", 2)], 2),
        ([("set", 5), ("increment", -7)], -2),
        ([("set", 0.5), ("increment", 0.5)], 1),
        ([("append", 1)], [1]),
        ([("append", 1), ("append", 1)], [1, 1]),
        ([("append", [1])], [[1]]),
        ([("union", [1, 2, 1])], [1, 2]),
        ([("set", [2]), ("union", [1, 2, 3])], [2, 1, 3]),
        ([("set", [2, 2]), ("union", [2])], [2, 2]),
        ([("union", [])], []),
        ([("set", [1, 2, 1]), ("remove", 1)], [2]),
        ([("set", [1]), ("remove", 1)], []),
        ([("remove", 1)], NOTHING),
        ([("remove", 1), ("set_once", 2)], 2),
    ],
)
def test_an_operation_gives(operations, value) -> None:
    assert after(*operations) == (value, 0)


@pytest.mark.parametrize("value", ["x", True, False, None, [1], {"a": 1}])
def test_an_increment_of_what_is_no_number_is_skipped(value) -> None:
    assert after(("set", value), ("increment", 1)) == (value, 1)


@pytest.mark.parametrize("operation", [("append", 1), ("union", [1]), ("remove", 1)])
@pytest.mark.parametrize("value", ["x", 1, True, None, {"a": 1}])
def test_a_list_operation_on_what_is_no_list_is_skipped(value, operation) -> None:
    assert after(("set", value), operation, ("set_once", 2)) == (value, 1)


def test_a_skipped_operation_is_named_and_the_rest_of_its_message_counts() -> None:
    folded = fold([entry(0, ("set", "x")), entry(1, ("increment", 1), ("set", 5))])

    assert [(one.position.at, one.operation.action) for one in folded.skipped] == [(1, "increment")]
    assert values(folded.traits) == {"t": 5}


@pytest.mark.parametrize(
    ("elements", "gone", "left"),
    [
        ([1, True, "1", 1, None], 1, [True, "1", None]),
        ([1, True], True, [1]),
        ([0, False, ""], 0, [False, ""]),
        ([{"a": 1, "b": 2}, {"a": 1}], {"b": 2, "a": 1}, [{"a": 1}]),
        ([None, "null"], None, ["null"]),
    ],
)
def test_equal_is_what_has_one_canonical_text(elements, gone, left) -> None:
    removed, _ = after(("set", elements), ("remove", gone))
    united, _ = after(("set", [gone]), ("union", elements))

    # By their text: to Python, 1 and True are equal.
    assert repr(removed) == repr(left)
    assert repr(united) == repr([gone, *left])


def test_the_earliest_set_once_wins_whatever_comes_first() -> None:
    entries, chance = [entry(at, ("set_once", f"at {at}")) for at in range(5)], random.Random(5)
    for _ in range(10):
        chance.shuffle(entries)

        assert values(fold(entries).traits) == {"t": "at 0"}


def test_operations_of_one_message_apply_in_their_order() -> None:
    folded = fold([entry(0, ("set", 1), ("set_once", 2), ("increment", 3), ("increment", 0.5))])

    assert values(folded.traits) == {"t": 4.5}


@pytest.mark.parametrize(
    ("parts", "total"),
    [
        ([0.1] * 10, 1),
        ([0.1, 0.2], 0.30000000000000004),
        ([1e300, 0.1, -1e300], 0.1),
        ([2**53, 1, -1], 2**53),
        ([2**53, 2**53, 2**53, -(2**53)], 2.0**54),
        ([0.5, 0.5], 1),
        ([-0.5, 0.5], 0),
        ([1.5e308, 1.5e308], FLOAT_MAX),
        ([-1.5e308, -1.5e308], -FLOAT_MAX),
        ([1.5e308, 1.5e308, -1.5e308, -1.5e308], 0),
        ([1.5e308, 1.5e308, -1.5e308], 1.5e308),
    ],
)
def test_sums_are_exact_and_rounded_once(parts, total) -> None:
    chance = random.Random(5)
    for _ in range(5):
        mixed = chance.sample(parts, len(parts))

        assert repr(after(*(("increment", part) for part in mixed))) == repr((total, 0))


def test_a_list_keeps_its_thousand_latest_elements() -> None:
    full = list(range(LIST_ELEMENTS_MAX))

    assert after(("set", full), ("append", "new")) == ([*full[1:], "new"], 0)
    assert after(("set", full), ("union", [0, "new", "newer"])) == (
        [*full[2:], "new", "newer"], 0,
    )  # fmt: skip
    assert after(("union", [*full, "new"])) == ([*full[1:], "new"], 0)
    assert after(("set", [*full, "set is not cut"]))[0] == [*full, "set is not cut"]


# ---- Visitors' defaults --------------------------------------------------------------------


@pytest.mark.parametrize("known", [("set", "pro"), ("unset",)])
@pytest.mark.parametrize("visitor", [("set", "guest"), ("set_once", "guest"), ("unset",)])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_visitor_cannot_set_what_the_user_has_ever_set(known, visitor, order) -> None:
    entries = [entry(order[0], known), entry(order[1], visitor, named=False)]

    folded = fold(entries)

    assert values(folded.traits).get("t", NOTHING) == (known[1:] or [NOTHING])[0]
    assert folded.skipped == []


def test_a_visitor_may_set_what_the_user_has_only_set_once_or_counted() -> None:
    for known in (("set_once", "ad"), ("increment", 1)):
        entries = [entry(0, known), entry(1, ("set", "guest"), named=False)]

        assert values(fold(entries).traits) == {"t": "guest"}


def test_a_visitors_counts_and_lists_count_all_the_same() -> None:
    counted = [entry(0, ("set", 1)), entry(1, ("increment", 2), named=False)]
    listed = [entry(0, ("set", ["a"])), entry(1, ("append", "b"), named=False)]

    assert values(fold(counted).traits) == {"t": 3}
    assert values(fold(listed).traits) == {"t": ["a", "b"]}


def test_what_a_user_sets_of_one_trait_does_not_touch_another() -> None:
    other = Entry(Position(1, "m1"), False, [Operation("set", "other", "guest")])

    folded = fold([entry(0, ("set", "pro")), other])

    assert values(folded.traits) == {"t": "pro", "other": "guest"}


# ---- The incremental twin ------------------------------------------------------------------

ANYTHING = object()
"""Stands for an answer that only the fold can give."""


@pytest.mark.parametrize(
    ("known", "late", "value"),
    [
        # What came before a `set` cannot matter, unless it makes the `set` itself not count.
        (entry(5, ("set", "x")), entry(3, ("set", "y")), "x"),
        (entry(5, ("set", "x")), entry(3, ("increment", 1), named=False), "x"),
        (entry(5, ("set", "x"), named=False), entry(3, ("set", "y"), named=False), "x"),
        (entry(5, ("set", "x"), named=False), entry(3, ("set", "y")), ANYTHING),
        (entry(5, ("set", "x"), named=False), entry(3, ("unset",)), ANYTHING),
        (entry(5, ("set", "x")), entry(3, ("set", "y"), named=False), "x"),
        (entry(3, ("set", "x")), entry(5, ("set_once", "y"), named=False), "x"),
        # Increments alone may come in any order.
        (entry(5, ("increment", 1)), entry(3, ("increment", 0.5)), 1.5),
        (entry(5, ("set_once", 1)), entry(3, ("increment", 1)), ANYTHING),
        (entry(5, ("append", 1)), entry(3, ("append", 2)), ANYTHING),
        (entry(5, ("increment", 1)), entry(3, ("set", 1)), ANYTHING),
    ],
)
def test_what_arrives_late_is_absorbed_where_one_can_tell(known, late, value) -> None:
    trait = fold([known]).traits["t"]
    (operation,) = late.operations

    answer = absorb(trait, late.position, operation, named=late.named)

    assert (ANYTHING if answer is None else shown(answer[0])) == value
    assert value in (ANYTHING, shown(fold([known, late]).traits["t"]))


scalars = st.sampled_from([0, 1, 2, 0.1, 1e300, -1e300, "a", True, None])
operands = {
    "set": st.one_of(scalars, st.lists(scalars, max_size=3)),
    "set_once": scalars,
    "unset": st.none(),
    "increment": st.sampled_from([1, -2, 0.1, 0.2, 1e300]),
    "append": scalars,
    "union": st.lists(scalars, max_size=3),
    "remove": scalars,
}
one_operation = st.sampled_from(sorted(ACTIONS.values())).flatmap(
    lambda action: operands[action].map(lambda operand: Operation(action, "t", operand))
)
arrivals = st.lists(
    st.tuples(st.integers(0, 5), st.booleans(), st.lists(one_operation, min_size=1, max_size=2)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=800, deadline=None)
@given(arrivals, st.randoms(use_true_random=False))
def test_absorb_gives_what_the_fold_gives_wherever_it_gives_an_answer(arrived, chance) -> None:
    messages = [
        Entry(Position(at, f"m{number}"), named, operations)
        for number, (at, named, operations) in enumerate(arrived)
    ]
    chance.shuffle(messages)
    known: list[Entry] = []
    trait: Trait | None = None
    for position, named, operations in messages:
        for upto, operation in enumerate(operations, 1):
            here = Entry(position, named, operations[:upto])
            folded = fold([*known, here]).traits.get("t")

            answer = absorb(trait, position, operation, named=named)

            if answer is not None:
                assert repr(shown(answer[0])) == repr(shown(folded))
            trait = folded
        known.append(Entry(position, named, operations))


@settings(max_examples=200, deadline=None)
@given(arrivals)
def test_what_arrives_in_order_is_always_absorbed(arrived) -> None:
    trait: Trait | None = None
    skipped = []
    entries = [Entry(Position(n, f"m{n}"), named, ops) for n, (_, named, ops) in enumerate(arrived)]
    for position, named, operations in entries:
        for operation in operations:
            answer = absorb(trait, position, operation, named=named)
            assert answer is not None
            trait, fits = answer
            if not fits:
                skipped.append((position, operation))

    # A user who sets a trait later makes what a visitor said of it not count; but then the
    # `set` itself gives the value, and all that tells is in it.
    assert repr(shown(trait)) == repr(shown(fold(entries).traits.get("t")))


def shown(trait: Trait | None) -> Any:
    """What a reader sees of a trait."""
    return NOTHING if trait is None else values({"t": trait}).get("t", NOTHING)
