"""Page tokens: bound to their question, and nothing else is one."""

import base64

import orjson
import pytest

from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Position, position_of
from sameas_service.resolver.facts import Filter, PersonKey
from sameas_service.servicer.tokens import position_of as read
from sameas_service.servicer.tokens import token_of

QUESTION = (PersonKey("user", "u"), Filter(frozenset([Kind.TRACK, Kind.PAGE]), frozenset("ab")), 7)
HERE = position_of(Kind.RESET, 1_700_000_000_000_000, "m-é😀")


@pytest.mark.parametrize("position", [HERE, Position(-1, ""), Position(2**62 - 1, "x" * 256)])
def test_a_token_gives_back_its_position(position: Position) -> None:
    token = token_of(position, QUESTION)

    assert read(token, QUESTION) == position
    assert token.isascii()
    assert "=" not in token


def test_the_order_of_what_is_asked_for_does_not_matter() -> None:
    key, _, as_of = QUESTION
    other = Filter(frozenset([Kind.PAGE, Kind.TRACK]), frozenset("ba"))

    assert read(token_of(HERE, QUESTION), (key, other, as_of)) == HERE


@pytest.mark.parametrize(
    "other",
    [
        (PersonKey("user", "v"), *QUESTION[1:]),
        (PersonKey("anonymous", "u"), *QUESTION[1:]),
        (QUESTION[0], Filter(frozenset([Kind.TRACK])), 7),
        (QUESTION[0], QUESTION[1]._replace(start_time=0), 7),
        (QUESTION[0], QUESTION[1]._replace(end_time=0), 7),
        (*QUESTION[:2], 8),
        (*QUESTION[:2], None),
    ],
)
def test_a_token_of_another_question_is_refused(why, other) -> None:
    assert why(read, token_of(HERE, QUESTION), other) == (Reason.PAGE_TOKEN_INVALID, "page_token")


def encoded(value) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def digest() -> str:
    token = token_of(HERE, QUESTION)
    return orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))[0]


@pytest.mark.parametrize(
    "rest",
    [[2**62, "m"], [-(2**63), "m"], [1.5, "m"], ["1", "m"], [None, "m"], [True, "m"], [1, None],
     [1], [1, "m", 2], []],
)  # fmt: skip
def test_a_token_made_by_hand_is_refused(why, rest) -> None:
    assert read(encoded([digest(), 1, "m"]), QUESTION) == (1, "m")
    assert why(read, encoded([digest(), *rest]), QUESTION)[0] is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize(
    "text",
    ["x", "é", "====", "AAAA", encoded({}), encoded(None), encoded("a"), "\x00", "9" * 9_999],
)
def test_what_is_no_token_is_refused(why, text: str) -> None:
    assert why(read, text, QUESTION) == (Reason.PAGE_TOKEN_INVALID, "page_token")


def test_a_token_with_one_character_changed_is_refused_or_names_a_place() -> None:
    token = token_of(HERE, QUESTION)
    for index in range(len(token)):
        changed = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
        try:
            assert isinstance(read(changed, QUESTION), Position)
        except Refused as refused:
            assert refused.reason is Reason.PAGE_TOKEN_INVALID  # noqa: PT017
