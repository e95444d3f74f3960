"""Everybody, as a store's derived tables have it, asked through the port: what `derive` gives."""

from typing import Any

from sameas_service.domain.message import START, Position
from sameas_service.resolver.facts import (
    AnonymousSegment,
    CanonicalUser,
    Filter,
    PersonKey,
    PersonRef,
    Workspace,
    person_id_of,
)
from sameas_service.resolver.ports import LedgerReader, ReadTransaction, Store, WriteTransaction
from sameas_service.resolver.read.persons import persons as views_of
from sameas_service.resolver.read.timeline import PageQuery, page

EVERY = Filter()
PIECE = 10_000
BEFORE_ALL = Position(-(2**62), "")


def dump(store: Store, workspace: Workspace) -> dict[str, Any]:
    """Persons with user ids, spans, message ids and traits; and who each id is."""
    users, devices = store.scan(lambda reader: _ids(reader, workspace))
    spans = store.write(
        lambda transaction: _spans(transaction, workspace, [row[:2] for row in devices]),
        keep=False,
    )
    return store.read(lambda transaction: _dump(transaction, workspace, users, devices, spans))


def _ids(reader: LedgerReader, workspace: Workspace) -> tuple[list[Any], list[Any]]:
    """All named users, and all devices that have messages."""
    users = _all(reader.users_after, workspace)
    return users, _all(reader.devices_after, workspace)


def _all(read: Any, workspace: Workspace) -> list[Any]:
    found: list[Any] = []
    while piece := read(workspace, found[-1][0] if found else 0, PIECE):
        found += piece
    return found


def _spans(
    transaction: WriteTransaction, workspace: Workspace, devices: list[tuple[int, str]]
) -> list[list[Any]]:
    rows = [
        (name, span) for device, name in devices for span in transaction.spans_of(workspace, device)
    ]
    owners = {span.owner for _, span in rows if span.owner is not None}
    names = {user.id: user.name for user in transaction.users(workspace, list(owners))}
    return [[name, *span.start, names[span.owner]] for name, span in rows if span.owner is not None]


def _dump(
    transaction: ReadTransaction, workspace: Workspace, users: Any, devices: Any, spans: Any
) -> dict[str, Any]:
    user_ids = _resolved(transaction, workspace, "user", [name for _, name, _ in users])
    anonymous_ids = _resolved(transaction, workspace, "anonymous", [row[1] for row in devices])
    known = list({*user_ids.values(), *anonymous_ids.values(), *_segments(devices)})
    people = {}
    for person in known:
        found = _person(transaction, workspace, person)
        if found is not None:
            people[person_id_of(person, workspace)] = found
    names = {name: person_id_of(person, workspace) for name, person in user_ids.items()}
    for device, at, start_id, owner in sorted(spans):
        people[names[owner]]["spans"].append([device, at, start_id, owner])
    return {
        "people": people,
        "user_ids": names,
        "anonymous_ids": {
            name: person_id_of(person, workspace) for name, person in anonymous_ids.items()
        },
    }


def _resolved(
    transaction: ReadTransaction, workspace: Workspace, by: str, names: list[str]
) -> dict[str, PersonRef]:
    found = transaction.resolve(workspace, [PersonKey(by, name) for name in names])
    return {name: person for name, person in zip(names, found, strict=True) if person is not None}


def _segments(devices: Any) -> list[AnonymousSegment]:
    """All segments that nobody owns, with messages or without."""
    found = []
    for device, name, _, spans in devices:
        starts = [start for start, owner in spans if owner is None]
        if not spans or spans[0][0] != START:
            starts.append(START)
        found += [AnonymousSegment(device, name, start) for start in starts]
    return found


def _person(
    transaction: ReadTransaction, workspace: Workspace, person: PersonRef
) -> dict[str, Any] | None:
    messages = _messages(transaction, workspace, person)
    if not messages:
        return None
    facts = transaction.person_facts(workspace, [person])
    assert facts.seen[person] == (messages[0].position.at, messages[-1].position.at)
    key = PersonKey("person", person_id_of(person, workspace))
    (view,) = views_of(transaction, workspace, [key])
    assert view is not None, key
    assert view.person_id == key.value
    return {
        "users": list(view.user_ids) if isinstance(person, CanonicalUser) else [],
        "spans": [],
        "messages": [message.message_id for message in messages],
        "traits": view.traits,
    }


def _messages(transaction: ReadTransaction, workspace: Workspace, person: PersonRef) -> list[Any]:
    key = PersonKey("person", person_id_of(person, workspace))
    found: list[Any] = []
    after: Position | None = BEFORE_ALL
    while after is not None:
        chunk = page(transaction, workspace, PageQuery(key, EVERY, after, PIECE))
        if chunk is None:
            return found
        found += chunk.messages
        after = chunk.next
    return found
