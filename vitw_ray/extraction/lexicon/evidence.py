"""Evidence in a transcript, before any judgement: cues and value phrases, turn by turn."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vitw_ray.extraction.lexicon.phrases import sentences, stems
from vitw_ray.extraction.lexicon.vocabulary import Speaker, Vocabulary
from vitw_ray.records import Message

_FORMS = {  # [ \t], not \s, which matches line breaks and takes quadratic time on blank text
    "steps": re.compile(r"^[ \t]*(?:\*\*)?(?:step )?\d+[.):]", re.M | re.I),
    "bullets": re.compile(r"^[ \t]*[-*\u2022][ \t]", re.M),
    "headings": re.compile(r"^(?:#+ |\*\*[^*\n]+\*\*:?[ \t]*$)", re.M),
    "code": re.compile(r"```|^[ \t]*(?:def|import|SELECT|class|public|#include)\b", re.M),
    "table": re.compile(r"^[ \t]*\|[^|\n]*\|[^|\n]*\|", re.M),
    "formula": re.compile(r"\d ?[-+*/^=] ?\d|\\frac|\\\("),
}
_GREETING_WORDS = 4  # a shorter sentence is a greeting or thanks
_LIST_FORMS = {"steps", "bullets"}  # a list needs more than one line


@dataclass(frozen=True, slots=True)
class Hit:
    """A phrase of a value in a sentence."""

    value: int  # position in the vocabulary
    words: int  # of the phrase
    stated: bool  # the sentence is normative, or says what its speaker wants or believes


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: the cues and phrases in it, and its form."""

    speaker: Speaker
    text: str
    request: str  # the text without greetings and statements of values, unless nothing is left
    words: int
    asks: bool  # ends with a question
    cues: Counter[str]
    hits: tuple[Hit, ...]
    named: tuple[Hit, ...]  # values called by name; `stated` if the speaker professes them
    forms: frozenset[str]


def read_turns(messages: Sequence[Message], vocabulary: Vocabulary) -> list[Turn]:
    """Read the messages of user and assistant; system and tool messages are skipped."""
    return [
        _read_turn(message.role, message.content, vocabulary)
        for message in messages
        if message.role in ("assistant", "user") and message.content.strip()
    ]


def _read_turn(speaker: Speaker, text: str, vocabulary: Vocabulary) -> Turn:
    phrases, stating = vocabulary.phrases[speaker], _STATING[speaker]
    cues: Counter[str] = Counter()
    hits: list[Hit] = []
    named: list[Hit] = []
    asked: list[str] = []
    length = 0
    for sentence in sentences(text):
        words = stems(sentence)
        length += len(words)
        found = list(phrases.find(words))
        keys = {key for key, _ in found}
        cues.update(key for key in keys if isinstance(key, str))
        hits.extend(Hit(key, n, stating in keys) for key, n in found if isinstance(key, int))
        names = {key: n for key, n in sorted(vocabulary.names.find(words))}  # the longest counts
        named.extend(Hit(key, n, _AVOWING[speaker] in keys) for key, n in names.items())
        says_enough = len(words) >= _GREETING_WORDS or not sentence.isascii()
        if says_enough and not (names and _AVOWING[speaker] in keys):
            asked.append(sentence)
    lines = {name: len(form.findall(text)) for name, form in _FORMS.items()}
    forms = {name for name, count in lines.items() if count >= (3 if name in _LIST_FORMS else 1)}
    asks = text.rstrip(" \n\"')*").endswith("?")
    length = max(length, len(text) // 6)  # scripts without Latin words
    request = "".join(asked) or text
    return Turn(
        speaker, text, request, length, asks, cues, tuple(hits), tuple(named), frozenset(forms)
    )


_AVOWING: dict[Speaker, str] = {"assistant": "avows", "user": "aims"}
_STATING: dict[Speaker, str] = {"assistant": "normative", "user": "aims"}
