"""A key is refused in words: whoever sends one may think that it protects something."""

import grpc
import pytest

from sameas import Client, Unauthenticated, v1
from support.api import SECONDS, refusal_of

KEY = (("authorization", "Bearer k-1"),)


def test_a_call_with_a_key_is_refused_and_nothing_is_kept(api):
    with pytest.raises(grpc.RpcError) as error:
        api.identity.Track(
            v1.TrackRequest(user_id="keyed", event="e"), timeout=SECONDS, metadata=KEY
        )

    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    refusal = refusal_of(error.value)
    assert refusal.reason == "KEY_UNREAD"
    assert "reads no keys" in refusal.sentence
    assert api.people(v1.PersonKey(user_id="keyed")) == [None]


def test_a_stream_with_a_key_is_refused(api):
    request = v1.WatchChangesRequest(until_present=True)

    with pytest.raises(grpc.RpcError) as error:
        list(api.persons.WatchChanges(request, timeout=SECONDS, metadata=KEY))

    assert refusal_of(error.value).reason == "KEY_UNREAD"


def test_the_client_says_so_by_a_kind_of_its_own(server):
    with Client(server.target, key="k-1") as client, pytest.raises(Unauthenticated) as error:
        client.track("e", user_id="u")

    assert error.value.reason == "KEY_UNREAD"
