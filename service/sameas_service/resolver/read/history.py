"""The past, and explanations: derived afresh from the messages that can matter.

Who a person is depends on few messages: those of the person's users, all that happened on
the devices these ever claimed, and the unlinks about them. So an answer costs as much as the
persons it is about have messages, whatever else the ledger holds.

An answer may take seconds, and a snapshot as long would keep a store from tidying up: so the
ledger is scanned, which holds none.
"""

from collections.abc import Collection, Sequence

from sameas_service.domain.derive import Person, Rules, derive
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.explain.endpoints import (
    DeviceEndpoint,
    Endpoint,
    UserEndpoint,
    find,
    place_of,
)
from sameas_service.domain.explain.explain import Explanation, explain
from sameas_service.domain.limits import ANONYMOUS_IDS_MAX, HISTORY_MESSAGES_MAX
from sameas_service.domain.message import START, Message
from sameas_service.domain.unlinks import in_force
from sameas_service.resolver.facts import FOREVER, Kin, PersonKey, Workspace
from sameas_service.resolver.ports import LedgerReader
from sameas_service.resolver.read.persons import PersonView
from sameas_service.resolver.read.timeline import Page, PageQuery

_CHUNK = 10_000


class History:
    """What the ledger held of some users and devices at a time; None for now."""

    def __init__(self, reader: LedgerReader, workspace: Workspace, as_of: int | None) -> None:
        """Begin with no messages."""
        self._reader = reader
        self._workspace = workspace
        self._until = FOREVER.at if as_of is None else as_of
        self._messages: dict[int, Message] = {}
        self._unlinks: dict[str, Message] = {}

    @property
    def messages(self) -> list[Message]:
        """What was found so far, unlinks included."""
        return [*self._messages.values(), *self._unlinks.values()]

    def add(self, end: Endpoint) -> None:
        """Add all that can matter to an endpoint's person."""
        if isinstance(end, UserEndpoint):
            self._add_users([end.user])
            return
        device = self._reader.id_of(self._workspace, end.device, is_user=False)
        self._add(Kin([], [] if device is None else [device]))
        place = place_of(end, in_force(self.messages), self._workspace.session_gap)
        if place is not None and place.span is not None:
            self._add_users([place.span.owner])

    def add_links_on(self, devices: Collection[str]) -> None:
        """Add the links of all who ever claimed these devices: were the claims of one user
        dropped, the device would be the next one's.
        """
        found = self._messages.values()
        names = {m.user for m in found if m.is_claim and m.device in devices and m.user}
        self._add_numbered(self._reader.links_of(self._workspace, list(names), self._until))

    def _add_users(self, names: Sequence[str]) -> None:
        self._add(self._reader.kin(self._workspace, names, self._until))

    def _add(self, kin: Kin) -> None:
        limit = HISTORY_MESSAGES_MAX + 1
        self._add_numbered(self._reader.numbers_of(self._workspace, kin, self._until, limit))

    def _add_numbered(self, numbers: Sequence[int]) -> None:
        if len(numbers) > HISTORY_MESSAGES_MAX:
            raise Refused(
                Reason.HISTORY_TOO_LARGE,
                f"this answer depends on more than {HISTORY_MESSAGES_MAX} messages, too many to "
                "derive it afresh",
                metadata={"max_messages": str(HISTORY_MESSAGES_MAX)},
            )
        new = [number for number in numbers if number not in self._messages]
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            messages = self._reader.messages(self._workspace, chunk)
            self._messages.update(zip(chunk, messages, strict=True))
        self._add_unlinks()

    def _add_unlinks(self) -> None:
        """Add unlinks: one can strike only what names its user, as the user or as the source."""
        found = self._messages.values()
        names = {m.user for m in found} | {m.source for m in found}
        known = [name for name in names if name is not None]
        for unlink in self._reader.unlinks_of(self._workspace, known):
            if unlink.received_at <= self._until:
                self._unlinks[unlink.message_id] = unlink


def persons(
    reader: LedgerReader, workspace: Workspace, keys: Sequence[PersonKey], as_of: int
) -> list[PersonView | None]:
    """Return the person of each key as of a time; None where no message had named it."""
    views: dict[Endpoint, PersonView | None] = {}
    ends = _endpoints(reader, workspace, keys)
    for end in ends:
        if end is not None and end not in views:
            person = _person(History(reader, workspace, as_of), end, workspace)
            views[end] = None if person is None else _view(person)
    return [None if end is None else views[end] for end in ends]


def page(reader: LedgerReader, workspace: Workspace, query: PageQuery, as_of: int) -> Page | None:
    """Return a page of a person's timeline as of a time; None where there was no person."""
    (end,) = _endpoints(reader, workspace, [query.key])
    if end is None:
        return None
    history = History(reader, workspace, as_of)
    person = _person(history, end, workspace)
    if person is None:
        return None
    # As they came: a claim that was struck is shown with its device.
    whole = {message.message_id: message for message in history.messages}
    after = query.after or START
    found = [
        whole[message.message_id]
        for message in person.messages
        if message.position > after and query.only.takes(message)
    ]
    messages = found[: query.limit]
    return Page(messages, messages[-1].position if len(found) > query.limit else None)


def explanation(
    reader: LedgerReader,
    workspace: Workspace,
    keys: tuple[PersonKey, PersonKey],
    as_of: int | None,
) -> Explanation:
    """Explain why two keys are one person, or why not, as of a time; None for now."""
    history = History(reader, workspace, as_of)
    ends = first, second = _endpoints(reader, workspace, keys)
    for end in ends:
        if end is not None:
            history.add(end)
    if isinstance(first, DeviceEndpoint) and isinstance(second, DeviceEndpoint):
        history.add_links_on({first.device, second.device})
    return explain(history.messages, first, second, _rules(workspace))


def _person(history: History, end: Endpoint, workspace: Workspace) -> Person | None:
    history.add(end)
    rules = _rules(workspace)
    return find(derive(history.messages, rules), end, rules)


def _rules(workspace: Workspace) -> Rules:
    return Rules(workspace.name, workspace.session_gap)


def _endpoints(
    reader: LedgerReader, workspace: Workspace, keys: Sequence[PersonKey]
) -> list[Endpoint | None]:
    """Return what each key names; None where nothing ever was called so."""
    return [
        None
        if target is None
        else UserEndpoint(target.user)
        if target.user is not None
        else DeviceEndpoint(target.device or "", target.start)
        for target in reader.targets(workspace, keys)
    ]


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
