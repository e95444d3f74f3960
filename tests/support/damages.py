"""Data directories as a server left them behind, and rows changed behind its back."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.store.sqlite.store import FILE
from support.histories import GAP, MINUTE, T0
from support.stored import opened


def filled(directory: Path, messages: Sequence[Message], gap: int = GAP) -> Path:
    """A data directory that a server with these messages left behind."""
    with closing(opened(directory, Rules(session_gap=gap))) as held:
        for message in messages:
            held.append([message])
    return directory


def story() -> list[Message]:
    """Everything that leaves rows: switches, resets, visitors, links, profiles, unlinks."""
    calls: list[Call] = []

    def say(kind: Kind, minute: float, **fields: str) -> None:
        number = len(calls)
        time = T0 + round(minute * MINUTE)
        calls.append(
            Call(kind, f"m{number:03d}", T0 + number, client_time=time, imported=True, **fields)
        )

    visitor, event = {"anonymous_id": "d1"}, {"event": "e"}
    say(Kind.TRACK, 0, **visitor, **event)
    say(Kind.PROFILE, 1, **visitor, payload='{"set":{"plan":"guest"},"increment":{"n":0.5}}')
    say(Kind.IDENTIFY, 2, **visitor, user_id="u1", payload='{"plan":"free"}')
    say(Kind.TRACK, 50, **visitor, **event)
    say(Kind.TRACK, 60, **visitor, user_id="u2", **event)
    say(Kind.PROFILE, 61, **visitor, payload='{"increment":{"n":1},"append":{"tags":"a"}}')
    say(Kind.RESET, 70, **visitor)
    say(Kind.TRACK, 80, **visitor, **event)
    say(Kind.IDENTIFY, 5, anonymous_id="d2", user_id="u3", payload='{"plan":"pro"}')
    say(Kind.ALIAS, 90, user_id="u4", previous_user_id="u3")
    say(Kind.MERGE, 95, user_id="u1", previous_user_id="u4", payload="same address")
    say(Kind.PROFILE, 6, anonymous_id="d3", payload='{"union":{"tags":["a","b"]}}')
    say(Kind.TRACK, 7, anonymous_id="d3", **event)
    say(Kind.TRACK, 8, anonymous_id="d4", user_id="u5", **event)
    say(Kind.TRACK, 9, anonymous_id="d4", user_id="u6", **event)
    say(Kind.UNLINK, 100, anonymous_id="d4", user_id="u5", payload="wrong login")
    say(Kind.MERGE, 101, user_id="u5", previous_user_id="u6")
    say(Kind.UNLINK, 102, user_id="u5", previous_user_id="u6", payload="two people")
    return [accept(call) for call in calls]


def damage(data: Path, *statements: str) -> None:
    """Changes rows behind the store's back; each statement must change some."""
    with closing(sqlite3.connect(data / FILE, isolation_level=None)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
