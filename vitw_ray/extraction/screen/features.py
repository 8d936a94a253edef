"""Features of a conversation for the screen: three sentence embeddings and a few counts.

The features of a conversation depend on that conversation alone. Its texts are encoded in a call of
their own, because a vector's last bits depend on the batch that it is computed in: whether a
conversation is screened out must not depend on its neighbours, on the unit, or on a restart.
"""

import re
from collections.abc import Sequence

import numpy as np

from vitw_ray.inference.embedder import Embedder
from vitw_ray.records import Conversation

TEXT_CHARS = 1000  # ours: about the 256 word pieces that MiniLM reads; the rest would be cut anyway
TEXTS = 3
COUNTS = 6
_CODE = re.compile(r"[{}<>=;\\|_`#]")


def texts_of(conversation: Conversation) -> tuple[str, str, str]:
    """What the user says, the first message of the user, the last message of the assistant."""
    user = [m.content for m in conversation.messages if m.role == "user"]
    assistant = [m.content for m in conversation.messages if m.role == "assistant"]
    spoken = "\n".join(text[:TEXT_CHARS] for text in user)
    first, last = (user or [""])[0], (assistant or [""])[-1]
    return spoken[:TEXT_CHARS].strip(), first[:TEXT_CHARS].strip(), last[:TEXT_CHARS].strip()


def counts_of(conversation: Conversation) -> np.ndarray:
    """Length of both sides and shares of characters, float32, shape (COUNTS,), each about 0-1."""
    sides = [
        "".join(m.content for m in conversation.messages if m.role == role)
        for role in ("user", "assistant")
    ]
    user, assistant = (max(len(text), 1) for text in sides)
    return np.array(
        [
            np.log1p(user) / 10,
            np.log1p(assistant) / 10,
            min(len(conversation.messages) / 10, 2.0),
            10 * sides[0].count("?") / user,
            sum(character.isdigit() for character in sides[0]) / user,
            len(_CODE.findall(sides[1])) / assistant,
        ],
        dtype=np.float32,
    )


def features_of(embedder: Embedder, conversations: Sequence[Conversation]) -> np.ndarray:
    """Features of conversations: float32, shape (n, TEXTS * embedder.dim + COUNTS)."""
    width = TEXTS * embedder.dim + COUNTS
    rows = np.zeros((len(conversations), width), dtype=np.float32)
    for row, conversation in zip(rows, conversations, strict=True):
        texts = texts_of(conversation)
        unique = sorted({text for text in texts if text})
        vectors = dict(zip(unique, embedder.encode(unique), strict=True)) if unique else {}
        for place, text in enumerate(texts):
            if text:  # a speaker who said nothing has the zero vector
                row[place * embedder.dim : (place + 1) * embedder.dim] = vectors[text]
        row[TEXTS * embedder.dim :] = counts_of(conversation)
    return rows
