"""The commands that change who is who, or follow it: merge, unlink, preview, watch."""

from typing import Annotated

import typer

from sameas import v1
from sameas_service.cli import changing
from sameas_service.cli.connection import connected, errors_shown
from sameas_service.cli.options import SERVER_DEFAULT, Server

commands = typer.Typer()

_User = Annotated[str, typer.Argument(metavar="USER", help="The user id that stays canonical.")]
_Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the message.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")]


@commands.command("merge")
def merge_command(
    *,
    user: _User,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The user id that joins it.")],
    reason: _Reason = "",
    dry_run: _DryRun = False,
    server: Server = SERVER_DEFAULT,
) -> None:
    """Say that two user ids are one person."""
    request = v1.MergeRequest(
        user_id=user, previous_user_id=source, reason=reason, validate_only=dry_run
    )
    with errors_shown(server), connected(server) as channel:
        changing.merge(channel, request)


@commands.command("unlink")
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
    server: Server = SERVER_DEFAULT,
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


@commands.command("preview")
def preview_command(
    *,
    call: Annotated[
        changing.Call, typer.Argument(metavar="CALL", help="The call, as Identify or Unlink.")
    ],
    body: Annotated[str, typer.Argument(metavar="JSON", help="Its request, as for grpcurl.")],
    server: Server = SERVER_DEFAULT,
) -> None:
    """Say what a call would do, and keep nothing.

    The outcome, the ids and messages that would get another person, the traits that would
    change.
    """
    with errors_shown(server), connected(server) as channel:
        changing.preview(channel, call.value, body)


@commands.command("watch")
def watch_command(
    *,
    cursor: Annotated[str, typer.Option(metavar="CURSOR", help="Go on behind this change.")] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more at the present, until interrupted.")
    ] = False,
    server: Server = SERVER_DEFAULT,
) -> None:
    """Print every change of who is who, as JSON lines."""
    with errors_shown(server), connected(server) as channel:
        changing.watch(channel, cursor, follow=follow)
