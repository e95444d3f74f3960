"""Workspaces that share a database and every id: verify and rebuild keep them apart."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from sameas_service.resolver.facts import TABLES
from sameas_service.resolver.maintain.rebuild import Gap
from sameas_service.store.sqlite.store import FILE
from support.damages import damage, story
from support.histories import GAP, histories
from support.maintained import rebuilt, verified
from support.stored import opened
from support.worlds import expected_dump

ONE = Rules("one", session_gap=GAP)
TWO = Rules("two", session_gap=0)
EMPTY = Rules("empty", session_gap=GAP)


def append(directory: Path, rules: Rules, messages: list[Message]) -> None:
    """Add messages to one workspace, one by one."""
    with closing(opened(directory, rules)) as held:
        for message in messages:
            held.append([message])


def dumped(directory: Path, rules: Rules) -> dict[str, Any]:
    """Everybody in one workspace."""
    with closing(opened(directory, rules)) as held:
        return held.dump()


def rows(directory: Path) -> dict[str, list[Any]]:
    """All derived tables, of all workspaces."""
    with closing(sqlite3.connect(directory / FILE)) as connection:
        return {
            table.name: sorted(connection.execute(f"SELECT * FROM {table.name}"), key=repr)
            for table in TABLES
        }


def empty(directory: Path) -> None:
    """Remove all rows that are derived as a whole."""
    with closing(sqlite3.connect(directory / FILE)) as connection:
        for table in TABLES:
            if not table.is_kept:
                connection.execute(f"DELETE FROM {table.name}")
        connection.commit()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two workspaces with the same messages, in turns, and one without any."""
    messages = story()
    for at in range(0, len(messages), 5):
        append(tmp_path, ONE, messages[at : at + 5])
        append(tmp_path, TWO, messages[at : at + 5])
    append(tmp_path, EMPTY, [])
    return tmp_path


def test_each_is_verified_by_its_own_ledger_and_session_gap(data):
    assert verified(data) == []
    assert dumped(data, ONE) == expected_dump(story(), ONE)
    assert dumped(data, TWO) == expected_dump(story(), TWO)


@pytest.mark.parametrize("name", [table.name for table in TABLES if not table.is_kept])
def test_what_is_gone_from_one_is_named_and_put_back(data, name):
    before = rows(data)
    of_two = {
        "span": "device IN (SELECT id FROM device WHERE workspace = 2)",
        "link": "source IN (SELECT id FROM user WHERE workspace = 2)",
    }
    damage(data, f"DELETE FROM {name} WHERE {of_two.get(name, 'workspace = 2')}")
    gone = len(before[name]) - len(rows(data)[name])

    assert gone > 0
    assert [found.table for found in verified(data)] == [name] * gone
    rebuilt(data)
    assert rows(data)[name] == before[name]
    assert verified(data) == []


def test_what_is_wrong_in_both_is_put_right_in_both(data):
    damage(
        data,
        "UPDATE user SET canonical = 1, named = 1 - named",
        "UPDATE device SET owner = 2, last_id = 'x'",
        "UPDATE message SET user = struck, struck = NULL WHERE struck IS NOT NULL",
        "UPDATE span SET owner = 2",
        "DELETE FROM link",
        "DELETE FROM unlink",
        "UPDATE person SET workspace = 3 - workspace, person_id = 'x' || person_id",
        "UPDATE profile SET workspace = 3 - workspace",
    )

    assert {found.table for found in verified(data)} == {table.name for table in TABLES}
    rebuilt(data)
    assert verified(data) == []
    assert dumped(data, ONE) == expected_dump(story(), ONE)
    assert dumped(data, TWO) == expected_dump(story(), TWO)


def test_another_session_gap_is_for_the_workspace_that_it_is_given_for(data):
    assert rebuilt(data, Gap("two", GAP)) == 2 * len(story())

    assert verified(data) == []
    assert dumped(data, ONE) == expected_dump(story(), ONE)
    assert dumped(data, TWO) == expected_dump(story(), TWO._replace(session_gap=GAP))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(max_size=20), histories(max_size=20))
def test_any_two_histories_are_rebuilt_apart(first, second):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        data = Path(directory)
        append(data, ONE, first)
        append(data, TWO, second)
        assert verified(data) == []
        empty(data)

        rebuilt(data)

        assert verified(data) == []
        assert dumped(data, ONE) == expected_dump(first, ONE)
        assert dumped(data, TWO) == expected_dump(second, TWO)
