"""Serves until SIGTERM or SIGINT."""

import asyncio
import logging
import signal
import sqlite3
import sys

from sameas_service.server.app import App
from sameas_service.server.config import Config
from sameas_service.store.sqlite.lock import DirectoryBusyError
from sameas_service.store.sqlite.marker import RebuildUnfinishedError

log = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0005
"""How long a thread may keep the interpreter while another wants it. At the default of 5 ms
the writer waits that long behind the event loop after each statement."""


def serve(config: Config) -> None:
    """Serves; returns after a graceful stop.

    Raises:
        SystemExit: 1 where the port or the data directory cannot be had, or the disk failed.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    try:
        asyncio.run(_serve(config))
    except (DirectoryBusyError, RebuildUnfinishedError) as error:
        raise SystemExit(f"sameas: {error}") from error
    except RuntimeError as error:
        if "bind" not in str(error):
            raise
        raise SystemExit(
            f"sameas: cannot listen on {config.host}:{config.port}; is another server there?"
        ) from error


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with App(config) as app:
        log.info(
            "serving on %s:%d, data in %s, SQLite %s",
            config.host,
            app.port,
            config.data,
            sqlite3.sqlite_version,
        )
        stopped = asyncio.create_task(stop.wait())
        failed = asyncio.create_task(app.failed.wait())
        await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
    if app.failed.is_set():
        raise SystemExit("sameas: the disk failed; what was acknowledged is in the log file")
