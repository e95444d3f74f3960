"""Calls that lie exactly at a limit, which are taken, and ids that look bad and are not."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from support.bad_calls import (
    EVENTS,
    EXACT,
    KIB,
    NAMES,
    OBJECTS,
    identify,
    many,
    nested,
    object_of_bytes,
    operations_of_bytes,
    struct,
    text_of_bytes,
    track,
    update,
    update_json,
)


def _names() -> list[tuple[str, Any]]:
    return [
        (f"{field} of {type(fill('x')).__name__} of 256 bytes of {character}",
         fill(text_of_bytes(256, character)))
        for field, fill in [*NAMES, *EVENTS]
        for character in ("é", "😀", "x")
    ]  # fmt: skip


def _objects() -> list[tuple[str, Any]]:
    return [
        (f"{what} {how}", fill(value))
        for what, fill, _ in OBJECTS
        for how, value in {
            "of 32 KiB": object_of_bytes(32 * KIB),
            "of depth 16": nested(16),
            "of lists of depth 16": nested(16, lists=True),
            "with 2^53": {"a": [EXACT, -EXACT]},
        }.items()
    ]


AT_THE_LIMIT: list[tuple[str, Any]] = [
    *_names(),
    *_objects(),
    ("JSON text of 32 KiB and as much white space", track(
        properties_json=' {"a": "' + "x" * (32 * KIB - 8) + '"}' + " " * 32 * KIB)),
    ("operations of depth 16", update_json({"set": nested(15)})),
    ("operations of depth 16 as a message", update(
        operations=v1.ProfileOperations(set=struct(nested(15))))),
    ("operations of 32 KiB as a message", update(
        operations=v1.ProfileOperations(set=struct(operations_of_bytes(32 * KIB)["set"])))),
    ("1,000 operations", update_json({"unset": [*many(500)], "increment": many(500)})),
    ("1,000 operations as a message", update(operations=v1.ProfileOperations(
        unset=[*many(500)], increment=many(500)))),
    ("1,000 traits", identify(traits=struct(many(1_000)))),
    ("an increment by 2^53", update(operations=v1.ProfileOperations(increment={"a": EXACT}))),
    ("a track at the start of 2000", track(timestamp=Timestamp(seconds=946_684_800))),
    ("a track far ahead", track(timestamp=Timestamp(seconds=253_402_300_799))),
    ("a track at the last microsecond of a Timestamp", track(
        timestamp=Timestamp(seconds=253_402_300_799, nanos=999_999_999))),
    ("a page without a name", track(event="", kind=v1.MessageKind.MESSAGE_KIND_PAGE)),
    ("a screen without a name", track(event="", kind=v1.MessageKind.MESSAGE_KIND_SCREEN)),
]  # fmt: skip
