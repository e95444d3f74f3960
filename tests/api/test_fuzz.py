"""Whatever the bytes, a call ends with a documented code, and the tables stay right."""

import random
from collections import Counter
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from sameas_service.domain.derive import Rules
from support.api import METHODS, STREAM, Api, connected, item_of, refusal_of
from support.bad_calls import BAD_CALLS, struct
from support.good_calls import AT_THE_LIMIT
from support.ledgers import left_behind
from support.worlds import expected_dump

SEED = 20_261_121
CALLS_PER_METHOD = 200
STREAMED = 60

ALLOWED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
}
GOOD_IDS = ["", "u1", "u2", "d1", "d2"]
IDS = [*GOOD_IDS * 4, "é", "null", "a@b.co", "x" * 257, "a\x00b", "\u202e", "😀" * 64]
OBJECTS = [
    "", "{}", '{"a":1}', '{"n":[2.5,null,true]}', '{"":""}', '{"a":-0.0}', '{"a":1,"a":2}',
    '{"a":5e-324}', '{"\\u0000":"\\u0000"}',
]  # fmt: skip
OPERATIONS = [
    '{"set":{"n":1}}', '{"increment":{"n":0.1}}', '{"append":{"n":[]}}', '{"union":{"n":[1,1]}}',
    '{"unset":["n"]}', '{"remove":{"n":null}}', '{"setOnce":{"n":{"a":[]},"\\u0000":1}}',
]  # fmt: skip
NO_OBJECTS = ["[]", "x", '{"a":1e308}', "[" * 3_000, '{"a":"\\udc00"}', '{"a":"\x00"}', "null"]
STRUCTS = [{}, {"a": 1}, {"n": [1, {"b": None}]}, {"": ""}, {"a": 2.0**60}, {"\x00": "\x00"}]
NUMBERS = [0, 0, 3, 4, 1, -1, 2**31 - 1, -(2**31)]
GOOD_TIMES = [946_684_800, 1_750_000_000, 1_750_001_000]
TIMES = [*GOOD_TIMES * 4, 0, 1, -1, 253_402_300_799, 2**63 - 1, -(2**63)]


class Fuzz:
    """Random requests, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0

    def data(self, cls: Any) -> bytes:
        """A request: noise, a filled one, or a filled one with some bytes changed."""
        how = self._random.random()
        if how < 0.15:
            return self._random.randbytes(self._random.randrange(200))
        data = self.request(cls).SerializeToString()
        return data if how < 0.6 else self.mutated(data)

    def mutated(self, data: bytes) -> bytes:
        """The bytes with some flipped, cut out, doubled or put in."""
        data = bytearray(data)
        for _ in range(self._random.randint(1, 4)):
            at = self._random.randrange(len(data) + 1)
            to = min(len(data), at + self._random.choice([0, 1, 1, 2, 9]))
            piece = self._random.choice([b"", self._random.randbytes(1), bytes(data[at:to]) * 2])
            data[at:to] = piece
        return bytes(data)

    def request(self, cls: Any) -> Any:
        """A request with some of its fields filled."""
        if cls is v1.IngestRequest:
            return v1.IngestRequest(
                items=[self._item() for _ in range(self._random.randrange(10))],
                imported=self._random.random() < 0.3,
            )
        request = cls()
        for field in cls.DESCRIPTOR.fields:
            if self._random.random() < 0.6:
                self._fill(request, field)
        return request

    def _item(self) -> v1.IngestItem:
        if self._random.random() < 0.3:
            return item_of(self._random.choice(AT_THE_LIMIT)[1])
        if self._random.random() < 0.2:
            return item_of(self._random.choice(BAD_CALLS).request)
        return self.request(v1.IngestItem)

    def _fill(self, request: Any, field: Any) -> None:
        pick = self._random.choice
        name = field.name
        if name == "message_id":
            self._number += 1
            value: Any = pick(["", "m1", f"m{self._number}", f"m{self._number}", "m\x7f"])
        elif field.message_type is None:
            value = pick(NUMBERS) if field.cpp_type != field.CPPTYPE_STRING else self._text(name)
        elif field.message_type.full_name == "google.protobuf.Timestamp":
            value = Timestamp(seconds=pick(TIMES), nanos=pick([0, 0, 0, 0, 1, 999_999_999, -1]))
        elif field.message_type.full_name == "google.protobuf.Struct":
            value = struct(pick(STRUCTS))
        elif field.message_type.GetOptions().map_entry:
            value = {pick(["n", "m", ""]): pick([1.0, 0.1, -2.0, float("nan"), 1e18])}
        else:
            value = self.request(getattr(v1, field.message_type.name))
        if field.is_repeated and not isinstance(value, dict):
            value = [value] * pick([1, 1, 2])
        # The constructor takes every kind of field alike.
        request.MergeFrom(type(request)(**{name: value}))

    def _text(self, name: str) -> str:
        if name == "operations_json":
            return self._random.choice([*OPERATIONS * 3, *NO_OBJECTS])
        if name.endswith("json"):
            return self._random.choice([*OBJECTS * 4, *OPERATIONS, *NO_OBJECTS])
        return self._random.choice(IDS)


def outcome(api: Api, method: str, data: bytes) -> grpc.StatusCode:
    try:
        api.raw(method, data)
    except grpc.RpcError as error:
        refusal_of(error)
        return error.code()
    return grpc.StatusCode.OK


def streamed(api: Api, fuzz: Fuzz) -> list[v1.IngestStreamResponse]:
    data = [fuzz.data(v1.IngestStreamRequest) for _ in range(STREAMED)]
    stream = api.channel.stream_stream(STREAM, None, v1.IngestStreamResponse.FromString)
    return list(stream(iter(data), timeout=30))


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_no_bytes_end_in_a_code_that_is_not_documented_or_break_the_tables(
    fresh_server, seed: int
) -> None:
    fuzz = Fuzz(seed)
    found = Counter()

    with connected(fresh_server.target) as api:
        for _ in range(CALLS_PER_METHOD):
            for method, cls in METHODS.items():
                data = fuzz.data(cls)
                code = outcome(api, method, data)
                found[code] += 1
                assert code in ALLOWED, (
                    f"{code} for {method} with {data!r}\n{fresh_server.log()[-3000:]}"
                )
        responses = streamed(api, fuzz)
    fresh_server.stop()
    messages, dumped = left_behind(fresh_server.data)

    assert len(responses) == STREAMED
    assert min(found[code] for code in ALLOWED) > 0, found
    assert "internal error" not in fresh_server.log()
    assert "Traceback" not in fresh_server.log()
    assert len(messages) > 150
    assert dumped == expected_dump(messages, Rules())
