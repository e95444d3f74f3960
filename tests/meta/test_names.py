"""One name for a thing: the protos, the rules and the client agree on names and numbers."""

import pytest

import sameas
from sameas import v1
from sameas_service.domain.changes import ChangeKind
from sameas_service.domain.errors import Reason
from sameas_service.domain.kinds import Kind
from sameas_service.domain.receipt import Outcome
from sameas_service.domain.warnings import WarningReason


def on_the_wire(enum, prefix: str) -> dict[str, int]:
    """Names without their prefix, and numbers, of what the server ever answers."""
    assert all(name.startswith(prefix) for name in enum.keys())  # noqa: SIM118 - no dict
    return {name.removeprefix(prefix): number for name, number in enum.items() if number}


@pytest.mark.parametrize(
    ("ours", "wire", "prefix"),
    [
        (Kind, v1.MessageKind, "MESSAGE_KIND_"),
        (Outcome, v1.Outcome, "OUTCOME_"),
        (WarningReason, v1.WarningReason, "WARNING_REASON_"),
        (ChangeKind, v1.ChangeKind, "CHANGE_KIND_"),
    ],
    ids=["Kind", "Outcome", "WarningReason", "ChangeKind"],
)
def test_an_enum_of_the_rules_has_names_and_numbers_of_the_protos(ours, wire, prefix):
    assert {each.name: each.value for each in ours} == on_the_wire(wire, prefix)


def test_reasons_have_names_and_order_of_the_protos():
    wire = on_the_wire(v1.ErrorReason, "ERROR_REASON_")

    assert [reason.value for reason in Reason] == list(wire)
    assert list(wire.values()) == list(range(1, len(wire) + 1))
    assert all(reason.name == reason.value for reason in Reason)


@pytest.mark.parametrize(
    ("ours", "wire", "prefix"),
    [
        (sameas.MessageKind, v1.MessageKind, "MESSAGE_KIND_"),
        (sameas.Outcome, v1.Outcome, "OUTCOME_"),
        (sameas.ChangeKind, v1.ChangeKind, "CHANGE_KIND_"),
    ],
    ids=["MessageKind", "Outcome", "ChangeKind"],
)
def test_an_enum_of_the_client_has_the_names_of_the_protos(ours, wire, prefix):
    """And one more, for what a newer server may say."""
    names = {name: name.lower() for name in (*on_the_wire(wire, prefix), "UNKNOWN")}

    assert {each.name: each.value for each in ours} == names


def test_the_clients_limits_are_the_services():
    from sameas import _calls
    from sameas_service.domain import limits

    assert limits.BATCH_MESSAGES_MAX == _calls.BATCH_MESSAGES_MAX
    assert limits.BATCH_BYTES_MAX == _calls.BATCH_BYTES_MAX


def test_operations_have_the_same_words_in_the_client_and_the_rules():
    from sameas._calls import OPERATIONS
    from sameas_service.cli.lines import PROFILE_WORDS
    from sameas_service.domain.operations import ACTIONS

    assert {name: key for key, name in ACTIONS.items()} == OPERATIONS
    assert set(PROFILE_WORDS) == set(ACTIONS)
