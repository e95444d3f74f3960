"""The commands that ask a server who is who: person, timeline, explain."""

from typing import Annotated

import typer

from sameas import v1
from sameas_service.cli import explaining, showing, times
from sameas_service.cli.connection import connected, errors_shown
from sameas_service.cli.options import SERVER_DEFAULT, Server

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000_000

commands = typer.Typer()

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


@commands.command("person")
def person_command(
    *,
    identifier: _Identifier,
    by: _By = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    server: Server = SERVER_DEFAULT,
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


@commands.command("timeline")
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
    server: Server = SERVER_DEFAULT,
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


@commands.command("explain")
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
    server: Server = SERVER_DEFAULT,
) -> None:
    """Show why two ids are one person, or why they are not.

    As the messages that join them, or the message that keeps them apart. Times are in UTC.
    """
    with errors_shown(server), connected(server) as channel:
        explaining.show_explanation(channel, (first, second), as_of, as_json=as_json)
