"""Person ids: the same on every replica, with no counter.

A person id is a UUIDv5 (RFC 9562, 5.5) in the workspace's namespace. Its name is `u`, U+001F
and the canonical user id; or, for an anonymous person, `a`, U+001F and the anonymous id,
and after a reset U+001F and that reset's message id.
"""

import hashlib
import uuid
from functools import lru_cache

from sameas_service.domain.message import START, Position

_SAMEAS = uuid.UUID("2f0c1f0e-6a53-5c3f-9c55-7d2a1b6c0f10")
"""Namespace of all workspaces' namespaces; random once, and fixed for ever."""

_SEPARATOR = "\x1f"


def of_user(workspace: str, canonical_user: str) -> str:
    """Return the person id of a canonical user."""
    return _uuid5(_namespace(workspace), f"u{_SEPARATOR}{canonical_user}")


def of_segment(workspace: str, device: str, start: Position) -> str:
    """Return the person id of a segment without an owner, by where it starts."""
    name = f"a{_SEPARATOR}{device}"
    if start != START:
        name += _SEPARATOR + start.message_id[:-1]
    return _uuid5(_namespace(workspace), name)


@lru_cache(maxsize=1_024)
def _namespace(workspace: str) -> bytes:
    return uuid.uuid5(_SAMEAS, workspace).bytes


@lru_cache(maxsize=8_192)
def _uuid5(namespace: bytes, name: str) -> str:
    """Return `str(uuid.uuid5(...))`, three times as fast: it is made for each anonymous message."""
    digest = hashlib.sha1(namespace + name.encode(), usedforsecurity=False).digest()
    value = int.from_bytes(digest[:16], "big")
    value = value & ~(0xF000 << 64) | (5 << 76)
    value = value & ~(0xC000 << 48) | (0x8000 << 48)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
