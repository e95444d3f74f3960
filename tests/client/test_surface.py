import inspect
import subprocess
import sys

import pytest

import sameas
from sameas import (
    AsyncClient,
    AsyncPreviews,
    AsyncSession,
    Buffer,
    Client,
    Pairs,
    Previews,
    Session,
    Writes,
)

CALLS = {
    "identify", "alias", "track", "page", "screen", "group", "reset", "update_profile",
    "merge", "unlink", "ingest", "ingest_batch", "person", "persons", "messages", "explain",
    "watch_changes", "close",
}  # fmt: skip
PREVIEWED = {
    "identify", "alias", "track", "page", "screen", "group", "reset", "update_profile",
    "merge", "unlink",
}  # fmt: skip


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_")}


def parameters(cls, name):
    return list(inspect.signature(getattr(cls, name)).parameters.values())


def test_everything_that_is_exported_exists_and_the_list_is_sorted():
    assert all(hasattr(sameas, name) for name in sameas.__all__)
    assert len(set(sameas.__all__)) == len(sameas.__all__)


def test_every_error_of_the_tree_is_exported():
    errors = [
        each for each in vars(sameas.errors).values()
        if inspect.isclass(each) and issubclass(each, sameas.SameasError)
    ]  # fmt: skip

    assert {each.__name__ for each in errors} <= set(sameas.__all__)
    assert all(each.__name__ in (sameas.errors.__doc__ or "") for each in errors)


def test_both_clients_have_the_same_calls():
    assert public(Client) == CALLS | {"buffer", "preview"}
    assert public(AsyncClient) == CALLS | {"preview"}
    assert public(Previews) == public(AsyncPreviews) == PREVIEWED


@pytest.mark.parametrize("name", sorted(CALLS | {"__init__"}))
def test_a_call_has_the_same_parameters_in_both_clients(name):
    ours, theirs = parameters(Client, name), parameters(AsyncClient, name)

    assert [p.name for p in ours] == [p.name for p in theirs]
    assert [p.kind for p in ours] == [p.kind for p in theirs]
    assert [p.default for p in ours] == [p.default for p in theirs]


def test_both_sessions_have_the_same_calls_with_the_same_parameters():
    assert public(Session) == public(AsyncSession)
    for name in ("identify", "reset"):
        ours, theirs = parameters(Session, name), parameters(AsyncSession, name)
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_client_and_buffer_share_the_writing_calls():
    assert issubclass(Client, Writes)
    assert issubclass(AsyncClient, Writes)
    assert issubclass(Buffer, Writes)


def test_what_the_server_dates_is_no_message_of_a_batch():
    for each in (Client, AsyncClient, Previews, AsyncPreviews):
        assert issubclass(each, Pairs)
    assert not issubclass(Buffer, Pairs)
    assert not {"timestamp", "context"} & {
        p.name for name in ("merge", "unlink") for p in parameters(Pairs, name)
    }


def test_a_misspelt_keyword_is_an_error_and_is_not_ignored(recorder):
    with pytest.raises(TypeError, match="mesage_id"):
        recorder.track("Signed Up", user_id="u-1", mesage_id="m-1")


def test_importing_the_package_starts_nothing_and_needs_only_grpc():
    script = (
        "import sys, threading, sameas; "
        "assert threading.active_count() == 1; "
        "assert not {'orjson', 'sqlite3', 'sameas_service'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
