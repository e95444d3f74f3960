"""`sameas rebuild` makes the derived tables what the ledger gives, whatever happens to it."""

import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, position_of
from sameas_service.resolver.facts import TABLES
from sameas_service.resolver.failures import RebuildUnfinished
from sameas_service.resolver.maintain import derivation
from sameas_service.resolver.maintain.rebuild import Gap
from support.damages import damage, filled, story
from support.histories import GAP, MINUTE, T0, histories
from support.ledgers import dumped
from support.maintained import peak_bytes, rebuilt, verified
from support.servers import Server
from support.stored import opened
from support.worlds import expected_dump

EVERYTHING = (
    "UPDATE message SET speaks = 1 - speaks WHERE kind <> 10",
    "UPDATE message SET user = struck, struck = NULL WHERE struck IS NOT NULL",
    "UPDATE user SET canonical = id, named = 1 - named",
    "UPDATE device SET last_at = 0, last_id = '', owner = 1, segment_at = 5",
    "UPDATE device SET visit_known = 1, visit_at = 3, visit_id = '', has_operations = 0",
    "DELETE FROM span WHERE device < 3",
    "UPDATE span SET owner = 2, claim_id = 'x'",
    "DELETE FROM link",
    "DELETE FROM unlink",
    "DELETE FROM person",
    "UPDATE profile SET traits = '{}'",
    "INSERT INTO profile VALUES (1, 'nobody', '{}')",
)

DEVICES_AND_USERS = tuple(
    statement
    for statement in EVERYTHING
    if not any(name in statement for name in ("struck", "DELETE FROM link", "unlink", "< 3"))
)


def many(count: int) -> list[Message]:
    """Messages of a few hundred devices that are switched, reset and linked."""
    chance = random.Random(5)
    messages = []
    for number in range(count):
        kind = chance.choice([Kind.TRACK] * 6 + [Kind.PROFILE, Kind.IDENTIFY, Kind.RESET])
        user = f"u{chance.randrange(300)}" if chance.random() < 0.3 else None
        payload = {Kind.PROFILE: '{"increment":{"n":1}}', Kind.IDENTIFY: '{"plan":"a"}'}
        at = T0 + chance.randrange(10_000) * MINUTE
        messages.append(
            Message(
                kind,
                position_of(kind, at, f"m{number}"),
                at,
                f"d{chance.randrange(400)}",
                user,
                payload=payload.get(kind, "{}"),
            )
        )
    return messages


def test_after_every_table_was_damaged_all_is_as_before(data, sameas):
    before = dumped(data)
    damage(data, *EVERYTHING)
    assert len({difference.table for difference in verified(data)}) == len(TABLES)

    done = sameas("rebuild", "--data", data)

    assert done.exit_code == 0, done.output
    assert re.fullmatch(
        r"rebuilt from 18 messages in \d+\.\d s \([\d,]+ messages/s\)\n", done.stdout
    )
    assert verified(data) == []
    assert dumped(data) == before == expected_dump(story(), Rules(session_gap=GAP))


def test_what_comes_after_a_rebuild_is_as_if_there_had_been_none(tmp_path):
    first, second = many(300)[:150], many(300)[150:]
    filled(tmp_path / "data", first)
    damage(tmp_path / "data", *DEVICES_AND_USERS)
    rebuilt(tmp_path / "data")

    filled(tmp_path / "data", second)

    assert verified(tmp_path / "data") == []
    assert dumped(tmp_path / "data") == expected_dump(first + second, Rules(session_gap=GAP))


@pytest.mark.parametrize("minutes", [0, 5, 600])
def test_another_session_gap_gives_what_the_model_gives_with_it(data, sameas, minutes):
    done = sameas("rebuild", "--data", data, "--session-gap-seconds", minutes * 60)

    assert done.exit_code == 0, done.output
    assert dumped(data) == expected_dump(story(), Rules(session_gap=minutes * MINUTE))
    assert sameas("verify", "--data", data).exit_code == 0


def test_the_session_gap_of_an_unknown_workspace_is_refused(data, sameas):
    arguments = ("--session-gap-seconds", 0, "--workspace", "other")

    done = sameas("rebuild", "--data", data, *arguments)

    assert done.exit_code == 2
    assert "there is no workspace other" in done.stderr
    assert verified(data) == []


def test_lost_names_are_told_of_and_nothing_is_changed(data, sameas):
    damage(data, "DELETE FROM device WHERE name = 'd1'", "UPDATE span SET owner = 2")

    done = sameas("rebuild", "--data", data)

    assert done.exit_code == 2
    assert "the names of 1 devices or users of the ledger are lost" in done.stderr
    assert sameas("verify", "--data", data).exit_code == 1


def test_interrupted_before_it_replaces_anything_it_has_changed_nothing(data, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(derivation.Derivation, "_fold_profiles", interrupt)

    with pytest.raises(KeyboardInterrupt):
        rebuilt(data, Gap("default", 0))
    monkeypatch.undo()

    assert verified(data) == []
    assert dumped(data) == expected_dump(story(), Rules(session_gap=GAP))


@pytest.mark.parametrize("step", range(len(TABLES)))
def test_interrupted_while_it_replaces_it_must_be_run_again(data, sameas, step):
    damage(data, *EVERYTHING)

    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == ("replacing", step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuilt(data, Gap("default", 0), interrupt)

    with pytest.raises(RebuildUnfinished):
        opened(data, Rules())
    refused = sameas("verify", "--data", data)
    assert refused.exit_code == 2
    assert "run `sameas rebuild` again" in refused.stderr

    again = sameas("rebuild", "--data", data)

    assert again.exit_code == 0, again.output
    assert dumped(data) == expected_dump(story(), Rules(session_gap=0))


def test_killed_at_any_moment_it_is_finished_by_another_run(tmp_path):
    """Small pieces, so that there are many moments; a server starts before and behind only."""
    messages = many(2_500)
    data = tmp_path / "data"
    database = opened(data, Rules(session_gap=GAP))
    database.append(messages)
    database.close()
    damage(data, *DEVICES_AND_USERS)
    script = (
        "import time; from sameas_service.resolver.maintain import rebuild; "
        "from sameas_service.store.sqlite.maintenance import SqliteMaintenance as Maintenance; "
        "rebuild.WRITE_ROWS, put = 20, Maintenance.put; "
        "Maintenance.put = lambda *rows: (time.sleep(0.02), put(*rows)); "
        "from sameas_service.cli.app import app; app()"
    )
    command = [sys.executable, "-c", script, "rebuild", "--data", str(data)]
    chance, marked = random.Random(1), 0
    begin = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - begin
    damage(data, *DEVICES_AND_USERS)
    for _ in range(6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * chance.uniform(0.5, 0.95))
        process.kill()
        process.wait()
        try:
            opened(data, Rules()).close()
        except RebuildUnfinished:
            marked += 1
        if process.returncode == 0:  # it had ended before it was killed
            damage(data, *DEVICES_AND_USERS)
    assert marked, "no run was killed while it replaced anything"

    subprocess.run(command, check=True, capture_output=True)

    assert verified(data) == []
    assert dumped(data) == expected_dump(messages, Rules(session_gap=GAP))


def test_no_server_starts_on_half_a_rebuild(data, sameas):
    damage(data, "INSERT INTO maintenance VALUES ('rebuild')")

    with pytest.raises(AssertionError, match="run `sameas rebuild` again, which finishes it"):
        Server(data).start()

    assert sameas("rebuild", "--data", data).exit_code == 0
    assert Server(data).start().stop() == 0


def test_a_device_with_many_events_needs_no_more_memory_than_its_visits(tmp_path):
    """Ten megabytes of events with long pauses between them; a fifth of that is enough."""
    tracks = (
        Message(
            Kind.TRACK,
            position_of(Kind.TRACK, T0 + n * 2 * GAP, f"m{n:06d}"),
            T0,
            "d1",
            event="e",
            payload='{"text":"%s"}' % ("x" * 500),
        )
        for n in range(20_000)
    )
    database = opened(tmp_path / "data", Rules())
    database.append(list(tracks))
    database.close()

    assert peak_bytes("rebuilt", tmp_path / "data", run_bytes=2**18) < 2_000_000


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(max_size=30), st.sampled_from([GAP, 0, 1]))
def test_a_rebuild_of_any_history_gives_what_the_model_gives(history, gap):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        data = Path(directory)
        database = opened(data, Rules(session_gap=GAP))
        database.append(history)
        database.close()

        rebuilt(data, Gap("default", gap))

        database = opened(data, Rules())
        assert database.dump() == expected_dump(history, Rules(session_gap=gap))
        database.close()
        assert verified(data) == []
