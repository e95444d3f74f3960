"""`validate_only`: says what would happen, and nothing is kept."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from sameas import v1
from support.api import SECONDS, Api, at, item_of, refusal_of_item, refused
from support.changes import everything, last_cursor, watched

COUNT = itertools.count()


@pytest.fixture
def ids() -> SimpleNamespace:
    """Ids that no other test uses, of people who are there already."""
    number = next(COUNT)
    return SimpleNamespace(
        **{name: f"{name}-{number}" for name in ("u", "v", "d", "e", "new", "m")}
    )


@pytest.fixture
def people(api: Api, ids: SimpleNamespace) -> SimpleNamespace:
    """Two users with a device each, joined, and a device of nobody's."""
    for user, device in ((ids.u, ids.d), (ids.v, ids.e)):
        api.send(v1.TrackRequest(anonymous_id=device, event="e", timestamp=at(90)))
        api.send(v1.IdentifyRequest(
            anonymous_id=device, user_id=user, traits_json='{"plan":"pro"}', timestamp=at(80)
        ))  # fmt: skip
    api.send(v1.TrackRequest(anonymous_id=ids.new, event="e", timestamp=at(70)))
    api.send(v1.MergeRequest(user_id=ids.u, previous_user_id=ids.v))
    return ids


CALLS: dict[str, Callable[[SimpleNamespace], Any]] = {
    "identify": lambda i: v1.IdentifyRequest(
        anonymous_id=i.new, user_id=i.u, traits_json='{"plan":"max","n":null,"x":[1,{"a":2.5}]}'
    ),
    "identify of another's device": lambda i: v1.IdentifyRequest(
        anonymous_id=i.d, user_id="preview-other"
    ),
    "alias of a device": lambda i: v1.AliasRequest(user_id=i.u, previous_anonymous_id=i.new),
    "alias of a user": lambda i: v1.AliasRequest(user_id="preview-alias", previous_user_id=i.u),
    "track": lambda i: v1.TrackRequest(user_id=i.v, anonymous_id=i.new, event="e"),
    "track of somebody new": lambda i: v1.TrackRequest(user_id=f"{i.u}-new", event="e"),
    "reset": lambda i: v1.ResetRequest(anonymous_id=i.d),
    "late reset": lambda i: v1.ResetRequest(anonymous_id=i.d, timestamp=at(85)),
    "update": lambda i: v1.UpdateProfileRequest(
        user_id=i.u, operations_json='{"unset":["plan"],"increment":{"n":1.5}}'
    ),
    "update that does not fit": lambda i: v1.UpdateProfileRequest(
        user_id=i.u, operations_json='{"increment":{"plan":1}}'
    ),
    "merge": lambda i: v1.MergeRequest(user_id="preview-merge", previous_user_id=i.u),
    "unlink of users": lambda i: v1.UnlinkRequest(user_id=i.u, previous_user_id=i.v),
    "unlink of a device": lambda i: v1.UnlinkRequest(user_id=i.u, anonymous_id=i.d),
    "unlink of a chain": lambda i: v1.UnlinkRequest(user_id=i.u, anonymous_id=i.e),
}


def call(api: Api, request: Any) -> Any:
    name = type(request).__name__.removesuffix("Request")
    return getattr(api.identity, name)(request, timeout=SECONDS)


@pytest.mark.parametrize("name", CALLS)
def test_a_preview_keeps_nothing_and_is_what_then_happens(
    server, api: Api, people: SimpleNamespace, name: str
) -> None:
    request = CALLS[name](people)
    if hasattr(request, "timestamp") and not request.HasField("timestamp"):
        request.timestamp.CopyFrom(at())
    request.message_id, request.validate_only = people.m, True
    before, cursor = everything(server.data), last_cursor(api)

    previews = [call(api, request) for _ in range(2)]
    after = everything(server.data)
    request.validate_only = False
    done = call(api, request)

    assert after == before
    assert previews[0] == previews[1]
    assert previews[0].receipt == done.receipt
    assert not done.receipt.duplicate
    assert list(previews[0].preview.changes) == [one.change for one in watched(api, cursor)]
    for trait in previews[0].preview.traits:
        person = next((p for p in api.people(v1.PersonKey(person_id=trait.person_id)) if p), None)
        held = person is not None and person.person_id == trait.person_id
        value = person.traits.fields.get(trait.trait) if held else None
        assert value == (trait.value if trait.HasField("value") else None)
    if isinstance(request, v1.UnlinkRequest):
        assert (previews[0].preview, previews[0].chain) == (done.preview, done.chain)
    else:
        assert not done.HasField("preview")


def test_a_preview_tells_changes_moves_and_traits(api: Api, people: SimpleNamespace) -> None:
    request = CALLS["identify"](people)
    request.validate_only = True
    user, device = api.person(user_id=people.u), api.person(anonymous_id=people.new)

    preview = api.identity.Identify(request, timeout=SECONDS).preview

    (change,) = preview.changes
    assert change.kind == v1.ChangeKind.CHANGE_KIND_JOINED
    assert (change.anonymous_id, change.former_person_id, change.person_id) == (
        people.new, device.person_id, user.person_id,
    )  # fmt: skip
    (moved,) = preview.moved
    assert (moved.former_person_id, moved.person_id, moved.messages) == (
        device.person_id, user.person_id, 1,
    )  # fmt: skip
    values = {t.trait: (t.former_value.string_value, t.value.WhichOneof("kind"))
              for t in preview.traits}  # fmt: skip
    assert values == {
        "plan": ("pro", "string_value"), "n": ("", "null_value"), "x": ("", "list_value"),
    }  # fmt: skip
    assert not next(t for t in preview.traits if t.trait == "n").HasField("former_value")


def test_a_preview_of_a_message_that_was_kept_is_a_duplicate_that_changes_nothing(
    api: Api, people: SimpleNamespace
) -> None:
    request = v1.IdentifyRequest(message_id=people.m, anonymous_id=people.new, user_id=people.u)
    api.send(request)
    request.validate_only = True

    response = api.identity.Identify(request, timeout=SECONDS)

    assert response.receipt.duplicate
    assert response.preview == v1.Preview()


def test_a_preview_is_refused_as_its_call_is(server, api: Api, people: SimpleNamespace) -> None:
    api.send(v1.TrackRequest(message_id=people.m, user_id=people.u, event="e"))
    before = everything(server.data)

    reused = v1.TrackRequest(message_id=people.m, user_id=people.u, event="E", validate_only=True)
    blocked = v1.TrackRequest(user_id="null", event="E", validate_only=True)

    assert refused(api.send, reused).code is grpc.StatusCode.ALREADY_EXISTS
    assert refused(api.send, blocked)[1:3] == ("ID_BLOCKED", "user_id")
    assert everything(server.data) == before


@pytest.mark.parametrize(
    ("name", "imported"),
    [*((name, True) for name in CALLS),
     # In a live batch merges and unlinks are refused in any case.
     *((name, False) for name in CALLS if not name.startswith(("merge", "unlink")))],
)  # fmt: skip
def test_a_preview_in_a_batch_is_refused_and_its_neighbours_are_kept(
    api: Api, people: SimpleNamespace, name: str, imported: bool
) -> None:
    request = CALLS[name](people)
    request.message_id, request.validate_only = people.m, True
    neighbour = v1.TrackRequest(user_id=people.u, event="neighbour")

    bad, good = api.ingest(request, neighbour, imported=imported)
    stream = v1.IngestStreamRequest(
        batch=v1.IngestRequest(items=[item_of(request)], imported=imported)
    )
    (streamed,) = api.identity.IngestStream(iter([stream]), timeout=SECONDS)

    refusal = (grpc.StatusCode.INVALID_ARGUMENT, "CALL_REQUIRED", "validate_only")
    assert refusal_of_item(bad.error)[:3] == refusal
    assert refusal_of_item(streamed.results[0].error)[:3] == refusal
    assert good.receipt.outcome
    request.validate_only = False
    if not imported:
        assert not call(api, request).receipt.duplicate
