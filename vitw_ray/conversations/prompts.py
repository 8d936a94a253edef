"""Conversations written as one text: a plain prompt, a transcript, or a chat template."""

import re

from vitw_ray.conversations.fields import Repairs, RowRejected, Turn, clean_text
from vitw_ray.conversations.messages import read_turns, said
from vitw_ray.records import Role

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


def prompt_turns(text: str, repairs: Repairs) -> list[Turn]:
    """The turns of a prompt: those of its chat template, or else one of the user."""
    for template in _TEMPLATES:
        found = template.findall(text)
        if found:
            turns = read_turns([{"role": role, "content": said} for role, said in found], repairs)
            return turns[:-1] if turns[-1][0] == "assistant" and not turns[-1][1].strip() else turns
    found = _INST.findall(text)
    if found:
        roles: tuple[Role, Role] = ("user", "assistant")
        pairs = ((role, text) for texts in found for role, text in zip(roles, texts, strict=True))
        turns = [said(role, _SYSTEM.sub("", words).strip(), repairs) for role, words in pairs]
        return [turn for turn in turns if turn[1]]
    if text.startswith(("\n\nHuman:", "Human:")):
        return transcript_turns(text if text.startswith("\n\n") else f"\n\n{text}", repairs)
    return [said("user", text, repairs)]


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
