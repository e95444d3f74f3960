"""Sorting in files, and joining what is sorted."""

import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sameas_service.resolver.maintain import external_sort
from sameas_service.resolver.maintain.external_sort import ROW_BYTES, Sorter, paired

cells = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=3))
rows = st.lists(
    st.tuples(st.integers(0, 3), st.text("aé😀\x00\n", max_size=3), cells, cells),
    max_size=60,
    unique_by=lambda row: row[:2],
)


@pytest.fixture
def tiny(monkeypatch):
    """Runs of two rows, merged by threes, so that few rows make files upon files."""
    monkeypatch.setattr(external_sort, "RUN_BYTES", 2 * ROW_BYTES)
    monkeypatch.setattr(external_sort, "FAN_IN", 3)


@given(given_rows=rows)
def test_what_fits_one_run_comes_out_sorted_without_a_file(given_rows):
    with pytest.MonkeyPatch.context() as patch, Sorter() as sorter:
        patch.setattr(tempfile, "TemporaryFile", None)
        for row in given_rows:
            sorter.add(row)

        assert list(sorter) == list(sorter) == sorted(given_rows)
        assert len(sorter) == len(given_rows)


@given(given_rows=rows, chunks=st.integers(1, 9), run=st.integers(1, 9), fan_in=st.integers(2, 5))
def test_runs_of_any_size_are_merged(given_rows, chunks, run, fan_in):
    with pytest.MonkeyPatch.context() as patch, Sorter() as sorter:
        patch.setattr(external_sort, "RUN_BYTES", run * ROW_BYTES)
        patch.setattr(external_sort, "RUN_CHUNKS", chunks)
        patch.setattr(external_sort, "FAN_IN", fan_in)
        half = len(given_rows) // 2
        for row in given_rows[:half]:
            sorter.add(row)
        sorter.extend(given_rows[half:])

        assert list(sorter) == list(sorter) == sorted(given_rows)
        assert all(type(row) is tuple for row in sorter)
        assert len(sorter) == len(given_rows)


def test_rows_may_follow_after_a_reading(tiny):
    with Sorter() as sorter:
        for number in (5, 3, 9):
            sorter.add((number,))
        assert list(sorter) == [(3,), (5,), (9,)]
        sorter.add((4,))

        assert list(sorter) == [(3,), (4,), (5,), (9,)]


def test_there_are_never_more_files_than_runs_that_wait_to_be_merged(tiny, monkeypatch):
    files = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda **how: files.append(make(**how)) or files[-1]
    )
    with Sorter() as sorter:
        for number in range(2 * 3**4):
            sorter.add((number,))
            assert sum(not file.closed for file in files) <= 2 * 4

        assert list(sorter) == [(number,) for number in range(2 * 3**4)]
    assert files
    assert all(file.closed for file in files)


def test_long_text_makes_a_run_full_and_a_chunk_short(monkeypatch):
    monkeypatch.setattr(external_sort, "RUN_BYTES", 100 * ROW_BYTES)
    monkeypatch.setattr(external_sort, "RUN_CHUNKS", 10)
    with Sorter() as sorter:
        for number in range(50):
            sorter.add((number, "x" * 9 * ROW_BYTES))

        assert max(map(len, sorter.chunks())) <= 1
        assert len(list(sorter)) == 50


def test_files_are_made_where_tmpdir_says(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    dirs = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda **how: dirs.append(tempfile.gettempdir()) or make(**how)
    )
    with Sorter() as sorter:
        sorter.extend([(2,), (1,)])

        assert list(sorter) == [(1,), (2,)]
    assert dirs == [str(tmp_path)]


@given(left=rows, right=rows)
def test_a_join_pairs_equal_keys_and_leaves_none_out(left, right):
    found = list(paired(sorted(left), iter(sorted(right)), 2))

    lefts, rights = ({row[:2]: row for row in side} for side in (left, right))
    assert found == [
        (lefts.get(key), rights.get(key)) for key in sorted(lefts.keys() | rights.keys())
    ]


def test_a_join_by_one_cell_asks_for_the_next_row_after_the_last_was_used():
    asked = []

    def numbered():
        for number in range(3):
            asked.append(number)
            yield (number,)

    for (number,), other in paired(numbered(), iter([]), 1):
        assert (asked[-1], other) == (number, None)
