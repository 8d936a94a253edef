"""What a language model is asked about a cluster of values, and the closed form of its answer.

Whatever a label may talk a model into, an answer is two fields, and both are counted words of
letters: an engine can decode nothing else, and what a server sends instead is refused.
"""

from functools import cache
from pathlib import Path
from string import Template
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from vitw_ray.facets import BY_NAME, LABEL_TREES, ValueFacet
from vitw_ray.inference.question import Question
from vitw_ray.taxonomy.naming.member_naming import MAX_NAME_WORDS

PROMPTS = Path(__file__).parent / "prompts"
MAX_DESCRIPTION_WORDS = 30  # ours: one full sentence

_SPEAKERS = {
    "assistant": "an AI assistant showed in its replies to people",
    "user": "people brought to their conversations with an AI assistant",
}
WHO: dict[ValueFacet, str] = {facet: _SPEAKERS[BY_NAME[facet].speaker] for facet in LABEL_TREES}


def words(fewest: int, most: int) -> str:
    """Pattern of so many words, the first with a capital; without anchors.

    Short repeats within a repeat: xgrammar 0.2 fails on a character class repeated over 128 times.
    """
    return rf"[A-Z][A-Za-z'\-]{{0,23}}(,? [A-Za-z][A-Za-z'\-]{{0,23}}){{{fewest - 1},{most - 1}}}"


NAME = rf"^{words(1, MAX_NAME_WORDS)}$"


class GroupAnswer(BaseModel):
    """A cluster as a model describes and, having found the words for it, names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: Annotated[
        str, StringConstraints(pattern=rf"^{words(3, MAX_DESCRIPTION_WORDS)}\.$")
    ]
    name: Annotated[str, StringConstraints(pattern=NAME)]


@cache
def group_question(facet: ValueFacet) -> Question:
    """The question put to each cluster of a facet; a listing stands between its fences."""
    return Question(
        name="group",
        before=Template(_prompt("group")).substitute(who=WHO[facet]),
        after=_prompt("group_cue"),
        answer=GroupAnswer,
    )


def _prompt(name: str) -> str:
    return (PROMPTS / f"{name}.md").read_text(encoding="utf-8").strip()
