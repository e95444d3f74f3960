"""Operations: their order, their number, and those that are none."""

import json

import pytest

from sameas_service.domain.errors import Reason
from sameas_service.domain.kinds import Kind
from sameas_service.domain.operations import (
    ACTIONS,
    Operation,
    check_count,
    checked_operations,
    operations_of,
    parse_operations,
)

ONE_OF_EACH = {
    "remove": {"tags": "x"},
    "union": {"tags": ["a"]},
    "append": {"tags": "b"},
    "increment": {"n": -1.5},
    "unset": ["old"],
    "setOnce": {"source": "ad"},
    "set": {"plan": "pro"},
}


def test_operations_apply_in_the_order_of_the_protos_whatever_the_text() -> None:
    text = checked_operations(json.dumps(ONE_OF_EACH), "operations")

    found = parse_operations(Kind.PROFILE, text)

    assert found == [
        Operation("set", "plan", "pro"),
        Operation("set_once", "source", "ad"),
        Operation("unset", "old"),
        Operation("increment", "n", -1.5),
        Operation("append", "tags", "b"),
        Operation("union", "tags", ["a"]),
        Operation("remove", "tags", "x"),
    ]
    assert [operation.action for operation in found] == list(ACTIONS.values())


def test_within_one_operation_traits_go_by_name_and_unset_as_listed() -> None:
    text = checked_operations('{"set":{"b":1,"a":2},"unset":["z","y"]}', "operations")

    found = [operation.trait for operation in parse_operations(Kind.PROFILE, text)]

    assert found == ["a", "b", "z", "y"]


def test_traits_of_an_identify_are_each_a_set() -> None:
    found = parse_operations(Kind.IDENTIFY, '{"increment":{"n":1},"plan":null}')

    assert found == [Operation("set", "increment", {"n": 1}), Operation("set", "plan", None)]


@pytest.mark.parametrize("kind", [Kind.TRACK, Kind.PAGE, Kind.GROUP, Kind.ALIAS, Kind.MERGE])
def test_other_kinds_say_nothing_of_traits(message, kind: Kind) -> None:
    assert operations_of(message(kind, 0, user="u", payload='{"set":{"a":1}}')) == []


def test_a_thousand_operations_of_all_kinds_are_taken(why) -> None:
    body = {"set": dict.fromkeys(map(str, range(500)), 1), "unset": list(map(str, range(500)))}
    refusal = (Reason.OPERATIONS_TOO_MANY, "operations")

    assert checked_operations(json.dumps(body), "operations")
    body["increment"] = {"n": 1}
    assert why(checked_operations, json.dumps(body), "operations") == refusal
    check_count(1_000, "traits")
    assert why(check_count, 1_001, "traits") == (Reason.OPERATIONS_TOO_MANY, "traits")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "operations"),
        ("{}", "operations"),
        ('{"set":{}}', "operations"),
        ('{"set_once":{"a":1}}', "operations"),
        ('{"delete":["a"]}', "operations"),
        ('{"set":["a"]}', "operations.set"),
        ('{"set":null}', "operations.set"),
        ('{"unset":{"a":1}}', "operations.unset"),
        ('{"unset":"a"}', "operations.unset"),
        ('{"unset":[1]}', "operations.unset"),
        ('{"increment":{"a":"1"}}', "operations.increment"),
        ('{"increment":{"a":true}}', "operations.increment"),
        ('{"increment":{"a":null}}', "operations.increment"),
        ('{"union":{"a":"x"}}', "operations.union"),
        ('{"union":{"a":{"x":1}}}', "operations.union"),
    ],
)
def test_what_is_no_operation_is_refused(why, text: str, field: str) -> None:
    assert why(checked_operations, text, "operations") == (Reason.OPERATION_INVALID, field)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[]", Reason.JSON_INVALID), ('{"increment":{"a":1e999}}', Reason.NUMBER_NOT_FINITE)],
)
def test_operations_are_json_as_all_payloads(why, text: str, reason: Reason) -> None:
    assert why(checked_operations, text, "operations") == (reason, "operations")
