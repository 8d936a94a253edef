"""Markers that stand for what neither user nor assistant said, such as `[tool call]`."""

import re

from vitw_ray.records import Role

ATTACHMENT, IMAGE, AUDIO = "[attachment]", "[image]", "[audio]"
THINKING, TOOL_CALL, TOOL_MESSAGE = "[thinking]", "[tool call]", "[tool message]"
SYSTEM_MESSAGE, OTHER_SPEAKER = "[system message]", "[other speaker]"

ROLE_MARKERS: dict[Role, str] = {"system": SYSTEM_MESSAGE, "tool": TOOL_MESSAGE}
"""Roles whose content is never read."""

MARKERS = (
    *(ATTACHMENT, IMAGE, AUDIO, THINKING, TOOL_CALL, TOOL_MESSAGE, SYSTEM_MESSAGE, OTHER_SPEAKER),
)

# Possessive: backtracking is never needed, and its stack would grow with the number of markers.
_NO_WORDS = re.compile("(?:" + "|".join(map(re.escape, MARKERS)) + r"|\s)*+")


def has_words(content: str) -> bool:
    """Whether a message says anything beside markers."""
    if content[:1].isalnum():  # nearly all messages
        return True
    return _NO_WORDS.fullmatch(content) is None
