"""Cut a conversation to a token budget: keep its start and end, and mark the cut.

The start shows the request and the end shows the result, so the middle is removed. The cut is at a
turn boundary where possible, else after a sentence, else after a word. The share that was cut is
reported.

Markers of tool calls and the like are merged first, so that a log full of them keeps its speech.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from vitw_ray.marks import has_words, merge_lines, merged
from vitw_ray.records import Message

MARKER = "[... cut ...]"
_SENTENCE_END = re.compile(r"(?:[.!?][\"')\]]*\s|[\u3002\uff01\uff1f\n])")
_SPACE = re.compile(r"\s")
MARKS_SHARE = 1 / 20  # ours: of the budget, for turns that are markers only


@dataclass(frozen=True, slots=True)
class Transcript:
    """The turns that fit, and the share of the conversation's tokens that was cut (0-1)."""

    messages: tuple[Message, ...]
    truncated_share: float


def estimate(text: str) -> int:
    """Estimate tokens as a quarter of the UTF-8 bytes: close for English and 3-byte scripts."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def transcript(
    messages: Sequence[Message], budget_tokens: int, count_tokens: Callable[[str], int] = estimate
) -> Transcript:
    """Fit a conversation into a budget; `MARKER` replaces text that was cut.

    Args:
        messages: The turns in order.
        budget_tokens: Upper bound of the tokens of all contents together, including markers. If
            not even a marker fits, the result has no messages.
        count_tokens: Number of tokens of a text; must not decrease when a text grows.
    """
    counts = [count_tokens(message.content) for message in messages]
    total = sum(counts)
    if total > budget_tokens:
        marks = int(budget_tokens * MARKS_SHARE)
        messages, counts = _with_few_marks(messages, counts, marks, count_tokens)
        total = sum(counts)
    if total <= budget_tokens:
        return Transcript(tuple(messages), 0.0)
    whole = budget_tokens - count_tokens(MARKER)
    if whole < 0:
        return Transcript((), 1.0)
    head = _whole_turns(counts, whole // 2)
    tail = _whole_turns(counts[::-1], whole - whole // 2)
    last = len(messages) - tail
    kept = sum(counts[:head]) + sum(counts[last:])
    cut, kept_of_cut = _cut_turns(messages[head:last], budget_tokens - kept, count_tokens)
    share = 1.0 - (kept + kept_of_cut) / total
    return Transcript((*messages[:head], *cut, *messages[last:]), min(max(share, 0.0), 1.0))


def _with_few_marks(
    messages: Sequence[Message],
    counts: Sequence[int],
    budget: int,
    count_tokens: Callable[[str], int],
) -> tuple[list[Message], list[int]]:
    """Merge the markers between two turns of speech; of those, keep what fits into the budget.

    The markers nearest to the start and the end stay, since the middle is what is cut.

    Returns the turns and their tokens.
    """
    turns: list[tuple[Message, int]] = []
    marks: list[int] = []
    for speaks, run in groupby(
        zip(messages, counts, strict=True), key=lambda turn: _speaks(turn[0])
    ):
        if speaks:
            turns += (_with_merged_lines(*turn, count_tokens) for turn in run)
        else:
            several = [message for message, _ in run]
            mark = merged(message.content for message in several)
            marks.append(len(turns))
            turns.append((Message(several[0].role, mark), count_tokens(mark)))
    dropped: set[int] = set()
    for place in sorted(marks, key=lambda place: min(place, len(turns) - 1 - place)):
        cost = turns[place][1]
        if cost > budget:
            dropped.add(place)
        budget -= min(cost, budget)
    kept = [turn for place, turn in enumerate(turns) if place not in dropped]
    return [message for message, _ in kept], [count for _, count in kept]


def _with_merged_lines(
    message: Message, count: int, count_tokens: Callable[[str], int]
) -> tuple[Message, int]:
    content = merge_lines(message.content)
    if content == message.content:  # counting a long turn again would be slow
        return message, count
    return Message(message.role, content), count_tokens(content)


def _speaks(message: Message) -> bool:
    return not message.content.strip() or has_words(message.content)


def _whole_turns(counts: Sequence[int], budget: int) -> int:
    """How many leading turns fit into the budget."""
    for turns, count in enumerate(counts):
        budget -= count
        if budget < 0:
            return turns
    return len(counts)


def _cut_turns(
    messages: Sequence[Message], budget: int, count_tokens: Callable[[str], int]
) -> tuple[list[Message], int]:
    """Shorten the middle turns, which do not fit: the first keeps a head, the last a tail.

    Returns the remaining turns, and the number of tokens of original text in them.
    """
    first, last = messages[0], messages[-1]
    half = (budget + 1) // 2
    head = _head(first.content, lambda part: count_tokens(_marked(part, "")) <= half)
    if len(messages) == 1:
        rest = first.content[len(head) :]
        tail = _tail(rest, lambda part: count_tokens(_marked(head, part)) <= budget)
        turns = [Message(first.role, _marked(head, tail))]
    else:
        turns = [Message(first.role, _marked(head, ""))] if head else []
        left = budget - sum(count_tokens(turn.content) for turn in turns)
        tail = _tail(last.content, lambda part: count_tokens(_marked("", part)) <= left)
        if tail or not turns:
            turns.append(Message(last.role, _marked("", tail)))
    return turns, count_tokens(head) + count_tokens(tail)


def _marked(head: str, tail: str) -> str:
    return "\n".join(part for part in (head, MARKER, tail) if part)


def _head(text: str, fits: Callable[[str], bool]) -> str:
    size = _largest(len(text), lambda size: fits(text[:size]))
    if size == len(text):
        return text
    for boundary in (_SENTENCE_END, _SPACE):
        ends = [found.end() for found in boundary.finditer(text, size // 2, size)]
        if ends and fits(head := text[: ends[-1]].rstrip()):
            return head
    return text[:size]


def _tail(text: str, fits: Callable[[str], bool]) -> str:
    start = len(text) - _largest(len(text), lambda size: fits(text[len(text) - size :]))
    if start == 0:
        return text
    for boundary in (_SENTENCE_END, _SPACE):
        found = boundary.search(text, start, (start + len(text)) // 2)
        if found and fits(tail := text[found.end() :].lstrip()):
            return tail
    return text[start:]


def _largest(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest size up to `limit` that fits, else 0.

    Doubles before it bisects: the sizes tested are at most twice the answer, so the cost depends on
    the budget and not on the length of the turn.
    """
    low, high = 0, min(limit, 64)
    while fits(high):
        if high == limit:
            return limit
        low, high = high, min(limit, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
