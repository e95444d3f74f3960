"""The past, and explanations: derived afresh from the messages that can matter.

Who a person is depends on few messages: those of the person's users, all that happened on
the devices these ever claimed, and the unlinks about them. So an answer costs as much as the
persons it is about have messages, whatever else the ledger holds.

An answer may take seconds, and a snapshot as long would keep the log from being copied back.
But the ledger only grows: its messages up to the last one there was at the beginning are the
same in every snapshot, so each statement has its own.
"""

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from sameas_service.domain.derive import Person, Rules, derive
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.explain.endpoints import (
    DeviceEndpoint,
    Endpoint,
    UserEndpoint,
    find,
    standing,
)
from sameas_service.domain.explain.explain import Explanation, explain
from sameas_service.domain.limits import ANONYMOUS_IDS_MAX
from sameas_service.domain.message import START, Message, Position
from sameas_service.domain.unlinks import in_force
from sameas_service.resolver.ports import Page, PersonKey, PersonView
from sameas_service.store.sqlite import ledger
from sameas_service.store.sqlite.connection import as_json, one
from sameas_service.store.sqlite.devices import FOREVER
from sameas_service.store.sqlite.ledger import JOINS, MESSAGE, message_of
from sameas_service.store.sqlite.reading import PageQuery
from sameas_service.store.sqlite.subject import Workspace

MESSAGES_MAX = 500_000
"""Messages that one answer may be derived from: some 2 GB while it is made."""

_CHUNK = 10_000

_ENDS = """
    WITH wanted AS (
        SELECT key AS k, value ->> 0 AS by, value ->> 1 AS id FROM json_each(?2)
    )
    SELECT json_group_array(json_array(k, user, device, start_at, start_id)) FROM (
        SELECT
            k, user.name AS user, NULL AS device, NULL AS start_at, NULL AS start_id
        FROM wanted JOIN user ON user.workspace = ?1 AND user.name = wanted.id
        WHERE by = 'user'
        UNION ALL
        SELECT k, NULL, device.name, NULL, NULL
        FROM wanted JOIN device ON device.workspace = ?1 AND device.name = wanted.id
        WHERE by = 'anonymous'
        UNION ALL
        SELECT k, user.name, device.name, person.start_at, person.start_id
        FROM wanted JOIN person ON person.person_id = wanted.id
        LEFT JOIN device ON device.id = person.device
        LEFT JOIN user ON user.id = person.user
        WHERE by = 'person' AND ifnull(device.workspace, user.workspace) = ?1
    )
"""
# CROSS JOIN has SQLite begin with what is asked for: left to itself it may begin with the
# ledger's links or claims, all of them. INDEXED BY makes it an error should an index be gone.
# The plus takes a column's type away, with which SQLite would not look into an index of an
# expression; and it keeps SQLite from taking the condition on `seq` for a range of the ledger.

# Users that any link ever joined to these, struck or not.
_LINKED = """
    WITH RECURSIVE kin(id) AS MATERIALIZED (
        SELECT id FROM user
        WHERE workspace = ?1 AND name IN (SELECT value FROM json_each(?2))
        UNION
        SELECT message.source
        FROM kin CROSS JOIN message INDEXED BY message_linked
            ON ifnull(message.user, message.struck) = +kin.id
        WHERE message.source IS NOT NULL AND message.received_at <= ?3 AND +message.seq <= ?4
        UNION
        SELECT ifnull(message.user, message.struck)
        FROM kin CROSS JOIN message INDEXED BY message_link ON message.source = kin.id
        WHERE message.source IS NOT NULL AND message.received_at <= ?3 AND +message.seq <= ?4
    )
"""
# And the devices that they ever claimed.
_KIN = f"""
    {_LINKED}
    SELECT json_array(
        (SELECT json_group_array(id) FROM kin),
        (
            SELECT json_group_array(DISTINCT message.device)
            FROM kin CROSS JOIN message INDEXED BY message_by_user ON message.user = kin.id
            WHERE message.device IS NOT NULL AND message.kind <> 7
                AND message.received_at <= ?3 AND +message.seq <= ?4
        )
    )
"""  # noqa: S608
_LINKS = f"""
    {_LINKED}
    SELECT json_group_array(seq)
    FROM kin CROSS JOIN message INDEXED BY message_linked
        ON ifnull(message.user, message.struck) = +kin.id
    WHERE message.source IS NOT NULL AND message.received_at <= ?3 AND +message.seq <= ?4
"""  # noqa: S608
_DEVICES = """
    SELECT json_group_array(id) FROM device
    WHERE workspace = ?1 AND name IN (SELECT value FROM json_each(?2))
"""
# A reset that names a user is in no index by device, but starts a row of spans.
_SEQS = """
    SELECT json_group_array(seq) FROM (
        SELECT seq FROM json_each(?2) CROSS JOIN message ON message.user = value
        WHERE received_at <= ?4 AND +message.seq <= ?6
        UNION
        SELECT seq FROM json_each(?2)
        CROSS JOIN message ON ifnull(message.user, message.struck) = value
        WHERE source IS NOT NULL AND received_at <= ?4 AND +message.seq <= ?6
        UNION
        SELECT seq FROM json_each(?3) CROSS JOIN message ON message.device = value
        WHERE user IS NULL AND received_at <= ?4 AND +message.seq <= ?6
        UNION
        SELECT seq FROM json_each(?3) CROSS JOIN message ON message.device = value
        WHERE user IS NOT NULL AND kind <> 7 AND received_at <= ?4 AND +message.seq <= ?6
        UNION
        SELECT seq FROM json_each(?3) CROSS JOIN span ON span.device = value
        CROSS JOIN message ON message.workspace = ?1
            AND message.message_id = substr(start_id, 1, length(start_id) - 1)
        WHERE substr(start_id, -1) = char(1) AND received_at <= ?4 AND +message.seq <= ?6
        LIMIT ?5
    )
"""
_MESSAGES = f"""
    SELECT json_group_array({MESSAGE})
    FROM json_each(?1) CROSS JOIN message ON message.seq = value {JOINS}
"""  # noqa: S608
_UNLINKS = """
    SELECT json_group_array(message_id) FROM unlink
    WHERE workspace = ?1 AND user IN (SELECT value FROM json_each(?2)) AND (
        SELECT seq FROM message
        WHERE message.workspace = ?1 AND message.message_id = unlink.message_id
    ) <= ?3
"""


class Past:
    """What the ledger held of some users and devices at a time; None for now."""

    def __init__(
        self, connection: sqlite3.Connection, workspace: Workspace, as_of: int | None, last: int
    ) -> None:
        """Begins with nothing; `last` is the ledger's last message that counts."""
        self._connection = connection
        self._workspace = workspace
        self._upto = FOREVER.at if as_of is None else as_of
        self._last = last
        self._messages: dict[int, Message] = {}
        self._unlinks: dict[str, Message] = {}

    @property
    def messages(self) -> list[Message]:
        """What was found so far, unlinks included."""
        return [*self._messages.values(), *self._unlinks.values()]

    def add(self, end: Endpoint, session_gap: int) -> None:
        """Adds all that can matter to an end's person."""
        if isinstance(end, UserEndpoint):
            self._add_users([end.user])
            return
        ids = one(self._connection, _DEVICES, self._workspace.id, as_json([end.device]))
        self._add([], ids)
        place = standing(end, in_force(self.messages), session_gap)
        if place is not None and place.span is not None:
            self._add_users([place.span.owner])

    def add_links_on(self, devices: Collection[str]) -> None:
        """Adds the links of all who ever claimed these devices: were the claims of one user
        dropped, the device would be the next one's.
        """
        found = self._messages.values()
        names = {m.user for m in found if m.is_claim and m.device in devices}
        self._add_messages(self._of_users(_LINKS, names))

    def _add_users(self, names: Collection[str]) -> None:
        self._add(*self._of_users(_KIN, names))

    def _of_users(self, sql: str, names: Collection[str | None]) -> Any:
        named = as_json(list(names))
        return one(self._connection, sql, self._workspace.id, named, self._upto, self._last)

    def _add(self, users: Collection[int], devices: Collection[int]) -> None:
        wanted = (as_json(users), as_json(devices), self._upto, MESSAGES_MAX + 1, self._last)
        self._add_messages(one(self._connection, _SEQS, self._workspace.id, *wanted))

    def _add_messages(self, seqs: Sequence[int]) -> None:
        if len(seqs) > MESSAGES_MAX:
            raise Refused(
                Reason.OVERLOADED,
                f"this answer depends on more than {MESSAGES_MAX} messages, too many to derive "
                "it afresh",
                metadata={"max_messages": str(MESSAGES_MAX)},
            )
        new = [seq for seq in seqs if seq not in self._messages]
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            rows = one(self._connection, _MESSAGES, as_json(chunk))
            self._messages.update(zip(chunk, map(message_of, rows), strict=True))
        self._add_unlinks()

    def _add_unlinks(self) -> None:
        """An unlink can strike only what names its user, as the user or as the source."""
        found = self._messages.values()
        names = {m.user for m in found} | {m.source for m in found}
        named = as_json([name for name in names if name is not None])
        ids = one(self._connection, _UNLINKS, self._workspace.id, named, self._last)
        new = [message_id for message_id in ids if message_id not in self._unlinks]
        for unlink, _ in ledger.by_id(self._connection, self._workspace.id, new) if new else ():
            if unlink.received_at <= self._upto:
                self._unlinks[unlink.message_id] = unlink


def persons(
    connection: sqlite3.Connection, workspace: Workspace, keys: Sequence[PersonKey], as_of: int
) -> list[PersonView | None]:
    """The person of each key as of a time; None where no message had named it."""
    views: dict[Endpoint, PersonView | None] = {}
    last = ledger.last_seq(connection)
    ends = _ends(connection, workspace, keys)
    for end in ends:
        if end is not None and end not in views:
            person = _person(Past(connection, workspace, as_of, last), end, workspace)
            views[end] = None if person is None else _view(person)
    return [None if end is None else views[end] for end in ends]


def messages(
    connection: sqlite3.Connection,
    workspace: Workspace,
    query: PageQuery,
    as_of: int,
) -> Page | None:
    """A page of a person's timeline as of a time; None where there was no such person."""
    past = Past(connection, workspace, as_of, ledger.last_seq(connection))
    (end,) = _ends(connection, workspace, [query.key])
    if end is None:
        return None
    person = _person(past, end, workspace)
    if person is None:
        return None
    # As they came: a claim that was struck is shown with its device.
    whole = {message.message_id: message for message in past.messages}
    behind = query.behind or START
    found = [
        whole[message.message_id]
        for message in person.messages
        if message.position > behind and query.only.takes(message)
    ]
    page = found[: query.limit]
    return Page(page, page[-1].position if len(found) > query.limit else None)


def explanation(
    connection: sqlite3.Connection,
    workspace: Workspace,
    first: PersonKey,
    second: PersonKey,
    as_of: int | None,
) -> Explanation:
    """Why two keys are one person, or why not, as of a time; None for now."""
    past = Past(connection, workspace, as_of, ledger.last_seq(connection))
    one_end, other_end = _ends(connection, workspace, [first, second])
    for end in (one_end, other_end):
        if end is not None:
            past.add(end, workspace.session_gap)
    if isinstance(one_end, DeviceEndpoint) and isinstance(other_end, DeviceEndpoint):
        past.add_links_on({one_end.device, other_end.device})
    return explain(past.messages, one_end, other_end, _rules(workspace))


def _person(past: Past, end: Endpoint, workspace: Workspace) -> Person | None:
    past.add(end, workspace.session_gap)
    rules = _rules(workspace)
    return find(derive(past.messages, rules), end, rules)


def _rules(workspace: Workspace) -> Rules:
    return Rules(workspace.name, workspace.session_gap)


def _ends(
    connection: sqlite3.Connection, workspace: Workspace, keys: Sequence[PersonKey]
) -> list[Endpoint | None]:
    """What each key names; None where nothing ever was called so."""
    # SQLite cuts a JSON text off at NUL, and would find another id; no id has one.
    wanted = [("", "") if "\x00" in key.value else tuple(key) for key in keys]
    found: dict[int, Endpoint] = {}
    for row in one(connection, _ENDS, workspace.id, as_json(wanted)):
        found[row[0]] = _end(*row[1:])
    return [found.get(index) for index in range(len(keys))]


def _end(user: str | None, device: str, start_at: int | None, start_id: Any) -> Endpoint:
    if user is not None:
        return UserEndpoint(user)
    return DeviceEndpoint(device, None if start_at is None else Position(start_at, start_id))


def _view(person: Person) -> PersonView:
    anonymous_ids = sorted({span.device for span in person.spans})
    if not person.users:
        anonymous_ids = [device for m in person.messages if (device := m.device)][:1]
    times = [message.event_time for message in person.messages]
    return PersonView(
        person.person_id,
        person.users,
        anonymous_ids[:ANONYMOUS_IDS_MAX],
        len(anonymous_ids) > ANONYMOUS_IDS_MAX,
        min(times),
        max(times),
        person.traits,
    )
