"""Stories of visitors: a calendar to live by, and what the service tells of them afterwards."""

from datetime import UTC, datetime, timedelta

from sameas import Client

FIRST_DAY = datetime(2020, 3, 2, tzinfo=UTC)


def on(day: int, time: str = "09:00") -> datetime:
    """A moment of a story, whose first day is day 1."""
    hours, minutes = map(int, time.split(":"))
    return FIRST_DAY + timedelta(days=day - 1, hours=hours, minutes=minutes)


class Calendar:
    """The clock of a story's sessions: stands where it was set, and ticks at each look."""

    def __init__(self) -> None:
        self.set(1)

    def set(self, day: int, time: str = "09:00") -> None:
        """Goes to a moment."""
        self._now = on(day, time)

    def __call__(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now


def timeline(client: Client, **key: str) -> list[str]:
    """A person's whole timeline, one `day N: what` a message; the kind where it has no name."""
    return [
        f"day {(message.timestamp - FIRST_DAY).days + 1}: {message.event or message.kind}"
        for message in client.messages(**key)
    ]


def is_same_person(client: Client, *keys: dict[str, str]) -> bool:
    """Whether all ids resolve to one person."""
    return len({client.person(**key).person_id for key in keys}) == 1
