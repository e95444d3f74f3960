"""The buffer comes again no sooner than an overloaded server asked it to."""

import pytest

import sameas
from sameas import Client, v1
from sameas._delivery import Delivery
from sameas._framing import framed
from sameas._outbox import BufferOptions, Entry


class Busy(Client):
    """Has no server: each failure is raised once, then all is taken."""

    def __init__(self, *failures: sameas.SameasError) -> None:
        self.failures = list(failures)

    def ingest_batch(self, request, **_):
        if self.failures:
            raise self.failures.pop(0)
        results = [v1.IngestResult(receipt=v1.Receipt()) for _ in request.items]
        return v1.IngestResponse(results=results)


@pytest.mark.parametrize(("asked", "least", "most"), [(1.2, 1.2, 1.2), (None, 0.1, 0.2)])
def test_a_batch_is_sent_again_when_the_server_said(monkeypatch, asked, least, most) -> None:
    overloaded = sameas.Overloaded("too many calls wait")
    overloaded.retry_seconds = asked
    delivery = Delivery(Busy(overloaded), BufferOptions(), on_error=None)
    pauses: list[float] = []
    monkeypatch.setattr(delivery, "_sleep", pauses.append)

    delivery.deliver([Entry("m-1", framed(v1.TrackRequest(user_id="u-1", event="E")))])

    assert delivery.report(0).accepted == 1
    (pause,) = pauses
    assert least <= pause <= most
