"""The timelines of the devices that a group of messages names.

Messages that stand behind all others of their device need nothing but the device's row. Late
ones are taken in rounds, of each device one, so that a round is a handful of statements
however many devices it is about.
"""

import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence

from sameas_service.domain import person_ids, warnings
from sameas_service.domain.device import Device, Placed, Plan, Put, Row
from sameas_service.domain.device_timeline import advance, around, go_on, needs_ledger, place
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message, Position, after
from sameas_service.domain.receipt import Outcome
from sameas_service.store.sqlite import devices
from sameas_service.store.sqlite.changes import ChangeLog, kind_of
from sameas_service.store.sqlite.devices import FOREVER
from sameas_service.store.sqlite.late import Late
from sameas_service.store.sqlite.rows import Rows
from sameas_service.store.sqlite.subject import Gain, Segment, Subject, Verdict, Workspace
from sameas_service.store.sqlite.users import Users


class Timelines:
    """Takes messages one by one, in order of position, and keeps the spans up to date.

    Attributes:
        touched: users and segments that lost or won a stretch in which traits were spoken of.
        gained: segments that nobody owned and that have an owner now.
        recut: the devices, by anonymous id, whose rows of spans changed.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        workspace: Workspace,
        users: Users,
        rows: Rows,
        changes: ChangeLog,
    ) -> None:
        self._connection = connection
        self._workspace = workspace
        self._users = users
        self._rows = rows
        self._changes = changes
        self._holders: dict[int, Subject | None] = {}
        self._devices: dict[str, Device] = {}
        self._puts: list[tuple[int, Put]] = []
        self.touched: set[Subject] = set()
        self.gained: list[Gain] = []
        self.recut: set[str] = set()

    def load(self, found: Iterable[Device], names: set[str], next_id: int) -> None:
        """Takes the devices that were read, and makes those of the names that are not there."""
        self._devices = {device.name: device for device in found}
        self._holders = self._hold(self._devices.values())
        for name in sorted(names - self._devices.keys()):
            self._devices[name] = Device(next_id, name)
            self._rows.open_segment(Segment(next_id, name, START))
            next_id += 1

    def owners(self) -> set[int]:
        """The users who own the devices' present spans."""
        return {d.owner for d in self._devices.values() if d.owner is not None}

    def device_id(self, name: str | None) -> int | None:
        """A device's surrogate."""
        return None if name is None else self._devices[name].id

    def take(self, ordered: Iterable[Message]) -> None:
        """Takes messages that name a device, in order of position."""
        late = self._take_in_order(ordered)
        while late:
            late = self._take_round(late)
        self.flush()

    def flush(self) -> None:
        """Writes what is still in memory, but for the devices' state."""
        self._rows.flush()
        devices.put_spans(self._connection, self._puts)
        self._puts.clear()

    def save(self) -> None:
        """Writes the devices' state."""
        devices.save(self._connection, self._workspace.id, self._devices.values())

    def _take_in_order(self, ordered: Iterable[Message]) -> dict[str, deque[Message]]:
        """Takes what does not need the ledger; gives the rest, by device."""
        rest: dict[str, deque[Message]] = {}
        gap = self._workspace.session_gap
        for message in ordered:
            assert message.device is not None, "only messages of a device have a timeline"
            device = self._devices[message.device]
            user = self._users.id_of(message.user)
            if message.device in rest:
                rest[message.device].append(message)
            elif message.kind is not Kind.RESET and go_on(device, message.position, user, gap):
                self._keep(device, Verdict(message, _present(device, user)), user)
            elif needs_ledger(device, placed := self._placed(message), gap):
                rest[message.device] = deque([message])
            else:
                self._advance(device, message, placed)
        return rest

    def _placed(self, message: Message) -> Placed:
        user = self._users.id_of(message.user)
        return Placed(message.position, user, message.kind is Kind.RESET)

    def _advance(self, device: Device, message: Message, placed: Placed) -> None:
        former, start, is_new = device.owner, device.segment, device.segment_is_new
        put = advance(device, placed, self._workspace.session_gap)
        subject = former if placed.user is None else placed.user
        if put is None:
            holder = Segment(device.id, device.name, start) if subject is None else subject
            created = is_new and subject is None
            outcome = Outcome.CREATED if created else Outcome.UNCHANGED
            self._keep(device, Verdict(message, holder, outcome), placed.user)
            if is_new:
                self._hand_over(device, message.message_id, holder, in_order=True)
            return
        segment = Segment(device.id, device.name, start)
        verdict = Verdict(message, segment if subject is None else subject)
        self._puts.append((device.id, put))
        if placed.is_reset:
            self._rows.open_segment(segment._replace(start=device.segment))
            verdict.outcome = Outcome.RESET
        else:
            self._claimed(verdict, former, segment, is_new=is_new)
            self._take_over(device, placed, put, former, segment)
        self._keep(device, verdict, placed.user)
        owner = former if placed.is_reset else device.owner
        holder = segment if owner is None else owner
        self._hand_over(device, message.message_id, holder, in_order=True)

    def _take_over(
        self, device: Device, placed: Placed, put: Put, former: int | None, segment: Segment
    ) -> None:
        """Notes what a claim in order brings its user: the segment until then, the visit that
        the former owner loses, or, where the cut is at the claim, nothing.
        """
        if former is None and placed.user is not None:
            self.recut.add(device.name)
            if device.has_operations:
                self.gained.append(Gain(placed.user, segment, placed.position))
        elif put.start != placed.position:
            self._touch(device, [former, placed.user], [segment])

    def _claimed(
        self, verdict: Verdict, former: int | None, segment: Segment, *, is_new: bool
    ) -> None:
        """Says what a claim did, by who owned the segment and whether it had messages."""
        user, name = verdict.subject, verdict.message.user
        if former == user or name is None:
            return
        if former is not None:
            verdict.outcome = Outcome.SWITCHED
            former_name = self._users.by_id[former].name
            verdict.warnings += (warnings.device_switched(segment.name, former_name, name),)
        elif is_new and not self._users.is_named(name):
            verdict.outcome = Outcome.CREATED
        else:
            verdict.outcome = Outcome.LINKED
            if not is_new:
                anonymous = (self._workspace.name, segment.name, segment.start)
                verdict.absorbed = (person_ids.of_segment(*anonymous),)

    def _take_round(self, late: dict[str, deque[Message]]) -> dict[str, deque[Message]]:
        """Takes of each device the next late message, and what behind it is in order.

        Returns:
            What is left, by device.
        """
        self.flush()
        round_ = self._look_around(
            [(self._devices[name], queue.popleft()) for name, queue in late.items()]
        )
        gap = self._workspace.session_gap
        plans = [place(one.placed, one.runs, one.claims, gap) for one in round_]
        for one, plan in zip(round_, plans, strict=True):
            self._place(one, plan)
        self._rows.flush()
        ids = [one.device.id for one in round_]
        devices.apply_plans(self._connection, list(zip(ids, plans, strict=True)), gap)
        devices.refresh(self._connection, [one.device for one in round_])
        self._users.need(self.owners())
        self._note_late(round_, plans)
        left: dict[str, deque[Message]] = {}
        for queue in late.values():
            left.update(self._take_in_order(queue))
        return left

    def _look_around(self, wanted: Sequence[tuple[Device, Message]]) -> list[Late]:
        """The rows around late messages, and the claims next to them."""
        placed = [self._placed(message) for _, message in wanted]
        rows = devices.neighbours(
            self._connection,
            [(d.id, p.position) for (d, _), p in zip(wanted, placed, strict=True)],
        )
        runs = [around(p.position, *row) for p, row in zip(placed, rows, strict=True)]
        questions = {
            index: (
                wanted[index][0].id,
                run.earlier.owner,
                placed[index].position,
                run.bound or FOREVER,
            )
            for index, run in enumerate(runs)
            if run.earlier is not None and run.earlier.owner is not None
        }
        claims = devices.claims(self._connection, list(questions.values()))
        answers = dict(zip(questions, claims, strict=True))
        self._users.need(owner for run in runs for owner in run.owners)
        return [
            Late(
                device,
                message,
                placed[index],
                self._holder(device, rows[index].at),
                runs[index],
                answers.get(index, (None, None)),
            )
            for index, (device, message) in enumerate(wanted)
        ]

    def renew(
        self, device: Device, message_id: str, owners: set[int], starts: Sequence[Position]
    ) -> None:
        """Brings a device up to date after claims on it were struck by this message.

        Args:
            device: the device.
            message_id: of the unlink.
            owners: users who may have won or lost a stretch.
            starts: where segments start that may be nobody's now.
        """
        devices.renew(self._connection, device)
        self._users.need(owners | self.owners())
        self._touch(device, owners, [Segment(device.id, device.name, at) for at in starts])
        now = self._hold([device])[device.id]
        if not self._hand_over(device, message_id, now):
            self._changes.past(message_id, device.name, now)

    def find(self, name: str) -> Device | None:
        """A device by its anonymous id, if any message ever named it."""
        if name not in self._devices:
            for device in devices.load(self._connection, self._workspace.id, {name}):
                self._devices[name] = device
                self._holders |= self._hold([device])
        return self._devices.get(name)

    def _hold(self, of: Iterable[Device]) -> dict[int, Subject | None]:
        """Whose the latest message of each device is; None where it has none."""
        held: dict[int, Subject | None] = {}
        closed = []
        for device in of:
            if device.last is None:
                held[device.id] = None
            elif device.last < device.segment:
                closed.append((device, device.last))
            else:
                segment = Segment(device.id, device.name, device.segment)
                held[device.id] = segment if device.owner is None else device.owner
        if closed:
            wanted = [(device.id, last) for device, last in closed]
            around_ = devices.neighbours(self._connection, wanted)
            for (device, _), rows in zip(closed, around_, strict=True):
                held[device.id] = self._holder(device, rows.at)
        return held

    def _note_late(self, round_: Sequence[Late], plans: Sequence[Plan]) -> None:
        """Notes what late messages changed: who holds their devices, or only held them."""
        held = self._hold([one.device for one in round_])
        for one, plan in zip(round_, plans, strict=True):
            message_id, now = one.message.message_id, held[one.device.id]
            if not self._hand_over(one.device, message_id, now) and plan.put:
                self._changes.past(message_id, one.device.name, now)

    def _hand_over(
        self, device: Device, message_id: str, now: Subject | None, *, in_order: bool = False
    ) -> bool:
        """Notes it where a device's latest message is somebody else's now; whether it is."""
        before = self._holders.get(device.id)
        if before == now:
            return False
        self._holders[device.id] = now
        kind = kind_of(now, before, device.segment, in_order=in_order)
        self._changes.device(message_id, device.name, now, before, kind)
        return True

    def _holder(self, device: Device, at: Row) -> Subject:
        """Whom the row holds positions for."""
        if at.owner is not None:
            return at.owner
        return Segment(device.id, device.name, at.start)

    def _place(self, one: Late, plan: Plan) -> None:
        """Says what a late message does, and brings its device's state up to date."""
        placed, runs, device = one.placed, one.runs, one.device
        start = runs.head.start if runs.head is not None else START
        segment = Segment(device.id, device.name, start)
        verdict = Verdict(one.message, one.subject(plan, segment))
        if placed.is_reset:
            verdict.outcome = Outcome.RESET
            self._rows.open_segment(segment._replace(start=after(placed.position)))
        elif placed.is_claim:
            self._claimed(verdict, next(iter(runs.owners), None), segment, is_new=False)
        if plan.put:
            segments = [segment, segment._replace(start=after(placed.position))]
            self._touch(device, [*runs.owners, placed.user], segments)
        one.note_arrival()
        self._keep(device, verdict, placed.user)

    def _touch(
        self, device: Device, owners: Iterable[int | None], segments: Iterable[Segment]
    ) -> None:
        self.recut.add(device.name)
        if device.has_operations:
            self.touched |= {owner for owner in owners if owner is not None}
            self.touched |= set(segments)

    def _keep(self, device: Device, verdict: Verdict, user: int | None) -> None:
        if user is None and not device.has_operations:
            device.has_operations = verdict.message.has_operations
        self._rows.keep(verdict, device.id, user)


def _present(device: Device, user: int | None) -> Subject:
    """Whose a message is that changes nothing: its user's, else the device's present owner's."""
    if user is not None:
        return user
    if device.owner is not None:
        return device.owner
    return Segment(device.id, device.name, device.segment)
