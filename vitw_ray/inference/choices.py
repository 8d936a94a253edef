"""Probabilities of the codes of a closed question, from the likeliest tokens at its answer."""

import math
from collections.abc import Iterable, Sequence

LOWEST = -20.0  # of a code that is not among the likeliest tokens; e**-20 is no chance at all


def code_logprobs(codes: Sequence[str], tokens: Iterable[tuple[str, float]]) -> tuple[float, ...]:
    """Natural logarithms of the codes' probabilities given that one of them is the answer.

    A tokenizer may split a code in several ways, so the probabilities of all tokens that begin a
    code, and no other code, are summed.

    Args:
        codes: the codes, no two with the same first character.
        tokens: text and log-probability of each of the likeliest first tokens.
    """
    mass = dict.fromkeys(codes, 0.0)
    for text, logprob in tokens:
        code = code_at_start(text, codes)
        if code is not None:
            mass[code] += math.exp(logprob)
    total = sum(mass.values())
    if not total:
        return (-math.log(len(codes)),) * len(codes)
    return tuple(max(math.log(part / total), LOWEST) if part else LOWEST for part in mass.values())


def code_at_start(text: str, codes: Sequence[str]) -> str | None:
    """The code that a text starts with, or that it is the start of; None: no code, or several."""
    start = text.strip(_AROUND)
    if not start:
        return None
    found = [code for code in codes if _alike(start, code)]
    return found[0] if len(found) == 1 else None


def code_in(text: str, codes: Sequence[str]) -> str | None:
    """The code that an answer gives: as its first word, or as the value of an object."""
    _, colon, value = text.partition(":")
    return code_at_start(value if colon and text.lstrip().startswith("{") else text, codes)


def _alike(start: str, code: str) -> bool:
    start, code = start.casefold(), code.casefold()
    if start.startswith(code):
        return not start[len(code) : len(code) + 1].isalnum()  # a word, not the start of another
    return code.startswith(start)


_AROUND = ' "\n\t`*.'  # white space, quotation marks and emphasis around a code
