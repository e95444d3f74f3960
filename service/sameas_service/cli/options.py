"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from sameas_service.server.defaults import HOST_DEFAULT, PORT_DEFAULT

Server = Annotated[
    str,
    typer.Option(
        "--server", metavar="HOST:PORT", envvar="SAMEAS_SERVER", help="The server to talk to."
    ),
]
SERVER_DEFAULT = f"{HOST_DEFAULT}:{PORT_DEFAULT}"

Data = Annotated[
    Path,
    typer.Option(
        envvar="SAMEAS_DATA",
        metavar="DIR",
        file_okay=False,
        help="The directory with the database.",
    ),
]
DATA_DEFAULT = Path("data")
WORKSPACE_DEFAULT = "default"
