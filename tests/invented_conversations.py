"""Invented conversations and answers: who says what follows from a number and a seeded die."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from vitw_ray.facets import RESPONSE_TYPES, VALUE_FACETS

Row = dict[str, Any]

SPOKEN = "a secret that nobody may print"
CONVERSATIONS = 90
ACCOUNTS = 31  # so many that no cell of enough conversations has too few
AI = ["honesty", "clarity", "careful limits", "warmth", "patience", "clear words"]
HUMAN = ["honesty", "clarity", "freedom", "thrift", "daring"]
RARE = "collecting buttons"
VARIANTS = {"careful limit": ("careful limits", "plural"), "clear-words": ("clear words", "hyphen")}
TASKS = ["write a letter", "plan a trip", "mend a quarrel", "choose a school", "cook a meal"]


def conversation(n: int) -> Row:
    """One invented conversation."""
    return {
        "conversation_id": f"invented-chat-{n:04d}",
        "prompt_id": f"prompt-{n // 4:04d}" if n % 3 else None,
        "account_id": f"account-{n % ACCOUNTS:02d}-{n % ACCOUNTS:08x}" if n % 11 else None,
        "model": ("model-a", "model-b", None)[n % 7 % 3],
        "source": "invented",
        "language": "en" if n % 4 else None,
        "created_at": datetime(2025, 2, 18, tzinfo=UTC) + timedelta(hours=3 * n) if n % 5 else None,
        "messages": [
            {"role": "user", "content": f"{SPOKEN}, {n}"},
            {"role": "assistant", "content": f"{SPOKEN}, answered, {n}"},
        ],
    }


def extraction(n: int, row: Row, dice: random.Random) -> Row:
    """An invented answer: tasks, human and AI values go together, loosely."""
    origin = {name: value for name, value in row.items() if name != "messages"}
    empty = {
        "extractor": "invented@0",
        "subjectivity": None,
        "is_subjective": None,
        "task": None,
        **{facet: [] for facet in VALUE_FACETS},
        "response_type": None,
        "error": None,
        "prompt_tokens": 100 + n,
        "output_tokens": n,
        "truncated_share": n % 4 / 4,
    }
    if n in (7, 29):
        return {**origin, **empty, "error": "no_json"}
    level = (3, 4, 3, 1, 4, 2)[n % 6]
    human = dice.sample(HUMAN, n % 3)
    ai = {*dice.sample(AI, 1 + n % 3), *(label for label in human[:1] if label in AI)}
    spelled = [next((v for v, (to, _) in VARIANTS.items() if to == label), label) for label in ai]
    response_type = RESPONSE_TYPES[dice.randrange(6)] if human else "no_values"
    written = sorted(spelled if n % 2 else ai)
    return {
        **origin,
        **empty,
        "subjectivity": level,
        "is_subjective": level >= 3,
        "task": TASKS[dice.randrange(5)] if n % 17 else None,
        "human_values": [value(label, True) for label in human],
        "ai_values": [
            *(value(x, n % 4 == place) for place, x in enumerate(written)),
            *([value(RARE, False)] if n in (10, 22) else []),
            *([value("patience", True, 2)] if n % 5 == 0 and "patience" not in ai else []),
        ],
        "response_type": response_type if n % 23 else None,
    }


def value(label: str, explicit: bool, salience: int | None = 3) -> Row:
    """One value of an answer."""
    return {"label": label, "explicit": explicit, "grounded": None, "salience": salience}
