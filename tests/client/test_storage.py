import json
import logging
import stat

import pytest

from sameas import JsonFileStorage, MappingStorage, MemoryStorage
from sameas.storage import as_storage

STATE = {"anonymous_id": "a-1", "user_id": None, "traits": {"tags": ["x"]}}


@pytest.fixture(params=["memory", "file", "mapping"])
def storage(request, tmp_path):
    if request.param == "memory":
        return MemoryStorage()
    return JsonFileStorage(tmp_path / "s.json") if request.param == "file" else MappingStorage({})


def test_a_new_storage_has_nothing(storage):
    assert storage.load() is None


def test_what_was_saved_last_is_loaded(storage):
    storage.save({"anonymous_id": "a-0"})
    storage.save(STATE)

    assert storage.load() == STATE


def test_a_cleared_storage_has_nothing_and_may_be_cleared_again(storage):
    storage.save(STATE)

    storage.clear()
    storage.clear()

    assert storage.load() is None


def test_memory_shares_nothing_with_its_callers():
    storage = MemoryStorage()
    state = {"traits": {"tags": ["x"]}}
    storage.save(state)
    state["traits"]["tags"].append("y")
    storage.load()["traits"]["tags"].append("z")

    assert storage.load() == {"traits": {"tags": ["x"]}}


def test_a_file_survives_a_restart_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "s.json"
    JsonFileStorage(path).save(STATE)

    assert JsonFileStorage(path).load() == STATE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "s.json"]


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path):
    storage = JsonFileStorage(tmp_path / "s.json")
    storage.save(STATE)

    with pytest.raises(TypeError):
        storage.save({"anonymous_id": object()})

    assert storage.load() == STATE
    assert list(tmp_path.iterdir()) == [tmp_path / "s.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_counts_as_empty_with_a_warning(tmp_path, caplog, content):
    path = tmp_path / "s.json"
    path.write_bytes(content)

    with caplog.at_level(logging.WARNING, "sameas"):
        assert JsonFileStorage(path).load() is None

    assert "not JSON" in caplog.text


def test_a_mapping_keeps_the_state_under_one_key_and_leaves_the_others():
    mapping = {"csrf": "t"}
    storage = MappingStorage(mapping, key="visitor")
    storage.save(STATE)

    assert mapping == {"csrf": "t", "visitor": STATE}
    assert json.loads(json.dumps(mapping)) == mapping
    storage.clear()
    assert mapping == {"csrf": "t"}


def test_a_mapping_is_wrapped_and_a_storage_is_not():
    memory = MemoryStorage()

    assert as_storage(memory) is memory
    assert isinstance(as_storage({}), MappingStorage)


def test_a_framework_session_with_methods_named_like_ours_counts_as_a_mapping():
    class DjangoLike:
        def __init__(self):
            self.items = {}

        def get(self, key, default=None):
            return self.items.get(key, default)

        def __setitem__(self, key, value):
            self.items[key] = value

        def save(self, must_create=False):  # noqa: ARG002
            raise AssertionError

        load = clear = save

    session = DjangoLike()
    as_storage(session).save(STATE)

    assert session.items == {"sameas": STATE}
