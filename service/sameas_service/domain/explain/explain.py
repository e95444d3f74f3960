"""Why two ids are one person, as the messages that join them; or why they are not."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sameas_service.domain.derive import Rules
from sameas_service.domain.explain.endpoints import DeviceEndpoint, Endpoint, in_words
from sameas_service.domain.explain.graph import IdentityGraph, Step
from sameas_service.domain.explain.separations import Separation, separations
from sameas_service.domain.explain.wording import described
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.unlinks import in_force


class ExplainedStep(NamedTuple):
    """A step, how many messages make it, the first and the last, and all in words."""

    device: str | None
    source: str | None
    user: str
    messages: int
    first: Message
    last: Message
    sentence: str


class Explanation(NamedTuple):
    """Why two ids are one person, or why not.

    Attributes:
        first_person_id: the first id's person; None where no message in force names the id.
        second_person_id: the second id's.
        not_found: the endpoint, `first` or `second`, that no message names; empty for none.
        chain: if they are one person, the steps from one to the other.
        also: further pairs that would still join them if the chain were dropped.
        separations: if they are not, what keeps them apart.
        sentence: all of it in words.
    """

    first_person_id: str | None
    second_person_id: str | None
    not_found: str = ""
    chain: Sequence[ExplainedStep] = ()
    also: Sequence[ExplainedStep] = ()
    separations: Sequence[Separation] = ()
    sentence: str = ""

    @property
    def same_person(self) -> bool:
        """Whether the two ids are one person."""
        return self.first_person_id is not None and self.first_person_id == self.second_person_id


def explain(
    messages: Iterable[Message], first: Endpoint | None, second: Endpoint | None, rules: Rules
) -> Explanation:
    """Explain two ids, given all messages that can matter to either, unlinks included.

    An endpoint is None where no message ever named the id.
    """
    known = list(messages)
    graph = IdentityGraph(in_force(known), rules)
    first_id, second_id = (one and graph.person_id(one) for one in (first, second))
    bare = Explanation(first_id, second_id)
    # With all its claims struck a device has no owner, yet there is something to explain.
    ever = IdentityGraph((m for m in known if m.kind != Kind.UNLINK), rules)
    if first is None or not ever.has(first) or (first == second and first_id is None):
        return bare._replace(not_found="first")
    if second is None or not ever.has(second):
        return bare._replace(not_found="second")
    if bare.same_person:
        chain, also = chains(graph, first, second)
        steps, more = [_explained(step) for step in chain], [_explained(step) for step in also]
        sentence = _same(first, second, steps, more)
        return bare._replace(chain=steps, also=more, sentence=sentence)
    apart = separations(known, graph, first, second)
    reasons = "; ".join(separation.sentence for separation in apart)
    sentence = f"{in_words(first)} and {in_words(second)} are not one person: {reasons}."
    return bare._replace(separations=apart, sentence=_capitalised(sentence))


def chains(
    graph: IdentityGraph, first: Endpoint, second: Endpoint
) -> tuple[list[Step], list[Step]]:
    """Return the chain, and what would still join the two without it.

    The messages of both together make the two ids one person: if none of them had come, the
    ids would part. Each round drops at least one message, so the rounds come to an end.
    """
    devices = {one.device for one in (first, second) if isinstance(one, DeviceEndpoint)}
    left = graph.about(devices)
    chain = left.chain(first, second) or []
    also: list[Step] = []
    steps = chain
    while steps:
        left = left.without({m.message_id for step in steps for m in step.messages})
        steps = left.chain(first, second) or []
        also += steps
    return chain, also


def _explained(step: Step) -> ExplainedStep:
    first, last = step.messages[0], step.messages[-1]
    sentence = f"{_pair(step)}: {described(step.messages)}"
    return ExplainedStep(*step[:3], len(step.messages), first, last, sentence)


def _pair(step: Step) -> str:
    if step.device is not None:
        return f"device {step.device!r} belongs to user {step.user!r}"
    return f"user {step.source!r} was joined to user {step.user!r}"


def _same(
    first: Endpoint, second: Endpoint, chain: Sequence[ExplainedStep], also: Sequence[ExplainedStep]
) -> str:
    """Return the whole as a text."""
    if not chain:
        what = _SAME_SEGMENT if isinstance(first, DeviceEndpoint) else "both name the same user"
        return _capitalised(f"{in_words(first)} and {in_words(second)} are one person: {what}.")
    steps = "; ".join(step.sentence for step in chain)
    text = _capitalised(f"{in_words(first)} and {in_words(second)} are one person: {steps}.")
    if also:
        further = "; ".join(step.sentence for step in also)
        text += f" Without these messages others would still join them: {further}."
    return text


_SAME_SEGMENT = "both name the same segment of a device, which nobody owns"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
