"""Random histories over few ids, so that everything that can clash does."""

import json

from hypothesis import strategies as st

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.errors import Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message

T0 = 1_700_000_000_000_000
MINUTE = 60_000_000
GAP = 30 * MINUTE

DEVICES = ["d1", "d2", "d3"]
USERS = ["u1", "u2", "u3"]
TRAITS = ["plan", "n", "tags"]

# Dense ties, neighbours just within and just beyond the session gap, and long pauses.
offsets = st.one_of(
    st.integers(0, 6).map(lambda n: n * 10 * MINUTE),
    st.integers(0, 4).map(lambda n: n * GAP),
    st.integers(0, 4).map(lambda n: n * GAP + n),
    st.integers(0, 3),
)
devices = st.sampled_from(DEVICES)
users = st.sampled_from(USERS)
scalars = st.sampled_from([1, 2, 0.1, 0.2, 1e300, "a", "b", True, None])
values = st.one_of(scalars, st.lists(scalars, max_size=3))
traits = st.sampled_from(TRAITS)
operations = st.fixed_dictionaries(
    {},
    optional={
        "set": st.dictionaries(traits, values, min_size=1, max_size=2),
        "setOnce": st.dictionaries(traits, values, min_size=1, max_size=2),
        "unset": st.lists(traits, min_size=1, max_size=2),
        "increment": st.dictionaries(
            traits, st.sampled_from([1, -2, 0.1, 0.2, 1e300, 2**52]), min_size=1, max_size=2
        ),
        "append": st.dictionaries(traits, scalars, min_size=1, max_size=2),
        "union": st.dictionaries(traits, st.lists(scalars, max_size=3), min_size=1, max_size=2),
        "remove": st.dictionaries(traits, scalars, min_size=1, max_size=2),
    },
).filter(bool)
maybe_devices = st.one_of(st.just(""), devices)
maybe_users = st.one_of(st.just(""), st.just(""), users)


@st.composite
def calls(draw: st.DrawFn, index: int = 0, links: bool = True) -> Call:
    """One call of any kind, or an invalid one."""
    kinds = [Kind.TRACK, Kind.TRACK, Kind.TRACK, Kind.IDENTIFY, Kind.IDENTIFY]
    kinds += [Kind.PROFILE, Kind.PROFILE, Kind.RESET, Kind.ALIAS]
    if links:
        kinds += [Kind.MERGE, Kind.UNLINK, Kind.UNLINK]
    kind = draw(st.sampled_from(kinds))
    fields = {
        "kind": kind,
        "message_id": f"{draw(st.sampled_from('abcdef'))}{index}",
        "received_at": T0 + index,
        "client_time": T0 + draw(offsets),
        "anonymous_id": draw(maybe_devices),
        "user_id": draw(maybe_users),
        "imported": True,
    }
    if kind is Kind.TRACK:
        fields["event"] = "e"
    elif kind is Kind.IDENTIFY:
        fields["payload"] = json.dumps(draw(st.dictionaries(traits, values, max_size=2)))
    elif kind is Kind.PROFILE:
        fields["payload"] = json.dumps(draw(operations))
    elif kind is Kind.RESET:
        fields["anonymous_id"] = draw(devices)
    elif kind is Kind.ALIAS:
        fields["user_id"] = draw(users)
        if draw(st.booleans()) and links:
            fields["previous_user_id"] = draw(users)
        else:
            fields["previous_anonymous_id"] = draw(devices)
    elif kind is Kind.UNLINK and draw(st.booleans()):
        fields["user_id"], fields["anonymous_id"] = draw(users), draw(devices)
    else:
        fields["user_id"], fields["previous_user_id"] = draw(users), draw(users)
        fields["anonymous_id"] = ""
    return Call(**fields)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 14) -> list[Message]:
    """Accepted messages with ids of their own, in no particular order."""
    size = draw(st.integers(1, max_size))
    messages = []
    for index in range(size):
        try:
            messages.append(accept(draw(calls(index))))
        except Refused:
            continue
    return messages
