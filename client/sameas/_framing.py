"""A message as it is in a batch, framed by hand.

Fields on the wire are a tag, a length and bytes, and a repeated field is its elements one after
the other. So a batch is its messages' bytes joined; to copy each into an `IngestItem`, and that
into an `IngestRequest`, would cost three times as much in the thread of the caller.
"""

from google.protobuf.descriptor import FieldDescriptor

from sameas import v1
from sameas._calls import WriteRequest

_LENGTH_DELIMITED = 2


def framed(request: WriteRequest) -> bytes:
    """Return the bytes of an `IngestRequest` of this message; joined, of one with them all."""
    call = _field(_CALL_TAGS[type(request)], request.SerializeToString())
    return _field(_ITEMS_TAG, call)


def item_of(body: bytes) -> v1.IngestItem:
    """Return the item that was framed."""
    (item,) = v1.IngestRequest.FromString(body).items
    return item


def _tag(field: FieldDescriptor) -> bytes:
    # One byte holds it, as long as the field's number is below 16.
    return bytes((field.number << 3 | _LENGTH_DELIMITED,))


_ITEMS_TAG = _tag(v1.IngestRequest.DESCRIPTOR.fields_by_name["items"])
_CALLS = v1.IngestItem.DESCRIPTOR.fields_by_name
_CALL_TAGS = {
    v1.IdentifyRequest: _tag(_CALLS["identify"]),
    v1.AliasRequest: _tag(_CALLS["alias"]),
    v1.TrackRequest: _tag(_CALLS["track"]),
    v1.ResetRequest: _tag(_CALLS["reset"]),
    v1.UpdateProfileRequest: _tag(_CALLS["update_profile"]),
}


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    return bytes((value & 0x7F | 0x80,)) + _varint(value >> 7)
