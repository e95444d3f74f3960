"""After any delivery verify finds nothing; it names any damage, and rebuild puts it right."""

import random
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sameas_service.domain.derive import Rules
from sameas_service.domain.message import START
from sameas_service.resolver.facts import TABLES, Table
from sameas_service.store.sqlite.store import FILE
from support.deliveries import EXAMPLES, deliveries
from support.ledgers import dumped
from support.maintained import rebuilt, verified
from support.stored import opened
from support.worlds import expected_dump

NULLABLE = {
    "unlink": {"device", "source"},
    "device": {"owner", "visit_at", "visit_id"},
    "span": {"owner", "claim_at", "claim_id"},
    "person": {"user", "device", "start_at", "start_id"},
}


class Damage(NamedTuple):
    """A cell of a table, the key of its row, and what is written into it."""

    table: Table
    key: dict[str, Any]
    column: str
    value: Any


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(delivery=deliveries(), chance=st.randoms(use_true_random=False))
def test_any_damage_is_named_and_put_right(delivery, chance):
    history, batches, restarts, gap = delivery
    rules = Rules(session_gap=gap)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        data = Path(directory)
        deliver(data, rules, batches, restarts)
        assert verified(data) == []
        with closing(sqlite3.connect(data / FILE, isolation_level=None)) as connection:
            damages = [one for table in TABLES if (one := damage_of(table, connection, chance))]
            assume(damages)
            for damage in damages:
                write(damage, connection)

        named = {difference.table for difference in verified(data)}
        assert named == {damage.table.name for damage in damages}

        rebuilt(data)
        assert verified(data) == []
        assert dumped(data) == expected_dump(history, rules)


def deliver(data: Path, rules: Rules, batches: list[Any], restarts: list[bool]) -> None:
    """Give a data directory the batches, opened again where asked."""
    held = opened(data, rules)
    for batch, restart in zip(batches, restarts, strict=True):
        held.append(batch)
        if restart:
            held.close()
            held = opened(data, rules)
    held.close()


def damage_of(table: Table, connection: sqlite3.Connection, chance: random.Random) -> Damage | None:
    """What to change in a table; None where any row may be as it is and otherwise."""
    columns = (*table.keys, *table.values)
    cells = connection.execute(f"SELECT {', '.join(columns)} FROM {table.name}").fetchall()
    choices = [
        (row, column)
        for row in (dict(zip(columns, row, strict=True)) for row in cells)
        for column in (table.values if table.is_kept else columns)
        if not is_allowed(table.name, row, column)
    ]
    if not choices:
        return None
    row, column = chance.choice(choices)
    key = {name: row[name] for name in table.keys}
    return Damage(table, key, column, other(table.name, column, row[column], chance))


def is_allowed(table: str, row: dict[str, Any], column: str) -> bool:
    """Whether a cell may be otherwise, or is not derived."""
    match table:
        case "message":
            return column != "speaks"
        case "device":
            may_be_set = column == "has_operations" and row[column] == 0
            return may_be_set or column == "visit_known"
        case "span":
            is_first = (row["start_at"], row["start_id"]) == START
            return is_first and row["owner"] is None and column in ("claim_id", "device")
    return False


def other(table: str, column: str, value: Any, chance: random.Random) -> Any:
    """Another value of the same type, or none."""
    if column in ("named", "speaks", "has_operations"):
        return 1 - value
    if value is not None and column in NULLABLE.get(table, ()) and chance.random() < 0.5:
        return None
    if column == "traits":
        return '{"x":[0,1,[1,"a"],null,true,false]}'
    is_text = isinstance(value, str) or column.endswith("_id") or table == "unlink"
    if is_text and column != "upto":
        return (value or "") + "x"
    return (value or 0) + 10**6


def write(damage: Damage, connection: sqlite3.Connection) -> None:
    """Change the cell."""
    where = " AND ".join(f"{name} = :key_{name}" for name in damage.key)
    sql = f"UPDATE {damage.table.name} SET {damage.column} = :value WHERE {where}"
    keys = {f"key_{name}": value for name, value in damage.key.items()}
    assert connection.execute(sql, {"value": damage.value, **keys}).rowcount == 1
