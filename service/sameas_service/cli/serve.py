"""The command `serve`: hands its options to the server."""

import os
from dataclasses import replace
from pathlib import Path


def run(*, data: Path, host: str, port: int) -> None:
    """Serve until a signal stops it."""
    # Imported here, so that the reading commands start without the server's modules.
    from sameas_service.server.config import Config  # noqa: PLC0415
    from sameas_service.server.run import serve  # noqa: PLC0415

    serve(replace(Config.from_env(os.environ), data=data, host=host, port=port))
