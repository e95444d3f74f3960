"""Explain names messages that exist, and those that carry the chain: without them ids part."""

import os
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from sameas import v1
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.explain.explain import ExplainedStep, Explanation
from sameas_service.domain.explain.separations import SeparationReason
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.unlinks import in_force, pair_of
from sameas_service.resolver.facts import PersonKey
from support.deliveries import deliveries
from support.histories import DEVICES, GAP, MINUTE, T0, USERS
from support.pasts import all_keys, person_id_of, received
from support.stored import filled_with, fresh_workspace
from support.stores import Place

EXAMPLES = int(os.environ.get("SAMEAS_TEST_EXAMPLES", "300"))
PAIRS_MAX = 40
KINDS = {
    SeparationReason.OTHER_OWNER: set(Kind) - {Kind.RESET, Kind.UNLINK, Kind.MERGE},
    SeparationReason.RESET_BETWEEN: {Kind.RESET},
    SeparationReason.UNLINKED: {Kind.UNLINK},
    SeparationReason.RULE: {Kind.ALIAS, Kind.RESET},
}


class Asked(NamedTuple):
    """Two keys, their explanation, and the messages that it is about."""

    first: PersonKey
    second: PersonKey
    answer: Explanation
    known: list[Message]
    rules: Rules

    def persons(self, without: frozenset[str] = frozenset()) -> list[str | None]:
        """What the model says of the two, had these messages never come."""
        left = [m for m in self.known if m.message_id not in without]
        return [person_id_of(key, left, self.rules) for key in (self.first, self.second)]


def tangled(kind: Kind, number: int, time: int, device: int, users: tuple[int, int]) -> Message:
    """A message that is about who is who and nothing else."""
    user, source = f"u{users[0]}", f"u{users[1]}"
    ids = {"user_id": user, "anonymous_id": f"d{device}"}
    if kind in (Kind.RESET, Kind.PAGE):
        ids = {"anonymous_id": f"d{device}"}
    if kind is Kind.MERGE or (kind is Kind.UNLINK and number % 2):
        ids = {"user_id": user, "previous_user_id": source}
    return accept(
        Call(
            kind,
            f"m{number}",
            T0 + number,
            event="e" if kind is Kind.TRACK else "",
            client_time=T0 + 7 * MINUTE * time,
            imported=True,
            **ids,
        )
    )


@st.composite
def tangles(draw: st.DrawFn) -> tuple[list[Message], list[list[Message]], list[bool], int]:
    """Many claims, links, resets and unlinks among few ids, in the form of a delivery."""
    kinds = st.sampled_from(
        [*[Kind.TRACK] * 5, *[Kind.MERGE] * 4, Kind.PAGE, Kind.RESET, Kind.UNLINK]
    )
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    shapes = st.tuples(kinds, st.integers(0, 19), st.integers(1, 2), pairs)
    drawn = draw(st.lists(shapes, min_size=6, max_size=20))
    history = [
        tangled(kind, number, time, device, users)
        for number, (kind, time, device, users) in enumerate(drawn)
    ]
    return history, [draw(st.permutations(history))], [False], draw(st.sampled_from([GAP, 0]))


def explained(
    place: Place,
    delivery: tuple[list[Message], list[list[Message]], list[bool], int],
    as_of: int | None,
    random: Random,
) -> list[Asked]:
    """The explanations of some pairs of keys."""
    history, batches, _, gap = delivery
    rules = fresh_workspace(Rules(session_gap=gap))
    known = history if as_of is None else received(history, as_of)
    held = filled_with(place, batches, rules)
    keys = all_keys(held)
    pairs = [(first, second) for first in keys for second in keys]
    asked = random.sample(pairs, min(len(pairs), PAIRS_MAX))
    answers = [held.explanation(*pair, as_of) for pair in asked]
    return [Asked(*pair, answer, known, rules) for pair, answer in zip(asked, answers, strict=True)]


def named(step: ExplainedStep, counted: list[Message]) -> list[Message]:
    """The messages that a step stands for: claims of the device by the user, or links."""
    if step.device is not None:
        found = [
            m for m in counted if m.is_claim and (m.device, m.user) == (step.device, step.user)
        ]
    else:
        pair = {step.source, step.user}
        found = [m for m in counted if m.is_link and {m.source, m.user} == pair]
    return sorted(found, key=lambda m: m.position)


def is_one_device(asked: Asked) -> bool:
    """Whether both keys may be places on one device, which no dropped claim takes apart."""
    steps = [*asked.answer.chain, *asked.answer.also]
    ends = [key for key in (asked.first, asked.second) if key.by != "user"]
    return len(ends) == 2 and len({step.device for step in steps if step.device}) < 2


@pytest.mark.parametrize("about", ["persons", "chains", "separations"])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(deliveries(), tangles(), tangles()),
    st.one_of(st.none(), st.integers(T0, T0 + 20)),
    st.randoms(use_true_random=False),
)
def test_an_explanation_is_right(place, about: str, delivery, as_of, random) -> None:
    check = {"persons": check_persons, "chains": check_chain, "separations": check_apart}[about]
    for asked in explained(place, delivery, as_of, random):
        check(asked)


def check_persons(asked: Asked) -> None:
    """The two persons are the model's, and the parts of the answer fit together."""
    answer, expected = asked.answer, asked.persons()

    assert [answer.first_person_id, answer.second_person_id] == expected
    assert answer.same_person == (expected[0] is not None and expected[0] == expected[1])
    if answer.not_found:
        assert expected[answer.not_found == "second"] is None
        assert not answer.sentence
        return
    assert answer.sentence
    assert bool(answer.separations) != answer.same_person
    assert answer.chain or not answer.also


def check_chain(asked: Asked) -> None:
    """Each step is told by messages in force; they lead from end to end; all carry it."""
    answer = asked.answer
    if not answer.same_person:
        assert not answer.chain
        return
    counted = in_force(asked.known)
    dropped: set[str] = set()
    for step in (*answer.chain, *answer.also):
        messages = named(step, counted)
        whole = [m._replace(warnings=()) for m in messages]
        assert (step.messages, step.first, step.last) == (len(whole), whole[0], whole[-1])
        assert not dropped & {m.message_id for m in messages}, "a pair is named once"
        dropped |= {m.message_id for m in messages}
    check_ends(asked)
    if not answer.chain or is_one_device(asked):
        return
    event("with more pairs" if answer.also else "by the chain alone")
    first, second = asked.persons(frozenset(dropped))
    assert first is None or second is None or first != second


def check_ends(asked: Asked) -> None:
    """Neighbouring steps share an id, and the outer ones are the keys where these are ids."""
    links = [{("a", s.device) if s.device else ("u", s.source), ("u", s.user)}
             for s in asked.answer.chain]  # fmt: skip
    assert all(one & other for one, other in pairwise(links))
    for key, outer in ((asked.first, links[:1]), (asked.second, links[-1:])):
        if key.by != "person" and outer:
            assert (key.by[0], key.value) in outer[0]


def check_apart(asked: Asked) -> None:
    """What keeps two ids apart is a message of its kind, and `NO_CLAIM` says that none is."""
    known = {m.message_id: m._replace(warnings=()) for m in asked.known}
    reasons = [one.reason for one in asked.answer.separations]
    for one in asked.answer.separations:
        event(one.reason.name)
        assert one.sentence
        if one.evidence is None:
            assert one.reason is SeparationReason.NO_CLAIM
        else:
            assert known[one.evidence.message_id] == one.evidence
            assert one.evidence.kind in KINDS[one.reason]
        if one.reason is SeparationReason.UNLINKED:
            pair, struck = pair_of(one.evidence), one.evidence.event_time
            pairs = [m for m in asked.known if m.is_claim or m.is_link]
            assert any(pair_of(m) == pair and m.event_time <= struck for m in pairs)
    if SeparationReason.NO_CLAIM in reasons:
        assert reasons == [SeparationReason.NO_CLAIM]
        check_no_claim(asked)


def check_no_claim(asked: Asked) -> None:
    """No message names both, in whatever way."""
    keys = {asked.first.by: asked.first.value, asked.second.by: asked.second.value}
    if set(keys) == {"user", "anonymous"}:
        device, user = keys["anonymous"], keys["user"]
        assert not any((m.device, m.user) == (device, user) and m.kind != Kind.UNLINK
                       for m in asked.known)  # fmt: skip
    if asked.first.by == asked.second.by == "user":
        pair = {asked.first.value, asked.second.value}
        assert not any(m.is_link and {m.source, m.user} == pair for m in asked.known)
        claimed = [
            {m.device for m in in_force(asked.known) if m.is_claim and m.user == user}
            for user in sorted(pair)
        ]
        assert not set.intersection(*claimed)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(deliveries())
def test_no_unlink_no_reset_and_no_second_user_keep_nothing_apart(place, delivery) -> None:
    """Where a device was claimed by one user alone, in one segment, they are one person."""
    history, batches, _, gap = delivery
    held = filled_with(place, batches, fresh_workspace(Rules(session_gap=gap)))
    for device in DEVICES:
        for user in USERS:
            pair = PersonKey("anonymous", device), PersonKey("user", user)
            answer = held.explanation(*pair)
            claims = [m for m in history if m.is_claim and m.device == device]
            alone = {m.user for m in claims} == {user}
            others = [m for m in history if m.kind in (Kind.RESET, Kind.UNLINK)]
            if alone and not others:
                assert answer.same_person
                assert answer.chain[0].messages == len(claims)


def test_reasons_have_the_numbers_of_the_protos() -> None:
    prefix = "SEPARATION_REASON_"
    wire = {name.removeprefix(prefix): n for name, n in v1.SeparationReason.items() if n}

    assert {reason.name: reason.value for reason in SeparationReason} == wire
