"""What may be shown on a terminal."""

import re
import sys

from rich.console import Console

# Wide enough for any real row: what is piped into another program must not be wrapped.
PIPE_COLUMNS = 4_000

# The control characters of ASCII and Latin-1, the marks that turn the direction of writing
# and the separators of lines: with them, data could move the cursor or pose as other text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def safe(text: str) -> str:
    r"""Return the text with every character that steers a terminal written as `\u001b`.

    The form is that of JSON, so JSON stays JSON with the same meaning.
    """
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def output() -> Console:
    """Return standard output, in a pipe wide enough for any row."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    return console


def say(line: str) -> None:
    """Print one line on standard output, as it is: it may be piped into another program."""
    sys.stdout.write(line + "\n")


def errors() -> Console:
    """Return standard error."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def complain(sentence: str) -> None:
    """Print one line on standard error."""
    errors().print(safe(sentence), soft_wrap=True)
