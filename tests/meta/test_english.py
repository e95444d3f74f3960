"""The English of docstrings and comments: imperative verbs, and common words.

The docstring of a function begins with a verb (`Return ...`). A property is described as an
attribute is, by a noun.
"""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from support.snippets import ROOT

WORDS = """
Add Allow Answer Apply Begin Bind Block Bring Carry Change Check Checkpoint Close Collect
Compute Connect Copy Count Create Cut Do Drain End Explain Find Fold Follow Forget Go Hand Hold
Import Insert Join Keep Key Let Log Look Make Mark Merge Move Note Open Part Pass Pause Place
Print Put Queue Raise Read Refuse Remove Replace Report Return Run Say See Send Serve Set Show
Sort Start Strike Take Undo Unlink Wait Wake Warn Write Yield
"""
VERBS = frozenset(WORDS.split())
"""How the docstrings of functions and methods begin."""

AVOIDED = re.compile(r"\b(behind|nobody|whose|stands|lets go|somebody's)\b", re.IGNORECASE)
"""Better: after; no one, without an owner, anonymous; of which; is; releases; a person's."""

SERVICE = "service/sameas_service"
LATER: dict[str, set[str]] = {}
"""What is still to be changed, by file. An entry that is done must go from here."""

PATHS = sorted(
    path
    for folder in ("service", "client")
    for path in (ROOT / folder).rglob("*.py")
    if not path.is_relative_to(ROOT / "client" / "sameas" / "v1")
)
SOURCES = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}


class Finding(NamedTuple):
    """A word that should be another one, and where it is."""

    file: str
    line: int
    word: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.word}"


def first_words(source: str) -> Iterator[tuple[int, str]]:
    """The line and the first word of each function's docstring, but for properties."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_property(node):
            continue
        words = (ast.get_docstring(node) or "").split()
        if words:
            yield node.body[0].lineno, words[0].rstrip(".,:;")


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(one) in ("property", "cached_property") for one in node.decorator_list)


def prose(source: str) -> Iterator[tuple[int, str]]:
    """The lines of all docstrings, of attributes too, and of all comments."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield from enumerate(text.splitlines(), node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def findings(file: str, source: str) -> list[Finding]:
    """All words of a file that should be others, in order."""
    verbs = [(line, word) for line, word in first_words(source) if word not in VERBS]
    words = [
        (line, match[0].lower())
        for line, text in prose(source)
        for match in AVOIDED.finditer(re.sub(r"`[^`]*`", "", text))
    ]
    return [Finding(file, line, word) for line, word in sorted([*verbs, *words])]


def all_findings() -> list[Finding]:
    return [one for file, source in SOURCES.items() for one in findings(file, source)]


def test_docstrings_begin_with_verbs_and_words_are_common():
    found = [one for one in all_findings() if one.word not in LATER.get(one.file, ())]

    assert not found, "\n" + "\n".join(map(str, found))


def test_what_is_to_be_changed_later_is_there():
    left = defaultdict(set)
    for one in all_findings():
        left[one.file].add(one.word)

    done = {file: words - left[file] for file, words in LATER.items() if words - left[file]}

    assert done == {}, "take these from LATER"


def test_every_verb_of_the_list_is_used():
    used = {word for source in SOURCES.values() for _, word in first_words(source)}

    assert VERBS - used == frozenset()


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ('def f():\n    """Returns it."""', "Returns"),
        ('async def f():\n    """The answer."""', "The"),
        ('class C:\n    def f(self):\n        """What it is."""', "What"),
        ('def f():\n    """Return what\n    is behind it."""', "behind"),
        ('"""Nobody\'s."""', "nobody"),
        ('A = 1\n"""Whose it is."""', "whose"),
        ("f()  # it stands there", "stands"),
        ('class C:\n    """It lets go."""', "lets go"),
        ("# Somebody's.", "somebody's"),
    ],
)
def test_a_wrong_word_is_found(source: str, word: str):
    assert [one.word for one in findings("f.py", source)] == [word]


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Return, where there is one, `behind`."""',
        'class C:\n    @property\n    def f(self):\n        """The one."""',
        'x = "nobody\'s"',
        "def f():\n    return 1",
        'class C:\n    """Where somebody stood."""',
    ],
)
def test_other_words_are_not(source: str):
    assert findings("f.py", source) == []
