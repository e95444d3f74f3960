"""Structs to JSON values and back. JSON text is ten times cheaper; this is for people."""

from typing import Any

from google.protobuf import struct_pb2

from sameas_service.domain import payload
from sameas_service.domain.limits import PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX
from sameas_service.domain.payload import Json

STRUCT_BYTES_MAX = 16 * PAYLOAD_BYTES_MAX
"""A Struct is up to some ten times larger than its JSON; more is not worth walking."""


def text_of(struct: struct_pb2.Struct, field: str) -> str:
    """Return a Struct as JSON text, for the checks that JSON text gets.

    Raises:
        Refused: `PAYLOAD_TOO_LARGE`, `PAYLOAD_TOO_DEEP` or `NUMBER_NOT_FINITE`.
    """
    return payload.canonical(payload.normalised(value_of(struct, field), field))


def value_of(struct: struct_pb2.Struct, field: str) -> dict[str, Json]:
    """Return a Struct as a value. Its numbers are all doubles; whole ones become integers later."""
    if struct.ByteSize() > STRUCT_BYTES_MAX:
        raise payload.too_large(field)
    return _object(struct, field, 1)


def struct_of(value: dict[str, Json]) -> struct_pb2.Struct:
    """Return an object as a Struct."""
    struct = struct_pb2.Struct()
    struct.update(value)
    return struct


def _object(struct: struct_pb2.Struct, field: str, depth: int) -> dict[str, Json]:
    _check_depth(field, depth)
    return {key: _value(item, field, depth + 1) for key, item in struct.fields.items()}


def _value(value: struct_pb2.Value, field: str, depth: int) -> Json:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _object(value.struct_value, field, depth)
        case "list_value":
            return _list(value.list_value, field, depth)
        case None | "null_value":
            return None
        case kind:
            plain: Any = getattr(value, kind)
            return plain


def _list(value: struct_pb2.ListValue, field: str, depth: int) -> Json:
    _check_depth(field, depth)
    return [_value(item, field, depth + 1) for item in value.values]


def _check_depth(field: str, depth: int) -> None:
    if depth > PAYLOAD_DEPTH_MAX:
        raise payload.too_deep(field)
