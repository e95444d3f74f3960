"""JSON that rides along: one canonical text, and what is refused."""

import json

import pytest

from sameas_service.domain.errors import Reason
from sameas_service.domain.payload import (
    CACHED_CHARACTERS_MAX,
    canonical,
    checked_object,
    checked_text,
)

LONG = "x" * CACHED_CHARACTERS_MAX
"""Makes a text too long for the cache, which must not matter."""

EQUAL = [
    ('{"a":1}', '{"a":1.0}'),
    ('{"a":1}', ' { "a" : 10e-1 } '),
    ('{"a":0}', '{"a":-0}'),
    ('{"a":0}', '{"a":-0.0}'),
    ('{"a":100}', '{"a":1e2}'),
    ('{"a":0.1}', '{"a":1e-1}'),
    ('{"a":9007199254740992}', '{"a":9007199254740992.0}'),
    ('{"a":1,"b":2}', '{"b":2,"a":1}'),
    ('{"c":{"a":[1],"b":2}}', '{"c":{"b":2.0,"a":[1.0]}}'),
    ('{"a":"é"}', '{"a":"\\u00e9"}'),
    ('{"a":"/"}', '{"a":"\\/"}'),
    ('{"a":2}', '{"a":1,"a":2}'),
]
DIFFERENT = [
    ('{"a":1}', '{"a":true}'),
    ('{"a":0}', '{"a":false}'),
    ('{"a":1}', '{"a":"1"}'),
    ('{"a":null}', "{}"),
    ('{"a":[]}', '{"a":{}}'),
    ('{"a":[1,2]}', '{"a":[2,1]}'),
    ('{"a":0.1}', '{"a":0.10000000000000002}'),
    ('{"a":"é"}', '{"a":"e\\u0301"}'),
    ('{"a":""}', '{"a":" "}'),
]


@pytest.mark.parametrize("padding", ["", LONG], ids=["short", "long"])
@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_contents_have_one_text(one: str, other: str, padding: str) -> None:
    one, other = (text.replace("{", f'{{"z{padding}":0,', 1) for text in (one, other))

    assert checked_text(one, "properties") == checked_text(other, "properties")


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_contents_have_different_texts(one: str, other: str) -> None:
    assert checked_text(one, "properties") != checked_text(other, "properties")


def test_the_canonical_text_is_sorted_by_code_point_and_has_no_white_space() -> None:
    text = '{ "b": 1, "a": 2, "é": 3, "Z": 4, "\U0001f600": 5, "\ufb33": 6, "": 7 }'

    assert checked_text(text, "f") == '{"":7,"Z":4,"a":2,"b":1,"é":3,"\ufb33":6,"\U0001f600":5}'


def test_the_canonical_text_is_its_own_canonical_text() -> None:
    text = checked_text('{"b":[1.50,{"y":null,"x":-0.0}],"a":1e2}', "f")

    assert text == '{"a":100,"b":[1.5,{"x":0,"y":null}]}'
    assert checked_text(text, "f") == text


def test_an_empty_text_is_an_empty_object() -> None:
    assert checked_text("", "f") == checked_text("{}", "f") == "{}"


def nested(depth: int, innermost: str = "{}") -> str:
    return '{"a":' * (depth - 1) + innermost + "}" * (depth - 1)


@pytest.mark.parametrize("innermost", ["{}", "[]"])
def test_sixteen_levels_are_taken_and_seventeen_refused(why, innermost: str) -> None:
    assert checked_text(nested(16, innermost), "f") == nested(16, innermost)
    assert why(checked_text, nested(17, innermost), "f") == (Reason.PAYLOAD_TOO_DEEP, "f")
    assert why(checked_text, nested(100_000), "f")[0] is Reason.PAYLOAD_TOO_LARGE
    assert why(checked_text, nested(10_000), "f") == (Reason.PAYLOAD_TOO_DEEP, "f")


@pytest.mark.parametrize("sign", ["", "-"])
def test_whole_numbers_reach_to_2_to_the_53(why, sign: str) -> None:
    refusal = (Reason.INTEGER_TOO_LARGE, "f")

    assert checked_text(f'{{"a":{sign}{2**53}}}', "f") == f'{{"a":{sign}{2**53}}}'
    for number in (str(2**53 + 1), str(2**64), f"{2.0**53 + 2:.1f}", "1e300", "9" * 400):
        assert why(checked_text, f'{{"a":[{sign}{number}]}}', "f") in (
            refusal,
            (Reason.NUMBER_NOT_FINITE, "f"),
        )
    assert why(checked_text, f'{{"a":{sign}{2**53 + 1}}}', "f") == refusal
    assert why(checked_text, f'{{"a":{sign}1e300}}', "f") == refusal


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_numbers_that_are_not_finite_are_refused(why, number: str) -> None:
    assert why(checked_text, f'{{"a":{number}}}', "f") == (Reason.NUMBER_NOT_FINITE, "f")


def test_values_are_checked_as_texts_are(why) -> None:
    assert checked_object({"b": 1.0, "a": -0.0}, "f") == '{"a":0,"b":1}'
    assert why(checked_object, {"a": float("nan")}, "f") == (Reason.NUMBER_NOT_FINITE, "f")
    assert why(checked_object, {"a": 2**53 + 1}, "f") == (Reason.INTEGER_TOO_LARGE, "f")
    assert why(checked_object, [], "f") == (Reason.JSON_INVALID, "f")


@pytest.mark.parametrize(
    "text",
    ["null", "1", "[]", '"a"', "{", '{"a"}', "{'a':1}", '{"a":1,}', '{"a":1} x', " ",
     '{"a":"\\ud800"}', '{1:2}', '{"a":undefined}'],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(why, text: str) -> None:
    assert why(checked_text, text, "f") == (Reason.JSON_INVALID, "f")


def test_32_kib_are_bytes_of_the_canonical_text(why) -> None:
    room = 32 * 1_024 - len('{"a":""}')
    for longest in ("x" * room, "é" * (room // 2)):
        text = json.dumps({"a": longest}, ensure_ascii=False)
        assert len(canonical({"a": longest}).encode()) in (32 * 1_024, 32 * 1_024 - 1)

        assert checked_text(" " * 1_000 + text, "f")
        more = text.replace('""', '"').replace('"}', 'xx"}')
        assert why(checked_text, more, "f") == (Reason.PAYLOAD_TOO_LARGE, "f")


def test_a_text_of_white_space_beyond_all_measure_is_not_even_read(why) -> None:
    assert why(checked_text, "{" + " " * 200_000 + "}", "f") == (Reason.PAYLOAD_TOO_LARGE, "f")
