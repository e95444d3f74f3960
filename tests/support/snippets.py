"""The fenced snippets of the documentation, to be run."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
READMES = tuple(ROOT / name for name in ("README.md", "client/README.md", "service/README.md"))
TARGET = "127.0.0.1:50051"
"""The server that the documentation talks to."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """A fenced block.

    Attributes:
        file: where it stands.
        line: the line of its first line of code.
        language: the word behind the fence, or empty.
        code: what is within.
    """

    file: Path
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        """Where it stands, for people."""
        return f"{self.file.relative_to(ROOT)}:{self.line}"

    def for_target(self, target: str) -> str:
        """The code, talking to another server than the one it names or takes by default."""
        return self.code.replace("Client()", f'Client("{target}")').replace(TARGET, target)


def snippets(file: Path, language: str) -> list[Snippet]:
    """The snippets of a file in one language, in their order."""
    text = file.read_text()
    return [
        Snippet(file, text.count("\n", 0, match.start(2)) + 1, match[1], match[2])
        for match in _FENCE.finditer(text)
        if match[1] == language
    ]


def example() -> Snippet:
    """The example at the top of the README."""
    return snippets(READMES[0], "python")[0]
