"""Conversations written as one text: a plain prompt, a transcript, or a chat template."""

import re

from vitw_ray.conversations.fields import Repairs, RowRejected, Turn, clean_text
from vitw_ray.conversations.messages import read_turns, said

_TEMPLATES = (
    re.compile(r"<\|im_start\|>\s*(\w+)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL),
    re.compile(
        r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\s*(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL
    ),
    re.compile(r"<start_of_turn>(\w+)\n(.*?)(?:<end_of_turn>|\Z)", re.DOTALL),
    re.compile(
        r"<\|(user|assistant|system|tool)\|>\n?(.*?)(?=<\|(?:user|assistant|system|tool|end)\|>|\Z)",
        re.DOTALL,
    ),
)
"""ChatML, Llama 3, Gemma, and the templates of Zephyr and Phi: role and text of each turn."""
_INST = re.compile(r"\[INST\](.*?)\[/INST\](.*?)(?=</s>|\[INST\]|<s>|\Z)", re.DOTALL)
_SYSTEM = re.compile(r"\A\s*<<SYS>>.*?<</SYS>>", re.DOTALL)
_SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")  # one space is part of the separator


_BEFORE = re.compile(r"\s*(?:<[^<>\s]{1,30}>)?\s*")  # the token that begins a text


def prompt_turns(text: str, repairs: Repairs) -> list[Turn]:
    """The turns of a prompt: those of its chat template, or else one of the user."""
    for template in _TEMPLATES:
        start = template.search(text)
        if start and _BEFORE.fullmatch(text, 0, start.start()):
            found = [{"role": role, "content": said} for role, said in template.findall(text)]
            return _without_opening(read_turns(found, repairs))
    start = _INST.search(text)
    if start and _BEFORE.fullmatch(text, 0, start.start()):
        turns: list[Turn] = []
        for asked, told in _INST.findall(text):
            turns.append(said("user", _SYSTEM.sub("", asked).strip(), repairs))
            turns.append(said("assistant", told.strip(), repairs))
        return [turn for turn in turns if turn[1]]
    if text.lstrip().startswith("Human:") and "\n\nAssistant:" in text:
        return _without_opening(transcript_turns(f"\n\n{text.lstrip()}", repairs))
    return [said("user", text, repairs)]


def _without_opening(turns: list[Turn]) -> list[Turn]:
    """Turns without the empty one of the assistant that a prompt ends with."""
    return turns[:-1] if turns[-1][0] == "assistant" and not turns[-1][1].strip() else turns


def is_transcript(text: object) -> bool:
    """Whether a text is a transcript of `Human:` and `Assistant:`."""
    return isinstance(text, str) and bool(_SPEAKER.match(text))


def transcript_turns(text: str, repairs: Repairs) -> list[Turn]:
    """The turns of a transcript of `Human:` and `Assistant:`."""
    before, *pieces = _SPEAKER.split(clean_text(text, repairs))
    if before.strip() or not pieces:
        raise RowRejected("transcript_without_speaker")
    named = zip(pieces[::2], pieces[1::2], strict=True)
    return read_turns([{"role": role, "content": words} for role, words in named], repairs)
