"""Persons' timelines, read page by page."""

from collections.abc import Sequence
from typing import NamedTuple

from sameas_service.domain.message import START, Message, Position
from sameas_service.resolver.facts import Filter, PersonKey, Workspace
from sameas_service.resolver.ports import ReadTransaction

EXAMINED_MAX = 10_000
"""Messages that one page looks at, most of which a filter may pass over."""

EVERY = Filter()
"""A filter that takes every message."""

_CHUNK_MIN = 200


class Page(NamedTuple):
    """Some messages in order of position, and where to go on: None at the end."""

    messages: Sequence[Message]
    next: Position | None


class PageQuery(NamedTuple):
    """One question for a page of a timeline, after a position."""

    key: PersonKey
    only: Filter
    after: Position | None
    limit: int


def page(transaction: ReadTransaction, workspace: Workspace, query: PageQuery) -> Page | None:
    """Return a page of a person's timeline; None where there is no such person."""
    (person,) = transaction.resolve(workspace, [query.key])
    if person is None:
        return None
    sources = transaction.sources(workspace, [person])[person]
    only, limit = query.only, query.limit
    found: list[Message] = []
    start = 0 if only.start_time is None else 2 * only.start_time
    position = query.after or Position(start, "")
    examined = 0
    while examined < EXAMINED_MAX:
        wanted = limit - len(found)
        size = wanted if not (only.kinds or only.events) else max(wanted, _CHUNK_MIN)
        chunk = transaction.page(workspace, sources, position, only, size)
        examined += chunk.examined
        found += chunk.messages
        if len(found) > limit or (len(found) == limit and chunk.examined == size):
            return Page(found[:limit], found[limit - 1].position)
        if chunk.examined < size or chunk.last is None:
            if not found and not transaction.page(workspace, sources, START, EVERY, 1).examined:
                return None
            return Page(found, None)
        position = chunk.last
    return Page(found, position)
