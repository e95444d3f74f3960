"""Prints all that a store, the model, the past and an export make of some histories.

`python renumbered.py NUMBERING`, run by `test_kind_numbers.py`: the kinds get other numbers before
anything that knows them is imported. What is printed has kinds by name.
"""

import json
import re
import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

TESTS = Path(__file__).parents[1]
KINDS = "sameas_service.domain.kinds"
NUMBERINGS = {
    "as they are": lambda number: number,
    "reversed": lambda number: 11 - number,
    "by twos": lambda number: 3 * number % 11,
    "beyond ten": lambda number: 40 + 3 * number,
}
EXAMPLES = 40
ALWAYS = 2**62


def renumber(how: str) -> None:
    """Make the module of the kinds with other numbers."""
    spec = find_spec(KINDS)
    assert spec is not None
    assert spec.origin is not None
    source, count = re.subn(
        r"(?m)^(    [A-Z]+ = )(\d+)$",
        lambda found: f"{found[1]}{NUMBERINGS[how](int(found[2]))}",
        Path(spec.origin).read_text(),
    )
    assert count == 10
    module: ModuleType = module_from_spec(spec)
    sys.modules[KINDS] = module
    exec(compile(source, spec.origin, "exec"), vars(module))


def plain(value: Any) -> Any:
    """A value as JSON can have it: kinds by name, and what has fields as a list of them."""
    from sameas_service.domain.kinds import Kind

    if isinstance(value, Kind):
        return value.name
    if isinstance(value, dict):
        return sorted(([plain(key), plain(one)] for key, one in value.items()), key=repr)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if isinstance(value, str | int | float | None) else repr(value)


def main() -> None:
    """Print one line a history."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    from sameas_service.domain.derive import Rules
    from support.damages import story
    from support.deliveries import deliveries
    from support.histories import GAP

    say([story()], Rules(session_gap=GAP), [0, 1])
    say([[message] for message in undone()], Rules(session_gap=GAP), [0, 3])

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(deliveries(), st.lists(st.integers(0, 7), min_size=2, max_size=2))
    def say_each(delivery: Any, pair: list[int]) -> None:
        _, batches, _, gap = delivery
        if batches:
            say(batches, Rules(session_gap=gap), pair)

    say_each()


def undone() -> list[Any]:
    """What an unlink leaves must not be taken for a claim, nor be lost: a reset by the user."""
    from contract.scenes import reset, said, seen, signed_in, traits, unlinked
    from sameas_service.domain.kinds import Kind

    return [
        signed_in("a", 1, "d1", "u1"),
        seen("b", 2, "d1"),
        reset("c", 6, "d1", "u1"),
        unlinked("d", 3, "u1", device="d1"),
        *(
            said(kind, f"e{kind.name}", 10, anonymous_id="d2", user_id="u2", event="e")
            for kind in (Kind.TRACK, Kind.PAGE, Kind.SCREEN, Kind.GROUP)
        ),
        said(Kind.ALIAS, "f", 11, user_id="u2", previous_anonymous_id="d3"),
        said(Kind.ALIAS, "g", 12, user_id="u2", previous_anonymous_id="d1"),
        traits("h", 13, '{"set":{"n":1}}', device="d2"),
        unlinked("i", 20, "u2", device="d2"),
        said(Kind.ALIAS, "j", 21, user_id="u2", previous_anonymous_id="d3"),
    ]


def say(batches: list[Any], rules: Any, pair: list[int]) -> None:
    """Print what there is after the batches, and what a preview says of the last message."""
    from sameas_service.resolver.facts import Filter
    from sameas_service.resolver.read.export import Export
    from sameas_service.resolver.read.timeline import PageQuery
    from support.pasts import all_keys
    from support.stored import stored
    from support.worlds import expected_dump

    messages = list({m.message_id: m for batch in batches for m in batch}.values())
    with stored([], rules) as held:
        answers = [held.append(batch) for batch in batches[:-1]]
        previews = [held.report(message, keep=False) for message in batches[-1][:2]]
        answers.append(held.append(batches[-1]))
        keys = all_keys(held)
        ends = [keys[number % len(keys)] for number in pair]
        dump = held.dump()
        assert dump == expected_dump(messages, rules), "the store is not what derive gives"
        now = held.persons(keys)
        assert held.persons(keys, ALWAYS) == [
            None if view is None else view._replace(user_ids=list(view.user_ids)) for view in now
        ], "the past is not what the store has"
        kinds = {message.kind for message in messages}
        pages = [
            held.page(PageQuery(key, Filter(frozenset([kind])), None, 100), as_of)
            for key in keys
            for kind in sorted(kinds, key=lambda kind: kind.name)
            for as_of in (None, ALWAYS)
        ]
        assert pages[::2] == pages[1::2], "a page of the past is not what the store has"
        told = held.store.scan(lambda reader: exported(Export(reader, rules.workspace)))
        found = [
            dump, answers, previews, now, pages, told, held.changes(), held.explanation(*ends)
        ]  # fmt: skip
    print(json.dumps(plain(found)))  # noqa: T201


def exported(export: Any) -> Any:
    """All messages and all holdings."""
    return [list(export.messages(0)), list(export.holdings(None))]


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS)]
    renumber(sys.argv[1])
    main()
