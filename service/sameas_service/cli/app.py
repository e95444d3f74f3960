"""The command `sameas`: serve and import, and the commands of the modules beside this one."""

from pathlib import Path
from typing import Annotated

import typer

from sameas_service.cli import (
    changing_commands,
    data_commands,
    importing,
    reading_commands,
    serve,
)
from sameas_service.cli.options import DATA_DEFAULT, SERVER_DEFAULT, Data, Server
from sameas_service.domain.limits import BATCH_MESSAGES_MAX
from sameas_service.server.defaults import HOST_DEFAULT, PORT_DEFAULT

app = typer.Typer(
    name="sameas",
    help="sameas: which person an id, an event or a trait belongs to.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command("serve")
def serve_command(
    *,
    data: Data = DATA_DEFAULT,
    host: Annotated[
        str,
        typer.Option(envvar="SAMEAS_HOST", metavar="HOST", help="The address to listen at."),
    ] = HOST_DEFAULT,
    port: Annotated[
        int,
        typer.Option(
            envvar="SAMEAS_PORT", metavar="PORT", min=0, max=65_535, help="0 takes a free one."
        ),
    ] = PORT_DEFAULT,
) -> None:
    """Run the service."""
    serve.run(data=data, host=host, port=port)


@app.command("import")
def import_command(
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, plain or gzip; - for stdin.")
    ],
    server: Server = SERVER_DEFAULT,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            max=BATCH_MESSAGES_MAX,
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
    content where it has none. Bad lines are reported on stderr and skipped.

    Exit codes: 0, all was taken; 1, some lines were refused; 2, it could not go on.
    """
    raise typer.Exit(importing.run(file, server=server, batch_size=batch_size, errors_file=errors))


for beside in (reading_commands, changing_commands, data_commands):
    app.add_typer(beside.commands)
