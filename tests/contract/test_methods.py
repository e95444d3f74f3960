"""The suite is whole: each method of the port has a test of its meaning, named after it."""

import re
from pathlib import Path

import pytest

from sameas_service.resolver import ports

HERE = Path(__file__).parent
TESTED_IN = {
    ports.ReadTransaction: ["test_reads.py"],
    ports.WriteTransaction: ["test_write_questions.py", "test_apply.py"],
    ports.LedgerReader: ["test_ledger.py"],
    ports.Store: ["test_store.py"],
}


@pytest.mark.parametrize(
    ("protocol", "method"),
    [
        (protocol, method)
        for protocol in TESTED_IN
        for method in vars(protocol)
        if not method.startswith("_")
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_method_of_the_port_has_a_test(protocol: type, method: str) -> None:
    code = "".join((HERE / name).read_text() for name in TESTED_IN[protocol])

    assert re.search(rf"^def test_{method}_", code, re.MULTILINE)
