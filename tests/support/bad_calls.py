"""Calls that must be refused, with the reason and the field, and their neighbours at the limit.

Each bad call also names people who are there already, so that a call that is half applied
shows in what is read of them.
"""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1

MARK = "zq7mark"
"""Stands in every bad value that can hold a text; no sentence may repeat it."""

USER, DEVICE = "kept-user", "kept-device"
OTHER_USER, OTHER_DEVICE = "kept-other-user", "kept-other-device"
NEWCOMER = "newcomer"

KIB = 1_024
EXACT = 2**53


class Bad(NamedTuple):
    """A call that must be refused."""

    name: str
    request: Any
    reason: str
    field: str


def track(**fields: Any) -> v1.TrackRequest:
    """A claim of somebody's device by somebody else, which would show if it were kept."""
    fields = {"anonymous_id": OTHER_DEVICE, "user_id": USER, "event": "e"} | fields
    return v1.TrackRequest(**fields)


def identify(**fields: Any) -> v1.IdentifyRequest:
    return v1.IdentifyRequest(**{"anonymous_id": OTHER_DEVICE, "user_id": USER} | fields)


def alias(**fields: Any) -> v1.AliasRequest:
    return v1.AliasRequest(**{"user_id": USER, "previous_user_id": OTHER_USER} | fields)


def reset(**fields: Any) -> v1.ResetRequest:
    return v1.ResetRequest(**{"anonymous_id": DEVICE} | fields)


def update(**fields: Any) -> v1.UpdateProfileRequest:
    return v1.UpdateProfileRequest(**{"user_id": USER} | fields)


def update_json(operations: Any) -> v1.UpdateProfileRequest:
    return update(operations_json=json.dumps(operations))


def struct(value: dict[str, Any]) -> Struct:
    result = Struct()
    result.update(value)
    return result


def text_of_bytes(size: int, character: str = "é") -> str:
    """A text of so many bytes of UTF-8, of characters that take more than one."""
    width = len(character.encode())
    return character * (size // width) + "x" * (size % width)


def object_of_bytes(size: int) -> dict[str, str]:
    """An object whose canonical JSON has so many bytes."""
    return {"a": text_of_bytes(size - len('{"a":""}'))}


def nested(depth: int, *, lists: bool = False) -> dict[str, Any]:
    """An object of so many levels, itself included."""
    value: Any = [] if lists else {}
    for _ in range(depth - 2):
        value = [value] if lists else {"a": value}
    return {"a": value}


def operations_of_bytes(size: int) -> dict[str, Any]:
    return {"set": object_of_bytes(size - len('{"set":}'))}


def many(count: int) -> dict[str, int]:
    return {f"t{index}": 1 for index in range(count)}


def _texts(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# The fields that hold an object, each in both forms: how to fill it, and its name.
OBJECTS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("properties as a Struct", lambda o: track(properties=struct(o)), "properties"),
    ("properties as JSON", lambda o: track(properties_json=_texts(o)), "properties"),
    ("traits as a Struct", lambda o: identify(traits=struct(o)), "traits"),
    ("traits as JSON", lambda o: identify(traits_json=_texts(o)), "traits"),
    ("track's context as a Struct", lambda o: track(context=struct(o)), "context"),
    ("track's context as JSON", lambda o: track(context_json=_texts(o)), "context"),
    ("reset's context as JSON", lambda o: reset(context_json=_texts(o)), "context"),
    ("alias's context as JSON", lambda o: alias(context_json=_texts(o)), "context"),
    ("update's context as a Struct",
     lambda o: update(context=struct(o), operations_json='{"unset":["a"]}'), "context"),
]  # fmt: skip

# The fields that hold an id, each with a way to fill it.
IDS: list[tuple[str, Callable[[str], Any]]] = [
    ("user_id", lambda i: track(user_id=i)),
    ("anonymous_id", lambda i: track(anonymous_id=i)),
    ("user_id", lambda i: alias(user_id=i)),
    ("anonymous_id", lambda i: alias(anonymous_id=i)),
    ("previous_user_id", lambda i: alias(previous_user_id=i)),
    ("previous_anonymous_id", lambda i: alias(previous_anonymous_id=i)),
    ("anonymous_id", lambda i: reset(anonymous_id=i)),
    ("user_id", lambda i: reset(user_id=i)),
    ("user_id", lambda i: identify(user_id=i)),
    ("user_id", lambda i: update(user_id=i, operations_json='{"unset":["a"]}')),
]
NAMES = [*IDS, ("message_id", lambda i: track(message_id=i))]
EVENTS = [("event", lambda e: track(event=e))]

CONTROLS = ["\x00", "\t", "\n", "\x1f", "\x7f", "\x80", "\x9f"]


def _names() -> list[Bad]:
    cases = []
    for field, fill in [*NAMES, *EVENTS]:
        what = f"{field} of {type(fill('x')).__name__}"
        too_long = "EVENT_TOO_LONG" if field == "event" else "ID_TOO_LONG"
        long = MARK + text_of_bytes(257 - len(MARK))
        cases.append(Bad(f"{what} of 257 bytes", fill(long), too_long, field))
        cases.append(
            Bad(f"{what} of 257 bytes of emoji", fill(text_of_bytes(257, "😀")), too_long, field)
        )
        cases += [
            Bad(f"{what} with {control!r}", fill(MARK + control), "CONTROL_CHARACTER", field)
            for control in CONTROLS
        ]
    return cases


def _objects() -> list[Bad]:
    cases = []
    for what, fill, field in OBJECTS:
        big = {MARK: 1} | object_of_bytes(32 * KIB + 1 - len(f'"{MARK}":1,'))
        cases += [
            Bad(f"{what} a byte too large", fill(big), "PAYLOAD_TOO_LARGE", field),
            Bad(f"{what} of depth 17", fill(nested(17)), "PAYLOAD_TOO_DEEP", field),
            Bad(f"{what}, lists of depth 17", fill(nested(17, lists=True)),
                "PAYLOAD_TOO_DEEP", field),
            Bad(f"{what} beyond 2^53", fill({"a": [{"b": EXACT + 2}]}),
                "INTEGER_TOO_LARGE", field),
            Bad(f"{what} beyond -2^53", fill({"a": -EXACT - 2}), "INTEGER_TOO_LARGE", field),
            Bad(f"{what} with 1e300", fill({"a": 1e300}), "INTEGER_TOO_LARGE", field),
            Bad(f"{what} with NaN", fill({"a": math.nan}), "NUMBER_NOT_FINITE", field),
            Bad(f"{what} with an infinity", fill({"a": [-math.inf]}),
                "NUMBER_NOT_FINITE", field),
        ]  # fmt: skip
    return cases


_NOT_JSON = {
    "no JSON": MARK,
    "a list": f'["{MARK}"]',
    "a text": f'"{MARK}"',
    "null": "null",
    "cut off": f'{{"{MARK}":1',
    "followed by more": f'{{"{MARK}":1}} x',
    "white space alone": "  ",
    "half a surrogate pair": f'{{"{MARK}":"\\ud800"}}',
    "many brackets and a comma too many": f'{{"{MARK}":[{"{},[]," * 20}]}}',
}


def _texts_of_json() -> list[Bad]:
    fields = [
        ("properties", lambda t: track(properties_json=t)),
        ("traits", lambda t: identify(traits_json=t)),
        ("context", lambda t: track(context_json=t)),
        ("operations", lambda t: update(operations_json=t)),
    ]
    cases = [
        Bad(f"{field} as JSON that is {what}", fill(text), "JSON_INVALID", field)
        for field, fill in fields
        for what, text in _NOT_JSON.items()
    ]
    for field, fill in fields:
        cases += [
            Bad(f"{field} of depth 50,000", fill("[" * 50_000), "PAYLOAD_TOO_DEEP", field),
            Bad(f"{field} of 2^53 + 1", fill(f'{{"set":{{"a":{EXACT + 1}}}}}'),
                "INTEGER_TOO_LARGE", field),
            Bad(f"{field} of 10^30", fill('{"set":{"a":1' + "0" * 30 + "}}"),
                "INTEGER_TOO_LARGE", field),
            Bad(f"{field} of 1e400", fill('{"set":{"a":[1,-1e400]}}'), "NUMBER_NOT_FINITE", field),
            Bad(f"{field} of 10^400", fill('{"set":{"a":1' + "0" * 400 + "}}"),
                "NUMBER_NOT_FINITE", field),
            Bad(f"{field}, JSON text beyond what is read", fill("{}" + " " * 200_000),
                "PAYLOAD_TOO_LARGE", field),
        ]  # fmt: skip
    return cases


def _operations() -> list[Bad]:
    ops = v1.ProfileOperations
    invalid = "OPERATION_INVALID"
    return [
        Bad("no operations", update(), invalid, "operations"),
        Bad("operations without any", update(operations=ops()), invalid, "operations"),
        Bad("an empty set", update_json({"set": {}}), invalid, "operations"),
        Bad("an unknown operation", update_json({MARK: {"a": 1}}), invalid, "operations"),
        Bad("a set_once in proto's words", update_json({"set_once": {"a": 1}}), invalid,
            "operations"),
        Bad("a set of a text", update_json({"set": MARK}), invalid, "operations.set"),
        Bad("an unset of an object", update_json({"unset": {MARK: 1}}), invalid,
            "operations.unset"),
        Bad("an unset of a number", update_json({"unset": [1]}), invalid, "operations.unset"),
        Bad("an increment by a text", update_json({"increment": {"a": MARK}}), invalid,
            "operations.increment"),
        Bad("an increment by true", update_json({"increment": {"a": True}}), invalid,
            "operations.increment"),
        Bad("a union with a text", update_json({"union": {"a": MARK}}), invalid,
            "operations.union"),
        Bad("a union with a text as a Struct", update(operations=ops(union=struct({"a": MARK}))),
            invalid, "operations.union"),
        Bad("an increment by NaN", update(operations=ops(increment={"a": math.nan})),
            "NUMBER_NOT_FINITE", "operations"),
        Bad("an increment by an infinity", update(operations=ops(increment={"a": math.inf})),
            "NUMBER_NOT_FINITE", "operations"),
        Bad("an increment beyond 2^53", update(operations=ops(increment={"a": EXACT + 2})),
            "INTEGER_TOO_LARGE", "operations"),
        Bad("an increment by NaN as JSON", update_json({"increment": {"a": math.nan}}),
            "NUMBER_NOT_FINITE", "operations"),
        Bad("a set of NaN as a Struct", update(operations=ops(set=struct({"a": math.nan}))),
            "NUMBER_NOT_FINITE", "operations"),
        Bad("operations of depth 17", update_json({"set": nested(16)}), "PAYLOAD_TOO_DEEP",
            "operations"),
        Bad("operations of depth 17 as a message", update(operations=ops(set=struct(nested(16)))),
            "PAYLOAD_TOO_DEEP", "operations"),
        Bad("operations a byte too large", update(operations_json=_texts(
            operations_of_bytes(32 * KIB + 1))), "PAYLOAD_TOO_LARGE", "operations"),
        Bad("operations a byte too large as a message", update(operations=ops(
            set=struct(operations_of_bytes(32 * KIB + 1)["set"]))), "PAYLOAD_TOO_LARGE",
            "operations"),
        Bad("1,001 operations", update_json({"unset": [*many(500)], "increment": many(501)}),
            "OPERATIONS_TOO_MANY", "operations"),
        Bad("1,001 operations as a message", update(operations=ops(
            unset=[*many(500)], increment=many(501))), "OPERATIONS_TOO_MANY", "operations"),
        Bad("1,001 traits", identify(traits_json=_texts(many(1_001))), "OPERATIONS_TOO_MANY",
            "traits"),
        Bad("1,001 traits as a Struct", identify(traits=struct(many(1_001))),
            "OPERATIONS_TOO_MANY", "traits"),
    ]  # fmt: skip


def _ids_and_kinds() -> list[Bad]:
    kind = v1.MessageKind
    return [
        Bad("a track without an id", v1.TrackRequest(event="e"), "ID_REQUIRED", "user_id"),
        Bad("an identify without an id", v1.IdentifyRequest(), "ID_REQUIRED", "user_id"),
        Bad("an update without an id", v1.UpdateProfileRequest(
            operations_json='{"unset":["a"]}'), "ID_REQUIRED", "user_id"),
        Bad("a reset without a device", v1.ResetRequest(user_id=USER), "ID_REQUIRED",
            "anonymous_id"),
        Bad("an alias without a user", v1.AliasRequest(previous_user_id=USER), "ID_REQUIRED",
            "user_id"),
        Bad("an alias without a source", v1.AliasRequest(user_id=USER, anonymous_id=OTHER_DEVICE),
            "ID_REQUIRED", "previous_anonymous_id"),
        Bad("an alias with an empty source", alias(previous_user_id=""), "ID_REQUIRED",
            "previous_anonymous_id"),
        Bad("a track without a name", track(event=""), "EVENT_REQUIRED", "event"),
        Bad("a group without an id", track(event="", kind=kind.MESSAGE_KIND_GROUP),
            "EVENT_REQUIRED", "event"),
        *(
            Bad(f"a track of kind {wrong}", track(kind=wrong), "KIND_INVALID", "kind")
            for wrong in (1, 2, 7, 8, 9, 10, 11, -1, 2**31 - 1)
        ),
    ]  # fmt: skip


def _times() -> list[Bad]:
    wrong = {
        "before 2000": Timestamp(seconds=946_684_799, nanos=999_999_999),
        "at zero": Timestamp(),
        "behind the year 9999": Timestamp(seconds=253_402_300_800),
        "before the year 1": Timestamp(seconds=-62_135_596_801),
        "of 2^63 - 1 seconds": Timestamp(seconds=2**63 - 1),
        "with negative nanos": Timestamp(seconds=1_700_000_000, nanos=-1),
        "with a second of nanos": Timestamp(seconds=1_700_000_000, nanos=10**9),
    }
    cases = [
        Bad(f"a {what} {how}", fill(timestamp=time), "TIMESTAMP_INVALID", "timestamp")
        for how, time in wrong.items()
        for what, fill in (("track", track), ("reset", reset), ("alias", alias))
    ]
    cases += [
        Bad(f"a track sent {how}", track(sent_at=time), "TIMESTAMP_INVALID", "sent_at")
        for how, time in list(wrong.items())[2:]
    ]
    far, early = Timestamp(seconds=4_000_000_000), Timestamp(seconds=946_684_900)
    corrected = track(timestamp=early, sent_at=far)
    cases.append(Bad("a track before 2000 once corrected", corrected, "TIMESTAMP_INVALID",
                     "timestamp"))  # fmt: skip
    return cases


BAD_CALLS = [
    *_names(), *_objects(), *_texts_of_json(), *_operations(), *_ids_and_kinds(), *_times(),
]  # fmt: skip
