"""A store of which each write conflicts once, so that its work runs again."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from sameas_service.domain.errors import Refused
from sameas_service.resolver.facts import Rows, Workspace
from sameas_service.resolver.ports import Store, WriteTransaction


class Run(NamedTuple):
    """What work answered, and the rows that it applied."""

    answer: Any
    rows: list[Rows]


class Rerunning:
    """Does the work of each write, takes it back, and does it again.

    Attributes:
        runs: the first and the second run of each write.
    """

    def __init__(self, store: Store, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Between the runs comes what the conflict was with."""
        self._store = store
        self._meanwhile = meanwhile
        self.runs: list[tuple[Run, Run]] = []

    def write(self, work: Callable[[WriteTransaction], Any], *, keep: bool = True) -> Any:
        """The answer of the second run."""
        first = self._run(work, keep=False)
        self._meanwhile()
        second = self._run(work, keep=keep)
        self.runs.append((first, second))
        return second.answer

    def _run(self, work: Callable[[WriteTransaction], Any], *, keep: bool) -> Run:
        rows: list[Rows] = []
        answer = self._store.write(lambda tx: work(_Noted(tx, rows)), keep=keep)
        return Run(answer, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Noted:
    """A transaction whose rows are noted as they are when they are applied."""

    def __init__(self, transaction: WriteTransaction, rows: list[Rows]) -> None:
        self._transaction, self._rows = transaction, rows

    def apply(self, workspace: Workspace, rows: Rows) -> None:
        self._rows.append(deepcopy(rows))
        self._transaction.apply(workspace, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)


def plain(answers: Any) -> Any:
    """Answers that can be compared: a refusal is equal to no other object."""
    if isinstance(answers, Refused):
        return (answers.reason, answers.field, answers.sentence, answers.metadata)
    if isinstance(answers, list):
        return [plain(one) for one in answers]
    return answers
