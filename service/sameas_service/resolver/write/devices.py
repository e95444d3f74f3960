"""The timelines of the devices that a group of messages names.

A message that comes after all others of its device needs nothing but the device's row. Late
ones are taken in rounds, of each device one, so that a round is a handful of questions however
many devices it is about.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter

from sameas_service.domain import person_ids, warnings
from sameas_service.domain.device import Cut, Device, Placed, Plan, Put, SpanRow
from sameas_service.domain.device_timeline import advance, around, go_on, needs_ledger, place
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message, Position, after
from sameas_service.domain.receipt import Outcome
from sameas_service.resolver.facts import FOREVER, AnonymousSegment, Holder, PersonRow
from sameas_service.resolver.write import change_log
from sameas_service.resolver.write.late import Gain, Late
from sameas_service.resolver.write.unit_of_work import UnitOfWork, Verdict
from sameas_service.resolver.write.users import Users

_NAME = attrgetter("name")


class Devices:
    """Takes messages one by one, in order of position, and keeps the spans up to date.

    Attributes:
        touched: users and segments that lost or won a stretch in which traits were spoken of.
        gained: segments that had no owner and have one now.
        recut: the devices, by anonymous id, of which spans changed.
    """

    def __init__(self, unit: UnitOfWork, users: Users, known: Iterable[Device]) -> None:
        """Begin with the devices that the store found."""
        self._unit = unit
        self._workspace = unit.workspace
        self._gap = unit.workspace.session_gap
        self._users = users
        self.by_name: dict[str, Device] = {device.name: device for device in known}
        self._holders = self._held_by(self.by_name.values())
        self._placed: set[str] = set()
        self.touched: set[Holder] = set()
        self.gained: list[Gain] = []
        self.recut: set[str] = set()

    def make(self, names: Iterable[str], ids: dict[str, int]) -> None:
        """Make new devices, with these surrogates."""
        for name in names:
            device = self.by_name[name] = Device(ids[name], name)
            self._put(device)
            self._open_segment(AnonymousSegment(device.id, name, START))

    def id_of(self, name: str | None) -> int | None:
        """Return a device's surrogate."""
        return None if name is None else self.by_name[name].id

    def take(self, ordered: Sequence[Message]) -> None:
        """Take messages that name a device, in order of position."""
        late = self._take_in_order(ordered)
        while late:
            late = self._take_round(late)
        for name in {message.device for message in ordered}:
            assert name is not None, "only messages of a device have a place"
            self._put(self.by_name[name])

    def restore(
        self, device: Device, message_id: str, owners: set[int], starts: Sequence[Position]
    ) -> None:
        """Bring a device up to date after claims on it were struck by this message.

        Args:
            device: the device.
            message_id: of the unlink.
            owners: users who may have won or lost a stretch.
            starts: where segments start that may have no owner now.
        """
        self._reread(device)
        self._put(device)
        self._users.need(owners | self._owners([device]))
        segments = [AnonymousSegment(device.id, device.name, start) for start in starts]
        self._touch(device, owners, segments)
        now = self._held_by([device])[device.id]
        if not self._hand_over(device, message_id, now):
            change_log.past_changed(self._unit, message_id, device.name, self._users, now)

    def apply(self, plans: Sequence[tuple[int, Plan]]) -> None:
        """Carry out what changes among spans, by device, finding the cuts on the way."""
        cuts = [
            (device, put.start)
            for device, plan in plans
            for put in plan.put
            if isinstance(put.start, Cut)
        ]
        starts = dict(zip(cuts, self._visit_starts(cuts), strict=True))
        for device, plan in plans:
            for start in plan.delete:
                self._unit.rows.spans[device, start] = None
            for put in plan.put:
                cut = put.start
                self._put_span(device, starts[device, cut] if isinstance(cut, Cut) else cut, put)

    def _visit_starts(self, cuts: list[tuple[int, Cut]]) -> list[Position]:
        if not cuts or self._gap == 0:
            return [cut.origin for _, cut in cuts]
        return self._unit.ask.visit_starts(self._workspace, cuts)

    def _put(self, device: Device) -> None:
        self._unit.rows.devices[device.id] = device

    def _put_span(self, device: int, start: Position, put: Put) -> None:
        self._unit.rows.spans[device, start] = SpanRow(start, put.owner, put.claim)

    def _open_segment(self, segment: AnonymousSegment) -> None:
        """Hand out the id of a segment's anonymous person."""
        person_id = self._users.person_id_of(segment)
        self._unit.rows.persons.append(PersonRow(person_id, None, segment.device, segment.start))

    # ---- In order --------------------------------------------------------------------------

    def _take_in_order(self, ordered: Iterable[Message]) -> dict[str, deque[Message]]:
        """Take what does not need the ledger. Return the rest, by device."""
        rest: dict[str, deque[Message]] = {}
        for message in ordered:
            assert message.device is not None, "only messages of a device have a place"
            device = self.by_name[message.device]
            user = self._users.id_of(message.user)
            if message.device in rest:
                rest[message.device].append(message)
            elif message.kind is not Kind.RESET and go_on(
                device, message.position, user, self._gap
            ):
                self._keep(device, Verdict(message, _present(device, user)), user)
            elif needs_ledger(device, placed := self._place_of(message), self._gap):
                rest[message.device] = deque([message])
            else:
                self._advance(device, message, placed)
        return rest

    def _place_of(self, message: Message) -> Placed:
        user = self._users.id_of(message.user)
        return Placed(message.position, user, message.kind is Kind.RESET)

    def _advance(self, device: Device, message: Message, placed: Placed) -> None:
        former, start, is_new = device.owner, device.segment, device.segment_is_new
        put = advance(device, placed, self._gap)
        holder = former if placed.user is None else placed.user
        segment = AnonymousSegment(device.id, device.name, start)
        verdict = Verdict(message, segment if holder is None else holder)
        if put is None:
            if is_new and holder is None:
                verdict.outcome = Outcome.CREATED
            self._keep(device, verdict, placed.user)
            if is_new:
                self._hand_over(device, message.message_id, verdict.holder, in_order=True)
            return
        assert not isinstance(put.start, Cut), "in order, a visit's start is known"
        self._put_span(device.id, put.start, put)
        if placed.is_reset:
            self._open_segment(segment._replace(start=device.segment))
            verdict.outcome = Outcome.RESET
        else:
            self._say_claimed(verdict, former, segment, is_new=is_new)
            self._note_claim(device, placed, put, former, segment)
        self._keep(device, verdict, placed.user)
        owner = former if placed.is_reset else device.owner
        now = segment if owner is None else owner
        self._hand_over(device, message.message_id, now, in_order=True)

    def _note_claim(
        self,
        device: Device,
        placed: Placed,
        put: Put,
        former: int | None,
        segment: AnonymousSegment,
    ) -> None:
        """Note what a claim in order brings its user: the segment until then, the visit that
        the former owner loses, or, where the cut is at the claim, nothing.
        """
        if former is None and placed.user is not None:
            self.recut.add(device.name)
            if device.has_operations:
                self.gained.append(Gain(placed.user, segment, placed.position))
        elif put.start != placed.position:
            self._touch(device, [former, placed.user], [segment])

    def _say_claimed(
        self, verdict: Verdict, former: int | None, segment: AnonymousSegment, *, is_new: bool
    ) -> None:
        """Say what a claim did, by who owned the segment and whether it had messages."""
        user, name = verdict.holder, verdict.message.user
        if former == user or name is None:
            return
        if former is not None:
            verdict.outcome = Outcome.SWITCHED
            former_name = self._users.by_id[former].name
            verdict.warnings += (warnings.device_switched(segment.name, former_name, name),)
        elif is_new and not self._users.by_name[name].named:
            verdict.outcome = Outcome.CREATED
        else:
            verdict.outcome = Outcome.LINKED
            if not is_new:
                anonymous = (self._workspace.name, segment.name, segment.start)
                verdict.absorbed = (person_ids.of_segment(*anonymous),)

    # ---- Late ------------------------------------------------------------------------------

    def _take_round(self, late: dict[str, deque[Message]]) -> dict[str, deque[Message]]:
        """Take of each device the next late message, and what after it is in order.

        Returns:
            What is left, by device.
        """
        round_ = self._look_around(
            [(self.by_name[name], queue.popleft()) for name, queue in late.items()]
        )
        plans = [place(one.placed, one.runs, one.claims, self._gap) for one in round_]
        for one, plan in zip(round_, plans, strict=True):
            self._place(one, plan)
        devices = [one.device for one in round_]
        self.apply([(device.id, plan) for device, plan in zip(devices, plans, strict=True)])
        self._reread_owners(devices)
        self._users.need(self._owners(devices))
        self._note_late(round_, plans)
        left: dict[str, deque[Message]] = {}
        for queue in late.values():
            left.update(self._take_in_order(queue))
        return left

    def _look_around(self, wanted: Sequence[tuple[Device, Message]]) -> list[Late]:
        """Find the spans around late messages, and the claims next to them."""
        placed = [self._place_of(message) for _, message in wanted]
        places = [(d.id, p.position) for (d, _), p in zip(wanted, placed, strict=True)]
        spans = self._unit.ask.neighbours(self._workspace, places)
        runs = [around(p.position, *row) for p, row in zip(placed, spans, strict=True)]
        questions = {
            index: (*places[index], run.earlier.owner, run.bound or FOREVER)
            for index, run in enumerate(runs)
            if run.earlier is not None and run.earlier.owner is not None
        }
        found = self._claims([(d, u, p, bound) for d, p, u, bound in questions.values()])
        claims = dict(zip(questions, found, strict=True))
        self._users.need(owner for run in runs for owner in run.owners)
        return [
            Late(
                device,
                message,
                placed[index],
                _holder(device, spans[index].at),
                runs[index],
                claims.get(index, (None, None)),
            )
            for index, (device, message) in enumerate(wanted)
        ]

    def _claims(
        self, places: list[tuple[int, int, Position, Position]]
    ) -> list[tuple[Position | None, Position | None]]:
        return self._unit.ask.claims(self._workspace, places) if places else []

    def _place(self, one: Late, plan: Plan) -> None:
        """Say what a late message does, and bring its device's state up to date."""
        placed, runs, device = one.placed, one.runs, one.device
        start = runs.head.start if runs.head is not None else START
        segment = AnonymousSegment(device.id, device.name, start)
        verdict = Verdict(one.message, one.holder(plan, segment))
        if placed.is_reset:
            verdict.outcome = Outcome.RESET
            self._open_segment(segment._replace(start=after(placed.position)))
        elif placed.is_claim:
            self._say_claimed(verdict, next(iter(runs.owners), None), segment, is_new=False)
        if plan.put:
            segments = [segment, segment._replace(start=after(placed.position))]
            self._touch(device, [*runs.owners, placed.user], segments)
        one.note_arrival()
        self._keep(device, verdict, placed.user)

    def _note_late(self, round_: Sequence[Late], plans: Sequence[Plan]) -> None:
        """Log what late messages changed: who holds their devices, or only held them."""
        held = self._held_by([one.device for one in round_])
        for one, plan in zip(round_, plans, strict=True):
            message_id, now = one.message.message_id, held[one.device.id]
            if not self._hand_over(one.device, message_id, now) and plan.put:
                name = one.device.name
                change_log.past_changed(self._unit, message_id, name, self._users, now)

    # ---- Who holds a device ----------------------------------------------------------------

    def _held_by(self, devices: Iterable[Device]) -> dict[int, Holder | None]:
        """Return who holds the latest message of each device; None where it has none."""
        held: dict[int, Holder | None] = {}
        closed = []
        for device in devices:
            if device.last is None:
                held[device.id] = None
            elif device.last < device.segment:
                closed.append((device, device.last))
            else:
                held[device.id] = _present(device, None)
        if closed:
            places = [(device.id, last) for device, last in closed]
            found = self._unit.ask.neighbours(self._workspace, places)
            for (device, _), spans in zip(closed, found, strict=True):
                held[device.id] = _holder(device, spans.at)
        return held

    def _hand_over(
        self, device: Device, message_id: str, now: Holder | None, *, in_order: bool = False
    ) -> bool:
        """Log it where somebody else holds a device's latest message now. Return whether."""
        before = self._holders.get(device.id)
        if before == now:
            return False
        self._holders[device.id] = now
        kind = change_log.kind_of(now, before, device.segment, in_order=in_order)
        cause, held = (message_id, kind), (before, now)
        change_log.device_changed(self._unit, cause, device.name, self._users, held)
        return True

    def _owners(self, devices: Iterable[Device]) -> set[int]:
        return {device.owner for device in devices if device.owner is not None}

    def _touch(
        self,
        device: Device,
        owners: Iterable[int | None],
        segments: Iterable[AnonymousSegment],
    ) -> None:
        self.recut.add(device.name)
        if device.has_operations:
            self.touched |= {owner for owner in owners if owner is not None}
            self.touched |= set(segments)

    def _keep(self, device: Device, verdict: Verdict, user: int | None) -> None:
        if user is not None:
            self._users.keep(verdict, device.id, user)
            return
        if not device.has_operations:
            device.has_operations = verdict.message.has_operations
        self._unit.keep(verdict, device.id)

    # ---- State read again ------------------------------------------------------------------

    def _reread_owners(self, devices: Sequence[Device]) -> None:
        """Read who owns devices again, from their last spans."""
        places = [(device.id, FOREVER) for device in devices]
        found = self._unit.ask.neighbours(self._workspace, places)
        for device, spans in zip(devices, found, strict=True):
            device.owner = spans.at.owner

    def _reread(self, device: Device) -> None:
        """Read a device's state again, from its spans and the ledger."""
        spans = self._unit.ask.spans_of(self._workspace, device.id)
        device.owner = spans[-1].owner if spans else None
        device.segment = next((row.start for row in reversed(spans) if row.opens_segment), START)
        device.visit, device.visit_known = None, False
        ends = [self._unit.ask.last_visitor(self._workspace, device.id)]
        if device.owner is not None:
            ends.append(self._claims([(device.id, device.owner, FOREVER, FOREVER)])[0][0])
        if device.segment != START:
            # A segment starts right after the reset before it.
            ends.append(Position(device.segment.at, device.segment.message_id[:-1]))
        device.last = max((end for end in ends if end is not None), default=None)


def _present(device: Device, user: int | None) -> Holder:
    """Return who holds a message that changes nothing: its user, else the present owner."""
    if user is not None:
        return user
    if device.owner is not None:
        return device.owner
    return AnonymousSegment(device.id, device.name, device.segment)


def _holder(device: Device, at: SpanRow) -> Holder:
    """Return who holds the positions of a span."""
    if at.owner is not None:
        return at.owner
    return AnonymousSegment(device.id, device.name, at.start)
