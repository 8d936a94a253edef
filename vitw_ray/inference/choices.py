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
    mass = [0.0] * len(codes)
    for text, logprob in tokens:
        start = text.strip(_AROUND)
        begun = [n for n, code in enumerate(codes) if start and code.startswith(start)]
        if len(begun) == 1:
            mass[begun[0]] += math.exp(logprob)
    total = sum(mass)
    if not total:
        return (-math.log(len(codes)),) * len(codes)
    return tuple(max(math.log(part / total), LOWEST) if part else LOWEST for part in mass)


_AROUND = ' "\n\t'  # white space and the quotation mark of a string, which some tokens begin with
