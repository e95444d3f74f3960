"""Make the derived tables what the ledger gives.

First all is computed, and the rows that are wrong are kept apart from the store: an interruption
then has changed nothing. Then these rows are replaced piece by piece, and from the first piece to
the last the store has a mark with which no server starts. Whatever happens in between, another
run finishes it, since the ledger is only read.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from sameas_service.resolver.facts import TABLES, Workspace
from sameas_service.resolver.failures import NamesLost, UnknownWorkspace
from sameas_service.resolver.maintain.derivation import Derivation, Progress
from sameas_service.resolver.maintain.external_sort import Row, Sorter
from sameas_service.resolver.ports import Maintenance

WRITE_ROWS = 2_000
"""Rows that are written in one transaction."""


class Gap(NamedTuple):
    """A session gap for a workspace, in microseconds."""

    workspace: str
    session_gap: int


def rebuild(maintenance: Maintenance, gap: Gap | None, progress: Progress) -> int:
    """Compute the derived tables from the ledger and put right what is wrong.

    Args:
        maintenance: the store.
        gap: another session gap for a workspace, from now on and for the past.
        progress: called at each step.

    Returns:
        How many messages the ledger has.

    Raises:
        NamesLost: the ledger itself is not whole; nothing was changed.
        UnknownWorkspace: the gap's workspace is not there; nothing was changed.
    """
    workspaces = _with_gap(maintenance.workspaces(), gap)
    messages = lost = 0
    with ExitStack() as files:
        wrong = {table.name: files.enter_context(Sorter()) for table in TABLES}
        right = {table.name: files.enter_context(Sorter()) for table in TABLES}
        for workspace in workspaces:
            with Derivation(maintenance, workspace, progress) as derived:
                messages += derived.messages
                lost += derived.lost
                _collect(workspace, derived, wrong, right)
        if lost:
            raise NamesLost(lost)
        maintenance.begin_rebuild({one.id: one.session_gap for one in workspaces})
        for number, table in enumerate(TABLES):
            progress("replacing", number, len(TABLES))
            for workspace, keys in _pieces(wrong[table.name], workspaces):
                maintenance.remove(workspace, table, keys)
            for workspace, rows in _pieces(right[table.name], workspaces):
                maintenance.put(workspace, table, rows)
        maintenance.end_rebuild()
    progress("replacing", len(TABLES), len(TABLES))
    return messages


def _with_gap(workspaces: Sequence[Workspace], gap: Gap | None) -> Sequence[Workspace]:
    if gap is None:
        return workspaces
    if gap.workspace not in {workspace.name for workspace in workspaces}:
        raise UnknownWorkspace(gap.workspace)
    return [
        one._replace(session_gap=gap.session_gap) if one.name == gap.workspace else one
        for one in workspaces
    ]


def _collect(
    workspace: Workspace,
    derived: Derivation,
    wrong: Mapping[str, Sorter],
    right: Mapping[str, Sorter],
) -> None:
    """Collect the keys of rows to remove, and rows to put; the workspace is their first cell."""
    for table in TABLES:
        for found, expected in derived.wrong(table):
            if found is not None and not table.is_kept:
                wrong[table.name].add((workspace.id, *found[: len(table.keys)]))
            if expected is not None:
                right[table.name].add((workspace.id, *expected))


def _pieces(rows: Sorter, workspaces: Sequence[Workspace]) -> Iterator[tuple[Workspace, list[Row]]]:
    """Yield the rows of each workspace in pieces, without the first cell."""
    by_id = {workspace.id: workspace for workspace in workspaces}
    for number, of_workspace in groupby(rows, itemgetter(0)):
        cells = (row[1:] for row in of_workspace)
        while piece := list(islice(cells, WRITE_ROWS)):
            yield by_id[number], piece
