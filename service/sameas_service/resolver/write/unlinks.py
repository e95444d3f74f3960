"""Unlinks: which claims and links do not count, and what parts where one more is taken back.

A struck claim counts as if it had been sent without its anonymous id, a struck link not at
all. Only spans are touched, never the pair's claims, however many there are.
"""

from collections.abc import Iterable

from sameas_service.domain.changes import ChangeKind
from sameas_service.domain.device import Device, SpanRow
from sameas_service.domain.device_timeline import strike
from sameas_service.domain.message import Message, Position, position_of
from sameas_service.domain.receipt import Outcome
from sameas_service.domain.unlinks import Pair, is_struck, pair_of, users_pair
from sameas_service.resolver.facts import FOREVER, LinkRow, UnlinkRow, User
from sameas_service.resolver.write import change_log
from sameas_service.resolver.write.devices import Devices
from sameas_service.resolver.write.unit_of_work import UnitOfWork, Verdict
from sameas_service.resolver.write.users import Users


class Unlinks:
    """The unlinks that may concern a group of messages: earlier ones, and the group's own.

    Attributes:
        relinked: users who are or were canonical of persons that the group's unlinks parted.
    """

    def __init__(
        self, unit: UnitOfWork, users: Users, devices: Devices, known: Iterable[UnlinkRow]
    ) -> None:
        """Begin with the unlinks that the store found."""
        self._unit = unit
        self._workspace = unit.workspace
        self._users = users
        self._devices = devices
        self._upto: dict[Pair, int] = {}
        self.relinked: set[int] = set()
        for row in known:
            pair = _pair_of(row)
            self._upto[pair] = max(row.upto, self._upto.get(pair, row.upto))

    def is_struck(self, message: Message) -> bool:
        """Return whether a claim or link does not count."""
        return (message.is_claim or message.is_link) and is_struck(message, self._upto)

    def dated(self, merge: Message) -> Message:
        """Return a live merge dated after the pair's last unlink, so that it counts."""
        pair = pair_of(merge)
        if merge.client_time is not None or pair is None or pair not in self._upto:
            return merge
        return _at(merge, max(merge.event_time, self._upto[pair] + 1))

    def take(self, unlink: Message) -> None:
        """Take an unlink, after all other messages of its group were taken."""
        unlink = self._dated(unlink)
        pair, user = pair_of(unlink), self._users.named(unlink.user)
        assert pair is not None, "an unlink names a pair"
        verdict = Verdict(unlink, user.id)
        names = (unlink.device, user.name, unlink.source)
        self._unit.rows.unlinks.append(UnlinkRow(unlink.message_id, *names, unlink.event_time))
        if unlink.event_time > self._upto.get(pair, 0):
            self._upto[pair] = unlink.event_time
            parted = self._part_users(unlink) if unlink.source else self._part_device(unlink)
            verdict.outcome = Outcome.SPLIT if parted else Outcome.UNCHANGED
        self._unit.keep_unlink(verdict)

    def _dated(self, unlink: Message) -> Message:
        """Return a live unlink dated at the pair's last claim or link, where that is later."""
        if unlink.client_time is not None:
            return unlink
        last = self._last_said(unlink)
        return unlink if last is None else _at(unlink, max(unlink.event_time, last.at // 2))

    def _last_said(self, unlink: Message) -> Position | None:
        """Return the position of the pair's last claim or link."""
        user = self._users.named(unlink.user)
        if unlink.source is not None:
            links = self._links(user, self._users.named(unlink.source))
            return max((link.position for link in links), default=None)
        device = self._devices.by_name.get(unlink.device or "")
        if device is None:
            return None
        asked = (device.id, user.id, FOREVER, FOREVER)
        return self._unit.ask.claims(self._workspace, [asked])[0][0]

    def _part_device(self, unlink: Message) -> bool:
        """Strike a user's claims on a device. Return whether any counted until now."""
        device = self._devices.by_name.get(unlink.device or "")
        if device is None:
            return False
        user = self._users.named(unlink.user).id
        end = _end_of(unlink)
        struck = [
            span
            for span in self._unit.ask.spans_of(self._workspace, device.id)
            if span.owner == user and span.claim is not None and span.claim < end
        ]
        if not struck:
            return False
        owners = {user}
        for span in struck:
            owners |= self._strike(device, span, end)
        starts = [span.start for span in struck if span.opens_segment]
        self._devices.restore(device, unlink.message_id, owners, starts)
        return True

    def _strike(self, device: Device, span: SpanRow, end: Position) -> set[int]:
        """Take a span's claims before a position out of a device's spans.

        Returns:
            The users who owned something next to it.
        """
        assert span.owner is not None, "a struck span has an owner"
        before, _, after = self._unit.ask.neighbours(self._workspace, [(device.id, span.start)])[0]
        bound = FOREVER
        if after is not None:
            bound = after.start if after.opens_segment else after.claim or FOREVER
        asked = (device.id, span.owner, end, bound)
        survivor = self._unit.ask.claims(self._workspace, [asked])[0][1]
        wall = span.start
        if before is not None and before.owner is not None and span.claim is not None:
            last = (device.id, before.owner, span.claim, FOREVER)
            wall = self._unit.ask.claims(self._workspace, [last])[0][0] or wall
        plan = strike(span, before, after, survivor, wall)
        self._devices.apply([(device.id, plan)])
        return {one.owner for one in (before, after) if one is not None and one.owner is not None}

    def _part_users(self, unlink: Message) -> bool:
        """Strike the direct links of two users. Return whether there were any."""
        pair = (self._users.named(unlink.user), self._users.named(unlink.source))
        end = Position(2 * unlink.event_time + 2, "")
        struck = [link for link in self._links(*pair) if link.position < end]
        if not struck:
            return False
        members = self._users.members(*(user.id for user in pair))
        before = self._users.person_ids(members)
        for link in struck:
            self._unit.rows.links[link] = False
            self._unit.rows.struck_links.append(link.position.message_id)
        self.relinked |= self._users.refold(members) | {user.canonical for user in members}
        self._note_unnamed(unlink, before, pair)
        change_log.relinked(self._unit, unlink.message_id, self._users, before, ChangeKind.SPLIT)
        return True

    def _links(self, first: User, second: User) -> list[LinkRow]:
        return self._unit.ask.links_between(self._workspace, first.id, second.id)

    def _note_unnamed(self, unlink: Message, before: dict[int, str], users: Iterable[User]) -> None:
        """Note which of the users no message in force names any more."""
        named = self._unit.ask.still_named(self._workspace, [user.id for user in users])
        for user in users:
            if user.id not in named and user.named:
                self._users.note_unnamed(unlink, user.id, before[user.id])


def _pair_of(row: UnlinkRow) -> Pair:
    if row.source is not None:
        return users_pair(row.user, row.source)
    return ("device", row.device or "", row.user)


def _end_of(unlink: Message) -> Position:
    """Return the end of what an unlink strikes: claims of its very time are struck, too."""
    return Position(2 * unlink.event_time + 1, "")


def _at(message: Message, time: int) -> Message:
    """Return a message dated anew."""
    return message._replace(position=position_of(message.kind, time, message.message_id))
