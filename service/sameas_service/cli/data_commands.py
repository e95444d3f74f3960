"""The commands about a data directory: verify, rebuild, export, export-ids."""

from typing import Annotated

import typer

from sameas_service.cli.options import DATA_DEFAULT, WORKSPACE_DEFAULT, Data
from sameas_service.server.defaults import SECONDS_MAX

commands = typer.Typer()

_Target = Annotated[
    str,
    typer.Argument(metavar="FILE", help="Must not exist; gzip where it ends in .gz; - for stdout."),
]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with FILE where it ends, or start it.")
]
_Workspace = Annotated[str, typer.Option("--workspace", metavar="NAME", help="Of which.")]


@commands.command("verify")
def verify_command(*, data: Data = DATA_DEFAULT) -> None:
    """Hold the derived tables against the ledger. Stop the server first.

    Everything but the ledger is a cache of it; this computes it afresh, and prints each
    difference. It changes nothing.

    Exit codes: 0, no differences; 1, some; 2, it cannot run.
    """
    from sameas_service.cli import maintaining  # noqa: PLC0415

    raise typer.Exit(maintaining.run_verify(data))


@commands.command("rebuild")
def rebuild_command(
    *,
    data: Data = DATA_DEFAULT,
    session_gap_seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=SECONDS_MAX,
            metavar="SECONDS",
            help="Change the longest pause within a visit, for the past as well; 0 cuts at the "
            "claim. Without it the gap stays.",
        ),
    ] = None,
    workspace: Annotated[
        str, typer.Option(metavar="NAME", help="Whose session gap is changed.")
    ] = WORKSPACE_DEFAULT,
) -> None:
    """Replace the derived tables by what the ledger gives. Stop the server first.

    It may be interrupted at any point: run it again, and it is finished. Until then no server
    starts on tables that are half old, half new.

    Exit codes: 0, done; 2, it cannot run.
    """
    from sameas_service.cli import maintaining  # noqa: PLC0415

    raise typer.Exit(maintaining.run_rebuild(data, session_gap_seconds, workspace))


@commands.command("export")
def export_command(
    *,
    file: _Target,
    data: Data = DATA_DEFAULT,
    workspace: _Workspace = WORKSPACE_DEFAULT,
    resume: _Resume = False,
) -> None:
    """Write all messages to a file that import takes.

    Imported into an empty data directory, it gives the same people. It reads the data
    directory itself, and a server may run on it; what that takes meanwhile is left out, and
    --resume adds it later.

    Exit codes: 0, done; 2, it could not go on.
    """
    from sameas_service.cli import exporting  # noqa: PLC0415

    source = exporting.From(data, workspace)
    raise typer.Exit(exporting.run_export(file, source, resume=resume))


@commands.command("export-ids")
def export_ids_command(
    *,
    file: _Target,
    data: Data = DATA_DEFAULT,
    workspace: _Workspace = WORKSPACE_DEFAULT,
    resume: _Resume = False,
) -> None:
    """Write which person each id belongs to, for a join with events kept elsewhere.

    A row has id, kind (user or anonymous), person_id, from and to: an anonymous id has a row
    for each stretch of time in which it was one person's, from included and to not, null for
    an open end. JSON lines, or Parquet where FILE ends in .parquet. A server may run.

    Exit codes: 0, done; 2, it could not go on.
    """
    from sameas_service.cli import exporting  # noqa: PLC0415

    source = exporting.From(data, workspace)
    raise typer.Exit(exporting.run_export_ids(file, source, resume=resume))
