"""A disk, step by step, and what a power cut may leave of it.

What a disk is taken to promise, and no more:

- What was written to a file before an fsync or fdatasync of it began is there once that ended.
- Of anything later, any part may be there: each write or truncation or not, whatever their
  order, and of a write any of its 512-byte sectors. Bytes beside those written are unharmed
  (SQLite assumes as much: `SQLITE_IOCAP_POWERSAFE_OVERWRITE`).
- A file may have grown by a write whose data is lost; what it grew by is zeros.
- A name appears or vanishes for good only by a sync of its directory; before that, each name
  stands anywhere between its last lasting state and its present one. The same is so of the
  directory's own name, and a sync of the one that it stands in.
"""

import random
from typing import NamedTuple

from faults.power.steps import DIRECTORY, PARENT, Action, Step

SECTOR_BYTES = 512
TORN = 0.2
"""The part of the unsynced writes that arrive in pieces, of those that arrive."""

GROWN = 0.25
"""The part of the lost writes of which the file's new size arrives."""

KEPT = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""The chances of an unsynced write to arrive; each image has one of them throughout."""


class _File:
    """A file's lasting content, and the steps that are not lasting yet."""

    def __init__(self) -> None:
        self.lasting = bytearray()
        self.pending: list[Step] = []

    def sync(self, sync: Step) -> None:
        """Makes all that ended before the sync began last."""
        for step in self.pending:
            if step.ended < sync.began:
                _apply(self.lasting, step)
        self.pending = [step for step in self.pending if step.ended >= sync.began]

    def after_a_cut(self, choose: random.Random, kept: float) -> bytes:
        """What may be left of it."""
        content = bytearray(self.lasting)
        for step in self.pending:
            if choose.random() < kept:
                if step.action is Action.WRITE and choose.random() < TORN:
                    _tear(content, step, choose)
                else:
                    _apply(content, step)
            elif step.action is Action.WRITE and choose.random() < GROWN:
                _grow(content, step.offset + len(step.data))
        return bytes(content)


class _Entry(NamedTuple):
    """What a name stands for from a line of the record on: a file, or nothing."""

    ended: int
    file: _File | None


class Disk:
    """A directory, as the steps so far have made it."""

    def __init__(self) -> None:
        self._entries: dict[str, list[_Entry]] = {}
        self._made: int | None = None
        """The line in which the directory was made, as long as that is not lasting."""

    def take(self, step: Step) -> None:
        """Does the next step."""
        if step.name in (DIRECTORY, PARENT):
            self._take_of_directory(step)
        elif step.action is Action.CREATE:
            if self._file(step.name) is None:
                self._enter(step, _File())
        elif step.action is Action.UNLINK:
            self._enter(step, None)
        else:
            file = self._file(step.name)
            assert file is not None, f"{step.name} is not there at line {step.began}"
            if step.action is Action.SYNC:
                file.sync(step)
            else:
                file.pending.append(step)

    def pending(self, name: str) -> int:
        """How many changes of a file are not lasting yet."""
        file = self._file(name)
        return len(file.pending) if file else 0

    def after_a_cut(self, choose: random.Random) -> dict[str, bytes]:
        """The files that may be left if the power fails now, with their contents; none where
        the directory is gone.
        """
        kept = choose.choice(KEPT)
        left: dict[str, bytes] = {}
        if self._made is not None and choose.random() >= kept:
            return left
        for name, entries in self._entries.items():
            file = choose.choice(entries).file
            if file is not None:
                left[name] = file.after_a_cut(choose, kept)
        return left

    def _file(self, name: str) -> _File | None:
        entries = self._entries.get(name)
        return entries[-1].file if entries else None

    def _enter(self, step: Step, file: _File | None) -> None:
        self._entries.setdefault(step.name, [_Entry(-1, None)]).append(_Entry(step.ended, file))

    def _take_of_directory(self, step: Step) -> None:
        if step.action is Action.CREATE:
            self._made = step.ended
        elif step.name == DIRECTORY:
            self._sync_names(step)
        elif self._made is not None and self._made < step.began:
            self._made = None

    def _sync_names(self, sync: Step) -> None:
        for entries in self._entries.values():
            lasting = sum(entry.ended < sync.began for entry in entries)
            del entries[: max(0, lasting - 1)]


def _grow(content: bytearray, size: int) -> None:
    content.extend(bytes(max(0, size - len(content))))


def _apply(content: bytearray, step: Step) -> None:
    if step.action is Action.TRUNCATE:
        del content[step.offset :]
        _grow(content, step.offset)
    else:
        _grow(content, step.offset)
        content[step.offset : step.offset + len(step.data)] = step.data


def _tear(content: bytearray, write: Step, choose: random.Random) -> None:
    """Writes some of a write's sectors."""
    end = write.offset + len(write.data)
    at = write.offset
    while at < end:
        behind = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if choose.random() < 0.5:
            piece = write.data[at - write.offset : behind - write.offset]
            _apply(content, write._replace(offset=at, data=piece))
        at = behind
