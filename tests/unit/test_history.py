"""What an answer about the past costs: no more than a bound."""

import pytest

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.resolver.facts import PersonKey
from sameas_service.resolver.read import history
from support.stored import stored

T0 = 1_700_000_000_000_000


def test_an_answer_from_too_many_messages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "HISTORY_MESSAGES_MAX", 3)
    monkeypatch.setattr(history, "_CHUNK", 2)
    messages = [accept(Call(Kind.TRACK, f"m{n}", T0 + n, user_id="u", event="e")) for n in range(4)]
    key = PersonKey("user", "u")
    with stored([messages], Rules()) as held:
        (view,) = held.persons([key], T0 + 2)
        with pytest.raises(Refused) as refused:
            held.persons([key], T0 + 3)

    assert view is not None
    assert view.last_seen == T0 + 2
    assert refused.value.reason is Reason.HISTORY_TOO_LARGE
    assert refused.value.metadata == {"max_messages": "3"}
