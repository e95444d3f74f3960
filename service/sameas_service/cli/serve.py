"""The command `serve`: hands its options to the server."""

from pathlib import Path


def run(*, data: Path, host: str, port: int) -> None:
    """Serves until it is told to stop."""
    # Imported here, so that the reading commands start without the server's modules.
    from sameas_service.server.config import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
        Config,
    )
    from sameas_service.server.run import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
        serve,
    )

    serve(Config(data=data, host=host, port=port))
