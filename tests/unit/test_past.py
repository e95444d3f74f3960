"""What an answer about the past costs: what it is about, whatever else the ledger holds."""

import re

import pytest

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.resolver.ports import PersonKey
from sameas_service.store.sqlite import past
from support.stored import stored

T0 = 1_700_000_000_000_000
STATEMENTS = {
    name: sql for name, sql in vars(past).items() if isinstance(sql, str) and "SELECT" in sql
}


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_no_statement_scans_a_table(name: str) -> None:
    sql = STATEMENTS[name]
    if name == "_LINKED":
        sql += "SELECT 1 FROM kin"
    with stored([], Rules()) as database:
        reader = database.reader()
        parameters = ["[]"] * max(int(number) for number in re.findall(r"\?(\d)", sql))
        plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        tables = {row[0] for row in reader.execute("SELECT name FROM sqlite_master")}
        reader.close()

    assert plan
    assert [step for step in plan if step.startswith("SCAN") and step.split()[1] in tables] == []
    # `(column>?)` would be all that has the column.
    ranges = [step for step in plan if re.search(r"\((?!device=\? AND )\w+>\?\)", step)]
    assert ranges == []


def test_an_answer_from_too_many_messages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "MESSAGES_MAX", 3)
    monkeypatch.setattr(past, "_CHUNK", 2)
    messages = [accept(Call(Kind.TRACK, f"m{n}", T0 + n, user_id="u", event="e")) for n in range(4)]
    key = PersonKey("user", "u")
    with stored([messages], Rules()) as database:
        reader = database.reader()

        (view,) = past.persons(reader, database.workspace, [key], T0 + 2)
        with pytest.raises(Refused) as refused:
            past.persons(reader, database.workspace, [key], T0 + 3)
        reader.close()

    assert view is not None
    assert view.last_seen == T0 + 2
    assert refused.value.reason is Reason.OVERLOADED
    assert refused.value.metadata == {"max_messages": "3"}
