"""What a read transaction answers. Times are minutes; messages are named by their ids."""

from typing import Any

from contract.scenes import (
    BEFORE_ALL,
    Scene,
    merged,
    position,
    reset,
    reset_end,
    said,
    seen,
    signed_in,
    traits,
    unlinked,
)
from sameas_service.domain import person_ids
from sameas_service.domain.changes import Change, ChangeKind
from sameas_service.domain.kinds import Kind
from sameas_service.domain.limits import ANONYMOUS_IDS_MAX
from sameas_service.domain.message import START, Message, Position
from sameas_service.domain.receipt import Outcome
from sameas_service.resolver.facts import (
    FOREVER,
    AnonymousSegment,
    CanonicalUser,
    Filter,
    PersonKey,
    Source,
)
from support.histories import MINUTE, T0

EVERY = Filter()


def resolved(scene: Scene, *keys: tuple[str, str]) -> list[Any]:
    """Whom keys stand for: a user's id, a segment's device and start, or None."""
    found = scene.read("resolve", [PersonKey(*key) for key in keys])
    return [
        one.name if isinstance(one, CanonicalUser) else one and (one.name, one.start)
        for one in found
    ]


# ---- resolve ---------------------------------------------------------------------------------


def test_resolve_gives_the_canonical_user_of_a_users_person(scene: Scene) -> None:
    scene.keep(seen("a", 1, user="u1"), merged("b", 2, "u2", "u1"), merged("c", 3, "u3", "u2"))

    assert resolved(scene, ("user", "u1"), ("user", "u2"), ("user", "u3")) == ["u3"] * 3


def test_resolve_gives_who_owns_the_latest_message_of_a_device(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), signed_in("b", 2, "d2", "u1"), seen("c", 3, "d2"))
    scene.keep(signed_in("d", 2, "d3", "u1"), reset("e", 3, "d3"), seen("f", 4, "d3"))
    scene.keep(signed_in("g", 2, "d4", "u1"), reset("h", 3, "d4"))

    found = resolved(scene, *(("anonymous", f"d{number}") for number in range(1, 5)))

    # The reset itself is the last message of `d4`, and its owner's still.
    assert found == [("d1", START), "u1", ("d3", reset_end(3, "e")), "u1"]


def test_resolve_gives_what_a_person_id_stands_for_now(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), signed_in("b", 2, "d2", "u1"), merged("c", 3, "u2", "u1"))
    workspace = scene.workspace.name
    segments = [person_ids.of_segment(workspace, name, START) for name in ("d1", "d2")]
    users = [person_ids.of_user(workspace, name) for name in ("u1", "u2", "u3")]

    found = resolved(scene, *(("person", one) for one in [*segments, *users]))

    assert found == [("d1", START), "u2", "u2", "u2", None]


def test_resolve_answers_in_the_order_of_the_keys_and_nobody_for_what_was_never_used(
    scene: Scene,
) -> None:
    scene.keep(seen("a", 1, "d1"), seen("b", 1, user="u1"))

    keys = [("user", "u2"), ("user", "u1"), ("anonymous", "u1"), ("user", "d1"), ("user", "u1")]
    assert resolved(scene, *keys, ("anonymous", "d1")) == [
        None, "u1", None, None, "u1", ("d1", START)
    ]  # fmt: skip
    assert resolved(scene) == []


def test_resolve_knows_no_id_with_a_null_character_nor_the_one_before_it(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1", "u1"))

    assert resolved(scene, ("user", "u1\x00"), ("anonymous", "d1\x00x")) == [None, None]


def test_resolve_knows_no_device_that_only_struck_claims_name(scene: Scene) -> None:
    scene.keep(signed_in("a", 1, "d1", "u1"), unlinked("b", 2, "u1", device="d1"))

    assert resolved(scene, ("anonymous", "d1"), ("user", "u1")) == [None, "u1"]


# ---- person_facts ------------------------------------------------------------------------------


def test_person_facts_tell_first_and_last_message_ids_and_traits(scene: Scene) -> None:
    scene.keep(
        traits("a", 5, '{"set":{"plan":"free"}}', user="u1"),
        signed_in("b", 3, "d2", "u1"),
        seen("c", 1, "d2"),
        seen("d", 9, "d1", "u2"),
        merged("e", 4, "u1", "u2"),
    )
    person = scene.person("user", "u1")

    facts = scene.read("person_facts", [person])

    first, last = position(1, "c").at, position(9, "d").at
    assert facts.seen == {person: (first, last)}
    assert {one: sorted(names) for one, names in facts.users.items()} == {person: ["u1", "u2"]}
    assert facts.devices == {person: ["d1", "d2"]}
    (text,) = facts.profiles.values()
    assert set(facts.profiles) == {person_ids.of_user(scene.workspace.name, "u1")}
    assert "free" in text


def test_person_facts_of_several_persons_are_kept_apart(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), reset("b", 2, "d1"), seen("c", 3, "d1"), seen("d", 4, user="u1"))
    scene.keep(traits("e", 5, '{"set":{"n":1}}', device="d1"))
    device = scene.device("d1")
    first = AnonymousSegment(device, "d1", START)
    second = AnonymousSegment(device, "d1", reset_end(2, "b"))
    user = scene.person("user", "u1")

    facts = scene.read("person_facts", [second, user, first])

    reset_at = position(2, "b", Kind.RESET).at
    assert facts.seen == {
        first: (position(1, "a").at, reset_at),
        second: (position(3, "c").at, position(5, "e").at),
        user: (position(4, "d").at, position(4, "d").at),
    }
    assert set(facts.profiles) == {
        person_ids.of_segment(scene.workspace.name, "d1", reset_end(2, "b"))
    }


def test_person_facts_have_seen_nobody_whom_no_message_belongs_to(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), signed_in("b", 2, "d1", "u1"), reset("c", 3, "d1"))
    empty = AnonymousSegment(scene.device("d1"), "d1", reset_end(3, "c"))
    user = scene.person("user", "u1")

    facts = scene.read("person_facts", [empty, user])

    assert set(facts.seen) == {user}


def test_person_facts_list_one_device_more_than_an_answer_may(scene: Scene) -> None:
    names = [f"d{number:04}" for number in range(ANONYMOUS_IDS_MAX + 5)]
    scene.held.append([signed_in(f"m{name}", 1, name, "u1") for name in reversed(names)])
    person = scene.person("user", "u1")

    facts = scene.read("person_facts", [person])

    assert facts.devices == {person: names[: ANONYMOUS_IDS_MAX + 1]}


# ---- sources ---------------------------------------------------------------------------------


def test_sources_are_the_users_and_what_they_own_of_devices(scene: Scene) -> None:
    scene.keep(
        signed_in("a", 1, "d1", "u1"),
        signed_in("b", 100, "d1", "u2"),
        reset("c", 200, "d1"),
        signed_in("d", 300, "d2", "u3"),
        merged("e", 301, "u1", "u3"),
    )
    person = scene.person("user", "u3")
    d1, d2, u1, u3 = scene.device("d1"), scene.device("d2"), scene.user("u1"), scene.user("u3")

    found = scene.read("sources", [person])

    assert set(found) == {person}
    assert sorted(found[person], key=repr) == sorted(
        [
            Source(u1),
            Source(u3),
            Source(u1, d1, START, position(100, "b")),
            Source(u3, d2, START, FOREVER),
        ],
        key=repr,
    )


def test_sources_of_a_segment_end_where_the_next_one_starts(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), reset("b", 2, "d1"), seen("c", 3, "d1"))
    device = scene.device("d1")
    first = AnonymousSegment(device, "d1", START)
    second = AnonymousSegment(device, "d1", reset_end(2, "b"))

    found = scene.read("sources", [second, first])

    assert found == {
        first: [Source(None, device, START, reset_end(2, "b"))],
        second: [Source(None, device, reset_end(2, "b"), FOREVER)],
    }


def test_a_page_of_one_tells_whether_any_message_is_in_the_sources(scene: Scene) -> None:
    scene.keep(seen("a", 5, "d1"), signed_in("b", 6, "d2", "u1"), merged("c", 7, "u1", "u2"))
    device, user, former = scene.device("d1"), scene.user("u1"), scene.user("u2")
    claimed = scene.device("d2")

    def has(*sources: Source) -> bool:
        chunk = scene.read("page", list(sources), BEFORE_ALL, Filter(), 1)
        return chunk.examined == 1

    assert has(Source(user))
    assert has(Source(None, device, START, FOREVER))
    assert has(Source(None, device, position(5, "a"), position(5, "b")))
    assert not has(Source(former))
    assert not has(Source(None, device, START, position(5, "a")))
    assert not has(Source(None, device, position(5, "b"), FOREVER))
    # Messages that name a user are that user's, and not the device's.
    assert not has(Source(None, claimed, START, FOREVER))
    assert has(Source(former), Source(user))
    assert not has()


# ---- page ------------------------------------------------------------------------------------


def filmed(scene: Scene) -> list[Source]:
    """Six messages of a user and of a device that is theirs; its sources."""
    scene.keep(
        seen("a", 1, "d1"),
        signed_in("b", 2, "d1", "u1"),
        said(Kind.PAGE, "c", 3, anonymous_id="d1", event="home"),
        seen("d", 4, user="u1", event="buy"),
        seen("e", 5, "d1", event="buy"),
        said(Kind.GROUP, "f", 6, user_id="u1", event="buy"),
        seen("g", 7, "d2", "u2"),
        seen("h", 8, "d3"),
    )
    person = scene.person("user", "u1")
    sources: list[Source] = scene.read("sources", [person])[person]
    return sources


def paged(
    scene: Scene, sources: list[Source], after: Position, only: Filter, size: int
) -> tuple[int, str, Position | None]:
    chunk = scene.read("page", sources, after, only, size)
    return chunk.examined, "".join(m.message_id for m in chunk.messages), chunk.last


def test_page_gives_the_next_messages_of_all_sources_in_order(scene: Scene) -> None:
    sources = filmed(scene)

    assert paged(scene, sources, BEFORE_ALL, EVERY, 4) == (4, "abcd", position(4, "d"))
    assert paged(scene, sources, position(4, "d"), EVERY, 4) == (2, "ef", position(6, "f"))
    assert paged(scene, sources, position(6, "f"), EVERY, 4) == (0, "", None)
    assert paged(scene, [], BEFORE_ALL, EVERY, 4) == (0, "", None)


def test_page_looks_at_so_many_and_gives_those_that_the_filter_takes(scene: Scene) -> None:
    sources = filmed(scene)

    buys = Filter(events=frozenset(["buy", "nothing"]))
    tracks = Filter(kinds=frozenset([Kind.TRACK, Kind.PAGE]))
    both = Filter(frozenset([Kind.TRACK]), frozenset(["buy"]))
    assert paged(scene, sources, BEFORE_ALL, buys, 4) == (4, "d", position(4, "d"))
    assert paged(scene, sources, BEFORE_ALL, tracks, 10) == (6, "acde", position(6, "f"))
    assert paged(scene, sources, BEFORE_ALL, both, 10) == (6, "de", position(6, "f"))
    nothing = Filter(events=frozenset(["buy\x00"]))
    assert paged(scene, sources, BEFORE_ALL, nothing, 10) == (6, "", position(6, "f"))


def test_page_ends_before_the_end_time_and_leaves_the_start_time_to_the_caller(
    scene: Scene,
) -> None:
    sources = filmed(scene)

    only = Filter(start_time=T0 + 3 * MINUTE, end_time=T0 + 5 * MINUTE)

    assert paged(scene, sources, BEFORE_ALL, only, 10) == (4, "abcd", position(4, "d"))


def test_page_gives_whole_messages(scene: Scene) -> None:
    message = said(
        Kind.TRACK, "m", 1, anonymous_id="d1", user_id="u1", event="é😀",
        payload='{"a":[1.5,null]}', context='{"b":{}}',
    )._replace(sent_at=T0 - 1)  # fmt: skip
    scene.keep(message)

    chunk = scene.read("page", [Source(scene.user("u1"))], BEFORE_ALL, EVERY, 10)

    assert list(chunk.messages) == [message]


# ---- changes ---------------------------------------------------------------------------------


def test_changes_come_after_a_cursor_in_order_and_up_to_a_limit(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), signed_in("b", 2, "d1", "u1"))
    anonymous = person_ids.of_segment(scene.workspace.name, "d1", START)
    user = person_ids.of_user(scene.workspace.name, "u1")

    found = scene.read("changes", 0, 10)

    assert [(one.message_id, one.change) for one in found] == [
        ("a", Change(ChangeKind.CREATED, False, "d1", anonymous, "")),
        ("b", Change(ChangeKind.CREATED, True, "u1", user, "")),
        ("b", Change(ChangeKind.JOINED, False, "d1", user, anonymous)),
    ]
    cursors = [one.cursor for one in found]
    assert cursors == sorted(set(cursors))
    assert scene.read("changes", cursors[0], 1) == found[1:2]
    assert scene.read("changes", cursors[-1], 10) == []


# ---- messages_by_id, persons_of_messages -----------------------------------------------------


def test_messages_by_id_are_whole_and_with_what_they_did(scene: Scene) -> None:
    messages: list[Message] = [
        seen("a", 1, "d1"),
        signed_in("b", 2, "d1", "u1", payload='{"n":1}'),
        merged("c", 3, "u1", "u2"),
        unlinked("d", 4, "u1", other="u2"),
        reset("e", 5, "d1"),
    ]
    scene.keep(*messages)

    found = scene.read("messages_by_id", ["e", "d", "c", "b", "a", "nothing"])

    outcomes = [
        Outcome.CREATED, Outcome.LINKED, Outcome.LINKED, Outcome.SPLIT, Outcome.RESET
    ]  # fmt: skip
    assert sorted(found, key=lambda pair: pair[0].message_id) == list(
        zip([m._replace(warnings=()) for m in messages], outcomes, strict=True)
    )
    assert scene.read("messages_by_id", []) == []


def test_persons_of_messages_are_whose_they_are_now(scene: Scene) -> None:
    scene.keep(
        seen("a", 1, "d1"),
        signed_in("b", 2, "d1", "u1"),
        reset("c", 3, "d1"),
        seen("d", 4, "d1"),
        merged("e", 5, "u2", "u1"),
        seen("f", 6, "d2"),
    )

    found = scene.read("persons_of_messages", [*"abcdef", "nothing"])

    user = scene.person("user", "u2")
    second = AnonymousSegment(scene.device("d1"), "d1", reset_end(3, "c"))
    other = AnonymousSegment(scene.device("d2"), "d2", START)
    assert found == {"a": user, "b": user, "c": user, "d": second, "e": user, "f": other}


def test_persons_of_messages_that_belong_to_nobody_are_those_that_they_name(scene: Scene) -> None:
    """A retry of an unlink or of a struck link is answered with a person too."""
    scene.keep(
        seen("a", 1, user="u1"),
        merged("b", 2, "u1", "u2"),
        unlinked("c", 3, "u1", other="u2"),
        unlinked("d", 3, "u3", device="d9"),
    )

    found = scene.read("persons_of_messages", ["b", "c", "d"])

    u1, u3 = (scene.user(name) for name in ("u1", "u3"))
    assert found == {
        "b": CanonicalUser(u1, "u1"),
        "c": CanonicalUser(u1, "u1"),
        "d": CanonicalUser(u3, "u3"),
    }
