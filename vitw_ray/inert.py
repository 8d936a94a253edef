"""Sanitising of text: every string passes `inert` before it is shown or published.

Labels and the names of assistants and data sets come from untrusted conversations and files.
Escaping prevents markup, but not invisible characters or characters that reorder the text.
"""

import unicodedata

MAX_CHARS = 600  # ours: the longest published description has 522
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}  # control, bidi and zero-width, unassigned


def inert(text: str) -> str:
    """`text` on one line, without control, bidi, zero-width or unassigned characters, shortened.

    Does not escape: the template or figure that shows the text does.
    """
    spaced = (" " if c.isspace() else c for c in text[: 4 * MAX_CHARS])
    visible = "".join(c for c in spaced if unicodedata.category(c) not in _INVISIBLE)
    line = " ".join(visible.split())
    return line if len(line) <= MAX_CHARS else line[: MAX_CHARS - 1] + "…"


def on_terminal(text: str) -> str:
    """`text` with every control or invisible character but line ends and tabs written out.

    A terminal obeys escape sequences in the names of files and assistants.
    """
    return "".join(
        f"\\u{{{ord(c):x}}}" if c not in "\n\t" and unicodedata.category(c) in _INVISIBLE else c
        for c in text
    )
