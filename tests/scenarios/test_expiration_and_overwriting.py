"""`Best practices in identifying customers`, the part 'ID expiration and overwriting'."""

import uuid

import pytest

from sameas import JsonFileStorage, MemoryStorage, Outcome, Session
from support.stories import timeline

# ---- The cookie and its year --------------------------------------------------------------


def test_the_cookie_holds_for_one_year(client, calendar):
    """'The Intilery ID cookie is set with a one year expiration.'"""
    cookie = {}
    visitor = Session(client, cookie, now=calendar)
    visitor.page("Home")
    device = visitor.anonymous_id
    calendar.set(365)
    assert Session(client, cookie, now=calendar).anonymous_id == device
    calendar.set(365 + 364)  # that visit renewed it
    assert Session(client, cookie, now=calendar).anonymous_id == device

    calendar.set(365 + 364 + 366)
    visitor.page("Home")

    assert visitor.anonymous_id != device
    assert timeline(client, anonymous_id=device) == ["day 1: Home"]
    assert timeline(client, anonymous_id=visitor.anonymous_id) == ["day 1095: Home"]


def test_after_the_cookie_expired_the_ids_come_back_from_the_local_storage(client, calendar):
    """'If a user returns to your site after the cookie expires, Analytics.js looks for an old
    ID in the user's `localStorage`, and if one is found, sets it as the user's ID again in a
    new cookie.'
    """
    cookie, local_storage = {}, {}
    visitor = Session(client, cookie, fallback=local_storage, now=calendar)
    visitor.identify("returns-1", {"plan": "free"})
    device = visitor.anonymous_id
    calendar.set(500)

    returned = Session(client, cookie, fallback=local_storage, now=calendar)
    returned.track("Returned")

    assert (returned.anonymous_id, returned.user_id) == (device, "returns-1")
    assert returned.traits == {"plan": "free"}
    assert cookie["sameas"]["expires_at"] > calendar().timestamp()
    assert timeline(client, user_id="returns-1") == ["day 1: identify", "day 500: Returned"]
    assert client.person(user_id="returns-1").anonymous_ids == (device,)


def test_after_the_cookie_expired_without_a_local_storage_the_visitor_is_new(client, calendar):
    """The same without an old ID: nothing is found, so 'a completely new `anonymousId`'."""
    cookie = {}
    visitor = Session(client, cookie, now=calendar)
    visitor.identify("expires-1")
    calendar.set(500)

    returned = Session(client, cookie, now=calendar)
    returned.page("Home")

    assert returned.user_id is None
    assert timeline(client, user_id="expires-1") == ["day 1: identify"]
    assert client.person(anonymous_id=returned.anonymous_id).user_id is None


# ---- 'there are some ways an ID can be reset or overwritten' ------------------------------


def test_reset_removes_user_id_and_anonymous_id(client, calendar):
    """'it removes both their `userId` and `anonymousId`, which means the user generates a new
    `anonymousId` on the next visit'.
    """
    cookie, local_storage = {}, {}
    visitor = Session(client, cookie, fallback=local_storage, now=calendar)
    visitor.identify("removed-1", {"plan": "free"})
    device = visitor.anonymous_id

    receipt = visitor.reset()

    assert receipt.outcome is Outcome.RESET
    assert (cookie, local_storage) == ({}, {})
    calendar.set(2)
    visitor.page("Home")
    assert (visitor.user_id, visitor.traits) == (None, {})
    assert visitor.anonymous_id != device
    assert timeline(client, user_id="removed-1") == ["day 1: identify", "day 1: reset"]
    assert timeline(client, anonymous_id=visitor.anonymous_id) == ["day 2: Home"]


@pytest.mark.parametrize("survivor", ["cookie", "local storage"])
def test_ids_are_gone_only_where_cookies_and_local_storage_are_cleared(client, calendar, survivor):
    """'If the user clears their cookies *and* `localStorage`, all of the IDs are removed. The
    user gets a completely new `anonymousId`'; either alone keeps them.
    """
    cookie, local_storage = {}, {}
    visitor = Session(client, cookie, fallback=local_storage, now=calendar)
    visitor.page("Home")
    device = visitor.anonymous_id

    (local_storage if survivor == "cookie" else cookie).clear()
    assert visitor.anonymous_id == device
    cookie.clear()
    local_storage.clear()

    assert visitor.anonymous_id != device


@pytest.mark.parametrize(
    "call",
    [
        lambda visitor: visitor.page("Home"),
        lambda visitor: visitor.track("Clicked"),
        lambda visitor: visitor.identify("any-call-1"),
        lambda visitor: visitor.alias("any-call-2"),
        lambda visitor: visitor.set_user_properties({"plan": "free"}),
        lambda visitor: visitor.increment("visits"),
    ],
    ids=["page", "track", "identify", "alias", "set_user_properties", "increment"],
)
def test_any_call_sets_an_anonymous_id_first(client, calendar, call):
    """'If you invoke any call before you set an `anonymousId`, Intilery automatically sets
    the `anonymousId` first.'
    """
    cookie = {}
    visitor = Session(client, cookie, now=calendar)

    receipt = call(visitor)

    device = cookie["sameas"]["anonymous_id"]
    assert len(device) == 36
    assert client.person(anonymous_id=device).person_id == receipt.person_id


def test_an_anonymous_id_set_after_a_call_gives_the_visitor_two(client, calendar):
    """'if you explicitly set an `anonymousId`, you might give the user two `anonymousId`s or
    overwrite an existing one': the two are apart until the visitor is known on each.
    """
    visitor = Session(client, now=calendar)
    visitor.page("Home")
    first = visitor.anonymous_id

    visitor.anonymous_id = "set-by-hand-after"
    visitor.page("Pricing")

    assert timeline(client, anonymous_id=first) == ["day 1: Home"]
    assert timeline(client, anonymous_id="set-by-hand-after") == ["day 1: Pricing"]
    visitor.identify("two-ids-1")
    assert timeline(client, user_id="two-ids-1") == ["day 1: Pricing", "day 1: identify"]
    client.identify("two-ids-1", anonymous_id=first, timestamp=calendar())
    assert timeline(client, user_id="two-ids-1") == [
        "day 1: Home",
        "day 1: Pricing",
        "day 1: identify",
        "day 1: identify",
    ]


def test_an_anonymous_id_set_before_any_call_is_the_only_one(client, calendar):
    """The same passage, the other way round: set first, it is the one that calls carry."""
    visitor = Session(client, now=calendar)

    visitor.anonymous_id = "set-by-hand-before"
    visitor.page("Home")
    visitor.identify("one-id-1")

    assert visitor.anonymous_id == "set-by-hand-before"
    assert client.person(user_id="one-id-1").anonymous_ids == ("set-by-hand-before",)
    assert timeline(client, user_id="one-id-1") == ["day 1: Home", "day 1: identify"]


@pytest.mark.parametrize("make_storage", [dict, MemoryStorage, "file"])
def test_to_fetch_the_anonymous_id_sets_it(client, calendar, tmp_path, make_storage):
    """'If you fetch the `anonymousId` ... before one is set, Intilery generates and sets an
    `anonymousId` rather than returning `null`.'
    """
    is_file = make_storage == "file"
    storage = JsonFileStorage(tmp_path / "visitor.json") if is_file else make_storage()

    fetched = Session(client, storage, now=calendar).anonymous_id

    assert len(fetched) == 36
    assert str(uuid.UUID(fetched)) == fetched
    again = Session(client, storage, now=calendar)
    again.page("Home")
    assert timeline(client, anonymous_id=fetched) == ["day 1: Home"]


def test_another_user_id_overwrites_the_cached_one_and_nobody_is_fused(client, calendar):
    """'If you call `analytics.identify()` with a `userId` that is different from the currently
    cached `userId`, this can overwrite the existing one and cause attribution problems.'
    """
    visitor = Session(client, now=calendar)
    visitor.page("Home")
    visitor.identify("cached-1", {"plan": "pro"})
    calendar.set(2)
    visitor.page("Account")

    receipt = visitor.identify("cached-2")

    assert visitor.user_id == "cached-2"
    assert visitor.traits == {}  # the former user's are not the newcomer's
    assert receipt.outcome is Outcome.SWITCHED
    [warning] = receipt.warnings
    assert warning.reason == "DEVICE_SWITCHED"
    assert (warning.metadata["former_user_id"], warning.metadata["user_id"]) == (
        "cached-1",
        "cached-2",
    )
    # What the library sent in the former user's name stays theirs: that is the problem.
    assert timeline(client, user_id="cached-1") == [
        "day 1: Home",
        "day 1: identify",
        "day 2: Account",
    ]
    assert timeline(client, user_id="cached-2") == ["day 2: identify"]
    assert client.person(user_id="cached-1").user_ids == ("cached-1",)
    assert client.person(user_id="cached-2").user_ids == ("cached-2",)
    assert client.person(user_id="cached-2").traits == {}


def test_an_anonymous_id_of_the_server_overwrites_the_browsers(client, calendar):
    """'If you generate a new `anonymousId` on a server library, and passing it from the server
    to the browser, this could overwrite the user's existing `anonymousId`.'
    """
    cookie = {}
    browser = Session(client, cookie, now=calendar)
    browser.page("Home")
    existing = browser.anonymous_id
    client.track("Quoted", anonymous_id="server-session-81", timestamp=calendar())

    browser.anonymous_id = "server-session-81"
    browser.identify("passed-1")

    assert cookie["sameas"]["anonymous_id"] == "server-session-81"
    assert timeline(client, user_id="passed-1") == ["day 1: Quoted", "day 1: identify"]
    assert timeline(client, anonymous_id=existing) == ["day 1: Home"]
    assert client.person(anonymous_id=existing).user_id is None


def test_each_device_has_an_anonymous_id_of_its_own(client, calendar):
    """'if a user has multiple devices, they can have different `anonymousId`s on each'."""
    devices = [Session(client, now=calendar) for _ in range(3)]

    for device in devices:
        device.identify("three-devices-1")

    assert set(client.person(user_id="three-devices-1").anonymous_ids) == {
        device.anonymous_id for device in devices
    }
    assert len({device.anonymous_id for device in devices}) == 3
