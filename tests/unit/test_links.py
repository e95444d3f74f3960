"""Which users are one person, by links alone."""

import itertools

import pytest

from sameas_service.domain.links import Link, canonical_users
from sameas_service.domain.message import Position


def linked(*pairs: tuple[str, str]) -> dict[str, str]:
    """The canonical user of each, after links from source to target in this order."""
    links = [Link(Position(at, ""), *pair) for at, pair in enumerate(pairs)]
    found = {tuple(sorted(canonical_users(order).items())) for order in orders(links)}
    assert len(found) == 1, "the order of arrival matters"
    return dict(found.pop())


def orders(links: list[Link]) -> list[tuple[Link, ...]]:
    return list(itertools.permutations(links))


@pytest.mark.parametrize(
    ("pairs", "canonical"),
    [
        ([], {}),
        ([("old", "new")], {"old": "new", "new": "new"}),
        # The target's canonical user stays, whoever the target is.
        ([("b", "a"), ("c", "b")], {"a": "a", "b": "a", "c": "a"}),
        # The source's whole person joins.
        ([("b", "a"), ("a", "z")], {"a": "z", "b": "z", "z": "z"}),
        ([("b", "a"), ("b", "z")], {"a": "z", "b": "z", "z": "z"}),
        ([("b", "a"), ("d", "c"), ("b", "d")], dict.fromkeys("abcd", "c")),
        # Within one person nothing changes, not even who is canonical.
        ([("b", "a"), ("a", "b")], {"a": "a", "b": "a"}),
        ([("b", "a"), ("c", "b"), ("a", "c")], dict.fromkeys("abc", "a")),
        ([("b", "a"), ("b", "a")], {"a": "a", "b": "a"}),
        ([("a", "a")], {"a": "a"}),
        # Two persons stay two.
        ([("b", "a"), ("d", "c")], {"a": "a", "b": "a", "c": "c", "d": "c"}),
    ],
)
def test_links_fold_in_order_of_position(pairs, canonical) -> None:
    assert linked(*pairs) == canonical


def test_the_order_of_position_decides_who_is_canonical() -> None:
    assert linked(("a", "b"), ("b", "c"))["a"] == "c"
    assert linked(("b", "c"), ("a", "b"))["a"] == "c"
    assert linked(("a", "b"), ("c", "a"))["c"] == "b"
    assert linked(("c", "a"), ("a", "b"))["c"] == "b"
    assert linked(("b", "a"), ("c", "b"), ("d", "c"))["d"] == "a"
