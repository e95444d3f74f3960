"""The server with a bug put in, which the checker must see: `broken.py BUG COMMAND ...`.

`COMMAND` is how the server would be started without it: an interpreter, `-m`, the package and
its arguments.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sameas_service.cli.app import app
from sameas_service.domain.message import Message
from sameas_service.domain.receipt import Receipt
from sameas_service.store.sqlite.database import FILE
from sameas_service.store.sqlite.store import SqliteStore

STALE_SECONDS = 0.05
LOST_BYTES = 65_536


def stale() -> None:
    """Persons come from a cache that no write clears."""
    read = SqliteStore.persons
    cache: dict[Any, tuple[float, Any]] = {}

    async def persons(self: SqliteStore, keys: Sequence[Any], as_of: int | None = None) -> Any:
        now = time.monotonic()
        since, answer = cache.get(tuple(keys), (0.0, None))
        if since + STALE_SECONDS < now:
            answer = await read(self, keys, as_of)
            cache[tuple(keys)] = (now, answer)
        return answer

    SqliteStore.persons = persons  # type: ignore[method-assign]


def twice() -> None:
    """A retry is called a duplicate, and counts once more all the same."""
    keep = SqliteStore.append
    first: dict[str, Message] = {}

    def doubled(message: Message) -> Message:
        if not first.setdefault(message.message_id, message).same_content(message):
            return message
        if first[message.message_id] is message:
            return message
        position = message.position._replace(message_id=f"{message.message_id}-again")
        return message._replace(position=position)

    async def append(self: SqliteStore, messages: Sequence[Message]) -> Any:
        sent = [doubled(message) for message in messages]
        return [
            answer._replace(message_id=asked.message_id, duplicate=True)
            if isinstance(answer, Receipt) and one is not asked
            else answer
            for asked, one, answer in zip(messages, sent, await keep(self, sent), strict=True)
        ]

    SqliteStore.append = append  # type: ignore[method-assign]


def torn() -> None:
    """A batch is kept message by message."""
    keep = SqliteStore.append

    async def append(self: SqliteStore, messages: Sequence[Message]) -> Any:
        return [answer for message in messages for answer in await keep(self, [message])]

    SqliteStore.append = append  # type: ignore[method-assign]


def lost() -> None:
    """What was acknowledged last before a kill was never on the disk: the log has no end."""
    log = Path(sys.argv[sys.argv.index("--data") + 1], f"{FILE}-wal")
    if log.exists():
        os.truncate(log, max(0, log.stat().st_size - LOST_BYTES))


BUGS: dict[str, Callable[[], None]] = {bug.__name__: bug for bug in (stale, twice, torn, lost)}

if __name__ == "__main__":
    BUGS[sys.argv[1]]()
    sys.argv[1:] = sys.argv[5:]
    app()
