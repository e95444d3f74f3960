"""`Best practices in identifying customers`, passage by passage; the last part, on expiration
and overwriting, is in `test_expiration_and_overwriting`.
"""

import asyncio
import uuid

import pytest

from sameas import AsyncClient, AsyncSession, MessageKind, Outcome, PersonNotFound, Session
from support.stories import is_same_person, on, timeline

# ---- AnonymousId generation ---------------------------------------------------------------


def test_a_visitor_gets_a_random_anonymous_id_of_36_characters_on_the_first_visit(client):
    """'a randomly generated 36 character string automatically assigned to a user on their
    first visit'.
    """
    cookie = {}
    visitor = Session(client, cookie)

    visitor.page("Home")

    device = cookie["sameas"]["anonymous_id"]
    assert len(device) == 36
    assert uuid.UUID(device).version == 4
    assert [m.anonymous_id for m in client.messages(anonymous_id=device)] == [device]
    assert Session(client, {}).anonymous_id != device


def test_the_activities_of_several_days_are_collected_by_the_anonymous_id(client, calendar):
    """'you can attribute activities over multiple days to the same user by collecting all of
    the activities with that ID'.
    """
    visitor = Session(client, now=calendar)
    visitor.page("Home")
    calendar.set(2)
    visitor.page("Pricing")
    calendar.set(9)
    visitor.track("Downloaded Brochure")

    nobody = client.person(anonymous_id=visitor.anonymous_id)

    assert nobody.user_id is None
    assert nobody.anonymous_ids == (visitor.anonymous_id,)
    assert (nobody.first_seen.date(), nobody.last_seen.date()) == (on(1).date(), on(9).date())
    assert timeline(client, anonymous_id=visitor.anonymous_id) == [
        "day 1: Home",
        "day 2: Pricing",
        "day 9: Downloaded Brochure",
    ]


def test_a_server_may_make_the_anonymous_id_of_anything_pseudo_unique(client):
    """'It can be any pseudo-unique identifier, for example you might use a `sessionId` from a
    backend server.'
    """
    backend_session = "PHPSESSID=q7k/ü 8f+==;"
    client.page("Basket", anonymous_id=backend_session, timestamp=on(1))

    client.identify("backend-1", anonymous_id=backend_session, timestamp=on(1, "09:05"))

    assert client.person(user_id="backend-1").anonymous_ids == (backend_session,)
    assert timeline(client, user_id="backend-1") == ["day 1: Basket", "day 1: identify"]


# ---- Identifying users --------------------------------------------------------------------


def test_identify_links_a_user_to_their_actions_and_records_traits(client, calendar):
    """'Intilery's Identify method lets you link a user to their actions and record traits
    about them.'
    """
    visitor = Session(client, now=calendar)
    visitor.track("Viewed Product")
    nobody = client.person(anonymous_id=visitor.anonymous_id)

    receipt = visitor.identify("links-1", {"email": "ann@example.com", "name": "Ann"})

    assert receipt.outcome is Outcome.LINKED
    assert receipt.absorbed_person_ids == (nobody.person_id,)
    person = client.person(user_id="links-1")
    assert person.traits == {"email": "ann@example.com", "name": "Ann"}
    assert client.person(person_id=nobody.person_id) == person  # the old id keeps resolving
    assert timeline(client, user_id="links-1") == ["day 1: Viewed Product", "day 1: identify"]


def test_user_id_and_traits_go_with_all_later_calls(client, calendar):
    """'saves the `userId` to the browser cookie, and writes all the user traits in local
    storage ... append the user's data to all subsequent Page calls or Track calls'.
    """
    cookie, local_storage = {}, {}
    visitor = Session(client, cookie, fallback=local_storage, now=calendar)

    visitor.identify("later-1", {"plan": "premium"})
    visitor.page("Home")
    visitor.track("Clicked")

    assert cookie["sameas"]["user_id"] == "later-1"
    assert "traits" not in cookie["sameas"]
    assert local_storage["sameas"]["traits"] == {"plan": "premium"}
    messages = list(client.messages(user_id="later-1"))
    assert [m.kind for m in messages] == [
        MessageKind.IDENTIFY,
        MessageKind.PAGE,
        MessageKind.TRACK,
    ]
    assert {(m.user_id, m.anonymous_id) for m in messages} == {("later-1", visitor.anonymous_id)}
    assert [m.context for m in messages[1:]] == [{"traits": {"plan": "premium"}}] * 2


def test_a_mobile_library_keeps_the_visitor_in_memory(client, calendar):
    """'If you're using one of the Intilery mobile libraries, the `userId` and traits are
    stored in the device's memory.'
    """
    app = Session(client, now=calendar)
    app.identify("mobile-memory", {"plan": "free"})
    app.screen("Start")

    assert (app.user_id, app.traits) == ("mobile-memory", {"plan": "free"})
    assert timeline(client, user_id="mobile-memory") == ["day 1: identify", "day 1: Start"]


# ---- Best options for userIds -------------------------------------------------------------


@pytest.mark.parametrize(
    "database_id",
    ["507f191e810c19729de860ea", "2f6fbfb7-6f2b-4b5e-9c3a-b6c40a4e8d11", "gid://shopify/9"],
)
def test_a_static_id_of_ones_own_systems_is_taken_without_a_warning(client, database_id):
    """'it might be a row identifier and look something like `507f191e810c19729de860ea`. These
    can also be UUIDs ... identifiers that you get from other tools'.
    """
    receipt = client.identify(database_id, timestamp=on(1))

    assert receipt.warnings == ()
    assert client.person(user_id=database_id).user_ids == (database_id,)


def test_an_email_address_as_a_user_id_is_taken_with_a_warning(client):
    """'does **not** recommend using simple email addresses or usernames as a User ID, as
    these can change over time.'
    """
    receipt = client.identify("peter@example.com", timestamp=on(1))

    assert [warning.reason for warning in receipt.warnings] == ["USER_ID_IS_EMAIL"]
    assert client.person(user_id="peter@example.com").person_id == receipt.person_id


def test_with_a_static_id_a_user_is_recognised_when_the_address_changes(client):
    """'you can still recognize the user in your analytics tools, even if the user changes
    their email address'.
    """
    before = client.identify("row-77", {"email": "old@example.com"}, timestamp=on(1))

    after = client.identify("row-77", {"email": "new@example.com"}, timestamp=on(30))

    assert after.person_id == before.person_id
    assert client.person(user_id="row-77").traits == {"email": "new@example.com"}


# ---- When to call Identify ----------------------------------------------------------------


def test_identify_may_be_called_at_every_occasion_of_the_list(client, calendar):
    """'when first you create a user ... changes information in their profile ... logs in ...
    upon loading any pages that are accessible by a logged in user'.
    """
    visitor = Session(client, now=calendar)

    created = visitor.identify("occasions-1", {"plan": "free"})
    changed = visitor.identify("occasions-1", {"plan": "premium"})
    calendar.set(2)
    logged_in = visitor.identify("occasions-1")
    loaded_page = visitor.identify()

    outcomes = [each.outcome for each in (created, changed, logged_in, loaded_page)]
    assert outcomes == [Outcome.CREATED] + [Outcome.UNCHANGED] * 3
    assert {each.person_id for each in (created, changed, logged_in, loaded_page)} == {
        client.person(user_id="occasions-1").person_id
    }
    assert client.person(user_id="occasions-1").traits == {"plan": "premium"}


# ---- Merging Identified and Anonymous user profiles ---------------------------------------


def test_the_sample_calls_of_peter_gibbons(client, calendar):
    """'the `.identify(UID)` and `.track("Signed Up")` events fire, in that order ... contains
    both the `userId` *and* the automatically-collected `anonymousId`'.
    """
    analytics = Session(client, now=calendar)
    analytics.page("Home", context={"ip": "8.8.8.8", "userAgent": "Firefox"})
    peter = {"name": "Peter Gibbons", "email": "peter@example.com", "plan": "premium"}

    analytics.identify("97980cfea0067", peter)
    analytics.track("Signed Up", {"userId": "97980cfea0067", **peter})
    analytics.track("Clicked Start")

    person = client.person(user_id="97980cfea0067")
    assert person.user_ids == ("97980cfea0067",)
    assert person.anonymous_ids == (analytics.anonymous_id,)
    assert person.traits == peter
    home, _, signed_up, clicked = client.messages(user_id="97980cfea0067")
    assert (home.event, home.user_id) == ("Home", None)
    assert home.context == {"ip": "8.8.8.8", "userAgent": "Firefox"}
    assert signed_up.properties == {"userId": "97980cfea0067", **peter}
    for message in (signed_up, clicked):
        assert message.user_id == "97980cfea0067"
        assert message.anonymous_id == analytics.anonymous_id


def test_ids_inside_properties_are_data(client, calendar):
    """'userId: "97980cfea0067", //event property': what stands in properties names nobody."""
    visitor = Session(client, now=calendar)

    visitor.track("Signed Up", {"userId": "only-a-property", "anonymousId": "neither"})

    with pytest.raises(PersonNotFound):
        client.person(user_id="only-a-property")
    assert client.person(anonymous_id=visitor.anonymous_id).user_id is None


def test_message_id_and_timestamps_are_added_to_each_call(client):
    """'adds a `message_id` and four timestamps to the call': when it happened, was sent and
    was received (the fourth, the client's own, differs from the first only by a wrong clock).
    """
    receipt = client.track("Clicked", user_id="stamps-1")

    [message] = client.messages(user_id="stamps-1")
    assert uuid.UUID(message.message_id).version == 7
    assert message.message_id == receipt.message_id
    assert message.timestamp <= message.sent_at <= message.received_at


# ---- UserID merge examples ----------------------------------------------------------------


def test_scenario_1_multi_day_single_device(client, calendar):
    """'Say they come back two days later from the same device, sign up, and are assigned a
    `userId`.'
    """
    browser = Session(client, now=calendar)
    browser.page("Landing", {"utm_source": "ad"})
    browser.track("Clicked Features")
    calendar.set(3)
    browser.page("Landing")

    signed_up = browser.identify("scenario-1")
    browser.track("Signed Up")

    assert signed_up.outcome is Outcome.LINKED
    assert client.person(user_id="scenario-1").anonymous_ids == (browser.anonymous_id,)
    assert timeline(client, user_id="scenario-1") == [
        "day 1: Landing",
        "day 1: Clicked Features",
        "day 3: Landing",
        "day 3: identify",
        "day 3: Signed Up",
    ]


def test_scenario_1_with_cleared_cookies(client, calendar):
    """'the `userId` they got when they register on the website would *not* be attached to the
    activities tracked with the old `anonymousId`'.
    """
    cookie, local_storage = {}, {}
    browser = Session(client, cookie, fallback=local_storage, now=calendar)
    browser.page("Landing")
    old_device = browser.anonymous_id
    cookie.clear()
    local_storage.clear()
    calendar.set(3)
    browser.page("Landing")

    browser.identify("scenario-1-cleared")

    assert browser.anonymous_id != old_device
    assert timeline(client, user_id="scenario-1-cleared") == ["day 3: Landing", "day 3: identify"]
    assert timeline(client, anonymous_id=old_device) == ["day 1: Landing"]
    assert client.person(anonymous_id=old_device).user_id is None


def test_scenario_2_multi_day_multi_device_single_login(client, calendar):
    """'because they do not log in on the mobile application, Intilery cannot tie the mobile
    activity to this specific user. Their mobile application activity remains anonymous'.
    """
    web, mobile = Session(client, now=calendar), Session(client, now=calendar)
    web.page("Home")
    calendar.set(2)
    mobile.screen("Start")
    calendar.set(3)
    web.identify("scenario-2")
    web.track("Signed Up")
    calendar.set(4)
    mobile.screen("Offers")

    assert web.anonymous_id != mobile.anonymous_id
    assert client.person(user_id="scenario-2").anonymous_ids == (web.anonymous_id,)
    assert timeline(client, user_id="scenario-2") == [
        "day 1: Home",
        "day 3: identify",
        "day 3: Signed Up",
    ]
    assert client.person(anonymous_id=mobile.anonymous_id).user_id is None
    assert timeline(client, anonymous_id=mobile.anonymous_id) == [
        "day 2: Start",
        "day 4: Offers",
    ]


def test_scenario_2_unless_they_log_in_on_the_mobile_application(client, calendar):
    """'... remains anonymous unless they log in on the mobile application.'"""
    web, mobile = Session(client, now=calendar), Session(client, now=calendar)
    web.identify("scenario-2-later")
    mobile.screen("Start")
    calendar.set(5)

    login = mobile.identify("scenario-2-later")

    assert login.outcome is Outcome.LINKED
    assert timeline(client, user_id="scenario-2-later") == [
        "day 1: identify",
        "day 1: Start",
        "day 5: identify",
    ]


def test_scenario_3_multi_day_multi_device_multiple_logins(client, calendar):
    """'both sessions on the web and mobile app receive the user's `userId`, so Intilery can
    tie the anonymous activity on both web and mobile to this user'.
    """
    web, mobile = Session(client, now=calendar), Session(client, now=calendar)
    web.page("Home")
    calendar.set(2)
    mobile.screen("Start")
    calendar.set(3)
    web.identify("scenario-3")
    web.track("Signed Up")
    calendar.set(4)
    mobile.identify("scenario-3")
    mobile.track("Ordered")

    devices = {web.anonymous_id, mobile.anonymous_id}
    person = client.person(user_id="scenario-3")
    assert set(person.anonymous_ids) == devices
    assert is_same_person(
        client, {"user_id": "scenario-3"}, *({"anonymous_id": device} for device in devices)
    )
    assert timeline(client, user_id="scenario-3") == [
        "day 1: Home",
        "day 2: Start",
        "day 3: identify",
        "day 3: Signed Up",
        "day 4: identify",
        "day 4: Ordered",
    ]


async def test_scenario_3_with_both_devices_at_the_same_moment(server, client, calendar):
    """The same, told by asyncio: 'also logged in on both', at once."""

    async def visit(device, name):
        await device.screen(name)
        await device.identify("scenario-3-async")
        await device.track(f"Ordered by {name}")

    async with AsyncClient(server.target) as aio:
        web, mobile = AsyncSession(aio, now=calendar), AsyncSession(aio, now=calendar)
        await asyncio.gather(visit(web, "web"), visit(mobile, "mobile"))
        person = await aio.person(user_id="scenario-3-async")

    assert set(person.anonymous_ids) == {web.anonymous_id, mobile.anonymous_id}
    assert sorted(timeline(client, user_id="scenario-3-async")) == [
        "day 1: Ordered by mobile",
        "day 1: Ordered by web",
        "day 1: identify",
        "day 1: identify",
        "day 1: mobile",
        "day 1: web",
    ]
