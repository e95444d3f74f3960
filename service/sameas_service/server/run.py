"""The server's process: it serves until SIGTERM or SIGINT."""

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import NoReturn

from sameas_service.resolver.failures import StoreError, StoreUnusable
from sameas_service.server.app import App
from sameas_service.server.config import Config
from sameas_service.server.listening import CannotListen
from sameas_service.store import failpoints
from sameas_service.store.sqlite import wal_reset_bug

log = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0005
"""How long a thread may keep the interpreter while another wants it. At the default of 5 ms
the writer waits that long for the event loop after each statement."""

COLLECT_AFTER = (50_000, 20, 50)
"""How many objects make the garbage collector look, generation by generation. At its defaults
it looks at a batch's messages some twenty times while the batch is read, and finds nothing: a
quarter of the reading's time, measured."""


def serve(config: Config) -> None:
    """Serve. Return after a graceful stop.

    Raises:
        SystemExit: 1 where the port or the data directory is another's, or failpoints cannot be
            read. Where the disk fails the process ends at once, with 1 too.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.set_threshold(*COLLECT_AFTER)
    try:
        failpoints.set_up(os.environ)
        asyncio.run(_serve(config))
    except (CannotListen, StoreUnusable, failpoints.UnreadableError) as error:
        raise SystemExit(f"sameas: {error}") from error
    except (StoreError, OSError) as error:
        _end(f"the database in {config.data} cannot be opened: {error}")


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with App(config) as app:
        log.info(
            "serving on %s:%d, data in %s, %s",
            config.host,
            app.port,
            config.data,
            wal_reset_bug.described(),
        )
        gc.freeze()  # what is there now stays: modules, stubs, the server
        stopped = asyncio.create_task(stop.wait())
        failed = asyncio.create_task(app.failed.wait())
        await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
    if app.failed.is_set():
        _end("the disk failed; what was acknowledged is in the log file")


def _end(sentence: str) -> NoReturn:
    """End the process at once, with code 1.

    Python's own way out closes what is open, SQLite's connections too, and these write and
    sync again: after a failed fsync that may succeed though the data are lost.
    """
    logging.shutdown()
    print(f"sameas: {sentence}", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(1)
