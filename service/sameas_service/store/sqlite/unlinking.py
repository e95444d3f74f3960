"""Unlinks: which claims and links do not count, and what parts where one more is taken back.

A struck claim counts as if it had been sent without its anonymous id, a struck link not at
all. The rows of spans alone are touched, never the pair's claims, however many there are.
"""

import sqlite3
from collections.abc import Collection, Iterable

from sameas_service.domain.changes import ChangeKind
from sameas_service.domain.device import Device, Row
from sameas_service.domain.device_timeline import strike
from sameas_service.domain.message import Message, Position, position_of
from sameas_service.domain.receipt import Outcome
from sameas_service.domain.unlinks import Pair, is_struck, pair_of, users_pair
from sameas_service.store.sqlite import devices
from sameas_service.store.sqlite.changes import ChangeLog
from sameas_service.store.sqlite.connection import as_json, one
from sameas_service.store.sqlite.devices import FOREVER
from sameas_service.store.sqlite.rows import Rows
from sameas_service.store.sqlite.subject import Verdict, Workspace
from sameas_service.store.sqlite.timelines import Timelines
from sameas_service.store.sqlite.users import Users

_INSERT = "INSERT INTO unlink VALUES (?, ?, ?, ?, ?, ?)"
_LAST_CLAIM = """
    SELECT at FROM message
    WHERE device = ? AND user = ? AND kind <> 7
    ORDER BY at DESC LIMIT 1
"""
_LAST_LINK = """
    SELECT max(at) FROM link WHERE (source = ?1 AND target = ?2) OR (source = ?2 AND target = ?1)
"""
_STRUCK_LINKS = """
    SELECT json_group_array(json_array(message_id, target)) FROM link
    WHERE ((source = ?1 AND target = ?2) OR (source = ?2 AND target = ?1)) AND at < ?3
"""
_DELETE_LINKS = """
    DELETE FROM link
    WHERE ((source = ?1 AND target = ?2) OR (source = ?2 AND target = ?1)) AND at < ?3
"""
_STRIKE_MESSAGES = """
    UPDATE message SET struck = user, user = NULL
    WHERE workspace = ?1 AND message_id IN (SELECT value FROM json_each(?2))
"""
_NAMED = """
    SELECT json_group_array(user.id) FROM user
    WHERE id IN (SELECT value FROM json_each(?)) AND (
        EXISTS (SELECT 1 FROM message WHERE message.user = user.id)
        OR EXISTS (SELECT 1 FROM link WHERE link.source = user.id)
    )
"""


class Unlinking:
    """The unlinks of a workspace: those that were taken, and those that a group takes."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        workspace: Workspace,
        users: Users,
        rows: Rows,
        timelines: Timelines,
        changes: ChangeLog,
    ) -> None:
        self._connection = connection
        self._workspace = workspace
        self._users = users
        self._rows = rows
        self._timelines = timelines
        self._changes = changes
        self._upto: dict[Pair, int] = {}
        self.relinked: set[int] = set()

    def load(self, rows: Iterable[tuple[str | None, str, str | None, int]]) -> None:
        """Takes the rows (device, user, source, time) of the unlinks that may concern a group."""
        for device, user, source, upto in rows:
            pair = ("device", device or "", user) if source is None else users_pair(user, source)
            self._upto[pair] = max(upto, self._upto.get(pair, upto))

    @property
    def any(self) -> bool:
        """Whether there are unlinks that may concern the group's messages."""
        return bool(self._upto)

    def is_struck(self, message: Message) -> bool:
        """Whether a claim or link does not count."""
        return (message.is_claim or message.is_link) and is_struck(message, self._upto)

    def dated(self, merge: Message) -> Message:
        """A live merge, dated behind the pair's last unlink, so that it counts."""
        pair = pair_of(merge)
        if merge.client_time is not None or pair is None or pair not in self._upto:
            return merge
        time = max(merge.event_time, self._upto[pair] + 1)
        return merge._replace(position=position_of(merge.kind, time, merge.message_id))

    def take(self, unlink: Message) -> None:
        """Takes an unlink, after all other messages of its group were taken."""
        unlink = self._dated(unlink)
        pair = pair_of(unlink)
        assert pair is not None, "an unlink names a pair"
        verdict = Verdict(unlink, self._users.id_of(unlink.user) or 0)
        names = (unlink.device, unlink.user, unlink.source)
        row = (self._workspace.id, unlink.message_id, *names, unlink.event_time)
        self._connection.execute(_INSERT, row)
        if unlink.event_time > self._upto.get(pair, 0):
            self._upto[pair] = unlink.event_time
            parted = self._part_users(unlink) if unlink.source else self._part_device(unlink)
            verdict.outcome = Outcome.SPLIT if parted else Outcome.UNCHANGED
        self._rows.keep_apart(verdict, None, None)

    def _dated(self, unlink: Message) -> Message:
        """A live unlink, dated at the pair's last claim or link where that is later."""
        if unlink.client_time is not None:
            return unlink
        last = self._last(unlink)
        time = max(unlink.event_time, 0 if last is None else last // 2)
        return unlink._replace(position=position_of(unlink.kind, time, unlink.message_id))

    def _last(self, unlink: Message) -> int | None:
        user = self._users.id_of(unlink.user)
        if unlink.source is not None:
            pair = (user, self._users.id_of(unlink.source))
            found = self._connection.execute(_LAST_LINK, pair).fetchone()
        else:
            device = self._timelines.find(unlink.device or "")
            pair = (None if device is None else device.id, user)
            found = self._connection.execute(_LAST_CLAIM, pair).fetchone()
        return None if found is None else found[0]

    def _part_device(self, unlink: Message) -> bool:
        """Strikes a user's claims on a device; whether any counted until now."""
        device = self._timelines.find(unlink.device or "")
        user = self._users.id_of(unlink.user)
        end = Position(2 * unlink.event_time + 1, "")
        struck = [
            row
            for row in ([] if device is None else devices.rows(self._connection, device.id))
            if row.owner == user and row.claim is not None and row.claim < end
        ]
        if device is None or not struck:
            return False
        owners = {user} if user is not None else set()
        for row in struck:
            owners |= self._strike(device, row, end)
        starts = [row.start for row in struck if row.opens_segment]
        self._timelines.renew(device, unlink.message_id, owners, starts)
        return True

    def _strike(self, device: Device, row: Row, end: Position) -> set[int]:
        """Takes a row's claims before a position out of a device's rows.

        Returns:
            The users who owned something next to it.
        """
        assert row.owner is not None, "a struck row has an owner"
        rows = devices.neighbours(self._connection, [(device.id, row.start)])[0]
        before, behind = rows.before, rows.behind
        closed = behind is None or behind.opens_segment
        bound = FOREVER if behind is None else behind.start if closed else behind.claim
        survivor = devices.claims(
            self._connection, [(device.id, row.owner, end, bound or FOREVER)]
        )[0][1]
        wall = row.start
        if before is not None and before.owner is not None and row.claim is not None:
            asked = (device.id, before.owner, row.claim, FOREVER)
            wall = devices.claims(self._connection, [asked])[0][0] or wall
        plan = strike(row, before, behind, survivor, wall)
        gap = self._workspace.session_gap
        devices.apply_plans(self._connection, [(device.id, plan)], gap)
        return {one.owner for one in (before, behind) if one is not None and one.owner is not None}

    def _part_users(self, unlink: Message) -> bool:
        """Strikes the direct links of two users; whether there were any."""
        first, second = self._users.id_of(unlink.user), self._users.id_of(unlink.source)
        assert first is not None, "an unlink's users are made when it is read"
        assert second is not None, "an unlink's users are made when it is read"
        bound = (first, second, 2 * unlink.event_time + 2)
        links = one(self._connection, _STRUCK_LINKS, *bound)
        if not links:
            return False
        members = self._users.members(first, second)
        before = self._users.person_ids(members)
        self._rows.flush()
        self._connection.execute(_DELETE_LINKS, bound)
        self._connection.execute(
            _STRIKE_MESSAGES, (self._workspace.id, as_json([row[0] for row in links]))
        )
        self.relinked |= self._users.refold(members) | {user.canonical for user in members}
        self._forget(unlink.message_id, before, (first, second))
        self._changes.relinked(unlink.message_id, before, ChangeKind.SPLIT)
        return True

    def _forget(self, message_id: str, before: dict[int, str], users: Collection[int]) -> None:
        """Notes which of the users no message in force names any more."""
        named = set(one(self._connection, _NAMED, as_json(list(users))))
        for user in users:
            if user not in named and self._users.by_id[user].named:
                self._users.set_named(user, named=False)
                self._changes.gone(message_id, user, before[user])
        self._users.flush()
