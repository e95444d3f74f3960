"""Every question of the port, asked about all ids that there are."""

from collections.abc import Sequence
from typing import Any

from sameas_service.domain.device import Cut
from sameas_service.domain.message import START
from sameas_service.resolver.facts import (
    FOREVER,
    Filter,
    Kin,
    Names,
    PersonKey,
    Source,
)
from sameas_service.resolver.ports import LedgerReader, ReadTransaction, WriteTransaction
from support.stored import EVERYTHING, Stored

ALWAYS = 2**62


class Ids:
    """The ids that questions are about, and the numbers that a workspace has for them."""

    def __init__(
        self, held: Stored, messages: Sequence[str], users: Sequence[str], devices: Sequence[str]
    ) -> None:
        self.messages, self.users, self.devices = messages, users, devices
        self.persons = sorted(held.person_ids())
        self.user_numbers = _numbers(held, users, is_user=True)
        self.device_numbers = _numbers(held, devices, is_user=False)

    def keys(self) -> list[PersonKey]:
        """Keys of everybody."""
        return [
            *(PersonKey("user", name) for name in self.users),
            *(PersonKey("anonymous", name) for name in self.devices),
            *(PersonKey("person", one) for one in self.persons),
        ]


def answers(held: Stored, ids: Ids) -> dict[str, Any]:
    """The answer to each question about a workspace, by the question's name."""
    found = held.store.scan(lambda reader: _of_ledger(reader, held, ids))
    found |= held.store.read(lambda transaction: _of_read(transaction, held, ids))
    return found | held.store.write(lambda tx: _of_write(tx, held, ids), keep=False)


def _numbers(held: Stored, names: Sequence[str], *, is_user: bool) -> list[int]:
    found = held.store.scan(
        lambda reader: [reader.id_of(held.workspace, name, is_user=is_user) for name in names]
    )
    return [number for number in found if number is not None]


def _of_ledger(reader: LedgerReader, held: Stored, ids: Ids) -> dict[str, Any]:
    workspace, users, devices = held.workspace, ids.users, ids.devices
    kin = Kin(ids.user_numbers, ids.device_numbers)
    numbers = [number for number, _ in reader.messages_after(workspace, 0, EVERYTHING)]
    return {
        "workspace": reader.workspace(workspace.name),
        "targets": reader.targets(workspace, ids.keys()),
        "kin": [_sorted(reader.kin(workspace, [name], ALWAYS)) for name in users],
        "links_of": [sorted(reader.links_of(workspace, [name], ALWAYS)) for name in users],
        "numbers_of": sorted(reader.numbers_of(workspace, kin, ALWAYS, EVERYTHING)),
        "messages": reader.messages(workspace, numbers),
        "unlinks_of": sorted(reader.unlinks_of(workspace, users)),
        "number_of": [reader.number_of(workspace, one) for one in ids.messages],
        "count_after": reader.count_after(workspace, 0),
        "messages_after": reader.messages_after(workspace, 0, EVERYTHING),
        "id_of": [
            *(reader.id_of(workspace, name, is_user=True) for name in users),
            *(reader.id_of(workspace, name, is_user=False) for name in devices),
        ],
        "users_after": reader.users_after(workspace, 0, EVERYTHING),
        "devices_after": reader.devices_after(workspace, 0, EVERYTHING),
    }


def _sorted(kin: Kin) -> list[list[int]]:
    return [sorted(kin.users), sorted(kin.devices)]


def _of_read(transaction: ReadTransaction, held: Stored, ids: Ids) -> dict[str, Any]:
    workspace = held.workspace
    resolved = transaction.resolve(workspace, ids.keys())
    persons = list({person for person in resolved if person is not None})
    facts = transaction.person_facts(workspace, persons)
    sources = transaction.sources(workspace, persons)
    every = [source for found in sources.values() for source in found]
    return {
        "resolve": resolved,
        "person_facts": [
            facts.seen,
            {person: sorted(names) for person, names in facts.users.items()},
            facts.devices,
            facts.profiles,
        ],
        "sources": {person: sorted(found, key=repr) for person, found in sources.items()},
        "page": transaction.page(workspace, every, START, Filter(), EVERYTHING),
        "changes": transaction.changes(workspace, 0, EVERYTHING),
        "messages_by_id": sorted(
            transaction.messages_by_id(workspace, ids.messages), key=lambda pair: pair[0].message_id
        ),
        "persons_of_messages": transaction.persons_of_messages(workspace, ids.messages),
    }


def _of_write(transaction: WriteTransaction, held: Stored, ids: Ids) -> dict[str, Any]:
    workspace, users, devices = held.workspace, ids.user_numbers, ids.device_numbers
    opening = transaction.open(
        workspace, Names(ids.messages, [*ids.devices, "new"], [], [*ids.users, "new"])
    )
    pairs = [(device, user) for device in devices for user in users]
    sources = [
        *(Source(user) for user in users),
        *(Source(None, device, START, FOREVER) for device in devices),
    ]
    return {
        "open": [
            opening.known_ids,
            sorted(opening.devices, key=lambda device: device.name),
            sorted(opening.new_devices),
            sorted(opening.users, key=lambda user: user.name),
            sorted(opening.new_users),
            sorted(opening.unlinks),
        ],
        "users": sorted(transaction.users(workspace, users), key=lambda user: user.id),
        "members": sorted(transaction.members(workspace, users), key=lambda user: user.id),
        "links_among": sorted(transaction.links_among(workspace, users)),
        "links_between": [
            sorted(transaction.links_between(workspace, one, other))
            for one in users
            for other in users
        ],
        "still_named": transaction.still_named(workspace, users),
        "devices_of": sorted(transaction.devices_of(workspace, users)),
        "neighbours": transaction.neighbours(workspace, [(device, FOREVER) for device in devices]),
        "claims": transaction.claims(
            workspace, [(device, user, FOREVER, FOREVER) for device, user in pairs]
        ),
        "visit_starts": transaction.visit_starts(
            workspace, [(device, Cut(FOREVER, START)) for device in devices]
        ),
        "spans_of": [transaction.spans_of(workspace, device) for device in devices],
        "last_visitor": [transaction.last_visitor(workspace, device) for device in devices],
        "first_alias_sources": transaction.first_alias_sources(
            workspace, [("new", user, "new") for user in users]
        ),
        "profiles": transaction.profiles(workspace, ids.persons),
        "operations": sorted(transaction.operations(workspace, sources)),
        "counts": transaction.counts(workspace, sources, ""),
    }
