"""Unlink restores both sides exactly: what is left is the history without the pair."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.unlinks import pair_of
from support.deliveries import EXAMPLES, deliver
from support.histories import GAP, T0, devices, histories, users
from support.stored import fresh_workspace
from support.worlds import expected_dump

NOW = T0 + 10**12
RULES = Rules(session_gap=GAP)


def live(kind: Kind, index: int, user: str, **other: str) -> Message:
    """A call as the server gets it: without a time of its own."""
    return accept(Call(kind, f"live{index}", NOW + index, user_id=user, **other))


def without(history: list[Message], pair) -> list[Message]:
    """The history with the pair's claims sent without a device, and its links not at all."""
    kept = []
    for message in history:
        if message.kind is Kind.UNLINK or pair_of(message) != pair:
            kept.append(message)
        elif message.is_claim:
            kept.append(message._replace(device=None))
        elif not message.is_link:
            kept.append(message)
    return kept


def dump_of(place, rules: Rules, messages: list[Message]):
    """What a store dumps that gets the messages one by one."""
    batches = [[message] for message in messages]
    return deliver(place, rules, batches, [False] * len(batches))


check = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@check
@given(histories(), devices, users)
def test_unlinking_a_device_gives_the_history_without_the_pairs_claims(
    place, history, device, user
):
    unlink = live(Kind.UNLINK, 0, user, anonymous_id=device)

    rules = fresh_workspace(RULES)
    dumped = dump_of(place, rules, [*history, unlink])

    assert dumped == expected_dump(without(history, pair_of(unlink)), rules)


@check
@given(histories(), users, users)
def test_unlinking_users_gives_the_history_without_their_links(place, history, first, second):
    unlink = live(Kind.UNLINK, 0, first, previous_user_id=second)

    rules = fresh_workspace(RULES)
    dumped = dump_of(place, rules, [*history, unlink])

    assert dumped == expected_dump(without(history, pair_of(unlink)), rules)


@check
@given(histories(), users, users)
def test_merge_then_unlink_gives_the_history_without_links_of_the_pair(
    place, history, first, second
):
    merge = live(Kind.MERGE, 0, first, previous_user_id=second)
    unlink = live(Kind.UNLINK, 1, first, previous_user_id=second)

    rules = fresh_workspace(RULES)
    dumped = dump_of(place, rules, [*history, merge, unlink])

    assert dumped == expected_dump(without([*history, merge], pair_of(unlink)), rules)


@check
@given(histories(), users, users, st.booleans())
def test_a_merge_after_an_unlink_counts(place, history, first, second, late) -> None:
    unlink = live(Kind.UNLINK, 5 if late else 0, first, previous_user_id=second)
    merge = live(Kind.MERGE, 1, first, previous_user_id=second)

    rules = fresh_workspace(RULES)
    dumped = dump_of(place, rules, [*history, unlink, merge])

    assert dumped["user_ids"][first] == dumped["user_ids"][first if first == second else second]
