"""The log of changes as a consumer reads it, and what it makes of it."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from sameas import v1
from support.api import SECONDS, Api

Names = dict[tuple[str, str], str]
"""The person of each id, by (`user_id` or `anonymous_id`, the id)."""


def watched(api: Api, cursor: str = "") -> list[v1.WatchedChange]:
    """Every change behind a cursor, up to the present."""
    request = v1.WatchChangesRequest(cursor=cursor, until_present=True)
    responses = api.persons.WatchChanges(request, timeout=SECONDS)
    return [change for response in responses for change in response.changes]


def last_cursor(api: Api) -> str:
    """The cursor of the present."""
    log = watched(api)
    return log[-1].cursor if log else ""


def name_of(change: v1.IdentityChange) -> tuple[str, str]:
    """Which id a change is about."""
    field = change.WhichOneof("id")
    return field, getattr(change, field)


def replayed(changes: Iterable[v1.IdentityChange]) -> Names:
    """The map that a consumer ends with, each change following from what it knew."""
    people: Names = {}
    for change in changes:
        name = name_of(change)
        assert change.former_person_id == people.get(name, ""), f"{change} does not follow"
        if change.kind == v1.ChangeKind.CHANGE_KIND_GONE:
            del people[name]
        else:
            people[name] = change.person_id
    return people


def everything(data: Path) -> list[str]:
    """All that a server's database holds, while it runs."""
    reader = sqlite3.connect(f"file:{data / 'sameas.db'}?mode=ro", uri=True)
    try:
        return list(reader.iterdump())
    finally:
        reader.close()
