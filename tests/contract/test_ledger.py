"""What a scan of the ledger answers."""

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
    unlinked,
)
from sameas_service.domain import person_ids
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message
from sameas_service.resolver.facts import KeyTarget, Kin, Names, PersonKey
from support.histories import MINUTE, T0

ALWAYS = 2**62
EVERYTHING = 10**9


def ids(scene: Scene, numbers: list[int]) -> list[str]:
    """Messages' ids by number, in the order of the numbers."""
    return [message.message_id for message in scene.scan("messages", numbers)]


# ---- workspace, id_of, targets --------------------------------------------------------------


def test_workspace_is_found_by_its_name(scene: Scene) -> None:
    def found(name: str) -> Any:
        return scene.store.scan(lambda reader: reader.workspace(name))

    assert found(scene.workspace.name) == scene.workspace
    assert found(scene.other.workspace.name) == scene.other.workspace
    assert found("there is none") is None


def test_id_of_is_the_number_of_a_user_or_of_a_device(scene: Scene) -> None:
    scene.keep(seen("a", 1, "x", "y"))

    assert scene.user_name(scene.user("y")) == "y"
    assert scene.write("open", Names([], [], ["x"], [])).devices[0].id == scene.device("x")
    assert scene.scan("id_of", "x", is_user=True) is None
    assert scene.scan("id_of", "y", is_user=False) is None


def test_targets_are_what_keys_name_whoever_owns_it(scene: Scene) -> None:
    scene.keep(signed_in("a", 1, "d1", "u1"), reset("b", 2, "d1"), merged("c", 3, "u2", "u1"))
    workspace = scene.workspace.name
    keys = [
        PersonKey("user", "u1"),
        PersonKey("anonymous", "d1"),
        PersonKey("person", person_ids.of_user(workspace, "u1")),
        PersonKey("person", person_ids.of_segment(workspace, "d1", START)),
        PersonKey("person", person_ids.of_segment(workspace, "d1", reset_end(2, "b"))),
        PersonKey("user", "u3"),
        PersonKey("anonymous", "d4"),
        PersonKey("person", "nobody"),
        PersonKey("user", "u1\x00"),
    ]

    assert scene.scan("targets", keys) == [
        KeyTarget("u1", None, None),
        KeyTarget(None, "d1", None),
        KeyTarget("u1", None, None),
        KeyTarget(None, "d1", START),
        KeyTarget(None, "d1", reset_end(2, "b")),
        None,
        None,
        None,
        None,
    ]
    assert scene.scan("targets", []) == []


# ---- kin, links_of, numbers_of, messages, unlinks_of -----------------------------------------


def related(scene: Scene) -> None:
    """Links in a chain, of which one was struck, and claims of devices; received by number."""
    scene.keep(
        signed_in("a", 1, "d1", "u1", received=1),
        merged("b", 2, "u2", "u1")._replace(received_at=T0 + 2),
        merged("c", 3, "u3", "u2")._replace(received_at=T0 + 3),
        unlinked("d", 4, "u3", other="u2")._replace(received_at=T0 + 4),
        signed_in("e", 5, "d2", "u3", received=5),
        signed_in("f", 6, "d3", "u4", received=6),
        reset("g", 7, "d4", "u1")._replace(received_at=T0 + 7),
        seen("h", 8, "d1", received=8),
        seen("i", 9, "d5", received=9),
    )


def kin(scene: Scene, users: list[str], until: int) -> tuple[set[str], set[str]]:
    found: Kin = scene.scan("kin", users, until)
    assert len(set(found.users)) == len(found.users)
    assert len(set(found.devices)) == len(found.devices)
    devices = {scene.device(name): name for name in ("d1", "d2", "d3", "d4", "d5")}
    return scene.names(found.users), {devices[one] for one in found.devices}


def test_kin_are_all_whom_links_ever_joined_and_the_devices_that_they_claimed(
    scene: Scene,
) -> None:
    related(scene)

    # The struck link joins too, and a reset claims no device.
    assert kin(scene, ["u1"], ALWAYS) == ({"u1", "u2", "u3"}, {"d1", "d2"})
    assert kin(scene, ["u3"], ALWAYS) == ({"u1", "u2", "u3"}, {"d1", "d2"})
    assert kin(scene, ["u4", "u1"], ALWAYS) == ({"u1", "u2", "u3", "u4"}, {"d1", "d2", "d3"})
    assert kin(scene, ["nobody"], ALWAYS) == (set(), set())


def test_kin_are_those_of_messages_received_until_then(scene: Scene) -> None:
    related(scene)

    assert kin(scene, ["u1"], T0 + 2) == ({"u1", "u2"}, {"d1"})
    assert kin(scene, ["u1"], T0 + 3) == ({"u1", "u2", "u3"}, {"d1"})
    assert kin(scene, ["u3"], T0) == ({"u3"}, set())


def test_links_of_users_are_all_of_their_kin_struck_ones_too(scene: Scene) -> None:
    related(scene)

    def links(*users: str, until: int = ALWAYS) -> set[str]:
        return set(ids(scene, scene.scan("links_of", list(users), until)))

    assert links("u1") == links("u2") == links("u3") == {"b", "c"}
    assert links("u1", until=T0 + 2) == {"b"}
    assert links("u4", "nobody") == set()


def test_numbers_of_kin_are_their_messages_and_what_happened_on_the_devices(scene: Scene) -> None:
    related(scene)
    users = [scene.user(name) for name in ("u1", "u2", "u3")]
    devices = [scene.device(name) for name in ("d1", "d2", "d4")]

    def found(users: list[int], devices: list[int], until: int = ALWAYS) -> set[str]:
        numbers = scene.scan("numbers_of", Kin(users, devices), until, EVERYTHING)
        assert len(set(numbers)) == len(numbers)
        return set(ids(scene, numbers))

    assert found(users, devices) == {"a", "b", "c", "e", "g", "h"}
    assert found(users[2:], []) == {"c", "e"}, "a struck link is of the user that it named"
    assert found(users[1:2], []) == {"b"}
    assert found([], devices[:1]) == {"a", "h"}
    assert found([], devices[2:]) == {"g"}, "a reset by a user cuts the device"
    assert found(users, devices, until=T0 + 2) == {"a", "b"}
    assert found([], []) == set()


def test_numbers_of_kin_are_no_more_than_asked_for(scene: Scene) -> None:
    related(scene)
    everybody = Kin([scene.user(name) for name in ("u1", "u2", "u3")], [scene.device("d1")])

    assert len(scene.scan("numbers_of", everybody, ALWAYS, 3)) == 3


def test_messages_are_whole_and_in_the_order_of_their_numbers(scene: Scene) -> None:
    """Struck links and unlinks name whom they named; warnings are not kept."""
    messages: list[Message] = [
        merged("a", 1, "u1", "u2"),
        unlinked("b", 2, "u1", other="u2"),
        unlinked("c", 3, "u1", device="d1"),
        reset("d", 4, "d1", "u1"),
        said(
            Kind.TRACK, "e", 5, anonymous_id="d1", user_id="u1", event="é😀",
            payload='{"a":[1.5,null]}', context='{"b":{}}',
        )._replace(sent_at=T0 - 1),
    ]  # fmt: skip
    scene.keep(*messages)
    numbers = [number for number, _ in scene.scan("messages_after", 0, EVERYTHING)]

    assert scene.scan("messages", numbers) == messages
    assert scene.scan("messages", numbers[::-2]) == messages[::-2]
    assert scene.scan("messages", []) == []


def test_unlinks_of_users_are_those_that_name_one(scene: Scene) -> None:
    first, second = unlinked("a", 1, "u1", device="d1"), unlinked("b", 2, "u1", other="u2")
    scene.keep(first, second, unlinked("c", 3, "u3", device="d1"))

    assert sorted(scene.scan("unlinks_of", ["u1", "nobody"])) == sorted([first, second])
    assert scene.scan("unlinks_of", ["u2"]) == []
    assert scene.scan("unlinks_of", []) == []


# ---- number_of, count_after, messages_after --------------------------------------------------


def test_messages_after_a_number_come_in_the_order_in_which_they_were_taken(scene: Scene) -> None:
    messages = [seen("c", 3, "d1"), seen("a", 9, "d1"), signed_in("b", 1, "d1", "u1")]
    scene.held.append(messages[:2])
    scene.held.append(messages[2:])

    found = scene.scan("messages_after", 0, EVERYTHING)

    numbers = [number for number, _ in found]
    assert [message for _, message in found] == messages
    assert numbers == sorted(set(numbers))
    assert scene.scan("messages_after", numbers[0], 1) == found[1:2]
    assert scene.scan("messages_after", numbers[2], EVERYTHING) == []


def test_number_of_a_message_is_its_place_in_the_ledger(scene: Scene) -> None:
    scene.keep(seen("m003", 1, "d1"), seen("m001", 2, "d1"))

    found = [number for number, _ in scene.scan("messages_after", 0, EVERYTHING)]

    assert [scene.scan("number_of", name) for name in ("m003", "m001")] == found
    # The other workspace has one of that id.
    assert scene.scan("number_of", "m002") is None


def test_count_after_a_number_is_how_many_come_after_it(scene: Scene) -> None:
    scene.keep(*(seen(f"m{n:03}", n, "d1") for n in range(5)))

    numbers = [number for number, _ in scene.scan("messages_after", 0, EVERYTHING)]

    assert [scene.scan("count_after", number) for number in (0, *numbers)] == [5, 4, 3, 2, 1, 0]


# ---- users_after, devices_after --------------------------------------------------------------


def test_users_after_a_number_are_those_whom_a_message_names_with_the_canonical_one(
    scene: Scene,
) -> None:
    scene.keep(
        seen("a", 1, user="u3"),
        merged("b", 2, "u1", "u2"),
        unlinked("c", 3, "u4", device="d1"),
        merged("d", 4, "u5", "u6"),
        unlinked("e", 5, "u5", other="u6"),
    )

    found = scene.scan("users_after", 0, EVERYTHING)

    assert sorted(row[1:] for row in found) == [("u1", "u1"), ("u2", "u1"), ("u3", "u3")]
    numbers = [row[0] for row in found]
    assert numbers == sorted(set(numbers))
    assert [scene.user_name(number) for number in numbers] == [row[1] for row in found]
    assert scene.scan("users_after", numbers[0], 1) == found[1:2]
    assert scene.scan("users_after", numbers[-1], EVERYTHING) == []


def test_devices_after_a_number_are_those_with_messages_and_their_spans(scene: Scene) -> None:
    scene.keep(
        signed_in("a", 1, "d1", "u1"),
        merged("b", 2, "u2", "u1"),
        signed_in("c", 100, "d1", "u3"),
        reset("d", 200, "d1"),
        seen("e", 1, "d2"),
        signed_in("f", 1, "d3", "u1"),
        unlinked("g", 2, "u1", device="d3"),
    )

    found = scene.scan("devices_after", 0, EVERYTHING)

    by_name = {name: (last, spans) for _, name, last, spans in found}
    assert by_name == {
        "d1": (
            position(200, "d", Kind.RESET),
            [(START, "u2"), (position(100, "c"), "u3"), (reset_end(200, "d"), None)],
        ),
        "d2": (position(1, "e"), []),
    }
    numbers = [row[0] for row in found]
    assert numbers == sorted(set(numbers))
    assert scene.scan("devices_after", numbers[0], 1) == found[1:2]
    assert scene.scan("devices_after", numbers[-1], EVERYTHING) == []


def test_devices_after_a_number_have_the_time_of_their_last_message(scene: Scene) -> None:
    scene.keep(seen("late", 9, "d1"), seen("early", 3, "d1"))

    ((_, _, last, _),) = scene.scan("devices_after", 0, EVERYTHING)

    assert (last.at // 2 - T0) // MINUTE == 9
