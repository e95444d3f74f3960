"""What `apply` writes: each kind of row, in the order that `Rows` names, seen by what follows."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.scenes import Scene, merged, position, reset_end, seen, signed_in, unlinked
from sameas_service.domain.changes import Change, ChangeKind
from sameas_service.domain.device import Device, SpanRow
from sameas_service.domain.message import START
from sameas_service.domain.receipt import Outcome
from sameas_service.resolver.facts import (
    AnonymousSegment,
    CanonicalUser,
    LinkRow,
    MessageRow,
    Names,
    PersonKey,
    PersonRow,
    Rows,
    Source,
    UnlinkRow,
    User,
)
from sameas_service.resolver.ports import WriteTransaction

NOTHING = Names([], [], [], [])


def applied(scene: Scene, *rows: Rows, ask: Callable[[WriteTransaction], Any]) -> Any:
    """The answer that the same transaction gives after each of the rows, which are then kept."""

    def work(transaction: WriteTransaction) -> list[Any]:
        answers = []
        for one in rows:
            transaction.apply(scene.workspace, one)
            answers.append(ask(transaction))
        return answers

    within = scene.store.write(work)
    after = scene.store.write(ask, keep=False)
    assert after == within[-1], "what was applied is what is kept"
    return within


def numbers(scene: Scene, device: str, *users: str) -> tuple[int, list[int]]:
    """Numbers for a new device and new users."""
    opening = scene.write("open", NOTHING._replace(devices=[device], users=list(users)))
    return opening.new_devices[device], [opening.new_users[name] for name in users]


def test_apply_writes_users_and_what_changes_of_them(scene: Scene) -> None:
    _, (first, second) = numbers(scene, "d1", "u1", "u2")
    made = Rows(users={
        first: User(first, "u1", first, named=True), second: User(second, "u2", second, named=False)
    })  # fmt: skip
    changed = Rows(users={second: User(second, "u2", first, named=True)})

    answers = applied(
        scene, made, changed, ask=lambda tx: tx.members(scene.workspace, [first, second])
    )

    assert [sorted(answer, key=lambda user: user.name) for answer in answers] == [
        [User(first, "u1", first, named=True), User(second, "u2", second, named=False)],
        [User(first, "u1", first, named=True), User(second, "u2", first, named=True)],
    ]
    assert scene.user("u2") == second


def test_apply_writes_devices_and_what_changes_of_them(scene: Scene) -> None:
    number, (owner,) = numbers(scene, "d1", "u1")
    new = Device(number, "d1")
    changed = Device(
        number, "d1", position(5, "a"), owner, reset_end(3, "r"), position(4, "v"), False, True
    )

    answers = applied(
        scene,
        Rows(devices={number: new}),
        Rows(devices={number: changed}),
        Rows(devices={number: new}),
        ask=lambda tx: tx.open(scene.workspace, NOTHING._replace(known_devices=["d1"])).devices,
    )

    assert [list(answer) for answer in answers] == [[new], [changed], [new]]


def test_apply_writes_messages_in_the_order_of_the_ledger(scene: Scene) -> None:
    device, (user, source) = numbers(scene, "d1", "u1", "u2")
    rows = Rows(
        users={
            number: User(number, name, number, named=True)
            for name, number in (("u1", user), ("u2", source))
        },
        devices={device: Device(device, "d1")},
        messages=[
            MessageRow(seen("z", 9, "d1"), Outcome.CREATED, device, None, None, None),
            MessageRow(merged("y", 5, "u1", "u2"), Outcome.LINKED, None, user, source, None),
            MessageRow(signed_in("x", 7, "d1", "u1"), Outcome.LINKED, device, user, None, None),
            MessageRow(merged("w", 6, "u1", "u2"), Outcome.UNCHANGED, None, None, source, user),
        ],
    )

    (answer,) = applied(
        scene, rows, ask=lambda tx: sorted(tx.messages_by_id(scene.workspace, [*"wxyz"]))
    )

    outcomes = {message.message_id: outcome for message, outcome in answer}
    assert outcomes == {
        "z": Outcome.CREATED, "y": Outcome.LINKED, "x": Outcome.LINKED, "w": Outcome.UNCHANGED
    }  # fmt: skip
    assert [m.message_id for m in scene.held.messages()] == ["z", "y", "x", "w"]
    assert scene.held.messages() == [row.message for row in rows.messages]
    # The struck link is nobody's message.
    assert scene.write("counts", [Source(user)], "") == [2]


def test_apply_strikes_links_that_may_come_with_it(scene: Scene) -> None:
    scene.keep(merged("a", 1, "u1", "u2"), seen("b", 2, user="u1"))
    user, source = scene.user("u1"), scene.user("u2")
    message = merged("c", 3, "u1", "u2")
    rows = Rows(
        messages=[MessageRow(message, Outcome.UNCHANGED, None, user, source, None)],
        struck_links=["a", "c"],
    )

    (answer,) = applied(scene, rows, ask=lambda tx: tx.counts(scene.workspace, [Source(user)], ""))

    assert answer == [1]
    # The ledger says as before what was said.
    assert [m.user for m in scene.held.messages()] == ["u1"] * 3
    assert len(scene.scan("links_of", ["u1"], 2**62)) == 2


def test_apply_writes_replaces_and_deletes_spans(scene: Scene) -> None:
    device, (first, second) = numbers(scene, "d1", "u1", "u2")
    one, two, three = START, position(5, "a"), reset_end(9, "r")
    rows = [
        Rows(spans={
            (device, one): SpanRow(one, first, position(1, "c")),
            (device, two): SpanRow(two, second, position(6, "d")),
            (device, three): SpanRow(three),
        }),
        Rows(spans={
            (device, one): SpanRow(one, second, position(2, "e")),
            (device, two): None,
            (device, position(7, "none")): None,
            (device, three): SpanRow(three, first, position(10, "f")),
        }),
    ]  # fmt: skip

    answers = applied(scene, *rows, ask=lambda tx: tx.spans_of(scene.workspace, device))

    assert answers == [
        [
            SpanRow(one, first, position(1, "c")),
            SpanRow(two, second, position(6, "d")),
            SpanRow(three),
        ],
        [SpanRow(one, second, position(2, "e")), SpanRow(three, first, position(10, "f"))],
    ]


def test_apply_puts_links_in_force_and_out_of_it(scene: Scene) -> None:
    _, (first, second) = numbers(scene, "d1", "u1", "u2")
    one = LinkRow(position(1, "a"), first, second)
    two = LinkRow(position(2, "b"), second, first)

    answers = applied(
        scene,
        Rows(links={one: True, two: True}),
        Rows(links={one: False}),
        Rows(links={one: True, two: False}),
        ask=lambda tx: sorted(tx.links_between(scene.workspace, first, second)),
    )

    assert answers == [[one, two], [two], [one]]


def test_apply_writes_unlinks(scene: Scene) -> None:
    rows = [UnlinkRow("a", "d1", "u1", None, 5), UnlinkRow("b", None, "u1", "u2", 7)]

    (answer,) = applied(
        scene,
        Rows(unlinks=rows),
        ask=lambda tx: sorted(tx.open(scene.workspace, NOTHING._replace(users=["u1"])).unlinks),
    )

    assert answer == rows


def test_apply_hands_out_person_ids_and_leaves_those_that_were(scene: Scene) -> None:
    device, (user,) = numbers(scene, "d1", "u1")
    segment = AnonymousSegment(device, "d1", reset_end(3, "r"))
    rows = Rows(
        users={user: User(user, "u1", user, named=True)},
        devices={device: Device(device, "d1", position(5, "a"))},
        persons=[PersonRow("p1", user, None, None), PersonRow("p2", None, device, segment.start)],
    )
    again = Rows(persons=[PersonRow("p1", None, device, START), PersonRow("p2", user, None, None)])
    keys = [PersonKey("person", "p1"), PersonKey("person", "p2")]

    answers = applied(scene, rows, again, ask=lambda tx: tx.resolve(scene.workspace, keys))

    assert answers == [[CanonicalUser(user, "u1"), segment]] * 2


def test_apply_writes_replaces_and_deletes_profiles(scene: Scene) -> None:
    answers = applied(
        scene,
        Rows(profiles={"p1": "{}", "p2": '{"a":1}'}),
        Rows(profiles={"p1": '{"b":2}', "p2": None, "p3": None}),
        ask=lambda tx: tx.profiles(scene.workspace, ["p1", "p2", "p3"]),
    )

    assert answers == [{"p1": "{}", "p2": '{"a":1}'}, {"p1": '{"b":2}'}]


def test_apply_logs_changes_in_their_order(scene: Scene) -> None:
    changes = [
        ("b", Change(ChangeKind.CREATED, True, "u1", "p1", "")),
        ("a", Change(ChangeKind.GONE, False, "d1", "", "p2")),
        ("a", Change(ChangeKind.PAST, False, "d1", "p1", "p1")),
    ]

    (answer,) = applied(
        scene, Rows(changes=changes), ask=lambda tx: tx.changes(scene.workspace, 0, 10)
    )

    assert [(one.message_id, one.change) for one in answer] == changes
    cursors = [one.cursor for one in answer]
    assert cursors == sorted(set(cursors))


def test_apply_of_many_rows_writes_all_of_them(scene: Scene) -> None:
    """More than a statement of any store takes at once."""
    device, users = numbers(scene, "d1", *(f"u{n:05}" for n in range(2_500)))
    rows = Rows(
        users={user: User(user, f"u{n:05}", user, named=True) for n, user in enumerate(users)},
        devices={device: Device(device, "d1", position(9_999, "m"))},
        messages=[
            MessageRow(
                seen(f"m{n:05}", n, "d1", f"u{n:05}"), Outcome.SWITCHED, device, user, None, None
            )
            for n, user in enumerate(users)
        ],
        spans={
            (device, at): SpanRow(at, user, at)
            for n, user in enumerate(users)
            for at in [position(n, f"m{n:05}")]
        },
        profiles={f"p{n}": "{}" for n in range(2_500)},
    )

    (answer,) = applied(scene, rows, ask=lambda tx: tx.spans_of(scene.workspace, device))

    assert [span.owner for span in answer] == users
    assert [m.user for m in scene.held.messages()] == [f"u{n:05}" for n in range(2_500)]
    assert len(scene.write("profiles", list(rows.profiles))) == 2_500


def test_apply_of_no_rows_writes_nothing(scene: Scene) -> None:
    before = scene.held.dump()

    scene.store.write(lambda tx: tx.apply(scene.workspace, Rows()))

    assert scene.held.dump() == before


@pytest.mark.parametrize("keep", [True, False])
def test_apply_leaves_the_other_workspace_alone(scene: Scene, keep: bool) -> None:
    """All ids of the rows are those of the other workspace, too."""
    before = (scene.other.dump(), scene.other.changes(), scene.other.messages())
    scene.keep(merged("m009", 1, "u1", "u2"), seen("m000", 2, "d1", "u1"))
    ids = sorted(scene.other.person_ids())
    rows = Rows(
        struck_links=["m009", "m010"],
        unlinks=[UnlinkRow("m017", None, "u5", "u6", 1)],
        persons=[PersonRow(one, scene.user("u2"), None, None) for one in ids],
        profiles=dict.fromkeys(ids),
        changes=[("m001", Change(ChangeKind.GONE, True, "u1", "", "p"))],
    )

    scene.store.write(lambda tx: tx.apply(scene.workspace, rows), keep=keep)
    scene.keep(unlinked("m015", 3, "u5", device="d4"))

    assert (scene.other.dump(), scene.other.changes(), scene.other.messages()) == before
