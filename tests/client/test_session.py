import json
import logging
import threading
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from sameas import (
    AsyncSession,
    InvalidArgument,
    JsonFileStorage,
    MemoryStorage,
    Session,
    Unavailable,
    v1,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


class TestClock:
    __test__ = False

    def __init__(self):
        self.time = START

    def __call__(self):
        self.time += timedelta(microseconds=1)
        return self.time

    def pass_days(self, days):
        self.time += timedelta(days=days)


@pytest.fixture
def clock():
    return TestClock()


@pytest.fixture
def session(recorder):
    return Session(recorder)


def stamp_of(request):
    return request.timestamp.seconds * 1_000_000_000 + request.timestamp.nanos


# The anonymous id


def test_the_anonymous_id_has_36_characters_and_is_made_when_first_asked_for(session):
    assert len(session.anonymous_id) == 36
    assert session.anonymous_id == session.anonymous_id


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.page(),
        lambda s: s.screen("Home"),
        lambda s: s.track("E"),
        lambda s: s.group("g-1"),
        lambda s: s.identify("u-1"),
        lambda s: s.alias("u-1"),
        lambda s: s.set_user_properties({"a": 1}),
        lambda s: s.increment("n"),
    ],
)
def test_any_call_before_there_is_an_anonymous_id_makes_one_first(session, recorder, call):
    call(session)

    sent = recorder.last.anonymous_id or recorder.last.previous_anonymous_id
    assert len(sent) == 36
    assert session.anonymous_id == sent


def test_two_visitors_have_different_anonymous_ids(recorder):
    assert Session(recorder).anonymous_id != Session(recorder).anonymous_id


def test_setting_the_anonymous_id_overwrites_it_and_keeps_who_the_user_is(session, recorder):
    session.identify("u-1", {"plan": "pro"})

    session.anonymous_id = "made-by-a-server"
    session.track("E")

    assert recorder.ids()[-1] == ("made-by-a-server", "u-1")
    assert session.traits == {"plan": "pro"}


@pytest.mark.parametrize("value", ["", None, 7])
def test_an_anonymous_id_that_is_no_text_or_empty_is_refused(session, value):
    with pytest.raises(InvalidArgument):
        session.anonymous_id = value

    assert len(session.anonymous_id) == 36


# Identify, alias, traits


def test_after_an_identify_every_call_carries_both_ids(session, recorder):
    session.identify("u-1")
    session.page()
    session.screen()
    session.track("E")
    session.group("g-1")
    session.set_user_properties({"a": 1})
    session.increment("n")

    assert recorder.ids() == [(session.anonymous_id, "u-1")] * 7


def test_an_identify_sends_only_the_traits_it_is_given_and_keeps_them_all(session, recorder):
    session.identify("u-1", {"plan": "free", "name": "Peter"})
    session.identify(traits={"plan": "pro"})

    assert recorder.last.traits_json == '{"plan":"pro"}'
    assert recorder.last.user_id == "u-1"
    assert session.traits == {"plan": "pro", "name": "Peter"}


def test_traits_of_an_anonymous_visitor_stay_when_they_sign_in(session):
    session.identify(traits={"plan": "guest"})
    session.identify("u-1", {"name": "Peter"})

    assert session.traits == {"plan": "guest", "name": "Peter"}


def test_another_user_id_overwrites_the_user_and_drops_their_traits_and_keeps_the_device(
    session, recorder
):
    session.identify("u-1", {"plan": "pro"})
    device = session.anonymous_id
    session.identify("u-2", {"name": "Milton"})

    assert recorder.ids() == [(device, "u-1"), (device, "u-2")]
    assert (session.user_id, session.traits) == ("u-2", {"name": "Milton"})


def test_an_empty_user_id_is_none_and_changes_no_user(session, recorder):
    session.identify("u-1")
    session.identify("", {"a": 1})

    assert session.user_id == recorder.last.user_id == "u-1"


def test_an_alias_joins_the_own_device_and_does_not_keep_the_user(session, recorder):
    device = session.anonymous_id
    session.alias("usr_abc123")

    assert isinstance(recorder.last, v1.AliasRequest)
    assert (recorder.last.previous_anonymous_id, recorder.last.user_id) == (
        device,
        "usr_abc123",
    )
    assert session.user_id is None


def test_the_sign_up_of_the_documentation_sends_alias_then_identify_then_track(session, recorder):
    session.page("Landing")
    session.alias("usr_abc123")
    session.identify("usr_abc123")
    session.track("Signed Up")

    kinds = [type(each).__name__ for each in recorder.requests]
    assert kinds == ["TrackRequest", "AliasRequest", "IdentifyRequest", "TrackRequest"]
    assert recorder.ids()[-1] == (session.anonymous_id, "usr_abc123")
    times = [stamp_of(each) for each in recorder.requests]
    ids = [each.message_id for each in recorder.requests]
    assert times == sorted(set(times))
    assert ids == sorted(set(ids))


def test_pages_and_events_carry_the_known_traits_in_their_context(session, recorder):
    session.track("E", context={"ip": "::1"})
    assert recorder.context() == {"ip": "::1"}

    session.identify("u-1", {"plan": "pro"})
    session.page(context={"ip": "::1"})
    assert recorder.context() == {"ip": "::1", "traits": {"plan": "pro"}}

    session.track("E", context={"traits": {"mine": 1}})
    assert recorder.context() == {"traits": {"mine": 1}}


def test_traits_in_the_context_can_be_switched_off(recorder):
    session = Session(recorder, traits_in_context=False)
    session.identify("u-1", {"plan": "pro"})
    session.track("E")

    assert recorder.context() == {}


def test_user_properties_are_set_and_kept(session, recorder):
    session.identify("u-1", {"plan": "free"})
    session.set_user_properties({"plan": "Pro", "last_login_date": "2026-06-04"})

    assert json.loads(recorder.last.operations_json) == {
        "set": {"plan": "Pro", "last_login_date": "2026-06-04"}
    }
    assert session.traits == {"plan": "Pro", "last_login_date": "2026-06-04"}


def test_an_increment_adds_to_what_is_kept_and_guesses_nothing(session, recorder):
    session.set_user_properties({"logins_count": 4, "name": "Peter", "is_new": True})
    session.increment("logins_count", 1)
    session.increment("visits")
    session.increment("name", 2)
    session.increment("is_new")

    assert json.loads(recorder.requests[1].operations_json) == {"increment": {"logins_count": 1}}
    assert json.loads(recorder.requests[2].operations_json) == {"increment": {"visits": 1}}
    assert session.traits == {"logins_count": 5, "name": "Peter", "is_new": True}


def test_traits_shared_with_the_caller_are_copies(session):
    given = {"tags": ["x"]}
    session.identify("u-1", given)
    given["tags"].append("y")
    session.traits["tags"].append("z")

    assert session.traits == {"tags": ["x"]}


def test_traits_that_are_no_json_change_nothing(session, recorder):
    for call in (session.set_user_properties, lambda bad: session.identify("u-1", bad)):
        with pytest.raises(InvalidArgument):
            call({"a": float("nan")})
    with pytest.raises(InvalidArgument):
        session.increment("a", float("inf"))

    assert (session.user_id, session.traits, recorder.requests) == (None, {}, [])


def test_an_identify_that_is_refused_is_taken_back(session, recorder):
    session.identify("u-1", {"plan": "pro"})
    recorder.error = InvalidArgument("no", reason="ID_BLOCKED")

    with pytest.raises(InvalidArgument):
        session.identify("null", {"plan": "x"})

    assert (session.user_id, session.traits) == ("u-1", {"plan": "pro"})


def test_an_identify_of_unknown_outcome_is_kept(session, recorder):
    recorder.error = Unavailable("no")

    with pytest.raises(Unavailable):
        session.identify("u-1")

    assert session.user_id == "u-1"


# Reset


def test_a_reset_ends_the_devices_use_and_the_next_call_is_of_a_new_device(session, recorder):
    session.identify("u-1", {"plan": "pro"})
    device = session.anonymous_id

    session.reset()
    session.track("E")

    reset = recorder.requests[1]
    assert isinstance(reset, v1.ResetRequest)
    assert (reset.anonymous_id, reset.user_id) == (device, "u-1")
    assert len(recorder.last.anonymous_id) == 36
    assert (recorder.last.anonymous_id != device, recorder.last.user_id) == (True, "")
    assert (session.user_id, session.traits) == (None, {})


def test_a_reset_without_an_anonymous_id_sends_nothing(session, recorder):
    assert session.reset() is None
    assert recorder.requests == []


def test_a_reset_clears_both_storages(recorder):
    cookie, local = {}, {}
    session = Session(recorder, cookie, fallback=local)
    session.identify("u-1", {"plan": "pro"})

    session.reset()

    assert (cookie, local) == ({}, {})


def test_a_logout_holds_even_if_the_server_cannot_be_reached(session, recorder):
    session.identify("u-1")
    device = session.anonymous_id
    recorder.error = Unavailable("no")

    with pytest.raises(Unavailable):
        session.reset()

    assert session.user_id is None
    assert session.anonymous_id != device


def test_a_logout_in_one_session_is_seen_by_another_over_the_same_storage(recorder):
    cookie = {}
    one, other = Session(recorder, cookie), Session(recorder, cookie)
    one.identify("u-1")
    device = other.anonymous_id

    one.reset()
    other.track("E")

    assert recorder.last.user_id == ""
    assert recorder.last.anonymous_id != device


# Storages, expiry, return visits


def test_ids_last_across_requests_and_days_on_one_device(recorder, clock):
    cookie = {}
    Session(recorder, cookie, now=clock).page("Ad")
    clock.pass_days(2)
    Session(recorder, cookie, now=clock).identify("97980cfea0067")

    (first, _), (second, user) = recorder.ids()
    assert first == second
    assert user == "97980cfea0067"


def test_a_cookie_is_json(recorder):
    cookie = {}
    Session(recorder, cookie).identify("u-1", {"when": "now", "n": 1.5})

    assert json.loads(json.dumps(cookie)) == cookie


def test_a_visitor_of_a_program_is_remembered_across_restarts(recorder, tmp_path):
    Session(recorder, JsonFileStorage(tmp_path / "visitor.json")).identify("u-1", {"a": 1})
    again = Session(recorder, JsonFileStorage(tmp_path / "visitor.json"))

    assert (again.user_id, again.traits) == ("u-1", {"a": 1})
    assert again.anonymous_id == recorder.last.anonymous_id


def test_ids_expire_a_year_after_the_last_write(recorder, clock):
    cookie = {}
    session = Session(recorder, cookie, now=clock)
    session.identify("u-1", {"a": 1})
    device = session.anonymous_id

    clock.pass_days(364.9)
    assert Session(recorder, dict(cookie), now=clock).anonymous_id == device
    clock.pass_days(0.2)
    late = Session(recorder, dict(cookie), now=clock)

    assert (late.user_id, late.traits) == (None, {})
    assert late.anonymous_id != device


def test_a_visitor_who_keeps_coming_does_not_expire(recorder, clock):
    session = Session(recorder, {}, now=clock)
    device = session.anonymous_id
    for _ in range(5):
        clock.pass_days(300)
        session.page()

    assert session.anonymous_id == device


def test_a_visitor_of_the_last_hour_does_not_expire_by_the_hour(recorder, clock):
    session = Session(recorder, {}, expires=timedelta(hours=1), now=clock)
    device = session.anonymous_id
    for _ in range(10):
        clock.pass_days(0.6 / 24)
        session.page()

    assert session.anonymous_id == device


def test_how_long_ids_last_can_be_set(recorder, clock):
    session = Session(recorder, {}, expires=timedelta(hours=1), now=clock)
    device = session.anonymous_id
    clock.pass_days(1 / 23)

    assert session.anonymous_id != device


def test_an_expired_cookie_is_restored_from_the_local_storage(recorder, clock):
    cookie, local = {}, {}
    session = Session(recorder, cookie, fallback=local, now=clock)
    session.identify("u-1", {"plan": "pro"})
    device = session.anonymous_id
    clock.pass_days(400)

    again = Session(recorder, cookie, fallback=local, now=clock)
    again.track("E")

    assert recorder.ids()[-1] == (device, "u-1")
    assert again.traits == {"plan": "pro"}
    assert cookie["sameas"]["expires_at"] > clock.time.timestamp()


def test_a_cleared_cookie_is_restored_too_and_only_clearing_both_makes_a_new_visitor(recorder):
    cookie, local = {}, {}
    device = Session(recorder, cookie, fallback=local).anonymous_id

    cookie.clear()
    assert Session(recorder, cookie, fallback=local).anonymous_id == device
    assert cookie["sameas"]["anonymous_id"] == device
    cookie.clear()
    local.clear()
    assert Session(recorder, cookie, fallback=local).anonymous_id != device


def test_with_a_local_storage_the_cookie_has_the_ids_and_no_traits(recorder):
    cookie, local = {}, {}
    Session(recorder, cookie, fallback=local).identify("u-1", {"plan": "pro"})

    assert set(cookie["sameas"]) == {"anonymous_id", "user_id", "expires_at"}
    assert local["sameas"]["traits"] == {"plan": "pro"}


def test_traits_of_another_user_in_the_local_storage_are_not_taken_over(recorder):
    cookie = {"sameas": {"anonymous_id": "a-1", "user_id": "u-1"}}
    local = {"sameas": {"anonymous_id": "a-1", "user_id": "u-0", "traits": {"plan": "pro"}}}

    assert Session(recorder, cookie, fallback=local).traits == {}


def test_a_cookie_that_a_server_made_with_only_an_id_is_taken(recorder):
    session = Session(recorder, {"sameas": {"anonymous_id": "made-by-a-server"}})

    assert session.anonymous_id == "made-by-a-server"


def test_a_cookie_with_only_a_user_keeps_them_when_the_device_gets_its_id(recorder):
    session = Session(recorder, {"sameas": {"user_id": "u-1"}})
    session.track("E")

    assert recorder.ids() == [(session.anonymous_id, "u-1")]


@pytest.mark.parametrize(
    "garbage",
    [
        "text", 7, [], [1], True,
        {"anonymous_id": 7},
        {"anonymous_id": "a", "user_id": ["u"]},
        {"anonymous_id": "a", "traits": [1]},
        {"anonymous_id": "a", "traits": None},
        {"anonymous_id": "a", "expires_at": "soon"},
    ],
)  # fmt: skip
def test_garbage_in_a_storage_counts_as_empty_with_a_warning(recorder, caplog, garbage):
    cookie = {"sameas": garbage}
    session = Session(recorder, cookie)

    with caplog.at_level(logging.WARNING, "sameas"):
        device = session.anonymous_id

    assert len(device) == 36
    assert "not a session's state" in caplog.text
    assert cookie["sameas"]["anonymous_id"] == device


@pytest.mark.parametrize("expires_at", [float("nan"), float("-inf"), -1, 0, False])
def test_an_expiry_that_is_no_time_to_come_is_over(recorder, expires_at):
    session = Session(recorder, {"sameas": {"anonymous_id": "a", "expires_at": expires_at}})

    assert session.anonymous_id != "a"


# Threads, times, asyncio


def test_threads_that_share_a_session_make_one_anonymous_id(recorder):
    session = Session(recorder, MemoryStorage())
    threads = [
        threading.Thread(target=lambda: [session.track("E") for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(recorder.requests) == 200
    assert len(set(recorder.ids())) == 1


def test_no_reset_comes_between_a_calls_ids_and_its_time(recorder, clock):
    readings = []
    cookie = {"sameas": {"anonymous_id": "a-1"}}

    def now():
        readings.append(threading.current_thread())
        # The main thread's second reading is the call's time; its ids are read by then.
        if readings == [threading.main_thread()] * 2:
            reset.start()
            reset.join(0.2)
        return clock()

    session = Session(recorder, cookie, now=now)
    reset = threading.Thread(target=session.reset)
    session.track("E")
    reset.join()

    track, end = sorted(recorder.requests, key=stamp_of)
    assert (type(track), type(end)) == (v1.TrackRequest, v1.ResetRequest)
    assert track.anonymous_id == end.anonymous_id == "a-1"


def test_a_call_may_have_its_own_time_and_message_id(session, recorder):
    session.track("E", timestamp=START, message_id="m-1")

    assert recorder.last.message_id == "m-1"
    assert recorder.last.timestamp.seconds == START.timestamp()


def test_calls_give_back_what_the_target_gives(session, recorder):
    assert session.track("E") == recorder.last.message_id
    assert session.identify("u-1") == recorder.last.message_id
    assert session.reset() == recorder.last.message_id


async def test_an_async_session_does_the_same(aio_client, service):
    session = AsyncSession(aio_client, {})

    assert await session.reset() is None
    await session.page()
    await session.identify("u-1", {"plan": "pro"})
    receipt = await session.track("E")
    device = session.anonymous_id
    await session.reset()

    assert receipt.person_id == "p-1"
    assert [each.anonymous_id for each in service.requests] == [device] * 4
    assert session.user_id is None


async def test_an_async_identify_that_is_refused_is_taken_back(aio_client, service, failure):
    session = AsyncSession(aio_client, {})
    service.answers.append(failure(grpc.StatusCode.INVALID_ARGUMENT, "ID_BLOCKED"))

    with pytest.raises(InvalidArgument):
        await session.identify("null")

    assert session.user_id is None
