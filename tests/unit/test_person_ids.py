"""Person ids, made here once more by the recipe that is documented."""

import uuid

import pytest

from sameas_service.domain import person_ids
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, after, position_of

SAMEAS = uuid.UUID("2f0c1f0e-6a53-5c3f-9c55-7d2a1b6c0f10")
FOR_EVER = [
    "a9f1004b-5be9-5591-8a02-25e29d57aa85",
    "f8a4a1a6-b329-577f-bca6-39e6e757ef72",
    "6809418c-33c8-52da-9899-0481e7432034",
]
"""They stand in customers' warehouses by now."""

NAMES = ["u", "17", "é", "😀", "a b", "x" * 256]


def made(workspace: str, *parts: str) -> str:
    """A UUIDv5 in the workspace's namespace; parts are separated by U+001F."""
    return str(uuid.uuid5(uuid.uuid5(SAMEAS, workspace), "\x1f".join(parts)))


@pytest.mark.parametrize("workspace", ["default", "other", "é"])
@pytest.mark.parametrize("name", NAMES)
def test_a_persons_id_is_made_of_the_workspace_and_the_name(workspace: str, name: str) -> None:
    reset = position_of(Kind.RESET, 1_700_000_000_000_000, "reset-1")

    assert person_ids.of_user(workspace, name) == made(workspace, "u", name)
    assert person_ids.of_segment(workspace, name, START) == made(workspace, "a", name)
    assert person_ids.of_segment(workspace, name, after(reset)) == made(
        workspace, "a", name, "reset-1"
    )


def test_ids_are_these_for_ever() -> None:
    reset = position_of(Kind.RESET, 0, "r")

    assert [
        person_ids.of_user("default", "usr_abc123"),
        person_ids.of_segment("default", "d", START),
        person_ids.of_segment("default", "d", after(reset)),
    ] == FOR_EVER


def test_an_id_is_a_uuid_of_version_5() -> None:
    found = uuid.UUID(person_ids.of_user("default", "u"))

    assert (found.version, found.variant) == (5, uuid.RFC_4122)


def test_users_devices_segments_and_workspaces_do_not_meet() -> None:
    resets = [after(position_of(Kind.RESET, 0, one)) for one in ("r", "s")]
    found = [
        person_ids.of_user("default", "x"),
        person_ids.of_user("other", "x"),
        person_ids.of_segment("default", "x", START),
        person_ids.of_segment("other", "x", START),
        *(person_ids.of_segment("default", "x", start) for start in resets),
    ]

    assert len(set(found)) == len(found)
