"""A group of messages goes into the ledger, and what is derived from it is brought up to date.

All of it happens in one transaction and in a handful of questions, whatever the size of the
group: beside a busy event loop each statement is a fight for the interpreter's lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from sameas_service.domain import warnings
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.receipt import Outcome, Receipt
from sameas_service.resolver.facts import Holder, Names, Workspace, person_id_of
from sameas_service.resolver.ports import WriteTransaction
from sameas_service.resolver.write.devices import Devices
from sameas_service.resolver.write.profiles import Profiles
from sameas_service.resolver.write.unit_of_work import UnitOfWork, Verdict
from sameas_service.resolver.write.unlinks import Unlinks
from sameas_service.resolver.write.users import Users

Answers = list[Receipt | Refused]


def append(
    transaction: WriteTransaction, workspace: Workspace, messages: Sequence[Message]
) -> Answers:
    """Take messages of one workspace. Return one answer each, in their order.

    May run again after a conflict: it changes nothing outside of the transaction.
    """
    return Group(transaction, workspace, messages).append()


class Group:
    """Messages of one workspace, on their way into the ledger.

    Attributes:
        unit: what the group writes.
    """

    def __init__(
        self, transaction: WriteTransaction, workspace: Workspace, messages: Sequence[Message]
    ) -> None:
        """Open the transaction for what the messages name."""
        self._messages = messages
        self._opening = transaction.open(workspace, names_of(messages))
        self.unit = UnitOfWork(transaction, workspace)
        self._users = Users(self.unit, self._opening.users)
        self._devices = Devices(self.unit, self._users, self._opening.devices)
        self._unlinks: Unlinks | None = None
        self._relinked: set[int] = set()
        self._persons: dict[Holder, str] = {}

    def append(self) -> Answers:
        """Take the messages. Return one answer each, in their order."""
        fresh, repeats = _sort_out(self._messages, self._opening.known_ids)
        if not repeats:
            answers: Answers = list(self._take_new(self._messages))
        else:
            receipts = self._take_new(list(fresh.values())) if fresh else []
            by_index: dict[int, Receipt | Refused] = dict(zip(fresh, receipts, strict=True))
            by_index |= self._answer_repeats(repeats)
            answers = [by_index[index] for index in range(len(self._messages))]
        self.unit.flush()
        return answers

    def _take_new(self, fresh: Sequence[Message]) -> list[Receipt]:
        self._make_new(fresh)
        self._take(sorted(fresh, key=attrgetter("position")))
        self._warn_of_aliases([m for m in fresh if m.kind is Kind.ALIAS])
        self._settle_profiles(fresh)
        verdicts, moved = self.unit.verdicts, self._moved(fresh)
        return [self._receipt(verdicts[m.position.message_id], moved) for m in fresh]

    def _make_new(self, fresh: Sequence[Message]) -> None:
        """Make the users and devices that were not there, but for those of repeats alone."""
        opening = self._opening
        named = names_of(fresh) if fresh is not self._messages else None
        users, devices = opening.new_users, opening.new_devices
        self._users.make(_only(users, named and named.users), users)
        self._devices.make(_only(devices, named and named.devices), devices)
        if opening.unlinks or any(message.kind is Kind.UNLINK for message in fresh):
            self._unlinks = Unlinks(self.unit, self._users, self._devices, opening.unlinks)

    def _take(self, ordered: Sequence[Message]) -> None:
        """Take messages in order, unlinks last: those strike what came with them."""
        unlinks = self._unlinks
        placed, parting = [], []
        for message in ordered:
            if message.kind is Kind.UNLINK:
                parting.append(message)
            elif message.source is not None:
                self._link(message)
            elif message.device is not None and (unlinks is None or not unlinks.is_struck(message)):
                placed.append(message)
            else:
                self._take_plain(message)
        if placed:
            self._devices.take(placed)
        for message in parting:
            assert unlinks is not None, "an unlink is known when the group is made"
            unlinks.take(message)
        if unlinks is not None:
            self._relinked |= unlinks.relinked

    def _take_plain(self, message: Message) -> None:
        """Take a message that has no place on a device's timeline."""
        user = self._users.named(message.user)
        verdict = Verdict(message, user.id)
        if not user.named:
            verdict.outcome = Outcome.CREATED
        self._users.keep(verdict, self._devices.id_of(message.device), user.id)

    def _link(self, message: Message) -> None:
        if self._unlinks is not None:
            message = self._unlinks.dated(message)
            if self._unlinks.is_struck(message):
                source, target = (
                    self._users.named(name).id for name in (message.source, message.user)
                )
                self.unit.keep(Verdict(message, target), source=source, struck=target)
                return
        self._relinked |= self._users.link(message)

    def _warn_of_aliases(self, aliases: Sequence[Message]) -> None:
        """Warn of a user's second alias from another source."""
        wanted = [(m, source) for m in aliases if (source := m.device or m.source)]
        if not wanted:
            return
        asked = [(m.message_id, self._users.named(m.user).id, source) for m, source in wanted]
        firsts = self.unit.ask.first_alias_sources(self.unit.workspace, asked)
        for (message, source), first in zip(wanted, firsts, strict=True):
            if first is not None and message.user is not None:
                warning = warnings.alias_repeated(message.user, source, first)
                self.unit.verdicts[message.message_id].warnings += (warning,)

    def _settle_profiles(self, fresh: Sequence[Message]) -> None:
        touched, gained = self._devices.touched, self._devices.gained
        verdicts = self.unit.verdicts
        speaking = [verdicts[m.message_id] for m in fresh if m.has_operations]
        if speaking or touched or gained or self._relinked:
            Profiles(self.unit, self._users).settle(speaking, touched, gained, self._relinked)

    def _moved(self, fresh: Sequence[Message]) -> Mapping[str, str]:
        """Return the person ids of messages that a later one of the group may have moved.

        Those name no user, on a device that was cut anew. A receipt tells what is true once the
        group is on disk.
        """
        recut = self._devices.recut
        ids = [m.message_id for m in fresh if m.user is None and m.device in recut] if recut else []
        return self._persons_of(ids) if ids else {}

    def _persons_of(self, message_ids: Sequence[str]) -> dict[str, str]:
        found = self.unit.ask.persons_of_messages(self.unit.workspace, message_ids)
        return {
            message_id: person_id_of(person, self.unit.workspace)
            for message_id, person in found.items()
        }

    def _receipt(self, verdict: Verdict, moved: Mapping[str, str]) -> Receipt:
        message, holder = verdict.message, verdict.holder
        person = moved.get(message.position.message_id) or self._persons.get(holder)
        if person is None:
            person = self._persons[holder] = self._users.person_id_of(holder)
        return Receipt(
            message.position.message_id,
            verdict.outcome,
            person,
            verdict.absorbed,
            False,  # noqa: FBT003  (by position, since this runs for each message)
            message.warnings + verdict.warnings,
        )

    def _answer_repeats(self, repeats: dict[int, Message]) -> dict[int, Receipt | Refused]:
        """Answer messages with ids that were used before, by index."""
        ids = list({message.message_id for message in repeats.values()})
        kept = self.unit.ask.messages_by_id(self.unit.workspace, ids)
        first = {message.message_id: (message, outcome) for message, outcome in kept}
        persons = self._persons_of(ids)
        return {
            index: _answer_repeat(message, *first[message.message_id], persons)
            for index, message in repeats.items()
        }


def names_of(messages: Sequence[Message]) -> Names:
    """Return what messages name."""
    devices, parted, users = set[str | None](), set[str | None](), set[str | None]()
    for message in messages:
        (parted if message.kind is Kind.UNLINK else devices).add(message.device)
        users.add(message.user)
        users.add(message.source)
    for names in (devices, parted, users):
        names.discard(None)
    message_ids = [message.position.message_id for message in messages]
    return Names(message_ids, list(devices), list(parted), list(users))  # type: ignore[arg-type]


def _only(new: Mapping[str, int], named: Iterable[str] | None) -> list[str]:
    return list(new) if named is None else sorted(new.keys() & set(named))


def _sort_out(
    messages: Sequence[Message], known: set[str]
) -> tuple[dict[int, Message], dict[int, Message]]:
    """Return messages with new ids, and those with ids used before, here or in the ledger, by
    index.
    """
    if not known and len({m.position.message_id for m in messages}) == len(messages):
        return {}, {}
    seen = set(known)
    fresh: dict[int, Message] = {}
    repeats: dict[int, Message] = {}
    for index, message in enumerate(messages):
        (repeats if message.message_id in seen else fresh)[index] = message
        seen.add(message.message_id)
    return fresh, repeats


def _answer_repeat(
    message: Message, kept: Message, outcome: Outcome, persons: Mapping[str, str]
) -> Receipt | Refused:
    if message.same_content(kept):
        person = persons[message.message_id]
        return Receipt(message.message_id, outcome, person, duplicate=True)
    return Refused(
        Reason.MESSAGE_ID_REUSED,
        "message_id was used before with other content; make a new id for each call",
        field="message_id",
        metadata={"message_id": message.message_id},
    )
