"""Explanations on the wire."""

from sameas import v1
from sameas_service.domain.explain.explain import ExplainedStep, Explanation
from sameas_service.domain.explain.separations import Separation
from sameas_service.domain.message import Message
from sameas_service.servicer.timestamps import timestamp_of


def explanation_of(explanation: Explanation) -> v1.ExplainResponse:
    """Return why two ids are one person, or why not, on the wire."""
    return v1.ExplainResponse(
        same_person=explanation.same_person,
        sentence=explanation.sentence,
        chain=[_step_of(step) for step in explanation.chain],
        also=[_step_of(step) for step in explanation.also],
        separations=[_separation_of(separation) for separation in explanation.separations],
        first_person_id=explanation.first_person_id or "",
        second_person_id=explanation.second_person_id or "",
    )


def _step_of(step: ExplainedStep) -> v1.ExplainStep:
    wire = v1.ExplainStep(
        user_id=step.user,
        messages=step.messages,
        first=_evidence_of(step.first),
        last=_evidence_of(step.last),
        sentence=step.sentence,
    )
    if step.device is not None:
        wire.anonymous_id = step.device
    else:
        wire.previous_user_id = step.source or ""
    return wire


def _separation_of(separation: Separation) -> v1.Separation:
    wire = v1.Separation(
        reason=separation.reason.value,  # type: ignore[arg-type]
        sentence=separation.sentence,
    )
    if separation.evidence is not None:
        wire.evidence.CopyFrom(_evidence_of(separation.evidence))
    return wire


def _evidence_of(message: Message) -> v1.Evidence:
    return v1.Evidence(
        message_id=message.message_id,
        kind=message.kind.value,  # type: ignore[arg-type]
        timestamp=timestamp_of(message.event_time),
        received_at=timestamp_of(message.received_at),
    )
