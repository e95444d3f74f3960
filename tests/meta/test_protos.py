"""The protos: the stubs are made from them, and a change that breaks callers is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import stubs

BUF = Path(sys.executable).parent / "buf"
RELEASED = stubs.PROTOS / "released.binpb"
STUBS = stubs.ROOT / "client" / "sameas" / "v1"
EVENT = "  string event = 8;"


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A copy of the protos, to be changed."""
    return Path(shutil.copytree(stubs.PROTOS, tmp_path / "protos"))


def change(protos: Path, old: str, new: str, file: str = "identity_service.proto") -> None:
    """Replaces one text by another, which stands there exactly once."""
    path = protos / "sameas" / "v1" / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def breaking(protos: Path) -> subprocess.CompletedProcess[str]:
    """What buf says of a change against the released protos."""
    command = [BUF, "breaking", protos, "--against", RELEASED]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_the_stubs_are_fresh():
    assert stubs.stale(STUBS) == []


def test_stubs_of_a_changed_proto_are_stale(protos, monkeypatch):
    change(protos, EVENT, f"{EVENT}\n  string colour = 90;")
    monkeypatch.setattr(stubs, "PROTOS", protos)

    assert stubs.stale(STUBS) == ["identity_service_pb2.py", "identity_service_pb2.pyi"]


def test_stubs_that_are_missing_or_left_over_are_stale(tmp_path):
    shutil.copytree(STUBS, tmp_path / "v1")
    (tmp_path / "v1" / "message_pb2.py").unlink()
    (tmp_path / "v1" / "gone_pb2.py").touch()

    assert stubs.stale(tmp_path / "v1") == ["gone_pb2.py", "message_pb2.py"]


def test_the_check_of_the_command_line_fails_and_says_what_to_do(protos, monkeypatch):
    change(protos, EVENT, f"{EVENT}\n  string colour = 90;")
    monkeypatch.setattr(stubs, "PROTOS", protos)
    monkeypatch.setattr(sys, "argv", ["stubs.py", "--check", str(STUBS)])

    with pytest.raises(SystemExit, match="run `make proto`: identity_service_pb2"):
        stubs.main()


def test_the_protos_break_nothing_that_was_released():
    done = breaking(stubs.PROTOS)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_new_field_breaks_nothing(protos):
    change(protos, EVENT, f"{EVENT}\n  // New.\n  string colour = 90;")

    assert breaking(protos).returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        (EVENT, "  string event_name = 8;", "identity_service.proto"),
        (EVENT, "  bytes event = 8;", "identity_service.proto"),
        (EVENT, "  string event = 91;", "identity_service.proto"),
        (EVENT, "", "identity_service.proto"),
        ("  rpc Reset(ResetRequest) returns (ResetResponse);", "", "identity_service.proto"),
        ("  OUTCOME_SPLIT = 6;", "  OUTCOME_PARTED = 6;", "message.proto"),
        ("  ERROR_REASON_ID_BLOCKED = 3;", "", "error_reason.proto"),
    ],
    ids=["renamed field", "changed type", "changed number", "removed field", "removed method",
         "renamed value", "removed value"],
)  # fmt: skip
def test_a_breaking_change_is_noticed(protos, old, new, file):
    change(protos, old, new, file)

    done = breaking(protos)

    assert done.returncode == 100
    assert file in done.stdout
