import gzip
import io
import os
import threading
from functools import partial

import pytest

from sameas_service.cli import reading
from sameas_service.cli.reading import LINE_BYTES_MAX, SourceError, open_source

zipped = partial(gzip.compress, mtime=0)
"""Without the time of day in it: the same bytes in every process."""


def lines_of(path):
    with open_source(str(path)) as source:
        return [(line.number, line.content) for line in source]


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "lines"
        path.write_bytes(content)
        return path

    return write


def test_lines_are_numbered_as_editors_do_and_blank_ones_are_left_out(file):
    path = file(b'{"a":1}\n\n  \r\n{"b":2}\r\n{"c":3}')

    assert lines_of(path) == [(1, b'{"a":1}\n'), (4, b'{"b":2}\r\n'), (5, b'{"c":3}')]


def test_gzip_is_known_by_its_first_bytes_not_by_its_name(file):
    members = zipped(b"1\n2\n") + zipped(b"3\n")

    assert lines_of(file(members)) == [(1, b"1\n"), (2, b"2\n"), (3, b"3\n")]


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", zipped(b"")], ids=["no bytes", "blank lines", "gzip of no bytes"]
)
def test_an_empty_file_has_no_lines(file, content):
    assert lines_of(file(content)) == []


@pytest.mark.parametrize("content", [b"1", b"12", b"\x1f"], ids=["1", "12", "1f"])
def test_a_file_shorter_than_the_magic_bytes_is_plain(file, content):
    assert lines_of(file(content)) == [(1, content)] if content.strip() else []


def test_a_byte_order_mark_is_not_part_of_the_first_line(file):
    assert lines_of(file(b"\xef\xbb\xbf1\n2\n")) == [(1, b"1\n"), (2, b"2\n")]


def test_a_line_of_one_mebibyte_is_read_and_a_longer_one_is_passed_over(file):
    longest = b"x" * LINE_BYTES_MAX
    path = file(longest + b"\n" + longest + b"x\n" + longest * 3 + b"\n4\n" + longest + b"x")

    numbers = [(number, content and len(content)) for number, content in lines_of(path)]

    assert numbers == [(1, LINE_BYTES_MAX + 1), (2, None), (3, None), (4, 2), (5, None)]


@pytest.mark.parametrize("compress", [bytes, zipped], ids=["plain", "gzip"])
def test_the_progress_is_that_of_the_file_on_the_disk(file, compress):
    content = compress(b"".join(b"%d\n" % number for number in range(200_000)))

    with open_source(str(file(content))) as source:
        seen = [source.bytes_read for _ in source]

    assert source.bytes_total == source.bytes_read == len(content)
    assert seen == sorted(seen)
    assert seen[0] < len(content)


@pytest.mark.parametrize("compress", [bytes, zipped], ids=["plain", "gzip"])
def test_standard_input_is_read_and_left_open(monkeypatch, compress):
    stdin = io.TextIOWrapper(io.BytesIO(compress(b"1\n2\n")))
    monkeypatch.setattr("sys.stdin", stdin)

    assert lines_of(reading.STANDARD_INPUT) == [(1, b"1\n"), (2, b"2\n")]
    assert not stdin.buffer.closed


def test_a_pipe_that_trickles_is_known_as_gzip_and_has_no_size(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = zipped(b"1\n2\n")

    def trickle():
        with pipe.open("wb", buffering=0) as end:
            for byte in content:
                end.write(bytes([byte]))

    writer = threading.Thread(target=trickle)
    writer.start()
    with open_source(str(pipe)) as source:
        lines = [line.content for line in source]
        assert source.bytes_total is None
    writer.join()

    assert lines == [b"1\n", b"2\n"]


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"absent.jsonl cannot be read: No such file"):
        lines_of(tmp_path / "absent.jsonl")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(SourceError, match="Is a directory"):
        lines_of(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [lambda gz: gz[:-9], lambda gz: gz[:40] + b"xxxx" + gz[44:]],
    ids=["cut off", "overwritten"],
)
def test_a_damaged_gzip_file_is_refused_where_it_cannot_be_read(file, damage):
    content = zipped(b"".join(b"%d\n" % number for number in range(1_000)))

    with pytest.raises(SourceError, match="cannot be read any further"):
        lines_of(file(damage(content)))
