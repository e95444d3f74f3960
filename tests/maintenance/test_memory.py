"""Verify and rebuild take little memory, however large the ledger and whoever shares a device."""

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.store.sqlite.store import FILE
from support.histories import GAP, T0
from support.maintained import growth_bytes
from support.stored import opened

USERS = 100_000

_MESSAGE = """
    INSERT INTO message (
        workspace, message_id, kind, at, device, user, received_at, outcome, speaks, event,
        payload, context
    ) VALUES (1, ?, ?, ?, ?, ?, 0, 1, ?, '', ?, '')
"""
_DEVICE = """
    INSERT INTO device (
        workspace, id, name, last_at, last_id, segment_at, segment_id, visit_known, has_operations
    ) VALUES (1, ?, ?, 0, '', 0, '', 1, 0)
"""
_USER = "INSERT INTO user (workspace, id, name, canonical, named) VALUES (1, ?, ?, 0, 0)"


def ledger_alone(directory: Path, users: int, devices: int) -> Path:
    """A ledger of users who each look around and sign in, on so many devices, and no more."""
    opened(directory, Rules()).close()
    connection = sqlite3.connect(directory / FILE)
    connection.executemany(_MESSAGE, _messages(users, devices))
    for sql, count in ((_DEVICE, devices), (_USER, users)):
        connection.executemany(sql, ((number, f"n{number}") for number in range(1, count + 1)))
    connection.commit()
    connection.close()
    return directory


def _messages(users: int, devices: int) -> Iterator[tuple[Any, ...]]:
    for user in range(1, users + 1):
        device, at, id_ = user % devices + 1, 2 * (T0 + user * GAP), f"{user:032d}"
        yield f"{id_}a", Kind.PROFILE, at, device, None, 1, '{"increment":{"n":1}}'
        yield f"{id_}b", Kind.IDENTIFY, at + 2, device, user, 1, '{"plan":"free"}'


@pytest.mark.skipif(sys.platform != "linux", reason="A PROCESS'S MEMORY WAS NOT LOOKED AT")
def test_a_device_that_everybody_shares_takes_no_more_memory_than_devices_of_their_own(tmp_path):
    shared = ledger_alone(tmp_path / "shared", USERS, 1)
    few = ledger_alone(tmp_path / "few", USERS // 4, 1)
    apart = ledger_alone(tmp_path / "apart", USERS, USERS)

    for work in ("rebuilt", "verified"):
        of_shared, of_few, of_apart = (growth_bytes(work, data) for data in (shared, few, apart))
        assert of_shared < 1.25 * of_apart, work
        # Four times the users: a run of each sorter fills up, and no more.
        assert of_shared < 1.6 * of_few, work
