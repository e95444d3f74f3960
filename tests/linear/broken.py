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
from sameas_service.resolver.resolver import Resolver
from sameas_service.store.sqlite.store import FILE

STALE_SECONDS = 0.05
LOST_BYTES = 65_536


def stale() -> None:
    """Persons come from a cache that no write clears."""
    read = Resolver.persons
    cache: dict[Any, tuple[float, Any]] = {}

    async def persons(self: Resolver, workspace: Any, keys: Sequence[Any], *rest: Any) -> Any:
        now = time.monotonic()
        since, answer = cache.get(tuple(keys), (0.0, None))
        if since + STALE_SECONDS < now:
            answer = await read(self, workspace, keys, *rest)
            cache[tuple(keys)] = (now, answer)
        return answer

    Resolver.persons = persons  # type: ignore[method-assign]


def twice() -> None:
    """A retry is called a duplicate, and counts once more all the same."""
    keep = Resolver.append
    first: dict[str, Message] = {}

    def doubled(message: Message) -> Message:
        if not first.setdefault(message.message_id, message).same_content(message):
            return message
        if first[message.message_id] is message:
            return message
        position = message.position._replace(message_id=f"{message.message_id}-again")
        return message._replace(position=position)

    async def append(
        self: Resolver, workspace: Any, messages: Sequence[Message], deadline: Any
    ) -> Any:
        sent = [doubled(message) for message in messages]
        answers = await keep(self, workspace, sent, deadline)
        return [
            answer._replace(message_id=asked.message_id, duplicate=True)
            if isinstance(answer, Receipt) and one is not asked
            else answer
            for asked, one, answer in zip(messages, sent, answers, strict=True)
        ]

    Resolver.append = append  # type: ignore[method-assign]


def torn() -> None:
    """A batch is kept message by message."""
    keep = Resolver.append

    async def append(
        self: Resolver, workspace: Any, messages: Sequence[Message], deadline: Any
    ) -> Any:
        return [
            answer
            for message in messages
            for answer in await keep(self, workspace, [message], deadline)
        ]

    Resolver.append = append  # type: ignore[method-assign]


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
