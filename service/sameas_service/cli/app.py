"""The commands and their options. What they do is in the modules beside this one."""

from pathlib import Path
from typing import Annotated

import typer

from sameas import v1
from sameas_service.cli import changing, explaining, importing, serve, showing, times
from sameas_service.cli.connection import connected, errors_shown

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000_000

app = typer.Typer(
    name="sameas",
    help="sameas: which person an id, an event or a trait belongs to.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_Server = Annotated[
    str,
    typer.Option(
        "--server", metavar="HOST:PORT", envvar="SAMEAS_SERVER", help="The server to talk to."
    ),
]
_Identifier = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A user id, else an anonymous id, else a person id: the first that is known.",
    ),
]
_By = Annotated[
    showing.By | None,
    typer.Option("--by", metavar="KIND", help="Take ID for this only: user, anonymous or person."),
]
SERVER_DEFAULT = "127.0.0.1:50051"
_Data = Annotated[
    Path,
    typer.Option(
        envvar="SAMEAS_DATA",
        metavar="DIR",
        file_okay=False,
        help="The directory with the database.",
    ),
]
_Target = Annotated[
    str,
    typer.Argument(metavar="FILE", help="Must not exist; gzip where it ends in .gz; - for stdout."),
]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with FILE where it ends, or start it.")
]
_Workspace = Annotated[str, typer.Option("--workspace", metavar="NAME", help="Of which.")]
DATA_DEFAULT = Path("data")
WORKSPACE_DEFAULT = "default"
SESSION_GAP_SECONDS_MAX = 31_536_000


@app.command("serve")
def serve_command(
    *,
    data: _Data = DATA_DEFAULT,
    host: Annotated[
        str,
        typer.Option(envvar="SAMEAS_HOST", metavar="HOST", help="The address to listen at."),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            envvar="SAMEAS_PORT", metavar="PORT", min=0, max=65_535, help="0 takes a free one."
        ),
    ] = 50051,
) -> None:
    """Run the service."""
    serve.run(data=data, host=host, port=port)


@app.command("verify")
def verify_command(*, data: _Data = DATA_DEFAULT) -> None:
    """Hold the derived tables against the ledger. Stop the server first.

    Everything but the ledger is a cache of it; this computes it afresh, and prints each
    difference. It changes nothing.

    Exit codes: 0, no differences; 1, some; 2, it cannot run.
    """
    from sameas_service.cli import maintaining  # noqa: PLC0415

    raise typer.Exit(maintaining.run_verify(data))


@app.command("rebuild")
def rebuild_command(
    *,
    data: _Data = DATA_DEFAULT,
    session_gap_seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=SESSION_GAP_SECONDS_MAX,
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


@app.command("import")
def import_command(
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, plain or gzip; - for stdin.")
    ],
    server: _Server = SERVER_DEFAULT,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            max=importing.BATCH_SIZE_MAX,
            metavar="N",
            help="Messages that are sent together.",
        ),
    ] = importing.BATCH_SIZE_DEFAULT,
    errors: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            metavar="FILE",
            help="Write every bad line's error here, as JSON lines.",
        ),
    ] = None,
) -> None:
    """Import a file of messages.

    Each line is a JSON object in the words of the Segment spec.

    It may be stopped and run again: a message counts once, by its messageId, or by its
    content where it has none. Bad lines are told of on stderr and skipped.

    Exit codes: 0, all was taken; 1, some lines were refused; 2, it could not go on.
    """
    raise typer.Exit(importing.run(file, server=server, batch_size=batch_size, errors_file=errors))


@app.command("export")
def export_command(
    *,
    file: _Target,
    data: _Data = DATA_DEFAULT,
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


@app.command("export-ids")
def export_ids_command(
    *,
    file: _Target,
    data: _Data = DATA_DEFAULT,
    workspace: _Workspace = WORKSPACE_DEFAULT,
    resume: _Resume = False,
) -> None:
    """Write whose each id is, for a join with events kept elsewhere.

    A row has id, kind (user or anonymous), person_id, from and to: an anonymous id has a row
    for each stretch of time in which it was one person's, from included and to not, null for
    an open end. JSON lines, or Parquet where FILE ends in .parquet. A server may run.

    Exit codes: 0, done; 2, it could not go on.
    """
    from sameas_service.cli import exporting  # noqa: PLC0415

    source = exporting.From(data, workspace)
    raise typer.Exit(exporting.run_export_ids(file, source, resume=resume))


@app.command("person")
def person_command(
    *,
    identifier: _Identifier,
    by: _By = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    server: _Server = SERVER_DEFAULT,
) -> None:
    """Show who an id belongs to.

    All ids of that person, when they were seen, and their traits.
    """
    with errors_shown(server), connected(server) as channel:
        showing.show_person(channel, identifier, by, as_json=as_json)


def _micros(text: str) -> int:
    try:
        return times.micros_of_option(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command("timeline")
def timeline_command(  # noqa: PLR0913 - one argument an option
    *,
    identifier: _Identifier,
    by: _By = None,
    kind: Annotated[
        list[showing.Kind] | None,
        typer.Option(metavar="KIND", help="Only this kind, as track; may be repeated."),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only events of this name; may be repeated."),
    ] = None,
    since: Annotated[
        int | None,
        typer.Option(
            parser=_micros,
            metavar="TIME",
            help="Only from this time on: 2024-01-31, or 2024-01-31T12:00:00Z; UTC.",
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(parser=_micros, metavar="TIME", help="Only before this time."),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            min=1, max=LIMIT_MAX, metavar="N", help="Messages to show, from the earliest on."
        ),
    ] = LIMIT_DEFAULT,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines, in the format that import takes.")
    ] = False,
    server: _Server = SERVER_DEFAULT,
) -> None:
    """Show what a person did.

    The messages of all their ids, in the order in which they happened. Times are in UTC.
    """
    request = v1.ListMessagesRequest(
        kinds=[v1.MessageKind.Value(f"MESSAGE_KIND_{each.upper()}") for each in kind or ()],
        events=event or (),
    )
    if since is not None:
        request.start_time.CopyFrom(times.timestamp_of(since))
    if until is not None:
        request.end_time.CopyFrom(times.timestamp_of(until))
    with errors_shown(server), connected(server) as channel:
        showing.show_timeline(channel, identifier, by, request, limit, as_json=as_json)


@app.command("explain")
def explain_command(
    *,
    first: _Identifier,
    second: Annotated[
        str, typer.Argument(metavar="OTHER", help="The other id, taken in the same way.")
    ],
    as_of: Annotated[
        int | None,
        typer.Option(
            parser=_micros, metavar="TIME", help="What was believed then: as --since of timeline."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    server: _Server = SERVER_DEFAULT,
) -> None:
    """Show why two ids are one person, or why they are not.

    As the messages that join them, or the message that keeps them apart. Times are in UTC.
    """
    with errors_shown(server), connected(server) as channel:
        explaining.show_explanation(channel, (first, second), as_of, as_json=as_json)


_User = Annotated[str, typer.Argument(metavar="USER", help="The user id that stays canonical.")]
_Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the message.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")]


@app.command("merge")
def merge_command(
    *,
    user: _User,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The user id that joins it.")],
    reason: _Reason = "",
    dry_run: _DryRun = False,
    server: _Server = SERVER_DEFAULT,
) -> None:
    """Say that two user ids are one person."""
    request = v1.MergeRequest(
        user_id=user, previous_user_id=source, reason=reason, validate_only=dry_run
    )
    with errors_shown(server), connected(server) as channel:
        changing.merge(channel, request)


@app.command("unlink")
def unlink_command(
    *,
    user: Annotated[str, typer.Argument(metavar="USER", help="The user id to part from it.")],
    other: Annotated[
        str, typer.Argument(metavar="OTHER", help="A device, or with --from-user a user id.")
    ],
    from_user: Annotated[
        bool, typer.Option("--from-user", help="OTHER is a user id, and not a device.")
    ] = False,
    reason: _Reason = "",
    dry_run: _DryRun = False,
    server: _Server = SERVER_DEFAULT,
) -> None:
    """Take back what joins a device and a user, or two users.

    Their claims and direct links up to now do not count any more; later ones do.
    """
    request = v1.UnlinkRequest(user_id=user, reason=reason, validate_only=dry_run)
    if from_user:
        request.previous_user_id = other
    else:
        request.anonymous_id = other
    with errors_shown(server), connected(server) as channel:
        changing.unlink(channel, request)


@app.command("preview")
def preview_command(
    *,
    call: Annotated[
        changing.Call, typer.Argument(metavar="CALL", help="The call, as Identify or Unlink.")
    ],
    body: Annotated[str, typer.Argument(metavar="JSON", help="Its request, as for grpcurl.")],
    server: _Server = SERVER_DEFAULT,
) -> None:
    """Say what a call would do, and keep nothing.

    The outcome, the ids and messages that would get another person, the traits that would
    change.
    """
    with errors_shown(server), connected(server) as channel:
        changing.preview(channel, call.value, body)


@app.command("watch")
def watch_command(
    *,
    cursor: Annotated[str, typer.Option(metavar="CURSOR", help="Go on behind this change.")] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more at the present, until interrupted.")
    ] = False,
    server: _Server = SERVER_DEFAULT,
) -> None:
    """Print every change of who is who, as JSON lines."""
    with errors_shown(server), connected(server) as channel:
        changing.watch(channel, cursor, follow=follow)
