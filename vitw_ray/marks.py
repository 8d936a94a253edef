"""Markers that stand for what neither user nor assistant said, such as `[tool call]`."""

import re
from collections import Counter
from collections.abc import Iterable

from vitw_ray.records import Role

ATTACHMENT, IMAGE, AUDIO = "[attachment]", "[image]", "[audio]"
THINKING, TOOL_CALL, TOOL_MESSAGE = "[thinking]", "[tool call]", "[tool message]"
SYSTEM_MESSAGE, OTHER_SPEAKER = "[system message]", "[other speaker]"

ROLE_MARKERS: dict[Role, str] = {"system": SYSTEM_MESSAGE, "tool": TOOL_MESSAGE}
"""Roles whose content is never read."""

MARKERS = (
    *(ATTACHMENT, IMAGE, AUDIO, THINKING, TOOL_CALL, TOOL_MESSAGE, SYSTEM_MESSAGE, OTHER_SPEAKER),
)

_ANY = "|".join(map(re.escape, MARKERS))
UNSEEN = (  # marks of format, fillers and controls: the inside of a class of characters
    "\\x00-\\x1f\\x7f-\\x9f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f"
    "\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0"
    "\\ufff9-\\ufffb\\U000e0000-\\U000e0fff"
)
# Possessive: backtracking is never needed, and its stack would grow with the number of markers.
_NO_WORDS = re.compile(rf"(?:{_ANY}|\s)*+")
_LINES = re.compile(rf"^(?:{_ANY})(?:\n(?:{_ANY}))++$", re.MULTILINE)


def has_words(content: str) -> bool:
    """Whether a message says anything beside markers."""
    if content[:1].isalnum():  # nearly all messages
        return True
    return _NO_WORDS.fullmatch(content) is None


def merged(contents: Iterable[str]) -> str:
    """The markers of several messages as one: `[12 tool calls]`.

    A call stands for its result too, so the messages of tools are named only without a call.
    """
    counts = Counter(marker for content in contents for marker in re.findall(_ANY, content))
    if counts[TOOL_CALL]:
        del counts[TOOL_MESSAGE]
    named = (mark if n == 1 else f"[{n} {mark[1:-1]}s]" for mark, n in counts.items() if n)
    return " ".join(named)


def merge_lines(content: str) -> str:
    """A message in which lines of markers, one below the other, are merged."""
    if "[" not in content:
        return content
    return _LINES.sub(lambda found: merged([found[0]]), content)
