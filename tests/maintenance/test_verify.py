"""What `sameas verify` finds: whatever is wrong in a derived table, and nothing else."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sameas_service.domain.derive import Rules
from sameas_service.resolver.facts import TABLES
from support.damages import damage
from support.histories import GAP, histories
from support.maintained import verified
from support.servers import Server
from support.stored import opened

DAMAGES = {
    "a device's last position": (
        "UPDATE device SET last_at = last_at - 2 WHERE name = 'd1'",
        'device id 1, name "d1": found last_at',
    ),
    "a device's owner": ("UPDATE device SET owner = 1 WHERE name = 'd1'", "device"),
    "a device's segment": (
        "UPDATE device SET segment_id = segment_id || 'x' WHERE name = 'd1'",
        "device",
    ),
    "a visit's start": (
        "UPDATE device SET visit_at = visit_at - 2 WHERE visit_known = 1 AND visit_at IS NOT NULL",
        "device",
    ),
    "traits that visitors spoke of, forgotten": (
        "UPDATE device SET has_operations = 0 WHERE name = 'd3'",
        "device",
    ),
    "a span's owner": ("UPDATE span SET owner = 3 WHERE owner = 1", "span device 1"),
    "a span's claim": ("UPDATE span SET claim_at = claim_at + 2 WHERE owner = 1", "span"),
    "a span gone": ("DELETE FROM span WHERE owner = 2", "found no row"),
    "a span too many": (
        "INSERT INTO span VALUES (1, 1700000000000000, 'x', 1, 1700000000000000, 'x')",
        "expected no row",
    ),
    "a canonical user": ("UPDATE user SET canonical = id WHERE name = 'u3'", 'name "u3"'),
    "whether a user is named": ("UPDATE user SET named = 0 WHERE name = 'u1'", "user id"),
    "a link gone": ("DELETE FROM link WHERE message_id = 'm009'", '"m009"'),
    "a link too many": ("INSERT INTO link VALUES (4, 'x', 1, 2)", "link source"),
    "an unlink gone": ("DELETE FROM unlink WHERE message_id = 'm015'", '"m015"'),
    "an unlink's date": ("UPDATE unlink SET upto = upto + 1 WHERE message_id = 'm015'", "upto"),
    "a person gone": ("DELETE FROM person WHERE user = 1", "person person_id"),
    "a person's segment": ("UPDATE person SET device = 4 WHERE device = 3", "person person_id"),
    "a profile gone": ("DELETE FROM profile", "profile person_id"),
    "a profile's value": (
        "UPDATE profile SET traits = replace(traits, 'pro', 'x') WHERE traits LIKE '%\"pro\"%'",
        "profile person_id",
    ),
    "a profile that cannot be read": ("UPDATE profile SET traits = '[1]'", "profile person_id"),
    "a profile too many": ("INSERT INTO profile VALUES (1, 'x', '{}')", 'profile person_id "x"'),
    "whether a message speaks of traits": (
        "UPDATE message SET speaks = 0 WHERE message_id = 'm001'",
        'message seq 2, message_id "m001": found speaks 0, expected speaks 1',
    ),
    "a struck link that counts": (
        "UPDATE message SET user = struck, struck = NULL WHERE message_id = 'm016'",
        'message_id "m016"',
    ),
    "a link that is struck": (
        "UPDATE message SET struck = user, user = NULL WHERE message_id = 'm009'",
        'message_id "m009"',
    ),
}


def test_an_untouched_database_has_no_differences(data, sameas):
    done = sameas("verify", "--data", data)

    assert done.exit_code == 0, done.output
    assert done.output.startswith("no differences")


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_row_is_named(data, sameas, what):
    statement, named = DAMAGES[what]
    damage(data, statement)

    done = sameas("verify", "--data", data)

    assert done.exit_code == 1, done.output
    assert named in done.stdout


def test_every_derived_table_was_damaged_above():
    damaged = {statement.split()[1] for statement, _ in DAMAGES.values()}
    damaged |= {statement.split()[2] for statement, _ in DAMAGES.values()}

    assert {table.name for table in TABLES} <= damaged


def test_a_damage_is_told_once_and_where_it_is(data, sameas):
    """The expected rows come from the ledger alone, so a wrong span makes no profile wrong."""
    damage(data, "UPDATE span SET owner = 3 WHERE owner = 1")

    done = sameas("verify", "--data", data)

    assert [line.split()[0] for line in done.stdout.splitlines()] == ["span", "1"]


def test_a_hundred_differences_are_printed_and_all_are_counted(data, sameas):
    rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 250)"
    damage(data, f"INSERT INTO profile {rows} SELECT 1, i, '{{}}' FROM n")

    done = sameas("verify", "--data", data)

    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 101
    assert done.stdout.splitlines()[-1].startswith("250 differences (150 of them not printed)")


def test_verify_changes_nothing(data, sameas):
    damage(data, "UPDATE span SET owner = 3 WHERE owner = 1")
    first = sameas("verify", "--data", data)

    assert sameas("verify", "--data", data).stdout == first.stdout
    assert {path.name for path in data.iterdir()} == {"sameas.db", "sameas.lock"}


def test_no_server_may_have_the_directory(tmp_path, sameas):
    server = Server(tmp_path / "data").start()
    try:
        done = sameas("verify", "--data", server.data)
    finally:
        server.stop()

    assert done.exit_code == 2
    assert f"in use by another sameas process (process {server.process.pid})" in done.stderr


def test_a_directory_without_a_database_is_left_as_it_is(tmp_path, sameas):
    done = sameas("verify", "--data", tmp_path)

    assert done.exit_code == 2
    assert "there is no database" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database_is_told_of(tmp_path, sameas):
    (tmp_path / "sameas.db").write_text("not a database, but long enough to be looked at" * 99)

    done = sameas("verify", "--data", tmp_path)

    assert done.exit_code == 2
    assert "file is not a database" in done.stderr


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), histories(max_size=30), st.sampled_from([GAP, 0, 1]))
def test_whatever_was_appended_has_no_differences(data, history, gap):
    order = data.draw(st.permutations(history))
    size = data.draw(st.integers(1, max(1, len(order))))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        database = opened(Path(directory), Rules(session_gap=gap))
        for at in range(0, len(order), size):
            database.append(order[at : at + size])
        database.close()

        assert verified(Path(directory)) == []
