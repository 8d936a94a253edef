"""Text that cannot act: what every string passes before it is shown or published.

Labels, names of models and names of data sets come from conversations and files that strangers
wrote. Escaping stops markup; it does not stop characters that reorder or hide what a reader sees.
"""

import unicodedata

MAX_CHARS = 600  # ours: the longest published description has 522
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}  # control, bidi and zero-width, unassigned


def inert(text: str) -> str:
    """`text` on one line, without control, bidi, zero-width or unassigned characters, shortened.

    Not escaped: that is the work of the template or of the figure that shows it.
    """
    spaced = (" " if c.isspace() else c for c in text[: 4 * MAX_CHARS])
    visible = "".join(c for c in spaced if unicodedata.category(c) not in _INVISIBLE)
    line = " ".join(visible.split())
    return line if len(line) <= MAX_CHARS else line[: MAX_CHARS - 1] + "…"
