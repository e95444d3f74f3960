"""Whom a message belongs to, before that has a person id."""

from dataclasses import dataclass
from typing import NamedTuple

from sameas_service.domain import person_ids
from sameas_service.domain.message import Message, Position
from sameas_service.domain.receipt import Outcome
from sameas_service.domain.warnings import CallWarning
from sameas_service.store.sqlite.users import Users


class Workspace(NamedTuple):
    """A tenant, as the store knows it; `session_gap` in microseconds."""

    id: int
    name: str
    session_gap: int


class Segment(NamedTuple):
    """A segment of a device, by surrogate and by name."""

    device: int
    name: str
    start: Position


class Gain(NamedTuple):
    """A segment that nobody owned until a user claimed it, at this position and in order."""

    user: int
    segment: Segment
    claim: Position


Subject = int | Segment
"""A user, by surrogate, or a segment that nobody owns."""


@dataclass(slots=True)
class Verdict:
    """What a new message did: the answer, before its person has an id."""

    message: Message
    subject: Subject
    outcome: Outcome = Outcome.UNCHANGED
    absorbed: tuple[str, ...] = ()
    warnings: tuple[CallWarning, ...] = ()


def person_id(subject: Subject, workspace: Workspace, users: Users) -> str:
    """The id of the person that the subject stands for."""
    if isinstance(subject, Segment):
        return person_ids.of_segment(workspace.name, subject.name, subject.start)
    return users.person_id(subject)
