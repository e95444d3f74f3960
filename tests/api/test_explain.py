"""Explain, and reads of the past, as a caller sees them."""

import time

from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from support.api import SECONDS, Api, refused

NOON = 1_750_000_000
REASON = v1.SeparationReason


def at(seconds: float) -> Timestamp:
    micros = round((NOON + seconds) * 1_000_000)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def device(name: str) -> v1.PersonKey:
    return v1.PersonKey(anonymous_id=name)


def user(name: str) -> v1.PersonKey:
    return v1.PersonKey(user_id=name)


def keep(api: Api, *requests, received: float | None = None) -> list[str]:
    """Keeps messages as received at a time; their person ids."""
    items = []
    for request in requests:
        name = type(request).__name__.removesuffix("Request").lower()
        item = v1.IngestItem(**{name: request})
        if received is not None:
            item.received_at.CopyFrom(at(received))
        items.append(item)
    results = api.ingest(*items, imported=True)
    assert all(result.HasField("receipt") for result in results), results
    return [result.receipt.person_id for result in results]


def explain(api: Api, first, second, as_of: Timestamp | None = None) -> v1.ExplainResponse:
    request = v1.ExplainRequest(first=first, second=second, as_of=as_of)
    return api.persons.Explain(request, timeout=SECONDS)


def track(message_id: str, seconds: float, **ids: str) -> v1.TrackRequest:
    return v1.TrackRequest(message_id=message_id, timestamp=at(seconds), event="e", **ids)


def merge(message_id: str, seconds: float, user_id: str, source: str) -> v1.MergeRequest:
    return v1.MergeRequest(
        message_id=message_id, timestamp=at(seconds), user_id=user_id, previous_user_id=source
    )


def reset(message_id: str, seconds: float, anonymous_id: str) -> v1.ResetRequest:
    return v1.ResetRequest(message_id=message_id, timestamp=at(seconds), anonymous_id=anonymous_id)


def apart(answer: v1.ExplainResponse) -> list[tuple[str, str]]:
    """Reasons and the messages they name."""
    assert not answer.same_person
    assert list(answer.chain) == list(answer.also) == []
    return [
        (REASON.Name(one.reason).removeprefix("SEPARATION_REASON_"), one.evidence.message_id)
        for one in answer.separations
    ]


def test_a_chain_leads_from_device_over_users_to_device(api: Api) -> None:
    keep(
        api,
        track("c1", 0, anonymous_id="c-d1", user_id="c-u1"),
        track("c2", 5, anonymous_id="c-d1", user_id="c-u1"),
        track("c3", 1, anonymous_id="c-d2", user_id="c-u3"),
        merge("c4", 2, "c-u1", "c-u2"),
        merge("c5", 3, "c-u2", "c-u3"),
    )

    answer = explain(api, device("c-d1"), device("c-d2"))

    assert answer.same_person
    assert answer.first_person_id == answer.second_person_id
    assert [
        (step.anonymous_id, step.previous_user_id, step.user_id, step.messages)
        for step in answer.chain
    ] == [("c-d1", "", "c-u1", 2), ("", "c-u2", "c-u1", 1), ("", "c-u3", "c-u2", 1),
          ("c-d2", "", "c-u3", 1)]  # fmt: skip
    step = answer.chain[0]
    assert (step.first.message_id, step.last.message_id) == ("c1", "c2")
    assert (step.first.kind, step.first.timestamp) == (v1.MessageKind.MESSAGE_KIND_TRACK, at(0))
    assert step.sentence == (
        "device 'c-d1' belongs to user 'c-u1': by 2 messages, from track 'c1' of "
        "2025-06-15 15:06:40 UTC to track 'c2' of 2025-06-15 15:06:45 UTC"
    )
    assert all(step.sentence in answer.sentence for step in answer.chain)
    assert not answer.also
    assert not answer.separations


def test_further_pairs_that_would_join_the_two_are_named(api: Api) -> None:
    keep(
        api,
        track("f1", 0, anonymous_id="f-d", user_id="f-u2"),
        track("f2", 1, anonymous_id="f-d", user_id="f-u1"),
        merge("f3", 2, "f-u1", "f-u2"),
    )

    answer = explain(api, device("f-d"), user("f-u2"))

    assert [(s.anonymous_id, s.previous_user_id, s.user_id) for s in answer.chain] == [
        ("f-d", "", "f-u1"),
        ("", "f-u2", "f-u1"),
    ]
    assert [(s.anonymous_id, s.user_id) for s in answer.also] == [("f-d", "f-u2")]


def test_a_person_id_stands_for_its_user_or_segment(api: Api) -> None:
    (segment,) = keep(api, track("p1", 0, anonymous_id="p-d"))
    (person,) = keep(api, track("p2", 1, anonymous_id="p-d", user_id="p-u"))

    answer = explain(api, v1.PersonKey(person_id=segment), v1.PersonKey(person_id=person))

    assert [(step.anonymous_id, step.user_id) for step in answer.chain] == [("p-d", "p-u")]
    assert "first segment of device 'p-d'" in answer.sentence


def test_an_id_and_itself_are_one_person_without_a_chain(api: Api) -> None:
    keep(api, track("i1", 0, anonymous_id="i-d"), track("i2", 0, user_id="i-u"))

    for key in (device("i-d"), user("i-u")):
        answer = explain(api, key, key)
        assert answer.same_person
        assert list(answer.chain) == list(answer.also) == list(answer.separations) == []


def test_where_no_message_names_both_it_says_so(api: Api) -> None:
    keep(api, track("n1", 0, anonymous_id="n-d"), track("n2", 0, user_id="n-u"))

    assert apart(explain(api, device("n-d"), user("n-u"))) == [("NO_CLAIM", "")]
    assert apart(explain(api, user("n-u"), device("n-d"))) == [("NO_CLAIM", "")]


def test_another_owner_is_named_by_the_claim_that_switched_the_device(api: Api) -> None:
    keep(
        api,
        track("o1", 0, anonymous_id="o-d", user_id="o-u1"),
        track("o2", 1, anonymous_id="o-d", user_id="o-u2"),
        track("o3", 2, anonymous_id="o-d", user_id="o-u2"),
    )

    assert apart(explain(api, device("o-d"), user("o-u1"))) == [("OTHER_OWNER", "o2")]
    assert apart(explain(api, user("o-u1"), user("o-u2"))) == [("OTHER_OWNER", "o2")]


def test_a_reset_between_is_named(api: Api) -> None:
    keep(
        api,
        track("r1", 0, anonymous_id="r-d", user_id="r-u1"),
        reset("r2", 1, "r-d"),
        track("r3", 2, anonymous_id="r-d"),
    )

    assert apart(explain(api, device("r-d"), user("r-u1"))) == [("RESET_BETWEEN", "r2")]

    keep(api, track("r4", 3, anonymous_id="r-d", user_id="r-u2"))

    both = [("OTHER_OWNER", "r4"), ("RESET_BETWEEN", "r2")]
    assert apart(explain(api, device("r-d"), user("r-u1"))) == both
    assert apart(explain(api, user("r-u1"), user("r-u2"))) == [("RESET_BETWEEN", "r2")]


def test_an_unlink_is_named_with_its_reason(api: Api) -> None:
    keep(
        api,
        track("x1", 0, anonymous_id="x-d", user_id="x-u1"),
        merge("x2", 1, "x-u1", "x-u2"),
        merge("x0", 1, "x-u3", "x-u2"),
    )
    parted = v1.UnlinkRequest(
        message_id="x3", timestamp=at(2), user_id="x-u2", previous_user_id="x-u1",
        reason="a typing error",
    )  # fmt: skip
    keep(api, parted)

    answer = explain(api, device("x-d"), user("x-u2"))

    assert apart(answer) == [("UNLINKED", "x3")]
    assert "a typing error" in answer.sentence
    assert explain(api, device("x-d"), user("x-u1")).same_person

    keep(api, v1.UnlinkRequest(
        message_id="x4", timestamp=at(2), user_id="x-u1", anonymous_id="x-d",
    ))  # fmt: skip

    gone = explain(api, device("x-d"), user("x-u1"))
    assert apart(gone) == [("UNLINKED", "x4")]
    assert gone.first_person_id == "", "no message in force names the device"

    keep(api, track("x5", 3, anonymous_id="x-d"))

    answer = explain(api, device("x-d"), user("x-u1"))
    assert apart(answer) == [("UNLINKED", "x4")]
    assert answer.first_person_id
    both = [("UNLINKED", "x3"), ("UNLINKED", "x4")]
    assert sorted(apart(explain(api, device("x-d"), user("x-u2")))) == both


def test_a_rule_is_named_where_a_message_has_both_ids_and_claims_nothing(api: Api) -> None:
    own = v1.AliasRequest(
        message_id="y1", timestamp=at(0), user_id="y-u", anonymous_id="y-d1",
        previous_anonymous_id="y-d2",
    )  # fmt: skip
    itself = v1.AliasRequest(
        message_id="y2", timestamp=at(0), user_id="y-u", previous_anonymous_id="y-u"
    )
    logout = v1.ResetRequest(message_id="y3", timestamp=at(0), anonymous_id="y-d3", user_id="y-u")
    keep(api, own, itself, logout)
    keep(api, *(track(f"y-{name}", 1, anonymous_id=name) for name in ("y-d1", "y-u", "y-d3")))

    assert apart(explain(api, device("y-d1"), user("y-u"))) == [("RULE", "y1")]
    assert apart(explain(api, device("y-u"), user("y-u"))) == [("RULE", "y2")]
    assert apart(explain(api, device("y-d3"), user("y-u"))) == [("RULE", "y3")]
    assert explain(api, device("y-d2"), user("y-u")).same_person


def test_an_unknown_id_is_told_by_its_field(api: Api) -> None:
    keep(api, track("k1", 0, user_id="k-u"))

    for first, second, field in (
        (user("k-none"), user("k-u"), "first"),
        (user("k-u"), device("k-none"), "second"),
        (user("k-none"), user("k-none"), "first"),
    ):
        refusal = refused(explain, api, first, second)
        assert (refusal.code.name, refusal.reason) == ("NOT_FOUND", "PERSON_NOT_FOUND")
        assert refusal.field == field
    refusal = refused(explain, api, user("k-u"), v1.PersonKey())
    assert (refusal.reason, refusal.field) == ("ID_REQUIRED", "second")


def test_the_past_is_what_had_been_received_by_then(api: Api) -> None:
    identify = v1.IdentifyRequest(
        message_id="t2", timestamp=at(-10), anonymous_id="t-d", user_id="t-u",
        traits_json='{"plan":"pro"}',
    )  # fmt: skip
    keep(api, track("t1", 0, anonymous_id="t-d"), received=100)
    keep(api, identify, received=200)

    def person(seconds: float, key: v1.PersonKey) -> v1.Person:
        form = v1.PayloadForm.PAYLOAD_FORM_JSON
        request = v1.GetPersonRequest(key=key, as_of=at(seconds), form=form)
        return api.persons.GetPerson(request, timeout=SECONDS).person

    assert refused(person, 99.999999, device("t-d")).reason == "PERSON_NOT_FOUND"
    assert person(100, device("t-d")).user_id == ""
    assert refused(person, 199.999999, user("t-u")).reason == "PERSON_NOT_FOUND"
    assert person(200, device("t-d")).traits_json == '{"plan":"pro"}'
    assert person(200, user("t-u")) == api.person(user_id="t-u")
    assert apart_or_joined(api, 200) == "joined"
    assert refused(explain, api, device("t-d"), user("t-u"), at(150)).field == "second"


def apart_or_joined(api: Api, seconds: float) -> str:
    answer = explain(api, device("t-d"), user("t-u"), at(seconds))
    return "joined" if answer.same_person else "apart"


def test_a_batch_and_a_timeline_are_read_as_of_a_time_too(api: Api) -> None:
    for number in range(5):
        keep(api, track(f"b{number}", number, user_id="b-u"), received=number)
    keys = [user("b-u"), user("b-none")]
    batch = v1.BatchGetPersonsRequest(keys=keys, as_of=at(3))
    listed = v1.ListMessagesRequest(key=user("b-u"), as_of=at(3), page_size=3)

    results = api.persons.BatchGetPersons(batch, timeout=SECONDS).results
    pages = [[message.message_id for message in page] for page in api.pages(listed)]

    assert [result.HasField("person") for result in results] == [True, False]
    assert results[0].person.last_seen == at(3)
    assert pages == [["b0", "b1", "b2"], ["b3"]]


def test_a_page_token_is_bound_to_the_time(api: Api) -> None:
    keep(api, *(track(f"g{number}", number, user_id="g-u") for number in range(3)))
    now = Timestamp(seconds=int(time.time()) + 60)
    request = v1.ListMessagesRequest(key=user("g-u"), as_of=now, page_size=1)
    request.page_token = api.persons.ListMessages(request, timeout=SECONDS).next_page_token

    request.ClearField("as_of")

    assert refused(api.persons.ListMessages, request).reason == "PAGE_TOKEN_INVALID"


def test_a_time_out_of_range_is_refused(api: Api) -> None:
    beyond = Timestamp(nanos=-1)
    calls = (
        (api.persons.GetPerson, v1.GetPersonRequest(key=user("u"), as_of=beyond)),
        (api.persons.BatchGetPersons, v1.BatchGetPersonsRequest(as_of=beyond)),
        (api.persons.ListMessages, v1.ListMessagesRequest(key=user("u"), as_of=beyond)),
        (api.persons.Explain,
         v1.ExplainRequest(first=user("u"), second=user("u"), as_of=beyond)),
    )  # fmt: skip

    for call, request in calls:
        refusal = refused(call, request)
        assert (refusal.reason, refusal.field) == ("TIMESTAMP_INVALID", "as_of")
