"""Private reasoning inside the text of an assistant: it becomes the marker `[thinking]`.

Open models write their reasoning into the text, between tags (`<think>`), in a block of the chat
app that recorded it, or in the analysis channel of the harmony format. A tag counts only where a
line starts, so that an answer about such tags is left alone; so does a tag inside a code block.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from vitw_ray.marks import THINKING, TOOL_CALL

_TAG_NAMES = (
    "think|thinking|thoughts?|reasoning|antthinking|scratchpad|inner_monologue|seed:think"
    "|inner_thoughts?|chain_of_thought|(?:think|thought|thinking|reasoning)_process|reflection"
)
_DETAILS = r'<details\b[^<>]{0,200}\btype="(?:reasoning|tool_calls)"[^<>]{0,200}>'
_TAG = (
    rf"<(?P<tag>{_TAG_NAMES})(?:\s[^<>]{{0,80}})?>|\[(?P<square>THINK)\]|◁(?P<wide>think)▷"
    rf"|<\|(?P<pipe>begin_of_thought|thinking|think)\|>|(?P<details>{_DETAILS})"
    r"|(?P<colons>:::thinking)\b"
)
_OPENING = re.compile(rf"^[ \t]*+(?:{_TAG})", re.IGNORECASE | re.MULTILINE)
_OPENING_NEXT = re.compile(rf"\s*+(?:{_TAG})", re.IGNORECASE)  # right after a closed one
_CLOSING = {
    "tag": "</{}>",
    "square": "[/{}]",
    "wide": "◁/{}▷",
    "pipe": "<|end_of_thought|>",
    "details": "</details>",
    "colons": ":::",
}
_CLOSING_ALONE = re.compile(
    r"^[ \t]*+</think(?:ing)?>|</think(?:ing)?>[ \t]*+$|◁/think▷|\[/THINK\]", re.MULTILINE
)
_FIRST = frozenset("[:a◁ \t\r\n")
_HINTS = (
    "hink",
    "HINK",
    "hought",
    "easoning",
    "eflection",
    "scratchpad",
    "inner_monologue",
    "<|",
    "<details",
)
_CHANNEL = re.compile(
    r"(?:<\|start\|>assistant)?<\|channel\|>(?P<channel>\w+)(?P<to>[^<]{0,120})"
    r"(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"
    r"(?P<text>.*?)(?=<\|end\|>|<\|return\|>|<\|call\|>|<\|start\|>|<\|channel\|>|\Z)"
    r"(?:<\|end\|>|<\|return\|>|<\|call\|>)?",
    re.DOTALL,
)
_FINAL = re.compile(r"assistant(?:commentary)?final")


def without_thinking(text: str) -> str:
    """The text of an assistant, with private reasoning as a marker."""
    if "<" not in text and text[:1] not in _FIRST:
        return text  # nearly all texts; what has no angle bracket stands at the start
    if text[:8] == "analysis" and "assistantfinal" in text:  # harmony without its tokens
        return f"{THINKING}\n{_FINAL.split(text, maxsplit=1)[1]}"
    if not _hinted(text):
        return text
    if "<|channel|>" in text:
        text = "\n".join(_channels(text))
    pieces = list(_pieces(text))
    return text if pieces == [text] else "".join(pieces)


def _hinted(text: str) -> bool:
    return any(hint in text for hint in _HINTS)


def _channels(text: str) -> Iterator[str]:
    """The messages of the harmony format."""
    first = text.find("<|channel|>")
    before = text[:first].removesuffix("<|start|>assistant").strip()
    if before:
        yield before
    for found in _CHANNEL.finditer(text):
        if found["channel"] == "analysis":
            yield THINKING
        elif "to=" in found["to"]:
            yield TOOL_CALL
        else:
            yield found["text"].strip()


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces, with a marker for each stretch of reasoning."""
    at = looked = 0
    in_code = False
    found = _OPENING.search(text)
    alone = _CLOSING_ALONE.search(text)
    if alone and not (found and found.start() < alone.start()) and not _odd_fences(text, alone):
        yield THINKING  # opened by the prompt, closed by the assistant
        at = looked = alone.end()
        found = _next_opening(text, at)
    while found:
        in_code ^= text.count("```", looked, found.start()) % 2 == 1
        looked = found.start()
        if in_code:
            found = _OPENING.search(text, found.end())
            continue
        yield text[at : found.start()]
        yield TOOL_CALL if "tool_calls" in found[0] else THINKING
        kind = str(found.lastgroup)
        closed = _closing(kind, found[kind].lower()).search(text, found.end())
        at = looked = closed.end() if closed else len(text)
        found = _next_opening(text, at)
    yield text[at:]


def _next_opening(text: str, at: int) -> re.Match[str] | None:
    return _OPENING_NEXT.match(text, at) or _OPENING.search(text, at)


def _odd_fences(text: str, found: re.Match[str]) -> bool:
    return text.count("```", 0, found.start()) % 2 == 1


@lru_cache(64)
def _closing(kind: str, name: str) -> re.Pattern[str]:
    return re.compile(re.escape(_CLOSING[kind].format(name)), re.IGNORECASE)
