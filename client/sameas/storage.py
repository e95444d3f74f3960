"""Where a `Session` keeps what it knows about its visitor.

A storage holds one small JSON object. A browser has two of them: a cookie, which expires,
and the local storage, which does not; `Session` takes both.
"""

import contextlib
import copy
import json
import logging
import os
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Protocol, cast

_LOG = logging.getLogger("sameas")


class Storage(Protocol):
    """A keeper of one JSON object. An error that it raises reaches the caller of the session."""

    def load(self) -> Mapping[str, Any] | None:
        """Return what was saved last, or None. The session checks it and takes garbage for None."""

    def save(self, state: dict[str, Any]) -> None:
        """Replace what is kept. All of `state` is JSON."""

    def clear(self) -> None:
        """Forget what is kept. Clearing twice is no error."""


class MemoryStorage:
    """A storage that lasts as long as the process, as in mobile libraries."""

    def __init__(self) -> None:
        self._state: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        """Return a copy of what was saved last, or None."""
        return copy.deepcopy(self._state)

    def save(self, state: dict[str, Any]) -> None:
        """Keep a copy."""
        self._state = copy.deepcopy(state)

    def clear(self) -> None:
        """Forget."""
        self._state = None


class JsonFileStorage:
    """A storage in a file, across restarts: for desktop and command-line programs.

    A save replaces the file as a whole, so that a crash leaves the old or the new object.
    Only the file's owner may read it. Its directory must exist. Each load reads the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def load(self) -> Any:
        """Return what the file has, or None if there is no file, or no JSON in it (logged)."""
        try:
            return json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            _LOG.warning("ignoring %s: it is not JSON", self._path)
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file.

        Raises:
            OSError: If the file cannot be written; the old one is then untouched.
        """
        # mkstemp makes files of mode 0600; in the same directory a rename is atomic.
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(state, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def clear(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


class MappingStorage:
    """A storage under one key of a mapping: a web framework's session or cookie.

    The object is assigned anew at each save, which is how frameworks notice a change.
    """

    def __init__(self, mapping: MutableMapping[str, Any], key: str = "sameas") -> None:
        self._mapping = mapping
        self._key = key

    def load(self) -> Any:
        """Return what is under the key, or None."""
        return self._mapping.get(self._key)

    def save(self, state: dict[str, Any]) -> None:
        """Put the object under the key."""
        self._mapping[self._key] = state

    def clear(self) -> None:
        """Take the key out; the mapping's other keys are not ours."""
        self._mapping.pop(self._key, None)


def as_storage(given: Storage | MutableMapping[str, Any]) -> Storage:
    """Return a storage as it is, a mapping in a `MappingStorage`.

    What can be indexed is a mapping, even if it has `load` and `save` too: the session
    objects of Django have, and mean something else by them.
    """
    if isinstance(given, MutableMapping) or hasattr(given, "__setitem__"):
        return MappingStorage(cast("MutableMapping[str, Any]", given))
    return given
