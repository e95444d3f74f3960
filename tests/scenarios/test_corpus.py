"""The issue's words: '`sameas import shop.jsonl.gz` then reading back gives exactly
shop.expected.json: 562 identified and 219 anonymous persons, 28,981 and 2,687 tracks, and every
listed customer's tracks, anonymous ids, logins_count, purchases, plan, first and last track. The
same when the file is shuffled, reversed, cut in batches of other sizes, and imported twice.'
"""

import gzip
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sameas import v1
from support.api import Api, connected
from support.ledgers import dumped
from support.servers import Server, running
from support.shared import CORPUS, EXPECTED, needs_shared

pytestmark = needs_shared

KEYS_MAX = 1_000
TRACK = v1.MessageKind.MESSAGE_KIND_TRACK


class Shop(NamedTuple):
    """What is read back of an import."""

    summary: str
    second_summary: str
    people: dict[str, v1.Person]
    """By person id: all whom an anonymous id of the file leads to."""
    customers: dict[str, v1.Person | None]
    """By user id."""
    timelines: dict[str, list[v1.Message]]
    """By person id."""
    dump: dict[str, Any]
    """Everybody, after the second import."""


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """The file's lines."""
    return gzip.decompress(CORPUS.read_bytes()).splitlines()


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """What must come out."""
    return json.loads(EXPECTED.read_bytes())


@pytest.fixture(scope="module")
def shop(lines: list[bytes], expected: dict[str, Any]) -> Shop:
    """The file imported as it is, all of it read back, and imported once more."""
    with running() as server:
        summary = import_file(server, CORPUS)
        with connected(server.target) as api:
            devices = [v1.PersonKey(anonymous_id=device) for device in devices_of(lines)]
            people = {p.person_id: p for p in read_people(api, devices) if p is not None}
            users = list(expected["users"])
            customers = read_people(api, [v1.PersonKey(user_id=user) for user in users])
            timelines = {person_id: api.timeline(person_id=person_id) for person_id in people}
        second_summary = import_file(server, CORPUS, "--batch-size", "777")
        return Shop(
            summary,
            second_summary,
            people,
            dict(zip(users, customers, strict=True)),
            timelines,
            dump_of(server),
        )


def import_file(server: Server, file: Path, *options: str) -> str:
    """The real command line; what it prints."""
    command = [sys.executable, "-m", "sameas_service", "import", str(file)]
    done = subprocess.run(
        [*command, "--server", server.target, *options],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def devices_of(lines: list[bytes]) -> list[str]:
    """Every anonymous id of the file."""
    found = set()
    for line in lines:
        message = json.loads(line)
        found |= {message.get("anonymousId"), message.get("previousId")}
    return sorted(found - {None})


def read_people(api: Api, keys: list[v1.PersonKey]) -> list[v1.Person | None]:
    """Persons by their ids, in calls of 1,000."""
    parts = [keys[start : start + KEYS_MAX] for start in range(0, len(keys), KEYS_MAX)]
    return [person for part in parts for person in api.people(*part)]


def dump_of(server: Server) -> dict[str, Any]:
    """Everybody, of a server that is stopped for it."""
    assert server.stop() == 0
    return dumped(server.data)


def tracks(shop: Shop, person: v1.Person) -> list[v1.Message]:
    """A person's tracks, in order."""
    return [message for message in shop.timelines[person.person_id] if message.kind == TRACK]


def rfc3339(message: v1.Message) -> str:
    """When it happened, as `shop.expected.json` writes it."""
    return message.timestamp.ToDatetime().isoformat(timespec="milliseconds") + "Z"


def test_every_message_is_accepted_without_a_warning(shop, expected):
    assert shop.summary.startswith(f"{expected['messages']:,} accepted, 0 duplicates, 0 refused")
    assert "warnings" not in shop.summary


def test_persons_are_562_identified_and_219_anonymous(shop, expected):
    identified = [person for person in shop.people.values() if person.user_id]

    assert len(identified) == expected["identified_persons"] == 562
    assert len(shop.people) - len(identified) == expected["anonymous_persons"] == 219
    assert set(shop.people) == set(shop.dump["people"])


def test_tracks_are_28_981_of_the_identified_and_2_687_of_the_anonymous(shop, expected):
    counts = Counter()
    for person in shop.people.values():
        counts[bool(person.user_id)] += len(tracks(shop, person))

    assert counts[True] == expected["tracks_of_identified_persons"] == 28_981
    assert counts[False] == expected["tracks_of_anonymous_persons"] == 2_687


def test_every_message_of_the_file_stands_in_one_timeline(shop, lines):
    told = Counter(m.message_id for messages in shop.timelines.values() for m in messages)

    assert told == Counter(json.loads(line)["messageId"] for line in lines)


def test_every_customer_is_as_expected(shop, expected):
    """Tracks, anonymous ids, logins_count, purchases, plan, first and last track."""
    found = {}
    for user, person in shop.customers.items():
        own = tracks(shop, person)
        traits = dict(person.traits)
        found[user] = {
            "tracks": len(own),
            "anonymous_ids": list(person.anonymous_ids),
            "logins_count": traits.get("logins_count", 0),
            "purchases": traits.get("purchases", 0),
            "plan": traits.get("plan"),
            "first_track_at": rfc3339(own[0]),
            "last_track_at": rfc3339(own[-1]),
        }

    assert found == expected["users"]
    assert len(found) == 562
    assert all(list(p.user_ids) == [user] for user, p in shop.customers.items())


def reverse(lines: list[bytes]) -> list[bytes]:
    return lines[::-1]


def shuffle(lines: list[bytes], seed: int) -> list[bytes]:
    return random.Random(seed).sample(lines, len(lines))


VARIANTS = {
    "in batches of 37": (lambda lines: lines, "37"),
    "reversed": (reverse, "500"),
    "shuffled, in batches of 2,500": (lambda lines: shuffle(lines, 2), "2500"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_people_come_of_the_file(shop, lines, tmp_path, name):
    """In any order and any batches: spans, timelines, traits and ids are equal, all of them."""
    order, batch_size = VARIANTS[name]
    file = tmp_path / "shop.jsonl"
    file.write_bytes(b"\n".join(order(lines)))

    with running() as server:
        summary = import_file(server, file, "--batch-size", batch_size)
        dump = dump_of(server)

    assert summary.startswith("36,500 accepted, 0 duplicates, 0 refused")
    assert dump == shop.dump


def test_a_second_import_is_all_duplicates(shop):
    """And changes nothing: what the variants are compared with is the store behind it."""
    assert shop.second_summary.startswith("0 accepted, 36,500 duplicates, 0 refused")


def test_a_file_imported_twice_at_once_counts_once(shop, lines, tmp_path):
    """Two imports that run side by side, one of them backwards."""
    backwards = tmp_path / "backwards.jsonl"
    backwards.write_bytes(b"\n".join(reverse(lines)))

    with running() as server:
        command = [sys.executable, "-m", "sameas_service", "import", "--server", server.target]
        imports = [
            subprocess.Popen([*command, str(file)], stdout=subprocess.PIPE, text=True)
            for file in (CORPUS, backwards)
        ]
        summaries = [one.communicate(timeout=300)[0] for one in imports]
        dump = dump_of(server)

    assert [one.returncode for one in imports] == [0, 0]
    accepted = [int(summary.split()[0].replace(",", "")) for summary in summaries]
    assert sum(accepted) == 36_500
    assert dump == shop.dump
