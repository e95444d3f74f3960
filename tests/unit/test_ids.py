"""Which ids are taken, and which name nobody."""

import pytest

from sameas_service.domain.errors import Reason
from sameas_service.domain.ids import (
    NAMES_OF_NOBODY,
    check_id,
    check_name,
    is_blocked,
    looks_like_email,
)

PLACEHOLDERS = sorted(NAMES_OF_NOBODY)


@pytest.mark.parametrize("name", PLACEHOLDERS)
@pytest.mark.parametrize(
    "written", ["{}", " {} ", "'{}'", '"{}"', "`{}`", "' {} '"], ids=lambda form: form
)
def test_a_placeholder_names_nobody_however_it_is_written(name: str, written: str) -> None:
    for form in (name, name.upper(), name.title()):
        assert is_blocked(written.format(form))


@pytest.mark.parametrize(
    "blank", ["", " ", "\u00a0\u2003", "''", '""', "``", "' '", "0", "000", "-", "0-0",
              "00000000-0000-0000-0000-000000000000", "'0'"],
)  # fmt: skip
def test_blanks_zeros_and_dashes_name_nobody(blank: str) -> None:
    assert is_blocked(blank)


@pytest.mark.parametrize(
    "name",
    ["1", "u-0", "00a", "null0", "nullable", "nobody", "'null\"", "'", "\"'null'\"", "id-1", "-2",
     "0.0", "guests", "[[]]", "Ann"],
)  # fmt: skip
def test_what_only_resembles_a_placeholder_is_a_name(name: str) -> None:
    assert not is_blocked(name)
    assert check_id(name, "user_id") == name


def test_the_list_may_be_another() -> None:
    assert not is_blocked("guest", frozenset(["visitor"]))
    assert is_blocked("VISITOR", frozenset(["visitor"]))
    assert check_id("guest", "user_id", frozenset()) == "guest"


def test_a_blocked_id_is_refused_by_its_field(why) -> None:
    assert why(check_id, "null", "user_id") == (Reason.ID_BLOCKED, "user_id")
    assert why(check_id, "null", "anonymous_id") == (Reason.ID_BLOCKED, "anonymous_id")


@pytest.mark.parametrize("longest", ["x" * 256, "é" * 128, "€" * 85 + "x", "😀" * 64])
def test_an_id_has_up_to_256_bytes(why, longest: str) -> None:
    assert len(longest.encode()) == 256

    assert check_name(longest, "user_id") == longest
    assert why(check_name, longest + "x", "user_id") == (Reason.ID_TOO_LONG, "user_id")


@pytest.mark.parametrize("control", ["\x00", "\x01", "\t", "\n", "\x1f", "\x7f", "\x80", "\x9f"])
def test_control_characters_are_refused(why, control: str) -> None:
    for text in (control, f"a{control}", f"é{control}b"):
        assert why(check_name, text, "user_id") == (Reason.CONTROL_CHARACTER, "user_id")


@pytest.mark.parametrize("text", ["a b", "é", "\u00a0", "\u200b", "😀", "a/b\\c", "%00", "~"])
def test_other_characters_are_taken_as_they_are(text: str) -> None:
    assert check_name(text, "user_id") == text


@pytest.mark.parametrize("user", ["ann@example.com", "a+b@c.d.e", "Ünï@exämple.org"])
def test_an_address_looks_like_one(user: str) -> None:
    assert looks_like_email(user)


@pytest.mark.parametrize(
    "user", ["", "ann", "@ann", "ann@", "ann@home", "a@b@c.d", "a b@c.d", "ann@c.", "@c.d"]
)
def test_what_has_no_name_or_domain_is_no_address(user: str) -> None:
    assert not looks_like_email(user)
