"""The model by examples: who is who, given a few messages."""

import random

import pytest

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules, World, derive
from sameas_service.domain.kinds import Kind
from sameas_service.domain.unlinks import in_force, is_struck, pair_of, strikes

RULES = Rules()


def who(messages) -> tuple[World, dict[str, str]]:
    """The world, the same in any order, and the canonical user of each message, or ''."""
    world, chance = derive(messages, RULES), random.Random(3)
    for _ in range(3):
        chance.shuffle(messages)
        assert derive(messages, RULES) == world
    owner = {
        message.message_id: person.users[0] if person.users else ""
        for person in world.people.values()
        for message in person.messages
    }
    return world, owner


def call(kind: Kind, message_id: str, **fields: str):
    """An accepted call of the time of its receipt."""
    return accept(Call(kind, message_id, 1_700_000_000_000_000 + len(message_id), **fields))


def test_without_messages_there_is_nobody() -> None:
    assert derive([], RULES) == World({}, {}, {})


def test_a_devices_past_joins_the_first_who_claims_it(message) -> None:
    view, claim = message(Kind.PAGE, 0, "d"), message(Kind.IDENTIFY, 99, "d", "u")

    world, owner = who([view, claim])

    assert owner == {view.message_id: "u", claim.message_id: "u"}
    assert world.anonymous_ids["d"] == world.user_ids["u"]
    assert len(world.people) == 1


def test_a_shared_device_is_split_in_time_and_nobody_is_fused(message) -> None:
    messages = [
        message(Kind.IDENTIFY, 0, "d", "u"),
        message(Kind.PAGE, 60, "d"),
        message(Kind.IDENTIFY, 61, "d", "v"),
        message(Kind.TRACK, 62, user="u"),
    ]

    world, owner = who(list(messages))

    assert [owner[m.message_id] for m in messages] == ["u", "v", "v", "u"]
    assert world.user_ids["u"] != world.user_ids["v"] == world.anonymous_ids["d"]


def test_a_struck_claim_counts_as_if_sent_without_its_device(message) -> None:
    view = message(Kind.PAGE, 0, "d")
    claim = message(Kind.IDENTIFY, 1, "d", "u", payload='{"plan":"pro"}')
    unlink = message(Kind.UNLINK, 2, "d", "u")

    world, owner = who([view, claim, unlink])

    assert owner == {view.message_id: "", claim.message_id: "u"}
    assert world.people[world.user_ids["u"]].traits == {"plan": "pro"}
    assert in_force([view, claim, unlink]) == [view, claim._replace(device=None)]


def test_the_past_of_a_struck_claim_passes_to_the_next_claimant(message) -> None:
    view = message(Kind.PAGE, 0, "d")
    messages = [view, message(Kind.IDENTIFY, 1, "d", "u"), message(Kind.IDENTIFY, 200, "d", "v"),
                message(Kind.UNLINK, 300, "d", "u")]  # fmt: skip

    _, owner = who(messages)

    assert owner[view.message_id] == "v"


@pytest.mark.parametrize(("minutes", "counts"), [(1, False), (2, False), (2.001, True)])
def test_claims_up_to_an_unlinks_time_are_struck_and_later_ones_count(
    message, minutes: float, counts: bool
) -> None:
    view, unlink = message(Kind.PAGE, 0, "d"), message(Kind.UNLINK, 2, "d", "u")
    claim = message(Kind.TRACK, minutes, "d", "u", message_id="z" if minutes == 2 else "a")

    _, owner = who([view, unlink, claim])

    assert owner[view.message_id] == ("u" if counts else "")


def test_an_unlink_strikes_that_pair_alone(message) -> None:
    messages = [
        message(Kind.IDENTIFY, 0, "d", "u"),
        message(Kind.IDENTIFY, 0, "d2", "u"),
        message(Kind.IDENTIFY, 1, "d", "v"),
        message(Kind.UNLINK, 2, "d", "u"),
    ]

    world, _ = who(messages)

    assert world.anonymous_ids == {"d": world.user_ids["v"], "d2": world.user_ids["u"]}


def test_a_struck_link_counts_not_at_all_in_either_direction(message) -> None:
    events = [message(Kind.TRACK, 0, user="u"), message(Kind.TRACK, 0, user="v")]
    links = [message(Kind.MERGE, 1, user="u", source="v"),
             message(Kind.ALIAS, 2, user="v", source="u")]  # fmt: skip
    unlink = message(Kind.UNLINK, 3, user="v", source="u")

    joined, _ = who([*events, *links])
    parted, _ = who([*events, *links, unlink])

    assert joined.user_ids["u"] == joined.user_ids["v"]
    assert parted == derive(events, RULES)


def test_a_user_whom_only_a_struck_link_names_is_nobody(message) -> None:
    messages = [message(Kind.MERGE, 1, user="u", source="v"),
                message(Kind.UNLINK, 3, user="u", source="v")]  # fmt: skip

    assert who(messages)[0] == World({}, {}, {})


def test_of_several_unlinks_of_a_pair_the_latest_counts(message) -> None:
    unlinks = [message(Kind.UNLINK, at, "d", "u") for at in (3, 1, 2)]
    claims = [message(Kind.IDENTIFY, at, "d", "u") for at in (3, 4)]

    upto = strikes(unlinks)

    assert upto == {("device", "d", "u"): unlinks[0].event_time}
    assert [is_struck(claim, upto) for claim in claims] == [True, False]


def test_a_pair_of_users_has_no_direction_and_one_of_a_device_is_another(message) -> None:
    one = message(Kind.MERGE, 0, user="u", source="v")
    other = message(Kind.ALIAS, 0, user="v", source="u")

    assert pair_of(one) == pair_of(other) == ("users", "u", "v")
    assert pair_of(message(Kind.IDENTIFY, 0, "v", "u")) == ("device", "v", "u")
    assert pair_of(message(Kind.PAGE, 0, "d")) is pair_of(message(Kind.TRACK, 0, user="u")) is None


def test_an_alias_claims_its_source_and_not_the_callers_own_device() -> None:
    messages = [
        call(Kind.PAGE, "own", anonymous_id="own-device"),
        call(Kind.PAGE, "old", anonymous_id="source"),
        call(Kind.ALIAS, "alias", anonymous_id="own-device", user_id="u",
             previous_anonymous_id="source"),
    ]  # fmt: skip

    world, owner = who(messages)

    assert owner == {"own": "", "old": "u", "alias": "u"}
    assert world.anonymous_ids["source"] == world.user_ids["u"]
    assert world.anonymous_ids["own-device"] != world.user_ids["u"]


@pytest.mark.parametrize("source", ["previous_anonymous_id", "previous_user_id"])
def test_an_alias_of_an_id_to_itself_changes_nothing(source: str) -> None:
    page = call(Kind.PAGE, "page", anonymous_id="same")
    alias = call(Kind.ALIAS, "alias", user_id="same", **{source: "same"})

    world, owner = who([page, alias])

    assert owner == {"page": "", "alias": "same"}
    assert world.people[world.user_ids["same"]].users == ["same"]
    assert world.people[world.user_ids["same"]].spans == []


def test_an_alias_from_a_former_user_makes_one_person_with_the_canonical_user_first(
    message,
) -> None:
    messages = [message(Kind.TRACK, 0, "d", "a-old"),
                message(Kind.ALIAS, 1, user="z-new", source="a-old"),
                message(Kind.ALIAS, 2, user="a-old", source="b-older")]  # fmt: skip

    world, _ = who(messages)

    (person,) = world.people.values()
    assert person.users == ["z-new", "a-old", "b-older"]
    assert [span.owner for span in person.spans] == ["a-old"]
    assert set(world.user_ids.values()) == {world.anonymous_ids["d"]} == {person.person_id}


def test_links_move_no_spans(message) -> None:
    """A claim by one user of a person on another's span opens a span of their own."""
    messages = [message(Kind.IDENTIFY, 0, "d", "u"), message(Kind.IDENTIFY, 60, "d", "v")]
    link = message(Kind.MERGE, 1, user="u", source="v")

    linked, _ = who([*messages, link])
    apart, _ = who(list(messages))

    spans = [span for person in apart.people.values() for span in person.spans]
    assert sorted(linked.people[linked.user_ids["u"]].spans) == sorted(spans)


def test_no_sequence_of_other_calls_joins_two_users(message) -> None:
    chance = random.Random(7)
    kinds = [Kind.IDENTIFY, Kind.TRACK, Kind.PROFILE, Kind.RESET]
    messages = [
        message(chance.choice(kinds), chance.randrange(300), chance.choice(["", "d", "e"]) or "d",
                chance.choice(["", "u", "v", "w"]))
        for _ in range(200)
    ]  # fmt: skip

    world = derive(messages, RULES)

    assert len(set(world.user_ids.values())) == 3
