"""What the judge finds in an image, and that it finds nothing in a good one."""

import gc
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from faults.power.judging import Judge
from faults.power.recording import Acknowledged, Recording, ledger_of
from faults.power.steps import NOT_KEPT
from sameas_service.store.sqlite.store import FILE
from support.damages import damage, filled, story

NOW = 1_000


class Scene:
    """A data directory with a story in it, and a judge who knows its ledger."""

    def __init__(self, directory: Path, *batches: Sequence[str], last: str = "") -> None:
        """Knows batches as acknowledged, one a nanosecond.

        Args:
            directory: for the files.
            batches: message ids.
            last: the last message that the directory has of the ledger; all, if empty.
        """
        messages = story()
        kept = [m for m in messages if not last or m.message_id <= last]
        ledger = ledger_of(filled(directory / "whole", messages) / FILE)
        self.data = filled(directory / "data", kept)
        calls = [Acknowledged(number, tuple(batch)) for number, batch in enumerate(batches)]
        (directory / "image").mkdir()
        self._judge = Judge(Recording([], calls, ledger), directory / "image")

    def problems(self, at_ns: int = NOW) -> list[str]:
        """What is wrong with an image of the directory at a moment, by the first words."""
        files = [path for path in self.data.iterdir() if not path.name.endswith(NOT_KEPT)]
        image = {path.name: path.read_bytes() for path in files}
        return [problem.split(":")[0] for problem in self._judge.problems(image, at_ns)]


def test_a_whole_store_has_no_problem_and_is_looked_into_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [message.message_id for message in story()])
    assert [scene.problems(), scene.problems()] == [[], []]
    assert len(scene._judge.known) == 1


def test_a_store_that_differs_is_looked_into_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.problems() == []
    damage(scene.data, "DELETE FROM span WHERE owner = 2")
    assert scene.problems() == ["differing"]
    assert len(scene._judge.known) == 2


def test_a_message_is_lost_from_the_moment_on_that_it_was_acknowledged(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ["m000"], ["m008"], last="m007")
    assert [scene.problems(at_ns) for at_ns in (0, 1, 2)] == [[], [], ["lost"]]


def test_an_empty_directory_loses_everything(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ["m000"])
    for path in scene.data.iterdir():
        path.unlink()
    assert scene.problems() == ["lost"]


def test_a_batch_is_torn_whether_or_not_it_was_acknowledged(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ["m000", "m001"], ["m006", "m007", "m008"], last="m007")
    assert scene.problems(at_ns=0) == ["torn"]


@pytest.mark.parametrize(
    ("problem", "statement"),
    [
        ("altered", "UPDATE message SET event = 'x' WHERE message_id = 'm000'"),
        ("altered", "DELETE FROM message WHERE message_id = 'm003'"),
        ("differing", "DELETE FROM span WHERE owner = 2"),
        ("differing", "UPDATE profile SET traits = '{}' WHERE traits <> '{}'"),
    ],
)
def test_wrong_rows_are_found(tmp_path: Path, problem: str, statement: str) -> None:
    scene = Scene(tmp_path)
    damage(scene.data, statement)
    assert problem in scene.problems()


def test_an_index_that_lacks_a_row_is_found(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    with closing(sqlite3.connect(scene.data / FILE, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'kind = 2', 'kind = 3') "
            "WHERE name = 'message_alias'"
        )
    assert scene.problems() == ["damaged"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_file_that_is_no_database_is_found(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    (scene.data / FILE).write_bytes(b"not a database" * 1_000)
    assert scene.problems() == ["unopened"]
    gc.collect()  # what the store had open when it gave up: the process would end here
