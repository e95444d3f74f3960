"""Changes on the wire: as previews, and as a stream."""

from google.protobuf import struct_pb2

from sameas import v1
from sameas_service.domain.changes import Change, LoggedChange
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.payload import Json
from sameas_service.domain.preview import Preview, TraitChange
from sameas_service.servicer.structs import struct_of


def preview_of(preview: Preview) -> v1.Preview:
    """Return what a call changes, on the wire."""
    return v1.Preview(
        changes=[change_of(change) for change in preview.changes],
        moved=[
            v1.MovedMessages(
                former_person_id=moved.former, person_id=moved.person_id, messages=moved.messages
            )
            for moved in preview.moved
        ],
        traits=[_trait_of(trait) for trait in preview.traits],
    )


def change_of(change: Change) -> v1.IdentityChange:
    """Return a change on the wire."""
    wire = v1.IdentityChange(
        kind=int(change.kind),  # type: ignore[arg-type]
        person_id=change.person_id,
        former_person_id=change.former,
    )
    if change.is_user:
        wire.user_id = change.name
    else:
        wire.anonymous_id = change.name
    return wire


def watched_of(logged: LoggedChange) -> v1.WatchedChange:
    """Return a change of the log, with where to go on after it."""
    return v1.WatchedChange(
        cursor=str(logged.cursor),
        change=change_of(logged.change),
        message_id=logged.message_id,
    )


def cursor_of(text: str) -> int:
    """Return a place in the log; the start for an empty text."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused(
            Reason.PAGE_TOKEN_INVALID, "cursor was not given by this call", field="cursor"
        )
    return int(text)


def _trait_of(trait: TraitChange) -> v1.TraitChange:
    wire = v1.TraitChange(person_id=trait.person_id, trait=trait.trait)
    if trait.former:
        wire.former_value.CopyFrom(_value_of(trait.former[0]))
    if trait.value:
        wire.value.CopyFrom(_value_of(trait.value[0]))
    return wire


def _value_of(value: Json) -> struct_pb2.Value:
    return struct_of({"value": value}).fields["value"]
