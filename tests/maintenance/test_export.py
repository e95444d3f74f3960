"""An export is an import: the same people elsewhere, and nothing new at home."""

import gzip
import random
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from sameas_service.cli.exporting import line_of
from sameas_service.cli.lines import item_of
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.resolver.ports import LedgerReader
from sameas_service.resolver.read import export
from sameas_service.resolver.read.export import Export, Holding
from sameas_service.servicer.requests import Receiving, item_message
from sameas_service.store.sqlite.store import open_ledger
from support.damages import filled, story
from support.histories import GAP, MINUTE, T0, histories
from support.ledgers import dumped
from support.servers import Server
from support.stored import filled_with, fresh_workspace
from support.worlds import expected_dump

HOUR = 60 * MINUTE


def awkward() -> list[Message]:
    """Calls as a server takes them live, with all that their times can be."""
    visitor = Call(Kind.TRACK, "", T0, anonymous_id="d9", event="e")
    calls = [
        visitor._replace(message_id="undated"),
        visitor._replace(message_id="in time", client_time=T0 - 1),
        visitor._replace(message_id="skewed", client_time=T0 - 5 * HOUR, sent_at=T0 - 4 * HOUR),
        visitor._replace(message_id="ahead", client_time=T0 + HOUR),
        Call(Kind.PAGE, "page", T0, anonymous_id="d9", payload='{"a":[1.5,null]}', context="{}"),
        Call(Kind.GROUP, "group", T0, user_id="u9", event="g", payload='{"n":"x"}'),
        Call(Kind.IDENTIFY, "bare", T0, user_id="u9", context='{"traits":{"not":"mine"}}'),
        Call(Kind.ALIAS, "self", T0, user_id="u9", previous_user_id="u9"),
        Call(Kind.ALIAS, "own", T0, anonymous_id="d9", user_id="u9", previous_anonymous_id="d8"),
        Call(Kind.MERGE, "me", T0, user_id="u9", previous_user_id="u9", payload="why"),
        Call(Kind.IDENTIFY, "late claim", T0 + HOUR, anonymous_id="d7", user_id="u9"),
        Call(Kind.UNLINK, "dated by the server", T0, anonymous_id="d7", user_id="u9"),
        Call(Kind.RESET, "by a user", T0, anonymous_id="d9", user_id="u9"),
    ]
    return [accept(call) for call in calls]


def stored(data: Path) -> list[Message]:
    """The ledger's messages."""
    with open_ledger(data) as reader:
        return exported(reader, "default")


def exported(reader: LedgerReader, workspace: str) -> list[Message]:
    """All messages, as an export reads them out."""
    return [message for piece in Export(reader, workspace).messages(0) for message in piece]


def holdings(reader: LedgerReader, workspace: str) -> list[Holding]:
    """Whose each id is, as an export reads it out."""
    return [one for piece in Export(reader, workspace).holdings(None) for one in piece]


def imported(file: Path, server: Server) -> str:
    """What the command `import` says of a file."""
    command = [sys.executable, "-m", "sameas_service", "import", str(file)]
    done = subprocess.run(
        [*command, "--server", server.target], capture_output=True, text=True, check=True
    )
    return done.stdout


def content(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_an_export_gives_the_same_people_elsewhere_and_nothing_new_at_home(tmp_path, sameas, name):
    messages = story() + awkward()
    home = filled(tmp_path / "home", messages)
    file = tmp_path / name

    done = sameas("export", file, "--data", home)

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"exported {len(messages)} messages in ")
    server = Server(tmp_path / "elsewhere").start()
    assert imported(file, server).startswith(f"{len(messages)} accepted, 0 duplicates, 0 refused")
    assert imported(file, server).startswith(f"0 accepted, {len(messages)} duplicates, 0 refused")
    server.stop()
    server = Server(home).start()
    assert imported(file, server).startswith(f"0 accepted, {len(messages)} duplicates, 0 refused")
    server.stop()
    assert dumped(tmp_path / "elsewhere") == dumped(home)


def test_an_export_of_what_was_imported_is_the_same_file(tmp_path, sameas):
    home = filled(tmp_path / "home", story())
    sameas("export", tmp_path / "first", "--data", home)
    lines = (tmp_path / "first").read_bytes().splitlines()
    how = Receiving(1, frozenset(), imported=True)
    filled(tmp_path / "elsewhere", [item_message(item_of(line), how) for line in lines])

    sameas("export", tmp_path / "second", "--data", tmp_path / "elsewhere")

    assert (tmp_path / "second").read_bytes() == (tmp_path / "first").read_bytes()


def test_a_clients_retry_is_a_repeat_after_a_move(tmp_path):
    """Its own times moved with the messages, corrected or absent."""
    messages = {message.message_id: message for message in awkward()}
    how = Receiving(T0 + 9 * HOUR, frozenset(), imported=True)
    moved = [item_message(item_of(line_of(message)), how) for message in messages.values()]

    for message in moved:
        original = messages[message.message_id]
        assert message.same_content(original)
        assert message.client_time == original.client_time
        assert message == original._replace(warnings=message.warnings)


def test_an_unlink_says_its_pair_its_reason_and_its_date(tmp_path, sameas):
    home = filled(tmp_path / "home", story())

    sameas("export", tmp_path / "all.jsonl", "--data", home)

    lines = map(orjson.loads, (tmp_path / "all.jsonl").read_bytes().splitlines())
    found = next(line for line in lines if line["messageId"] == "m017")
    assert found == {
        "type": "unlink",
        "messageId": "m017",
        "timestamp": "2023-11-14T23:55:20.000Z",
        "receivedAt": "2023-11-14T22:13:20.000017Z",
        "userId": "u5",
        "previousUserId": "u6",
        "reason": "two people",
    }


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(max_size=30))
def test_any_ledger_moves_without_a_difference(place, history):
    rules = fresh_workspace(Rules(session_gap=GAP))
    held = filled_with(place, [history], rules)
    home = place.store.scan(lambda reader: exported(reader, rules.workspace))
    how = Receiving(1, frozenset(), imported=True)
    moved = [item_message(item_of(line_of(message)), how) for message in home]
    again = held.append(moved)
    elsewhere = fresh_workspace(rules)

    assert [one.duplicate for one in again] == [True] * len(history)
    assert [m._replace(warnings=()) for m in moved] == home
    dumped_elsewhere = filled_with(place, [moved], elsewhere).dump()
    assert dumped_elsewhere == expected_dump(history, elsewhere)


@pytest.mark.parametrize("command", ["export", "export-ids"])
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_cut_off_anywhere_it_is_gone_on_with(tmp_path, sameas, monkeypatch, command, suffix):
    home = filled(tmp_path / "home", story())
    monkeypatch.setattr(export, "PIECE_MESSAGES", 3)
    monkeypatch.setattr(export, "PIECE_IDS", 2)
    whole, file = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    assert sameas(command, whole, "--data", home).exit_code == 0
    size = whole.stat().st_size
    chance = random.Random(3)

    for cut in [0, 1, size - 1, size, *(chance.randrange(size) for _ in range(40))]:
        file.write_bytes(whole.read_bytes()[:cut])
        done = sameas(command, file, "--data", home, "--resume")

        assert done.exit_code == 0, done.output
        assert content(file) == content(whole), cut


def test_what_came_since_is_added(tmp_path, sameas):
    home = filled(tmp_path / "home", story()[:9])
    file = tmp_path / "all.jsonl.gz"
    sameas("export", file, "--data", home)
    filled(home, story()[9:])

    done = sameas("export", file, "--data", home, "--resume")

    assert done.stdout.startswith("exported 9 messages")
    assert content(file) == b"".join(map(line_of, stored(home)))


def test_a_file_that_is_there_is_not_overwritten(tmp_path, data, sameas):
    (tmp_path / "all.jsonl").write_text("precious")

    for arguments in ([], ["--resume"]):
        done = sameas("export", tmp_path / "all.jsonl", "--data", data, *arguments)
        assert done.exit_code == 2

    assert "is no export" in done.stderr
    assert (tmp_path / "all.jsonl").read_text() == "precious"


def test_an_export_of_another_directory_is_not_gone_on_with(tmp_path, data, sameas):
    other = filled(tmp_path / "other", awkward())
    sameas("export", tmp_path / "all.jsonl", "--data", other)
    before = (tmp_path / "all.jsonl").read_bytes()

    done = sameas("export", tmp_path / "all.jsonl", "--data", data, "--resume")

    assert done.exit_code == 2
    assert "does not end with anything of" in done.stderr
    assert (tmp_path / "all.jsonl").read_bytes() == before


def test_it_goes_to_standard_output_and_is_for_its_owner_alone(tmp_path, data, sameas):
    done = sameas("export", "-", "--data", data)
    sameas("export", tmp_path / "all.jsonl", "--data", data)

    assert done.stdout_bytes == (tmp_path / "all.jsonl").read_bytes()
    assert done.stderr.startswith("exported 18 messages")
    assert (tmp_path / "all.jsonl").stat().st_mode & 0o077 == 0


def test_a_server_may_run_meanwhile(tmp_path, sameas):
    home = filled(tmp_path / "home", story())
    file = tmp_path / "all.jsonl"
    server = Server(home).start()

    done = sameas("export", file, "--data", home)
    more = tmp_path / "more.jsonl"
    more.write_text('{"type":"track","event":"e","userId":"u1","messageId":"new"}\n')
    imported(more, server)
    again = sameas("export", file, "--data", home, "--resume")

    assert done.exit_code == again.exit_code == 0
    assert server.stop() == 0
    assert content(file) == b"".join(map(line_of, stored(home)))


@pytest.mark.parametrize("command", ["export", "export-ids"])
def test_without_a_database_nothing_is_made(tmp_path, sameas, command):
    done = sameas(command, tmp_path / "out.jsonl", "--data", tmp_path)

    assert done.exit_code == 2
    assert "there is no database" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ids_say_whose_they_are_and_when(tmp_path, data, sameas):
    sameas("export-ids", tmp_path / "ids.jsonl", "--data", data)

    rows = list(map(orjson.loads, (tmp_path / "ids.jsonl").read_bytes().splitlines()))
    dump = dumped(data)
    users = {row["id"]: row["person_id"] for row in rows if row["kind"] == "user"}
    assert users == dump["user_ids"]
    device = [(row["person_id"], row["from"], row["to"]) for row in rows if row["id"] == "d1"]
    switch, reset = "2023-11-14T23:03:20.000Z", "2023-11-14T23:23:20.000001Z"
    assert device == [
        (users["u1"], None, switch),
        (users["u2"], switch, reset),
        (dump["anonymous_ids"]["d1"], reset, None),
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(max_size=30))
def test_a_join_by_id_and_time_attributes_as_the_service_does(place, history):
    """As far as messages of one device differ in time: a stretch starts with a message."""
    history = [
        m._replace(position=m.position._replace(at=m.position.at + 2 * rank))
        for rank, m in enumerate(sorted(history, key=lambda m: m.position))
    ]
    assert len({m.event_time for m in history}) == len(history)
    rules = fresh_workspace(Rules(session_gap=GAP))
    people = filled_with(place, [history], rules).dump()["people"]
    rows = place.store.scan(lambda reader: holdings(reader, rules.workspace))
    held = {message: person for person, one in people.items() for message in one["messages"]}

    for message in history:
        if message.user is None:
            (row,) = [
                row
                for row in rows
                if (row.kind, row.id) == ("anonymous", message.device)
                and (row.start is None or row.start <= message.event_time)
                and (row.end is None or message.event_time < row.end)
            ]
            assert row.person_id == held[message.message_id]


def test_parquet_has_the_same_rows(tmp_path, data, sameas):
    parquet = pytest.importorskip("pyarrow.parquet")
    sameas("export-ids", tmp_path / "ids.jsonl", "--data", data)

    done = sameas("export-ids", tmp_path / "ids.parquet", "--data", data)
    again = sameas("export-ids", tmp_path / "ids.parquet", "--data", data, "--resume")

    assert (done.exit_code, again.exit_code) == (0, 0), done.output
    rows = parquet.read_table(tmp_path / "ids.parquet").to_pylist()
    for row in rows:
        for edge in ("from", "to"):
            if row[edge] is not None:
                timespec = "microseconds" if row[edge].microsecond % 1000 else "milliseconds"
                row[edge] = row[edge].replace(tzinfo=None).isoformat(timespec=timespec) + "Z"
    assert rows == list(map(orjson.loads, (tmp_path / "ids.jsonl").read_bytes().splitlines()))
    assert not list(tmp_path.glob("*.part"))


def test_without_pyarrow_it_says_what_to_install(tmp_path, data, sameas, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    done = sameas("export-ids", tmp_path / "ids.parquet", "--data", data)

    assert done.exit_code == 2
    assert "pip install 'sameas-service[parquet]'" in done.stderr
    assert not list(tmp_path.glob("ids*"))
