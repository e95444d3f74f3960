"""What a write transaction answers, beside what a read transaction does."""

from typing import Any

from contract.scenes import (
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
from sameas_service.domain.device import Cut, Device, SpanRow
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message, Position
from sameas_service.resolver.facts import FOREVER, LinkRow, Names, Opening, Source, UnlinkRow

NOTHING = Names([], [], [], [])


# ---- open ------------------------------------------------------------------------------------


def opened(scene: Scene, **names: list[str]) -> Opening:
    """What there is of names, those not given being none."""
    opening: Opening = scene.write("open", NOTHING._replace(**names))
    return opening


def test_open_tells_which_message_ids_are_known(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), unlinked("b", 2, "u1", device="d1"))

    assert opened(scene, message_ids=["b", "a", "m000", "c"]).known_ids == {"a", "b"}


def test_open_gives_the_state_of_the_devices_that_there_are(scene: Scene) -> None:
    scene.keep(
        seen("a", 1, "d1"), seen("b", 2, "d1"),
        signed_in("c", 1, "d2", "u1"), reset("d", 2, "d2"),
        traits("e", 1, '{"set":{"n":1}}', device="d3"),
        signed_in("f", 1, "d4", "u1"), unlinked("g", 2, "u1", device="d4"),
    )  # fmt: skip

    opening = opened(scene, devices=["d1", "d2", "d3"], known_devices=["d4", "d5"])

    found = {device.name: device for device in opening.devices}
    assert set(found) == {"d1", "d2", "d3", "d4"}
    assert found["d1"] == Device(
        scene.device("d1"), "d1", position(2, "b"), None, START, position(1, "a")
    )
    # A reset has no owner after it, and nobody has visited yet.
    assert found["d2"] == Device(
        scene.device("d2"), "d2", position(2, "d", Kind.RESET), None, reset_end(2, "d")
    )
    assert found["d3"].has_operations
    assert (found["d4"].last, found["d4"].owner) == (None, None)
    assert opening.new_devices == {}


def test_open_gives_new_devices_and_users_numbers_of_their_own(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1", "u1"))

    opening = opened(
        scene, devices=["d1", "d8", "d9"], known_devices=["d7"], users=["u1", "u8", "u9"]
    )

    assert set(opening.new_devices) == {"d8", "d9"}
    assert set(opening.new_users) == {"u8", "u9"}
    taken_devices = {scene.device(name) for name in ("d1",)}
    assert len({*opening.new_devices.values()} - taken_devices) == 2
    assert len({*opening.new_users.values()} - {scene.user("u1")}) == 2
    # Those of the other workspace are others, too.
    others = scene.store.scan(
        lambda reader: [
            reader.id_of(scene.other.workspace, name, is_user=True) for name in ("u1", "u2")
        ]
    )
    assert not {*opening.new_users.values()} & set(others)


def test_open_keeps_nothing_of_new_names_that_no_row_is_applied_for(scene: Scene) -> None:
    scene.store.write(
        lambda tx: tx.open(scene.workspace, NOTHING._replace(devices=["d9"], users=["u9"]))
    )

    assert scene.scan("id_of", "d9", is_user=False) is None
    assert scene.scan("id_of", "u9", is_user=True) is None


def test_open_gives_users_with_their_canonical_ones_and_owners_of_devices(scene: Scene) -> None:
    scene.keep(
        signed_in("a", 1, "d1", "u1"),
        merged("b", 2, "u3", "u2"),
        merged("c", 3, "u4", "u1"),
        seen("d", 4, user="u5"),
    )

    opening = opened(scene, devices=["d1"], users=["u2", "u9"])

    users = {user.name: user for user in opening.users}
    assert set(users) == {"u1", "u2", "u3", "u4"}
    assert users["u1"].canonical == users["u4"].id
    assert users["u2"].canonical == users["u3"].canonical == users["u3"].id
    assert [user.named for user in users.values()] == [True] * 4
    assert set(opening.new_users) == {"u9"}


def test_open_knows_a_user_whom_only_a_repeat_or_an_unlink_names(scene: Scene) -> None:
    scene.keep(unlinked("a", 1, "u1", device="d1"))

    (user,) = opened(scene, users=["u1"]).users

    assert (user.name, user.named, user.canonical) == ("u1", False, user.id)


def test_open_gives_all_unlinks_that_name_one_of_the_users(scene: Scene) -> None:
    first, second = unlinked("a", 5, "u1", device="d1"), unlinked("b", 6, "u1", other="u2")
    scene.keep(first, second, unlinked("c", 7, "u3", device="d1"))

    found = opened(scene, users=["u1", "u2"]).unlinks

    assert sorted(found) == [
        UnlinkRow("a", "d1", "u1", None, first.event_time),
        UnlinkRow("b", None, "u1", "u2", second.event_time),
    ]


# ---- Users and links -------------------------------------------------------------------------


def linked(scene: Scene) -> None:
    """`u1`, `u2` and `u3` are one person, `u4` and `u5` another; `u6` is alone."""
    scene.keep(
        merged("a", 1, "u2", "u1"),
        merged("b", 2, "u3", "u2"),
        merged("c", 3, "u5", "u4"),
        seen("d", 4, user="u6"),
    )


def test_users_are_found_by_their_numbers(scene: Scene) -> None:
    linked(scene)

    found = scene.write("users", [scene.user("u6"), scene.user("u1")])

    assert sorted((user.name, scene.user_name(user.canonical)) for user in found) == [
        ("u1", "u3"), ("u6", "u6")
    ]  # fmt: skip
    assert scene.write("users", []) == []


def test_members_are_all_users_of_the_persons_of_canonical_users(scene: Scene) -> None:
    linked(scene)

    def members(*names: str) -> set[str]:
        return {user.name for user in scene.write("members", [scene.user(n) for n in names])}

    assert members("u3") == {"u1", "u2", "u3"}
    assert members("u3", "u6") == {"u1", "u2", "u3", "u6"}
    assert members("u1") == set()


def links(scene: Scene, question: str, *arguments: Any) -> set[tuple[str, str | None, str | None]]:
    """Links as message id, source and target."""
    found: list[LinkRow] = scene.write(question, *arguments)
    assert len(set(found)) == len(found)
    return {
        (one.position.message_id, scene.user_name(one.source), scene.user_name(one.target))
        for one in found
    }


def test_links_among_name_one_of_the_users_and_are_in_force(scene: Scene) -> None:
    linked(scene)
    scene.keep(merged("e", 5, "u4", "u6"), unlinked("f", 6, "u6", other="u4"))

    assert links(scene, "links_among", [scene.user("u2")]) == {
        ("a", "u1", "u2"), ("b", "u2", "u3")
    }  # fmt: skip
    assert links(scene, "links_among", [scene.user("u4"), scene.user("u6")]) == {
        ("c", "u4", "u5")
    }  # fmt: skip
    assert links(scene, "links_among", []) == set()


def test_links_between_two_users_go_either_way(scene: Scene) -> None:
    linked(scene)
    scene.keep(merged("e", 5, "u1", "u2"), merged("f", 6, "u2", "u1"))
    first, second, third = (scene.user(name) for name in ("u1", "u2", "u3"))

    there = links(scene, "links_between", first, second)
    back = links(scene, "links_between", second, first)

    assert there == back == {("a", "u1", "u2"), ("e", "u2", "u1"), ("f", "u1", "u2")}
    assert links(scene, "links_between", first, third) == set()


def test_links_know_when_they_were_made(scene: Scene) -> None:
    linked(scene)

    (link,) = scene.write("links_among", [scene.user("u4")])

    assert link.position == position(3, "c")


def test_still_named_are_users_whom_a_message_in_force_names(scene: Scene) -> None:
    scene.keep(
        seen("a", 1, user="u1"),
        merged("b", 2, "u2", "u3"),
        merged("c", 3, "u4", "u5"),
        unlinked("d", 4, "u4", other="u5"),
        unlinked("e", 5, "u6", device="d1"),
    )
    users = {name: scene.user(name) for name in ("u1", "u2", "u3", "u4", "u5", "u6")}

    found = scene.write("still_named", list(users.values()))

    assert found == {users["u1"], users["u2"], users["u3"]}
    assert scene.write("still_named", [users["u4"]]) == set()


def test_devices_of_users_are_those_whose_latest_message_is_theirs(scene: Scene) -> None:
    scene.keep(
        signed_in("a", 1, "d1", "u1"),
        signed_in("b", 2, "d2", "u1"),
        signed_in("c", 100, "d2", "u2"),
        signed_in("d", 3, "d3", "u2"),
        reset("e", 4, "d3"),
        signed_in("f", 5, "d4", "u2"),
        reset("g", 6, "d4"),
        seen("h", 7, "d4"),
    )
    first, second = scene.user("u1"), scene.user("u2")

    found = scene.write("devices_of", [first, second])

    # The last message of `d3` is the reset, which its owner makes.
    assert sorted(found) == [("d1", first), ("d2", second), ("d3", second)]
    assert sorted(scene.write("devices_of", [first])) == [("d1", first)]


# ---- Devices ---------------------------------------------------------------------------------


def timeline(scene: Scene) -> tuple[int, list[Message]]:
    """A device of `u1`, then of `u2`, reset, of nobody, reset, and of `u1` again; its number."""
    messages = [
        seen("a", 1, "d1"),
        signed_in("b", 2, "d1", "u1"),
        seen("c", 3, "d1"),
        seen("d", 100, "d1"),
        signed_in("e", 101, "d1", "u2"),
        reset("f", 200, "d1"),
        seen("g", 201, "d1"),
        reset("h", 300, "d1"),
        signed_in("i", 301, "d1", "u1"),
    ]
    scene.keep(*messages)
    return scene.device("d1"), messages


def test_neighbours_are_the_spans_before_at_and_after_a_position(scene: Scene) -> None:
    device, _ = timeline(scene)
    u1, u2 = scene.user("u1"), scene.user("u2")
    first = SpanRow(START, u1, position(2, "b"))
    second = SpanRow(position(100, "d"), u2, position(101, "e"))
    third = SpanRow(reset_end(200, "f"), None, None)
    last = SpanRow(reset_end(300, "h"), u1, position(301, "i"))

    found = scene.write(
        "neighbours",
        [
            (device, position(250, "x")),
            (device, position(0, "x")),
            (device, position(100, "d")),
            (device, position(100, "c")),
            (device, FOREVER),
        ],
    )

    assert found == [
        (second, third, last),
        (None, first, second),
        (first, second, third),
        (None, first, second),
        (third, last, None),
    ]


def test_neighbours_on_a_first_segment_without_an_owner_are_made_up(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), seen("b", 1, "d2"), reset("c", 2, "d2"))
    places = [(scene.device(name), position(1, "x")) for name in ("d1", "d2")]

    found = scene.write("neighbours", places)

    made_up = SpanRow(START, None, None)
    assert found == [
        (None, made_up, None),
        (None, made_up, SpanRow(reset_end(2, "c"), None, None)),
    ]
    assert scene.write("neighbours", []) == []


def test_spans_of_a_device_are_all_of_them_in_order(scene: Scene) -> None:
    device, _ = timeline(scene)

    assert scene.spans(scene.write("spans_of", device)) == [
        (START, "u1", position(2, "b")),
        (position(100, "d"), "u2", position(101, "e")),
        (reset_end(200, "f"), None, None),
        (reset_end(300, "h"), "u1", position(301, "i")),
    ]
    scene.keep(seen("j", 1, "d2"))
    assert scene.write("spans_of", scene.device("d2")) == []


def test_claims_next_to_a_place_are_the_users_last_before_and_first_after(scene: Scene) -> None:
    scene.keep(
        *(signed_in(f"a{minute}", minute, "d1", "u1") for minute in (1, 2, 4, 8)),
        signed_in("b", 3, "d1", "u2"),
        seen("c", 5, "d1", "u1"),
        seen("d", 3, "d1"),
        seen("e", 3, user="u1"),
        reset("f", 6, "d1", "u1"),
        signed_in("g", 3, "d2", "u1"),
    )
    device, user, other = scene.device("d1"), scene.user("u1"), scene.user("u2")

    found = scene.write(
        "claims",
        [
            (device, user, position(3, "x"), FOREVER),
            (device, user, position(2, "a2"), position(4, "a4")),
            (device, user, position(4, "a4"), FOREVER),
            (device, user, position(5, "x"), position(8, "a8")),
            (device, user, FOREVER, FOREVER),
            (device, user, START, FOREVER),
            (device, other, position(9, "x"), FOREVER),
        ],
    )

    # A track with both ids is a claim, a reset by a user is none.
    assert found == [
        (position(2, "a2"), position(4, "a4")),
        (position(1, "a1"), None),
        (position(2, "a2"), position(5, "c")),
        (position(5, "c"), None),
        (position(8, "a8"), None),
        (None, position(1, "a1")),
        (position(3, "b"), None),
    ]
    assert scene.write("claims", []) == []


def test_claims_are_found_though_they_were_struck(scene: Scene) -> None:
    """What an unlink leaves is what the ledger has of the pair after it."""
    scene.keep(
        signed_in("a", 1, "d1", "u1"),
        signed_in("b", 5, "d1", "u1"),
        unlinked("c", 3, "u1", device="d1"),
    )
    device, user = scene.device("d1"), scene.user("u1")

    found = scene.write("claims", [(device, user, position(3, "x"), FOREVER)])

    assert found == [(position(1, "a"), position(5, "b"))]


def test_visit_starts_are_as_far_back_as_no_pause_is_longer_than_the_gap(scene: Scene) -> None:
    scene.keep(
        seen("a", 0, "d1"), seen("b", 31, "d1"), seen("c", 61, "d1"), seen("d", 90, "d1"),
        seen("e", 95, "d1", "u1"), seen("f", 100, "d1"), seen("x", 80, "d2"),
    )  # fmt: skip
    device = scene.device("d1")

    def start(origin: Position, wall: Position = START) -> Position:
        (found,) = scene.write("visit_starts", [(device, Cut(origin, wall))])
        answer: Position = found
        return answer

    # From 31 to 0 it is a minute more than the gap; to 61 it is just as long.
    assert start(position(94, "x")) == position(31, "b")
    assert start(position(94, "x"), wall=position(31, "b")) == position(61, "c")
    assert start(position(94, "x"), wall=position(90, "d")) == position(94, "x")
    assert start(position(121, "x")) == position(31, "b"), "messages with a user are no wall"
    assert start(position(131, "x")) == position(131, "x")
    assert scene.write(
        "visit_starts",
        [(device, Cut(position(131, "x"), START)), (device, Cut(position(62, "x"), START))],
    ) == [position(131, "x"), position(31, "b")]


def test_last_visitor_is_the_position_of_the_last_message_without_a_user(scene: Scene) -> None:
    scene.keep(seen("a", 1, "d1"), seen("b", 2, "d1"), signed_in("c", 3, "d1", "u1"))
    scene.keep(signed_in("d", 3, "d2", "u1"))

    assert scene.write("last_visitor", scene.device("d1")) == position(2, "b")
    assert scene.write("last_visitor", scene.device("d2")) is None


# ---- Aliases, profiles, traits ---------------------------------------------------------------


def alias(message_id: str, minute: float, user: str, device: str = "", other: str = "") -> Message:
    return said(
        Kind.ALIAS, message_id, minute, user_id=user, previous_anonymous_id=device,
        previous_user_id=other,
    )  # fmt: skip


def test_first_alias_sources_are_others_than_the_aliases_own(scene: Scene) -> None:
    scene.keep(
        alias("a", 3, "u1", device="d1"),
        alias("b", 2, "u1", device="d2"),
        alias("c", 1, "u2", other="u3"),
        alias("d", 4, "u2", other="u3"),
        merged("e", 0, "u2", "u4"),
    )
    first, second = scene.user("u1"), scene.user("u2")

    found = scene.write(
        "first_alias_sources",
        [
            ("new", first, "d3"),
            ("new", first, "d2"),
            ("b", first, "d2"),
            ("new", second, "d1"),
            ("d", second, "u3"),
            ("new", scene.user("u3"), "d1"),
        ],
    )

    # `b` is the earlier of `u1`'s, by event time; an alias is no merge.
    assert found == ["d2", "d1", "d1", "u3", None, None]
    assert scene.write("first_alias_sources", []) == []


def test_profiles_are_found_by_person_id(scene: Scene) -> None:
    scene.keep(traits("a", 1, '{"set":{"n":1}}', user="u1"), seen("b", 2, user="u2"))
    ids = [person_ids.of_user(scene.workspace.name, name) for name in ("u1", "u2")]

    found = scene.write("profiles", [*ids, "nobody"])

    assert set(found) == {ids[0]}
    assert '"n"' in found[ids[0]]
    assert scene.write("profiles", []) == {}


def test_operations_are_all_that_a_persons_sources_say_of_traits(scene: Scene) -> None:
    scene.keep(
        traits("a", 1, '{"set":{"n":1}}', device="d1"),
        signed_in("b", 2, "d1", "u1", payload='{"n":2}'),
        traits("c", 3, '{"increment":{"n":1}}', user="u2"),
        signed_in("d", 4, "d1", "u1"),
        seen("e", 5, "d1", "u1"),
        merged("f", 6, "u1", "u2"),
        reset("g", 7, "d1"),
        traits("h", 8, '{"set":{"n":9}}', device="d1"),
        traits("i", 9, '{"set":{"n":9}}', user="u3"),
    )
    person = scene.person("user", "u2")
    sources = scene.read("sources", [person])[person]

    found = scene.write("operations", sources)

    assert sorted(found) == [
        (position(1, "a"), False, int(Kind.PROFILE), '{"set":{"n":1}}'),
        (position(2, "b"), True, int(Kind.IDENTIFY), '{"n":2}'),
        (position(3, "c"), True, int(Kind.PROFILE), '{"increment":{"n":1}}'),
    ]
    assert scene.write("operations", []) == []


def test_operations_of_a_stretch_are_the_visitors(scene: Scene) -> None:
    scene.keep(
        *(traits(f"a{minute}", minute, f'{{"set":{{"n":{minute}}}}}', device="d1")
          for minute in (1, 2, 3, 4)),
        traits("b", 2, '{"set":{"n":9}}', device="d1", user="u1"),
        traits("c", 2, '{"set":{"n":9}}', device="d2"),
        seen("d", 2, "d1"),
    )  # fmt: skip
    device = scene.device("d1")

    def on(start: Position, end: Position) -> list[Position]:
        found = scene.write("operations", [Source(None, device, start, end)])
        assert {(one.named, one.kind) for one in found} == {(False, int(Kind.PROFILE))}
        return sorted(one.position for one in found)

    assert on(position(2, "a2"), position(4, "a4")) == [position(2, "a2"), position(3, "a3")]
    assert len(on(START, FOREVER)) == 4


# ---- Counts ----------------------------------------------------------------------------------


def test_counts_are_of_each_source_but_for_one_message(scene: Scene) -> None:
    scene.keep(
        seen("a", 1, "d1"), signed_in("b", 2, "d1", "u1"), seen("c", 3, user="u2"),
        seen("d", 4, user="u2"), merged("e", 5, "u1", "u2"), seen("f", 6, "d1"),
        signed_in("g", 7, "d2", "u2"), seen("h", 8, "d2"), seen("i", 9, user="u3"),
    )  # fmt: skip
    person = scene.person("user", "u2")
    u1, u2, d1, d2 = (scene.user("u1"), scene.user("u2"), scene.device("d1"), scene.device("d2"))

    def counts(but: str) -> dict[tuple[int, int | None], int]:
        sources = scene.read("sources", [person])[person]
        found = scene.write("counts", sources, but)
        return {(s.user, s.device): count for s, count in zip(sources, found, strict=True)}

    # Each names: `b` and the merge; `c`, `d` and `g`. Each owns: `a` and `f`; `h`.
    every = {(u1, None): 2, (u2, None): 3, (u1, d1): 2, (u2, d2): 1}
    assert counts("") == every
    assert counts("c") == every | {(u2, None): 2}
    assert counts("h") == every | {(u2, d2): 0}
    assert scene.write("counts", [], "") == []


def test_counts_of_stretches_are_of_messages_without_a_user(scene: Scene) -> None:
    scene.keep(
        *(seen(f"a{minute}", minute, "d1") for minute in (1, 2, 3, 4)),
        seen("b", 2, "d1", "u1"),
        seen("c", 2, "d2"),
    )
    device = scene.device("d1")
    stretches = [
        (START, FOREVER),
        (position(2, "a2"), position(4, "a4")),
        (position(4, "b"), FOREVER),
    ]
    sources = [Source(None, device, *stretch) for stretch in stretches]

    assert scene.write("counts", sources, "") == [4, 2, 0]
    assert scene.write("counts", sources, "a3") == [3, 1, 0]
