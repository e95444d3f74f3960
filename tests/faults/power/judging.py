"""An image of a disk, opened by the product and held against what the clients were told."""

import hashlib
import sqlite3
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate, takewhile
from pathlib import Path
from typing import NamedTuple

from faults.power.recording import Recording, ledger_of
from sameas_service.domain.derive import Rules
from sameas_service.store.sqlite.store import FILE
from support.maintained import verified
from support.stored import opened


class Recovered(NamedTuple):
    """What the product made of an image.

    Attributes:
        held: how many messages are there: the finished ledger's first ones, each once.
        problems: what is wrong with it, whatever was acknowledged.
    """

    held: int
    problems: tuple[str, ...] = ()


class Judge:
    """Opens images of one recording, one after the other, in a directory of its own.

    Every image is opened. The ledger, `verify` and SQLite's own check are looked at once for each
    distinct database that the product then leaves behind: they are functions of its files, so
    that nothing is missed.

    Attributes:
        known: every database that was recovered, by a digest of its files.
    """

    def __init__(self, recording: Recording, directory: Path) -> None:
        self.known: dict[bytes, Recovered] = {}
        self._directory = directory
        self._ledger = recording.ledger
        places = recording.places()
        behind = len(places)  # of what the finished ledger lacks: never held
        calls = [
            (call.at_ns, [places.get(message_id, behind) for message_id in call.message_ids])
            for call in recording.acknowledged
        ]
        self._times = [at_ns for at_ns, _ in calls]
        self._needed = list(accumulate((max(p) + 1 for _, p in calls), max, initial=0))
        self._places = [p for _, p in calls]

    def problems(self, image: Mapping[str, bytes], at_ns: int) -> list[str]:
        """What is wrong with an image of the disk at a moment; nothing, if all is well."""
        try:
            recovered = self._recover(image)
        except Exception as error:  # noqa: BLE001  (whatever the product says is the finding)
            return [f"unopened: {type(error).__name__}: {error}"]
        problems = list(recovered.problems)
        acknowledged = bisect_left(self._times, at_ns)
        if recovered.held < self._needed[acknowledged]:
            lost = [p for p in self._places[:acknowledged] if max(p) >= recovered.held]
            problems.append(f"lost: {len(lost)} acknowledged calls")
        if any(min(p) < recovered.held <= max(p) for p in self._places):
            problems.append(f"torn: a batch is there in part, of {recovered.held} messages")
        return problems

    def _recover(self, image: Mapping[str, bytes]) -> Recovered:
        for old in self._directory.iterdir():
            old.unlink()
        for name, content in image.items():
            (self._directory / name).write_bytes(content)
        opened(self._directory, Rules()).close()
        files = {path.name: path.read_bytes() for path in self._directory.glob(f"{FILE}*")}
        key = digest(files)
        if key not in self.known:
            self.known[key] = self._examine()
        return self.known[key]

    def _examine(self) -> Recovered:
        """Looks into a database that was recovered and closed."""
        file = self._directory / FILE
        answer, rows = _integrity(file), ledger_of(file)
        problems = [] if answer == "ok" else [f"damaged: {answer}"]
        pairs = zip(rows, self._ledger, strict=False)
        held = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if held < len(rows):
            problems.append(f"altered: row {held} of {len(rows)} is not that of the ledger")
        differences = list(verified(self._directory))
        if differences:
            problems.append(f"differing: {len(differences)} rows, first {differences[0]}")
        return Recovered(held, tuple(problems))


def digest(files: Mapping[str, bytes]) -> bytes:
    """A digest of files' names and contents."""
    total = hashlib.blake2b()
    for name, content in sorted(files.items()):
        total.update(f"{name} {len(content)} ".encode())
        total.update(content)
    return total.digest()


def _integrity(file: Path) -> str:
    """What SQLite thinks of a whole file: `ok`, or the first thing that is wrong with it."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
