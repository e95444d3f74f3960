import pytest

from sameas import v1
from sameas._framing import framed, item_of

ITEMS = [
    v1.IngestItem(identify=v1.IdentifyRequest(message_id="m", user_id="u")),
    v1.IngestItem(alias=v1.AliasRequest(message_id="m", user_id="u", previous_user_id="v")),
    v1.IngestItem(track=v1.TrackRequest(message_id="m", user_id="u", event="E")),
    v1.IngestItem(reset=v1.ResetRequest(message_id="m", anonymous_id="a")),
    v1.IngestItem(update_profile=v1.UpdateProfileRequest(message_id="m", user_id="u")),
    v1.IngestItem(track=v1.TrackRequest()),
]


def call_of(item):
    return getattr(item, item.WhichOneof("call"))


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.WhichOneof("call"))
def test_a_framed_call_is_a_batch_with_its_item_alone(item):
    body = framed(call_of(item))

    assert body == v1.IngestRequest(items=[item]).SerializeToString()
    assert item_of(body) == item


@pytest.mark.parametrize("size", [0x7F, 0x80, 0x3FFF, 0x4000, 0x1F_FFFF, 0x20_0000])
def test_a_frame_has_the_length_of_any_call(size):
    # Tags and lengths come on top of the text, so somewhere here each length is crossed.
    for length in range(size - 12, size + 1):
        item = v1.IngestItem(track=v1.TrackRequest(event="x" * length))

        assert framed(item.track) == v1.IngestRequest(items=[item]).SerializeToString()


def test_joined_frames_are_one_batch():
    joined = b"".join(framed(call_of(item)) for item in ITEMS)

    assert list(v1.IngestRequest.FromString(joined).items) == ITEMS
