"""`User Identification`, passage by passage: identify, alias, reset, user profiles."""

from datetime import UTC, datetime

import pytest

from sameas import Outcome, PersonNotFound, Session
from support.stories import on, timeline

# ---- 1. Identify (Login) ------------------------------------------------------------------


def test_identify_at_login_links_the_anonymous_id_to_the_database_id(client, calendar):
    """'When a user logs into your app, you must link their anonymous ID to their permanent
    database ID.' `EmpMix.identify('db_user_89012');`
    """
    browser = Session(client, now=calendar)
    browser.track("Viewed Item")

    receipt = browser.identify("db_user_89012")

    assert receipt.outcome is Outcome.LINKED
    assert receipt.warnings == ()
    person = client.person(user_id="db_user_89012")
    assert person.person_id == receipt.person_id
    assert person.anonymous_ids == (browser.anonymous_id,)
    assert timeline(client, user_id="db_user_89012") == ["day 1: Viewed Item", "day 1: identify"]


def test_the_profile_of_an_identify_is_set_at_once(client):
    """'profile: Optional properties to immediately set on the user's profile in the database
    (e.g., name, email).'
    """
    browser = Session(client)

    browser.identify("profile-1", {"name": "Ann", "email": "ann@example.com"})

    assert client.person(user_id="profile-1").traits == {"email": "ann@example.com", "name": "Ann"}


# ---- 2. Alias (Sign Up) -------------------------------------------------------------------


def test_alias_then_identify_then_signed_up(client, calendar):
    """'1. Alias the current anonymous ID to the new user ID  2. Identify as the new user going
    forward  3. Track the signup event (this will be attached to the new ID)'.
    """
    browser = Session(client, now=calendar)
    browser.page("Home")
    calendar.set(2)
    browser.page("Registration")
    new_user_id = "usr_abc123"

    aliased = browser.alias(new_user_id)
    identified = browser.identify(new_user_id)
    signed_up = browser.track("Signed Up")

    outcomes = [receipt.outcome for receipt in (aliased, identified, signed_up)]
    assert outcomes == [Outcome.LINKED, Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert [each.warnings for each in (aliased, identified, signed_up)] == [()] * 3
    person = client.person(user_id=new_user_id)
    assert {each.person_id for each in (aliased, identified, signed_up)} == {person.person_id}
    assert person.anonymous_ids == (browser.anonymous_id,)
    assert timeline(client, user_id=new_user_id) == [
        "day 1: Home",
        "day 2: Registration",
        "day 2: alias",
        "day 2: identify",
        "day 2: Signed Up",
    ]


def test_an_alias_alone_links_the_past_and_leaves_later_calls_anonymous_here(client, calendar):
    """'It tells the backend to link their past anonymous activity to their new permanent ID':
    the backend, not the browser, which knows the user by `identify` only.
    """
    browser = Session(client, now=calendar)
    browser.page("Home")

    browser.alias("alias-alone-1")
    browser.page("Welcome")

    assert browser.user_id is None
    *_, welcome = client.messages(user_id="alias-alone-1")
    assert (welcome.event, welcome.user_id) == ("Welcome", None)
    assert timeline(client, user_id="alias-alone-1") == [
        "day 1: Home",
        "day 1: alias",
        "day 1: Welcome",
    ]


def test_a_second_alias_of_a_user_is_taken_with_a_warning(client, calendar):
    """'The alias() method is used exactly once per user ... Use identify() for all subsequent
    logins.'
    """
    first, second = Session(client, now=calendar), Session(client, now=calendar)
    first.alias("alias-twice-1")
    second.page("Home")

    receipt = second.alias("alias-twice-1")

    [warning] = receipt.warnings
    assert warning.reason == "ALIAS_REPEATED"
    assert warning.metadata["first_source"] == first.anonymous_id
    assert warning.metadata["source"] == second.anonymous_id
    assert timeline(client, user_id="alias-twice-1") == [
        "day 1: alias",
        "day 1: Home",
        "day 1: alias",
    ]


def test_identify_serves_for_all_subsequent_logins(client, calendar):
    """'Use alias() only during the sign-up event. Use identify() for all subsequent logins.'"""
    desktop, phone = Session(client, now=calendar), Session(client, now=calendar)
    desktop.alias("logins-1")
    desktop.identify("logins-1")
    calendar.set(2)
    phone.screen("Start")

    login = phone.identify("logins-1")

    assert (login.outcome, login.warnings) == (Outcome.LINKED, ())
    assert set(client.person(user_id="logins-1").anonymous_ids) == {
        desktop.anonymous_id,
        phone.anonymous_id,
    }


# ---- 3. Reset (Logout) --------------------------------------------------------------------


def test_reset_on_a_shared_computer_parts_its_users(client, calendar):
    """'When a user logs out, you must clear their session data.' The second user's events are
    not the first's, neither before nor after they sign in.
    """
    computer = Session(client, now=calendar)
    computer.page("Home")
    computer.identify("shared-ann")
    computer.track("Bought Shoes")
    first_device = computer.anonymous_id
    computer.reset()
    calendar.set(1, "09:10")  # the next user sits down at once
    computer.page("Home")
    second_device = computer.anonymous_id
    nobody = client.person(anonymous_id=second_device)
    assert nobody.user_id is None
    computer.identify("shared-bob")
    computer.track("Bought Hats")

    assert second_device != first_device
    assert timeline(client, user_id="shared-ann") == [
        "day 1: Home",
        "day 1: identify",
        "day 1: Bought Shoes",
        "day 1: reset",
    ]
    assert timeline(client, user_id="shared-bob") == [
        "day 1: Home",
        "day 1: identify",
        "day 1: Bought Hats",
    ]
    assert client.person(user_id="shared-ann").anonymous_ids == (first_device,)
    assert client.person(user_id="shared-bob").anonymous_ids == (second_device,)


def test_reset_parts_users_of_a_device_that_keeps_its_anonymous_id(client):
    """The same where a server made the id (of a till, say) and never changes it: after the
    reset the device starts anew, and who comes next is nobody until they sign in.
    """
    till = "till-7"
    client.identify("till-ann", anonymous_id=till, timestamp=on(1, "09:00"))
    client.track("Sold", anonymous_id=till, timestamp=on(1, "09:01"))
    ended = client.reset(till, timestamp=on(1, "09:02"))
    client.track("Browsed", anonymous_id=till, timestamp=on(1, "09:03"))
    between = client.person(anonymous_id=till)

    client.reset(till, timestamp=on(1, "09:04"))
    client.track("Weighed", anonymous_id=till, timestamp=on(1, "09:05"))
    signed_in = client.identify("till-bob", anonymous_id=till, timestamp=on(1, "09:06"))

    assert ended.person_id == client.person(user_id="till-ann").person_id
    assert between.user_id is None
    assert signed_in.outcome is Outcome.LINKED
    assert signed_in.warnings == ()
    assert timeline(client, user_id="till-ann") == [
        "day 1: identify",
        "day 1: Sold",
        "day 1: reset",
    ]
    assert timeline(client, person_id=between.person_id) == ["day 1: Browsed", "day 1: reset"]
    assert timeline(client, user_id="till-bob") == ["day 1: Weighed", "day 1: identify"]
    assert client.person(anonymous_id=till).user_id == "till-bob"


def test_without_a_reset_a_visitor_who_never_signs_in_counts_as_the_last_user(client, calendar):
    """'Otherwise, subsequent events triggered by a different user on the same shared computer
    will be attributed to the logged-out user.'
    """
    computer = Session(client, now=calendar)
    computer.identify("no-reset-ann")

    calendar.set(2)
    computer.page("Home")  # somebody else, whom nothing tells from Ann

    assert timeline(client, user_id="no-reset-ann") == ["day 1: identify", "day 2: Home"]


def test_without_a_reset_a_newcomer_who_signs_in_is_not_fused_with_the_last_user(client):
    """The same shared computer, where the next user does sign in: a warning, nobody is fused,
    and what the newcomer did in that visit before signing in is theirs.
    """
    kiosk = "kiosk-1"
    client.page("Home", anonymous_id=kiosk, timestamp=on(1, "08:50"))
    client.identify("kiosk-ann", {"plan": "pro"}, anonymous_id=kiosk, timestamp=on(1, "09:00"))
    client.track("Bought Shoes", anonymous_id=kiosk, timestamp=on(1, "09:10"))
    client.page("Offers", anonymous_id=kiosk, timestamp=on(1, "11:00"))
    client.track("Searched", anonymous_id=kiosk, timestamp=on(1, "11:20"))

    receipt = client.identify("kiosk-bob", anonymous_id=kiosk, timestamp=on(1, "11:40"))
    client.track("Bought Hats", anonymous_id=kiosk, timestamp=on(1, "11:50"))

    assert receipt.outcome is Outcome.SWITCHED
    assert receipt.absorbed_person_ids == ()
    [warning] = receipt.warnings
    assert warning.reason == "DEVICE_SWITCHED"
    assert warning.metadata == {
        "anonymous_id": kiosk,
        "former_user_id": "kiosk-ann",
        "user_id": "kiosk-bob",
    }
    ann, bob = client.person(user_id="kiosk-ann"), client.person(user_id="kiosk-bob")
    assert (ann.user_ids, bob.user_ids) == (("kiosk-ann",), ("kiosk-bob",))
    assert (ann.anonymous_ids, bob.anonymous_ids) == ((kiosk,), (kiosk,))
    assert (ann.traits, bob.traits) == ({"plan": "pro"}, {})
    assert client.person(anonymous_id=kiosk) == bob  # the owner of its latest message
    assert timeline(client, user_id="kiosk-ann") == [
        "day 1: Home",
        "day 1: identify",
        "day 1: Bought Shoes",
    ]
    assert timeline(client, user_id="kiosk-bob") == [
        "day 1: Offers",
        "day 1: Searched",
        "day 1: identify",
        "day 1: Bought Hats",
    ]


def test_reset_starts_a_brand_new_anonymous_id(client, calendar):
    """'reset() clears all Emp-Mix cookies and localStorage, generating a brand new anonymous
    distinct_id for the next session.'
    """
    cookie, local_storage = {}, {}
    browser = Session(client, cookie, fallback=local_storage, now=calendar)
    browser.identify("brand-new-1")
    device = browser.anonymous_id

    browser.reset()

    assert (cookie, local_storage) == ({}, {})
    assert browser.anonymous_id != device
    with pytest.raises(PersonNotFound):
        client.person(anonymous_id=browser.anonymous_id)  # no message names it yet


def test_a_user_who_comes_back_after_a_reset_is_the_same_person(client, calendar):
    """What the last session was is kept: the user logs in again and has one history."""
    browser = Session(client, now=calendar)
    browser.identify("comes-back-1")
    first_device = browser.anonymous_id
    browser.reset()
    calendar.set(2)
    browser.page("Home")

    browser.identify("comes-back-1")

    assert set(client.person(user_id="comes-back-1").anonymous_ids) == {
        first_device,
        browser.anonymous_id,
    }
    assert timeline(client, user_id="comes-back-1") == [
        "day 1: identify",
        "day 1: reset",
        "day 2: Home",
        "day 2: identify",
    ]


# ---- User Profiles (People API) -----------------------------------------------------------


def test_user_properties_are_set_without_an_event(client, calendar):
    """'You can update a user's profile metadata without firing a specific event.'
    `EmpMix.setUserProperties({last_login_date: new Date().toISOString(), plan: 'Pro'});`
    """
    browser = Session(client, now=calendar)
    browser.identify("people-1", {"plan": "Free"})
    last_login_date = datetime.now(UTC).isoformat()

    browser.set_user_properties({"last_login_date": last_login_date, "plan": "Pro"})

    assert client.person(user_id="people-1").traits == {
        "last_login_date": last_login_date,
        "plan": "Pro",
    }
    assert timeline(client, user_id="people-1") == ["day 1: identify", "day 1: profile"]
    assert browser.traits["plan"] == "Pro"


def test_a_number_is_incremented_without_an_event(client, calendar):
    """`EmpMix.increment('logins_count', 1);`"""
    browser = Session(client, now=calendar)
    browser.identify("people-2")

    browser.increment("logins_count", 1)
    browser.increment("logins_count", 1)
    browser.increment("logins_count", 0.5)

    assert client.person(user_id="people-2").traits == {"logins_count": 2.5}


def test_an_increment_that_is_sent_again_counts_once(client, calendar):
    """The same, over a network that loses answers: one message id is one increment."""
    browser = Session(client, now=calendar)
    browser.identify("people-3")
    when = on(1, "10:00")

    first = browser.increment("logins_count", 1, message_id="login-of-march-2", timestamp=when)
    again = browser.increment("logins_count", 1, message_id="login-of-march-2", timestamp=when)

    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.person_id == first.person_id
    assert client.person(user_id="people-3").traits == {"logins_count": 1}


def test_what_a_visitor_said_before_the_login_does_not_overwrite_what_is_known(client, calendar):
    """A profile of a visitor joins the user's at the login, but for what the user has set."""
    known = Session(client, now=calendar)
    known.identify("people-4", {"plan": "Pro"})
    calendar.set(2)
    visitor = Session(client, now=calendar)
    visitor.set_user_properties({"plan": "guest", "language": "de"})
    visitor.increment("visits", 3)

    visitor.identify("people-4")

    assert client.person(user_id="people-4").traits == {
        "plan": "Pro",
        "language": "de",
        "visits": 3,
    }
